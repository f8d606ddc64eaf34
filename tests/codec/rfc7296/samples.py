"""Payloads with their bodies, written out from the diagrams of RFC 7296 section 3, and messages."""

from collections.abc import Sequence
from ipaddress import ip_address

from node.crypto.aead import encr_key_size, integ_key_size, sealer
from node.crypto.suites import ike_suite
from node.model.child import DirectionKeys
from node.model.message import Fragment, Header, Message
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
from node.model.proposal import Attribute, Proposal, Suite, Transform
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    EncrId,
    IdType,
    IntegId,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TransformType,
    TsType,
)
from node.model.secret import Secret
from node.model.selectors import TrafficSelector, UnknownSelector, network
from node.ports import Sealer
from node.wire.rfc7296.codec import Rfc7296Codec
from tests.codec.samples import AUTH, INIT

CODEC = Rfc7296Codec()

ENCR, PRF, INTEG, KE, ESN = TransformType
CBC = EncrId.ENCR_AES_CBC


def sa(*proposals: Proposal) -> SecurityAssociation:
    return SecurityAssociation(proposals)


def proposal(number: int, protocol: int, spi: bytes, *transforms: Transform) -> Proposal:
    return Proposal(number, ProtocolId(protocol), spi, transforms)


IKE_PROPOSAL = proposal(
    1, 1, b"", Transform(ENCR, CBC, 256), Transform(PRF, 5), Transform(INTEG, 12), Transform(KE, 14)
)
#: name: (payload, its body)
PAYLOADS: dict[str, tuple[Payload, str]] = {
    "SA of an IKE SA": (
        sa(IKE_PROPOSAL),
        "00 00 002c 01 01 00 04"
        "03 00 000c 01 00 000c 800e 0100"
        "03 00 0008 02 00 0005"
        "03 00 0008 03 00 000c"
        "00 00 0008 04 00 000e",
    ),
    "SA of a Child SA": (
        sa(
            proposal(
                1, 3, b"\xc0\xff\xee\x01", Transform(ENCR, CBC, 256), Transform(INTEG, 12), Transform(ESN, 0)
            )
        ),
        "00 00 0028 01 03 04 03 c0ffee01"
        "03 00 000c 01 00 000c 800e 0100"
        "03 00 0008 03 00 000c"
        "00 00 0008 05 00 0000",
    ),
    "SA with two proposals, the second unknown in all": (
        sa(
            proposal(1, 1, b"", Transform(KE, 31)),
            proposal(
                2,
                77,
                bytes(8),
                Transform(ENCR, 4242, 77, (Attribute(99, b"\0\1", short=True), Attribute(100, b"long"))),
                Transform(TransformType(241), 65535),
                Transform(ENCR, CBC, None, (Attribute(14, b"\1\0"),)),
            ),
        ),
        "02 00 0010 01 01 00 01 00 00 0008 04 00 001f"
        "00 00 003e 02 4d 08 03 0000000000000000"
        "03 00 0018 01 00 1092 800e 004d 8063 0001 0064 0004 6c6f6e67"
        "03 00 0008 f1 00 ffff"
        "00 00 000e 01 00 000c 000e 0002 0100",
    ),
    "SA with a key length that is not the first attribute": (
        sa(
            proposal(
                1,
                1,
                b"",
                Transform(
                    ENCR, CBC, None, (Attribute(99, b"\0\1", short=True), Attribute(14, b"\1\0", short=True))
                ),
            )
        ),
        "00 00 0018 01 01 00 01 00 00 0010 01 00 000c 8063 0001 800e 0100",
    ),
    "SA with a key length twice": (
        sa(proposal(1, 1, b"", Transform(ENCR, CBC, 128, (Attribute(14, b"\1\0", short=True),)))),
        "00 00 0018 01 01 00 01 00 00 0010 01 00 000c 800e 0080 800e 0100",
    ),
    "SA without a transform": (sa(proposal(255, 1, b"")), "00 00 0008 ff 01 00 00"),
    "KE": (KeyExchange(KeId.CURVE25519, bytes(range(32))), "001f 0000" + bytes(range(32)).hex()),
    "KE of an unknown method": (KeyExchange(KeId(4321), b""), "10e1 0000"),
    "IDi": (Identification(PayloadType.IDI, IdType.ID_FQDN, b"initiator"), "02 000000 696e69746961746f72"),
    "IDr": (Identification(PayloadType.IDR, IdType(201), b""), "c9 000000"),
    "CERT": (Certificate(CertEncoding.X509_SIGNATURE, b"\x30\x03\x02\x01\x05"), "04 3003020105"),
    "CERT without data": (Certificate(CertEncoding(255), b""), "ff"),
    "CERTREQ": (CertificateRequest(CertEncoding.X509_SIGNATURE, bytes(20)), "04" + "00" * 20),
    "AUTH": (Authentication(AuthMethod.DIGITAL_SIGNATURE, b"\x0c\x30"), "0e 000000 0c30"),
    "Nonce, shortest": (Nonce(bytes(16)), "00" * 16),
    "Nonce, longest": (Nonce(bytes(256)), "00" * 256),
    "N": (Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, b"\0\2\0\3"), "00 00 402f 00020003"),
    "N about an SA": (
        Notify(NotifyType.REKEY_SA, b"", ProtocolId.ESP, b"\xde\xad\xbe\xef"),
        "03 04 4009 deadbeef",
    ),
    "N of an unknown type": (Notify(NotifyType(65535), b"x", ProtocolId(9), b"\1"), "09 01 ffff 01 78"),
    "D of the IKE SA": (Delete(ProtocolId.IKE), "01 00 0000"),
    "D of two Child SAs": (
        Delete(ProtocolId.ESP, (b"\0\0\1\0", b"\xff\xff\xff\xff")),
        "03 04 0002 00000100 ffffffff",
    ),
    "V": (VendorId(b"lab"), "6c6162"),
    "V without data": (VendorId(b""), ""),
    "TSi of both families": (
        TrafficSelectors(PayloadType.TSI, (network("10.1.0.0/24"), network("2001:db8::/64"))),
        "02 000000"
        "07 00 0010 0000 ffff 0a010000 0a0100ff"
        "08 00 0028 0000 ffff 20010db8000000000000000000000000 20010db800000000ffffffffffffffff",
    ),
    "TSr with ports, upside down": (
        TrafficSelectors(
            PayloadType.TSR, (TrafficSelector(ip_address("10.0.0.2"), ip_address("10.0.0.1"), 17, 9, 7),)
        ),
        "01 000000 07 11 0010 0009 0007 0a000002 0a000001",
    ),
    "TSi with a label": (
        TrafficSelectors(
            PayloadType.TSI, (network("10.1.0.1"),), (UnknownSelector(TsType(10), 0, b"label"),)
        ),
        "02 000000 07 00 0010 0000 ffff 0a010001 0a010001 0a 00 0009 6c6162656c",
    ),
    "TSr without a selector": (TrafficSelectors(PayloadType.TSR, ()), "00 000000"),
    "CP": (
        Configuration(1, (ConfigurationAttribute(1), ConfigurationAttribute(32767, b"x"))),
        "01 000000 0001 0000 7fff 0001 78",
    ),
    "EAP": (Eap(b"\1\1\0\5\1"), "0101000501"),
    "unknown": (Unknown(PayloadType(200), False, b"body"), "626f6479"),
    "unknown and critical": (Unknown(PayloadType(49), True, b""), ""),
    # A number for private use: what it means in the asn1 profile is not known in this one.
    "unknown of type 128": (Unknown(PayloadType.AUTH_NONCE, False, bytes(32)), "00" * 32),
}

IKE_SA_INIT: tuple[Payload, ...] = (
    PAYLOADS["SA of an IKE SA"][0],
    PAYLOADS["KE"][0],
    PAYLOADS["Nonce, shortest"][0],
    PAYLOADS["N"][0],
)
IKE_AUTH: tuple[Payload, ...] = tuple(
    PAYLOADS[name][0]
    for name in (
        *("IDi", "CERT", "CERTREQ", "IDr", "AUTH", "SA of a Child SA"),
        *("TSi of both families", "TSr with ports, upside down"),
    )
)
#: Cleartext messages of each kind.
CLEARTEXT: dict[str, tuple[Payload, ...]] = {
    "IKE_SA_INIT": IKE_SA_INIT,
    "a refusal": (Notify(NotifyType.INVALID_KE_PAYLOAD, b"\x00\x0e"),),
    "no payload": (),
    "every payload": tuple(payload for payload, _ in PAYLOADS.values()),
}
#: What the model has and the profile cannot say.
FOREIGN = AuthNonce(bytes(32))

SUITES: dict[str, Suite] = {
    "AES-CBC with HMAC": ike_suite("aes256-sha256-modp2048"),
    "AES-GCM": ike_suite("aes256gcm16-prfsha256-modp2048"),
    "ChaCha20-Poly1305": ike_suite("chacha20poly1305-prfsha256-modp2048"),
}


def sealer_of(name: str) -> Sealer:
    """A fresh sealer of a suite, with keys and IVs that are always the same."""
    suite = SUITES[name]
    integ = IntegId(suite.integ)
    keys = DirectionKeys(Secret(bytes(encr_key_size(suite.encr))), Secret(bytes(integ_key_size(integ))))
    return sealer(suite.encr, integ, keys, lambda size: bytes(range(size)))


def sealed(header: Header, payloads: Sequence[Payload], sealer_: Sealer | None = None) -> bytes:
    """The one datagram of a message."""
    (datagram,) = CODEC.seal(header, payloads, sealer_, 0).datagrams
    return datagram


def read(octets: bytes) -> Message:
    """Read a cleartext message, as the engine does."""
    return CODEC.read(CODEC.peek(octets))


def opened(octets: bytes, opener: Sealer) -> Message | Fragment:
    """Open a datagram, as the engine does."""
    return CODEC.open(CODEC.peek(octets), opener)


def written(first: int, inner: bytes) -> bytes:
    """An IKE_SA_INIT request with these octets behind its header, made without the codec."""
    header = INIT.spi_i + INIT.spi_r + bytes((first, 0x20, 34, 0x08)) + bytes(4)
    return header + (28 + len(inner)).to_bytes(4) + inner


def cleartext(kind: int, body: bytes, critical: int = 0) -> bytes:
    """An IKE_SA_INIT request with this payload alone, made without the codec."""
    return written(kind, bytes((0, critical)) + (4 + len(body)).to_bytes(2) + body)


def protected(
    plain: bytes, suite: str, first: int = 35, frame: int = 46, numbers: bytes = b"", surplus: int = 0
) -> bytes:
    """An IKE_AUTH request with this plaintext, padding and all, made without the codec.

    `surplus` is added to the payload's length.
    """
    sealer_ = sealer_of(suite)
    size = 4 + len(numbers) + sealer_.sealed_len(len(plain))
    header = AUTH.spi_i + AUTH.spi_r + bytes((frame, 0x20, 35, 0x08)) + bytes((0, 0, 0, 1))
    aad = header + (28 + size).to_bytes(4) + bytes((first, 0)) + (size + surplus).to_bytes(2) + numbers
    return aad + sealer_.seal(aad, plain)


__all__ = ["AUTH", "INIT"]
