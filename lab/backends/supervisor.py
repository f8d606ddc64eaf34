"""Parent of the node processes of one lab of the process backend: `python -m lab.backends.supervisor
DIRECTORY`.

1. It lives in a session of its own, so that nodes outlive the command that started them, and Ctrl-C does not
   reach them.
2. It is their parent, so only it can learn their exit codes; it writes them down the moment they end.
3. What it starts it writes down before it starts the next, so that a kill at any moment leaves nothing
   unknown.
4. SIGTERM stops every node as `docker stop` does. It ends with its last node.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from lab.backends.processes import identify

START_FILE = "start.json"
PROCESSES_FILE = "processes.jsonl"
EXITS_FILE = "exits.jsonl"
SUPERVISOR = ""


class _Supervisor:
    def __init__(self, directory: Path, order: dict[str, Any]) -> None:
        self._directory, self._order = directory, order
        self._children: dict[int, str] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self) -> None:
        self._note_process(SUPERVISOR, os.getpid())
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGALRM, self._kill)
        # A signal between two starts would miss the nodes that come after it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        for name, node in self._order["nodes"].items():
            self._start(name, node)
        self._append(PROCESSES_FILE, {"node": None})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        while self._children:
            pid, status = os.wait()
            if (name := self._children.pop(pid, None)) is not None:
                self._note_exit(name, os.waitstatus_to_exitcode(status))

    def _start(self, name: str, node: dict[str, Any]) -> None:
        log = self._directory / "nodes" / name
        with open(f"{log}.jsonl", "ab") as out, open(f"{log}.log", "ab") as err:
            try:
                process = subprocess.Popen(
                    node["argv"],
                    env=node["env"],
                    cwd=self._directory,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    preexec_fn=_unblock,
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
        # One write per line: a reader never sees half a record.
        descriptor = os.open(
            self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            os.write(descriptor, json.dumps(record).encode() + b"\n")
        finally:
            os.close(descriptor)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)
        signal.alarm(self._order["grace"])

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def main() -> None:
    """Start what DIRECTORY/start.json orders and stay until the last process has ended."""
    directory = Path(sys.argv[1])
    _Supervisor(directory, json.loads((directory / START_FILE).read_text())).run()


if __name__ == "__main__":
    main()
