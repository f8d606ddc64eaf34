"""Judging a lab that is up by what its nodes have told so far: nothing is waited for, no step is taken."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lab import judge
from lab.backends.base import Lab
from lab.errors import CheckFailed
from lab.events import Told
from lab.judge import Judge
from lab.lifecycle import Outcome
from lab.plan import Plan
from lab.text import listing


@dataclass(frozen=True, slots=True)
class _Past:
    """A follower that hands out what was told already, and then ends."""

    told: deque[Told]

    def next(self, timeout: float | None) -> Told | None:
        return self.told.popleft() if self.told else None

    @property
    def ended(self) -> bool:
        return not self.told

    def reopen(self, node: str) -> None:
        raise CheckFailed(f"{node} was not started again: no step is taken here")

    def close(self) -> None:
        return


def told(lab: Lab, nodes: Sequence[str]) -> list[Told]:
    """Everything that these nodes have told, each node in its order."""
    follower = lab.follow(nodes, live=False)
    found: list[Told] = []
    try:
        while (item := follower.next(None)) is not None:
            found.append(item)
    finally:
        follower.close()
    return found


def outcome(lab: Lab, plan: Plan) -> Outcome:
    """The verdict on the lab as it is now. Raises CheckFailed where a node of the plan is not there."""
    began = time.monotonic()
    expect = judge.expectations(plan)
    info = lab.info()
    if missing := expect.keys() - {node.name for node in info.nodes}:
        raise CheckFailed(f"lab {info.name!r} has no {listing(missing)}: make it again with `ipseclab up`")
    referee = Judge(lab, _Past(deque(told(lab, list(expect)))), expect, lambda _: None)
    verdict = referee.run(plan, began, steps=False)
    # Nobody was waited for, so nobody was cut short: every check stands as it is.
    verdict = replace(verdict, broken=None, late=False)
    seconds = time.monotonic() - began
    return Outcome(plan, info, (), referee.records, referee.statuses, verdict, seconds)
