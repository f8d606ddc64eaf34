"""What came out, as values, as JSON and as a table in Markdown. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lab.interop.cells import METHODS, Cell
from lab.text import printable

SCHEMA = "ipseclab/interop/v1"


@dataclass(frozen=True, slots=True)
class CellResult:
    """One cell. `problems` is empty where it passed; `saw` is then empty, too."""

    cell: Cell
    seconds: float
    problems: tuple[str, ...] = ()
    ike: str = ""
    esp: str = ""
    methods: Mapping[str, str] = field(default_factory=dict)
    saw: tuple[str, ...] = ()
    #: Of both sides, as they tell it.
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of the cell."""
        return self.cell.name

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One special case."""

    name: str
    title: str
    seconds: float
    problems: tuple[str, ...] = ()
    saw: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    #: How often each side told of each event.
    told: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run. `versions` says what was tested against what, and where."""

    versions: Mapping[str, str]
    cells: tuple[CellResult, ...]
    cases: tuple[CaseResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every cell and every case passed."""
        return all(item.passed for item in self.items)

    @property
    def items(self) -> "tuple[CellResult | CaseResult, ...]":
        """Cells and cases."""
        return (*self.cells, *self.cases)


#: What is told of a case in which SAs were replaced, and what it is called.
_FIGURES = {
    "child_sa_rekeyed": "Child SAs replaced",
    "ike_sa_rekeyed": "IKE SAs replaced",
    "rekey_collision": "collisions",
    "retransmitted": "repetitions",
}


def figures(case: CaseResult) -> str:
    """How often SAs were replaced, as both sides told it; empty where that was not twice at least."""
    most = {name: max(told.get(name, 0) for told in case.told.values()) for name in _FIGURES if case.told}
    if most.get("child_sa_rekeyed", 0) < 2:
        return ""
    return ", ".join(f"{number} {_FIGURES[name]}" for name, number in most.items())


def as_json(results: Results) -> dict[str, Any]:
    """The document that is written beside the table."""
    return {
        "schema": SCHEMA,
        "passed": results.passed,
        "versions": dict(results.versions),
        "cells": [_cell(item) for item in results.cells],
        "cases": [{**asdict(item), "passed": item.passed} for item in results.cases],
    }


def _cell(item: CellResult) -> dict[str, Any]:
    told = asdict(item)
    return {"name": item.cell.name, **told.pop("cell"), **told, "passed": item.passed}


def markdown(results: Results) -> str:
    """A summary; for each role of the subject a table, authentication by key exchange; the special cases."""
    lines = ["# Interoperability", ""]
    lines += [f"* {name}: {_text(value)}" for name, value in results.versions.items()]
    lines += ["", "| dimension | passed |", "| --- | --- |", *_summary(results)]
    for role in dict.fromkeys(item.cell.role for item in results.cells):
        lines += ["", f"## The subject is the {role}", "", *_matrix(results.cells, role)]
    if results.cases:
        lines += ["", "## Special cases", "", "| case | what | result |", "| --- | --- | --- |"]
        lines += [f"| {case.name} | {_text(case.title)} | {_verdict(case)} |" for case in results.cases]
    failed = [item for item in results.cells if not item.passed]
    if failed:
        lines += [
            "",
            "## Failures",
            "",
            *(f"* {item.cell.name}: {_text(item.problems[0])}" for item in failed),
        ]
    return "\n".join(lines) + "\n"


def _summary(results: Results) -> Iterator[str]:
    """How many passed, by each value of each dimension."""
    for name, attribute in _DIMENSIONS.items():
        values = dict.fromkeys(getattr(item.cell, attribute) for item in results.cells)
        found = [[i for i in results.cells if getattr(i.cell, attribute) == value] for value in values]
        if found:
            told = (f"{value} {_passed(items)}" for value, items in zip(values, found, strict=True))
            yield f"| {name} | {', '.join(told)} |"
    if results.cases:
        yield f"| special cases | {_passed(results.cases)} |"


_DIMENSIONS = {"role": "role", "authentication": "auth", "key exchange": "ke", "suite": "suite"}


def _passed(items: Sequence[CellResult | CaseResult]) -> str:
    passed = sum(item.passed for item in items)
    text = f"{passed} of {len(items)}"
    return text if passed == len(items) else f"**{text}**"


def _matrix(cells: Sequence[CellResult], role: str) -> list[str]:
    """Cells are named by their suites; a combination that was not run has none."""
    mine = [item for item in cells if item.cell.role == role]
    kes = list(dict.fromkeys(item.cell.ke for item in mine))
    lines = [f"| | {' | '.join(kes)} |", f"| --- |{' --- |' * len(kes)}"]
    for auth in METHODS:
        row = [[item for item in mine if (item.cell.auth, item.cell.ke) == (auth, ke)] for ke in kes]
        if any(row):
            lines.append(f"| {auth} | {' | '.join(' '.join(map(_short, items)) for items in row)} |")
    return lines


def _short(item: CellResult) -> str:
    return f"{item.cell.suite} ok" if item.passed else f"**{item.cell.suite} FAILED**"


def _verdict(case: CaseResult) -> str:
    if case.passed:
        return f"ok: {text}" if (text := figures(case)) else "ok"
    return f"**FAILED**: {_text(case.problems[0])}"


def _text(value: str) -> str:
    """For a cell of a table."""
    return printable(value).replace("|", "\\|")
