"""Two hundred rekeys of the Child SA and twenty of the IKE SA under steady traffic through two nodes."""

import asyncio
from pathlib import Path

import pytest

from node.model.events import EventName as E
from tests.long.conftest import Figure
from tests.node.loopback import Ends
from tests.node.test_traffic import RATE
from tests.node.traffic import measure

pytestmark = pytest.mark.long

CHILDREN, IKES, SECONDS = 200, 20, 60.0


@pytest.mark.parametrize("profile", ["asn1", "rfc7296"])
def test_nothing_is_lost_or_doubled(directory: Path, profile: str, figure: Figure) -> None:
    async def run() -> None:
        async with Ends(directory, profile) as ends:
            streams = await measure(ends, RATE, CHILDREN, IKES, SECONDS)
            told = [node.log.emitted for node in ends.both]
            for name in (E.CHILD_SA_REKEYED, E.IKE_SA_REKEYED, E.REKEY_COLLISION):
                figure(f"{name}, each end", [emitted[name] for emitted in told])
            figure("packets each way", [stream.sent for stream in streams])
            figure("lost, doubled", [(stream.missing(), stream.doubled()) for stream in streams])
            assert [(stream.missing(), stream.doubled()) for stream in streams] == [(0, 0)] * 2
            assert sum(stream.sent for stream in streams) > 0.9 * RATE * SECONDS
            assert not any(node.log.dropped for node in ends.both)
            assert all(emitted[E.CHILD_SA_REKEYED] >= CHILDREN for emitted in told)
            assert all(emitted[E.IKE_SA_REKEYED] >= IKES for emitted in told)

    asyncio.run(run())
