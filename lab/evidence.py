"""What a run leaves: runs/LAB/UTC-SCENARIO/, and `latest` beside it.

events.jsonl            every event of every node, by time
status.json             what the nodes said of themselves in the end
results.json            the verdict, check by check
summary.txt             the same for people, and where the capture was taken
ladder.txt, ladder.svg  who sent what to whom
capture.pcapng          what was captured; capture-NAME.pcapng at other places
keys/, wireshark/       only with `keylog: true`: the nodes' keys, and tables that Wireshark reads
"""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.checks import Record
from lab.console import Style
from lab.errors import EnvironmentNotReady, NoSuchLab
from lab.events import NodeEvent, parse_line
from lab.ladder import as_svg, as_text, compose
from lab.library import project_directory

#: Every event of every node, by time.
EVENTS = "events.jsonl"


def runs_directory() -> Path:
    """IPSECLAB_RUNS, or `runs/` of the checkout."""
    return Path(os.environ.get("IPSECLAB_RUNS") or project_directory() / "runs")


def check() -> None:
    """Raises EnvironmentNotReady where evidence could not be kept: better before a run than after it."""
    directory = runs_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> EnvironmentNotReady:
    return EnvironmentNotReady(
        f"{runs_directory()}: cannot be written: {error.strerror}: make room, or set IPSECLAB_RUNS to "
        "another directory"
    )


def begin(lab: str, scenario: str) -> Path:
    """A new directory for the evidence of one run. Raises EnvironmentNotReady."""
    try:
        return _new_directory(runs_directory() / lab, scenario)
    except OSError as error:
        raise _unwritable(error) from error


def write(
    directory: Path, records: Iterable[Record], statuses: Mapping[str, Any], results: object, summary: str
) -> None:
    """Write the evidence of one run beside its captures. Raises EnvironmentNotReady."""
    try:
        events = sorted(
            (event for record in records for event in record.events), key=lambda event: event.moment
        )
        lines = "".join(json.dumps(event.as_json()) + "\n" for event in events)
        (directory / EVENTS).write_text(lines)
        (directory / "status.json").write_text(json.dumps(statuses, indent=2) + "\n")
        (directory / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        (directory / "summary.txt").write_text(summary + "\n")
        rungs = compose.build(events)
        narrow = compose.build(events, most=as_text.lanes_in(as_text.WIDTH))
        text = as_text.render(narrow, Style(False))
        (directory / "ladder.txt").write_text("\n".join(text) + "\n", "utf-8")
        (directory / "ladder.svg").write_text(as_svg.render(rungs, directory.name), "utf-8")
        _point_latest(directory)
    except OSError as error:
        raise _unwritable(error) from error


def find_run(name: str, *, only_path: bool = False) -> Path | None:
    """The directory of a run: its path, or (unless `only_path`) the name of a lab, whose latest run it is."""
    if not name:
        return None
    places = [Path(name), Path(name) / "latest"]
    places += [] if only_path else [runs_directory() / name, runs_directory() / name / "latest"]
    return next((place.resolve() for place in places if (place / EVENTS).is_file()), None)


def meant(target: str | None, lab: str | None, wrong: str) -> Path:
    """The run that is meant: `target`, else the latest of the lab `lab`, else the newest of all.

    Raises NoSuchLab; `wrong` says what a name is then: "is no run".
    """
    asked = target or lab
    found = find_run(asked) if asked else _newest()
    if found is not None:
        return found
    if asked is None:
        raise NoSuchLab(f"{runs_directory()} has no run: `ipseclab run hello` makes one")
    raise NoSuchLab(
        f"{asked!r} {wrong}: name a directory of {runs_directory()}, or a lab with runs there; "
        "`ipseclab run hello` makes one"
    )


def _newest() -> Path | None:
    """The directory of the run that ended last, of whatever lab; None where there is none."""
    runs = [path.parent for path in runs_directory().glob(f"*/*/{EVENTS}") if not path.parent.is_symlink()]
    return max(runs, key=lambda run: (run / EVENTS).stat().st_mtime, default=None)


def read_events(directory: Path) -> list[NodeEvent]:
    """Every event of a run. Raises EnvironmentNotReady."""
    path = directory / EVENTS
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentNotReady(f"{path}: cannot be read: {error}: name another run") from error
    return [event for line in lines if isinstance(event := parse_line(_node(line), line), NodeEvent)]


def _node(line: str) -> str:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return "?"
    return str(document.get("node", "?")) if isinstance(document, dict) else "?"


def _new_directory(parent: Path, scenario: str) -> Path:
    """Run directories are never used twice."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = parent / (f"{stamp}-{scenario}" + (f"-{number}" if number > 1 else ""))
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
            continue
        return path


def _point_latest(directory: Path) -> None:
    temporary = directory.parent / f".latest-{directory.name}"
    temporary.symlink_to(directory.name)
    os.replace(temporary, directory.parent / "latest")
