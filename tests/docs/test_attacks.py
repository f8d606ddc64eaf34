"""The table of attacks: complete, and every test in it exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (ROOT / "docs" / "attacks.md").read_text().splitlines()
    if re.match(r"\| \d", line)
]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The names of the test functions of a file."""
    return frozenset(f.name for f in ast.walk(ast.parse(path.read_text())) if isinstance(f, ast.FunctionDef))


def test_every_row_is_there() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 54))
    assert all(len(row) == 5 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row[0]))
def test_the_tests_of_a_row_exist(row: list[str]) -> None:
    named = re.findall(r"`([^`]+)`", row[4])
    assert named, "a row without a test"
    for name in named:
        file, _, function = name.partition("::")
        assert function.startswith("test_")
        assert function in functions_of(ROOT / "tests" / file), name
