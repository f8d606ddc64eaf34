"""A million packets over a way that reorders and doubles them, and a million with a flipped bit.

make test-long ARGS="--goal 1000000 -k dataway"
"""

import pytest

from node.errors import DropReason
from node.model.proposal import Suite
from node.model.registry import EncrId
from tests.long.conftest import Figure
from tests.unit.esp.dataway import ROUND, disordered, flipped
from tests.unit.esp.support import SUITES, suite
from tests.unit.esp.test_tunnel import flip_many

pytestmark = pytest.mark.long

ALL = (*SUITES, suite(EncrId.ENCR_AES_GCM_16, 256, esn=True))


@pytest.mark.parametrize("chosen", ALL, ids=str)
def test_dataway_reorders_and_doubles(chosen: Suite, goal: int, figure: Figure) -> None:
    packets = -(-goal // len(ALL))
    tally = disordered(chosen, packets, seed=20_26)
    figure("sent, doubled, lost, delivered twice", (tally.sent, tally.doubled, tally.lost, tally.twice))
    assert (tally.sent, tally.lost, tally.twice) == (packets, 0, 0)
    assert tally.refused == {DropReason.ESP_REPLAYED: tally.doubled}


@pytest.mark.parametrize("chosen", ALL, ids=str)
def test_dataway_flips_bits(chosen: Suite, goal: int, figure: Figure) -> None:
    packets = -(-goal // len(ALL))
    tally = flipped(chosen, packets, seed=20_26)
    reasons = ", ".join(f"{reason.value} {times:,}" for reason, times in tally.refused.most_common())
    figure("refused", reasons)
    assert (len(tally.delivered), tally.lost, tally.twice) == (ROUND, 0, 0)
    assert tally.refused.total() == packets


def test_a_million_packets_with_flipped_bits() -> None:
    """AES-GCM alone, whatever the goal."""
    assert flip_many(1_000_000) == 0
