"""An initiator that changes its address while both ends are told other things (`travels.py`)."""

import pytest

from node.ike.tasks import mobike
from tests.engine.explore import Broken, Limits
from tests.engine.travels import wander

#: Random schedules of each seed.
COUNT = 60


@pytest.mark.parametrize("seed", range(4))
def test_random_schedules(codec: str, seed: int) -> None:
    assert wander(codec, seed, COUNT, Limits(2, 2, 2)) > COUNT // 5


def test_what_is_broken_is_found(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that does not tell again where it is when its IKE SA is replaced gets lost."""
    monkeypatch.setattr(mobike, "tell_again", lambda sa, now: None)
    with pytest.raises(Broken, match="initiator: another address"):
        wander(codec, 2, COUNT, Limits(2, 2, 2))
