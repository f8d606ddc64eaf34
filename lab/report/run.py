"""A run's directory as values. Only events.jsonl must be there; older runs have less, and it is said so."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import evidence
from lab.decode.run import of_run
from lab.decode.values import Decoded
from lab.errors import EnvironmentNotReady, LabError
from lab.events import NodeEvent

#: Octets of a JSON file that are read.
_MAX_JSON = 64 << 20
#: Files of a run that are listed.
_MAX_FILES = 400


@dataclass(frozen=True, slots=True)
class File:
    """A file of the run: its path in the directory, and octets."""

    name: str
    octets: int


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a run left. `results` is empty where it left none; `problem`: why nothing is opened."""

    directory: Path
    events: Sequence[NodeEvent]
    results: Mapping[str, Any] = field(default_factory=dict)
    statuses: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[File] = ()
    packets: Sequence[Decoded] = ()
    problem: str = ""

    @property
    def has_keys(self) -> bool:
        """Whether the run's secrets are in its directory."""
        return self.results.get("keylog") is True or any(f.name.startswith("keys/") for f in self.files)


def load(directory: Path) -> Run:
    """Read a run. Raises EnvironmentNotReady where a file of it is broken."""
    packets: Sequence[Decoded] = ()
    problem = ""
    try:
        packets = of_run(directory)
    except LabError as error:
        # The rest of the run can be shown all the same; the page says why this cannot.
        problem = str(error)
    return Run(
        directory,
        sorted(evidence.read_events(directory), key=lambda event: event.moment),
        _object(directory / "results.json"),
        _object(directory / "status.json"),
        _files(directory),
        packets,
        problem,
    )


def _object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty where there is no file. Raises EnvironmentNotReady."""
    try:
        with path.open("rb") as file:
            octets = file.read(_MAX_JSON + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EnvironmentNotReady(f"{path}: cannot be read: {error.strerror}: name another run") from error
    try:
        document = json.loads(octets) if len(octets) <= _MAX_JSON else None
    except (ValueError, RecursionError) as error:
        raise EnvironmentNotReady(f"{path}: is no JSON: {error}: name another run, or remove it") from error
    if not isinstance(document, dict):
        raise EnvironmentNotReady(
            f"{path}: is no JSON object of up to {_MAX_JSON:,} octets: name another run, or remove it"
        )
    return document


def _files(directory: Path) -> Sequence[File]:
    """The files of the run, by name; links are not followed. Raises EnvironmentNotReady."""
    found: list[File] = []
    for place, directories, names in os.walk(directory):
        directories.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.is_file() and not path.is_symlink() and len(found) < _MAX_FILES:
                found.append(File(path.relative_to(directory).as_posix(), path.stat().st_size))
    return found


def words(document: object, *path: str) -> str:
    """The text or number at the end of `path` in a JSON document; empty where there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    if isinstance(document, bool):
        return "yes" if document else "no"
    return str(document) if isinstance(document, str | int | float) else ""


def items(document: object, key: str) -> list[Mapping[str, Any]]:
    """The objects in the list at `key`."""
    found = document.get(key) if isinstance(document, Mapping) else None
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def nodes(run: Run) -> list[Mapping[str, Any]]:
    """The nodes of the lab, as the results have them."""
    lab = run.results.get("lab")
    return items(lab, "nodes")
