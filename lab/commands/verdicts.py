"""Verdicts of several scenarios in words: a line for each, and the table at the end."""

from collections.abc import Sequence

from lab import output
from lab.console import Style
from lab.junit import BROKEN, Result, Suite
from lab.text import printable, span

_HEAD = ("SCENARIO", "VERDICT", "CHECKS", "TIME", "WHY")


def why(suite: Suite) -> str:
    """What ended the waiting early, else the first check that failed."""
    if broken := dict(suite.about).get(BROKEN):
        return printable(broken)
    for case in suite.cases:
        if case.result in (Result.FAILED, Result.ERROR):
            return printable(f"{case.node}: {case.name}: {case.message}")
    return ""


def line(suite: Suite, style: Style) -> str:
    """`PASS hello (1.2 s)`, or `FAIL` with the first reason; as `story.verdict_line`, out of a report."""
    if suite.passed:
        return f"{style.paint('PASS', 'bold', 'green')} {suite.name} ({span(suite.seconds)})"
    return f"{style.paint('FAIL', 'bold', 'red')} {suite.name} ({span(suite.seconds)}): {why(suite)}"


def table(suites: Sequence[Suite], style: Style) -> str:
    """A row for each scenario."""
    rows = [
        (
            suite.name,
            "passed" if suite.passed else "FAILED",
            f"{suite.count(Result.PASSED)} of {len(suite.cases)}",
            span(suite.seconds),
            why(suite),
        )
        for suite in suites
    ]
    return output.table(_HEAD, rows, style)
