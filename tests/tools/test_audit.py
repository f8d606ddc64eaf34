"""tools/audit.py: only packages that the database answered about count as free of vulnerabilities."""

import json

import pytest

from tools import audit

GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "X-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([GOOD], 0, "1 packages without known vulnerabilities"),
        ([GOOD, BAD], 1, "b 2: X-1, fix: 3"),
        ([BAD, SKIPPED], 1, "1 packages with known vulnerabilities"),
        ([GOOD, SKIPPED], 0, "no answer about c"),
        ([SKIPPED], 0, "NOT checked"),
    ],
    ids=["all answered", "one bad", "bad beats skipped", "some skipped", "all skipped"],
)
def test_verdict_of_a_report(packages: list[dict[str, object]], code: int, says: str) -> None:
    got, text = audit.verdict("lock", json.dumps({"dependencies": packages}), "")
    assert got == code
    assert says in text


def test_verdict_without_a_report() -> None:
    assert audit.verdict("lock", "", "x: Could not connect to the feed") == (
        0,
        "lock: NOT checked, the database cannot be reached",
    )
    code, text = audit.verdict("lock", "", "Traceback: KeyError")
    assert code == 4
    assert "KeyError" in text
