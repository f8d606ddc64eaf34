"""The body of the SA payload: proposals, their transforms, the attributes of these (RFC 7296 3.3).

    Proposal     | Last Substruc | RESERVED |        Proposal Length        |
                 | Proposal Num  | Protocol ID | SPI Size | Num Transforms  |
                 ~ SPI ~ transforms ~
    Transform    | Last Substruc | RESERVED |        Transform Length       |
                 | Transform Type | RESERVED |        Transform ID          |
                 ~ attributes ~
    Attribute    |AF|   Attribute Type      | value (AF 1), or length (AF 0) |
                 ~ value (AF 0) ~

Last Substruc is 0 in the last of its kind, otherwise 2 (proposal) or 3 (transform). An attribute that is not
a key length in the form that RFC 7296 3.3.5 wants, and first, survives as one of the `others`.
"""

import struct
from collections.abc import Iterator
from functools import lru_cache

from node.model.payloads import SecurityAssociation
from node.model.proposal import Attribute, Proposal, Transform
from node.model.registry import AttributeType, ProtocolId, TransformType
from node.wire.rfc7296.limits import (
    MAX_ATTRIBUTES,
    MAX_PROPOSALS,
    MAX_REMEMBERED,
    MAX_REMEMBERED_SIZE,
    MAX_TRANSFORMS,
)
from node.wire.rfc7296.misfit import Misfit
from node.wire.rfc7296.reader import Reader

_SUBSTRUCTURE = struct.Struct(">BxH")
_PROPOSAL = struct.Struct(">BBBB")
_TRANSFORM = struct.Struct(">BxH")
_ATTRIBUTE = struct.Struct(">HH")

LAST, MORE_PROPOSALS, MORE_TRANSFORMS = 0, 2, 3
#: The bit in front of an attribute type: the value is in the next two octets (TV), no length (TLV).
SHORT = 0x8000
#: Octets of an attribute value in the short format.
SHORT_VALUE = 2


def read(reader: Reader) -> SecurityAssociation:
    """The proposals. Raises DecodeError."""
    parts = _substructures(reader, MORE_PROPOSALS, MAX_PROPOSALS, "proposals")
    proposals = tuple([_read_proposal(part) for part in parts])
    if not proposals:
        raise reader.malformed("no proposal (RFC 7296 3.3)")
    return SecurityAssociation(proposals)


def write(payload: SecurityAssociation) -> bytes:
    """Raises Misfit, or struct.error or OverflowError where a number is out of range."""
    if not 1 <= len(payload.proposals) <= MAX_PROPOSALS:
        raise Misfit("sa", f"{len(payload.proposals)} proposals instead of 1 to {MAX_PROPOSALS}")
    return _joined([_write_proposal(p) for p in payload.proposals], MORE_PROPOSALS)


def _substructures(reader: Reader, more: int, most: int, name: str) -> Iterator[Reader]:
    """A reader for each substructure, behind its length. Raises DecodeError."""
    index = 0
    while reader.more():
        if index == most:
            raise reader.malformed(f"more than {most} {name}")
        last, size = reader.fields(_SUBSTRUCTURE)
        part = reader.part(size - _SUBSTRUCTURE.size, f"{name}[{index}]")
        due = more if reader.more() else LAST
        if last != due:
            raise part.malformed(f"Last Substruc {last} instead of {due}")
        yield part
        index += 1


def _joined(parts: list[bytes], more: int) -> bytes:
    """The substructures with their beginnings."""
    marks = [more] * (len(parts) - 1) + [LAST]
    sizes = [_SUBSTRUCTURE.size + len(part) for part in parts]
    pairs = zip(marks, sizes, parts, strict=False)
    return b"".join([_SUBSTRUCTURE.pack(mark, size) + part for mark, size, part in pairs])


def _read_proposal(reader: Reader) -> Proposal:
    number, protocol, spi_size, count = reader.fields(_PROPOSAL)
    if not number:
        raise reader.malformed("the number 0 (RFC 7296 3.3.1)")
    spi = reader.take(spi_size)
    octets = reader.rest()
    remembered = len(octets) <= MAX_REMEMBERED_SIZE
    transforms = (_known_transforms if remembered else _read_transforms)(octets, reader.path)
    if len(transforms) != count:
        raise reader.malformed(f"{len(transforms)} transforms, {count} announced")
    return Proposal(number, ProtocolId.of(protocol), spi, transforms)


def _read_transforms(octets: bytes, path: str) -> tuple[Transform, ...]:
    """The transforms of the proposal that `path` names. Raises DecodeError."""
    parts = _substructures(Reader(octets, path), MORE_TRANSFORMS, MAX_TRANSFORMS, "transforms")
    return tuple([_read_transform(part) for part in parts])


_known_transforms = lru_cache(MAX_REMEMBERED)(_read_transforms)


def _write_proposal(proposal: Proposal) -> bytes:
    if not proposal.number:
        raise Misfit("sa/proposals", "the number 0 (RFC 7296 3.3.1)")
    sizes = len(proposal.spi), len(proposal.transforms)
    fields = _PROPOSAL.pack(proposal.number, proposal.protocol, *sizes)
    return fields + proposal.spi + _write_transforms(proposal.transforms)


@lru_cache(MAX_REMEMBERED)
def _write_transforms(transforms: tuple[Transform, ...]) -> bytes:
    """Those of our own suites: what a peer proposed is never written."""
    return _joined([_write_transform(t) for t in transforms], MORE_TRANSFORMS)


def _read_transform(reader: Reader) -> Transform:
    kind, number = reader.fields(_TRANSFORM)
    if not reader.more():
        return Transform(TransformType.of(kind), number)
    attributes = _read_attributes(reader)
    if not _is_key_length(attributes[0]):
        return Transform(TransformType.of(kind), number, None, attributes)
    return Transform(TransformType.of(kind), number, int.from_bytes(attributes[0].value), attributes[1:])


def _write_transform(transform: Transform) -> bytes:
    others = transform.others
    if transform.key_length is not None:
        length = transform.key_length.to_bytes(SHORT_VALUE)
        others = (Attribute(AttributeType.KEY_LENGTH, length, short=True), *others)
    elif others and _is_key_length(others[0]):
        raise Misfit("sa/transforms/attributes", "a key length that is not the key length of the transform")
    if len(others) > MAX_ATTRIBUTES:
        raise Misfit("sa/transforms/attributes", f"more than {MAX_ATTRIBUTES}")
    return _TRANSFORM.pack(transform.type, transform.id) + b"".join(map(_write_attribute, others))


def _is_key_length(attribute: Attribute) -> bool:
    return attribute.short and attribute.type == AttributeType.KEY_LENGTH


def _read_attributes(reader: Reader) -> tuple[Attribute, ...]:
    found: list[Attribute] = []
    while reader.more():
        if len(found) == MAX_ATTRIBUTES:
            raise reader.malformed(f"more than {MAX_ATTRIBUTES} attributes")
        kind, size = reader.fields(_ATTRIBUTE)
        if kind & SHORT:
            found.append(Attribute(kind & ~SHORT, size.to_bytes(SHORT_VALUE), short=True))
        else:
            found.append(Attribute(kind, reader.take(size)))
    return tuple(found)


def _write_attribute(attribute: Attribute) -> bytes:
    if attribute.type >= SHORT:
        raise Misfit("sa/transforms/attributes", f"type {attribute.type} has more than 15 bits")
    if not attribute.short:
        return _ATTRIBUTE.pack(attribute.type, len(attribute.value)) + attribute.value
    if len(attribute.value) != SHORT_VALUE:
        raise Misfit("sa/transforms/attributes", f"a short value has {SHORT_VALUE} octets")
    return _ATTRIBUTE.pack(SHORT | attribute.type, int.from_bytes(attribute.value))
