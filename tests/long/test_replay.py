"""Ten times the goal of ESP packets, out of order and some of them twice: each is delivered once."""

import dataclasses
import random

import pytest

from node.errors import DropReason
from node.esp.tunnel import Incoming, Outgoing
from tests.long.conftest import Figure
from tests.unit.esp.support import GCM, LOCAL, PEER, THEIRS, child, hello, pair

pytestmark = pytest.mark.long

WINDOW = 64
#: Places by which a packet may be late, and one in so many comes again.
LATE, AGAIN = 60, 10
#: Packets that are under way at one time.
FLIGHT = 10_000


def test_reordered_and_duplicated(goal: int, figure: Figure) -> None:
    ours, peers = pair(dataclasses.replace(child(GCM), replay_window=WINDOW))
    draw, count, delivered, refused = random.Random(19), 10 * goal, 0, 0
    for first in range(0, count, FLIGHT):
        numbers = range(first, min(count, first + FLIGHT))
        sent = {n: ours.tunnel.encapsulate(hello(LOCAL, PEER, n.to_bytes(4))) for n in numbers}
        arriving = sorted(numbers, key=lambda n: n + draw.random() * LATE)
        got: list[int] = []
        for place, number in enumerate(arriving):
            copies = [number] if draw.random() >= 1 / AGAIN else [number, arriving[max(0, place - 30)]]
            for again in copies:
                packet = sent[again]
                assert isinstance(packet, Outgoing)
                result = peers.tunnel.decapsulate(packet.datagram)
                if isinstance(result, Incoming):
                    got.append(int.from_bytes(result.packet[-4:]))
                else:
                    assert result.reason in (DropReason.ESP_REPLAYED, DropReason.ESP_STALE)
                    refused += 1
        assert sorted(got) == list(numbers)
        delivered += len(got)
    figure("delivered once, refused as seen before", f"{delivered} {refused}")
    assert delivered == count


def test_forged_high_numbers_move_nothing(goal: int, figure: Figure) -> None:
    one = child(GCM)
    ours, peers = pair(one)
    packet = ours.tunnel.encapsulate(hello(LOCAL, PEER))
    assert isinstance(packet, Outgoing)
    draw, window = random.Random(20), peers.sad.by_spi[int.from_bytes(THEIRS)].window
    for _ in range(goal):
        forged = packet.datagram[:4] + draw.randbytes(4) + packet.datagram[8:]
        if forged != packet.datagram:
            assert not isinstance(peers.tunnel.decapsulate(forged), Incoming)
        assert window.top == 0
    assert isinstance(peers.tunnel.decapsulate(packet.datagram), Incoming)
    figure("forged", goal)
