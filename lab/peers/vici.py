"""Reading what `swanctl ... --pretty` writes: VICI messages, one element a line.

Without --pretty a message is one line, in which an identity that a peer chose may look like other elements: a
value may hold blanks, braces and equals signs. With it every element has a line of its own, and charon writes
values with control characters as hexadecimal, so no value reaches into the next line:

    list-sa event {
      lab {
        version = 2
        local-vips = [
          10.3.0.1
        ]
      }
    }
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Section = Mapping[str, "Element"]
Element = str | tuple[str, ...] | Section

#: Levels below the message; charon's own messages have four.
MAX_DEPTH = 16
_INDENT = 2
_HEAD = re.compile(r"([a-z-]+) (event|reply) \{")
_SECTION = re.compile(r"([^\s={}\[\]]+) \{")
_LIST = re.compile(r"([^\s={}\[\]]+) = \[")
_VALUE = re.compile(r"([^\s={}\[\]]+) = (.*)")


class ViciError(ValueError):
    """Text that is not what swanctl writes; the message has the number of the line."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `list-sa`, whether it is an event, and what it holds."""

    name: str
    event: bool
    content: Section


def parse(text: str) -> tuple[Message, ...]:
    """Every message of the text, which holds nothing else. Raises ViciError."""
    lines = _Lines(text)
    found = []
    while (line := lines.next()) is not None:
        head = _HEAD.fullmatch(line)
        if head is None:
            raise lines.error(f"{line[:60]!r} is no head of a message")
        found.append(Message(head[1], head[2] == "event", _section(lines, 1)))
    return tuple(found)


class _Lines:
    """The lines of a text, counted."""

    def __init__(self, text: str) -> None:
        self._lines: Iterator[str] = iter(text.removesuffix("\n").split("\n") if text else ())
        self._number = 0

    def next(self) -> str | None:
        self._number += 1
        return next(self._lines, None)

    def inside(self, depth: int, closing: str) -> str | None:
        """The next line at this depth without its indentation; None where `closing` ends it."""
        line = self.next()
        if line is None:
            raise self.error("the message does not end")
        blanks = " " * (_INDENT * depth)
        if line.startswith(blanks):
            return line[len(blanks) :]
        if line == blanks[_INDENT:] + closing:
            return None
        raise self.error(f"{line[:60]!r} is neither indented by {len(blanks)} nor the end with {closing!r}")

    def error(self, what: str) -> ViciError:
        return ViciError(f"line {self._number} of swanctl's answer: {what}")


def _section(lines: _Lines, depth: int) -> Section:
    if depth > MAX_DEPTH:
        raise lines.error(f"more than {MAX_DEPTH} levels")
    found: dict[str, Element] = {}
    while (line := lines.inside(depth, "}")) is not None:
        name, element = _element(lines, line, depth)
        if name in found:
            raise lines.error(f"{name!r} is there twice")
        found[name] = element
    return found


def _element(lines: _Lines, line: str, depth: int) -> tuple[str, Element]:
    if match := _SECTION.fullmatch(line):
        return match[1], _section(lines, depth + 1)
    if match := _LIST.fullmatch(line):
        return match[1], tuple(_items(lines, depth + 1))
    if match := _VALUE.fullmatch(line):
        return match[1], match[2]
    raise lines.error(f"{line[:60]!r} is no element")


def _items(lines: _Lines, depth: int) -> Iterator[str]:
    while (line := lines.inside(depth, "]")) is not None:
        yield line
