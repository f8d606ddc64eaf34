"""Events as lines: the envelope, what is escaped, and readers that go away or stall."""

import json
import os
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.events import NodeEvent, parse_line
from lab.wire import eventlog
from lab.wire.eventlog import EventLog
from linetalk import writer
from linetalk.writer import LineWriter


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)

    def read(self) -> list[str]:
        """Every whole line that is there."""
        octets = b""
        while part := self._part():
            octets += part
        return octets.decode().splitlines()

    def _part(self) -> bytes:
        try:
            return os.read(self.reader, 1 << 16)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        for descriptor in (self.reader, self.writer):
            try:
                os.close(descriptor)
            except OSError:
                continue


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def _log(lines: list[str], prose: list[str]) -> EventLog:
    def to(where: list[str]) -> eventlog.Lines:
        def write(line: str) -> bool:
            where.append(line)
            return True

        return write

    return EventLog("w", to(lines), to(prose))


def test_the_envelope_is_that_of_a_node() -> None:
    lines: list[str] = []
    prose: list[str] = []
    _log(lines, prose).tell("wire_fault", act="drop", octets=3, source=None, faults=["a b", "c"])
    event = json.loads(lines[0])
    assert list(event) == ["ts", "event", "node", "act", "octets", "source", "faults"]
    assert datetime.fromisoformat(event["ts"]).tzinfo is not None
    assert len(event["ts"]) == len("2026-01-01T00:00:00.000000Z")
    assert prose[0].split(" ", 1)[1] == "w wire_fault act=drop octets=3 faults=[a b; c]"


@given(st.text(), st.text())
def test_whatever_a_name_holds_an_event_is_one_line_that_the_lab_reads(name: str, value: str) -> None:
    lines: list[str] = []
    prose: list[str] = []
    log = _log(lines, prose)
    log.tell("wire_fault", source=name, detail=value)
    log.say(value)
    found = parse_line("wire", lines[0])
    assert isinstance(found, NodeEvent)
    assert found.fields == {"source": name, "detail": value}
    assert all("\n" not in line and "\x1b" not in line and "\x7f" not in line for line in (*lines, *prose))


def test_a_reader_that_stalls_loses_lines_and_is_told_how_many(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.01)
    log = EventLog("w", LineWriter(pipe.writer).write, lambda _: True)
    for number in range(5000):
        log.tell("wire_fault", number=number, detail="x" * 100)
    seen = [json.loads(line) for line in pipe.read()]
    log.tell("wire_stopped")
    later = [json.loads(line) for line in pipe.read()]
    assert [event["number"] for event in seen] == list(range(len(seen)))
    assert 0 < len(seen) < 5000
    assert [event["event"] for event in later] == ["events_lost", "wire_stopped"]
    assert later[0]["count"] == 5000 - len(seen)


def test_a_line_longer_than_a_pipe_takes_at_once_is_never_torn(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.01)
    write = LineWriter(pipe.writer).write
    written = [str(number) * 50_000 for number in range(4) if write(str(number) * 50_000)]
    found = b""
    for _ in range(20):
        found += b"".join(iter(pipe._part, b""))
        write("end")
    lines = found.decode().splitlines()
    assert lines[: len(written)] == written
    assert set(lines[len(written) :]) <= {"end"}


def test_a_reader_that_went_away_is_nobody_to_wait_for(pipe: Pipe) -> None:
    write = LineWriter(pipe.writer).write
    os.close(pipe.reader)
    assert all(write("x") for _ in range(3))


def test_a_line_that_is_no_unicode_text_is_escaped(pipe: Pipe) -> None:
    assert LineWriter(pipe.writer).write("\udc80")
    assert pipe.read() == ["\\udc80"]
