"""Our node and strongSwan: whoever initiates changes its address, and the other one follows (RFC 4555)."""

import pytest

from lab.interop import mobility, ours, runs
from lab.lifecycle import Runner
from tests.interop.test_live import runner

__all__ = ["runner"]

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_the_initiator_moves_and_comes_back(runner: Runner, role: str) -> None:
    result = runs.case(runner, f"moves-{role}", ours.subject(mobility.moves(role)))
    assert result.passed, (result.problems, result.saw)
