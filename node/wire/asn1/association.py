"""The SA payload: one proposal in the founding shape, everything beyond it in the extensions.

The founding fields name the first encryption, integrity and key exchange transform of the first proposal.
Where they say it all (in IKE the HMAC names the PRF too) there is no extension: the founding message.
Otherwise `transforms` holds every transform of the first proposal in order, and `proposals` the other ones.
"""

from collections.abc import Sized
from dataclasses import dataclass, replace
from functools import lru_cache

from cryptography.x509 import ObjectIdentifier

from node.model.message import SPI_SIZE
from node.model.payloads import SecurityAssociation
from node.model.proposal import Attribute, Proposal, Transform
from node.model.registry import ProtocolId, TransformType
from node.wire.asn1 import oids, schema
from node.wire.asn1.limits import FIFTEEN_BITS, OCTET, TWO_OCTETS
from node.wire.asn1.misfit import Misfit, not_canonical, within

_FOUNDING_KINDS = (TransformType.ENCR, TransformType.INTEG, TransformType.KE)

#: Octets of an attribute value in the short (TV) format (RFC 7296 3.3.5).
SHORT_VALUE = 2

#: Spellings that are remembered: those of the configured proposals, and room for a few of other peers.
MAX_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class _Spelling:
    """How the founding fields spell the transforms of a first proposal.

    `founding`: they say it all, so that there is no list of transforms; `count` is numTransforms.
    """

    fields: tuple[ObjectIdentifier, ObjectIdentifier, ObjectIdentifier]
    founding: bool
    count: int


def write(payload: SecurityAssociation) -> schema.SAPayload:
    """Raises Misfit where a number is out of range or there is no proposal."""
    if not payload.proposals:
        raise Misfit("sa", "no proposal (RFC 7296 3.3)")
    first, *others = payload.proposals
    spelling = _spell(first.protocol, first.transforms)
    encr, integ, ke = spelling.fields
    return schema.SAPayload(
        proposal_num=within(first.number, OCTET, "sa/proposalNum", 1),
        protocol_id=within(first.protocol, OCTET, "sa/protocolID"),
        spi_size=within(len(first.spi), OCTET, "sa/spiSize"),
        num_transforms=spelling.count,
        encryption_alg=encr,
        integrity_alg=integ,
        dh_group=ke,
        spi=first.spi or None,
        transforms=None if spelling.founding else [_write_transform(t) for t in first.transforms],
        proposals=[_write_proposal(p) for p in others] or None,
    )


def read(element: schema.SAPayload) -> SecurityAssociation:
    """The proposals. Raises Misfit, also where they would be written in another way."""
    protocol = ProtocolId.of(within(element.protocol_id, OCTET, "sa/protocolID"))
    number = within(element.proposal_num, OCTET, "sa/proposalNum", 1)
    if element.transforms is None:
        transforms = _expand(protocol, element.encryption_alg, element.integrity_alg, element.dh_group)
    else:
        transforms = tuple(map(_read_transform, element.transforms))
    first = Proposal(number, protocol, element.spi or b"", transforms)
    _check_spelling(element, first)
    if element.proposals is None:
        return SecurityAssociation((first,))
    if not element.proposals:
        raise not_canonical("sa/proposals", "an empty list")
    return SecurityAssociation((first, *map(_read_proposal, element.proposals)))


def _check_spelling(element: schema.SAPayload, first: Proposal) -> None:
    """Raise Misfit where the redundant fields of `element` are not what `write` makes of `first`.

    Accepted but never written is what the founding document leaves open: the registered identifier of
    AES-256-CBC, a count that has the PRF too, and the size of the SPIs in the header where the proposal has
    none.
    """
    spelling = _spell(first.protocol, first.transforms)
    encr = _without_alias(element.encryption_alg)
    if (encr, element.integrity_alg, element.dh_group) != spelling.fields:
        raise not_canonical("sa", "the founding fields do not name the first transforms")
    if (element.transforms is None) != spelling.founding:
        raise not_canonical("sa/transforms", "a list where the founding fields say it all")
    counts, sizes = {spelling.count}, {within(len(first.spi), OCTET, "sa/spiSize")}
    if spelling.founding and first.protocol == ProtocolId.IKE:
        counts.add(len(first.transforms))
        if element.spi is None:
            sizes.add(SPI_SIZE)
    if element.num_transforms not in counts:
        raise not_canonical("sa/numTransforms", "not the number of transforms")
    if element.spi_size not in sizes or element.spi == b"":
        raise not_canonical("sa/spiSize", "not the size of the SPI")


def _without_alias(oid: ObjectIdentifier) -> ObjectIdentifier:
    return oids.AES_256_CBC if oid == oids.AES_256_CBC_ALIAS else oid


@lru_cache(MAX_REMEMBERED)
def _spell(protocol: ProtocolId, transforms: tuple[Transform, ...]) -> _Spelling:
    encr, integ, ke = (_founding(transforms, kind) for kind in _FOUNDING_KINDS)
    founding = _expand(protocol, encr, integ, ke) == transforms
    count = _named(encr, integ, ke) if founding else len(transforms)
    return _Spelling((encr, integ, ke), founding, within(count, OCTET, "sa"))


def _founding(transforms: tuple[Transform, ...], kind: TransformType) -> ObjectIdentifier:
    for transform in transforms:
        if transform.type == kind:
            return oids.identifier(
                kind, within(transform.id, TWO_OCTETS, "sa/transformID"), transform.key_length
            )[0]
    return oids.NO_ALGORITHM[kind]


def _named(*fields: ObjectIdentifier) -> int:
    return sum(oid not in oids.NO_ALGORITHM.values() for oid in fields)


@lru_cache(MAX_REMEMBERED)
def _expand(
    protocol: ProtocolId,
    encr: ObjectIdentifier,
    integ: ObjectIdentifier,
    ke: ObjectIdentifier,
) -> tuple[Transform, ...]:
    """What the founding fields say where there is no list of transforms."""
    cipher = oids.algorithm(TransformType.ENCR, encr, "sa/encryptionAlg")
    hashed = oids.algorithm(TransformType.INTEG, integ, "sa/integrityAlg")
    group = oids.algorithm(TransformType.KE, ke, "sa/dhGroup")
    found = [t for t in (cipher, hashed, group) if t.id]
    prf = oids.PRF_OF.get(integ) if protocol == ProtocolId.IKE else None
    if prf is not None:
        found.insert(found.index(hashed), prf)
    return tuple(found)


def _write_proposal(proposal: Proposal) -> schema.Proposal:
    _check_sizes(proposal.spi, proposal.transforms)
    return schema.Proposal(
        proposal_num=within(proposal.number, OCTET, "sa/proposals/proposalNum", 1),
        protocol_id=within(proposal.protocol, OCTET, "sa/proposals/protocolID"),
        spi=proposal.spi,
        transforms=[_write_transform(t) for t in proposal.transforms],
    )


def _read_proposal(element: schema.Proposal) -> Proposal:
    _check_sizes(element.spi, element.transforms)
    return Proposal(
        within(element.proposal_num, OCTET, "sa/proposals/proposalNum", 1),
        ProtocolId.of(within(element.protocol_id, OCTET, "sa/proposals/protocolID")),
        element.spi,
        tuple(map(_read_transform, element.transforms)),
    )


def _check_sizes(spi: bytes, transforms: Sized) -> None:
    if max(len(spi), len(transforms)) > OCTET:
        raise Misfit("sa/proposals", f"more than {OCTET} octets of SPI, or transforms")


def _write_transform(transform: Transform) -> schema.Transform:
    kind = TransformType(within(transform.type, OCTET, "sa/transforms/transformType"))
    number = within(transform.id, TWO_OCTETS, "sa/transforms/algorithm")
    oid, says_length = oids.identifier(kind, number, transform.key_length)
    length = None if says_length else transform.key_length
    return schema.Transform(
        transform_type=kind,
        algorithm=oid,
        key_length=None if length is None else within(length, TWO_OCTETS, "sa/transforms/keyLength"),
        attributes=[_write_attribute(a) for a in transform.others] or None,
    )


def _read_transform(element: schema.Transform) -> Transform:
    found = _transform(element.transform_type, element.algorithm, element.key_length)
    if element.attributes is None:
        return found
    if not element.attributes:
        raise not_canonical("sa/transforms/attributes", "an empty list")
    return replace(found, others=tuple(map(_read_attribute, element.attributes)))


@lru_cache(MAX_REMEMBERED)
def _transform(number: int, oid: ObjectIdentifier, key_length: int | None) -> Transform:
    kind = TransformType.of(within(number, OCTET, "sa/transforms/transformType"))
    named = oids.algorithm(kind, oid, "sa/transforms/algorithm")
    length = named.key_length if key_length is None else key_length
    if length is not None:
        within(length, TWO_OCTETS, "sa/transforms/keyLength")
    written, says_length = oids.identifier(kind, named.id, length)
    if written != _without_alias(oid) or (says_length and key_length is not None):
        raise not_canonical("sa/transforms/algorithm", "another identifier says this, key length and all")
    return Transform(kind, named.id, length)


def _write_attribute(attribute: Attribute) -> schema.Attribute:
    _check_short(attribute.short, attribute.value)
    return schema.Attribute(
        attribute_type=within(attribute.type, FIFTEEN_BITS, "sa/transforms/attributes/attributeType"),
        value=attribute.value,
        short=attribute.short,
    )


def _read_attribute(element: schema.Attribute) -> Attribute:
    kind = within(element.attribute_type, FIFTEEN_BITS, "sa/transforms/attributes/attributeType")
    _check_short(element.short, element.value)
    return Attribute(kind, element.value, element.short)


def _check_short(short: bool, value: bytes) -> None:
    if short and len(value) != SHORT_VALUE:
        raise Misfit("sa/transforms/attributes", f"a short value has {SHORT_VALUE} octets")
