"""The event stream: JSON, prose, escaping, rate of drops, readers that go away."""

import contextlib
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linetalk.writer import LineWriter
from node.errors import DropReason
from node.eventlog import MOST_TOGETHER, TOLD_IN_FULL, EventLog, wants_colour
from node.model.events import EventName
from node.prose import Palette, escape, render

MOMENT = datetime(2026, 11, 23, 13, 25, 50, 123, UTC)
DOCUMENTED = Path(__file__).resolve().parents[2] / "docs" / "events.md"


def _between(first: str, last: str) -> str:
    return DOCUMENTED.read_text().split(first)[1].split(last)[0]


class Lines(list[str]):
    """Collects lines."""


def _log(json_lines: Lines, prose: Lines, colour: bool = False) -> EventLog:
    return EventLog("n1", json_lines.append, prose.append, Palette(colour), lambda: MOMENT)


def test_an_event_is_one_json_line_and_one_line_of_prose() -> None:
    lines, prose = Lines(), Lines()
    _log(lines, prose).emit(EventName.UDP_BOUND, address="127.0.0.1", port=8000)
    assert json.loads(lines[0]) == {
        "ts": "2026-11-23T13:25:50.000123Z", "node": "n1", "event": "udp_bound",
        "address": "127.0.0.1", "port": 8000,
    }  # fmt: skip
    assert prose == ["13:25:50.000 n1 listening on UDP 127.0.0.1[8000]"]


def test_known_shapes_of_prose() -> None:
    fields = {
        "kind": "request",
        "message_id": 1,
        "payloads": ["IDI", "CERT"],
        "octets": 9,
        "peer": "192.0.2.1:8000",
    }
    line = render("2026-11-23T13:25:50.000123Z", "n", EventName.IKE_AUTH_SENT, fields, Palette(False))
    assert line == "13:25:50.000 n generating IKE_AUTH request 1 [ IDI CERT ] for 192.0.2.1:8000 (9 bytes)"
    again = render(
        "2026-11-23T13:25:50.000123Z", "n", EventName.RETRANSMITTED, {"n": 1, "message_id": 0}, Palette(False)
    )
    assert again.endswith("retransmit 1 of request with message ID 0")


def test_every_event_has_prose_even_without_fields() -> None:
    for name in EventName:
        line = render("2026-11-23T13:25:50.000123Z", "n", name, {}, Palette(True))
        assert str(name) not in line.split(" ", 2)[2], f"{name} has no template"


@given(st.text(max_size=40))
def test_no_control_character_of_a_peer_reaches_a_terminal(text: str) -> None:
    fields = {"text": text, "peer": text, "spi": text, "sequence": 1}
    line = render("2026-11-23T13:25:50.000123Z", "n", EventName.ESP_PAYLOAD_DECRYPTED, fields, Palette(False))
    assert line.isprintable()


def test_escapes_are_readable() -> None:
    assert escape("a\x1b[31mb\n\u2028\u202e") == "a\\x1b[31mb\\n\\u2028\\u202e"


def test_json_escapes_what_a_terminal_would_obey() -> None:
    lines = Lines()
    _log(lines, Lines()).emit(EventName.ESP_PAYLOAD_DECRYPTED, text="a\x1b[2Jb\n\ud800")
    assert lines[0].isprintable()
    assert json.loads(lines[0])["text"] == "a\x1b[2Jb\n\ud800"


def test_drops_are_counted_exactly_and_told_seldom() -> None:
    lines = Lines()
    log = _log(lines, Lines())
    for _ in range(1234):
        log.drop(EventName.DATAGRAM_DROPPED, DropReason.BAD_ICV, peer="p", detail="d")
    log.drop(EventName.DATAGRAM_DROPPED, DropReason.MALFORMED, peer="p", detail="d")
    told = [json.loads(line) for line in lines]
    counts = [event["count"] for event in told if event["reason"] == "bad_icv"]
    assert counts == [*range(1, TOLD_IN_FULL + 1), 10, 100, 1000]
    assert dict(log.dropped) == {"bad_icv": 1234, "malformed": 1}
    assert log.emitted[EventName.DATAGRAM_DROPPED] == len(told)


def test_colour_only_where_it_is_wanted() -> None:
    assert wants_colour({}, True)
    assert not wants_colour({}, False)
    assert not wants_colour({"NO_COLOR": "1"}, True)
    assert wants_colour({"FORCE_COLOR": "1"}, False)
    assert not wants_colour({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True)
    prose = Lines()
    _log(Lines(), prose, colour=True).emit(EventName.NODE_FAILED, detail="x")
    assert prose[0].endswith("\x1b[31mFAILED: x\x1b[0m")


def test_a_reader_that_went_away_does_not_stop_the_writer() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(writing)
    writer.write("one")
    assert os.read(reading, 100) == b"one\n"
    os.close(reading)
    writer.write("two")
    writer.write("three")
    os.close(writing)


def test_a_line_is_written_whole_to_a_slow_reader() -> None:
    import threading

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got = bytearray()

    def read() -> None:
        while part := os.read(reading, 4096):
            got.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    LineWriter(writing).write("x" * 300_000)
    os.close(writing)
    reader.join()
    os.close(reading)
    assert bytes(got) == b"x" * 300_000 + b"\n"


# -- lines that belong together ------------------------------------------------------------------------------


def test_what_belongs_together_is_written_at_its_end() -> None:
    lines, prose = Lines(), Lines()
    log = _log(lines, prose)
    with log:
        _emit(log, 0, 3)
        assert lines == prose == []
    assert len(lines) == len(prose) == 1
    assert [json.loads(line)["port"] for line in lines[0].split("\n")] == [0, 1, 2]
    assert len(prose[0].split("\n")) == 3
    _emit(log, 3, 4)
    assert json.loads(lines[1])["port"] == 3


def test_what_belongs_together_is_written_whatever_ends_it() -> None:
    lines = Lines()
    log = _log(lines, Lines())

    def fails() -> None:
        with log:
            _emit(log, 0, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [json.loads(line)["port"] for line in lines[0].split("\n")] == [0, 1]


def test_no_more_is_kept_than_a_few_lines() -> None:
    lines = Lines()
    log = _log(lines, Lines())
    with log:
        _emit(log, 0, 10 * MOST_TOGETHER + 1)
        assert [len(line.split("\n")) for line in lines] == [MOST_TOGETHER] * 10
    assert [json.loads(line)["port"] for line in "\n".join(lines).split("\n")] == list(
        range(10 * MOST_TOGETHER + 1)
    )


def test_lines_written_together_are_cut_between_two_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others write to the same pipe: what it takes at once is never half a line."""
    parts: list[bytes] = []

    def write(descriptor: int, octets: bytes) -> int:
        parts.append(bytes(octets))
        return len(octets)

    reading, writing = os.pipe()
    monkeypatch.setattr("linetalk.writer.os.write", write)
    LineWriter(writing).write("\n".join(["x" * 1_000] * 9))
    monkeypatch.undo()
    os.close(reading)
    os.close(writing)
    assert b"".join(parts) == (b"x" * 1_000 + b"\n") * 9
    assert all(part.endswith(b"\n") and len(part) <= 4096 for part in parts)


# -- a reader that stalls ------------------------------------------------------------------------------------


class Stalled:
    """A pipe of two pages that nobody reads until `read`."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        fcntl.fcntl(self.writing, fcntl.F_SETPIPE_SZ, 8192)
        os.set_blocking(self.reading, False)

    def read(self) -> list[str]:
        """Everything that is there, which must be whole lines."""
        got = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reading, 65_536):
                got += part
        assert not got or got.endswith(b"\n")
        return got.decode().splitlines()

    def close(self) -> None:
        for end in (self.reading, self.writing):
            os.close(end)


@pytest.fixture
def stalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stalled]:
    monkeypatch.setattr("linetalk.writer.PATIENCE", 0.05)
    pipe = Stalled()
    yield pipe
    pipe.close()


def _emit(log: EventLog, first: int, last: int) -> None:
    for number in range(first, last):
        log.emit(EventName.UDP_BOUND, address="127.0.0.1", port=number)


def test_a_reader_that_stalls_loses_lines_and_is_told_how_many(stalled: Stalled) -> None:
    log = EventLog("n1", LineWriter(stalled.writing).write, None, Palette(False))
    begin = time.monotonic()
    _emit(log, 0, 2000)
    assert time.monotonic() - begin < 10 * 0.05 + 1
    read = [json.loads(line) for line in stalled.read()]
    assert [event["port"] for event in read] == list(range(len(read)))
    assert log.lost == {"json": 2000 - len(read)}
    assert log.emitted[EventName.UDP_BOUND] == 2000
    _emit(log, 2000, 2003)
    told, *later = [json.loads(line) for line in stalled.read()]
    assert (told["event"], told["count"]) == ("events_lost", 2000 - len(read))
    assert [event["port"] for event in later] == [2000, 2001, 2002]


def test_each_loss_is_told_once(stalled: Stalled) -> None:
    log = EventLog("n1", LineWriter(stalled.writing).write, None, Palette(False))
    seen, told = 0, 0
    for turn in range(5):
        _emit(log, turn * 500, turn * 500 + 500)
        for line in stalled.read():
            event = json.loads(line)
            seen += event["event"] == "udp_bound"
            told += event.get("count", 0)
    _emit(log, 0, 1)
    told += json.loads(stalled.read()[0])["count"]
    assert log.lost["json"] == told == 5 * 500 - seen


def test_a_line_that_was_begun_is_finished_before_another(stalled: Stalled) -> None:
    writer = LineWriter(stalled.writing)
    assert writer.write("x" * 10_000)
    assert not writer.write("lost")
    first = os.read(stalled.reading, 65_536)
    assert writer.write("next")
    assert (first.decode() + "\n".join(stalled.read())).split("\n") == ["x" * 10_000, "next"]


def test_a_line_longer_than_the_pipe_comes_in_parts(stalled: Stalled) -> None:
    writer = LineWriter(stalled.writing)
    assert writer.write("y" * 20_000)
    got = b""
    while not writer.write("z"):
        got += os.read(stalled.reading, 65_536)
    got += "\n".join([*stalled.read(), ""]).encode()
    assert got == b"y" * 20_000 + b"\nz\n"


def test_a_slow_reader_costs_a_bounded_time(stalled: Stalled) -> None:
    """It takes a page now and then, before it is given up: yet the node does not go at its pace."""
    writer = LineWriter(stalled.writing)
    begin = time.monotonic()
    for _ in range(100):
        writer.write("w" * 3_000)
        if not writer.write("w" * 3_000):
            os.read(stalled.reading, 65_536)
    assert time.monotonic() - begin < 1


def test_lines_lost_together_are_counted_one_by_one(stalled: Stalled) -> None:
    log = EventLog("n1", LineWriter(stalled.writing).write, None, Palette(False))
    for turn in range(100):
        with log:
            _emit(log, turn * 20, turn * 20 + 20)
    # What was begun is finished when the reader comes back.
    read = stalled.read()
    _emit(log, 2000, 2001)
    events = [json.loads(line) for line in [*read, *stalled.read()]]
    ports = [event["port"] for event in events if event["event"] == "udp_bound"]
    assert ports == [*range(len(ports) - 1), 2000]
    assert [event["count"] for event in events if event["event"] == "events_lost"] == [log.lost["json"]]
    assert len(ports) + log.lost["json"] == 2001


def test_one_stream_that_stalls_takes_nothing_from_the_other(stalled: Stalled) -> None:
    prose = Lines()
    log = EventLog("n1", LineWriter(stalled.writing).write, prose.append, Palette(False))
    _emit(log, 0, 1000)
    assert len(prose) == 1000
    assert log.lost["prose"] == 0 < log.lost["json"]


@pytest.mark.parametrize("name", list(EventName))
def test_every_event_is_documented(name: EventName) -> None:
    assert re.search(rf"^\| `{name}` \|", DOCUMENTED.read_text(), re.MULTILINE), (
        f"{name} is missing in docs/events.md"
    )


def test_every_documented_event_exists() -> None:
    documented = re.findall(
        r"^\| `([a-z_]+)` \|", _between("## Start and stop", "## Drop reasons"), re.MULTILINE
    )
    assert sorted(documented) == sorted(EventName)


def test_every_drop_reason_is_documented() -> None:
    documented = re.findall(r"^\| `([a-z_]+)` \|", _between("## Drop reasons", "## The wire"), re.MULTILINE)
    assert sorted(documented) == sorted(DropReason)


def test_json_lets_no_control_character_pass() -> None:
    lines = Lines()
    text = "".join(map(chr, range(0x100)))
    _log(lines, Lines()).emit(EventName.ESP_PAYLOAD_DECRYPTED, text=text)
    assert lines[0].isascii()
    assert lines[0].isprintable()
    assert json.loads(lines[0])["text"] == text


def test_nothing_is_imported_to_tell_of_what_a_peer_sent() -> None:
    """A node that gave up its rights may not be able to read Python's own files any more."""
    script = (
        "import sys; from node.daemon import main; from node.eventlog import EventLog;"
        "from node.model.events import EventName; from node.prose import Palette;"
        "log = EventLog('n', lambda line: None, lambda line: None, Palette(True)); before = set(sys.modules);"
        "text = '\\x07\\u2028\\udcff\\U0001f600';"
        "log.emit(EventName.ESP_PAYLOAD_DECRYPTED, text=text, peer=None, number=1.5);"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
