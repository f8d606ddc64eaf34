"""When the judge asks nodes for their SAs: also when nothing was told, as SAs may end without a word."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from lab.backends.base import Lab
from lab.events import NodeEvent, Told
from lab.judge import Judge
from lab.plan import Plan
from lab.scenario import Expectation, Pattern, SaCount, Wanted

#: What must happen, and how many SAs are left.
WANTED = {"a": Expectation((Wanted(Pattern("child_sa_rekeyed")),), sas=SaCount(1, 1))}
#: No plan is looked at where no steps are taken.
NO_PLAN = cast(Plan, None)


class Silent:
    """Tells one event, and nothing more: it waits as long as it may."""

    def __init__(self, *, ended: bool = False) -> None:
        self._left: deque[Told] = deque([NodeEvent(datetime.now(UTC), "a", "child_sa_rekeyed", {})])
        self.ended = ended

    def next(self, timeout: float | None) -> Told | None:
        if self._left:
            return self._left.popleft()
        if not self.ended:
            time.sleep(min(timeout or 0.0, 0.05))
        return None

    def reopen(self, node: str) -> None:
        raise AssertionError(node)

    def close(self) -> None:
        return


class Answers:
    """A lab whose node has another number of Child SAs each time it is asked."""

    def __init__(self, *children: int) -> None:
        self._children = deque(children)
        self.asked = 0

    def control(self, node: str, command: Sequence[str], timeout: float) -> Any:
        self.asked += 1
        count = self._children.popleft() if len(self._children) > 1 else self._children[0]
        sa = {"phase": "ESTABLISHED", "children": [{}]}
        return {"ike_sas": [sa], "child_sas": [{"outbound_spi": "d0000001"}] * count}


def test_what_ends_without_a_word_is_noticed() -> None:
    answers = Answers(2, 2, 1)
    began = time.monotonic()
    verdict = Judge(cast(Lab, answers), Silent(), WANTED, lambda told: None).run(
        NO_PLAN, began + 60.0, steps=False
    )
    assert verdict.passed
    assert not verdict.late
    assert answers.asked == 3


def test_time_is_up_where_it_never_ends() -> None:
    began = time.monotonic()
    verdict = Judge(cast(Lab, Answers(2)), Silent(), WANTED, lambda told: None).run(
        NO_PLAN, began + 0.2, steps=False
    )
    assert (verdict.passed, verdict.late) == (False, True)


def test_nobody_is_waited_for_who_has_ended() -> None:
    began = time.monotonic()
    verdict = Judge(cast(Lab, Answers(2)), Silent(ended=True), WANTED, lambda told: None).run(
        NO_PLAN, began + 60.0, steps=False
    )
    assert (verdict.passed, verdict.late) == (False, True)
    assert verdict.seconds < 10.0
