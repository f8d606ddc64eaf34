"""Processes by id and start time: a process id alone may mean another process by the time it is used."""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Field 22 of /proc/PID/stat (proc(5)), counted after the command name, which may hold spaces and brackets.
_START_FIELD = 22 - 3
#: Between two looks at a process where the kernel cannot tell us that it ended.
_LOOK_AGAIN = 0.02


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same id."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        return start_time(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; False where the process is gone."""
        with suppress(ProcessLookupError):
            if not hasattr(signal, "pidfd_send_signal"):
                return self.alive() and _kill(self.pid, number)
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor pins the process: what is compared now is what gets the signal.
                if self.alive():
                    signal.pidfd_send_signal(descriptor, number)
                    return True
            finally:
                os.close(descriptor)
        return False

    def wait(self, timeout: float) -> bool:
        """Wait until it is gone; False where it still runs after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        if hasattr(os, "pidfd_open"):
            with suppress(ProcessLookupError):
                descriptor = os.pidfd_open(self.pid)
                try:
                    if self.alive():
                        select.select([descriptor], [], [], timeout)
                finally:
                    os.close(descriptor)
            return not self.alive()
        while self.alive() and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
        return not self.alive()


def _kill(pid: int, number: signal.Signals) -> bool:
    os.kill(pid, number)
    return True


def start_time(pid: int) -> str | None:
    """When the process started, as text that only this process has; None where it is gone or a zombie."""
    if sys.platform != "linux":
        found = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        state, _, started = found.stdout.strip().partition(" ")
        return None if not started or state.startswith("Z") else " ".join(started.split())
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[_START_FIELD]


def identify(pid: int) -> ProcessId | None:
    """The process that has this id now."""
    started = start_time(pid)
    return None if started is None else ProcessId(pid, started)
