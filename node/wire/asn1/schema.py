"""docs/ipseclab.asn1 as declarations for the compiled DER codec.

Rules:

1. One class for each SEQUENCE of the module, the fields in its order, names as Python writes them.
2. Types and tags only. Ranges and meaning are checked by the conversions, counts by `der`.
3. The tag of a payload in `Payload` is its payload type of RFC 7296 3.2; [0] is a payload of any other type.
"""

from typing import Annotated, TypeVar

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

T = TypeVar("T")


@asn1.sequence
class IKEHeader:
    """The header of RFC 7296 3.1; SPIs as numbers."""

    initiator_spi: Annotated[int, asn1.Implicit(0)]
    responder_spi: Annotated[int, asn1.Implicit(1)]
    next_payload: Annotated[int, asn1.Implicit(2)]
    version: Annotated[int, asn1.Implicit(3)]
    exchange_type: Annotated[int, asn1.Implicit(4)]
    flags: Annotated[int, asn1.Implicit(5)]
    message_id: Annotated[int, asn1.Implicit(6)]
    length: Annotated[int, asn1.Implicit(7)]


@asn1.sequence
class Attribute:
    """A transform attribute (3.3.5)."""

    attribute_type: int
    value: bytes
    short: Annotated[bool, asn1.Default(False)]


@asn1.sequence
class Transform:
    """A transform (3.3.2)."""

    transform_type: int
    algorithm: ObjectIdentifier
    key_length: Annotated[int | None, asn1.Implicit(0)]
    attributes: Annotated[list[Attribute] | None, asn1.Implicit(1)]


@asn1.sequence
class Proposal:
    """A proposal after the first (3.3.1)."""

    proposal_num: int
    protocol_id: int
    spi: bytes
    transforms: list[Transform]


@asn1.sequence
class SAPayload:
    """SA (3.3): the founding shape, then the extensions."""

    proposal_num: int
    protocol_id: int
    spi_size: int
    num_transforms: int
    encryption_alg: ObjectIdentifier
    integrity_alg: ObjectIdentifier
    dh_group: ObjectIdentifier
    spi: Annotated[bytes | None, asn1.Implicit(0)]
    transforms: Annotated[list[Transform] | None, asn1.Implicit(1)]
    proposals: Annotated[list[Proposal] | None, asn1.Implicit(2)]


@asn1.sequence
class KEPayload:
    """KE (3.4)."""

    dh_group: ObjectIdentifier
    public_key: bytes


@asn1.sequence
class NoncePayload:
    """Ni or Nr (3.9)."""

    data: bytes


@asn1.sequence
class CertPayload:
    """CERT (3.6)."""

    cert_data: bytes
    encoding: Annotated[int, asn1.Implicit(0), asn1.Default(4)]


@asn1.sequence
class IDiPayload:
    """IDi (3.5)."""

    id_type: int
    data: bytes


@asn1.sequence
class IDrPayload:
    """IDr (3.5)."""

    id_type: int
    data: bytes


@asn1.sequence
class CertReqPayload:
    """CERTREQ (3.7)."""

    encoding: int
    authorities: bytes


@asn1.sequence
class AuthPayload:
    """AUTH (3.8)."""

    method: int
    data: bytes


@asn1.sequence
class AuthNoncePayload:
    """The authentication nonce of the founding profile."""

    data: bytes


@asn1.sequence
class NotifyPayload:
    """N (3.10)."""

    notify_type: int
    data: bytes
    protocol_id: Annotated[int, asn1.Implicit(0), asn1.Default(0)]
    spi: Annotated[bytes | None, asn1.Implicit(1)]


@asn1.sequence
class DeletePayload:
    """D (3.11)."""

    protocol_id: int
    spis: list[bytes]


@asn1.sequence
class VendorIdPayload:
    """V (3.12)."""

    data: bytes


@asn1.sequence
class TrafficSelector:
    """One traffic selector (3.13.1); the length of the addresses tells the family."""

    protocol: int
    start_port: int
    end_port: int
    start_address: bytes
    end_address: bytes


@asn1.sequence
class TSiPayload:
    """TSi (3.13)."""

    selectors: list[TrafficSelector]


@asn1.sequence
class TSrPayload:
    """TSr (3.13)."""

    selectors: list[TrafficSelector]


@asn1.sequence
class ConfigurationAttribute:
    """One attribute of CP (3.15.1)."""

    attribute_type: int
    value: bytes


@asn1.sequence
class ConfigurationPayload:
    """CP (3.15)."""

    cfg_type: int
    attributes: list[ConfigurationAttribute]


@asn1.sequence
class EapPayload:
    """EAP (3.16)."""

    data: bytes


@asn1.sequence
class UnknownPayload:
    """A payload of a type that the module does not name."""

    payload_type: int
    critical: bool
    body: bytes


Payload = (
    Annotated[UnknownPayload, asn1.Implicit(0)]
    | Annotated[SAPayload, asn1.Implicit(33)]
    | Annotated[KEPayload, asn1.Implicit(34)]
    | Annotated[IDiPayload, asn1.Implicit(35)]
    | Annotated[IDrPayload, asn1.Implicit(36)]
    | Annotated[CertPayload, asn1.Implicit(37)]
    | Annotated[CertReqPayload, asn1.Implicit(38)]
    | Annotated[AuthPayload, asn1.Implicit(39)]
    | Annotated[NoncePayload, asn1.Implicit(40)]
    | Annotated[NotifyPayload, asn1.Implicit(41)]
    | Annotated[DeletePayload, asn1.Implicit(42)]
    | Annotated[VendorIdPayload, asn1.Implicit(43)]
    | Annotated[TSiPayload, asn1.Implicit(44)]
    | Annotated[TSrPayload, asn1.Implicit(45)]
    | Annotated[ConfigurationPayload, asn1.Implicit(47)]
    | Annotated[EapPayload, asn1.Implicit(48)]
    | Annotated[AuthNoncePayload, asn1.Implicit(128)]
)


@asn1.sequence
class InnerPayloads:
    """The payload fields: the plaintext of a protected message, and a cleartext one behind its header."""

    sa: Annotated[SAPayload | None, asn1.Implicit(1)]
    ke: Annotated[KEPayload | None, asn1.Implicit(2)]
    nonce: Annotated[NoncePayload | None, asn1.Implicit(3)]
    cert: Annotated[CertPayload | None, asn1.Implicit(4)]
    payloads: Annotated[list[Payload] | None, asn1.Implicit(6)]
    order: Annotated[list[int] | None, asn1.Implicit(7)]


@asn1.sequence
class EncryptedPayload:
    """The protected part."""

    iv: bytes
    ciphertext: bytes
    icv: bytes


@asn1.sequence
class Encrypted:
    """What stands behind the header of a protected message."""

    encrypted: Annotated[EncryptedPayload, asn1.Implicit(5)]


def encode(value: object) -> bytes:
    """The DER of an instance of a class above."""
    return asn1.encode_der(value)


def decode(kind: type[T], octets: bytes) -> T:
    """The value that DER octets hold. Raises ValueError where they are not exactly one `kind`."""
    return asn1.decode_der(kind, octets)
