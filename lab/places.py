"""Where in a scenario file a check comes from, so that a report can point at the line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yamlschema
from lab.checks import Check
from lab.scenario import Expectation, Scenario

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """The file of a scenario, as the user would write it, and the lines of its checks (1 where unknown)."""

    file: str
    lines: Mapping[tuple[str, int], int]

    def line(self, node: str, index: int) -> int:
        """The line of the node's check number `index`, in the order in which `checks.judge` makes them."""
        return self.lines.get((node, index), 1)


def places(group: str, expect: Expectation) -> list[Place]:
    """The place of every check of one node, in the order in which `checks.judge` makes them."""
    at: Place = ("expect", group)
    found: list[Place] = [(*at, "events", index) for index in range(len(expect.events))]
    found += [(*at, "never", index) for index in range(len(expect.never))]
    found.append((*at, "exit_code"))
    return [*found, (*at, "sas")] if expect.sas is not None else found


def locate(scenario: Scenario, path: Path, shown: str) -> Source:
    """Read the scenario's file again for its lines. Raises yamlschema.DocumentError if it is gone by now."""
    document = yamlschema.read(str(path))
    lines: dict[tuple[str, int], int] = {}
    for group in scenario.groups:
        for index, place in enumerate(places(group.name, scenario.expect[group.name])):
            # A check that nobody wrote, such as "still running", belongs to the node's entry.
            key = place if place in document.marks else place[:2]
            mark = document.problem(key, "", at_key=key == place[:2]).mark
            lines |= {(name, index): mark.line for name in group.members() if mark is not None}
    return Source(shown, lines)


def numbered(checks: tuple[Check, ...]) -> list[tuple[int, Check]]:
    """Every check with its number among those of its node."""
    seen: dict[str, int] = {}
    found = []
    for check in checks:
        found.append((seen.get(check.node, 0), check))
        seen[check.node] = seen.get(check.node, 0) + 1
    return found
