"""IANA numbers of IKEv2 as open enumerations.

Rules:

1. Every number a peer can send is representable; known ones have names. Converting never fails inside the
   field's range, printing never fails.
2. Numbers only. Sizes, OIDs and key lengths belong to the layers that use them.
3. Numbers this project assigns lie in the private-use ranges and say so.

Source: IANA "IKEv2 Parameters"; the section in brackets is that of the RFC that defines the table.
"""

from enum import IntEnum
from typing import Self, cast


class OpenIntEnum(IntEnum):
    """An integer enumeration that also holds numbers it has no name for.

    `EncrId(4242)` is a value like any other; it prints as `EncrId_4242`. Unknown values are not remembered,
    so a peer cannot make the table grow.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or value < 0:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"{cls.__name__}_{value}"
        member._value_ = value
        return member

    @classmethod
    def of(cls, value: int) -> Self:
        """As `cls(value)`, in a third of its time where the number has a name."""
        found = cls._value2member_map_.get(value)
        return cls(value) if found is None else cast("Self", found)

    @property
    def known(self) -> bool:
        """True where the number has a name in this table."""
        return self._value_ in type(self)._value2member_map_

    def __str__(self) -> str:
        return self._name_


class ExchangeType(OpenIntEnum):
    """Exchange types (RFC 7296 3.1; RFC 9242)."""

    IKE_SA_INIT = 34
    IKE_AUTH = 35
    CREATE_CHILD_SA = 36
    INFORMATIONAL = 37
    IKE_INTERMEDIATE = 43


class PayloadType(OpenIntEnum):
    """Payload types (RFC 7296 3.2; RFC 7383)."""

    NONE = 0
    SA = 33
    KE = 34
    IDI = 35
    IDR = 36
    CERT = 37
    CERTREQ = 38
    AUTH = 39
    NONCE = 40
    NOTIFY = 41
    DELETE = 42
    VENDOR_ID = 43
    TSI = 44
    TSR = 45
    SK = 46
    CP = 47
    EAP = 48
    SKF = 53
    #: Private use (128 to 255): the authentication nonce of the founding profile, see docs/ipseclab.asn1.
    AUTH_NONCE = 128


class ProtocolId(OpenIntEnum):
    """Security protocol identifiers (RFC 7296 3.3.1)."""

    NONE = 0
    IKE = 1
    AH = 2
    ESP = 3


class TransformType(OpenIntEnum):
    """Transform types (RFC 7296 3.3.2)."""

    ENCR = 1
    PRF = 2
    INTEG = 3
    KE = 4
    ESN = 5


class EncrId(OpenIntEnum):
    """Encryption transforms (RFC 7296 3.3.2, RFC 5282, RFC 7634)."""

    ENCR_NULL = 11
    ENCR_AES_CBC = 12
    ENCR_AES_GCM_16 = 20
    ENCR_CHACHA20_POLY1305 = 28


class PrfId(OpenIntEnum):
    """Pseudorandom functions (RFC 7296 3.3.2, RFC 4868)."""

    PRF_HMAC_SHA2_256 = 5
    PRF_HMAC_SHA2_384 = 6
    PRF_HMAC_SHA2_512 = 7


class IntegId(OpenIntEnum):
    """Integrity transforms (RFC 7296 3.3.2, RFC 4868)."""

    NONE = 0
    AUTH_HMAC_SHA2_256_128 = 12
    AUTH_HMAC_SHA2_384_192 = 13
    AUTH_HMAC_SHA2_512_256 = 14


class KeId(OpenIntEnum):
    """Key exchange methods, formerly Diffie-Hellman groups (RFC 3526, 5903, 8031)."""

    NONE = 0
    MODP_2048 = 14
    MODP_3072 = 15
    MODP_4096 = 16
    MODP_6144 = 17
    MODP_8192 = 18
    ECP_256 = 19
    ECP_384 = 20
    ECP_521 = 21
    CURVE25519 = 31
    CURVE448 = 32


class EsnId(OpenIntEnum):
    """Extended sequence numbers (RFC 7296 3.3.2)."""

    NO_ESN = 0
    ESN = 1


class AttributeType(OpenIntEnum):
    """Transform attribute types (RFC 7296 3.3.5)."""

    KEY_LENGTH = 14


class IdType(OpenIntEnum):
    """Identification types (RFC 7296 3.5)."""

    ID_IPV4_ADDR = 1
    ID_FQDN = 2
    ID_RFC822_ADDR = 3
    ID_IPV6_ADDR = 5
    ID_DER_ASN1_DN = 9
    ID_DER_ASN1_GN = 10
    ID_KEY_ID = 11


class CertEncoding(OpenIntEnum):
    """Certificate encodings (RFC 7296 3.6)."""

    X509_SIGNATURE = 4
    HASH_AND_URL = 12
    HASH_AND_URL_BUNDLE = 13


class AuthMethod(OpenIntEnum):
    """Authentication methods (RFC 7296 3.8, RFC 4754, RFC 7427)."""

    RSA_SIGNATURE = 1
    SHARED_KEY_MIC = 2
    ECDSA_SHA256_P256 = 9
    ECDSA_SHA384_P384 = 10
    ECDSA_SHA512_P521 = 11
    DIGITAL_SIGNATURE = 14


class HashId(OpenIntEnum):
    """Hash algorithms of SIGNATURE_HASH_ALGORITHMS (RFC 7427 4, RFC 8420)."""

    SHA1 = 1
    SHA2_256 = 2
    SHA2_384 = 3
    SHA2_512 = 4
    IDENTITY = 5


class TsType(OpenIntEnum):
    """Traffic selector types (RFC 7296 3.13.1)."""

    TS_IPV4_ADDR_RANGE = 7
    TS_IPV6_ADDR_RANGE = 8


class CfgType(OpenIntEnum):
    """Types of Configuration payloads (RFC 7296 3.15)."""

    REQUEST = 1
    REPLY = 2
    SET = 3
    ACK = 4


class CfgAttribute(OpenIntEnum):
    """Configuration attributes that mean something here (RFC 7296 3.15.1)."""

    INTERNAL_IP4_ADDRESS = 1
    INTERNAL_IP6_ADDRESS = 8


class NotifyType(OpenIntEnum):
    """Notify message types (RFC 7296 3.10.1). Up to 16383 are errors, from 16384 status."""

    UNSUPPORTED_CRITICAL_PAYLOAD = 1
    INVALID_IKE_SPI = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_SYNTAX = 7
    INVALID_MESSAGE_ID = 9
    INVALID_SPI = 11
    NO_PROPOSAL_CHOSEN = 14
    INVALID_KE_PAYLOAD = 17
    AUTHENTICATION_FAILED = 24
    SINGLE_PAIR_REQUIRED = 34
    NO_ADDITIONAL_SAS = 35
    INTERNAL_ADDRESS_FAILURE = 36
    FAILED_CP_REQUIRED = 37
    TS_UNACCEPTABLE = 38
    INVALID_SELECTORS = 39
    UNACCEPTABLE_ADDRESSES = 40
    UNEXPECTED_NAT_DETECTED = 41
    TEMPORARY_FAILURE = 43
    CHILD_SA_NOT_FOUND = 44
    INITIAL_CONTACT = 16384
    SET_WINDOW_SIZE = 16385
    ADDITIONAL_TS_POSSIBLE = 16386
    IPCOMP_SUPPORTED = 16387
    NAT_DETECTION_SOURCE_IP = 16388
    NAT_DETECTION_DESTINATION_IP = 16389
    COOKIE = 16390
    USE_TRANSPORT_MODE = 16391
    HTTP_CERT_LOOKUP_SUPPORTED = 16392
    REKEY_SA = 16393
    ESP_TFC_PADDING_NOT_SUPPORTED = 16394
    NON_FIRST_FRAGMENTS_ALSO = 16395
    MOBIKE_SUPPORTED = 16396
    ADDITIONAL_IP4_ADDRESS = 16397
    ADDITIONAL_IP6_ADDRESS = 16398
    NO_ADDITIONAL_ADDRESSES = 16399
    UPDATE_SA_ADDRESSES = 16400
    COOKIE2 = 16401
    NO_NATS_ALLOWED = 16402
    AUTH_LIFETIME = 16403
    IKEV2_FRAGMENTATION_SUPPORTED = 16430
    SIGNATURE_HASH_ALGORITHMS = 16431

    @property
    def is_error(self) -> bool:
        """True for error types: an answer carrying one means that the request failed."""
        return self._value_ < 16384
