"""The event stream: one JSON object a line on stdout, the same as prose on stderr.

Rules:

1. Every line is written as a whole and at once, or at the end of the few that belong together (`with log`):
   what one datagram or timer caused. No reader can stop the node: the stream of one that went away is simply
   over, one that stalls is waited for a moment, then loses lines, and is told how many.
2. Discarded datagrams are told in full a few times for each reason, then at every power of ten; the
   counters are exact.
3. Nothing here decides anything; what happened comes from elsewhere.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime

from linetalk.writer import LineWriter
from node.errors import DropReason
from node.model.events import EventName
from node.net import clock
from node.prose import Palette, render

#: Discarded datagrams of one reason that are told in full.
TOLD_IN_FULL = 5
#: Lines that are kept to be written together.
MOST_TOGETHER = 64

#: Without spaces; made once, as making one costs as much as an event.
_encode = json.JSONEncoder(separators=(",", ":")).encode

#: Writes a line, or some with a newline between them; False where all was lost. What returns nothing loses
#: nothing.
Write = Callable[[str], bool | None]


class _Stream:
    """One of the two streams, and how many lines its reader has lost."""

    def __init__(self, write: Write, render: Callable[[str, EventName, Mapping[str, object]], str]) -> None:
        self._write, self._render = write, render
        self._kept: list[str] = []
        self._untold = 0
        self.lost = 0

    def tell(self, stamp: str, name: EventName, fields: Mapping[str, object], *, keep: bool) -> None:
        """Write an event with those that were kept, or `keep` it; first of all, how many were lost, where
        some were.
        """
        if self._untold:
            lost = self._render(stamp, EventName.EVENTS_LOST, {"count": self._untold})
            self._untold = self._untold if self._write(lost) is False else 0
        self._kept.append(self._render(stamp, name, fields))
        if not keep or len(self._kept) >= MOST_TOGETHER:
            self.flush()

    def flush(self) -> None:
        """Write what was kept."""
        lines, self._kept = self._kept, []
        if lines and (self._untold or self._write("\n".join(lines)) is False):
            self._untold += len(lines)
            self.lost += len(lines)


class EventLog:
    """Writes the events of one node and keeps the exact counters of what was discarded."""

    def __init__(
        self,
        node: str,
        json_lines: Write | None,
        prose_lines: Write | None,
        palette: Palette,
        now: Callable[[], datetime] = clock.utc,
    ) -> None:
        self._node, self._now, self._palette = node, now, palette
        self._streams = {
            kind: _Stream(write, render)
            for kind, write, render in (("json", json_lines, self._json), ("prose", prose_lines, self._prose))
            if write is not None
        }
        self._together = False
        #: Discarded datagrams and inner packets by reason, all of them.
        self.dropped: Counter[str] = Counter()
        #: Events by name, all of them, also those that a reader lost.
        self.emitted: Counter[str] = Counter()

    @property
    def lost(self) -> dict[str, int]:
        """Events that the reader of a stream lost because it stalled."""
        return {kind: stream.lost for kind, stream in self._streams.items()}

    def emit(self, name: EventName, /, **fields: object) -> None:
        """Write one event. Fields are JSON scalars and lists of them."""
        self.emitted[name] += 1
        stamp = clock.stamp(self._now())
        for stream in self._streams.values():
            stream.tell(stamp, name, fields, keep=self._together)

    def __enter__(self) -> None:
        """What is told from here on belongs together."""
        self._together = True

    def __exit__(self, *_: object) -> None:
        """Write it, whatever ended it: a write for each line would cost a twentieth of a handshake."""
        self._together = False
        for stream in self._streams.values():
            stream.flush()

    def _json(self, stamp: str, name: EventName, fields: Mapping[str, object]) -> str:
        event = {"ts": stamp, "event": str(name), "node": self._node, **fields}
        # The one control character that JSON lets pass.
        return _encode(event).replace("\x7f", "\\u007f")

    def _prose(self, stamp: str, name: EventName, fields: Mapping[str, object]) -> str:
        return render(stamp, self._node, name, fields, self._palette)

    def count(self, name: EventName) -> None:
        """Count an event without telling it."""
        self.emitted[name] += 1

    def drop(self, name: EventName, reason: DropReason, /, times: int = 1, **fields: object) -> None:
        """Count discarded datagrams or packets, and tell of the last one unless it is one of many."""
        before = self.dropped[reason]
        self.dropped[reason] = count = before + times
        if is_told(before, count):
            self.emit(name, reason=str(reason), count=count, **fields)


def is_told(before: int, count: int) -> bool:
    """Whether a count that has grown from `before` is told: a few times, then at every power of ten."""
    return count <= TOLD_IN_FULL or len(str(count)) > len(str(before))


def standard(node: str, *, json_wanted: bool | None = None) -> EventLog:
    """The log of a daemon: JSON to stdout, prose to stderr.

    Where both are one terminal, a person reads: then the prose alone is written, unless `json_wanted`
    says otherwise.
    """
    if json_wanted is None:
        json_wanted = not (os.isatty(1) and os.isatty(2))
    prose = LineWriter(2).write
    colour = wants_colour(dict(os.environ), os.isatty(2))
    return EventLog(node, LineWriter(1).write if json_wanted else None, prose, Palette(colour))


def wants_colour(environment: dict[str, str], is_terminal: bool) -> bool:
    """NO_COLOR (any value) wins over FORCE_COLOR, which wins over what the stream is."""
    if environment.get("NO_COLOR"):
        return False
    return bool(environment.get("FORCE_COLOR")) or is_terminal


def quiet_exit_streams() -> None:
    """Keep the interpreter from complaining at exit about a reader that went away."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
