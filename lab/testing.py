"""A lab in the hands of a test: what `lab.pytest_plugin` yields."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab import checks, hindsight, library, story
from lab import plan as planning
from lab.backends import choose
from lab.backends.base import Lab
from lab.backends.orders import clean_environment
from lab.checks import Record
from lab.console import Console, Style
from lab.doctor.examine import head
from lab.errors import CheckFailed, EnvironmentNotReady, LabError, NoSuchLab, UsageError
from lab.events import NodeEvent
from lab.judge import Verdict
from lab.labels import check_name, new_session
from lab.lifecycle import Runner
from lab.plan import Plan
from lab.render import EVENTS, sentence
from lab.scenario import Pattern
from lab.text import did_you_mean, listing

#: Keys of scenarios that do not name theirs: a test has no time for RSA of 4096 bits.
KEY_TYPE = "ecdsa-p256"
_PLAIN = Style(False)


@dataclass(slots=True, repr=False)
class IpsecLab:
    """A lab. `failed` is set where a test that used it failed."""

    runner: Runner
    whole: Plan
    timeout: float
    failed: bool = False
    _ended: bool = False

    @classmethod
    def plan(cls, scenario: str, backend: str, timeout: float | None) -> "IpsecLab":
        """A lab that is not up yet. Raises UsageError for a scenario that is not there or not in order."""
        found = library.load(scenario)
        if timeout is not None:
            found = replace(found, timeout=timeout)
        # Where pytest captures stderr, it shows this with what failed.
        console = Console(sys.stderr, _PLAIN)
        where = choose.for_new_lab(backend, None, console.warning, console.line)
        own = {"key_type", "root_key_type"} & found.credentials.keys()
        name = check_name(f"{found.name[:22]}-{new_session()[:8]}")
        whole = planning.make(name, found, None if own else KEY_TYPE)
        return cls(Runner(where, console), whole, found.timeout)

    @property
    def name(self) -> str:
        """Its name, as `ipseclab status -n` wants it."""
        return self.whole.lab

    @property
    def backend(self) -> str:
        """`docker`, `netns` or `process`."""
        return self.runner.backend.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of its nodes, responders first."""
        return tuple(node.name for node in self.whole.nodes)

    def __repr__(self) -> str:
        return f"<IpsecLab {self.name} ({self.backend})>"

    def check(self) -> None:
        """Raises EnvironmentNotReady where there can be no lab, so that none is to be taken down either."""
        try:
            self.runner.backend.check()
        except EnvironmentNotReady:
            self.runner.backend.close()
            raise

    def up(self) -> None:
        """Bring it up as `ipseclab up` does. Raises LabError where it does not come up."""
        __tracebackhide__ = True
        with self.runner.backend.lock(self.name):
            outcome = self.runner.bring_up(self.whole, whole=False)
        if not outcome.verdict.passed:
            why = story.verdict_line(self.whole.scenario.name, outcome.verdict, outcome.seconds, _PLAIN)
            raise CheckFailed(f"lab {self.name!r} did not come up as it should: {why}")

    def run(
        self, node: str, *command: str, timeout: float | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command at a node, with its output as text; 125 to 127 as docker. Raises TimeoutExpired."""
        words = ["exec", "-n", self.name, "-b", self.backend, self._known(node), "--", *command]
        return subprocess.run(
            [sys.executable, "-P", "-m", "lab", *words],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout or self.timeout,
            check=False,
        )

    def status(self, node: str) -> Mapping[str, Any]:
        """What the node says of its SAs, as `python -m node ctl status`. Raises CheckFailed."""
        found: Mapping[str, Any] = self._lab.control(self._known(node), ["status"], self.timeout)
        return found

    def events(self, node: str) -> list[NodeEvent]:
        """Everything that the node has told so far."""
        told = hindsight.told(self._lab, [self._known(node)])
        return [item for item in told if isinstance(item, NodeEvent)]

    def wait(
        self,
        node: str,
        event: str,
        timeout: float | None = None,
        *,
        where: Mapping[str, object] | None = None,
    ) -> NodeEvent:
        """The first event of that name and (as in scenarios) with these fields, also one told before. Raises
        CheckFailed where it is not told within `timeout` seconds, or cannot be any more.
        """
        __tracebackhide__ = True
        if event not in EVENTS:
            near = did_you_mean(event, EVENTS)
            raise UsageError(f"{event!r} is no event{near}: docs/events.md has them all")
        pattern, seconds = Pattern(event, where or {}), self.timeout if timeout is None else timeout
        deadline = time.monotonic() + seconds
        follower = self._lab.follow([self._known(node)], live=True)
        record = Record(node)
        try:
            while (told := follower.next(max(0.0, deadline - time.monotonic()))) is not None:
                record.add(told)
                if isinstance(told, NodeEvent) and checks.matches(pattern, told):
                    return told
            ended = follower.ended
        finally:
            follower.close()
        when = "before it ended" if ended else f"within {seconds:g} s"
        last = f": the last it told was {sentence(record.events[-1], _PLAIN)}" if record.events else ""
        raise CheckFailed(f"{node} did not tell {checks.describe(pattern)} {when}{last}")

    def judge(self) -> Verdict:
        """Every check of the scenario, as `ipseclab check` makes them: now, without its steps."""
        return hindsight.outcome(self._lab, self.whole).verdict

    def saw(self, *, kept: bool = False) -> str:
        """What each node saw, for a report; the machine first."""
        lines = head(self.backend, _PLAIN)
        try:
            for name in self.nodes:
                lines += self._node_saw(name)
        except LabError as error:
            lines.append(f"  {error}")
        if kept:
            where = f"-n {self.name} -b {self.backend}"
            lines.append(f"  kept: ipseclab status {where}, and in the end ipseclab down {where}")
        return "\n".join(lines)

    def _node_saw(self, node: str) -> Sequence[str]:
        record = Record(node)
        for told in hindsight.told(self._lab, [node]):
            record.add(told)
        return story.saw(record, self._lab.prose(node, story.SHOWN_PROSE), _PLAIN)

    def finish(self, *, keep_if_failed: bool = False) -> None:
        """Take it down, unless it is to be looked at."""
        if self._ended:
            return
        self._ended = True
        try:
            if not (self.failed and keep_if_failed):
                self.runner.take_down(self.name)
        finally:
            self.runner.backend.close()

    @property
    def _lab(self) -> Lab:
        return self.runner.backend.lab(self.name)

    def _known(self, node: str) -> str:
        __tracebackhide__ = True
        if node not in self.nodes:
            raise NoSuchLab(
                f"lab {self.name!r} has no node {node!r}{did_you_mean(node, self.nodes)}: "
                f"it has {listing(self.nodes)}"
            )
        return node


def _environment() -> dict[str, str]:
    """Where labs are, and nothing else of ours that would change what is done."""
    home = os.environ.get("IPSECLAB_HOME")
    return clean_environment() | ({"IPSECLAB_HOME": home} if home else {})
