"""The published module as pyasn1 classes, written from docs/ipseclab.asn1 and from nothing of the codec.

`decode` judges octets on its own: pyasn1's DER decoder is lenient, so what it decoded must encode to the same
octets, with nothing left over.
"""

from typing import Any

from pyasn1.codec.der.decoder import decode as der_decode
from pyasn1.codec.der.encoder import encode as der_encode
from pyasn1.error import PyAsn1Error
from pyasn1.type.base import Asn1Type
from pyasn1.type.constraint import (
    ConstraintsUnion,
    SingleValueConstraint,
    ValueRangeConstraint,
    ValueSizeConstraint,
)
from pyasn1.type.namedtype import DefaultedNamedType, NamedType, NamedTypes, OptionalNamedType
from pyasn1.type.tag import Tag, tagClassContext, tagFormatConstructed, tagFormatSimple
from pyasn1.type.univ import Boolean, Choice, Integer, ObjectIdentifier, OctetString, Sequence, SequenceOf

from tests.codec.plain import Plain


def simple(base: Any, number: int) -> Any:
    """`[number] IMPLICIT` of a primitive type."""
    return base.subtype(implicitTag=Tag(tagClassContext, tagFormatSimple, number))


def nested(base: Any, number: int) -> Any:
    """`[number] IMPLICIT` of a SEQUENCE or SEQUENCE OF."""
    return base.subtype(implicitTag=Tag(tagClassContext, tagFormatConstructed, number))


def integer(low: int, high: int) -> Integer:
    return Integer().subtype(subtypeSpec=ValueRangeConstraint(low, high))


def octets(low: int, high: int) -> OctetString:
    return OctetString().subtype(subtypeSpec=ValueSizeConstraint(low, high))


def listed(component: Asn1Type, low: int, high: int) -> SequenceOf:
    return SequenceOf(componentType=component).subtype(sizeSpec=ValueSizeConstraint(low, high))


OCTET, TWO_OCTETS, FIFTEEN_BITS = integer(0, 255), integer(0, 65535), integer(0, 32767)
FOUR_OCTETS, EIGHT_OCTETS = integer(0, 2**32 - 1), integer(0, 2**64 - 1)
DATA, SPI = octets(0, 65507), octets(1, 255)


class IKEHeader(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("initiatorSPI", simple(EIGHT_OCTETS, 0)),
        NamedType("responderSPI", simple(EIGHT_OCTETS, 1)),
        NamedType("nextPayload", simple(OCTET, 2)),
        NamedType("version", simple(OCTET, 3)),
        NamedType("exchangeType", simple(OCTET, 4)),
        NamedType("flags", simple(OCTET, 5)),
        NamedType("messageID", simple(FOUR_OCTETS, 6)),
        NamedType("length", simple(Integer().subtype(subtypeSpec=SingleValueConstraint(0)), 7)),
    )


class EncryptedPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("iv", octets(0, 255)),
        NamedType("ciphertext", octets(1, 65507)),
        NamedType("icv", octets(0, 255)),
    )


class Attribute(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("attributeType", FIFTEEN_BITS),
        NamedType("value", DATA),
        DefaultedNamedType("short", Boolean(False)),
    )


class Transform(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("transformType", OCTET),
        NamedType("algorithm", ObjectIdentifier()),
        OptionalNamedType("keyLength", simple(TWO_OCTETS, 0)),
        OptionalNamedType("attributes", nested(listed(Attribute(), 1, 4096), 1)),
    )


class Proposal(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("proposalNum", OCTET),
        NamedType("protocolID", OCTET),
        NamedType("spi", octets(0, 255)),
        NamedType("transforms", listed(Transform(), 0, 255)),
    )


class SAPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("proposalNum", OCTET),
        NamedType("protocolID", OCTET),
        NamedType("spiSize", OCTET),
        NamedType("numTransforms", OCTET),
        NamedType("encryptionAlg", ObjectIdentifier()),
        NamedType("integrityAlg", ObjectIdentifier()),
        NamedType("dhGroup", ObjectIdentifier()),
        OptionalNamedType("spi", simple(SPI, 0)),
        OptionalNamedType("transforms", nested(listed(Transform(), 1, 255), 1)),
        OptionalNamedType("proposals", nested(listed(Proposal(), 1, 4096), 2)),
    )


class KEPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("dhGroup", ObjectIdentifier()), NamedType("publicKey", DATA))


class NoncePayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("data", octets(16, 256)))


class CertPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("certData", DATA), DefaultedNamedType("encoding", simple(OCTET.clone(4), 0))
    )


class CertReqPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("encoding", OCTET), NamedType("authorities", DATA))


class IDPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("idType", OCTET), NamedType("data", DATA))


class AuthPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("method", OCTET), NamedType("data", DATA))


class DataPayload(Sequence):  # type: ignore[misc]
    """AuthNoncePayload, VendorIDPayload and EAPPayload: one field."""

    componentType = NamedTypes(NamedType("data", DATA))


class NotifyPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("notifyType", TWO_OCTETS),
        NamedType("data", DATA),
        DefaultedNamedType("protocolID", simple(OCTET.clone(0), 0)),
        OptionalNamedType("spi", simple(SPI, 1)),
    )


class DeletePayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("protocolID", OCTET), NamedType("spis", listed(SPI, 0, 4096)))


ADDRESS = OctetString().subtype(
    subtypeSpec=ConstraintsUnion(ValueSizeConstraint(4, 4), ValueSizeConstraint(16, 16))
)


class TrafficSelector(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("protocol", OCTET),
        NamedType("startPort", TWO_OCTETS),
        NamedType("endPort", TWO_OCTETS),
        NamedType("startAddress", ADDRESS),
        NamedType("endAddress", ADDRESS),
    )


class TSPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("selectors", listed(TrafficSelector(), 0, 4096)))


class ConfigurationAttribute(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(NamedType("attributeType", FIFTEEN_BITS), NamedType("value", DATA))


class ConfigurationPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("cfgType", OCTET), NamedType("attributes", listed(ConfigurationAttribute(), 0, 4096))
    )


class UnknownPayload(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("payloadType", OCTET), NamedType("critical", Boolean()), NamedType("body", DATA)
    )


class Payload(Choice):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("unknown", nested(UnknownPayload(), 0)),
        NamedType("sa", nested(SAPayload(), 33)),
        NamedType("ke", nested(KEPayload(), 34)),
        NamedType("idI", nested(IDPayload(), 35)),
        NamedType("idR", nested(IDPayload(), 36)),
        NamedType("cert", nested(CertPayload(), 37)),
        NamedType("certReq", nested(CertReqPayload(), 38)),
        NamedType("auth", nested(AuthPayload(), 39)),
        NamedType("nonce", nested(NoncePayload(), 40)),
        NamedType("notify", nested(NotifyPayload(), 41)),
        NamedType("delete", nested(DeletePayload(), 42)),
        NamedType("vendorID", nested(DataPayload(), 43)),
        NamedType("tsI", nested(TSPayload(), 44)),
        NamedType("tsR", nested(TSPayload(), 45)),
        NamedType("config", nested(ConfigurationPayload(), 47)),
        NamedType("eap", nested(DataPayload(), 48)),
        NamedType("authNonce", nested(DataPayload(), 128)),
    )


FOUNDING = (
    OptionalNamedType("sa", nested(SAPayload(), 1)),
    OptionalNamedType("ke", nested(KEPayload(), 2)),
    OptionalNamedType("nonce", nested(NoncePayload(), 3)),
    OptionalNamedType("cert", nested(CertPayload(), 4)),
)
EXTENSIONS = (
    OptionalNamedType("payloads", nested(listed(Payload(), 1, 256), 6)),
    OptionalNamedType("order", nested(listed(integer(0, 255), 1, 4), 7)),
)


class IKEMessage(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(
        NamedType("header", IKEHeader()),
        *FOUNDING,
        OptionalNamedType("encrypted", nested(EncryptedPayload(), 5)),
        *EXTENSIONS,
    )


class InnerPayloads(Sequence):  # type: ignore[misc]
    componentType = NamedTypes(*FOUNDING, *EXTENSIONS)


IKE_MESSAGE, INNER_PAYLOADS = IKEMessage(), InnerPayloads()
#: Each alternative of the CHOICE of payloads: its tag, and the type of its value.
ALTERNATIVES: dict[str, tuple[int, Sequence]] = {
    item.name: (int(item.asn1Object.tagSet.superTags[-1].tagId), item.asn1Object)
    for item in Payload.componentType.namedTypes
}


class NotTheModuleError(ValueError):
    """Octets that are not one value of a type, in the form DER gives it."""


def decode(kind: Sequence, octets: bytes) -> Any:
    """The value that `octets` hold, as plain Python. Raises NotTheModuleError."""
    try:
        value, rest = der_decode(octets, asn1Spec=kind)
        again = der_encode(value)
    except PyAsn1Error as error:
        raise NotTheModuleError(str(error)) from error
    if rest or again != octets:
        raise NotTheModuleError(f"{len(rest)} octets left over, or not the octets that DER gives the value")
    return plain(value)


def encode(kind: Any, value: Plain) -> bytes:
    """The DER of a plain value."""
    return bytes(der_encode(filled(kind, value)))


def contents(octets: bytes) -> bytes:
    """The octets of an element without its identifier and length."""
    start = 2 if octets[0] & 0x1F != 0x1F else 2 + next(n for n, o in enumerate(octets[1:], 1) if o < 0x80)
    length = octets[start - 1]
    return octets[start + (length & 0x7F if length & 0x80 else 0) :]


def message(header: Plain, **fields: Plain) -> bytes:
    """A whole IKEMessage."""
    return encode(IKE_MESSAGE, {"header": header, **fields})


def plain(value: Any) -> Any:
    """A decoded value in the kinds that asn1tools gives: dict, list, pair, int, bytes, str, bool."""
    if isinstance(value, Choice):
        return (value.getName(), plain(value.getComponent()))
    if isinstance(value, Sequence):
        return {name: plain(value[name]) for name in value if value[name].isValue}
    if isinstance(value, SequenceOf):
        return [plain(item) for item in value]
    if isinstance(value, Boolean):
        return bool(value)
    if isinstance(value, Integer):
        return int(value)
    if isinstance(value, OctetString):
        return bytes(value)
    if isinstance(value, ObjectIdentifier):
        return str(value)
    raise TypeError(f"the module has no {type(value).__name__}")


def filled(kind: Any, value: Any) -> Any:
    """A copy of the type `kind` that holds a plain value."""
    if isinstance(kind, Choice):
        name, inside = value
        found = kind.clone()
        found[name] = filled(kind.componentType[name].asn1Object, inside)
        return found
    if isinstance(kind, Sequence):
        found = kind.clone()
        for name, inside in value.items():
            found[name] = filled(kind.componentType[name].asn1Object, inside)
        return found
    if isinstance(kind, SequenceOf):
        found = kind.clone()
        found.clear()
        for inside in value:
            found.append(filled(kind.componentType, inside))
        return found
    return kind.clone(value)
