"""A run's directory as a value: everything that the page shows, read once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import evidence, ladder, ladder_svg
from lab.decode.run import of_run
from lab.decode.values import Decoded
from lab.errors import EnvironmentNotReady
from lab.events import NodeEvent


@dataclass(frozen=True, slots=True)
class Run:
    """What a run left. `picture` is the ladder as SVG, `files` are names and sizes."""

    name: str
    results: Mapping[str, Any]
    statuses: Mapping[str, Any]
    events: tuple[NodeEvent, ...]
    packets: tuple[Decoded, ...]
    picture: str
    files: tuple[tuple[str, int], ...]


def read(directory: Path) -> Run:
    """Read a run. Raises EnvironmentNotReady where a file of it is missing or not what it should be."""
    events = evidence.read_events(directory)
    return Run(
        directory.name,
        _document(directory / "results.json"),
        _document(directory / "status.json"),
        tuple(events),
        of_run(directory),
        ladder_svg.render(ladder.build(events), directory.name),
        tuple(sorted(_files(directory))),
    )


def _document(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise EnvironmentNotReady(f"{path}: cannot be read: {error}: name another run") from error
    if not isinstance(found, dict):
        raise EnvironmentNotReady(f"{path}: is no mapping: name another run")
    return found


def _files(directory: Path) -> list[tuple[str, int]]:
    found = [path for path in directory.rglob("*") if path.is_file() and path.name != "report.html"]
    return [(str(path.relative_to(directory)), path.stat().st_size) for path in found]
