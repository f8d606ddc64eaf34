"""A way on which ESP packets are reordered, doubled or harmed, and what the other end makes of them.

Every inner packet holds its number, so that whatever is delivered can be counted: never twice, none lost.
"""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from node.errors import DropReason
from node.esp.coalesce import Joined
from node.esp.tunnel import Incoming, Refused
from node.model.proposal import Suite
from tests.unit.esp.batches import BulkEnd, bulk_pair, datagrams, received, tcp
from tests.unit.esp.support import LOCAL, PEER, THEIRS, child, selectors

#: Packets that leave together, and the window that covers them and those held back from the round before.
ROUND, WINDOW = 32, 64
#: Octets of data in each inner packet, and of its headers.
DATA, HEADERS = 64, 40
#: One in so many is doubled, and one in so many is late by a round.
DOUBLED, LATE = 10, 8


@dataclass(slots=True)
class Tally:
    """What was delivered, by number, and what was refused, by reason."""

    sent: int = 0
    doubled: int = 0
    delivered: Counter[int] = field(default_factory=Counter)
    refused: Counter[DropReason] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Packets that were sent and not delivered."""
        return self.sent - len(self.delivered)

    @property
    def twice(self) -> int:
        """Packets that were delivered more than once."""
        return sum(times > 1 for times in self.delivered.values())

    def hear(self, results: list[Incoming | Refused | Joined | bytes]) -> None:
        """Count what the other end made of some datagrams."""
        for result in results:
            if isinstance(result, Refused):
                self.refused[result.reason] += 1
                continue
            assert not isinstance(result, Joined)
            packet = result.packet if isinstance(result, Incoming) else result
            for at in range(HEADERS, len(packet), DATA):
                number = int.from_bytes(packet[at : at + 8])
                assert packet[at : at + DATA] == _data(number)
                self.delivered[number] += 1


def disordered(suite: Suite, packets: int, seed: int) -> Tally:
    """So many packets in random order inside the window, one in ten doubled; some in batches."""
    chance, tally = random.Random(seed), Tally()
    ours, peers = _pair(suite)
    late: list[bytes] = []
    for first in range(0, packets, ROUND):
        sent = _round(ours, first, min(ROUND, packets - first))
        tally.sent += len(sent)
        held = [one for one in sent if chance.randrange(LATE) == 0]
        arriving = [one for one in sent if one not in held] + late
        late = held
        again = [one for one in arriving if chance.randrange(DOUBLED) == 0]
        tally.doubled += len(again)
        if chance.random() < 0.5:
            chance.shuffle(arriving)
        for one in again:
            arriving.insert(chance.randrange(len(arriving) + 1), one)
        for some in _cut(arriving, chance):
            tally.hear(received(peers, some))
    tally.hear(received(peers, late) if late else [])
    return tally


def flipped(suite: Suite, packets: int, seed: int) -> Tally:
    """So many packets with one bit flipped, alone and in batches; the window must not move.

    The last round is as it was sent: it must pass.
    """
    chance, tally = random.Random(seed), Tally()
    ours, peers = _pair(suite)
    received(peers, _round(ours, 0, ROUND))
    window = peers.end.sad.by_spi[int.from_bytes(THEIRS)].window
    sent, top = _round(ours, ROUND, ROUND), window.top
    for first in range(0, packets, ROUND):
        harmed = [_flip(one, chance) for one in sent[: packets - first]]
        for some in _cut(harmed, chance):
            tally.hear(received(peers, some))
        assert window.top == top
    assert not tally.delivered
    tally.sent = len(sent)
    tally.hear(received(peers, sent))
    return tally


def _pair(suite: Suite) -> tuple[BulkEnd, BulkEnd]:
    return bulk_pair(child(suite, window=WINDOW, local=selectors(LOCAL), peer=selectors(PEER)))


def _round(ours: BulkEnd, first: int, count: int) -> list[bytes]:
    data = b"".join(_data(number) for number in range(first, first + count))
    return datagrams(ours, tcp(data, sequence=first * DATA), DATA)


def _data(number: int) -> bytes:
    return number.to_bytes(8) * (DATA // 8)


def _flip(datagram: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(datagram) * 8)
    harmed = bytearray(datagram)
    harmed[at // 8] ^= 1 << at % 8
    return bytes(harmed)


def _cut(arriving: list[bytes], chance: random.Random) -> Iterator[list[bytes]]:
    """Datagrams as they may come: some alone, some together."""
    while arriving:
        count = chance.choice((1, 2, 8, ROUND))
        yield arriving[:count]
        arriving = arriving[count:]
