"""The payloads of RFC 7296 section 3 as frozen values.

Rules:

1. A payload says what was sent; nothing here judges or encodes it.
2. Every payload has `type`. What a profile does not know is `Unknown` and survives.
3. Constructors do not validate: codecs check ranges when they read, the engine checks meaning.
"""

from dataclasses import dataclass
from typing import ClassVar

from node.model.proposal import Proposal
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    IdType,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
)
from node.model.selectors import TrafficSelector, UnknownSelector


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """SA (3.3): the proposals in the order they were sent."""

    proposals: tuple[Proposal, ...]
    type: ClassVar[PayloadType] = PayloadType.SA


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """KE (3.4): the method and the public value, as many octets as the method fixes."""

    group: KeId
    data: bytes
    type: ClassVar[PayloadType] = PayloadType.KE


@dataclass(frozen=True, slots=True)
class Identification:
    """IDi or IDr (3.5).

    `type` is PayloadType.IDI or IDR, `data` the identification octets without the type.
    """

    type: PayloadType
    id_type: IdType
    data: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """CERT (3.6): one certificate; for encoding 4 its DER."""

    encoding: CertEncoding
    data: bytes
    type: ClassVar[PayloadType] = PayloadType.CERT


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """CERTREQ (3.7): for encoding 4 concatenated SHA-1 hashes of trusted SubjectPublicKeyInfos."""

    encoding: CertEncoding
    authorities: bytes
    type: ClassVar[PayloadType] = PayloadType.CERTREQ


@dataclass(frozen=True, slots=True)
class Authentication:
    """AUTH (3.8): the method and its data (for method 14 as in RFC 7427 3, one opaque blob here)."""

    method: AuthMethod
    data: bytes
    type: ClassVar[PayloadType] = PayloadType.AUTH


@dataclass(frozen=True, slots=True)
class Nonce:
    """Ni or Nr (3.9): 16 to 256 octets."""

    data: bytes
    type: ClassVar[PayloadType] = PayloadType.NONCE


@dataclass(frozen=True, slots=True)
class AuthNonce:
    """The authentication nonce of the founding profile.

    32 octets, fresh for each IKE_AUTH, always protected.
    """

    data: bytes
    type: ClassVar[PayloadType] = PayloadType.AUTH_NONCE


@dataclass(frozen=True, slots=True)
class Notify:
    """N (3.10): the notification, the SA it speaks of (protocol NONE and no SPI.

    The IKE SA itself) and its data.
    """

    notify_type: NotifyType
    data: bytes = b""
    protocol: ProtocolId = ProtocolId.NONE
    spi: bytes = b""
    type: ClassVar[PayloadType] = PayloadType.NOTIFY


@dataclass(frozen=True, slots=True)
class Delete:
    """D (3.11): the SPIs to delete, all of one protocol; none for the IKE SA itself."""

    protocol: ProtocolId
    spis: tuple[bytes, ...] = ()
    type: ClassVar[PayloadType] = PayloadType.DELETE


@dataclass(frozen=True, slots=True)
class VendorId:
    """V (3.12)."""

    data: bytes
    type: ClassVar[PayloadType] = PayloadType.VENDOR_ID


@dataclass(frozen=True, slots=True)
class TrafficSelectors:
    """TSi or TSr (3.13); `type` is PayloadType.TSI or TSR. `others` are of types that we do not know."""

    type: PayloadType
    selectors: tuple[TrafficSelector, ...]
    others: tuple[UnknownSelector, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigurationAttribute:
    """One attribute of a CP payload (3.15.1): type 0 to 32767 and its value."""

    type: int
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Configuration:
    """CP (3.15): 1 request, 2 reply, 3 set, 4 ack."""

    cfg_type: int
    attributes: tuple[ConfigurationAttribute, ...]
    type: ClassVar[PayloadType] = PayloadType.CP


@dataclass(frozen=True, slots=True)
class Eap:
    """EAP (3.16): one EAP message, opaque here."""

    data: bytes
    type: ClassVar[PayloadType] = PayloadType.EAP


@dataclass(frozen=True, slots=True)
class Unknown:
    """A payload of a type without a meaning here: number, critical bit and body survive."""

    type: PayloadType
    critical: bool
    body: bytes


Payload = (
    SecurityAssociation
    | KeyExchange
    | Identification
    | Certificate
    | CertificateRequest
    | Authentication
    | Nonce
    | AuthNonce
    | Notify
    | Delete
    | VendorId
    | TrafficSelectors
    | Configuration
    | Eap
    | Unknown
)
