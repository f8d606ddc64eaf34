"""The parent of the node processes: what waits for what, what is started again, and who is over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.backends.files import FileFollower
from lab.backends.process import ProcessLab
from lab.backends.state import LAB_FILE, State
from lab.backends.supervisor import START_FILE
from lab.errors import EnvironmentNotReady
from lab.events import NodeEvent, NodeExit, Told

#: Tells one event after a moment, then waits for a signal.
SLOW = "import time, signal; time.sleep(0.3); print(EVENT, flush=True); signal.pause()"
QUICK = "import signal; print(EVENT, flush=True); signal.pause()"
PATIENCE = 20.0


def event(name: str) -> str:
    return json.dumps({"ts": "2026-01-01T00:00:00.000000Z", "event": name, "node": "x"})


def entry(script: str, name: str, ready: str = "") -> dict[str, object]:
    argv = [sys.executable, "-c", script.replace("EVENT", repr(event(name)))]
    return {"argv": argv, "env": dict(os.environ), "ready": ready}


class Supervised:
    """A lab directory with a supervisor that runs what a test orders."""

    def __init__(self, home: Path) -> None:
        self.state = State("x")
        assert str(self.state.directory).startswith(str(home))
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, **nodes: dict[str, object]) -> None:
        self.state.nodes.mkdir(parents=True)
        roles = [{"name": name, "role": "initiator", "host": "127.0.0.1", "port": 1} for name in nodes]
        about = {"scenario": "s", "owner": "me", "created": "2026-01-01T00:00:00+00:00", "nodes": roles}
        (self.state.directory / LAB_FILE).write_text(json.dumps(about))
        (self.state.directory / START_FILE).write_text(json.dumps({"grace": 5, "nodes": nodes}))
        argv = [sys.executable, "-m", "lab.backends.supervisor", str(self.state.directory)]
        self.process = subprocess.Popen(argv)
        self.wait(self.state.all_started)

    def wait(self, what: object) -> None:
        deadline = time.monotonic() + PATIENCE
        assert callable(what)
        while not what():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    monkeypatch.setenv("IPSECLAB_HOME", str(tmp_path))
    made = Supervised(tmp_path)
    yield made
    if made.process is not None:
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(PATIENCE) == 0


def take(follower: FileFollower, name: str) -> Told:
    """The next thing of this kind that a node tells."""
    while (told := follower.next(PATIENCE)) is not None:
        if (told.name if isinstance(told, NodeEvent) else type(told).__name__) == name:
            return told
    raise AssertionError(f"nobody told {name}")


def test_the_next_node_starts_when_the_one_before_is_ready(supervised: Supervised) -> None:
    seen = "import os, sys; print(EVENT if 'is_ready' in open('nodes/first.jsonl').read() else 'too early')"
    supervised.run(first=entry(SLOW, "is_ready", "is_ready"), second=entry(seen, "saw_it"))
    follower = FileFollower(supervised.state, ["second"], live=True)
    assert isinstance(take(follower, "saw_it"), NodeEvent)
    follower.close()


def test_a_node_that_ends_before_it_is_ready_holds_nobody_up(supervised: Supervised) -> None:
    began = time.monotonic()
    supervised.run(first=entry("import sys; sys.exit(3)", "", "is_ready"), second=entry(QUICK, "up"))
    assert time.monotonic() - began < 4
    supervised.wait(lambda: supervised.state.exits() == {"first": 3})


def test_a_killed_node_is_started_again_and_tells_nothing_twice(supervised: Supervised) -> None:
    supervised.run(one=entry(QUICK, "is_up"), other=entry(QUICK, "is_up"))
    lab, follower = ProcessLab(supervised.state), FileFollower(supervised.state, ["one"], live=True)
    take(follower, "is_up")
    lab.kill("one")
    assert take(follower, "NodeExit") == NodeExit("one", 128 + signal.SIGKILL)
    lab.start("one")
    follower.reopen("one")
    assert supervised.state.exits() == {}
    take(follower, "is_up")
    assert follower.next(0) is None
    assert not follower.ended
    assert all(node.running for node in lab.info().nodes)
    follower.close()


def test_without_a_supervisor_nothing_is_started_again(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervised.run(one=entry(QUICK, "is_up"))
    lab = ProcessLab(supervised.state)
    lab.kill("one")
    assert supervised.process is not None
    assert supervised.process.wait(PATIENCE) == 0
    with pytest.raises(EnvironmentNotReady, match="one was not started again"):
        lab.start("one")
    supervised.process = None
