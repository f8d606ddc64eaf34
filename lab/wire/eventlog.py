"""The event stream: one JSON object a line on stdout, the same as prose on stderr; docs/events.md lists them.

A line is written at once and as a whole. A reader that went away does not stop the wire.
"""

import contextlib
import json
import os
import select
from collections.abc import Callable
from datetime import UTC, datetime

Lines = Callable[[str], None]


def lines_to(descriptor: int) -> Lines:
    """A function that writes lines to a descriptor until its reader goes away."""
    gone = False

    def write(line: str) -> None:
        nonlocal gone
        octets = (line + "\n").encode("utf-8", "backslashreplace")
        while octets and not gone:
            try:
                octets = octets[os.write(descriptor, octets) :]
            except BlockingIOError:
                # The other end made it non-blocking: wait until it takes more.
                with contextlib.suppress(OSError):
                    select.select([], [descriptor], [], 1.0)
            except OSError:
                gone = True

    return write


class EventLog:
    """Writes the events of one wire."""

    def __init__(self, name: str, events: Lines | None = None, prose: Lines | None = None) -> None:
        self._name = name
        self._events, self._prose = events or lines_to(1), prose or lines_to(2)

    def tell(self, event: str, /, **fields: object) -> None:
        """Write one event. Fields are JSON scalars and lists of them."""
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        whole = {"ts": stamp, "event": event, "node": self._name, **fields}
        # The one control character that JSON lets pass.
        self._events(json.dumps(whole, separators=(",", ":")).replace("\x7f", "\\u007f"))
        shown = " ".join(f"{key}={_shown(value)}" for key, value in fields.items() if value not in (None, ""))
        self._prose(f"{stamp} {self._name} {event} {shown}".rstrip())

    def say(self, text: str) -> None:
        """Write a line of prose that is no event."""
        self._prose(f"{self._name}: {_printable(text)}")


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{'; '.join(_printable(str(item)) for item in value)}]"
    text = _printable(str(value))
    return f'"{text}"' if " " in text else text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
