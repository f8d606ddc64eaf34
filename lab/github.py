"""What GitHub Actions shows of a run: annotations at the scenario's lines, and a summary of the job.
Pure, but for `append`.
"""

import html
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import EnvironmentNotReady
from lab.junit import Case, Result, Suite
from lab.text import printable, span

#: GitHub shows ten errors of a step and drops the rest.
SHOWN = 10
_SIGN = {True: ":white_check_mark: passed", False: ":x: failed"}


def active(environment: Mapping[str, str]) -> bool:
    """Whether a job of GitHub Actions runs this."""
    return environment.get("GITHUB_ACTIONS") == "true"


def annotations(suite: Suite) -> list[str]:
    """A workflow command for each check that failed."""
    failed = _failed(suite)
    lines = [_annotation(suite, case) for case in failed[:SHOWN]]
    if len(failed) > SHOWN:
        lines.append(
            _command("notice", suite.file, 1, suite.name, f"{len(failed) - SHOWN} more checks failed")
        )
    return lines


def problem(file: str, line: int, column: int, text: str) -> str:
    """A workflow command for one thing wrong with a file."""
    return f"::error file={_property(file)},line={line},col={column}::{_data(printable(text))}"


def _failed(suite: Suite) -> list[Case]:
    return [case for case in suite.cases if case.result in (Result.FAILED, Result.ERROR)]


def _annotation(suite: Suite, case: Case) -> str:
    text = f"{case.node}: {case.name}: {case.message}"
    return _command("error", suite.file, case.line, f"scenario {suite.name}", text)


def _command(kind: str, file: str, line: int, title: str, text: str) -> str:
    return f"::{kind} file={_property(file)},line={line},title={_property(title)}::{_data(printable(text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text)).replace(":", "%3A").replace(",", "%2C")


def summary(suites: Sequence[Suite]) -> str:
    """Markdown: a table of the scenarios, and for each that failed its checks and what the nodes told."""
    good = sum(suite.passed for suite in suites)
    lines = [f"### IPsec lab: {good} of {len(suites)} scenarios passed", ""]
    lines += ["| scenario | verdict | checks | time |", "| --- | --- | --- | --- |"]
    for suite in suites:
        count = f"{suite.count(Result.PASSED)} of {len(suite.cases)}"
        lines.append(f"| {_cell(suite.name)} | {_SIGN[suite.passed]} | {count} | {span(suite.seconds)} |")
    for suite in suites:
        lines += _failures(suite)
    return "\n".join([*lines, ""])


def _failures(suite: Suite) -> list[str]:
    failed = _failed(suite)
    if not failed:
        return []
    lines = [
        "",
        f"#### {_cell(suite.name)}",
        "",
        "| node | check | why | where |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {_cell(c.node)} | {_cell(c.name)} | {_cell(c.message)} | {_cell(f'{suite.file}:{c.line}')} |"
        for c in failed[:SHOWN]
    ]
    # Every failed check of a node shows the same events: once is enough.
    for node, told in {case.node: case.told for case in failed if case.told}.items():
        text = html.escape("\n".join(printable(line) for line in told.splitlines()))
        lines += [
            "",
            f"<details><summary>{html.escape(node)}</summary>",
            "",
            f"<pre>{text}</pre>",
            "</details>",
        ]
    return lines


def _cell(text: str) -> str:
    """Text that neither ends a cell nor becomes HTML or Markdown."""
    escaped = html.escape(printable(text)).replace("|", "&#124;").replace("`", "&#96;")
    return escaped.replace("*", "&#42;").replace("_", "&#95;").replace("[", "&#91;")


def append(suites: Sequence[Suite], environment: Mapping[str, str] = os.environ) -> None:
    """Add the summary to the job's. Raises EnvironmentNotReady."""
    path = environment.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(summary(suites))
    except OSError as problem:
        raise EnvironmentNotReady(
            f"GITHUB_STEP_SUMMARY={path}: cannot be written: {problem.strerror}: unset it where no job runs"
        ) from problem
