"""The body of each payload of RFC 7296 section 3, as the elements that `payloads` makes trees of.

The numbers stand there themselves, where docs/ipseclab.asn1 has object identifiers and a shape of its own:
so SA, KE and the traffic selectors are made into items here. A body that is not used up to its last octet, or
whose lengths and counts contradict each other, raises Unreadable.
"""

import struct
from collections.abc import Callable, Iterator

from lab.decode import association, numbers, payloads
from lab.decode.algorithms import KE, Transform
from lab.decode.association import Offered, Proposal
from lab.decode.items import count, data
from lab.decode.payloads import Payload
from lab.decode.problem import Unreadable
from lab.decode.schema import PAYLOAD_TYPES, Fields
from lab.decode.values import Item

#: Attributes of one transform: one has ever been defined (3.3.5).
MAX_ATTRIBUTES = 16
_NONCE_SIZES = range(16, 257)
_KEY_LENGTH, _SHORT, _FIFTEEN_BITS = 14, 0x8000, 0x7FFF
_MORE_PROPOSALS, _MORE_TRANSFORMS = 2, 3
#: Types for private use have no name: what they mean is between the peers (3.2).
_REGISTERED = {number: name for number, name in numbers.PAYLOADS.items() if number < 128}
#: Octets of an address by the type of the selector (3.13.1).
_ADDRESSES = {7: 4, 8: 16}
_SELECTOR_HEAD = 4


class Cursor:
    """Octets that are taken from the front; taking more than there are raises Unreadable."""

    def __init__(self, name: str, octets: bytes) -> None:
        self._name, self._octets, self._at = name, octets, 0

    def __bool__(self) -> bool:
        return self._at < len(self._octets)

    @property
    def _left(self) -> int:
        return len(self._octets) - self._at

    def take(self, size: int) -> bytes:
        """The next octets."""
        if not 0 <= size <= self._left:
            raise Unreadable(f"{self._name}: {count(size)} wanted, {self._left} left")
        self._at += size
        return self._octets[self._at - size : self._at]

    def numbers(self, form: str) -> tuple[int, ...]:
        """The next numbers, in the notation of `struct`, most significant octet first."""
        return struct.unpack(f">{form}", self.take(struct.calcsize(f">{form}")))

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self._left)

    def end(self) -> None:
        """Raise Unreadable where something is left."""
        if self:
            raise Unreadable(f"{self._name}: {count(self._left)} behind its end")


def payload(kind: int, critical: bool, body: bytes, response: bool, look_into: bool) -> Payload:
    """The payload with this body. `look_into`: a certificate, too. Raises Unreadable."""
    name = _NAMES.get(kind)
    if name is None:
        return payloads.unknown({"payloadType": kind, "critical": critical, "body": body}, _REGISTERED)
    cursor = Cursor(numbers.PAYLOADS[kind], body)
    if name in _ITEMS:
        fields: Fields = {}
        children = _ITEMS[name](cursor)
    else:
        fields = _FIELDS[name](cursor)
        children = (
            payloads.certificate(fields, look_into) if name == "cert" else payloads.READERS[name](fields)
        )
    cursor.end()
    return payloads.shown(name, fields, children, response)


# -- as elements ---------------------------------------------------------------------------------------------


def _identification(cursor: Cursor) -> Fields:
    (kind,) = cursor.numbers("B3x")
    return {"idType": kind, "data": cursor.rest()}


def _certificate(cursor: Cursor) -> Fields:
    (encoding,) = cursor.numbers("B")
    return {"encoding": encoding, "certData": cursor.rest()}


def _certificate_request(cursor: Cursor) -> Fields:
    (encoding,) = cursor.numbers("B")
    return {"encoding": encoding, "authorities": cursor.rest()}


def _authentication(cursor: Cursor) -> Fields:
    (method,) = cursor.numbers("B3x")
    return {"method": method, "data": cursor.rest()}


def _nonce(cursor: Cursor) -> Fields:
    found = cursor.rest()
    if len(found) not in _NONCE_SIZES:
        raise Unreadable(f"Nonce: {count(len(found))} instead of 16 to 256")
    return {"data": found}


def _notify(cursor: Cursor) -> Fields:
    protocol, size, kind = cursor.numbers("BBH")
    spi = cursor.take(size)
    fields = {"protocolID": protocol, "notifyType": kind, "data": cursor.rest()}
    return fields | {"spi": spi} if spi else fields


def _delete(cursor: Cursor) -> Fields:
    protocol, size, many = cursor.numbers("BBH")
    if many and not size:
        raise Unreadable(f"D: {many} SPIs without an octet")
    return {"protocolID": protocol, "spis": [cursor.take(size) for _ in range(many)]}


def _only_data(cursor: Cursor) -> Fields:
    return {"data": cursor.rest()}


def _configuration(cursor: Cursor) -> Fields:
    (kind,) = cursor.numbers("B3x")
    found = []
    while cursor:
        number, size = cursor.numbers("HH")
        found.append({"attributeType": number & _FIFTEEN_BITS, "value": cursor.take(size)})
    return {"cfgType": kind, "attributes": found}


# -- as items ------------------------------------------------------------------------------------------------


def _key_exchange(cursor: Cursor) -> tuple[Item, ...]:
    (method,) = cursor.numbers("H2x")
    named = Item("Key Exchange Method", str(Transform(KE, method)))
    return (named, data("Key Exchange Data", cursor.rest()))


def _association(cursor: Cursor) -> tuple[Item, ...]:
    proposals = tuple(map(_proposal, _substructures(cursor, "proposal", _MORE_PROPOSALS)))
    if not proposals:
        raise Unreadable("SA: no proposal")
    return association.tree(proposals)


def _substructures(cursor: Cursor, name: str, more: int) -> Iterator[Cursor]:
    """What is in each proposal or transform: all but the last announce another."""
    while cursor:
        last, size = cursor.numbers("BxH")
        inside = Cursor(name, cursor.take(size - 4))
        if last != (more if cursor else 0):
            raise Unreadable(f"{name}: Last Substruc is {last}")
        yield inside


def _proposal(cursor: Cursor) -> Proposal:
    number, protocol, size, many = cursor.numbers("BBBB")
    if not number:
        raise Unreadable("proposal: its number is 0")
    spi = cursor.take(size)
    found = tuple(map(_transform, _substructures(cursor, "transform", _MORE_TRANSFORMS)))
    if len(found) != many:
        raise Unreadable(f"proposal: {len(found)} transforms, {many} announced")
    return Proposal(number, protocol, spi, found)


def _transform(cursor: Cursor) -> Offered:
    kind, number = cursor.numbers("BxH")
    bits, others = None, []
    for index, (attribute, value, short) in enumerate(_attributes(cursor)):
        if not index and short and attribute == _KEY_LENGTH:
            bits = int.from_bytes(value)
        else:
            others.append(data(f"Attribute {attribute}{' (TV)' if short else ''}", value))
    return Offered(Transform(kind, number, bits), tuple(others))


def _attributes(cursor: Cursor) -> Iterator[tuple[int, bytes, bool]]:
    """Type, value, and whether the value stands in the place of a length."""
    seen = 0
    while cursor:
        seen += 1
        if seen > MAX_ATTRIBUTES:
            raise Unreadable(f"transform: more than {MAX_ATTRIBUTES} attributes")
        (kind,) = cursor.numbers("H")
        size = cursor.take(2)
        short = bool(kind & _SHORT)
        yield kind & _FIFTEEN_BITS, size if short else cursor.take(int.from_bytes(size)), short


def _selectors(cursor: Cursor) -> tuple[Item, ...]:
    (many,) = cursor.numbers("B3x")
    return tuple(_selector(cursor) for _ in range(many))


def _selector(cursor: Cursor) -> Item:
    kind, protocol, size = cursor.numbers("BBH")
    inside = Cursor("traffic selector", cursor.take(size - _SELECTOR_HEAD))
    half = _ADDRESSES.get(kind)
    if half is None:
        return Item(
            "Traffic Selector",
            f"of the unknown type {kind}",
            (Item("TS Type", str(kind)), Item("IP Protocol ID", str(protocol)), data("Data", inside.rest())),
        )
    first, last = inside.numbers("HH")
    addresses = {"startAddress": inside.take(half), "endAddress": inside.take(half)}
    inside.end()
    return payloads.selector({"protocol": protocol, "startPort": first, "endPort": last, **addresses})


_FIELDS: dict[str, Callable[[Cursor], Fields]] = {
    "idI": _identification,
    "idR": _identification,
    "cert": _certificate,
    "certReq": _certificate_request,
    "auth": _authentication,
    "nonce": _nonce,
    "notify": _notify,
    "delete": _delete,
    "vendorID": _only_data,
    "config": _configuration,
    "eap": _only_data,
}
_ITEMS: dict[str, Callable[[Cursor], tuple[Item, ...]]] = {
    "sa": _association,
    "ke": _key_exchange,
    "tsI": _selectors,
    "tsR": _selectors,
}
_NAMES = {number: name for name, number in PAYLOAD_TYPES.items() if name in {*_FIELDS, *_ITEMS}}
