"""Finding and reading scenarios: by name in the project's `scenarios/`, or by path."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import yamlschema
from lab import editor, references
from lab.errors import UsageError
from lab.scenario import Scenario, from_document
from lab.text import did_you_mean, listing

DEFAULT_SCENARIO = "hello"
SUFFIX = ".yaml"


def project_directory() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parent.parent


def scenario_directory() -> Path:
    """IPSECLAB_SCENARIOS, or `scenarios/` of the project."""
    return Path(os.environ.get("IPSECLAB_SCENARIOS") or project_directory() / "scenarios")


def names() -> tuple[str, ...]:
    """The scenarios that can be run by name, the default one first."""
    found = sorted(path.name.removesuffix(SUFFIX) for path in scenario_directory().glob("*" + SUFFIX))
    return tuple(sorted(found, key=lambda name: name != DEFAULT_SCENARIO))


@cache
def schema(name: str = editor.SCENARIO) -> dict[str, Any]:
    """The JSON schema of scenarios, or another of ours."""
    return cast(dict[str, Any], json.loads(editor.path(name).read_text("utf-8")))


@cache
def whole_schema() -> dict[str, Any]:
    """The schema of scenarios with that of the node's configuration where `config` stands."""
    outer, inner = schema(), schema(editor.NODE)
    node = outer["$defs"]["node"]
    config = {
        **node["properties"]["config"],
        "properties": inner["properties"],
        "additionalProperties": False,
    }
    node = {**node, "properties": {**node["properties"], "config": config}}
    return {**outer, "$defs": {**outer["$defs"], "node": node}}


@cache
def formats() -> dict[str, yamlschema.Format]:
    """What checks the formats of both schemas. Those of the node only it can judge: any text will do here."""
    anything: yamlschema.Format = str
    return dict.fromkeys(_formats(schema(editor.NODE)), anything) | {"regex": _regex}


def _formats(part: object) -> Iterator[str]:
    if isinstance(part, Mapping):
        if isinstance(part.get("format"), str):
            yield part["format"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _formats(inner)


def load(which: str) -> Scenario:
    """The scenario of this name, or in this file. Raises UsageError with `file:line:col` for whatever is
    wrong.
    """
    return read(find(which))


def find(which: str) -> Path:
    """The file of a scenario's name, or the file itself. Raises UsageError."""
    if "/" in which or which.endswith((".yaml", ".yml")):
        return Path(which)
    if which not in names():
        raise UsageError(
            f"scenario {which!r} is unknown{did_you_mean(which, names())}: there are {listing(names())}"
        )
    return scenario_directory() / (which + SUFFIX)


def read(path: Path) -> Scenario:
    """The scenario in a file. Raises UsageError."""
    document, problems = examine(path)
    if problems:
        raise UsageError("\n".join(map(str, problems)))
    return from_document(path.stem, shown(path), document.value)


def examine(path: Path) -> tuple[yamlschema.Document, tuple[yamlschema.Problem, ...]]:
    """The document in a scenario file and what is wrong with it. Names are looked at once the schema fits."""
    try:
        document = yamlschema.load(shown(path), whole_schema(), formats())
    except yamlschema.DocumentError as error:
        return yamlschema.Document(shown(path), None), error.problems
    return document, references.check(document)


def _regex(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None


def shown(path: Path) -> str:
    """The path as the user would write it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
