"""Asking the node what it thinks of a configuration: `python -m node --check`, which starts nothing.

Only the node knows what an identity, a proposal or a network may be, and which settings contradict each
other.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

from lab.backends.orders import clean_environment
from lab.errors import EnvironmentNotReady
from yamlschema.document import Mark

#: Seconds for one answer: importing what the node is made of takes half of one on a slow machine.
TIMEOUT = 30.0
#: The node's exit code for a configuration that it refuses.
_REFUSED = 2
_SOURCE = "/dev/stdin"
_LINE = re.compile(rf"(?:{_SOURCE}:)?(?:(\d+):(\d+):)?\s*(?:([a-z_]+(?:\.[a-z_]+|\[\d+\])*): )?(.+)")

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Complaint:
    """One thing that the node refuses: the setting, where in the text, and why."""

    place: Place
    mark: Mark | None
    message: str


def complaints(text: bytes, *options: str) -> tuple[Complaint, ...]:
    """What the node says of this configuration file. Raises EnvironmentNotReady where it cannot be asked."""
    # -P: a directory `node` where we were started is not meant.
    argv = [sys.executable, "-P", "-m", "node", "--config", _SOURCE, *options, "--check"]
    try:
        done = subprocess.run(
            argv, input=text, env=clean_environment(), capture_output=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _silent(str(error)) from error
    if done.returncode == os.EX_OK:
        return ()
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    if done.returncode != _REFUSED or not lines:
        raise _silent(lines[-1] if lines else f"exit code {done.returncode}")
    return tuple(map(read, lines))


def _silent(why: str) -> EnvironmentNotReady:
    return EnvironmentNotReady(f"the node cannot be asked about a configuration: {why}: make venv")


def read(line: str) -> Complaint:
    """One line of the node: `/dev/stdin:LINE:COLUMN: place: message`, of which only the message is sure."""
    found = _LINE.fullmatch(line)
    if found is None:
        return Complaint((), None, line)
    row, column, dotted, message = found.groups()
    return Complaint(_place(dotted or ""), Mark(int(row), int(column)) if row else None, message)


def _place(dotted: str) -> Place:
    return tuple(int(index) if index else name for name, index in re.findall(r"([a-z_]+)|\[(\d+)\]", dotted))
