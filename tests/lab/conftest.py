"""The harness: labs for tests, a CLI that runs as a user runs it, and a fixture lab through the Docker
SDK.
"""

import atexit
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab.backends import choose
from lab.backends.netns import NetnsBackend
from lab.checks import Record
from lab.console import Console, Style
from lab.errors import EnvironmentNotReady
from lab.events import NodeEvent, Told
from lab.lifecycle import Outcome, Runner
from tests.lab.prefork import Prefork

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "lab" / "schemas" / "output.schema.json").read_text())


#: Seconds that any command may take, the image made and the machine busy with other tests included.
PATIENCE = 400


@cache
def why_no_namespaces() -> str:
    """Empty where the netns backend works, as root or as this user, else one line that says why not."""
    try:
        NetnsBackend(print).check()
    except EnvironmentNotReady as error:
        return str(error)
    return ""


_WHY = why_no_namespaces()
#: Every backend, for the tests that hold on all of them.
BACKENDS = [
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param("netns", marks=pytest.mark.skipif(bool(_WHY), reason=_WHY)),
    pytest.param("process"),
]


def unique(prefix: str = "t") -> str:
    """A lab name that nobody else has."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


@cache
def _prefork() -> Prefork:
    """What runs command lines for this process, from the first one on."""
    made = Prefork.begin()
    atexit.register(made.close)
    return made


def finish(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's directory to its end, with nothing to read."""
    return subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@dataclass(frozen=True, slots=True)
class Cli:
    """`ipseclab` with a home of its own and without our environment's settings."""

    home: Path

    def environment(self, **more: str) -> dict[str, str]:
        foreign = ("IPSECLAB_", "NODE_", "CA_", "NO_COLOR", "FORCE_COLOR")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        places = {"IPSECLAB_HOME": str(self.home), "IPSECLAB_RUNS": str(self.home / "runs")}
        return kept | places | {"PYTHONPATH": str(ROOT)} | more

    def __call__(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end; `more` are environment variables."""
        return _prefork().run(arguments, self.environment(**more), PATIENCE)

    def json(self, *arguments: str, rc: int = 0) -> dict[str, Any]:
        """The envelope that a verb writes, checked against the schema."""
        done = self(*arguments, "-o", "json")
        assert done.returncode == rc, done.stderr
        document = json.loads(done.stdout)
        jsonschema.Draft202012Validator(SCHEMA).validate(document)
        assert isinstance(document, dict)
        return document

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`python -m lab` in the background, with pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "lab", *arguments],
            env=self.environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The command line."""
    return Cli(tmp_path_factory.mktemp("home"))


def remove(home: Path, backend: str, lab: str) -> list[tuple[str, str]]:
    """What `down` does, without a process of its own: clearing up is not what is tested. The kinds and names
    of what there was.
    """
    things: list[tuple[str, str]] = []
    with pytest.MonkeyPatch.context() as place:
        place.setenv("IPSECLAB_HOME", str(home))
        for found in choose.candidates(backend, print):
            with closing(found), found.lock(lab):
                things += found.remove(lab, keep_pki=False).things
    return things


@pytest.fixture
def lab_name(cli: Cli) -> Iterator[Callable[[str], str]]:
    """Makes names of labs; whatever lab has such a name is removed afterwards, on the backend that was
    named.
    """
    made: list[tuple[str, str]] = []

    def name(backend: str) -> str:
        made.append((backend, unique()))
        return made[-1][1]

    yield name
    for backend, lab in made:
        remove(cli.home, backend, lab)


@dataclass(frozen=True, slots=True)
class RunningLab:
    """A lab that is up, with everything that its nodes told."""

    runner: Runner
    outcome: Outcome

    def saw(self) -> str:
        """What each node saw, for the message of a failing assertion."""
        lines = []
        for record in self.outcome.records.values():
            lines.append(f"{record.node} saw:")
            lines += [
                f"  {event.moment.time()} {event.name} {dict(event.fields)}" for event in record.events[-20:]
            ]
        return "\n".join(lines)

    def event(self, node: str, name: str) -> NodeEvent:
        """The node's first event of that name; fails with what every node saw."""
        for event in self.outcome.records[node].events:
            if event.name == name:
                return event
        raise AssertionError(f"{node} never told {name}\n{self.saw()}")

    def wait(self, node: str, name: str, seconds: float = 10) -> NodeEvent:
        """Wait until the node tells of an event; fails with what it told instead."""
        lab = self.runner.backend.lab(self.outcome.plan.lab)
        follower, seen = lab.follow([node], live=True), Record(node)
        deadline = time.monotonic() + seconds
        try:
            while (told := follower.next(max(0.0, deadline - time.monotonic()))) is not None:
                seen.add(told)
                if isinstance(told, NodeEvent) and told.name == name:
                    return told
        finally:
            follower.close()
        raise AssertionError(f"{node} did not tell {name} within {seconds} s\n{self.saw()}")


def bring_up(runner: Runner, scenario: str, name: str) -> RunningLab:
    """Bring a lab up with quick keys, as `up` does."""
    from lab import library, plan

    runner.backend.check()
    made = plan.make(name, library.load(scenario), "ecdsa-p256")
    outcome = runner.bring_up(made, whole=False)
    return RunningLab(runner, outcome)


@pytest.fixture(scope="session")
def docker_lab() -> Iterator[RunningLab]:
    """The `hello` lab in containers, once for all tests that only look at it."""
    from lab.backends.docker import DockerBackend

    runner = Runner(DockerBackend(print), Console(sys.stderr, Style(False)))
    name = unique("hello")
    try:
        yield bring_up(runner, "hello", name)
    finally:
        runner.take_down(name)
        runner.backend.close()


def feed(told: list[Told]) -> Record:
    """A record of what was told."""
    record = Record("a")
    for item in told:
        record.add(item)
    return record
