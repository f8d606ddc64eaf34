"""The module docs/ipseclab.asn1 as declarations; names and tags are those of that file.

Declarative only: ranges of integers and the meaning of values are checked where the model is made. The
library's decoder accepts DER and nothing else.
"""

from typing import Annotated

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

#: Payloads, proposals, transforms, attributes, SPIs, selectors in one list: what RFC 7296 deployments use,
#: many times over.
MAX_PAYLOADS = 64
MAX_PROPOSALS = 32
MAX_TRANSFORMS = 64
MAX_ATTRIBUTES = 8
MAX_SPIS = 64
MAX_SELECTORS = 64
MAX_CONFIGURATION = 64
MAX_OCTETS = 65_000

Body = Annotated[bytes, asn1.Size(min=0, max=MAX_OCTETS)]


@asn1.sequence
class IKEHeader:
    """Header; `length` is 0, DER carries it."""

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
    """A transform attribute; `short` tells the two-octet format of RFC 7296 3.3.5."""

    type: int
    value: Body
    short: bool


@asn1.sequence
class Transform:
    """A transform; the identifier may already say the key length."""

    type: int
    algorithm: ObjectIdentifier
    key_length: Annotated[int | None, asn1.Implicit(0)]
    attributes: Annotated[list[Attribute] | None, asn1.Implicit(1)]


@asn1.sequence
class Proposal:
    """A proposal with all its transforms."""

    number: int
    protocol: int
    spi: Annotated[bytes, asn1.Size(min=0, max=8)]
    transforms: Annotated[list[Transform], asn1.Size(min=0, max=MAX_TRANSFORMS)]


@asn1.sequence
class SAPayload:
    """The founding shape; `proposals` carries whatever that shape cannot say."""

    proposal_num: int
    protocol_id: int
    spi_size: int
    num_transforms: int
    encryption_alg: ObjectIdentifier
    integrity_alg: ObjectIdentifier
    dh_group: ObjectIdentifier
    proposals: Annotated[list[Proposal] | None, asn1.Implicit(0)]


@asn1.sequence
class KEPayload:
    """Key exchange method and public value."""

    dh_group: ObjectIdentifier
    public_key: Body


@asn1.sequence
class NoncePayload:
    """Ni or Nr."""

    data: Body


@asn1.sequence
class CertPayload:
    """An X.509 certificate; another encoding than 4 is named."""

    cert_data: Body
    encoding: Annotated[int | None, asn1.Implicit(0)]


@asn1.sequence
class InitiatorIdentity:
    """IDi."""

    id_type: int
    data: Body


@asn1.sequence
class ResponderIdentity:
    """IDr."""

    id_type: int
    data: Body


@asn1.sequence
class CertRequestPayload:
    """CERTREQ."""

    encoding: int
    authorities: Body


@asn1.sequence
class AuthPayload:
    """AUTH."""

    method: int
    data: Body


@asn1.sequence
class AuthNoncePayload:
    """The authentication nonce."""

    data: Body


@asn1.sequence
class NotifyPayload:
    """N."""

    notify_type: int
    protocol: int
    spi: Annotated[bytes, asn1.Size(min=0, max=8)]
    data: Body


@asn1.sequence
class DeletePayload:
    """D."""

    protocol: int
    spis: Annotated[list[Annotated[bytes, asn1.Size(min=0, max=8)]], asn1.Size(min=0, max=MAX_SPIS)]


@asn1.sequence
class VendorPayload:
    """V."""

    data: Body


@asn1.sequence
class Selector:
    """A traffic selector; the address family is that of its addresses (4 or 16 octets)."""

    protocol: int
    start_port: int
    end_port: int
    start_address: Annotated[bytes, asn1.Size(min=4, max=16)]
    end_address: Annotated[bytes, asn1.Size(min=4, max=16)]


@asn1.sequence
class InitiatorSelectors:
    """TSi."""

    selectors: Annotated[list[Selector], asn1.Size(min=0, max=MAX_SELECTORS)]


@asn1.sequence
class ResponderSelectors:
    """TSr."""

    selectors: Annotated[list[Selector], asn1.Size(min=0, max=MAX_SELECTORS)]


@asn1.sequence
class ConfigurationAttribute:
    """One attribute of CP."""

    type: int
    value: Body


@asn1.sequence
class ConfigurationPayload:
    """CP."""

    cfg_type: int
    attributes: Annotated[list[ConfigurationAttribute], asn1.Size(min=0, max=MAX_CONFIGURATION)]


@asn1.sequence
class EapPayload:
    """EAP."""

    data: Body


@asn1.sequence
class UnknownPayload:
    """A payload of a type without a meaning here."""

    type: int
    critical: bool
    body: Body


AnyPayload = (
    SAPayload
    | KEPayload
    | NoncePayload
    | CertPayload
    | InitiatorIdentity
    | ResponderIdentity
    | CertRequestPayload
    | AuthPayload
    | AuthNoncePayload
    | NotifyPayload
    | DeletePayload
    | VendorPayload
    | InitiatorSelectors
    | ResponderSelectors
    | ConfigurationPayload
    | EapPayload
    | UnknownPayload
)
Tagged = (
    Annotated[SAPayload, asn1.Implicit(1)]
    | Annotated[KEPayload, asn1.Implicit(2)]
    | Annotated[NoncePayload, asn1.Implicit(3)]
    | Annotated[CertPayload, asn1.Implicit(4)]
    | Annotated[InitiatorIdentity, asn1.Implicit(5)]
    | Annotated[ResponderIdentity, asn1.Implicit(6)]
    | Annotated[CertRequestPayload, asn1.Implicit(7)]
    | Annotated[AuthPayload, asn1.Implicit(8)]
    | Annotated[AuthNoncePayload, asn1.Implicit(9)]
    | Annotated[NotifyPayload, asn1.Implicit(10)]
    | Annotated[DeletePayload, asn1.Implicit(11)]
    | Annotated[VendorPayload, asn1.Implicit(12)]
    | Annotated[InitiatorSelectors, asn1.Implicit(13)]
    | Annotated[ResponderSelectors, asn1.Implicit(14)]
    | Annotated[ConfigurationPayload, asn1.Implicit(15)]
    | Annotated[EapPayload, asn1.Implicit(16)]
    | Annotated[UnknownPayload, asn1.Implicit(17)]
)
Payloads = Annotated[list[Tagged], asn1.Size(min=0, max=MAX_PAYLOADS)]


@asn1.sequence
class Encrypted:
    """The protected part: what the sealer made, taken apart."""

    iv: Annotated[bytes, asn1.Size(min=0, max=16)]
    ciphertext: Body
    icv: Annotated[bytes, asn1.Size(min=0, max=64)]


@asn1.sequence
class IKEMessage:
    """One datagram. Fields up to `cert` are the founding shape."""

    header: IKEHeader
    sa: Annotated[SAPayload | None, asn1.Implicit(1)]
    ke: Annotated[KEPayload | None, asn1.Implicit(2)]
    nonce: Annotated[NoncePayload | None, asn1.Implicit(3)]
    cert: Annotated[CertPayload | None, asn1.Implicit(4)]
    encrypted: Annotated[Encrypted | None, asn1.Implicit(5)]
    payloads: Annotated[list[Tagged] | None, asn1.Implicit(6)]


@asn1.sequence
class InnerPayloads:
    """The plaintext of the protected part, before its padding."""

    payloads: Payloads
