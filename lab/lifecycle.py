"""Bringing a lab up, following it, and taking it down: the same for every backend and every command."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import evidence, judge, story
from lab.backends.base import Backend, Certificate, Lab, LabInfo, Removed
from lab.checks import Record
from lab.console import Console
from lab.doctor.examine import head
from lab.errors import NoSuchLab
from lab.events import NodeEvent, NodeExit, Told
from lab.judge import Judge, Verdict
from lab.plan import Plan
from lab.render import NodeColours, Weight, log_line, weight

#: With more nodes than this only milestones and trouble are shown while a lab comes up.
FEW_NODES = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """A lab that was brought up and followed."""

    plan: Plan
    info: LabInfo
    certificates: tuple[Certificate, ...]
    records: Mapping[str, Record]
    statuses: Mapping[str, Any]
    verdict: Verdict
    seconds: float


@dataclass(frozen=True, slots=True)
class Runner:
    """Does things to labs of one backend and tells the console."""

    backend: Backend
    console: Console

    def tell(self, topic: str, text: str) -> None:
        """A line of progress under a topic."""
        self.console.line(story.topic(topic, text, self.console.style))

    def existing(self, name: str) -> LabInfo | None:
        """The lab of that name, if there is one."""
        try:
            return self.backend.lab(name).info()
        except NoSuchLab:
            return None

    def bring_up(self, plan: Plan, *, whole: bool) -> Outcome:
        """Make the lab, start it and follow it until the scenario holds. `whole`: take its steps and judge
        everything, else only wait until it is up. The lab stays."""
        began = time.monotonic()
        self.tell("env", self.backend.check())
        self.backend.prepare(self.tell)
        plan = self.backend.completed(plan)
        certificates = self.backend.create(plan, self.tell)
        self.tell("ca", story.made(certificates))
        # The scenario's time is that of its nodes: building an image or an RSA key must not use it up.
        deadline = time.monotonic() + plan.scenario.timeout
        self.backend.start(plan.lab)
        lab = self.backend.lab(plan.lab)
        names = plan.names
        follower = lab.follow(names, live=True)
        try:
            expect = judge.expectations(plan) if whole else judge.until_up(plan)
            referee = Judge(lab, follower, expect, self._shower(names))
            verdict = referee.run(plan, deadline, steps=whole)
        finally:
            follower.close()
        info = lab.info()
        seconds = time.monotonic() - began
        return Outcome(plan, info, certificates, referee.records, referee.statuses, verdict, seconds)

    def _shower(self, names: Sequence[str]) -> "_Shower":
        return _Shower(self.console, NodeColours(names), len(names) <= FEW_NODES)

    def report_failure(self, outcome: Outcome, lab: Lab) -> None:
        """The state of the machine, every check that failed, and what each node saw."""
        style = self.console.style
        for line in head(self.backend.name, style) if self.console.verbosity >= 0 else ():
            self.console.line(line)
        failed = {check.node for check in outcome.verdict.checks if not check.passed}
        if outcome.verdict.broken:
            # The other nodes were cut short: what they had not done yet says nothing.
            failed = {outcome.verdict.broken[0]}
            self.console.line(f"  {' '.join(outcome.verdict.broken)}: nothing after that was waited for")
        for check in outcome.verdict.checks:
            if not check.passed and check.node in failed:
                self.console.line(story.check_line(check, style))
        if outcome.verdict.late:
            self.console.line(f"  time was up after {outcome.plan.scenario.timeout:g} s")
        shown = [name for name in outcome.records if name in failed or len(outcome.records) <= FEW_NODES]
        for name in shown[:FEW_NODES]:
            record = outcome.records[name]
            prose = lab.prose(name, story.SHOWN_PROSE) if record.exit_code else ()
            for line in story.saw(record, prose, style):
                self.console.line(line)

    def collect(self, outcome: Outcome) -> Path:
        """Begin the run's evidence with what was captured, and its keys; its directory."""
        directory = evidence.begin(outcome.plan.lab, outcome.plan.scenario.name)
        self.backend.lab(outcome.plan.lab).collect(directory)
        if outcome.plan.keylog:
            # Only this needs the decoder, which takes a while to import.
            from lab.unlock import unlock

            unlock(directory)
        return directory

    def take_down(self, name: str, *, keep_pki: bool = False) -> Removed:
        """Stop and remove everything of this lab."""
        return self.backend.remove(name, keep_pki=keep_pki)


@dataclass(frozen=True, slots=True)
class _Shower:
    """Shows what nodes tell while a lab comes up."""

    console: Console
    colours: NodeColours
    everything: bool

    def __call__(self, told: Told) -> None:
        least = Weight.STEP if self.everything else Weight.MILESTONE
        if isinstance(told, NodeEvent | NodeExit) and weight(told).value >= least.value:
            self.console.line("  " + log_line(told, self.colours, self.console.style))
        else:
            self.console.detail("  " + log_line(told, self.colours, self.console.style))
