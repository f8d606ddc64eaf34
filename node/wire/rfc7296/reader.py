"""The octets of one element, read from front to back.

Rules:

1. A reader holds the octets of its element alone: nothing behind its end can be reached.
2. An element that is part of another is read by a reader of its own, over its own octets.
3. Whoever reads an element ends with `end`, so that no octet goes unread.
"""

from struct import Struct
from typing import Any

from node.errors import DecodeError, DropReason


class Reader:
    """Reads big-endian fields and runs of octets. `path` names the element in errors."""

    __slots__ = ("_at", "_octets", "_size", "path")

    def __init__(self, octets: bytes, path: str) -> None:
        self._octets, self._at, self._size = octets, 0, len(octets)
        self.path = path

    def more(self) -> bool:
        """True where octets are left."""
        return self._at < self._size

    def fields(self, layout: Struct) -> tuple[Any, ...]:
        """The next fields. Raises DecodeError where too few octets are left."""
        at = self._at
        if self._size - at < layout.size:
            raise self.malformed("ends in its fields")
        self._at = at + layout.size
        return layout.unpack_from(self._octets, at)

    def take(self, size: int) -> bytes:
        """The next `size` octets. Raises DecodeError where they are not there."""
        at = self._at
        if not 0 <= size <= self._size - at:
            raise self.malformed(f"a length of {size} octets with {self._size - at} left")
        self._at = at + size
        return self._octets[at : self._at]

    def rest(self) -> bytes:
        """All octets that are left."""
        at, self._at = self._at, self._size
        return self._octets[at:]

    def part(self, size: int, name: str) -> "Reader":
        """A reader for the next `size` octets. Raises DecodeError where they are not there."""
        return Reader(self.take(size), f"{self.path}/{name}")

    def end(self) -> None:
        """Raises DecodeError where octets are left."""
        if self._at != self._size:
            raise self.malformed(f"{self._size - self._at} octets too many")

    def malformed(self, detail: str, reason: DropReason = DropReason.MALFORMED) -> DecodeError:
        """The error for this element, at the place that was reached."""
        return DecodeError(reason, self.path, detail, self._at)
