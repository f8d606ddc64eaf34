"""Scenarios side by side: each is an `ipseclab run` of its own, so that none can disturb another.

1. A job is told to end by SIGTERM, and takes its lab down itself. It is in a session of its own: Ctrl-C at a
   terminal comes to us alone, and we pass it on.
2. What a job says is handed out as one piece once it has ended.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from lab.commands.up import undisturbed
from lab.library import project_directory

#: What a job must not inherit: what it is told by its command line, and reports that are ours to write.
_OURS = ("IPSECLAB_NAME", "IPSECLAB_JUNIT", "IPSECLAB_OUTPUT", "IPSECLAB_TIMEOUT", "IPSECLAB_JOBS")
_REPORTS = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")


@dataclass(frozen=True, slots=True)
class Job:
    """A scenario that was run: its number among those asked for, and how `ipseclab run` ended."""

    number: int
    scenario: str
    code: int
    document: str
    said: str
    junit: str


@dataclass(slots=True)
class Jobs:
    """At most `limit` jobs at a time. `words` are the options of every one of them."""

    words: Sequence[str]
    colour: bool
    limit: int
    _running: set["subprocess.Popen[str]"] = field(default_factory=set)
    _stopping: bool = False
    _lock: Lock = field(default_factory=Lock)

    def run(self, scenarios: Sequence[str]) -> Generator[Job, None, None]:
        """Run them; each as it ends. Where the caller goes away early, those that run are stopped."""
        with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(self.limit) as pool:
            waiting = [
                pool.submit(self._run, number, name, Path(directory, f"{number}.xml"))
                for number, name in enumerate(scenarios)
            ]
            try:
                for done in as_completed(waiting):
                    if (job := done.result()) is not None:
                        yield job
            finally:
                # They take their labs down, which is bounded by the grace period of nodes.
                with undisturbed():
                    self._stop()
                    pool.shutdown(cancel_futures=True)

    def _run(self, number: int, scenario: str, junit: Path) -> Job | None:
        argv = [sys.executable, "-P", "-m", "lab", "run", scenario, "-o", "json", "--junit", str(junit)]
        with self._lock:
            if self._stopping:
                return None
            process = subprocess.Popen(
                [*argv, *self.words],
                env=_environment(os.environ, self.colour),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._running.add(process)
        with process:
            document, said = process.communicate()
        with self._lock:
            self._running.discard(process)
        report = junit.read_text("utf-8") if junit.is_file() else ""
        return Job(number, scenario, process.returncode, document, said, report)

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
            for process in self._running:
                process.send_signal(signal.SIGTERM)


def _environment(ours: Mapping[str, str], colour: bool) -> dict[str, str]:
    kept = {name: value for name, value in ours.items() if name not in _OURS + _REPORTS}
    path = [str(project_directory()), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(path), "FORCE_COLOR" if colour else "NO_COLOR": "1"}
