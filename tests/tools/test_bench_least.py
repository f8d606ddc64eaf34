"""bench/least: its handshakes are handshakes, and cost more than the primitives."""

import asyncio

import pytest

from bench.least import HANDSHAKES, KEYS, Peer, handshakes, measure
from bench.pair import credentials
from bench.primitives import PSK


@pytest.mark.parametrize("key", [PSK, "rsa2048"])
def test_every_handshake_has_five_steps(key: str) -> None:
    told: list[None] = []
    shown = None if key == PSK else credentials(key)
    assert asyncio.run(handshakes(20, shown, lambda: told.append(None))) > 0
    assert len(told) == 5 * 20


def test_a_wrong_proof_is_none() -> None:
    peer = Peer("initiator", None, lambda: None)
    try:
        peer._judge(b"octets", peer._prove(b"octets"))
        with pytest.raises(ValueError, match="wrong AUTH"):
            peer._judge(b"octets", peer._prove(b"others"))
    finally:
        peer.socket.close()


def test_it_costs_more_than_the_primitives() -> None:
    assert PSK in KEYS
    found = measure(PSK, rounds=3, count=HANDSHAKES)
    assert 1 < found.ratio < found.ratio_with_events
