"""Finding and reading scenarios: by name in the project's `scenarios/`, or by path."""

import json
import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import yamlschema
from lab import references
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
def schema() -> dict[str, Any]:
    """The JSON schema of scenarios."""
    text = (files("lab") / "schemas" / "scenario.schema.json").read_text()
    return cast(dict[str, Any], json.loads(text))


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
    try:
        document = yamlschema.load(shown(path), schema(), {"regex": _regex})
    except yamlschema.DocumentError as error:
        raise UsageError(str(error)) from None
    if problems := references.check(document):
        raise UsageError("\n".join(map(str, problems)))
    return from_document(path.stem, shown(path), document.value)


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
