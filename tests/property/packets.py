"""Mutants of ESP packets, one after the other, at the node whose Child SA they name.

    forged     mutants of the packet, from somebody without keys: none is delivered, no window moves
    authentic  mutants of the plaintext with its trailer, sealed with the right keys under fresh numbers

The packets are those of the data path itself, in both directions of one tunnel, empty ones and large ones.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from node.crypto import aead
from node.esp.ip import Echo, pack, pack_echo, pack_udp
from node.esp.packet import NEXT_HEADER_IPV4, alignment, trailer
from node.esp.tunnel import Incoming
from node.model.child import ChildSa
from node.model.message import Path as UdpPath
from node.model.registry import EsnId
from node.ports import Sealer
from tests.property.hostile import Measured, Side, Stage, _entropy, play
from tests.property.scenes import established
from tests.property.snapshot import Snapshot
from tests.property.strategies import STRATEGIES

_CBC_AND_NULL = ("aes128", "aes192", "aes256", "null")
_AEAD = ("aes128gcm16", "aes192gcm16", "aes256gcm16", "chacha20poly1305")
#: Every ESP suite there is.
SUITES = (
    *("-".join(words) for words in product(_CBC_AND_NULL, ("sha256", "sha384", "sha512"))),
    *_AEAD,
    *(f"{word}-esn" for word in _AEAD),
)
#: Mutants after which the whole state is looked at; the window is looked at after each.
LOOK = 2000


@dataclass(slots=True)
class Tally:
    """How many mutants by strategy, the reasons they were dropped for, and what they cost."""

    mutants: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    cost: Measured = field(default_factory=Measured)


class Receiver:
    """One end of the tunnel, with what it delivers and how its window stands."""

    def __init__(self, stage: Stage, side: Side) -> None:
        self._stage, self._side = stage, side
        (self.child,) = (o.child for sa in side.established() for o in sa.children.values())
        self._inbound = side.plane._sad.by_spi[int.from_bytes(self.child.inbound_spi)]
        self.delivered = 0
        onwards = side.plane.deliver

        def deliver(incoming: Incoming, path: UdpPath) -> None:
            self.delivered += 1
            onwards(incoming, path)

        side.plane.deliver = deliver

    @property
    def window(self) -> tuple[int, tuple[int, ...]]:
        """The highest number seen, and those that it remembers."""
        return self._inbound.window.top, tuple(self._inbound.window._ring)

    @property
    def counted(self) -> int:
        """Everything that arrived, by what became of it."""
        return self._side.node.log.dropped.total() + self._side.node.keepalives + self.delivered

    def take(self, octets: bytes) -> None:
        """Receive; it is counted exactly once, and what is sent because of it is lost."""
        before = self.counted
        self._stage.hand(self._side, octets, self._stage.other(self._side).address)
        self._side.wire.sent.clear()
        assert self.counted == before + 1, octets.hex()


def inner_packets(child: ChildSa, draw: random.Random) -> tuple[bytes, ...]:
    """What this end may send through the Child SA."""
    here, there = (selectors[0].start + 1 for selectors in (child.local, child.peer))
    return (
        pack_udp(here, there, 4000, 5000, b""),
        pack_udp(here, there, 4000, 7000, b"a line of text"),
        pack_echo(here, there, Echo(True, 7, 1, draw.randbytes(56))),
        pack(here, there, 253, draw.randbytes(300)),
    )


class Barrage:
    """`share` is how many mutants of each of the strategies a packet gets."""

    def __init__(self, tally: Tally, draw: random.Random, share: int, strategies: Iterable[str]) -> None:
        self._tally, self._draw, self._share, self._strategies = tally, draw, share, tuple(strategies)

    def forged(self, stage: Stage) -> None:
        """Ahead of each packet its mutants, of which none passes; then it does itself."""
        established(stage)
        ends = {side.wire: Receiver(stage, side) for side in stage.sides}
        for author in stage.sides:
            side = stage.other(author)
            receiver = ends[side.wire]
            for number, packet in enumerate(inner_packets(ends[author.wire].child, self._draw)):
                octets = _sent(author, packet)
                snapshot = Snapshot(side.node)
                self._throw(receiver, snapshot, octets)
                assert receiver.delivered == number
                receiver.take(octets)
                assert receiver.delivered == number + 1
            self._tally.dropped.update(side.node.log.dropped)

    def authentic(self, stage: Stage) -> None:
        """Mutants of plaintexts: passed on or dropped, each counted once."""
        established(stage)
        ends = {side.wire: Receiver(stage, side) for side in stage.sides}
        for author in stage.sides:
            side = stage.other(author)
            receiver, child = ends[side.wire], ends[author.wire].child
            sealer = aead.sealer(child.suite.encr, child.suite.integ, child.outbound, _entropy)
            align, sequence = alignment(sealer.block), 0
            for packet in inner_packets(child, self._draw):
                plain = packet + trailer(len(packet), align, NEXT_HEADER_IPV4)
                for mutant in self._mutants(plain):
                    sequence += 1
                    whole = mutant + bytes(-len(mutant) % align)
                    receiver.take(sealed(child, sealer, sequence, whole))
                    assert receiver.window[0] == sequence or not whole
            self._tally.delivered += receiver.delivered
            self._tally.dropped.update(side.node.log.dropped)

    def _throw(self, receiver: Receiver, snapshot: Snapshot, octets: bytes) -> None:
        window = receiver.window
        for number, mutant in enumerate(self._mutants(octets)):
            receiver.take(mutant)
            assert receiver.window == window
            assert number % LOOK or not snapshot.changes()
        assert not snapshot.changes()

    def _mutants(self, octets: bytes) -> Iterator[bytes]:
        for name in self._strategies:
            for mutant in STRATEGIES[name].some(octets, self._share, self._draw):
                self._tally.mutants[name] += 1
                yield mutant


def sealed(child: ChildSa, sealer: Sealer, sequence: int, plain: bytes) -> bytes:
    """An ESP packet of the end that `child` belongs to, with any plaintext of whole blocks."""
    header = child.outbound_spi + (sequence & 0xFFFFFFFF).to_bytes(4)
    aad = child.outbound_spi + sequence.to_bytes(8) if child.suite.esn == EsnId.ESN else header
    return header + sealer.seal(aad, plain)


def _sent(side: Side, packet: bytes) -> bytes:
    """The ESP packet that the data path makes of an inner one."""
    side.plane.packet(packet)
    ((octets, _),) = side.wire.sent
    side.wire.sent.clear()
    return octets


def run(
    scene: str, directory: Path, goal: int, share: int, seed: int, suites: Sequence[str] = SUITES
) -> Tally:
    """Tunnel after tunnel, of each suite in turn, until each strategy had its goal. `scene` is `forged` or
    `authentic`."""
    tally, draw, number = Tally(), random.Random(seed), 0
    while min(tally.mutants[name] for name in STRATEGIES) < goal or number % len(suites):
        barrage = Barrage(tally, draw, share, STRATEGIES)
        _play(getattr(barrage, scene), directory, suites[number % len(suites)], tally, draw)
        number += 1
    return tally


def flip_bits(directory: Path, suite: str, goal: int, share: int, seed: int) -> Tally:
    """Packets of one suite with one or two bits inverted, until there were that many."""
    tally, draw = Tally(), random.Random(seed)
    while tally.mutants.total() < goal:
        barrage = Barrage(tally, draw, share, ("1 bit", "2 bits"))
        _play(barrage.forged, directory, suite, tally, draw)
    return tally


def _play(
    scene: Callable[[Stage], None], directory: Path, suite: str, tally: Tally, draw: random.Random
) -> None:
    variables = {
        "NODE_IKE__PROPOSALS": "[aes256gcm16-prfsha256-x25519]",
        "NODE_CHILD__PROPOSALS": f"[{suite}]",
    }
    both = {"initiator": variables, "responder": variables}
    tally.cost.merge(play(directory, scene, draw.randrange(2**32), both))
