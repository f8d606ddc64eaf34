"""docs/ipseclab.asn1 in pyasn1, and its values as plain Python.

Written from the text of the module. `decode` is strict: what it reads is bounded (`der`), has nothing behind
it, and is encoded again to the very octets that came, since pyasn1 by itself reads more than DER.
"""

from collections.abc import Mapping
from typing import Any

from pyasn1.codec.der import decoder, encoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import constraint, namedtype, tag, univ

from lab.decode import der
from lab.decode.problem import Unreadable

#: A SEQUENCE by the names of its elements, absent ones left out.
Fields = Mapping[str, Any]

_LARGEST = {"Octet": 0xFF, "FifteenBits": 0x7FFF, "TwoOctets": 0xFFFF, "FourOctets": 2**32 - 1}


def _integer(lowest: int, highest: int) -> Any:
    return univ.Integer().subtype(subtypeSpec=constraint.ValueRangeConstraint(lowest, highest))


def _octet_string(lowest: int, highest: int) -> Any:
    return univ.OctetString().subtype(subtypeSpec=constraint.ValueSizeConstraint(lowest, highest))


def _tagged(number: int, kind: Any) -> Any:
    constructed = isinstance(kind, univ.Sequence | univ.SequenceOf)
    form = tag.tagFormatConstructed if constructed else tag.tagFormatSimple
    return kind.subtype(implicitTag=tag.Tag(tag.tagClassContext, form, number))


def _sequence(*elements: Any) -> Any:
    return univ.Sequence(componentType=namedtype.NamedTypes(*elements))


def _list(kind: Any, lowest: int, highest: int) -> Any:
    size = constraint.ValueSizeConstraint(lowest, highest)
    return univ.SequenceOf(componentType=kind).subtype(subtypeSpec=size)


def _is(name: str, kind: Any) -> Any:
    return namedtype.NamedType(name, kind)


def _optional(name: str, number: int, kind: Any) -> Any:
    return namedtype.OptionalNamedType(name, _tagged(number, kind))


OCTET, FIFTEEN_BITS, TWO_OCTETS, FOUR_OCTETS = (_integer(0, highest) for highest in _LARGEST.values())
EIGHT_OCTETS = _integer(0, 2**64 - 1)
DATA = _octet_string(0, der.MAX_OCTETS)
SPI = _octet_string(1, 255)
IDENTIFIER = univ.ObjectIdentifier()
_MAX_LIST, _MAX_PAYLOADS = 4_096, 256

HEADER = _sequence(
    _is("initiatorSPI", _tagged(0, EIGHT_OCTETS)),
    _is("responderSPI", _tagged(1, EIGHT_OCTETS)),
    _is("nextPayload", _tagged(2, OCTET)),
    _is("version", _tagged(3, OCTET)),
    _is("exchangeType", _tagged(4, OCTET)),
    _is("flags", _tagged(5, OCTET)),
    _is("messageID", _tagged(6, FOUR_OCTETS)),
    _is("length", _tagged(7, _integer(0, 0))),
)
_ATTRIBUTE = _sequence(
    _is("attributeType", FIFTEEN_BITS),
    _is("value", DATA),
    namedtype.DefaultedNamedType("short", univ.Boolean(False)),
)
_TRANSFORM = _sequence(
    _is("transformType", OCTET),
    _is("algorithm", IDENTIFIER),
    _optional("keyLength", 0, TWO_OCTETS),
    _optional("attributes", 1, _list(_ATTRIBUTE, 1, _MAX_LIST)),
)
_PROPOSAL = _sequence(
    _is("proposalNum", _integer(1, 255)),
    _is("protocolID", OCTET),
    _is("spi", _octet_string(0, 255)),
    _is("transforms", _list(_TRANSFORM, 0, 255)),
)
_SA = _sequence(
    _is("proposalNum", _integer(1, 255)),
    _is("protocolID", OCTET),
    _is("spiSize", OCTET),
    _is("numTransforms", OCTET),
    _is("encryptionAlg", IDENTIFIER),
    _is("integrityAlg", IDENTIFIER),
    _is("dhGroup", IDENTIFIER),
    _optional("spi", 0, SPI),
    _optional("transforms", 1, _list(_TRANSFORM, 1, 255)),
    _optional("proposals", 2, _list(_PROPOSAL, 1, _MAX_LIST)),
)
_KE = _sequence(_is("dhGroup", IDENTIFIER), _is("publicKey", DATA))
_NONCE = _sequence(_is("data", _octet_string(16, 256)))
_CERT = _sequence(_is("certData", DATA), namedtype.DefaultedNamedType("encoding", _tagged(0, OCTET).clone(4)))
_ID = _sequence(_is("idType", OCTET), _is("data", DATA))
_ONLY_DATA = _sequence(_is("data", DATA))
_SELECTOR = _sequence(
    _is("protocol", OCTET),
    _is("startPort", TWO_OCTETS),
    _is("endPort", TWO_OCTETS),
    _is("startAddress", _octet_string(4, 16)),
    _is("endAddress", _octet_string(4, 16)),
)
_SELECTORS = _sequence(_is("selectors", _list(_SELECTOR, 0, _MAX_LIST)))
_CONFIGURATION = _sequence(
    _is("cfgType", OCTET),
    _is(
        "attributes",
        _list(_sequence(_is("attributeType", FIFTEEN_BITS), _is("value", DATA)), 0, _MAX_LIST),
    ),
)
_NOTIFY = _sequence(
    _is("notifyType", TWO_OCTETS),
    _is("data", DATA),
    namedtype.DefaultedNamedType("protocolID", _tagged(0, OCTET).clone(0)),
    _optional("spi", 1, SPI),
)

#: The alternatives of Payload: name, tag, type.
_PAYLOADS = (
    ("unknown", 0, _sequence(_is("payloadType", OCTET), _is("critical", univ.Boolean()), _is("body", DATA))),
    ("sa", 33, _SA),
    ("ke", 34, _KE),
    ("idI", 35, _ID),
    ("idR", 36, _ID),
    ("cert", 37, _CERT),
    ("certReq", 38, _sequence(_is("encoding", OCTET), _is("authorities", DATA))),
    ("auth", 39, _sequence(_is("method", OCTET), _is("data", DATA))),
    ("nonce", 40, _NONCE),
    ("notify", 41, _NOTIFY),
    ("delete", 42, _sequence(_is("protocolID", OCTET), _is("spis", _list(SPI, 0, _MAX_LIST)))),
    ("vendorID", 43, _ONLY_DATA),
    ("tsI", 44, _SELECTORS),
    ("tsR", 45, _SELECTORS),
    ("config", 47, _CONFIGURATION),
    ("eap", 48, _ONLY_DATA),
    ("authNonce", 128, _ONLY_DATA),
)
#: Payload types by the name of their alternative; `unknown` carries its own.
PAYLOAD_TYPES = {name: number for name, number, _ in _PAYLOADS if number}
_PAYLOAD = univ.Choice(
    componentType=namedtype.NamedTypes(
        *(_is(name, _tagged(number, kind)) for name, number, kind in _PAYLOADS)
    )
)
_ENCRYPTED = _sequence(
    _is("iv", _octet_string(0, 255)),
    _is("ciphertext", _octet_string(1, der.MAX_OCTETS)),
    _is("icv", _octet_string(0, 255)),
)
_FOUNDING = (
    _optional("sa", 1, _SA),
    _optional("ke", 2, _KE),
    _optional("nonce", 3, _NONCE),
    _optional("cert", 4, _CERT),
)
_OTHERS = (
    _optional("payloads", 6, _list(_PAYLOAD, 1, _MAX_PAYLOADS)),
    _optional("order", 7, _list(OCTET, 1, 4)),
)
MESSAGE = _sequence(_is("header", HEADER), *_FOUNDING, _optional("encrypted", 5, _ENCRYPTED), *_OTHERS)
INNER_PAYLOADS = _sequence(*_FOUNDING, *_OTHERS)


def decode(kind: Any, octets: bytes) -> Fields:
    """The plain values of a SEQUENCE of the module. Raises Unreadable where the octets are not exactly one,
    in DER and within the bounds.
    """
    der.check(octets)
    try:
        value, rest = decoder.decode(octets, asn1Spec=kind)
        again = encoder.encode(value)
    # What pyasn1 does with octets that are not ASN.1 is not only its own error.
    except (PyAsn1Error, ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        raise Unreadable(f"not of the module: {_sentence(error)}") from error
    if rest or again != octets:
        raise Unreadable("not DER: written again, the octets are others")
    fields: Fields = _plain(value)
    return fields


def _sentence(error: Exception) -> str:
    """The first line of what pyasn1 says, without the octets that it quotes."""
    first = str(error).partition("\n")[0].partition(" at ")[0]
    return first[:120] or type(error).__name__


def _plain(value: Any) -> Any:
    """Mappings, lists, (alternative, value) pairs, int, bytes, bool and dotted identifiers."""
    if isinstance(value, univ.Sequence):
        found = zip(value.componentType, value.components, strict=True)
        return {name: _plain(inside) for name, inside in found if inside is not None and inside.isValue}
    if isinstance(value, univ.SequenceOf):
        return [_plain(inside) for inside in value]
    if isinstance(value, univ.Choice):
        return value.getName(), _plain(value.getComponent())
    if isinstance(value, univ.Boolean):
        return bool(value)
    if isinstance(value, univ.Integer):
        return int(value)
    return bytes(value) if isinstance(value, univ.OctetString) else str(value)
