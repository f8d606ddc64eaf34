"""`python -m lab.interop`: run the matrix and the special cases, write a table and a JSON document."""

import argparse
import fnmatch
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from lab import __version__, evidence, labels
from lab import plan as planning
from lab.backends.docker import DockerBackend, DockerLab
from lab.checks import Check
from lab.console import Console, make_console
from lab.errors import EnvironmentNotReady, ExitCode, LabError, UsageError
from lab.interop import cells, documents, pki, results, special
from lab.interop.cells import Cell
from lab.interop.documents import PEER, SUBJECT
from lab.interop.pair import Pair
from lab.interop.results import CaseResult, CellResult, Results
from lab.lifecycle import Runner
from lab.render import sentence
from lab.text import printable, span

EPILOG = """\
Both sides are strongSwan in a container; the subject is called so because it is what is tested.
exit codes: 0 everything passed, 1 something failed, 2 usage, 4 no engine or no image, 130 Ctrl-C
"""


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
    made.add_argument("--only", metavar="PATTERN", help="only cells and cases with such names, as '*-psk-*'")
    made.add_argument("--no-cases", action="store_true", help="the matrix alone")
    made.add_argument("--no-cells", action="store_true", help="the special cases alone")
    made.add_argument("--list", action="store_true", help="name what would be run, and run nothing")
    made.add_argument("--out", type=Path, metavar="DIR", help="where results go (runs/interop/UTC)")
    return made


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
    chosen = () if options.no_cells else cells.matrix(2 if options.pairs else 3)
    chosen = tuple(cell for cell in chosen if _wanted(options, cell.name))
    cases = {} if options.no_cases else special.cases()
    cases = {name: document for name, document in cases.items() if _wanted(options, name)}
    if not chosen and not cases:
        raise UsageError(f"--only {options.only}: no cell and no case is called so: see --list")
    if options.list:
        print("\n".join([*(cell.name for cell in chosen), *cases]))
        return ExitCode.OK
    with closing(DockerBackend(console.line)) as backend:
        found = _run(backend, console, chosen, cases)
    directory = options.out or evidence.runs_directory() / "interop" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    _write(directory, found)
    console.line(f"{_count(found)}: {directory}/matrix.md")
    return ExitCode.OK if found.passed else ExitCode.CHECK_FAILED


def _wanted(options: argparse.Namespace, name: str) -> bool:
    return options.only is None or fnmatch.fnmatchcase(name, options.only)


def _run(
    backend: DockerBackend,
    console: Console,
    chosen: Sequence[Cell],
    cases: dict[str, documents.Document],
) -> Results:
    runner = Runner(backend, Console(console.stream, console.style, -1))
    versions = {"engine": backend.check(), "kernel": platform.release(), "lab": __version__}
    backend.prepare(lambda topic, text: console.line(f"  {topic:<9} {text}"))
    done: list[CellResult] = []
    if chosen:
        done, told = run_cells(runner, chosen, lambda item: _tell(console, item.cell.name, item))
        versions |= told
    ended = [_tell_case(console, run_case(runner, name, document)) for name, document in cases.items()]
    return Results(versions, tuple(done), tuple(ended))


def run_cells(
    runner: Runner, chosen: Sequence[Cell], tell: Callable[[CellResult], None]
) -> tuple[list[CellResult], dict[str, str]]:
    """All cells in one pair of containers; what came out, and the versions of both sides."""
    name = f"interop-{labels.new_session()[:8]}"
    document = documents.of_cell(chosen[0])
    plan = planning.make(name, documents.scenario("interop", document), "ecdsa-p256")
    types = dict.fromkeys(cell.method.key_type for cell in chosen if cell.method.key_type)
    done = []
    try:
        runner.backend.create(plan, runner.tell)
        runner.backend.start(name)
        lab = runner.backend.lab(name)
        if not isinstance(lab, DockerLab):
            raise EnvironmentNotReady("the matrix needs containers: use --backend docker")
        with tempfile.TemporaryDirectory(prefix="ipseclab-interop-") as directory:
            issued = pki.issue(Path(directory), types or ["ecdsa-p256"])
            with closing(Pair(lab, issued)) as pair:
                for cell in chosen:
                    done.append(pair.run(cell))
                    tell(done[-1])
                return done, {side: pair.versions.get(side, "") for side in (SUBJECT, PEER)}
    finally:
        runner.take_down(name)


def run_case(runner: Runner, name: str, document: documents.Document) -> CaseResult:
    """A special case in a lab of its own."""
    began = time.monotonic()
    lab = f"interop-{labels.new_session()[:8]}"
    plan = planning.make(lab, documents.scenario(name, document))
    try:
        outcome = runner.bring_up(plan, whole=True)
    finally:
        runner.take_down(lab)
    verdict = outcome.verdict
    problems = [" ".join(verdict.broken)] if verdict.broken else []
    problems += [_sentence(check) for check in verdict.checks if not check.passed]
    saw = [
        f"{record.node}: {sentence(event, runner.console.style)}"
        for record in outcome.records.values()
        for event in record.events[-30:]
    ]
    seconds = time.monotonic() - began
    return CaseResult(name, plan.scenario.title, seconds, tuple(problems), tuple(saw if problems else ()))


def _sentence(check: Check) -> str:
    return f"{check.node}: {check.text}: {check.reason}"


def _tell(console: Console, name: str, item: CellResult | CaseResult) -> None:
    verdict = (
        console.style.paint("ok", "green") if item.passed else console.style.paint("FAILED", "bold", "red")
    )
    problem = "" if item.passed else f": {printable(item.problems[0])}"
    console.line(f"  {verdict} {name} ({span(item.seconds)}){problem}")


def _tell_case(console: Console, case: CaseResult) -> CaseResult:
    _tell(console, case.name, case)
    return case


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
