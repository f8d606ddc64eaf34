"""Endpoints that are told things at once, over a bad wire: more schedules than `make test` has time for."""

import pytest

from tests.engine import travels
from tests.engine.explore import WIDE, Limits, explore, wander
from tests.engine.harness import CODECS
from tests.engine.test_exploration import MEETINGS
from tests.long.conftest import Figure

pytestmark = pytest.mark.long

#: Steps beyond those of `make test`, for exhaustive ones; and schedules of each seed, for random ones.
DEEPER, EACH = 4, 500


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_random_schedules(codec: str, goal: int, figure: Figure) -> None:
    """The goal is that of both codecs together."""
    schedules, states = 0, set[object]()
    for seed in range(1_000, 1_000 + -(-goal // (2 * EACH))):
        found = wander(codec, seed, EACH, WIDE)
        schedules += found.schedules
        states |= {hash(state) for state in found.states}
    figure("schedules, distinct states they reached", f"{schedules} {len(states)}")
    assert schedules >= goal // 2


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_random_travels(codec: str, goal: int, figure: Figure) -> None:
    """The initiator changes its address in between (MOBIKE); the goal is that of both codecs together."""
    rounds = -(-goal // (2 * EACH))
    travelled = sum(travels.wander(codec, 1_000 + seed, EACH, Limits(2, 2, 2)) for seed in range(rounds))
    figure("schedules in which the initiator travelled", str(travelled))
    assert travelled > rounds * EACH // 5


@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize("name", MEETINGS)
def test_every_schedule(codec: str, name: str, figure: Figure) -> None:
    allowed, depth = MEETINGS[name]
    found = explore(codec, depth + DEEPER, Limits(), allowed)
    figure(f"{depth + DEEPER} steps: schedules, distinct states", f"{found.schedules} {len(found.states)}")
    assert found.schedules == len(found.states)
