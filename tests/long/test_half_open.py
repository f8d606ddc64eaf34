"""What one half-open IKE SA takes (RFC 8019 3 expects some thousand octets), and that nothing of it stays."""

import gc
import tracemalloc
from dataclasses import replace

import pytest

from node.ike.outputs import Transmit
from node.ike.settings import Limits, Settings
from tests.engine.harness import RESPONDER, Pair, variant
from tests.long.conftest import Figure
from tests.property.spoofer import NONCE, SPI, template

pytestmark = pytest.mark.long

COUNT = 1_000
#: Octets: what the project promises, and what may be left when its time is over: tables keep their room.
MOST, LEFT = 4 * 1024, 512


def traced() -> int:
    """Octets of Python objects."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def open_many(pair: Pair, octets: bytes, first: int) -> None:
    """That many half-open IKE SAs at the responder, each from an address of its own."""
    for number in range(first, first + COUNT):
        path = replace(
            pair.responder.path_to(pair.initiator), peer_host=f"198.51.{number // 256}.{number % 256}"
        )
        changed = octets.replace(SPI, b"\x11" + number.to_bytes(7)).replace(NONCE, number.to_bytes(32))
        pair.responder.endpoint.handle_datagram(changed, path, pair.now)
        sent = 0
        while (output := pair.responder.endpoint.poll()) is not None:
            sent += isinstance(output, Transmit)
        assert sent == 1


def test_memory_of_a_half_open_ike_sa(figure: Figure) -> None:
    def wide(settings: Settings) -> Settings:
        limits = Limits(half_open=2 * COUNT, cookie_threshold=2 * COUNT)
        return replace(settings, limits=limits)

    pair, octets = Pair("asn1", responder=variant(RESPONDER, change=wide)), template()
    open_many(pair, octets, 0)
    pair.pass_time(100)
    tracemalloc.start()
    try:
        before = traced()
        open_many(pair, octets, COUNT)
        held = (traced() - before) / COUNT
        assert pair.responder.endpoint.half_open == COUNT
        pair.pass_time(100)
        pair.responder.outputs.clear()
        left = (traced() - before) / COUNT
        assert pair.responder.endpoint.half_open == 0
    finally:
        tracemalloc.stop()
    figure("octets held, and left when it is over", f"{held:.0f} {left:.0f}")
    assert held <= MOST
    assert left <= LEFT
