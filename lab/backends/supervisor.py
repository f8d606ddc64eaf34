"""Parent of the node processes of one lab of the process backend: `python -m lab.backends.supervisor
DIRECTORY`.

1. It lives in a session of its own, so that nodes outlive the command that started them, and Ctrl-C does not
   reach them.
2. It is their parent, so only it can learn their exit codes; it writes them down the moment they end.
3. What it starts it writes down before it starts the next, so that a kill at any moment leaves nothing
   unknown.
4. SIGTERM stops every node as `docker stop` does. It ends with its last node.
5. A node that others depend on has a `ready` event: the next one starts when it has told of it.
6. SIGUSR1 starts the nodes again that `again.jsonl` names.

The netns backend puts namespaces around the same (`netns_supervisor`).
"""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Self

from lab.backends.processes import identify, start_time
from lab.backends.watch import watch

START_FILE = "start.json"
PROCESSES_FILE = "processes.jsonl"
EXITS_FILE = "exits.jsonl"
AGAIN_FILE = "again.jsonl"
SUPERVISOR = ""
#: Seconds for a node to tell that it is ready; then the next one starts all the same, and the checks tell.
READY_PATIENCE = 5.0
#: Between two looks whether a node that is not ready yet still runs.
_LOOK_AGAIN = 0.2


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON line. One write each: a reader never sees half a record that has its end."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, json.dumps(record).encode() + b"\n")
    finally:
        os.close(descriptor)


class Supervisor:
    """Starts what `order` says, in `directory`; see above."""

    def __init__(self, directory: Path, order: dict[str, Any]) -> None:
        self.directory, self.order = directory, order
        self._children: dict[int, str] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started_again = 0
        self._stopping = False

    @classmethod
    def of(cls, directory: Path) -> Self:
        """The supervisor of the lab in this directory."""
        return cls(directory, json.loads((directory / START_FILE).read_text()))

    def run(self) -> None:
        """Start everything and stay until the last process has ended."""
        self._note_process(SUPERVISOR, os.getpid())
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGALRM, self._kill)
        signal.signal(signal.SIGUSR1, self._start_again)
        # A signal between two starts would miss the nodes that come after it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1})
        self.prepare()
        for name, node in self.order["nodes"].items():
            self._start(name, node)
            self._await_ready(name, node.get("ready", ""))
        self._append(PROCESSES_FILE, {"node": None})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGUSR1})
        while self._children:
            pid, status = os.wait()
            if (name := self._children.pop(pid, None)) is not None:
                self._note_exit(name, os.waitstatus_to_exitcode(status))
                if self._stopping and all(map(self._goes_last, self._children.values())):
                    self._send(signal.SIGTERM, last=True)

    def prepare(self) -> None:
        """Make what the nodes need before the first of them starts; loopback is there already."""

    def enter(self, name: str) -> None:
        """What the process of node `name` does before it becomes the node."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGUSR1})

    def _await_ready(self, name: str, event: str) -> None:
        """Wait until the node has told of this event, or has ended."""
        process = self._processes.get(name)
        if not event or process is None:
            return
        events = self.directory / "nodes" / f"{name}.jsonl"
        deadline = time.monotonic() + READY_PATIENCE
        changed = watch(events.parent)
        try:
            while f'"{event}"' not in events.read_text("utf-8", "replace"):
                # It must not be reaped here: its exit code is noted in `run`.
                if start_time(process.pid) is None or time.monotonic() > deadline:
                    return
                changed.wait(_LOOK_AGAIN)
        finally:
            changed.close()

    def _start_again(self, _number: int, _frame: FrameType | None) -> None:
        wanted = (self.directory / AGAIN_FILE).read_text().splitlines()
        for line in wanted[self._started_again :]:
            self._started_again += 1
            name = json.loads(line)["node"]
            self._start(name, self.order["nodes"][name])

    def _start(self, name: str, node: dict[str, Any]) -> None:
        log = self.directory / "nodes" / name
        with open(f"{log}.jsonl", "ab") as out, open(f"{log}.log", "ab") as err:
            try:
                process = subprocess.Popen(
                    node["argv"],
                    env=node["env"],
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    preexec_fn=partial(self.enter, name),
                )
            except OSError as error:
                err.write(f"cannot be started: {error}\n".encode())
                self._note_exit(name, 127)
                return
        self._children[process.pid], self._processes[name] = name, process
        self._note_process(name, process.pid)

    def _note_process(self, name: str, pid: int) -> None:
        found = identify(pid)
        self._append(PROCESSES_FILE, {"node": name, "pid": pid, "started": found.started if found else ""})

    def _note_exit(self, name: str, code: int) -> None:
        if name in self._processes:
            self._processes[name].returncode = code
        self._append(EXITS_FILE, {"node": name, "code": code if code >= 0 else 128 - code})

    def _append(self, name: str, record: dict[str, object]) -> None:
        append_record(self.directory / name, record)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        """Whoever relays or watches goes last: nodes still have something to say to each other."""
        self._stopping = True
        if not self._send(signal.SIGTERM, last=False):
            self._send(signal.SIGTERM, last=True)
        signal.alarm(self.order["grace"])

    def _send(self, number: signal.Signals, *, last: bool) -> int:
        """Send a signal to those who go last, or to all others; to how many."""
        found = [pid for pid, name in self._children.items() if self._goes_last(name) is last]
        for pid in found:
            os.kill(pid, number)
        return len(found)

    def _goes_last(self, name: str) -> bool:
        return bool(self.order["nodes"][name].get("last"))

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Start what DIRECTORY/start.json orders and stay until the last process has ended."""
    Supervisor.of(Path(sys.argv[1])).run()


if __name__ == "__main__":
    main()
