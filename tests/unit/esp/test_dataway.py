"""Whatever the way does to packets: none is delivered twice, none is lost, none that was harmed is taken.

`tests/long/test_dataway.py` does the same with a million packets.
"""

import pytest

from node.errors import DropReason
from node.model.proposal import Suite
from node.model.registry import EncrId
from tests.unit.esp.dataway import ROUND, disordered, flipped
from tests.unit.esp.support import SUITES, suite

pytestmark = pytest.mark.usefixtures("loops")

ALL = (*SUITES, suite(EncrId.ENCR_AES_GCM_16, 256, esn=True))


@pytest.mark.parametrize("chosen", ALL, ids=str)
def test_disorder_loses_and_doubles_nothing(chosen: Suite) -> None:
    tally = disordered(chosen, 2_000, seed=7)
    assert (tally.sent, tally.lost, tally.twice) == (2_000, 0, 0)
    assert tally.doubled > 100
    assert tally.refused == {DropReason.ESP_REPLAYED: tally.doubled}


@pytest.mark.parametrize("chosen", ALL, ids=str)
def test_one_flipped_bit_is_one_packet_refused(chosen: Suite) -> None:
    tally = flipped(chosen, 1_000, seed=7)
    assert (len(tally.delivered), tally.lost, tally.twice) == (ROUND, 0, 0)
    assert tally.refused.total() == 1_000
