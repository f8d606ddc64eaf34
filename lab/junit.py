"""Verdicts as JUnit XML: a suite for each scenario, a case for each check. Pure, but for `write`.

The shape is the one that CI systems agree on: testsuites / testsuite / testcase with failure, error or
skipped, and system-out. The file is replaced as a whole after every scenario: a job that is cut leaves
a valid one.
"""

import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree as Xml

from lab import places, story
from lab.checks import Record
from lab.console import Style
from lab.errors import EnvironmentNotReady
from lab.judge import Verdict
from lab.places import Source
from lab.text import printable

#: Events that a case which passed shows; one that failed shows as many as the terminal.
SHOWN_IF_PASSED = 3
#: The property of a suite that says what ended the waiting early.
BROKEN = "broken"
# What `printable` leaves and XML 1.0 cannot hold (section 2.2, Char).
_NOT_XML = re.compile("[\ufffe\uffff]")


class Result(StrEnum):
    """How a case ended. `SKIPPED`: another node ended the waiting before this could be judged."""

    PASSED = "passed"
    FAILED = "failure"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One check. `told` is what the node told last."""

    node: str
    name: str
    result: Result
    line: int
    message: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """One scenario that was run, or that could not be."""

    name: str
    file: str
    began: datetime
    seconds: float
    cases: tuple[Case, ...]
    about: tuple[tuple[str, str], ...] = ()

    def count(self, result: Result) -> int:
        """How many cases ended so."""
        return sum(case.result is result for case in self.cases)

    @property
    def passed(self) -> bool:
        """Whether every check was made and holds."""
        return all(case.result is Result.PASSED for case in self.cases)


def cases(verdict: Verdict, records: Sequence[Record], source: Source) -> tuple[Case, ...]:
    """The cases of one verdict."""
    by_node = {record.node: record for record in records}
    cut = verdict.broken[0] if verdict.broken else None
    found = []
    for index, check in places.numbered(verdict.checks):
        result, message = (Result.PASSED, "") if check.passed else (Result.FAILED, check.reason)
        if not check.passed and cut is not None and check.node != cut:
            result, message = Result.SKIPPED, f"not waited for: {' '.join(verdict.broken or ())}"
        line = source.line(check.node, index)
        told = _told(by_node.get(check.node), result)
        found.append(Case(check.node, check.text, result, line, message, told))
    if verdict.broken and not any(case.result is Result.FAILED for case in found):
        found.append(Case(verdict.broken[0], "comes to its end", Result.FAILED, 1, verdict.broken[1]))
    return _unique(found)


def error(node: str, name: str, message: str) -> Case:
    """A case for what could not be judged at all."""
    return Case(node, name, Result.ERROR, 1, message)


def _told(record: Record | None, result: Result) -> str:
    if record is None:
        return ""
    count = SHOWN_IF_PASSED if result is Result.PASSED else story.SHOWN_EVENTS
    prose = record.prose[-story.SHOWN_PROSE :] if result is Result.FAILED else ()
    return "\n".join([*story.saw(record, prose, Style(False), count), ""])


def _unique(found: Sequence[Case]) -> tuple[Case, ...]:
    """Viewers take cases of one name for repetitions of one case."""
    seen: dict[tuple[str, str], int] = {}
    named = []
    for case in found:
        key = (case.node, case.name)
        seen[key] = seen.get(key, 0) + 1
        name = case.name if seen[key] == 1 else f"{case.name} ({seen[key]})"
        named.append(Case(case.node, name, case.result, case.line, case.message, case.told))
    return tuple(named)


def document(suites: Sequence[Suite]) -> str:
    """The whole file."""
    root = Xml.Element("testsuites", {"name": "ipseclab", **_counts(suites)})
    for suite in suites:
        _suite(Xml.SubElement(root, "testsuite"), suite)
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{Xml.tostring(root, "unicode")}\n'


def _counts(suites: Sequence[Suite]) -> dict[str, str]:
    return {
        "tests": str(sum(len(suite.cases) for suite in suites)),
        "failures": str(sum(suite.count(Result.FAILED) for suite in suites)),
        "errors": str(sum(suite.count(Result.ERROR) for suite in suites)),
        "skipped": str(sum(suite.count(Result.SKIPPED) for suite in suites)),
        "time": f"{sum(suite.seconds for suite in suites):.3f}",
    }


def _suite(element: Xml.Element, suite: Suite) -> None:
    element.attrib |= {"name": suite.name, **_counts([suite])}
    element.attrib |= {
        "timestamp": suite.began.strftime("%Y-%m-%dT%H:%M:%S"),
        "hostname": _text(socket.gethostname()),
        "file": _text(suite.file),
    }
    if suite.about:
        properties = Xml.SubElement(element, "properties")
        for name, value in suite.about:
            Xml.SubElement(properties, "property", {"name": name, "value": _text(value)})
    for case in suite.cases:
        _case(Xml.SubElement(element, "testcase"), suite, case)


def _case(element: Xml.Element, suite: Suite, case: Case) -> None:
    element.attrib |= {
        "classname": f"{suite.name}.{case.node}",
        "name": _text(case.name),
        # A check has no time of its own: the suite has that of the run.
        "time": "0.000",
        "file": _text(suite.file),
        "line": str(case.line),
    }
    if case.result is Result.SKIPPED:
        Xml.SubElement(element, "skipped", {"message": _text(case.message)})
    elif case.result is not Result.PASSED:
        attributes = {"message": _text(case.message), "type": "CheckFailed"}
        if case.result is Result.ERROR:
            attributes["type"] = "EnvironmentNotReady"
        problem = Xml.SubElement(element, case.result.value, attributes)
        problem.text = _text(f"{suite.file}:{case.line}: {case.node}: {case.name}: {case.message}")
    if case.told:
        Xml.SubElement(element, "system-out").text = "\n".join(map(_text, case.told.splitlines()))


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", printable(text))


def read(text: str) -> list[Suite]:
    """The suites of a file that `document` made."""
    return [_read_suite(element) for element in Xml.fromstring(text)]


def _read_suite(element: Xml.Element) -> Suite:
    at = element.attrib
    return Suite(
        name=at["name"],
        file=at["file"],
        began=datetime.fromisoformat(at["timestamp"]).replace(tzinfo=UTC),
        seconds=float(at["time"]),
        cases=tuple(_read_case(case, at["name"]) for case in element.iter("testcase")),
        about=tuple((found.attrib["name"], found.attrib["value"]) for found in element.iter("property")),
    )


def _read_case(element: Xml.Element, suite: str) -> Case:
    found = {result: child for result in Result if (child := element.find(result.value)) is not None}
    result = next(iter(found), Result.PASSED)
    return Case(
        node=element.attrib["classname"].removeprefix(f"{suite}."),
        name=element.attrib["name"],
        result=result,
        line=int(element.attrib["line"]),
        message=found[result].attrib["message"] if found else "",
        told=element.findtext("system-out", ""),
    )


def write(path: Path, suites: Sequence[Suite]) -> None:
    """Replace the file. Raises EnvironmentNotReady."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(document(suites), "utf-8")
        os.replace(temporary, path)
    except OSError as problem:
        with suppress(OSError):
            temporary.unlink()
        raise EnvironmentNotReady(
            f"--junit {path}: cannot be written: {problem.strerror}: name a file in a directory of yours"
        ) from problem
