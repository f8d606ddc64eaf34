"""`ipseclab lint`: scenario files and configurations of nodes, checked without running anything."""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import starmap
from pathlib import Path

from lab import github, output
from lab import lint as linting
from lab.commands.context import Context
from lab.errors import ExitCode
from lab.lint import Kind, Report
from lab.text import printable
from yamlschema import Problem
from yamlschema.document import dotted

#: Nodes that are asked at once; each is a process of its own.
_WORKERS = 4


def lint(context: Context, options: argparse.Namespace) -> int:
    """Check scenarios and node configurations, or directories of them. Tells every problem with its line."""
    files = linting.find(list(map(Path, options.files)), Kind.NODE if options.node else None)
    with ThreadPoolExecutor(_WORKERS) as pool:
        reports = list(pool.map(lambda file: linting.report(*file), files))
    problems = [problem for report in reports for problem in report.problems]
    if context.json:
        output.print_json("lint", _document(reports))
    else:
        for problem in problems:
            print(printable(str(problem)), flush=True)
    if github.active(os.environ):
        for line in starmap(github.problem, map(_place, problems)):
            print(line, file=context.console.stream, flush=True)
    context.console.line(_summary(reports, len(problems)))
    return ExitCode.USAGE if problems else ExitCode.OK


def _summary(reports: Sequence[Report], count: int) -> str:
    if count:
        bad = sum(bool(report.problems) for report in reports)
        of = f" in {bad} of {len(reports)} files" if len(reports) > 1 else ""
        return f"{count} {'problem' if count == 1 else 'problems'}{of}"
    return f"{len(reports)} files are in order" if len(reports) > 1 else f"{reports[0].file} is in order"


def _place(problem: Problem) -> tuple[str, int, int, str]:
    line, column = (problem.mark.line, problem.mark.column) if problem.mark else (1, 1)
    place = dotted(problem.place)
    return problem.source, line, column, f"{place}: {problem.message}" if place else problem.message


def _document(reports: Sequence[Report]) -> dict[str, object]:
    files = [
        {"file": report.file, "kind": report.kind.value, "problems": list(map(_problem, report.problems))}
        for report in reports
    ]
    return {"passed": not any(report.problems for report in reports), "files": files}


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "line": problem.mark.line if problem.mark else None,
        "column": problem.mark.column if problem.mark else None,
        "place": dotted(problem.place) or None,
        "message": problem.message,
    }
