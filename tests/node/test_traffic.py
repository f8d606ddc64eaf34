"""SAs are replaced again and again while packets go on: none is lost, none comes twice.

`make test-long` does it two hundred times.
"""

import asyncio
from pathlib import Path

import pytest

from node.model.events import EventName as E
from tests.node.loopback import Ends, agree
from tests.node.traffic import Traffic, measure

#: Packets a second, both directions together.
RATE = 2_000


@pytest.mark.parametrize("profile", ["asn1", "rfc7296"])
def test_nothing_is_lost_or_doubled(credentials: Path, profile: str) -> None:
    async def run() -> None:
        async with Ends(credentials, profile) as ends:
            streams = await measure(ends, RATE, children=20, ikes=4, seconds=3.0)
            for stream in streams:
                assert (stream.missing(), stream.doubled()) == (0, 0)
                assert stream.sent > RATE
            for node in ends.both:
                assert node.log.emitted[E.CHILD_SA_REKEYED] >= 20
                assert node.log.emitted[E.IKE_SA_REKEYED] >= 4
                assert not node.log.dropped

    asyncio.run(run())


def test_a_loss_is_noticed(credentials: Path) -> None:
    """The measure can fail: a Child SA that is deleted takes packets with it."""

    async def run() -> None:
        async with Ends(credentials, "asn1") as ends:
            ends.initiator.initiate()
            await ends.until(lambda: agree(ends, 1))
            async with Traffic(ends, RATE) as traffic:
                there, back = traffic.streams
                await ends.until(lambda: there.sent > 50 and back.sent > 50)
                (sa,) = ends.initiator.endpoint.sas()
                ends.initiator.delete_child(bytes.fromhex(sa.children[0].inbound_spi))
                await ends.until(lambda: bool(ends.initiator.log.dropped))
            assert not traffic.whole()
            assert there.missing() > 0

    asyncio.run(run())
