"""The event stream: one JSON object a line on stdout, the same as prose on stderr.

Rules:

1. Every line is written at once and as a whole. A reader that went away must not stop the node: that
   stream is simply over.
2. Discarded datagrams are told in full a few times for each reason, then at every power of ten; the
   counters are exact.
3. Nothing here decides anything; what happened comes from elsewhere.
"""

import contextlib
import json
import os
import select
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from node.errors import DropReason
from node.model.events import EventName
from node.net import clock
from node.prose import Palette, render

#: Discarded datagrams of one reason that are told in full.
TOLD_IN_FULL = 5


class LineWriter:
    """Writes whole lines to a descriptor, until the reader goes away."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._open = True

    def write(self, line: str) -> None:
        """Write `line` and a newline. What is no Unicode text (lone surrogates) is escaped."""
        octets = (line + "\n").encode("utf-8", "backslashreplace")
        while octets and self._open:
            try:
                octets = octets[os.write(self._descriptor, octets) :]
            except BlockingIOError:
                # The other end made it non-blocking: wait until it takes more.
                _wait_writable(self._descriptor)
            except OSError:
                self._open = False


def _wait_writable(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        select.select([], [descriptor], [], 1.0)


class EventLog:
    """Writes the events of one node and keeps the exact counters of what was discarded."""

    def __init__(
        self,
        node: str,
        json_lines: Callable[[str], None] | None,
        prose_lines: Callable[[str], None] | None,
        palette: Palette,
        now: Callable[[], datetime] = clock.utc,
    ) -> None:
        self._node, self._now, self._palette = node, now, palette
        self._json_lines, self._prose_lines = json_lines, prose_lines
        #: Discarded datagrams and inner packets by reason, all of them.
        self.dropped: Counter[str] = Counter()
        #: Events by name, all of them.
        self.emitted: Counter[str] = Counter()

    def emit(self, name: EventName, /, **fields: object) -> None:
        """Write one event. Fields are JSON scalars and lists of them."""
        self.emitted[name] += 1
        stamp = clock.stamp(self._now())
        if self._json_lines:
            event = {"ts": stamp, "event": str(name), "node": self._node, **fields}
            # The one control character that JSON lets pass.
            self._json_lines(json.dumps(event, separators=(",", ":")).replace("\x7f", "\\u007f"))
        if self._prose_lines:
            self._prose_lines(render(stamp, self._node, name, fields, self._palette))

    def count(self, name: EventName) -> None:
        """Count an event without telling it."""
        self.emitted[name] += 1

    def drop(self, name: EventName, reason: DropReason, /, **fields: object) -> None:
        """Count a discarded datagram or packet, and tell it unless it is one of many."""
        self.dropped[reason] += 1
        count = self.dropped[reason]
        if count <= TOLD_IN_FULL or _is_power_of_ten(count):
            self.emit(name, reason=str(reason), count=count, **fields)


def _is_power_of_ten(number: int) -> bool:
    while number >= 10 and number % 10 == 0:
        number //= 10
    return number == 1


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
