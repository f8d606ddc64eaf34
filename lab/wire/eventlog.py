"""The event stream: one JSON object a line on stdout, the same as prose on stderr; docs/events.md lists them.

A line is written at once and as a whole. No reader can stop the wire: the stream of one that went away is
over, one that stalls is waited for a moment, then loses lines, and is told how many.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from linetalk.writer import LineWriter

#: Writes a line; False where its reader stalls and nothing of it was written.
Lines = Callable[[str], bool]


class _Stream:
    """One of the two streams, and how many events its reader misses."""

    def __init__(self, lines: Lines, shape: Callable[[str, str, Mapping[str, object]], str]) -> None:
        self.lines, self._shape = lines, shape
        self._missing = 0

    def tell(self, stamp: str, event: str, fields: Mapping[str, object]) -> None:
        if self._missing and self.lines(self._shape(stamp, "events_lost", {"count": self._missing})):
            self._missing = 0
        if self._missing or not self.lines(self._shape(stamp, event, fields)):
            self._missing += 1


class EventLog:
    """Writes the events of one wire."""

    def __init__(self, name: str, events: Lines | None = None, prose: Lines | None = None) -> None:
        self._name = name
        self._events = _Stream(events or LineWriter(1).write, self._json)
        self._prose = _Stream(prose or LineWriter(2).write, self._words)

    def tell(self, event: str, /, **fields: object) -> None:
        """Write one event. Fields are JSON scalars and lists of them."""
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        for stream in (self._events, self._prose):
            stream.tell(stamp, event, fields)

    def say(self, text: str) -> None:
        """Write a line of prose that is no event."""
        self._prose.lines(f"{self._name}: {_printable(text)}")

    def _json(self, stamp: str, event: str, fields: Mapping[str, object]) -> str:
        whole = {"ts": stamp, "event": event, "node": self._name, **fields}
        # The one control character that JSON lets pass.
        return json.dumps(whole, separators=(",", ":")).replace("\x7f", "\\u007f")

    def _words(self, stamp: str, event: str, fields: Mapping[str, object]) -> str:
        shown = [f"{key}={_shown(value)}" for key, value in fields.items() if value not in (None, "")]
        return " ".join([stamp, self._name, event, *shown])


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{'; '.join(_printable(str(item)) for item in value)}]"
    text = _printable(str(value))
    return f'"{text}"' if " " in text else text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
