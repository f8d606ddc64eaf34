"""A bounded look at the DER structure of untrusted octets, before any decoder runs.

One pass over the octets, linear in their number, nothing interpreted: tags of one octet, definite lengths
that stay inside their parent, and caps on depth, on the number of elements, and on the size of integers and
object identifiers.
"""

from node.errors import DecodeError, DropReason

#: Deepest nesting: message, payloads, SA, proposals, proposal, transforms, transform, attributes, attribute,
#: value.
MAX_DEPTH = 12
#: Elements of one message: sixty payloads, or proposals with some hundred transforms, stay well below.
MAX_ELEMENTS = 4_000
#: Octets of an INTEGER: SPIs are the widest, 64 bits and a sign octet.
MAX_INTEGER = 9
#: Octets of an OBJECT IDENTIFIER: 32 arcs of the usual size; a UUID arc has 19 octets.
MAX_OID = 64

INTEGER, OBJECT_IDENTIFIER, SEQUENCE = 0x02, 0x06, 0x30
CONSTRUCTED = 0x20
_LONG_TAG = 0x1F
_CAPS = {INTEGER: MAX_INTEGER, OBJECT_IDENTIFIER: MAX_OID}


def head(octets: bytes, start: int, end: int) -> tuple[int, int, int]:
    """The tag of the element at `start`, and where its content begins and ends.

    Raises DecodeError (TRUNCATED, MALFORMED) where it does not fit before `end` or has an unusual form.
    """
    if end - start < 2:
        raise DecodeError(DropReason.TRUNCATED, "message", "an element without a length", start)
    tag, length = octets[start], octets[start + 1]
    if tag & _LONG_TAG == _LONG_TAG:
        raise DecodeError(DropReason.MALFORMED, "message", "a tag of several octets", start)
    content = start + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 3:
            raise DecodeError(DropReason.MALFORMED, "message", f"a length of {count} octets", start)
        content += count
        length = int.from_bytes(octets[start + 2 : content])
    if content + length > end:
        raise DecodeError(DropReason.TRUNCATED, "message", "an element reaches beyond its parent", start)
    return tag, content, content + length


def scan(octets: bytes) -> None:
    """Check the structure of exactly one element. Raises DecodeError."""
    _, _, end = head(octets, 0, len(octets))
    if end != len(octets):
        raise DecodeError(DropReason.MALFORMED, "message", "octets behind the message", end)
    position, ends, elements = 0, [end], 0
    while position < end:
        elements += 1
        if elements > MAX_ELEMENTS or len(ends) > MAX_DEPTH:
            raise DecodeError(DropReason.MALFORMED, "message", "too many or too deep elements", position)
        tag, content, finish = head(octets, position, ends[-1])
        if tag & CONSTRUCTED and finish > content:
            ends.append(finish)
            position = content
            continue
        if finish - content > _CAPS.get(tag, finish):
            raise DecodeError(DropReason.MALFORMED, "message", "an oversized number", position)
        position = finish
        while len(ends) > 1 and position == ends[-1]:
            ends.pop()
