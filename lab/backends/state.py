"""Files of one lab of a backend without an engine: process and netns.

lab.json         who made it, its nodes and their addresses (written first, replaced atomically)
start.json       what the supervisor starts
again.jsonl      nodes that it is asked to start again
processes.jsonl  process ids with start times, as they start; a record without a process once all have
exits.jsonl      exit codes, as they happen
nodes/           NAME.yaml configuration, NAME.jsonl events, NAME.log prose
evidence/        captures, and keys/ where nodes log their keys
pki/             what the CA issued: certs/, ca-key/, keys/NAME/
"""

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.backends.processes import ProcessId
from lab.backends.supervisor import EXITS_FILE, PROCESSES_FILE, SUPERVISOR, append_record
from lab.errors import EnvironmentNotReady
from lab.home import home, make_directory

LAB_FILE = "lab.json"
#: Octets of a Unix socket's path, with its final zero, on every system (unix(7): 108 on Linux, 104
#: elsewhere).
MAX_SOCKET_PATH = 103


@dataclass(frozen=True, slots=True)
class State:
    """The directory of one lab; `name` is the lab's, `folder` the backend's."""

    name: str
    folder: str = "labs"

    @property
    def directory(self) -> Path:
        return home() / self.folder / self.name

    @property
    def nodes(self) -> Path:
        return self.directory / "nodes"

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def evidence(self) -> Path:
        return self.directory / "evidence"

    def keylog(self, node: str) -> Path:
        """Where the node logs its keys, if it does."""
        return self.evidence / "keys" / f"{node}.keys"

    def exists(self) -> bool:
        """Whether there is such a lab, even half made."""
        return (self.directory / LAB_FILE).is_file()

    def read(self) -> dict[str, Any] | None:
        """lab.json, or None where there is no such lab."""
        try:
            found = json.loads((self.directory / LAB_FILE).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise EnvironmentNotReady(
                f"{self.directory / LAB_FILE}: cannot be read ({error}): remove {self.directory}"
            ) from error
        return found if isinstance(found, dict) else None

    def write(self, name: str, text: str) -> None:
        """Replace a file of the lab; readers see the old one or the new one."""
        path = self.directory / name
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            make_directory(path.parent)
            temporary.write_text(text)
            temporary.chmod(0o600)
            os.replace(temporary, path)
        except OSError as error:
            raise EnvironmentNotReady(
                f"{path}: cannot be written: {error.strerror}: make room, or set IPSECLAB_HOME to "
                "another directory"
            ) from error

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Append a line to a file of records; readers never see half of one."""
        append_record(self.directory / name, record)

    def processes(self) -> dict[str, ProcessId]:
        """Processes by node; the supervisor under SUPERVISOR."""
        found = _records(self.directory / PROCESSES_FILE)
        return {r["node"]: ProcessId(r["pid"], r["started"]) for r in found if r["node"] is not None}

    def all_started(self) -> bool:
        """Whether the supervisor has started everything."""
        return any(record["node"] is None for record in _records(self.directory / PROCESSES_FILE))

    def supervisor(self) -> ProcessId | None:
        """The parent of the nodes."""
        return self.processes().get(SUPERVISOR)

    def starts(self, node: str) -> int:
        """How often the node was started."""
        return sum(record["node"] == node for record in _records(self.directory / PROCESSES_FILE))

    def exits(self) -> dict[str, int]:
        """Exit codes by node, of those that have ended and were not started again."""
        # In this order: a start that is missed leaves a node that has ended, and it had.
        starts = Counter(record["node"] for record in _records(self.directory / PROCESSES_FILE))
        exits: dict[str, list[int]] = {}
        for record in _records(self.directory / EXITS_FILE):
            exits.setdefault(record["node"], []).append(record["code"])
        return {node: codes[-1] for node, codes in exits.items() if len(codes) >= starts[node]}

    def socket(self, node: str) -> Path:
        """The node's control socket: in the lab's directory, or where the path would be too long in a short
        one.
        """
        path = self.directory / "run" / f"{node}.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        return self.short_directory() / f"{node}.sock"

    def short_directory(self) -> Path:
        """A directory with a short name that only this lab uses."""
        tag = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"ipseclab-{os.geteuid()}-{tag}"


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return
    # The last line may still be on its way.
    for line in text.split("\n")[:-1]:
        yield json.loads(line)


def names(folder: str) -> tuple[str, ...]:
    """The labs that have a directory in this folder."""
    return tuple(sorted(path.parent.name for path in (home() / folder).glob(f"*/{LAB_FILE}")))
