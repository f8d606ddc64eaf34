"""Cutting DER into elements, without copying meaning out of it.

Rules:

1. Only definite, minimal lengths and one-octet tags; everything else is `DerError`.
2. An element keeps its own octets: what was signed is compared and hashed as it came, never re-encoded.
3. Every loop has a limit given by the caller.
"""

from functools import lru_cache
from typing import NamedTuple

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
BOOLEAN = 0x01
SEQUENCE = 0x30
SET = 0x31


class DerError(ValueError):
    """Octets that are not DER, or not of the shape that was asked for."""


class Element(NamedTuple):
    """One element: its tag octet, its whole encoding and the content octets inside it."""

    tag: int
    octets: bytes
    content: bytes

    def expect(self, tag: int) -> "Element":
        """Return this element. Raises DerError where its tag is another."""
        if self.tag != tag:
            raise DerError(f"tag 0x{self.tag:02x} where 0x{tag:02x} is expected")
        return self

    def children(self, limit: int) -> tuple["Element", ...]:
        """The elements inside a constructed one, at most `limit`. Raises DerError."""
        if not self.tag & 0x20:
            raise DerError("a primitive element has no elements inside")
        return _split(self.content, limit)


def _length(octets: bytes, start: int) -> tuple[int, int]:
    """The long-form length whose first octet is at `start`, and where the content begins."""
    end = start + 1 + (octets[start] & 0x7F)
    if not 1 <= octets[start] & 0x7F <= 4 or end > len(octets):
        raise DerError("a length that is indefinite, too long or cut off")
    length = int.from_bytes(octets[start + 1 : end], "big")
    if length < 0x80 or octets[start + 1] == 0:
        raise DerError("a length that is not minimal")
    return length, end


def _split(octets: bytes, limit: int) -> tuple[Element, ...]:
    found: list[Element] = []
    start, size = 0, len(octets)
    while start < size:
        if len(found) == limit:
            raise DerError(f"more than {limit} elements")
        tag = octets[start]
        if tag & 0x1F == 0x1F or start + 2 > size:
            raise DerError("a tag of several octets, or no length")
        length, content = octets[start + 1], start + 2
        if length & 0x80:
            length, content = _length(octets, start + 1)
        end = content + length
        if end > size:
            raise DerError("ends inside an element")
        found.append(Element(tag, octets[start:end], octets[content:end]))
        start = end
    return tuple(found)


def read(octets: bytes) -> Element:
    """The one element that `octets` consist of. Raises DerError."""
    found = _split(octets, 1)
    if not found:
        raise DerError("no element")
    return found[0]


@lru_cache(maxsize=256)
def dotted(content: bytes) -> str:
    """The dotted form of an OBJECT IDENTIFIER's content octets (at most 64 of them). Raises DerError."""
    if not content or len(content) > 64 or content[-1] & 0x80:
        raise DerError("not an object identifier")
    arcs: list[int] = []
    arc, fresh = 0, True
    for octet in content:
        if fresh and octet == 0x80:
            raise DerError("an arc that is not minimal")
        arc, fresh = arc << 7 | octet & 0x7F, not octet & 0x80
        if fresh:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(number) for number in (first, arcs[0] - 40 * first, *arcs[1:]))


def unsigned(element: Element) -> int:
    """A non-negative INTEGER. Raises DerError for another tag, a negative or a not minimal one."""
    content = element.expect(INTEGER).content
    if not content or content[0] & 0x80 or (len(content) > 1 and content[0] == 0 and content[1] < 0x80):
        raise DerError("not a non-negative INTEGER")
    return int.from_bytes(content, "big")


def whole_octets(element: Element) -> bytes:
    """The octets of a BIT STRING without unused bits. Raises DerError."""
    content = element.expect(BIT_STRING).content
    if not content or content[0] != 0:
        raise DerError("a BIT STRING that is not whole octets")
    return content[1:]
