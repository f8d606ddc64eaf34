"""`python -m lab.interop`: run the matrix and the special cases, write a table and a JSON document."""

import argparse
import fnmatch
import json
import platform
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lab import __version__, evidence
from lab.backends.docker import DockerBackend
from lab.console import Console, make_console
from lab.errors import EnvironmentNotReady, ExitCode, LabError, UsageError
from lab.interop import cells, documents, lives, ours, results, runs, special
from lab.interop.cells import Cell
from lab.interop.results import CaseResult, CellResult, Results
from lab.labels import Kind
from lab.lifecycle import Runner
from lab.text import printable, span

EPILOG = """\
The subject is what is tested; the peer is a strongSwan in a container.
exit codes: 0 everything passed, 1 something failed, 2 usage, 4 no engine or no image, 130 Ctrl-C
"""
MAX_JOBS = 16
SUBJECT_HELP = "node (the default): the lab's own node; strongswan: strongSwan, which proves the lab itself"
SOAK_HELP = f"watch short lives of SAs for so long, at most {lives.LONGEST}, and nothing else"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        "python -m lab.interop",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--pairs", action="store_true", help="only so many cells that every pair of values occurs"
    )
    made.add_argument("--subject", choices=tuple(Kind), default=Kind.NODE, metavar="KIND", help=SUBJECT_HELP)
    made.add_argument("--only", metavar="PATTERN", help="only cells and cases with such names, as '*-psk-*'")
    made.add_argument("--no-cases", action="store_true", help="the matrix alone")
    made.add_argument("--no-cells", action="store_true", help="the special cases alone")
    made.add_argument("--soak", type=_soak, metavar="SECONDS", help=SOAK_HELP)
    made.add_argument("--list", action="store_true", help="name what would be run, and run nothing")
    made.add_argument("--jobs", type=_jobs, default=3, metavar="N", help="labs at the same time (3)")
    made.add_argument("--out", type=Path, metavar="DIR", help="where results go (runs/interop/UTC)")
    return made


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_JOBS:
        raise argparse.ArgumentTypeError(f"{text!r}: name a number from 1 to {MAX_JOBS}")
    return int(text)


def _soak(text: str) -> int:
    if not text.isdecimal() or not lives.SHORT <= int(text) <= lives.LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r}: name seconds from {lives.SHORT} to {lives.LONGEST}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = parser().parse_args(arguments)
    console = make_console(0, False)
    try:
        return _main(options, console)
    except LabError as error:
        console.error(printable(str(error)))
        return int(error.exit_code)
    except KeyboardInterrupt:
        console.error("interrupted")
        return ExitCode.INTERRUPTED


def _main(options: argparse.Namespace, console: Console) -> int:
    chosen = () if options.no_cells or options.soak else cells.matrix(2 if options.pairs else 3)
    chosen = tuple(cell for cell in chosen if _wanted(options, cell.name))
    every = {} if options.no_cases else _cases(options)
    cases = {name: every[name] for name in every if _wanted(options, name)}
    if not chosen and not cases:
        raise UsageError(f"--only {options.only}: no cell and no case is called so: see --list")
    if options.list:
        print("\n".join([*(cell.name for cell in chosen), *cases]))
        return ExitCode.OK
    with closing(DockerBackend(console.line)) as backend:
        found = _run(backend, console, options, chosen, cases)
    directory = options.out or evidence.runs_directory() / "interop" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    _write(directory, found)
    console.line(f"{_count(found)}: {directory}/matrix.md")
    return ExitCode.OK if found.passed else ExitCode.CHECK_FAILED


def _cases(options: argparse.Namespace) -> dict[str, documents.Document]:
    ours_is_subject = options.subject == Kind.NODE
    if options.soak is None:
        return ours.cases() if ours_is_subject else special.cases()
    made = {f"soak-{role}": lives.short_lives(role, options.soak) for role in cells.ROLES}
    return {name: ours.subject(made[name]) for name in made} if ours_is_subject else made


def _wanted(options: argparse.Namespace, name: str) -> bool:
    return options.only is None or fnmatch.fnmatchcase(name, options.only)


def _run(
    backend: DockerBackend,
    console: Console,
    options: argparse.Namespace,
    chosen: Sequence[Cell],
    cases: dict[str, documents.Document],
) -> Results:
    runner = Runner(backend, Console(console.stream, console.style, -1))
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    versions = {"date": today, "engine": backend.check(), "kernel": platform.release(), "lab": __version__}
    backend.prepare(lambda topic, text: console.line(f"  {topic:<9} {text}"))
    tell = partial(_tell, console)
    if options.subject == Kind.NODE:
        done = runs.side_by_side(chosen, partial(runs.own_cell, runner), tell, options.jobs)
    else:
        done = runs.in_a_pair(runner, chosen, tell) if chosen else []
    ended = runs.side_by_side(tuple(cases.items()), lambda item: runs.case(runner, *item), tell, options.jobs)
    for item in (*done, *ended):
        versions |= item.versions
    return Results(versions, tuple(done), tuple(ended))


def _tell(console: Console, item: CellResult | CaseResult) -> None:
    figures = f": {text}" if isinstance(item, CaseResult) and (text := results.figures(item)) else ""
    verdict = (
        console.style.paint("ok", "green") if item.passed else console.style.paint("FAILED", "bold", "red")
    )
    problem = figures if item.passed else f": {printable(item.problems[0])}"
    console.line(f"  {verdict} {item.name} ({span(item.seconds)}){problem}")


def _count(found: Results) -> str:
    return f"{sum(item.passed for item in found.items)} of {len(found.items)} passed"


def _write(directory: Path, found: Results) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "matrix.md").write_text(results.markdown(found), "utf-8")
        (directory / "results.json").write_text(json.dumps(results.as_json(found), indent=2) + "\n", "utf-8")
    except OSError as error:
        raise EnvironmentNotReady(f"{directory}: cannot be written: {error.strerror}: use --out") from error


if __name__ == "__main__":
    sys.exit(main())
