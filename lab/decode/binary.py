"""An IKE message of the rfc7296 profile: header, payloads, and the protected part where its keys are known.

    SK     header (28) | generic header (4) | IV | payloads, padding, pad length | ICV
    SKF    header (28) | generic header (4) | number (2), total (2) | IV | part of them, padding ... | ICV

RFC 7296 3.14, RFC 7383 2.5. What stands before the IV is the associated data. A message in fragments is
shown with the last of them.
"""

import struct
from collections import OrderedDict
from collections.abc import Sequence

from lab.decode import bodies, ike, numbers
from lab.decode.ciphers import Algorithms, Sealed
from lab.decode.ike import Header, IkeKeyring, Opened, Read, header_item, notations
from lab.decode.items import count, data
from lab.decode.payloads import MAX_CERTIFICATES, Payload
from lab.decode.problem import Unreadable
from lab.decode.values import Item

#: What stands before a message on port 4500 (RFC 3948 2.2).
MARKER = bytes(4)
#: Payloads of one message, fragments of one, messages that wait for fragments.
MAX_PAYLOADS, MAX_FRAGMENTS, MAX_WAITING = 128, 32, 256

_HEADER = struct.Struct(">8s8sBBBBII")
_GENERIC = struct.Struct(">BBH")
_NUMBERS = struct.Struct(">HH")
_SK, _SKF, _CERT = 46, 53, 37
_FRAMES = (_SK, _SKF)
_CRITICAL = 0x80

#: Of a message in fragments: the interface where it was captured, SPIs, who sent it, message ID, of how many.
_Key = tuple[int, bytes, bytes, int, int, int]


class Reader:
    """Reads the messages of one capture in their order: fragments of an interface wait for each other."""

    def __init__(self, keyring: IkeKeyring) -> None:
        self._keyring = keyring
        self._waiting: OrderedDict[_Key, dict[int, tuple[int, bytes]]] = OrderedDict()

    def read(self, octets: bytes, interface: int = 0) -> Read:
        """Read one datagram without the marker; never raises for what is in it."""
        try:
            header = _header(octets)
        except Unreadable as error:
            title = f"no IKE message, {count(len(octets))}"
            return Read(title, (data("Octets", octets),), problem=str(error))
        try:
            _check_length(octets)
            if header.next_payload in _FRAMES:
                return self._protected(header, octets, interface)
            return ike.cleartext(header, _payloads(header, header.next_payload, octets[_HEADER.size :]))
        except Unreadable as error:
            title = f"{header.name}: malformed, {count(len(octets))}"
            return Read(title, (header_item(header),), problem=str(error))

    def _protected(self, header: Header, octets: bytes, interface: int) -> Read:
        """Raises Unreadable where it is not framed as SK or SKF are."""
        start, first, number, total = _frame(header, octets)
        sealed_octets = octets[start:]
        part = f" {number}/{total}" if total else ""
        name = f"{header.name}: {numbers.PAYLOADS[header.next_payload]}{part}"
        closed = f"{name}{{{count(len(sealed_octets))}}}"
        try:
            opened = ike.open_with(header, self._keyring, lambda used: _cut(octets, start, used))
        except Unreadable as error:
            item = Item(_title(header), "not opened", (data("Protected", sealed_octets),))
            return Read(closed, (header_item(header), item), problem=str(error))
        try:
            inner, padding = ike.unpadded(opened.plain, 0)
            content: tuple[int, bytes] | None = (first, inner)
            if total:
                content = self._joined(interface, header, number, total, (first, inner))
            if content is None:
                item = _item(header, opened, (data("Part of the payloads", inner),))
                return Read(closed, (header_item(header), item), opened=True)
            found = _payloads(header, *content)
        except Unreadable as error:
            item = _item(header, opened, (data("Plaintext", opened.plain),))
            problem = f"opened, but malformed inside: {error}"
            return Read(closed, (header_item(header), item), problem=problem)
        inside = (*(p.item for p in found), Item("Padding", count(padding)))
        items = (header_item(header), _item(header, opened, inside))
        return Read(f"{name}{{{notations(found)}}}", items, opened=True)

    def _joined(
        self, interface: int, header: Header, number: int, total: int, content: tuple[int, bytes]
    ) -> tuple[int, bytes] | None:
        """What the message holds once all fragments are there. A fragment that comes again is the same."""
        sender = header.flags & (ike.INITIATOR | ike.RESPONSE)
        key = (interface, header.spi_i, header.spi_r, sender, header.message_id, total)
        waiting = self._waiting.setdefault(key, {})
        self._waiting.move_to_end(key)
        waiting.setdefault(number, content)
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
        if len(waiting) < total:
            return None
        del self._waiting[key]
        return waiting[1][0], b"".join(waiting[n][1] for n in range(1, total + 1))


def _header(octets: bytes) -> Header:
    if len(octets) < _HEADER.size:
        raise Unreadable(f"a header of {count(len(octets))}")
    spi_i, spi_r, following, version, exchange, flags, message_id, _ = _HEADER.unpack_from(octets)
    return Header(spi_i, spi_r, following, version, exchange, flags, message_id, octets[: _HEADER.size])


def _check_length(octets: bytes) -> None:
    length = _HEADER.unpack_from(octets)[-1]
    if length != len(octets):
        raise Unreadable(f"the length in the header is {length}, the message has {count(len(octets))}")


def _frame(header: Header, octets: bytes) -> tuple[int, int, int, int]:
    """Where the IV begins, the type of the first payload inside, number and total of a fragment (else 0)."""
    fragment = header.next_payload == _SKF
    start = _HEADER.size + _GENERIC.size + (_NUMBERS.size if fragment else 0)
    if len(octets) < start:
        raise Unreadable("SK: ends in its fields")
    first, _, size = _GENERIC.unpack_from(octets, _HEADER.size)
    if size != len(octets) - _HEADER.size:
        raise Unreadable(f"SK: a length of {size}, and {len(octets) - _HEADER.size} octets are left")
    if not fragment:
        return start, first, 0, 0
    number, total = _NUMBERS.unpack_from(octets, start - _NUMBERS.size)
    if not 1 <= number <= total <= MAX_FRAGMENTS or (number > 1 and first):
        raise Unreadable(f"SKF: fragment {number} of {total}, first payload {first}")
    return start, first, number, total


def _cut(octets: bytes, start: int, used: Algorithms) -> Sealed:
    """The parts by the sizes of these algorithms; too few octets give parts of other sizes."""
    begin = start + used.iv_size
    end = max(len(octets) - used.icv_size, begin)
    return Sealed(octets[:start], octets[start:begin], octets[begin:end], octets[end:])


def _title(header: Header) -> str:
    kind = header.next_payload
    words = numbers.PAYLOAD_WORDS[_SK] + (" Fragment" if kind == _SKF else "")
    return f"{words} ({numbers.PAYLOADS[kind]})"


def _item(header: Header, opened: Opened, inside: Sequence[Item]) -> Item:
    parts = opened.sealed
    return Item(
        _title(header),
        f"{count(len(parts.ciphertext))}, {opened.said}",
        (
            data("Initialization Vector", parts.iv),
            data("Encrypted IKE Payloads", parts.ciphertext),
            data("Integrity Checksum Data", parts.icv),
            *inside,
        ),
    )


def _payloads(header: Header, first: int, octets: bytes) -> list[Payload]:
    """The chain of payloads up to the last octet (3.2). Raises Unreadable."""
    found: list[Payload] = []
    cursor, kind, certificates = bodies.Cursor("payload", octets), first, 0
    while kind:
        if kind in _FRAMES:
            raise Unreadable(f"{numbers.PAYLOADS[kind]} among other payloads")
        if len(found) == MAX_PAYLOADS:
            raise Unreadable(f"more than {MAX_PAYLOADS} payloads")
        following, bits, size = cursor.numbers("BBH")
        body = cursor.take(size - _GENERIC.size)
        certificates += kind == _CERT
        look_into = certificates <= MAX_CERTIFICATES
        found.append(bodies.payload(kind, bool(bits & _CRITICAL), body, header.response, look_into))
        kind = following
    cursor.end()
    return found
