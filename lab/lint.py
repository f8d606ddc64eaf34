"""Checking files without running anything: scenarios, and configurations of nodes.

1. Every problem of every file is found, in the order of the text.
2. The schemas speak first. Where they have nothing to say, the node is asked about what only it can judge.
3. Which schema a file is for it says in its first comment, else by its keys.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yamlschema
from lab import editor, library, nodecheck, plan
from lab.errors import UsageError
from lab.plan import NodePlan, Place
from lab.scenario import Scenario, from_document
from yamlschema import Document, Problem

_SUFFIXES = (".yaml", ".yml")
_KEY = re.compile(r"^([a-z_]+)\s*:", re.MULTILINE)
#: Keys that say nothing: half of all YAML files have them.
_ANYBODYS = {"name", "title", "description", "timeout", "run"}
#: Where a node is only imagined: addresses of RFC 5737, files that nobody opens.
_NOWHERE = Place("192.0.2.1", 8000, "192.0.2.2", 8000, "ca.pem", "cert.pem", "key.pem", "", True)


class Kind(StrEnum):
    """What a file is."""

    SCENARIO = "scenario"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with one file: nothing, or everything."""

    file: str
    kind: Kind
    problems: tuple[Problem, ...]


def find(paths: Sequence[Path], kind: Kind | None) -> list[tuple[Path, Kind]]:
    """The files to check, directories replaced by what is ours in them. Raises UsageError."""
    unreadable = [problem for path in paths if (problem := _unreadable(path))]
    if unreadable:
        raise UsageError("\n".join(unreadable))
    found: dict[Path, Kind] = {}
    for path in paths:
        ours = _below(path, kind) if path.is_dir() else [(path, kind or _kind(path) or Kind.SCENARIO)]
        if not ours:
            raise UsageError(f"{path}: no scenario and no configuration of a node is in it: name the files")
        found |= dict(ours)
    return list(found.items())


def _unreadable(path: Path) -> str:
    try:
        if not path.is_dir():
            path.open("rb").close()
    except OSError as error:
        return f"{library.shown(path)}: cannot be read: {error.strerror}"
    return ""


def _below(directory: Path, kind: Kind | None) -> list[tuple[Path, Kind]]:
    paths = []
    for place, directories, files in os.walk(directory):
        # Neither .git nor .venv.
        directories[:] = [name for name in directories if not name.startswith(".")]
        paths += [Path(place, name) for name in files if name.endswith(_SUFFIXES)]
    return [(path, told) for path in sorted(paths) if (told := kind or _kind(path))]


def _kind(path: Path) -> Kind | None:
    """What a file is; None where it is neither."""
    text = path.read_text("utf-8", "replace")
    named = editor.named(text)
    if named is not None:
        return {editor.SCENARIO: Kind.SCENARIO, editor.NODE: Kind.NODE}.get(named)
    keys = _keys(path, text) - _ANYBODYS
    scenario, node = (library.schema(name)["properties"].keys() for name in (editor.SCENARIO, editor.NODE))
    scenarios, nodes = len(keys & (scenario - node)), len(keys & (node - scenario))
    if not scenarios and not nodes:
        return None
    return Kind.NODE if nodes > scenarios else Kind.SCENARIO


def _keys(path: Path, text: str) -> set[str]:
    """The keys of the outermost mapping, guessed where the text is no YAML."""
    try:
        value = yamlschema.read(str(path)).value
    except yamlschema.DocumentError:
        return set(_KEY.findall(text))
    return set(value) if isinstance(value, dict) else set()


def report(path: Path, kind: Kind) -> Report:
    """Check one file. Raises EnvironmentNotReady where the node cannot be asked."""
    problems = _scenario(path) if kind is Kind.SCENARIO else _node(path)
    return Report(library.shown(path), kind, tuple(problems))


# --- scenarios ---


def _scenario(path: Path) -> Sequence[Problem]:
    document, problems = library.examine(path)
    if problems:
        return problems
    try:
        scenario = from_document(path.stem, document.source, document.value)
    except UsageError as error:
        return [_of_error(document, str(error))]
    found = [problem for group in scenario.groups for problem in _config(document, scenario, group.name)]
    return sorted(found, key=_position)


def _of_error(document: Document, text: str) -> Problem:
    """`SOURCE: section: message` at the section's place."""
    section, _, message = text.removeprefix(f"{document.source}: ").partition(": ")
    return document.problem((section,), message)


def _config(document: Document, scenario: Scenario, group: str) -> Iterator[Problem]:
    """What the node says of a group's `config`, on top of what the lab gives every node."""
    if not scenario.group(group).config:
        return
    first = scenario.group(group).members()[0]
    node: NodePlan = plan.make("lint", scenario).node(first)
    text = plan.document(node.configuration(_NOWHERE))
    for complaint in nodecheck.complaints(text.encode()):
        yield document.problem(("nodes", group, "config", *complaint.place), complaint.message)


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)


# --- configurations of nodes ---


def _node(path: Path) -> Sequence[Problem]:
    try:
        document = yamlschema.load(library.shown(path), library.schema(editor.NODE), library.formats())
    except yamlschema.DocumentError as error:
        return error.problems
    # Without a role in the file the command line gives it: what fits one of them is good.
    roles = [()] if _has_role(document.value) else [("--mode=ipsec-responder",), ("--mode=ipsec-initiator",)]
    octets = path.read_bytes()
    said = min((nodecheck.complaints(octets, *role) for role in roles), key=len)
    return [_placed(document, complaint) for complaint in said]


def _has_role(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value


def _placed(document: Document, complaint: nodecheck.Complaint) -> Problem:
    if complaint.mark is None:
        return document.problem(complaint.place, complaint.message)
    return Problem(document.source, complaint.mark, complaint.place, complaint.message)
