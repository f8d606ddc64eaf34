"""docs/ipseclab.asn1 once more, in pyasn1: the oracle that every test message passes through.

Written from the module, not from the codec, so that an error in one shows against the other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyasn1.codec.der import decoder, encoder
from pyasn1.type import constraint, namedtype, tag, univ

MAX_DATAGRAM = 65_507


def integer(highest: int) -> Any:
    return univ.Integer().subtype(subtypeSpec=constraint.ValueRangeConstraint(0, highest))


def octets(highest: int = MAX_DATAGRAM, lowest: int = 0) -> Any:
    return univ.OctetString().subtype(subtypeSpec=constraint.ValueSizeConstraint(lowest, highest))


def implicit(number: int, kind: Any) -> Any:
    nested = isinstance(kind, univ.SequenceAndSetBase | univ.SequenceOf)
    form = tag.tagFormatConstructed if nested else tag.tagFormatSimple
    return kind.subtype(implicitTag=tag.Tag(tag.tagClassContext, form, number))


def sequence(*fields: Any) -> Any:
    return univ.Sequence(componentType=namedtype.NamedTypes(*fields))


def list_of(kind: Any) -> Any:
    return univ.SequenceOf(componentType=kind)


def must(name: str, kind: Any) -> Any:
    return namedtype.NamedType(name, kind)


def may(name: str, number: int, kind: Any) -> Any:
    return namedtype.OptionalNamedType(name, implicit(number, kind))


def default(name: str, kind: Any) -> Any:
    return namedtype.DefaultedNamedType(name, kind)


OCTET, TWO, FIFTEEN, FOUR, EIGHT = (integer(2**bits - 1) for bits in (8, 16, 15, 32, 64))
OID = univ.ObjectIdentifier()
SPI = octets(255, 1)
ADDRESS = octets(16, 4)

_HEADER_FIELDS = {
    "initiatorSPI": EIGHT,
    "responderSPI": EIGHT,
    "nextPayload": OCTET,
    "version": OCTET,
    "exchangeType": OCTET,
    "flags": OCTET,
    "messageID": FOUR,
    "length": integer(0),
}
HEADER = sequence(
    *(must(name, implicit(number, kind)) for number, (name, kind) in enumerate(_HEADER_FIELDS.items()))
)
ATTRIBUTE = sequence(
    must("attributeType", FIFTEEN), must("value", octets()), default("short", univ.Boolean(False))
)
TRANSFORM = sequence(
    must("transformType", OCTET),
    must("algorithm", OID),
    may("keyLength", 0, TWO),
    may("attributes", 1, list_of(ATTRIBUTE)),
)
PROPOSAL = sequence(
    must("proposalNum", OCTET),
    must("protocolID", OCTET),
    must("spi", octets(255)),
    must("transforms", list_of(TRANSFORM)),
)
SA = sequence(
    must("proposalNum", OCTET),
    must("protocolID", OCTET),
    must("spiSize", OCTET),
    must("numTransforms", OCTET),
    must("encryptionAlg", OID),
    must("integrityAlg", OID),
    must("dhGroup", OID),
    may("spi", 0, SPI),
    may("transforms", 1, list_of(TRANSFORM)),
    may("proposals", 2, list_of(PROPOSAL)),
)
KE = sequence(must("dhGroup", OID), must("publicKey", octets()))
NONCE = sequence(must("data", octets(256, 16)))
CERT = sequence(must("certData", octets()), default("encoding", implicit(0, OCTET).clone(4)))
DATA = sequence(must("data", octets()))
ID = sequence(must("idType", OCTET), must("data", octets()))
CERTREQ = sequence(must("encoding", OCTET), must("authorities", octets()))
AUTH = sequence(must("method", OCTET), must("data", octets()))
NOTIFY = sequence(
    must("notifyType", TWO),
    must("data", octets()),
    default("protocolID", implicit(0, OCTET).clone(0)),
    may("spi", 1, SPI),
)
DELETE = sequence(must("protocolID", OCTET), must("spis", list_of(SPI)))
SELECTOR = sequence(
    must("protocol", OCTET),
    must("startPort", TWO),
    must("endPort", TWO),
    must("startAddress", ADDRESS),
    must("endAddress", ADDRESS),
)
TS = sequence(must("selectors", list_of(SELECTOR)))
CONFIG = sequence(
    must("cfgType", OCTET),
    must("attributes", list_of(sequence(must("attributeType", FIFTEEN), must("value", octets())))),
)
UNKNOWN = sequence(must("payloadType", OCTET), must("critical", univ.Boolean()), must("body", octets()))

ALTERNATIVES = {
    "unknown": (0, UNKNOWN),
    "sa": (33, SA),
    "ke": (34, KE),
    "idI": (35, ID),
    "idR": (36, ID),
    "cert": (37, CERT),
    "certReq": (38, CERTREQ),
    "auth": (39, AUTH),
    "nonce": (40, NONCE),
    "notify": (41, NOTIFY),
    "delete": (42, DELETE),
    "vendorID": (43, DATA),
    "tsI": (44, TS),
    "tsR": (45, TS),
    "config": (47, CONFIG),
    "eap": (48, DATA),
    "authNonce": (128, DATA),
}
PAYLOAD = univ.Choice(
    componentType=namedtype.NamedTypes(
        *(must(name, implicit(number, kind)) for name, (number, kind) in ALTERNATIVES.items())
    )
)
FOUNDING = (may("sa", 1, SA), may("ke", 2, KE), may("nonce", 3, NONCE), may("cert", 4, CERT))
EXTENSIONS = (may("payloads", 6, list_of(PAYLOAD)), may("order", 7, list_of(OCTET)))
ENCRYPTED = sequence(must("iv", octets(255)), must("ciphertext", octets()), must("icv", octets(255)))
IKE_MESSAGE = sequence(must("header", HEADER), *FOUNDING, may("encrypted", 5, ENCRYPTED), *EXTENSIONS)
INNER_PAYLOADS = sequence(*FOUNDING, *EXTENSIONS)


def build(kind: Any, value: Any) -> Any:
    """The pyasn1 value of type `kind` for plain values: mappings, sequences, (alternative, value) pairs."""
    built = kind.clone()
    if isinstance(kind, univ.Choice):
        name, inside = value
        built.setComponentByName(name, build(kind.componentType[name].asn1Object, inside))
    elif isinstance(kind, univ.SequenceOf) and isinstance(value, Sequence):
        built.clear()
        for position, entry in enumerate(value):
            built.setComponentByPosition(position, build(kind.componentType, entry))
    elif isinstance(kind, univ.Sequence) and isinstance(value, Mapping):
        for name, inside in value.items():
            built.setComponentByName(name, build(kind.componentType[name].asn1Object, inside))
    else:
        built = kind.clone(value)
    return built


def plain(value: Any) -> Any:
    """The plain values of a decoded pyasn1 value, absent elements left out: the inverse of `build`."""
    if isinstance(value, univ.Choice):
        return (value.getName(), plain(value.getComponent()))
    if isinstance(value, univ.SequenceOf):
        return [plain(entry) for entry in value]
    if isinstance(value, univ.Sequence):
        return {name: plain(value[name]) for name in value if value[name].isValue}
    if isinstance(value, univ.Boolean):
        return bool(value)
    if isinstance(value, univ.Integer):
        return int(value)
    return str(value) if isinstance(value, univ.ObjectIdentifier) else bytes(value)


def encode(kind: Any, value: object) -> bytes:
    """The DER that pyasn1 writes for plain values."""
    return bytes(encoder.encode(build(kind, value)))


def decode(kind: Any, der: bytes) -> Any:
    """The plain values that pyasn1 reads; AssertionError unless it also writes the same octets."""
    value, rest = decoder.decode(der, asn1Spec=kind)
    assert not rest
    assert bytes(encoder.encode(value)) == der
    return plain(value)


def message(header: Mapping[str, object], **fields: object) -> bytes:
    """An IKEMessage of plain values."""
    return encode(IKE_MESSAGE, {"header": header, **fields})


def contents(der: bytes) -> bytes:
    """The contents octets of one element."""
    at = 1
    if der[0] & 0x1F == 0x1F:
        while der[at] & 0x80:
            at += 1
        at += 1
    length = der[at]
    return der[at + 1 + (length & 0x7F if length & 0x80 else 0) :]
