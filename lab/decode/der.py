"""DER octets within bounds, before pyasn1 sees them.

pyasn1 reads more than DER (lengths and numbers that are not the shortest, other types, what follows) and its
time grows with the elements, not with the octets. So this looks first: linear, without recursion, one pass.

Bounds of docs/ipseclab.asn1, "Encoding", but for the number of elements: pyasn1 and the tree take about 12 us
each, so this reads half of the 4,096 that the module allows. An IKE_AUTH has about 60.
"""

from lab.decode.problem import Unreadable

MAX_OCTETS = 65_507
MAX_ELEMENTS = 2_048
MAX_NESTING = 9
#: Octets of an INTEGER: 64 bits and one octet for the sign.
MAX_INTEGER = 9
MAX_ARCS = 32
#: Octets of one arc of an OBJECT IDENTIFIER: 128 bits (ITU-T X.667) in groups of seven.
MAX_ARC = 19

_BOOLEAN, _INTEGER, _OCTET_STRING, _OID, _SEQUENCE = 0x01, 0x02, 0x04, 0x06, 0x30
_CONSTRUCTED, _HIGH_TAG, _MORE = 0x20, 0x1F, 0x80
_CLASS, _CONTEXT = 0xC0, 0x80
#: The highest tag of the module, which needs two octets behind the first.
_HIGHEST_TAG = 128


def element(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Tag and start and end of the contents of the element at `at`. The tag is that of the first octet, or
    the number of the long form. Raises Unreadable unless both are in their shortest form and inside `end`.
    """
    if at + 2 > end:
        raise Unreadable(f"an element at octet {at} ends in its tag or length")
    if octets[at] & _HIGH_TAG != _HIGH_TAG:
        tag, at = octets[at], at + 1
    else:
        tag, at = _high_tag(octets, at, end)
    size, start = octets[at], at + 1
    if size & _MORE:
        size, start = _long_length(octets, at, end)
    if start + size > end:
        raise Unreadable(f"an element of {size} octets at octet {start} runs past the end")
    return tag, start, start + size


def _high_tag(octets: bytes, at: int, end: int) -> tuple[int, int]:
    """The number of a tag in the long form, and the place of the length."""
    number, place = 0, at + 1
    while place < end:
        number = number << 7 | octets[place] & ~_MORE
        place += 1
        if not octets[place - 1] & _MORE:
            break
        if number == 0 or place - at > 2:
            raise Unreadable(f"a tag at octet {at} that the module does not have")
    if place >= end or octets[place - 1] & _MORE:
        raise Unreadable(f"an element at octet {at} ends in its tag or length")
    if not _HIGH_TAG <= number <= _HIGHEST_TAG:
        raise Unreadable(f"a tag at octet {at} that the module does not have, or not in its shortest form")
    return number, place


def _long_length(octets: bytes, at: int, end: int) -> tuple[int, int]:
    """The length in the long form at `at`, and the place behind it."""
    count = octets[at] & ~_MORE
    if not 1 <= count <= 2 or at + 1 + count > end:
        raise Unreadable(f"a length at octet {at} that is indefinite, cut off or above {MAX_OCTETS}")
    size = int.from_bytes(octets[at + 1 : at + 1 + count])
    if size < _MORE or size >> 8 * (count - 1) == 0:
        raise Unreadable(f"a length at octet {at} that is not the shortest")
    return size, at + 1 + count


def check(octets: bytes) -> None:
    """Raise Unreadable unless the octets are one element, and every element in it keeps the bounds."""
    if len(octets) > MAX_OCTETS:
        raise Unreadable(f"{len(octets)} octets, a message has at most {MAX_OCTETS}")
    if element(octets, 0, len(octets))[2] != len(octets):
        raise Unreadable("octets behind the message")
    at, end, count = 0, len(octets), 0
    ends: list[int] = []
    while True:
        while at == end:
            if not ends:
                return
            end = ends.pop()
        first = octets[at]
        tag, start, stop = element(octets, at, end)
        count += 1
        if count > MAX_ELEMENTS:
            raise Unreadable(f"more than {MAX_ELEMENTS} elements, which is more than this decoder reads")
        if first & _CLASS != _CONTEXT:
            _check_universal(tag, octets, start, stop)
        if first & _CONSTRUCTED:
            ends.append(end)
            if len(ends) > MAX_NESTING:
                raise Unreadable(f"elements nested deeper than {MAX_NESTING}")
            at, end = start, stop
        else:
            at = stop


def _check_universal(tag: int, octets: bytes, start: int, stop: int) -> None:
    size = stop - start
    if tag == _INTEGER and size > MAX_INTEGER:
        raise Unreadable(f"an INTEGER of {size} octets at octet {start}")
    if tag == _OID:
        _check_oid(octets[start:stop], start)
    elif tag not in (_SEQUENCE, _INTEGER, _OCTET_STRING, _BOOLEAN):
        raise Unreadable(f"a type {tag:#04x} at octet {start} that the module does not have")


def _check_oid(contents: bytes, at: int) -> None:
    """Arcs and octets of each arc; the first two arcs share one number."""
    if len(contents) > MAX_ARCS * MAX_ARC:
        raise Unreadable(f"an OBJECT IDENTIFIER of {len(contents)} octets at octet {at}")
    arcs, run = 1, 0
    for octet in contents:
        run += 1
        if not octet & _MORE:
            arcs, run = arcs + 1, 0
        if arcs > MAX_ARCS or run >= MAX_ARC:
            raise Unreadable(f"an OBJECT IDENTIFIER past the bounds at octet {at}")


def dotted(contents: bytes) -> str:
    """The contents of an OBJECT IDENTIFIER as text. Raises Unreadable where it is past the bounds or cut."""
    _check_oid(contents, 0)
    if not contents or contents[-1] & _MORE:
        raise Unreadable("an OBJECT IDENTIFIER that ends in an arc")
    arcs, number = [], 0
    for octet in contents:
        number = number << 7 | octet & ~_MORE
        if not octet & _MORE:
            arcs.append(number)
            number = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
