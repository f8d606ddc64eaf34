"""The payloads of a message into the fields of the module, and back: nothing lost, one way to write each.

The founding fields sa, ke, nonce and cert hold the first payload of their type, `payloads` all others in
order. `order` holds the positions in the message of the payloads in the founding fields; it is absent where
these stand first, as in the founding IKE_SA_INIT.

1. Whatever is accepted is what we would write. The library reads DER only, so one value has one encoding;
   where the module can say the same in two ways, the conversions accept the one that `write` chooses.
2. A body is the contents octets of a payload's element, without its identifier and length (as RFC 7296 2.15
   leaves out the generic header), so the same in a founding field and in the list.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from node.errors import DecodeError, DropReason
from node.model.message import Glance
from node.model.payloads import Payload
from node.model.registry import NotifyType, PayloadType
from node.wire.asn1 import der, payloads, schema
from node.wire.asn1.limits import MAX_DATAGRAM, MAX_PAYLOADS, NO_FRAGMENTS
from node.wire.asn1.misfit import Misfit, not_canonical

FOUNDING = (PayloadType.SA, PayloadType.KE, PayloadType.NONCE, PayloadType.CERT)

#: Identifier octets of the founding fields, of the list and of the order; of a Notify payload in the list.
_FOUNDING_FIELDS = frozenset({0xA1, 0xA2, 0xA3, 0xA4})
_NONCE_FIELD, _LIST_FIELD, _ORDER_FIELD = 0xA3, 0xA6, 0xA7
_NOTIFY = 0xBF29
#: Fields of a cleartext message behind its header.
MAX_FIELDS = 6

#: Octets of an order: four INTEGERs of at most two octets.
_LONGEST_ORDER = 4 * 4

#: How an INTEGER says COOKIE; how one says that a founding field is the first payload.
_COOKIE = NotifyType.COOKIE.to_bytes(2)
_FIRST = b"\0"

#: Bodies that are remembered: we ask for those of our own IDi and IDr alone.
MAX_REMEMBERED = 8


def write(items: Sequence[Payload]) -> bytes:
    """The contents of an InnerPayloads. Raises Misfit."""
    octets = schema.encode(_fields(items))
    if len(octets) > MAX_DATAGRAM:
        raise Misfit("message", f"{len(octets)} octets, {MAX_DATAGRAM} fit in a datagram: {NO_FRAGMENTS}")
    return der.contents(octets)


@lru_cache(MAX_REMEMBERED)
def body(payload: Payload) -> bytes:
    """The body of one payload, the same wherever it stands in a message. Raises Misfit."""
    return der.contents(schema.encode(payloads.write(payload)))


def read(contents: bytes) -> tuple[tuple[Payload, ...], tuple[bytes, ...]]:
    """Payloads and bodies of the contents of an InnerPayloads, which passed `der.scan`.

    Raises DecodeError: MALFORMED where they are not of the module, NOT_CANONICAL where they are not written
    as we would write them.
    """
    try:
        fields = schema.decode(schema.InnerPayloads, der.sequence(contents))
        pairs = _ordered(fields, _bodies(contents))
    except Misfit as error:
        raise DecodeError(error.reason, error.path, error.detail) from error
    except ValueError as error:
        raise DecodeError(DropReason.MALFORMED, "message", str(error)) from error
    return tuple([payload for payload, _ in pairs]), tuple([octets for _, octets in pairs])


def glance(octets: bytes, at: int) -> Glance:
    """Nonce and cookie in the fields from `at` on, whatever the others hold. Raises DecodeError."""
    fields: dict[int, tuple[int, int]] = {}
    for _ in range(MAX_FIELDS):
        if at >= len(octets):
            break
        identifier, start, at = der.element(octets, at, len(octets))
        fields[identifier] = start, at
    return Glance(_octet_string(octets, fields.get(_NONCE_FIELD)), _cookie(octets, fields))


def _octet_string(octets: bytes, place: tuple[int, int] | None) -> bytes:
    """The contents of the OCTET STRING that stands at `place`, or nothing."""
    if place is None or place[0] == place[1]:
        return b""
    identifier, start, stop = der.element(octets, *place)
    return octets[start:stop] if identifier == der.OCTET_STRING else b""


def _cookie(octets: bytes, fields: dict[int, tuple[int, int]]) -> bytes:
    """The cookie, where N(COOKIE) heads the list and no founding field stands before the list."""
    if _LIST_FIELD not in fields or _ORDER_FIELD not in fields:
        return b""
    start, stop = fields[_ORDER_FIELD]
    if stop - start > _LONGEST_ORDER or _FIRST in [place for _, place in der.children(octets, start, stop)]:
        return b""
    identifier, start, stop = der.element(octets, *fields[_LIST_FIELD])
    if identifier != _NOTIFY:
        return b""
    _, inside, end = der.element(octets, start, stop)
    return _octet_string(octets, (end, stop)) if octets[inside:end] == _COOKIE else b""


def _fields(items: Sequence[Payload]) -> schema.InnerPayloads:
    if len(items) > MAX_PAYLOADS:
        raise Misfit("message", f"more than {MAX_PAYLOADS} payloads")
    types = [item.type for item in items]
    first = {kind: types.index(kind) for kind in FOUNDING if kind in types}
    elements = list(map(payloads.write, items))
    found = {kind: elements[at] for kind, at in first.items()}
    positions = list(first.values())
    others = [element for at, element in enumerate(elements) if at not in positions]
    return schema.InnerPayloads(
        sa=cast("schema.SAPayload | None", found.get(PayloadType.SA)),
        ke=cast("schema.KEPayload | None", found.get(PayloadType.KE)),
        nonce=cast("schema.NoncePayload | None", found.get(PayloadType.NONCE)),
        cert=cast("schema.CertPayload | None", found.get(PayloadType.CERT)),
        payloads=others or None,
        order=None if positions == list(range(len(positions))) else positions,
    )


def _bodies(contents: bytes) -> tuple[list[bytes], list[bytes]]:
    """The bodies in the founding fields, and those in the list."""
    founding: list[bytes] = []
    others: list[bytes] = []
    for identifier, octets in der.children(contents, 0, len(contents)):
        if identifier in _FOUNDING_FIELDS:
            founding.append(octets)
        elif identifier == _LIST_FIELD:
            others = [inside for _, inside in der.children(octets, 0, len(octets))]
    return founding, others


def _ordered(
    fields: schema.InnerPayloads, bodies: tuple[list[bytes], list[bytes]]
) -> list[tuple[Payload, bytes]]:
    """Payloads with their bodies, in the order of the message."""
    elements = [e for e in (fields.sa, fields.ke, fields.nonce, fields.cert) if e is not None]
    others, positions = _listed(fields, len(elements))
    if len(elements) + len(others) > MAX_PAYLOADS:
        raise Misfit("message", f"more than {MAX_PAYLOADS} payloads")
    if len(positions) != len(elements) or len(set(positions)) != len(elements):
        raise Misfit("order", "not one position for each founding field")
    pairs = [(payloads.read(e), octets) for e, octets in zip(others, bodies[1], strict=True)]
    first = [(payloads.read(e), octets) for e, octets in zip(elements, bodies[0], strict=True)]
    for position, pair in sorted(zip(positions, first, strict=True), key=_position):
        if not 0 <= position <= len(pairs):
            raise Misfit("order", "a position outside the message")
        pairs.insert(position, pair)
    _check_first([payload.type for payload, _ in pairs], positions)
    return pairs


def _listed(fields: schema.InnerPayloads, founding: int) -> tuple[Sequence[schema.Payload], Sequence[int]]:
    """The payloads of the list, and the positions of the `founding` other ones. Raises Misfit."""
    usual = range(founding)
    if fields.payloads is not None and not fields.payloads:
        raise not_canonical("payloads", "an empty list")
    if fields.order is not None and fields.order == list(usual):
        raise not_canonical("order", "written out, though the founding fields stand first")
    return fields.payloads or (), usual if fields.order is None else fields.order


def _check_first(types: list[PayloadType], positions: Sequence[int]) -> None:
    """Raise Misfit where a founding field does not hold the first payload of its type."""
    if {types.index(kind) for kind in FOUNDING if kind in types} != set(positions):
        raise not_canonical("payloads", "the first of its type, outside the founding field")


def _position(item: tuple[int, object]) -> int:
    return item[0]
