"""What a probe found, as values, and how findings are told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lab.console import Style
from lab.text import printable


class Level(StrEnum):
    """`WARN`: labs work, but not all of them or not as well. `FAIL`: the chosen backend cannot work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one probe. `code` and `fix` are empty where the level is OK."""

    probe: str
    level: Level
    found: str
    code: str = ""
    fix: str = ""

    def as_json(self) -> dict[str, str | None]:
        """The finding as a value of the output schema."""
        return {
            "probe": self.probe,
            "level": self.level.value,
            "code": self.code or None,
            "found": self.found,
            "fix": self.fix or None,
        }


def ok(probe: str, found: str) -> Finding:
    """Nothing is wrong."""
    return Finding(probe, Level.OK, found)


def warn(probe: str, code: str, found: str, fix: str) -> Finding:
    """Labs work without it."""
    return Finding(probe, Level.WARN, found, code, fix)


def fail(probe: str, code: str, found: str, fix: str) -> Finding:
    """Labs of the chosen backend do not work."""
    return Finding(probe, Level.FAIL, found, code, fix)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level of all."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)


_COLOURS = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}


def full(findings: Sequence[Finding], style: Style) -> list[str]:
    """The whole report: a line for each finding, and the remedy under what is not ok."""
    width = max(len(finding.probe) for finding in findings)
    lines = []
    for finding in findings:
        sign = style.paint(f"{finding.level.value:<4}", _COLOURS[finding.level])
        code = f"{finding.code}  " if finding.code else ""
        lines.append(f"{sign}  {finding.probe:<{width}}  {code}{printable(finding.found)}")
        if finding.fix:
            lines.append(f"{'':6}{'':{width}}  {style.paint('fix:', 'bold')} {printable(finding.fix)}")
    return lines


def short(findings: Sequence[Finding], style: Style) -> list[str]:
    """The same in few lines, for the head of a failure report: what was looked at, then what failed."""
    words = ", ".join(f"{finding.probe} {finding.code or 'ok'}" for finding in findings)
    lines = [f"  {style.paint('doctor', 'bold')}    {words}"]
    for finding in findings:
        if finding.level is Level.FAIL:
            told = f"{printable(finding.found)}: {printable(finding.fix)}"
            lines.append(f"  {style.paint(finding.code, 'bold', 'red')}  {told}")
    return lines
