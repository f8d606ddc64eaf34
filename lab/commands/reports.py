"""What `run` leaves for CI systems: JUnit XML and, in a job of GitHub Actions, annotations and a summary."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import yamlschema
from lab import github, junit, library, places
from lab.commands.context import Context
from lab.errors import LabError
from lab.junit import BROKEN, Suite
from lab.lifecycle import Outcome
from lab.places import Source
from lab.scenario import Scenario


@dataclass(slots=True)
class Reports:
    """The reports of one command. `path` is that of --junit, None where it was not given."""

    context: Context
    path: Path | None
    suites: list[Suite] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def open(self) -> None:
        """Begin with an empty report: what cannot be written is better known before a long run."""
        if self.path is not None:
            junit.write(self.path, [])

    def begin(self) -> None:
        """A scenario begins."""
        self.began = datetime.now(UTC)

    def judged(self, asked: str, outcome: Outcome, evidence: str) -> None:
        """A scenario was judged."""
        scenario = outcome.plan.scenario
        source = self._source(asked, scenario)
        cases = junit.cases(outcome.verdict, list(outcome.records.values()), source)
        about = [("backend", outcome.info.backend), ("lab", outcome.plan.lab)]
        about += [("evidence", evidence)] if evidence else []
        about += [(BROKEN, " ".join(outcome.verdict.broken))] if outcome.verdict.broken else []
        self.add(Suite(scenario.name, source.file, self.began, outcome.seconds, cases, tuple(about)))

    def not_judged(self, asked: str, scenario: Scenario, problem: LabError) -> None:
        """A scenario could not be judged."""
        seconds = (datetime.now(UTC) - self.began).total_seconds()
        file = library.shown(library.find(asked))
        case = junit.error("lab", "can be judged", str(problem))
        self.add(Suite(scenario.name, file, self.began, seconds, (case,)))

    def close(self) -> None:
        """The command ends, whichever way."""
        if github.active(os.environ) and self.suites:
            github.append(self.suites)

    def _source(self, asked: str, scenario: Scenario) -> Source:
        path = library.find(asked)
        try:
            return places.locate(scenario, path, library.shown(path))
        except yamlschema.DocumentError:
            # Somebody is editing it: the verdict counts, only the lines are unknown.
            return Source(library.shown(path), {})

    def add(self, suite: Suite) -> None:
        """A scenario has ended, here or in another process."""
        self.suites.append(suite)
        if self.path is not None:
            junit.write(self.path, self.suites)
        if github.active(os.environ):
            for line in github.annotations(suite):
                print(line, file=self.context.console.stream, flush=True)
