"""Payloads between the model and the schema, both ways, with every range checked on the way in.

Rules:

1. `to_schema(to_model(x))` is `x` for everything that `to_model` accepts, except for the aliases of `oids`; the codec checks it.
2. A value outside its range is a DecodeError with the place and the range, whatever the library let through.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cryptography.x509 import ObjectIdentifier

from node.errors import DecodeError, DropReason, LocalMisuse
from node.model import payloads as model
from node.model.proposal import Attribute, Proposal, Transform
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    IdType,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TransformType,
)
from node.model.selectors import TrafficSelector, address
from node.wire.asn1 import oids, schema

N = TypeVar("N", bound=int)
E = TypeVar("E")

#: What the founding shape of an SA says: three identifiers, the integrity one standing for the PRF as well.
FOUNDING_TRANSFORMS = 3
_FOUNDING = (
    (TransformType.ENCR, 12, 256),
    (TransformType.PRF, 5, None),
    (TransformType.INTEG, 12, None),
    (TransformType.KE, 14, None),
)
#: Payload types that have an element of their own; `UnknownPayload` must not carry them.
_KNOWN = frozenset(PayloadType) - {PayloadType.NONE, PayloadType.SK, PayloadType.SKF}


def number(kind: Callable[[int], N], value: int, path: str, top: int, least: int = 0) -> N:
    """`value` as a number of the registry. Raises DecodeError outside `least` to `top`."""
    if not least <= value <= top:
        raise DecodeError(DropReason.MALFORMED, path, f"outside {least} to {top}")
    return kind(value)


def bounded(found: Sequence[E] | None, most: int, path: str) -> Sequence[E]:
    """The elements of an optional list. Raises DecodeError beyond `most`."""
    if found is not None and len(found) > most:
        raise DecodeError(DropReason.MALFORMED, path, f"{len(found)} elements, at most {most} are allowed")
    return found or ()


# -- security association ---------------------------------------------------------------------------------------


def _transform_in(found: schema.Transform, path: str) -> Transform:
    kind = number(TransformType, found.type, f"{path}/type", 255, 1)
    bits = None if found.key_length is None else number(int, found.key_length, f"{path}/keyLength", 65535)
    algorithm = oids.algorithm_of(kind, found.algorithm.dotted_string, bits)
    if algorithm is None or algorithm[0] > 65535:
        raise DecodeError(
            DropReason.MALFORMED, f"{path}/algorithm", "not an identifier of this transform type"
        )
    others = tuple(
        Attribute(number(int, a.type, f"{path}/attributes/type", 32767), a.value, a.short)
        for a in bounded(found.attributes, schema.MAX_ATTRIBUTES, f"{path}/attributes")
    )
    return Transform(kind, algorithm[0], algorithm[1], others)


def _transform_out(transform: Transform) -> schema.Transform:
    oid, bits = oids.oid_of(transform.type, transform.id, transform.key_length)
    attributes = [schema.Attribute(type=a.type, value=a.value, short=a.short) for a in transform.others]
    return schema.Transform(
        type=transform.type,
        algorithm=ObjectIdentifier(oid),
        key_length=bits,
        attributes=attributes or None,
    )


def _proposal_in(found: schema.Proposal, path: str) -> Proposal:
    return Proposal(
        number(int, found.number, f"{path}/number", 255),
        number(ProtocolId, found.protocol, f"{path}/protocol", 255),
        found.spi,
        tuple(_transform_in(t, f"{path}/transforms[{n}]") for n, t in enumerate(found.transforms)),
    )


def _proposal_out(proposal: Proposal) -> schema.Proposal:
    return schema.Proposal(
        number=proposal.number,
        protocol=proposal.protocol,
        spi=proposal.spi,
        transforms=[_transform_out(t) for t in proposal.transforms],
    )


def _sa_in(found: schema.SAPayload, path: str) -> model.SecurityAssociation:
    if found.proposals is not None:
        listed = bounded(found.proposals, schema.MAX_PROPOSALS, f"{path}/proposals")
        proposals = (_proposal_in(p, f"{path}/proposals[{n}]") for n, p in enumerate(listed))
        return model.SecurityAssociation(tuple(proposals))
    named = (
        (1, found.encryption_alg),
        (2, found.integrity_alg),
        (3, found.integrity_alg),
        (4, found.dh_group),
    )
    transforms = []
    for kind, oid in named:
        algorithm = oids.algorithm_of(kind, oid.dotted_string)
        if algorithm is None:
            raise DecodeError(DropReason.MALFORMED, path, "an identifier that is not of the founding suite")
        transforms.append(Transform(TransformType(kind), *algorithm))
    proposal = number(int, found.proposal_num, f"{path}/proposalNum", 255)
    return model.SecurityAssociation((Proposal(proposal, ProtocolId.IKE, b"", tuple(transforms)),))


def _sa_out(payload: model.SecurityAssociation) -> schema.SAPayload:
    founding = _is_founding(payload)
    first = payload.proposals[0] if payload.proposals else Proposal(0, ProtocolId.NONE, b"", ())
    count = FOUNDING_TRANSFORMS if founding else len(first.transforms)
    encr, integ, group = (
        _summary(first, kind) for kind in (TransformType.ENCR, TransformType.INTEG, TransformType.KE)
    )
    return schema.SAPayload(
        proposal_num=first.number,
        protocol_id=first.protocol,
        spi_size=len(first.spi),
        num_transforms=count,
        encryption_alg=encr,
        integrity_alg=integ,
        dh_group=group,
        proposals=None if founding else [_proposal_out(p) for p in payload.proposals],
    )


def _is_founding(payload: model.SecurityAssociation) -> bool:
    if len(payload.proposals) != 1:
        return False
    proposal = payload.proposals[0]
    named = tuple((t.type, t.id, t.key_length) for t in proposal.transforms if not t.others)
    return (proposal.protocol, proposal.spi, named) == (ProtocolId.IKE, b"", _FOUNDING) and len(named) == len(
        proposal.transforms
    )


def _summary(proposal: Proposal, kind: TransformType) -> ObjectIdentifier:
    """The identifier of the first transform of a type, for readers of the founding shape; id 0 where there is none."""
    found = proposal.of(kind)
    oid, _ = oids.oid_of(kind, found[0].id, found[0].key_length) if found else oids.oid_of(kind, 0)
    return ObjectIdentifier(oid)


# -- the other payloads -----------------------------------------------------------------------------------------


def _ke_in(found: schema.KEPayload, path: str) -> model.KeyExchange:
    algorithm = oids.algorithm_of(TransformType.KE, found.dh_group.dotted_string)
    if algorithm is None or algorithm[0] > 65535:
        raise DecodeError(DropReason.MALFORMED, f"{path}/dhGroup", "not a key exchange method")
    return model.KeyExchange(KeId(algorithm[0]), found.public_key)


def _ke_out(payload: model.KeyExchange) -> schema.KEPayload:
    oid, _ = oids.oid_of(TransformType.KE, payload.group)
    return schema.KEPayload(dh_group=ObjectIdentifier(oid), public_key=payload.data)


def _cert_in(found: schema.CertPayload, path: str) -> model.Certificate:
    named = found.encoding
    encoding = (
        CertEncoding.X509_SIGNATURE if named is None else number(CertEncoding, named, f"{path}/encoding", 255)
    )
    return model.Certificate(encoding, found.cert_data)


def _cert_out(payload: model.Certificate) -> schema.CertPayload:
    usual = payload.encoding == CertEncoding.X509_SIGNATURE
    return schema.CertPayload(cert_data=payload.data, encoding=None if usual else int(payload.encoding))


def _id_in(kind: PayloadType) -> Callable[[Any, str], model.Identification]:
    def read(found: Any, path: str) -> model.Identification:
        return model.Identification(kind, number(IdType, found.id_type, f"{path}/idType", 255), found.data)

    return read


def _id_out(payload: model.Identification) -> schema.AnyPayload:
    kind = schema.InitiatorIdentity if payload.type == PayloadType.IDI else schema.ResponderIdentity
    return kind(id_type=payload.id_type, data=payload.data)


def _notify_in(found: schema.NotifyPayload, path: str) -> model.Notify:
    return model.Notify(
        number(NotifyType, found.notify_type, f"{path}/notifyType", 65535),
        found.data,
        number(ProtocolId, found.protocol, f"{path}/protocol", 255),
        found.spi,
    )


def _notify_out(payload: model.Notify) -> schema.NotifyPayload:
    return schema.NotifyPayload(
        notify_type=payload.notify_type, protocol=payload.protocol, spi=payload.spi, data=payload.data
    )


def _selector_in(found: schema.Selector, path: str) -> TrafficSelector:
    if len(found.start_address) not in (4, 16) or len(found.start_address) != len(found.end_address):
        raise DecodeError(DropReason.MALFORMED, path, "addresses must have 4 or 16 octets, both the same")
    return TrafficSelector(
        address(found.start_address),
        address(found.end_address),
        number(int, found.protocol, f"{path}/protocol", 255),
        number(int, found.start_port, f"{path}/startPort", 65535),
        number(int, found.end_port, f"{path}/endPort", 65535),
    )


def _selector_out(selector: TrafficSelector) -> schema.Selector:
    return schema.Selector(
        protocol=selector.protocol,
        start_port=selector.start_port,
        end_port=selector.end_port,
        start_address=selector.start.packed,
        end_address=selector.end.packed,
    )


def _ts_in(kind: PayloadType) -> Callable[[Any, str], model.TrafficSelectors]:
    def read(found: Any, path: str) -> model.TrafficSelectors:
        selectors = (_selector_in(s, f"{path}/selectors[{n}]") for n, s in enumerate(found.selectors))
        return model.TrafficSelectors(kind, tuple(selectors))

    return read


def _ts_out(payload: model.TrafficSelectors) -> schema.AnyPayload:
    kind = schema.InitiatorSelectors if payload.type == PayloadType.TSI else schema.ResponderSelectors
    return kind(selectors=[_selector_out(s) for s in payload.selectors])


def _cp_in(found: schema.ConfigurationPayload, path: str) -> model.Configuration:
    attributes = tuple(
        model.ConfigurationAttribute(number(int, a.type, f"{path}/attributes/type", 32767), a.value)
        for a in found.attributes
    )
    return model.Configuration(number(int, found.cfg_type, f"{path}/cfgType", 255), attributes)


def _cp_out(payload: model.Configuration) -> schema.ConfigurationPayload:
    attributes = [schema.ConfigurationAttribute(type=a.type, value=a.value) for a in payload.attributes]
    return schema.ConfigurationPayload(cfg_type=payload.cfg_type, attributes=attributes)


def _unknown_in(found: schema.UnknownPayload, path: str) -> model.Unknown:
    kind = number(PayloadType, found.type, f"{path}/type", 255, 1)
    if kind in _KNOWN:
        raise DecodeError(DropReason.NOT_CANONICAL, path, f"{kind} has an element of its own")
    return model.Unknown(kind, found.critical, found.body)


_IN: dict[type, Callable[[Any, str], model.Payload]] = {
    schema.SAPayload: _sa_in,
    schema.KEPayload: _ke_in,
    schema.NoncePayload: lambda found, path: model.Nonce(found.data),
    schema.CertPayload: _cert_in,
    schema.InitiatorIdentity: _id_in(PayloadType.IDI),
    schema.ResponderIdentity: _id_in(PayloadType.IDR),
    schema.CertRequestPayload: lambda found, path: model.CertificateRequest(
        number(CertEncoding, found.encoding, f"{path}/encoding", 255), found.authorities
    ),
    schema.AuthPayload: lambda found, path: model.Authentication(
        number(AuthMethod, found.method, f"{path}/method", 255), found.data
    ),
    schema.AuthNoncePayload: lambda found, path: model.AuthNonce(found.data),
    schema.NotifyPayload: _notify_in,
    schema.DeletePayload: lambda found, path: model.Delete(
        number(ProtocolId, found.protocol, f"{path}/protocol", 255), tuple(found.spis)
    ),
    schema.VendorPayload: lambda found, path: model.VendorId(found.data),
    schema.InitiatorSelectors: _ts_in(PayloadType.TSI),
    schema.ResponderSelectors: _ts_in(PayloadType.TSR),
    schema.ConfigurationPayload: _cp_in,
    schema.EapPayload: lambda found, path: model.Eap(found.data),
    schema.UnknownPayload: _unknown_in,
}
_OUT: dict[type, Callable[[Any], schema.AnyPayload]] = {
    model.SecurityAssociation: _sa_out,
    model.KeyExchange: _ke_out,
    model.Nonce: lambda p: schema.NoncePayload(data=p.data),
    model.Certificate: _cert_out,
    model.Identification: _id_out,
    model.CertificateRequest: lambda p: schema.CertRequestPayload(
        encoding=p.encoding, authorities=p.authorities
    ),
    model.Authentication: lambda p: schema.AuthPayload(method=p.method, data=p.data),
    model.AuthNonce: lambda p: schema.AuthNoncePayload(data=p.data),
    model.Notify: _notify_out,
    model.Delete: lambda p: schema.DeletePayload(protocol=p.protocol, spis=list(p.spis)),
    model.VendorId: lambda p: schema.VendorPayload(data=p.data),
    model.TrafficSelectors: _ts_out,
    model.Configuration: _cp_out,
    model.Eap: lambda p: schema.EapPayload(data=p.data),
    model.Unknown: lambda p: schema.UnknownPayload(type=p.type, critical=p.critical, body=p.body),
}


def to_model(found: Sequence[schema.AnyPayload]) -> tuple[model.Payload, ...]:
    """The payloads of decoded elements, in order. Raises DecodeError."""
    listed = bounded(found, schema.MAX_PAYLOADS, "payloads")
    return tuple(_IN[type(f)](f, f"payloads[{n}]") for n, f in enumerate(listed))


def to_schema(payload: model.Payload) -> schema.AnyPayload:
    """The element of a payload. Raises LocalMisuse for what the profile cannot say."""
    if isinstance(payload, model.Unknown) and payload.type in _KNOWN:
        raise LocalMisuse(f"{payload.type} has an element of its own")
    return _OUT[type(payload)](payload)
