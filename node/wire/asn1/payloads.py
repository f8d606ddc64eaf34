"""Each payload of the model as an element of the module, and back, field by field.

Both directions raise Misfit where a value is outside the module. Reading raises it too where `write` would
make another element of the payload: these functions are each other's inverse. That a nonce has 16 to 256
octets is refused on receipt alone, what we send is the engine's affair.
"""

from collections.abc import Callable, Sequence
from typing import Any

from node.errors import DropReason
from node.model.payloads import (
    Authentication,
    AuthNonce,
    Certificate,
    CertificateRequest,
    Configuration,
    ConfigurationAttribute,
    Delete,
    Eap,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    VendorId,
)
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    IdType,
    NotifyType,
    PayloadType,
    ProtocolId,
    TransformType,
)
from node.model.selectors import TrafficSelector, address
from node.wire.asn1 import association, oids, schema
from node.wire.asn1.limits import FIFTEEN_BITS, MAX_NONCE, MIN_NONCE, OCTET, TWO_OCTETS
from node.wire.asn1.misfit import Misfit, not_canonical, within

#: Types that have an element of their own, or frame others, and so are never written as unknown.
NAMED_TYPES = frozenset(PayloadType)

#: Octets of an address (RFC 7296 3.13.1).
ADDRESS_SIZES = (4, 16)


def _write_nonce(payload: Nonce) -> schema.NoncePayload:
    return schema.NoncePayload(data=payload.data)


def _write_cert(payload: Certificate) -> schema.CertPayload:
    encoding = within(payload.encoding, OCTET, "cert/encoding")
    return schema.CertPayload(cert_data=payload.data, encoding=encoding)


def _read_cert(element: schema.CertPayload) -> Certificate:
    encoding = within(element.encoding, OCTET, "cert/encoding")
    return Certificate(CertEncoding.of(encoding), element.cert_data)


def _write_certreq(payload: CertificateRequest) -> schema.CertReqPayload:
    encoding = within(payload.encoding, OCTET, "certreq/encoding")
    return schema.CertReqPayload(encoding=encoding, authorities=payload.authorities)


def _read_certreq(element: schema.CertReqPayload) -> CertificateRequest:
    encoding = within(element.encoding, OCTET, "certreq/encoding")
    return CertificateRequest(CertEncoding.of(encoding), element.authorities)


def _write_auth(payload: Authentication) -> schema.AuthPayload:
    return schema.AuthPayload(method=within(payload.method, OCTET, "auth/method"), data=payload.data)


def _read_auth(element: schema.AuthPayload) -> Authentication:
    return Authentication(AuthMethod.of(within(element.method, OCTET, "auth/method")), element.data)


def _write_auth_nonce(payload: AuthNonce) -> schema.AuthNoncePayload:
    return schema.AuthNoncePayload(data=payload.data)


def _read_auth_nonce(element: schema.AuthNoncePayload) -> AuthNonce:
    return AuthNonce(element.data)


def _write_vendor_id(payload: VendorId) -> schema.VendorIdPayload:
    return schema.VendorIdPayload(data=payload.data)


def _read_vendor_id(element: schema.VendorIdPayload) -> VendorId:
    return VendorId(element.data)


def _write_eap(payload: Eap) -> schema.EapPayload:
    return schema.EapPayload(data=payload.data)


def _read_eap(element: schema.EapPayload) -> Eap:
    return Eap(element.data)


def _write_ke(payload: KeyExchange) -> schema.KEPayload:
    number = within(payload.group, TWO_OCTETS, "ke/dhGroup")
    oid, _ = oids.identifier(TransformType.KE, number, None)
    return schema.KEPayload(dh_group=oid, public_key=payload.data)


def _read_ke(element: schema.KEPayload) -> KeyExchange:
    return KeyExchange(oids.group(element.dh_group, "ke/dhGroup"), element.public_key)


def _read_nonce(element: schema.NoncePayload) -> Nonce:
    if not MIN_NONCE <= len(element.data) <= MAX_NONCE:
        raise Misfit("nonce", f"{len(element.data)} octets instead of 16 to 256", DropReason.BAD_NONCE)
    return Nonce(element.data)


def _write_id(payload: Identification) -> schema.IDiPayload | schema.IDrPayload:
    number = within(payload.id_type, OCTET, "id/idType")
    if payload.type == PayloadType.IDI:
        return schema.IDiPayload(id_type=number, data=payload.data)
    if payload.type == PayloadType.IDR:
        return schema.IDrPayload(id_type=number, data=payload.data)
    raise Misfit("id", f"{payload.type} is neither IDi nor IDr")


def _read_id(element: schema.IDiPayload | schema.IDrPayload) -> Identification:
    kind = PayloadType.IDI if isinstance(element, schema.IDiPayload) else PayloadType.IDR
    return Identification(kind, IdType.of(within(element.id_type, OCTET, "id/idType")), element.data)


def _write_notify(payload: Notify) -> schema.NotifyPayload:
    within(len(payload.spi), OCTET, "notify/spi")
    return schema.NotifyPayload(
        notify_type=within(payload.notify_type, TWO_OCTETS, "notify/notifyType"),
        data=payload.data,
        protocol_id=within(payload.protocol, OCTET, "notify/protocolID"),
        spi=payload.spi or None,
    )


def _read_notify(element: schema.NotifyPayload) -> Notify:
    kind = NotifyType.of(within(element.notify_type, TWO_OCTETS, "notify/notifyType"))
    protocol = ProtocolId.of(within(element.protocol_id, OCTET, "notify/protocolID"))
    if element.spi is None:
        return Notify(kind, element.data, protocol)
    if not element.spi:
        raise not_canonical("notify/spi", "an empty SPI written out")
    within(len(element.spi), OCTET, "notify/spi")
    return Notify(kind, element.data, protocol, element.spi)


def _write_delete(payload: Delete) -> schema.DeletePayload:
    _check_spis(payload.spis)
    protocol = within(payload.protocol, OCTET, "delete/protocolID")
    return schema.DeletePayload(protocol_id=protocol, spis=list(payload.spis))


def _check_spis(spis: Sequence[bytes]) -> None:
    sizes = set(map(len, spis))
    if len(sizes) > 1 or not all(1 <= size <= OCTET for size in sizes):
        raise Misfit("delete/spis", f"SPIs that are not all of one size from 1 to {OCTET}")


def _read_delete(element: schema.DeletePayload) -> Delete:
    _check_spis(element.spis)
    return Delete(ProtocolId.of(within(element.protocol_id, OCTET, "delete/protocolID")), tuple(element.spis))


def _write_ts(payload: TrafficSelectors) -> schema.TSiPayload | schema.TSrPayload:
    if payload.others:
        raise Misfit("ts", "the module has no selectors of other types")
    selectors = [_write_selector(s) for s in payload.selectors]
    if payload.type == PayloadType.TSI:
        return schema.TSiPayload(selectors=selectors)
    if payload.type == PayloadType.TSR:
        return schema.TSrPayload(selectors=selectors)
    raise Misfit("ts", f"{payload.type} is neither TSi nor TSr")


def _read_ts(element: schema.TSiPayload | schema.TSrPayload) -> TrafficSelectors:
    kind = PayloadType.TSI if isinstance(element, schema.TSiPayload) else PayloadType.TSR
    return TrafficSelectors(kind, tuple(map(_read_selector, element.selectors)))


def _write_selector(selector: TrafficSelector) -> schema.TrafficSelector:
    if selector.start.version != selector.end.version:
        raise Misfit("ts/selectors", "addresses of two families")
    return schema.TrafficSelector(
        protocol=within(selector.protocol, OCTET, "ts/selectors/protocol"),
        start_port=within(selector.start_port, TWO_OCTETS, "ts/selectors/startPort"),
        end_port=within(selector.end_port, TWO_OCTETS, "ts/selectors/endPort"),
        start_address=selector.start.packed,
        end_address=selector.end.packed,
    )


def _read_selector(element: schema.TrafficSelector) -> TrafficSelector:
    if (
        not len(element.start_address) == len(element.end_address)
        or len(element.start_address) not in ADDRESS_SIZES
    ):
        raise Misfit("ts/selectors", "addresses that are not two of 4 or two of 16 octets")
    return TrafficSelector(
        address(element.start_address),
        address(element.end_address),
        within(element.protocol, OCTET, "ts/selectors/protocol"),
        within(element.start_port, TWO_OCTETS, "ts/selectors/startPort"),
        within(element.end_port, TWO_OCTETS, "ts/selectors/endPort"),
    )


def _write_cp(payload: Configuration) -> schema.ConfigurationPayload:
    attributes = [
        schema.ConfigurationAttribute(
            attribute_type=within(a.type, FIFTEEN_BITS, "cp/attributes/attributeType"), value=a.value
        )
        for a in payload.attributes
    ]
    return schema.ConfigurationPayload(
        cfg_type=within(payload.cfg_type, OCTET, "cp/cfgType"), attributes=attributes
    )


def _read_cp(element: schema.ConfigurationPayload) -> Configuration:
    attributes = tuple(
        ConfigurationAttribute(within(a.attribute_type, FIFTEEN_BITS, "cp/attributes/attributeType"), a.value)
        for a in element.attributes
    )
    return Configuration(within(element.cfg_type, OCTET, "cp/cfgType"), attributes)


def _write_unknown(payload: Unknown) -> schema.UnknownPayload:
    number = _unnamed(payload.type)
    return schema.UnknownPayload(payload_type=number, critical=payload.critical, body=payload.body)


def _read_unknown(element: schema.UnknownPayload) -> Unknown:
    return Unknown(PayloadType(_unnamed(element.payload_type)), element.critical, element.body)


def _unnamed(payload_type: int) -> int:
    number = within(payload_type, OCTET, "unknown/payloadType")
    if number in NAMED_TYPES:
        raise Misfit("unknown/payloadType", f"{PayloadType(number)} has an element of its own")
    return number


_WRITERS: dict[type[Payload], Callable[[Any], schema.Payload]] = {
    SecurityAssociation: association.write,
    KeyExchange: _write_ke,
    Nonce: _write_nonce,
    Certificate: _write_cert,
    Identification: _write_id,
    CertificateRequest: _write_certreq,
    Authentication: _write_auth,
    AuthNonce: _write_auth_nonce,
    Notify: _write_notify,
    Delete: _write_delete,
    VendorId: _write_vendor_id,
    TrafficSelectors: _write_ts,
    Configuration: _write_cp,
    Eap: _write_eap,
    Unknown: _write_unknown,
}
_READERS: dict[type[schema.Payload], Callable[[Any], Payload]] = {
    schema.SAPayload: association.read,
    schema.KEPayload: _read_ke,
    schema.NoncePayload: _read_nonce,
    schema.CertPayload: _read_cert,
    schema.IDiPayload: _read_id,
    schema.IDrPayload: _read_id,
    schema.CertReqPayload: _read_certreq,
    schema.AuthPayload: _read_auth,
    schema.AuthNoncePayload: _read_auth_nonce,
    schema.NotifyPayload: _read_notify,
    schema.DeletePayload: _read_delete,
    schema.VendorIdPayload: _read_vendor_id,
    schema.TSiPayload: _read_ts,
    schema.TSrPayload: _read_ts,
    schema.ConfigurationPayload: _read_cp,
    schema.EapPayload: _read_eap,
    schema.UnknownPayload: _read_unknown,
}


def write(payload: Payload) -> schema.Payload:
    """The element of a payload. Raises Misfit."""
    convert = _WRITERS.get(type(payload))
    if convert is None:
        raise Misfit("message", f"{type(payload).__name__} is no payload")
    return convert(payload)


def read(element: schema.Payload) -> Payload:
    """The payload of an element. Raises Misfit, also where it would be written in another way."""
    return _READERS[type(element)](element)
