"""The SA payload: one proposal in the founding shape, everything beyond it in the extensions.

The founding fields name the first encryption, integrity and key exchange transform of the first proposal.
Where they say it all (in IKE the HMAC names the PRF too) there is no extension: the founding message.
Otherwise `transforms` holds every transform of the first proposal in order, and `proposals` the other ones.
"""

from cryptography.x509 import ObjectIdentifier

from node.model.message import SPI_SIZE
from node.model.payloads import SecurityAssociation
from node.model.proposal import Attribute, Proposal, Transform
from node.model.registry import ProtocolId, TransformType
from node.wire.asn1 import oids, schema
from node.wire.asn1.limits import FIFTEEN_BITS, OCTET, TWO_OCTETS
from node.wire.asn1.misfit import Misfit, within

_ALIASED = (oids.AES_256_CBC_ALIAS, oids.AES_256_CBC)

#: Octets of an attribute value in the short (TV) format (RFC 7296 3.3.5).
SHORT_VALUE = 2


def write(payload: SecurityAssociation) -> schema.SAPayload:
    """Raises Misfit where a number is out of range or there is no proposal."""
    if not payload.proposals:
        raise Misfit("sa", "no proposal (RFC 7296 3.3)")
    first, *others = payload.proposals
    encr, integ, ke = (
        _founding(first, kind) for kind in (TransformType.ENCR, TransformType.INTEG, TransformType.KE)
    )
    founding = _expand(first.protocol, encr, integ, ke) == first.transforms
    return schema.SAPayload(
        proposal_num=within(first.number, OCTET, "sa/proposalNum", 1),
        protocol_id=within(first.protocol, OCTET, "sa/protocolID"),
        spi_size=within(len(first.spi), OCTET, "sa/spiSize"),
        num_transforms=within(_named(encr, integ, ke) if founding else len(first.transforms), OCTET, "sa"),
        encryption_alg=encr,
        integrity_alg=integ,
        dh_group=ke,
        spi=first.spi or None,
        transforms=None if founding else [_write_transform(t) for t in first.transforms],
        proposals=[_write_proposal(p) for p in others] or None,
    )


def read(element: schema.SAPayload) -> SecurityAssociation:
    """The proposals. Raises Misfit; that the redundant fields agree is seen when it is written again."""
    protocol = ProtocolId(within(element.protocol_id, OCTET, "sa/protocolID"))
    founding = _expand(protocol, element.encryption_alg, element.integrity_alg, element.dh_group)
    first = Proposal(
        within(element.proposal_num, OCTET, "sa/proposalNum", 1),
        protocol,
        element.spi or b"",
        founding if element.transforms is None else tuple(map(_read_transform, element.transforms)),
    )
    return SecurityAssociation((first, *map(_read_proposal, element.proposals or ())))


def normalise(received: schema.SAPayload, written: schema.SAPayload) -> None:
    """Give `written`, which was read from `received`, the spellings that are accepted but never written.

    The founding document leaves them open: the registered identifier of AES-256-CBC, a count that has the PRF
    too, and the size of the SPIs in the header where the proposal has none.
    """
    if (received.encryption_alg, written.encryption_alg) == _ALIASED:
        written.encryption_alg = received.encryption_alg
    for one, other in zip(_transforms(received), _transforms(written), strict=True):
        if (one.algorithm, other.algorithm) == _ALIASED:
            other.algorithm = one.algorithm
    if written.transforms is not None or written.protocol_id != ProtocolId.IKE:
        return
    if received.num_transforms != written.num_transforms:
        identifiers = (written.encryption_alg, written.integrity_alg, written.dh_group)
        if received.num_transforms == len(_expand(ProtocolId.IKE, *identifiers)):
            written.num_transforms = received.num_transforms
    if written.spi is None and received.spi_size == SPI_SIZE:
        written.spi_size = received.spi_size


def _transforms(element: schema.SAPayload) -> list[schema.Transform]:
    others = [t for proposal in element.proposals or () for t in proposal.transforms]
    return [*(element.transforms or ()), *others]


def _founding(proposal: Proposal, kind: TransformType) -> ObjectIdentifier:
    for transform in proposal.transforms:
        if transform.type == kind:
            return oids.identifier(
                kind, within(transform.id, TWO_OCTETS, "sa/transformID"), transform.key_length
            )[0]
    return oids.NO_ALGORITHM[kind]


def _named(*fields: ObjectIdentifier) -> int:
    return sum(oid not in oids.NO_ALGORITHM.values() for oid in fields)


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
    if max(len(proposal.spi), len(proposal.transforms)) > OCTET:
        raise Misfit("sa/proposals", f"more than {OCTET} octets of SPI, or transforms")
    return schema.Proposal(
        proposal_num=within(proposal.number, OCTET, "sa/proposals/proposalNum", 1),
        protocol_id=within(proposal.protocol, OCTET, "sa/proposals/protocolID"),
        spi=proposal.spi,
        transforms=[_write_transform(t) for t in proposal.transforms],
    )


def _read_proposal(element: schema.Proposal) -> Proposal:
    return Proposal(
        within(element.proposal_num, OCTET, "sa/proposals/proposalNum", 1),
        ProtocolId(within(element.protocol_id, OCTET, "sa/proposals/protocolID")),
        element.spi,
        tuple(map(_read_transform, element.transforms)),
    )


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
    kind = TransformType(within(element.transform_type, OCTET, "sa/transforms/transformType"))
    named = oids.algorithm(kind, element.algorithm, "sa/transforms/algorithm")
    length = named.key_length if element.key_length is None else element.key_length
    if length is not None:
        within(length, TWO_OCTETS, "sa/transforms/keyLength")
    return Transform(kind, named.id, length, tuple(map(_read_attribute, element.attributes or ())))


def _write_attribute(attribute: Attribute) -> schema.Attribute:
    if attribute.short and len(attribute.value) != SHORT_VALUE:
        raise Misfit("sa/transforms/attributes", f"a short value has {SHORT_VALUE} octets")
    return schema.Attribute(
        attribute_type=within(attribute.type, FIFTEEN_BITS, "sa/transforms/attributes/attributeType"),
        value=attribute.value,
        short=attribute.short,
    )


def _read_attribute(element: schema.Attribute) -> Attribute:
    kind = within(element.attribute_type, FIFTEEN_BITS, "sa/transforms/attributes/attributeType")
    return Attribute(kind, element.value, element.short)
