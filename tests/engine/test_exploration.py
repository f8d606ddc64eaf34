"""Two endpoints that are told things at once, over a wire that loses, doubles and reorders (`explore.py`)."""

import pytest

from tests.engine.explore import COMMANDS, WIDE, Broken, Limits, explore, judge, play, wander

#: Commands that meet, and how deep every schedule of them is tried here; `make test-long` goes further.
MEETINGS = {
    "rekeys of the Child SA": (["rekey Child SA"], 5),
    "rekeys of the IKE SA": (["rekey IKE SA"], 4),
    "rekey and delete of the Child SA": (["rekey Child SA", "delete Child SA"], 3),
    "rekey and delete of the IKE SA": (["rekey IKE SA", "delete IKE SA"], 3),
    "both kinds of rekey": (["rekey Child SA", "rekey IKE SA"], 3),
    "reauthentication and rekey of the Child SA": (["reauthenticate IKE SA", "rekey Child SA"], 3),
    "reauthentication and rekey of the IKE SA": (["reauthenticate IKE SA", "rekey IKE SA"], 3),
    "reauthentication and delete of the Child SA": (["reauthenticate IKE SA", "delete Child SA"], 3),
    "reauthentication and delete of the IKE SA": (["reauthenticate IKE SA", "delete IKE SA"], 3),
}
#: Random schedules of each seed.
COUNT = 60


@pytest.mark.parametrize("name", MEETINGS)
def test_every_schedule(codec: str, name: str) -> None:
    allowed, depth = MEETINGS[name]
    found = explore(codec, depth, Limits(), allowed)
    assert len(found.states) > 20


@pytest.mark.parametrize("seed", range(4))
def test_random_schedules(codec: str, seed: int) -> None:
    assert wander(codec, seed, COUNT, WIDE).schedules == COUNT


def test_a_schedule_does_the_same_again(codec: str) -> None:
    choices = [3, 0, 7, 1, 12, 5, 0, 2]
    diagrams = [play(codec, choices, WIDE).diagram for _ in range(2)]
    assert diagrams[0]
    assert diagrams[0] == diagrams[1]


def test_what_is_broken_is_found_and_drawn(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that forgets to delete what it has replaced does not get through."""
    monkeypatch.setattr("node.ike.tasks.create_child.delete_child", lambda sa, spi, now: None)
    with pytest.raises(Broken) as found:
        judge(codec, [0], Limits(), list(COMMANDS)[:1])
    text = str(found.value)
    assert "initiator: rekey Child SA" in text
    assert f"python -m tests.engine.explore {codec} 0" in text
