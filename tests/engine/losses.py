"""A wire that loses, doubles and reorders by seeded chance, in virtual time: what is left of many pairs."""

import random
from collections.abc import Callable

from tests.engine.explore import ESP, IKE
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Pair, variant
from tests.engine.lives import child_of, ike_sa, rekey_child, rekey_ike, settled
from tests.engine.pieces import cutting_pair

#: Seconds in which an initiator sends its two requests as often as it ever does, and after which whatever was
#: put off, or given up, is over.
HANDSHAKE, REST = 450.0, 600.0
#: Datagrams among which one may be late.
WITHIN = 10


def fast(codec: str) -> Pair:
    """Two endpoints whose key exchange costs little: losses cost the same."""
    return Pair(codec, variant(INITIATOR, ike=IKE, esp=ESP), variant(RESPONDER, ike=IKE, esp=ESP))


def lossy(seed: int, share: float) -> Callable[[Datagram], bool]:
    """Keeps all but that share, in each direction."""
    draw = random.Random(seed)
    return lambda datagram: draw.random() >= share


def handshake(codec: str, seed: int, share: float) -> bool:
    """Whether an IKE SA with its Child SA comes up, the same one at both ends."""
    pair = fast(codec)
    pair.initiate()
    pair.pass_time(HANDSHAKE, lossy(seed, share))
    return pair.up()


def fragmented(seed: int, share: float) -> bool:
    """As `handshake`, with IKE_AUTH in three fragments each way: whether it comes up."""
    pair = cutting_pair()
    pair.initiate()
    pair.pass_time(HANDSHAKE, lossy(seed, share))
    return pair.up()


def jumbled(codec: str, seed: int) -> bool:
    """Every datagram comes twice, in any order among ten; whether there is exactly one SA of each kind."""
    draw, pair = random.Random(seed), fast(codec)
    pair.initiate()
    held: list[Datagram] = []
    while pair.wire or held:
        held += [datagram for one in pair.wire for datagram in (one, one)]
        pair.wire.clear()
        pair.deliver(held.pop(draw.randrange(min(WITHIN, len(held)))))
    pair.pass_time(HANDSHAKE)
    return pair.up() and settled(pair)


def rekeyed(codec: str, seed: int, share: float, rounds: int) -> int:
    """Rekeys of both SAs, begun by either end at random, under loss; returns how many were carried out.

    Raises AssertionError where an SA was lost, or the ends do not agree.
    """
    draw, pair, keep = random.Random(seed), fast(codec).establish(), lossy(seed, share)
    for number in range(rounds):
        node = draw.choice((pair.initiator, pair.responder))
        old = child_of(node).inbound_spi, ike_sa(node).local_spi
        (rekey_ike if number % 5 == 4 else rekey_child)(pair, node)
        pair.pass_time(REST, keep)
        new = child_of(node).inbound_spi, ike_sa(node).local_spi
        if not settled(pair) or old == new:
            raise AssertionError(f"{codec}, seed {seed}, rekey {number}: nothing was replaced, or lost")
    return rounds
