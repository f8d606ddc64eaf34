"""A bounded look over DER octets before any decoder runs, and the little framing the codec does itself.

Rules:

1. Linear in the octets and iterative: no nesting, tag, length, count or identifier makes it slow or deep.
2. It raises DecodeError and nothing else; it never builds values, that is the library's work.
3. What it lets pass is not yet a message: only bounded.
"""

from node.errors import DecodeError, DropReason
from node.wire.asn1.limits import (
    MAX_ARC_OCTETS,
    MAX_DATAGRAM,
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_INTEGER,
    MAX_OID_ARCS,
    MAX_TAG_OCTETS,
)

SEQUENCE = 0x30
BOOLEAN, INTEGER, OCTET_STRING, OBJECT_IDENTIFIER = 0x01, 0x02, 0x04, 0x06
#: The universal types of the module (all else in it has a context-specific tag), and the octets of contents
#: that need no closer look.
SHORT_CONTENTS = {
    **dict.fromkeys((SEQUENCE, BOOLEAN, OCTET_STRING), MAX_DATAGRAM),
    INTEGER: MAX_INTEGER,
    # fewer octets than one arc may have are within both bounds
    OBJECT_IDENTIFIER: MAX_ARC_OCTETS - 1,
}

CONSTRUCTED = 0x20
CONTEXT, LAST_CONTEXT = 0x80, 0xBF
LONG_TAG = 0x1F
MORE = 0x80

#: Octets of a length after its first: two reach 65,535, more than a datagram holds.
MAX_LENGTH_OCTETS = 2


def element(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The identifier (its octets as a number), and start and end of the contents, of the element at `at`.

    Raises DecodeError: TRUNCATED where it runs past `end`, NOT_CANONICAL where identifier or length are not
    the shortest, MALFORMED where they are longer than the profile has.
    """
    if end - at < 2:
        raise DecodeError(DropReason.TRUNCATED, "element", "ends in its identifier or length", at)
    identifier, length = octets[at], octets[at + 1]
    start = at + 2
    if identifier & LONG_TAG == LONG_TAG:
        identifier, start = _long_tag(octets, at, end)
        length = octets[start - 1]
    if length & MORE:
        length, start = _long_length(octets, start - 1, end)
    if length > end - start:
        raise DecodeError(DropReason.TRUNCATED, "element", "runs past the end", at)
    return identifier, start, start + length


def _long_tag(octets: bytes, at: int, end: int) -> tuple[int, int]:
    """The identifier, and the place behind the first length octet."""
    last = at + 1
    while last < end and octets[last] & MORE:
        last += 1
        if last - at > MAX_TAG_OCTETS:
            raise DecodeError(DropReason.MALFORMED, "element", "a tag longer than the module has", at)
    if end - last < 2:
        raise DecodeError(DropReason.TRUNCATED, "element", "ends in its identifier or length", at)
    if octets[at + 1] == MORE or (last == at + 1 and octets[last] < LONG_TAG):
        raise DecodeError(DropReason.NOT_CANONICAL, "element", "a tag that is not in its shortest form", at)
    return int.from_bytes(octets[at : last + 1]), last + 2


def _long_length(octets: bytes, at: int, end: int) -> tuple[int, int]:
    """The length whose first octet is at `at`, and the place behind it."""
    count = octets[at] & ~MORE
    start = at + 1 + count
    if count == 0:
        raise DecodeError(DropReason.NOT_CANONICAL, "element", "an indefinite length", at)
    if count > MAX_LENGTH_OCTETS:
        raise DecodeError(DropReason.MALFORMED, "element", f"a length of {count} octets", at)
    if start > end:
        raise DecodeError(DropReason.TRUNCATED, "element", "ends in its length", at)
    length = int.from_bytes(octets[at + 1 : start])
    if length < MORE or length >> 8 * (count - 1) == 0:
        raise DecodeError(DropReason.NOT_CANONICAL, "element", "a length that is not the shortest", at)
    return length, start


def scan(octets: bytes, at: int, end: int) -> None:
    """Check every element of the run from `at` to `end` against the bounds. Raises DecodeError."""
    outer: list[int] = []
    count = 0
    while True:
        while at == end:
            if not outer:
                return
            end = outer.pop()
        first, start = octets[at], at + 2
        # Nearly every element has one octet of tag and one of length; the others are read with all care.
        if start <= end and first & LONG_TAG != LONG_TAG and octets[at + 1] < MORE:
            identifier, stop = first, start + octets[at + 1]
            if stop > end:
                raise DecodeError(DropReason.TRUNCATED, "element", "runs past the end", at)
        else:
            identifier, start, stop = element(octets, at, end)
        count += 1
        if count > MAX_ELEMENTS:
            raise DecodeError(DropReason.MALFORMED, "message", f"more than {MAX_ELEMENTS} elements", at)
        if not CONTEXT <= first <= LAST_CONTEXT and stop - start > SHORT_CONTENTS.get(identifier, -1):
            _check_universal(octets, identifier, at, start, stop)
        if first & CONSTRUCTED:
            outer.append(end)
            if len(outer) > MAX_DEPTH:
                raise DecodeError(DropReason.MALFORMED, "message", f"nested deeper than {MAX_DEPTH}", at)
            at, end = start, stop
        else:
            at = stop


def _check_universal(octets: bytes, identifier: int, at: int, start: int, stop: int) -> None:
    if identifier not in SHORT_CONTENTS:
        raise DecodeError(DropReason.MALFORMED, "element", "a type that the module does not have", at)
    if identifier == INTEGER and stop - start > MAX_INTEGER:
        raise DecodeError(DropReason.MALFORMED, "element", f"an INTEGER of {stop - start} octets", at)
    if identifier == OBJECT_IDENTIFIER:
        _check_identifier(octets[start:stop], at)


def _check_identifier(contents: bytes, at: int) -> None:
    """Bound an OBJECT IDENTIFIER: its arcs (the first two share an octet), and the octets of each."""
    if len(contents) > MAX_OID_ARCS * MAX_ARC_OCTETS:
        raise DecodeError(DropReason.MALFORMED, "element", "an OBJECT IDENTIFIER that is too long", at)
    arcs, run = 1, 0
    for octet in contents:
        run += 1
        if not octet & MORE:
            arcs, run = arcs + 1, 0
        if run >= MAX_ARC_OCTETS or arcs > MAX_OID_ARCS:
            raise DecodeError(DropReason.MALFORMED, "element", "an OBJECT IDENTIFIER past the bounds", at)


def children(octets: bytes, at: int, end: int) -> list[tuple[int, bytes]]:
    """Identifier and contents of each element of a run."""
    found = []
    while at < end:
        identifier, start, stop = element(octets, at, end)
        found.append((identifier, octets[start:stop]))
        at = stop
    return found


def contents(octets: bytes) -> bytes:
    """The contents of the one element that `octets` are."""
    _, start, stop = element(octets, 0, len(octets))
    return octets[start:stop]


def sequence(inside: bytes) -> bytes:
    """A SEQUENCE with these contents, of at most 65,535 octets. Raises OverflowError beyond."""
    size = len(inside)
    if size < MORE:
        return bytes((SEQUENCE, size)) + inside
    length = size.to_bytes(1 if size <= 0xFF else MAX_LENGTH_OCTETS)
    return bytes((SEQUENCE, MORE | len(length))) + length + inside
