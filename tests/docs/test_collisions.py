"""The tables of exchanges that meet: every test in them exists, and every such test is in them."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.readme import ROOT

ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (ROOT / "docs" / "collisions.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| case", "| ---"))
]
NAMED = [name for row in ROWS for name in re.findall(r"`([^`]+::[^`]+)`", row[-1])]


def functions_in(path: Path) -> set[str]:
    """The test functions of a file, as the tables name them."""
    functions = (
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
    )
    return {f"engine/{path.name}::{name}" for name in functions if name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_a_row_is_whole(row: list[str]) -> None:
    assert len(row) == 4
    assert all(row)
    assert re.fullmatch(r"\d\.\d+(\.\d)*(, \d\.\d+(\.\d)*)*", row[2])
    assert re.fullmatch(r"`[^`]+::test_\w+`(, `[^`]+::test_\w+`)*", row[3])


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 60
    missing = {name for name in NAMED if name not in functions_in(ROOT / "tests" / name.partition("::")[0])}
    assert not missing


def test_every_collision_has_its_row() -> None:
    files = sorted((ROOT / "tests" / "engine").glob("test_collisions_*.py"))
    assert set().union(*map(functions_in, files)) - set(NAMED) == set()


def test_no_test_stands_for_two_cases() -> None:
    assert [name for name, count in Counter(NAMED).items() if count > 1] == []
