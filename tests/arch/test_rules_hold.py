"""The project keeps its own rules."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.arch import rules

ROOT = Path(__file__).resolve().parents[2]
RULES = (
    rules.layer_breaches,
    rules.package_breaches,
    rules.wire_breaches,
    rules.library_breaches,
    rules.io_breaches,
    rules.profile_word_breaches,
    rules.compare_breaches,
    rules.proof_breaches,
    rules.docstring_breaches,
    rules.size_breaches,
)


def test_the_tree_is_seen() -> None:
    names = {module.name for module in rules.modules(ROOT)}
    assert {"node.model", "node.ike", "ca.cli", "lab.images"} <= names


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_rule_holds(rule: Callable[[Path], list[str]]) -> None:
    breaches = rule(ROOT)
    assert not breaches, "\n" + "\n".join(breaches)


def test_long_functions_are_rare_in_tests_too() -> None:
    breaches = [line for line in rules.size_breaches(ROOT, ("tests",)) if not line.startswith("tests: ")]
    assert not breaches, "\n" + "\n".join(breaches)
