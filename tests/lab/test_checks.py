"""Judging: tables of what was told and what was wanted, and the verdict with its reason."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import Record, SaView, broken, describe, judge, matches, value_matches, waiting_for
from lab.events import NodeEvent, NodeExit, NodeProse
from lab.scenario import Expectation, Pattern, SaCount, Wanted

START = datetime(2026, 1, 1, tzinfo=UTC)


def record(*names: str | tuple[str, Mapping[str, object]], exit_code: int | None = None) -> Record:
    made = Record("a")
    for number, item in enumerate(names):
        name, fields = (item, {}) if isinstance(item, str) else item
        made.add(NodeEvent(START + timedelta(seconds=number), "a", name, fields))
    if exit_code is not None:
        made.add(NodeExit("a", exit_code))
    return made


def wants(*names: str, **more: object) -> Expectation:
    return Expectation(tuple(Wanted(Pattern(name)) for name in names), **more)  # type: ignore[arg-type]


VALUES = [
    (1, 1, True),
    (1, 2, False),
    (1, True, False),  # a boolean is no number, though Python says 1 == True
    (True, 1, False),
    ("a", "a", True),
    (None, None, True),
    (None, "", False),
    (["a", "b"], "b", True),
    (["a", "b"], "c", False),
    ({"matches": "a+"}, "aaa", True),
    ({"matches": "a+"}, "aab", False),  # the whole text must match
    ({"matches": "a.b"}, "a\nb", True),
    ({"matches": "1"}, 1, False),
    ({"contains": "ell"}, "hello", True),
    ({"contains": "x"}, "hello", False),
    ({"contains": "KE"}, ["SA", "KE"], True),
    ({"contains": "K"}, ["SA", "KE"], False),
    ({"contains": "1"}, 1, False),
    ({"least": 3}, 3, True),
    ({"least": 3}, 2.9, False),
    ({"least": 0}, True, False),
    ({"most": 3}, 3, True),
    ({"most": 3}, "3", False),
    ({"least": 1, "most": 3}, 2, True),
    ({"least": 1, "most": 3}, 4, False),
    ({"other_than": "a"}, "b", True),
    ({"other_than": "a"}, "a", False),
    ({"other_than": 1}, True, True),
    ({"other_than": "a", "matches": "[ab]"}, "b", True),
]


@pytest.mark.parametrize(("wanted", "found", "verdict"), VALUES)
def test_values(wanted: object, found: object, verdict: bool) -> None:
    assert value_matches(wanted, found) is verdict


def test_a_field_that_is_missing_never_matches() -> None:
    event = NodeEvent(START, "a", "x", {})
    assert not matches(Pattern("x", {"reason": None}), event)
    assert matches(Pattern("x"), event)
    assert not matches(Pattern("y"), event)


JUDGED = [
    (wants("x"), record("x"), ""),
    (wants("x"), record(), "no x happened"),
    (wants("x", "y"), record("y", "x"), "happened, but not after the events before it in the list"),
    (wants("x", "y", ordered=False), record("y", "x"), ""),
    (wants("x", "x"), record("x"), "happened, but not after the events before it in the list"),
    (Expectation((Wanted(Pattern("x"), 2, 2),)), record("x"), "happened only 1 times"),
    (Expectation((Wanted(Pattern("x"), 2, 2),)), record("x", "x"), ""),
    (Expectation((Wanted(Pattern("x"), 2, 2),)), record("x", "x", "x"), "happened 3 times"),
    (Expectation((Wanted(Pattern("x"), 0, 1),)), record(), ""),
    (Expectation((Wanted(Pattern("x", {"k": 1})),)), record(("x", {"k": 2})), "it happened with k 2"),
    (Expectation((Wanted(Pattern("x", {"k": 1})),)), record(("x", {})), "it happened with k missing"),
    (Expectation(never=(Pattern("x"),)), record("y"), ""),
    (Expectation(never=(Pattern("x"),)), record("x"), "it happened 1 times"),
    (Expectation(never=(Pattern("x", {"k": 1}),)), record(("x", {"k": 2})), ""),
    (Expectation(), record(exit_code=0), "exited with code 0"),
    (Expectation(exit_code=0), record(), "is still running"),
    (Expectation(exit_code=0), record(exit_code=1), "exited with code 1"),
    (Expectation(exit_code=0), record(exit_code=0), ""),
]


@pytest.mark.parametrize(("expect", "told", "reason"), JUDGED)
def test_verdicts_and_reasons(expect: Expectation, told: Record, reason: str) -> None:
    failed = [check for check in judge(expect, told) if not check.passed]
    assert [check.reason for check in failed] == ([reason] if reason else [])


SAS = [
    (SaCount(1, 1), SaView(1, 1, 0), None, True),
    (SaCount(1, 1), SaView(1, 0, 0), None, False),
    (SaCount(1, 1), SaView(1, 1, 1), None, False),  # a half-open SA is a left-over as well
    (SaCount(0, 0), SaView(0, 0, 0), None, True),
    (SaCount(0, 0), None, None, False),  # silence is no proof
    (SaCount(0, 0), SaView(1, 1, 0), 0, True),  # the process is gone, and its SAs with it
    (SaCount(1, 1), None, 0, False),
]


@pytest.mark.parametrize(("wanted", "found", "exit_code", "verdict"), SAS)
def test_sas(wanted: SaCount, found: SaView | None, exit_code: int | None, verdict: bool) -> None:
    told = record(exit_code=exit_code)
    told.sas = found
    assert judge(Expectation(sas=wanted, exit_code=exit_code), told)[-1].passed is verdict


def test_what_cannot_be_put_right_ends_the_waiting() -> None:
    assert broken(Expectation(never=(Pattern("x"),)), record("x")) == "never x: it happened 1 times"
    assert broken(wants("x"), record(exit_code=4)) == "exited with code 4"
    assert broken(wants("x", exit_code=0), record(exit_code=0)) == "exited before x"
    assert broken(wants("x", exit_code=0), record("x", exit_code=0)) is None
    assert broken(wants("x"), record()) is None


def test_what_is_still_to_come() -> None:
    assert waiting_for(wants("x", "y"), record("x")) == ("y",)
    assert waiting_for(wants("x", exit_code=0), record("x")) == ("exits with code 0",)
    assert waiting_for(wants("x"), record("x")) == ()


def test_patterns_in_words() -> None:
    assert describe(Pattern("x")) == "x"
    where = {"a": 1, "b": {"least": 2}, "c": ["p", "q"]}
    assert describe(Pattern("x", where)) == "x with a = 1 and b >= 2 and c one of 'p', 'q'"
    assert describe(Pattern("x", {"d": {"other_than": "r"}})) == "x with d other than 'r'"


def test_prose_is_kept_but_never_judged() -> None:
    told = record()
    told.add(NodeProse("a", "x"))
    assert told.prose == ["x"]
    assert not judge(wants("x"), told)[0].passed


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=5))
def test_order_is_that_of_a_subsequence(told: list[str], wanted: list[str]) -> None:
    """All checks pass exactly where the wanted names are a subsequence of what was told."""
    rest = iter(told)
    subsequence = all(name in rest for name in wanted)
    assert all(check.passed for check in judge(wants(*wanted), record(*told))) is subsequence
