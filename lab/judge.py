"""Following a running lab: taking the scenario's steps, and saying when everything that must happen has
happened.

1. The judge waits for events, up to a deadline. It asks for SAs only when the events are complete, and again
   when something new has happened, and once a second: what was replaced ends without a word.
2. What can no longer be put right ends the waiting at once.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lab import checks, wires
from lab.backends.base import Follower, Lab
from lab.checks import Check, Record, SaView
from lab.errors import CheckFailed
from lab.events import Told
from lab.plan import Plan
from lab.scenario import (
    ControlStep,
    Expectation,
    FaultStep,
    KillStep,
    ReaddressStep,
    StartStep,
    Step,
    StopStep,
    WaitStep,
    Wanted,
)

#: Seconds for one question to a node: starting Python in a container of a busy machine takes its time.
CONTROL_TIMEOUT = 20.0
#: Questions to nodes at once.
_WORKERS = 8
#: Seconds until nodes are asked again for their SAs.
_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended. `broken` is the node and the reason that ended the waiting early; `late`: time was up."""

    checks: tuple[Check, ...]
    broken: tuple[str, str] | None
    late: bool
    seconds: float

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks) and not self.broken


def expectations(plan: Plan) -> dict[str, Expectation]:
    """What is expected of each node."""
    scenario = plan.scenario
    found = {name: scenario.expect[group.name] for group in scenario.groups for name in group.members()}
    if plan.wire is not None:
        found[plan.wire.name] = scenario.expect.get(plan.wire.name, Expectation())
    return found


def until_up(plan: Plan) -> dict[str, Expectation]:
    """What `up` waits for: the events only; in a scenario with steps the waits before the first other
    step.
    """
    if not plan.scenario.steps:
        return {name: replace(expect, sas=None) for name, expect in expectations(plan).items()}
    waits: dict[str, list[Wanted]] = {name: [] for name in plan.names}
    for step in plan.scenario.steps:
        if not isinstance(step, WaitStep):
            break
        for member in plan.members(step.group):
            waits[member].append(Wanted(step.pattern, step.count))
    return {name: Expectation(tuple(wanted)) for name, wanted in waits.items()}


class Judge:
    """Follows one lab. `tell` gets everything that the nodes tell, as it arrives."""

    def __init__(
        self, lab: Lab, follower: Follower, expect: Mapping[str, Expectation], tell: Callable[[Told], None]
    ) -> None:
        self._lab, self._follower, self._expect, self._tell = lab, follower, expect, tell
        self.records = {name: Record(name) for name in expect}
        self.statuses: dict[str, Any] = {}
        self._began = time.monotonic()
        #: Nodes that a step has taken down: that they ended is no surprise until they are started again.
        self._down: set[str] = set()
        self._refused: list[Check] = []

    def run(self, plan: Plan, deadline: float, *, steps: bool) -> Verdict:
        """Follow until everything holds, until it cannot, or until `deadline` (monotonic seconds)."""
        late = False
        if steps:
            for step in plan.scenario.steps:
                late = late or not self._take(step, plan, deadline)
        while not late and not self._settled():
            late = not self._look_on(deadline)
        if late:
            self._ask()
            self._drain()
        return self._verdict(late)

    def _take(self, step: Step, plan: Plan, deadline: float) -> bool:
        """Take one step; False where time is up."""
        match step:
            case WaitStep():
                return self._wait(step, plan.members(step.group), deadline)
            case StopStep():
                _at_once(self._lab.stop, plan.members(step.group))
            case KillStep():
                return self._kill(plan.members(step.group), deadline)
            case StartStep():
                self._start(plan.members(step.group))
            case ReaddressStep():
                self._change("readdress", self._lab.readdress, plan.members(step.group))
            case ControlStep():
                words = f"ctl {' '.join(step.command)}"
                ask = partial(self._lab.control, command=step.command, timeout=CONTROL_TIMEOUT)
                self._change(words, ask, plan.members(step.group))
            case FaultStep() if plan.wire is not None:
                wires.change(self._lab, plan.wire.name, step.faults)
        return True

    def _wait(self, step: WaitStep, members: Sequence[str], deadline: float) -> bool:
        while not all(self._told(member, step) for member in members):
            if self._broken():
                return True
            if not self._advance(deadline):
                return False
        return True

    def _kill(self, members: Sequence[str], deadline: float) -> bool:
        self._down.update(members)
        _at_once(self._lab.kill, members)
        while any(self.records[member].exit_code is None for member in members):
            if not self._advance(deadline):
                return False
        return True

    def _start(self, members: Sequence[str]) -> None:
        for member in members:
            self._lab.start(member)
            self.records[member].exit_code = None
            self._follower.reopen(member)
            self._down.discard(member)

    def _change(self, words: str, act: Callable[[str], object], members: Sequence[str]) -> None:
        """Do something to each node; what cannot be done is a check that failed."""
        for member in members:
            try:
                act(member)
            except CheckFailed as error:
                self._refused.append(Check(member, words, False, str(error)))

    def _told(self, member: str, step: WaitStep) -> bool:
        events = self.records[member].events
        return sum(checks.matches(step.pattern, event) for event in events) >= step.count

    def _advance(self, deadline: float) -> bool:
        """Take in the next thing told; False where time is up or nothing can come any more."""
        told = self._follower.next(max(0.0, deadline - time.monotonic()))
        if told is None:
            return False
        self._note(told)
        return True

    def _look_on(self, deadline: float) -> bool:
        """Take in the next thing told, or wait a moment; False as above."""
        if self._advance(min(deadline, time.monotonic() + _PAUSE)):
            return True
        return time.monotonic() < deadline and not self._follower.ended

    def _note(self, told: Told) -> None:
        self.records[told.node].add(told)
        self._tell(told)

    def _drain(self) -> None:
        while (told := self._follower.next(0.0)) is not None:
            self._note(told)

    def _broken(self) -> tuple[str, str] | None:
        for name, expect in self._expect.items():
            if name not in self._down and (reason := checks.broken(expect, self.records[name])):
                return name, reason
        return None

    def _settled(self) -> bool:
        """Whether nothing is left to wait for."""
        if self._broken():
            return True
        if any(checks.waiting_for(expect, self.records[name]) for name, expect in self._expect.items()):
            return False
        self._ask()
        # What the nodes told before they answered counts too.
        self._drain()
        return self._broken() is not None or all(check.passed for check in self._checks())

    def _ask(self) -> None:
        asked = [
            name
            for name, expect in self._expect.items()
            if expect.sas and self.records[name].exit_code is None
        ]
        for name, status in zip(asked, _at_once(self._status, asked), strict=True):
            silent = isinstance(status, CheckFailed)
            self.statuses[name] = None if silent else status
            self.records[name].sas = None if silent else sa_view(status)
            self.records[name].silence = str(status) if silent else ""

    def _status(self, node: str) -> Any:
        try:
            return self._lab.control(node, ["status"], CONTROL_TIMEOUT)
        except CheckFailed as error:
            # The node may be on its way out; the check then says why it did not tell.
            return error

    def _checks(self) -> tuple[Check, ...]:
        judged = [
            check
            for name, expect in self._expect.items()
            for check in checks.judge(expect, self.records[name])
        ]
        return (*judged, *self._refused)

    def _verdict(self, late: bool) -> Verdict:
        return Verdict(self._checks(), self._broken(), late, time.monotonic() - self._began)


def _at_once(action: Callable[[str], Any], names: Sequence[str]) -> list[Any]:
    if not names:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(names))) as pool:
        return list(pool.map(action, names))


def sa_view(status: Mapping[str, Any]) -> SaView:
    """Numbers of SAs in what `ctl status` says. A Child SA that only one of engine and data path knows
    counts as well, but not what the data path only receives on: for seconds what was replaced is left there.
    """
    sas = status["ike_sas"]
    up = [sa for sa in sas if sa["phase"] == "ESTABLISHED"]
    sending = [child for child in status["child_sas"] if child["outbound_spi"]]
    children = max(sum(len(sa["children"]) for sa in sas), len(sending))
    return SaView(len(up), children, len(sas) - len(up))
