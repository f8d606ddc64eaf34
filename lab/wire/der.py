"""As much of DER (X.690) as the header of a message needs: elements with identifiers of one octet.

Reading never raises, whatever the octets are, and it looks at nothing that it was not asked for.
"""

SEQUENCE, INTEGER, OCTET_STRING, OBJECT_IDENTIFIER = 0x30, 0x02, 0x04, 0x06
#: No datagram needs more octets than these to say a length.
_MAX_LENGTH_OCTETS = 3


def field(number: int, *, constructed: bool) -> int:
    """The identifier octet of the context-specific tag [number]."""
    return (0xA0 if constructed else 0x80) | number


def element(octets: bytes, at: int) -> tuple[int, int, int] | None:
    """Identifier, start and end of the contents of the element at `at`; None where there is no head of one.

    The end may lie behind the octets: whoever uses the contents compares.
    """
    if at < 0 or at + 2 > len(octets):
        return None
    first = octets[at + 1]
    if first < 0x80:
        return octets[at], at + 2, at + 2 + first
    size = first & 0x7F
    start = at + 2 + size
    if not 0 < size <= _MAX_LENGTH_OCTETS or start > len(octets):
        return None
    return octets[at], start, start + int.from_bytes(octets[at + 2 : start])


def elements(octets: bytes, at: int, stop: int) -> list[tuple[int, int, int, int]] | None:
    """Identifier, beginning, start and end of contents of all elements from `at` on; None where they do not
    end at `stop`.
    """
    found = []
    while at < stop:
        head = element(octets, at)
        if head is None or head[2] > stop:
            return None
        found.append((head[0], at, head[1], head[2]))
        at = head[2]
    return found


def write(identifier: int, contents: bytes) -> bytes:
    """An element in the shortest form."""
    size = len(contents)
    if size < 0x80:
        return bytes((identifier, size)) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((identifier, 0x80 | len(length))) + length + contents


def number(value: int, identifier: int = INTEGER) -> bytes:
    """A number that is not negative, in the fewest octets."""
    return write(identifier, value.to_bytes(value.bit_length() // 8 + 1))
