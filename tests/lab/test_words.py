"""What users read: lines of events, tables, times, suggestions; what a peer wrote is escaped."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import text
from lab.backends.engine import explain
from lab.console import Style, wants_colour
from lab.errors import ExitCode, UsageError
from lab.events import NodeEvent, NodeExit, NodeProse, Told, parse_line
from lab.labels import LAB, OWNER, check_name, may_remove
from lab.output import table
from lab.render import NodeColours, log_line

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
PLAIN = Style(False)


@given(st.text())
def test_nothing_unprintable_survives(wild: str) -> None:
    shown = text.printable(wild)
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert not any(0xD800 <= ord(sign) < 0xE000 or sign in "\u202e\u2066\u200b" for sign in shown)


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=4))
def test_a_line_of_the_log_is_one_line_whatever_a_node_says(
    name: str, value: str, fields: Mapping[str, str]
) -> None:
    colours = NodeColours(["a"])
    told: list[Told] = [
        NodeEvent(NOON, "a", "esp_payload_decrypted", {"text": value}),
        NodeEvent(NOON, "a", name, fields),
        NodeProse("a", value),
    ]
    for item in told:
        line = log_line(item, colours, PLAIN)
        assert "\n" not in line
        assert "\x1b" not in line


def test_lines() -> None:
    colours = NodeColours(["responder", "b"])
    event = NodeEvent(
        NOON, "b", "esp_payload_decrypted", {"text": "Hello you", "spi": "c0ffee00", "peer": None}
    )
    shown = log_line(event, colours, PLAIN)
    assert shown == '12:00:00.123  b          ESP payload decrypted  text="Hello you"  spi=c0ffee00'
    assert log_line(NodeExit("b", 4), colours, PLAIN).strip() == "b          exited with code 4"
    unknown = NodeEvent(NOON, "b", "brand_new", {"a": 1, "b": ["x", "y"]})
    assert log_line(unknown, colours, PLAIN).endswith("brand_new  a=1  b=x,y")
    assert "\x1b[32m" in log_line(event, colours, Style(True))


LINES = [
    (
        '{"ts":"2026-11-23T12:00:00.123456Z","node":"x","event":"e","k":1}',
        NodeEvent(NOON, "a", "e", {"k": 1}),
    ),
    ('{"ts":"2026-11-23T13:00:00.123456+01:00","event":"e"}', NodeEvent(NOON, "a", "e", {})),
    ("Traceback", NodeProse("a", "Traceback")),
    ("[1]", NodeProse("a", "[1]")),
    ('{"event":"e"}', NodeProse("a", '{"event":"e"}')),
    ('{"ts":"yesterday","event":"e"}', NodeProse("a", '{"ts":"yesterday","event":"e"}')),
    ('{"ts":"2026-11-23T12:00:00","event":"e"}', NodeProse("a", '{"ts":"2026-11-23T12:00:00","event":"e"}')),
    ("[" * 5000, NodeProse("a", "[" * 5000)),
]


def test_notifications_of_every_message_are_short() -> None:
    payloads = ["SA", "N(NAT_DETECTION_SOURCE_IP)", "N(COOKIE)", "N(SIGNATURE_HASH_ALGORITHMS)"]
    told = NodeEvent(NOON, "a", "ike_sa_init_sent", {"payloads": payloads})
    line = log_line(told, NodeColours(["a"]), Style(False))
    assert line.endswith("payloads=SA,N(NATD_S_IP),N(COOKIE),N(HASH_ALG)")


@pytest.mark.parametrize(("line", "wanted"), LINES)
def test_reading_the_event_stream(line: str, wanted: Told) -> None:
    found = parse_line("a", line)
    assert found == wanted


def test_a_line_without_end_is_cut() -> None:
    found = parse_line("a", "x" * (2 << 20))
    assert isinstance(found, NodeProse)
    assert len(found.line) == 1 << 20


SPANS = [
    (0.001, "0.00 s"),
    (2.345, "2.35 s"),
    (42, "42 s"),
    (185, "3 min 5 s"),
    (7620, "2 h 7 min"),
    (90000, "1 d 1 h"),
]


@pytest.mark.parametrize(("seconds", "shown"), SPANS)
def test_spans(seconds: float, shown: str) -> None:
    assert text.span(seconds) == shown


def test_suggestions() -> None:
    assert text.did_you_mean("staus", ["status", "up"]) == " (did you mean status?)"
    assert text.did_you_mean("qqq", ["status", "up"]) == ""
    assert text.listing([]) == "none"


COLOURS = [
    (True, {}, False, True),
    (False, {}, False, False),
    (True, {"NO_COLOR": "1"}, False, False),
    (True, {"NO_COLOR": ""}, False, True),  # no-color.org: empty counts as not set
    (False, {"FORCE_COLOR": "1"}, False, True),
    (False, {"FORCE_COLOR": "0"}, False, False),
    (True, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
    (True, {"TERM": "dumb"}, False, False),
    (True, {"FORCE_COLOR": "1"}, True, False),
]


@pytest.mark.parametrize(("terminal", "environment", "refused", "wanted"), COLOURS)
def test_colour(terminal: bool, environment: dict[str, str], refused: bool, wanted: bool) -> None:
    assert wants_colour(terminal, environment, refused) is wanted


def test_tables_align_and_escape() -> None:
    shown = table(("A", "LONG"), [("x\x1b[31m", "1"), ("中文", "2")], PLAIN)
    assert shown.splitlines() == ["A          LONG", "x\\x1b[31m  1", "中文       2"]


@pytest.mark.parametrize("name", ["a", "lab-1", "x" * 32])
def test_names_of_labs(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a_b", "a.b", "x" * 33, "a/b", "ä", "a\n"])
def test_names_that_no_lab_can_have(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name)
    assert caught.value.exit_code is ExitCode.USAGE


def test_whose_lab_it_is() -> None:
    assert may_remove({LAB: "x", OWNER: "me"}, "me")
    assert may_remove({LAB: "x"}, "me")
    assert not may_remove({LAB: "x", OWNER: "you"}, "me")
    assert not may_remove({OWNER: "me"}, "me")


ENGINE_SAYS = [
    ("Pool overlaps with other one on this address space", "the subnet is taken"),
    ("no available IPv4 addresses on this network's address pools: x", "choose a larger one"),
    (
        "could not find an available, non-overlapping IPv4 address pool among the defaults",
        "no free subnet left",
    ),
    ("something new", "see `docker info`"),
]


@pytest.mark.parametrize(("said", "remedy"), ENGINE_SAYS)
def test_what_the_engine_says_comes_with_a_remedy(said: str, remedy: str) -> None:
    error = explain("cannot do it", said)
    assert str(error).startswith(f"cannot do it: {said}: ")
    assert remedy in str(error)
    assert error.exit_code is ExitCode.ENVIRONMENT
