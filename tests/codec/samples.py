"""Payloads with what they are in the module, and messages of each kind, for all tests of the codec."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from node.crypto.aead import encr_key_size, integ_key_size, sealer
from node.crypto.suites import esp_suite, ike_suite
from node.model.child import DirectionKeys
from node.model.message import NO_SPI, Header, HeaderFlags
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
from node.model.proposal import Attribute, Proposal, Suite, Transform, offer
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    EncrId,
    EsnId,
    ExchangeType,
    IdType,
    IntegId,
    KeId,
    NotifyType,
    PayloadType,
    PrfId,
    ProtocolId,
    TransformType,
)
from node.model.secret import Secret
from node.model.selectors import TrafficSelector, network
from node.ports import Sealer
from node.wire.asn1.codec import Asn1Codec

CODEC = Asn1Codec()
ARC = "2.25.72626359925804047388312100943545564747"

INIT = Header(bytes(range(0xA1, 0xA9)), NO_SPI, ExchangeType.IKE_SA_INIT, 0, int(HeaderFlags.INITIATOR))
AUTH = replace(INIT, spi_r=bytes(range(0x51, 0x59)), exchange=ExchangeType.IKE_AUTH, message_id=1)

FOUNDING_SA = SecurityAssociation(offer((ike_suite("aes256-sha256-modp2048"),)))
FOUNDING = (FOUNDING_SA, KeyExchange(KeId.MODP_2048, bytes(range(256))), Nonce(bytes(range(32))))

ENCR, PRF, INTEG, KE, ESN = TransformType
CBC, GCM = EncrId.ENCR_AES_CBC, EncrId.ENCR_AES_GCM_16


def proposal(number: int, protocol: int, spi: bytes, *transforms: Transform) -> Proposal:
    return Proposal(number, ProtocolId(protocol), spi, transforms)


def sa(*proposals: Proposal) -> SecurityAssociation:
    return SecurityAssociation(proposals)


def fields(numbers: tuple[int, int, int, int], *identifiers: str, **extensions: object) -> dict[str, object]:
    """An SAPayload of the module."""
    names = (
        "proposalNum",
        "protocolID",
        "spiSize",
        "numTransforms",
        "encryptionAlg",
        "integrityAlg",
        "dhGroup",
    )
    return {**dict(zip(names, (*numbers, *identifiers), strict=True)), **extensions}


def transform(kind: int, oid: str, **more: object) -> dict[str, object]:
    return {"transformType": kind, "algorithm": oid, **more}


DES_LABEL, SHA_LABEL, MODP_LABEL = "1.2.840.113549.3.7", "1.2.840.113549.2.9", "1.3.6.1.5.5.8.1.2"
NO_ENCR, NO_INTEG, NO_KE = (f"{ARC}.{kind}.0" for kind in (1, 3, 4))
V4, V6 = network("10.1.0.0/24"), network("2001:db8::/64")

#: (payload, alternative of the CHOICE, its value in the module)
PAYLOADS: dict[str, tuple[Payload, str, dict[str, object]]] = {
    "SA of the founding suite": (
        FOUNDING_SA,
        "sa",
        fields((1, 1, 0, 3), DES_LABEL, SHA_LABEL, MODP_LABEL),
    ),
    "SA with AES-GCM, no INTEG": (
        sa(
            proposal(
                1,
                1,
                b"",
                Transform(ENCR, GCM, 256),
                Transform(PRF, PrfId.PRF_HMAC_SHA2_384),
                Transform(KE, 19),
            )
        ),
        "sa",
        fields(
            (1, 1, 0, 3),
            "2.16.840.1.101.3.4.1.46",
            NO_INTEG,
            "1.2.840.10045.3.1.7",
            transforms=[
                transform(1, "2.16.840.1.101.3.4.1.46"),
                transform(2, "1.2.840.113549.2.10"),
                transform(4, "1.2.840.10045.3.1.7"),
            ],
        ),
    ),
    "SA of a Child SA": (
        sa(
            proposal(
                1,
                3,
                b"\1\2\3\4",
                Transform(ENCR, CBC, 256),
                Transform(INTEG, 12),
                Transform(ESN, EsnId.NO_ESN),
            )
        ),
        "sa",
        fields(
            (1, 3, 4, 3),
            DES_LABEL,
            SHA_LABEL,
            NO_KE,
            spi=b"\1\2\3\4",
            transforms=[transform(1, DES_LABEL), transform(3, SHA_LABEL), transform(5, f"{ARC}.5.0")],
        ),
    ),
    "SA of a Child SA without ESN and KE": (
        sa(proposal(7, 3, b"\1\2\3\4", Transform(ENCR, CBC, 192), Transform(INTEG, 14))),
        "sa",
        fields((7, 3, 4, 2), "2.16.840.1.101.3.4.1.22", "1.2.840.113549.2.11", NO_KE, spi=b"\1\2\3\4"),
    ),
    "SA with two proposals, the second unknown in all": (
        sa(
            FOUNDING_SA.proposals[0],
            proposal(
                2,
                1,
                bytes(8),
                Transform(ENCR, 4242, 77, (Attribute(99, b"\0\1", True), Attribute(100, b"long"))),
                Transform(TransformType(241), 65535),
                Transform(KE, 14),
                Transform(ENCR, CBC),
            ),
        ),
        "sa",
        fields(
            (1, 1, 0, 3),
            DES_LABEL,
            SHA_LABEL,
            MODP_LABEL,
            proposals=[
                {
                    "proposalNum": 2,
                    "protocolID": 1,
                    "spi": bytes(8),
                    "transforms": [
                        transform(
                            1,
                            f"{ARC}.1.4242",
                            keyLength=77,
                            attributes=[
                                {"attributeType": 99, "value": b"\0\1", "short": True},
                                {"attributeType": 100, "value": b"long", "short": False},
                            ],
                        ),
                        transform(241, f"{ARC}.241.65535"),
                        transform(4, MODP_LABEL),
                        transform(1, f"{ARC}.1.12"),
                    ],
                }
            ],
        ),
    ),
    "SA without a transform": (
        sa(proposal(1, 1, b"")),
        "sa",
        fields((1, 1, 0, 0), NO_ENCR, NO_INTEG, NO_KE),
    ),
    "SA with two groups": (
        sa(
            proposal(
                1,
                1,
                b"",
                Transform(KE, 31),
                Transform(KE, 14),
                Transform(ENCR, CBC, 256),
                Transform(INTEG, 12),
                Transform(INTEG, 0),
            )
        ),
        "sa",
        fields(
            (1, 1, 0, 5),
            DES_LABEL,
            SHA_LABEL,
            "1.3.101.110",
            transforms=[
                transform(4, "1.3.101.110"),
                transform(4, MODP_LABEL),
                transform(1, DES_LABEL),
                transform(3, SHA_LABEL),
                transform(3, NO_INTEG),
            ],
        ),
    ),
    "KE": (
        KeyExchange(KeId.MODP_2048, b"\xff" * 256),
        "ke",
        {"dhGroup": MODP_LABEL, "publicKey": b"\xff" * 256},
    ),
    "KE of an unknown method": (
        KeyExchange(KeId(4321), b""),
        "ke",
        {"dhGroup": f"{ARC}.4.4321", "publicKey": b""},
    ),
    "IDi": (
        Identification(PayloadType.IDI, IdType.ID_FQDN, b"initiator"),
        "idI",
        {"idType": 2, "data": b"initiator"},
    ),
    "IDr": (
        Identification(PayloadType.IDR, IdType(201), b""),
        "idR",
        {"idType": 201, "data": b""},
    ),
    "CERT": (
        Certificate(CertEncoding.X509_SIGNATURE, b"\x30\x03\x02\x01\x05"),
        "cert",
        {"certData": b"\x30\x03\x02\x01\x05", "encoding": 4},
    ),
    "CERT of another encoding": (
        Certificate(CertEncoding.HASH_AND_URL, bytes(20) + b"http://ca/"),
        "cert",
        {"certData": bytes(20) + b"http://ca/", "encoding": 12},
    ),
    "CERTREQ": (
        CertificateRequest(CertEncoding.X509_SIGNATURE, bytes(40)),
        "certReq",
        {"encoding": 4, "authorities": bytes(40)},
    ),
    "AUTH": (
        Authentication(AuthMethod.DIGITAL_SIGNATURE, bytes(130)),
        "auth",
        {"method": 14, "data": bytes(130)},
    ),
    "Nonce, shortest": (Nonce(bytes(16)), "nonce", {"data": bytes(16)}),
    "Nonce, longest": (Nonce(bytes(256)), "nonce", {"data": bytes(256)}),
    "AuthNonce": (AuthNonce(bytes(range(32))), "authNonce", {"data": bytes(range(32))}),
    "N": (
        Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, b"\0\2\0\3"),
        "notify",
        {"notifyType": 16431, "data": b"\0\2\0\3", "protocolID": 0},
    ),
    "N about an SA": (
        Notify(NotifyType.REKEY_SA, b"", ProtocolId.ESP, b"\xde\xad\xbe\xef"),
        "notify",
        {"notifyType": 16393, "data": b"", "protocolID": 3, "spi": b"\xde\xad\xbe\xef"},
    ),
    "D of the IKE SA": (Delete(ProtocolId.IKE), "delete", {"protocolID": 1, "spis": []}),
    "D of two Child SAs": (
        Delete(ProtocolId.ESP, (b"\0\0\1\0", b"\xff\xff\xff\xff")),
        "delete",
        {"protocolID": 3, "spis": [b"\0\0\1\0", b"\xff\xff\xff\xff"]},
    ),
    "V": (VendorId(b"lab"), "vendorID", {"data": b"lab"}),
    "TSi of both families": (
        TrafficSelectors(PayloadType.TSI, (V4, V6)),
        "tsI",
        {
            "selectors": [
                {
                    "protocol": 0,
                    "startPort": 0,
                    "endPort": 65535,
                    "startAddress": s.start.packed,
                    "endAddress": s.end.packed,
                }
                for s in (V4, V6)
            ]
        },
    ),
    "TSr with ports, upside down": (
        TrafficSelectors(
            PayloadType.TSR,
            (TrafficSelector(ip_address("10.0.0.2"), ip_address("10.0.0.1"), 17, 9, 7),),
        ),
        "tsR",
        {
            "selectors": [
                {
                    "protocol": 17,
                    "startPort": 9,
                    "endPort": 7,
                    "startAddress": b"\x0a\0\0\2",
                    "endAddress": b"\x0a\0\0\1",
                }
            ]
        },
    ),
    "CP": (
        Configuration(1, (ConfigurationAttribute(1), ConfigurationAttribute(32767, b"x"))),
        "config",
        {
            "cfgType": 1,
            "attributes": [{"attributeType": 1, "value": b""}, {"attributeType": 32767, "value": b"x"}],
        },
    ),
    "EAP": (Eap(b"\1\1\0\5\1"), "eap", {"data": b"\1\1\0\5\1"}),
    "unknown": (
        Unknown(PayloadType(200), False, b"body"),
        "unknown",
        {"payloadType": 200, "critical": False, "body": b"body"},
    ),
    "unknown and critical": (
        Unknown(PayloadType(49), True, b""),
        "unknown",
        {"payloadType": 49, "critical": True, "body": b""},
    ),
}

IKE_AUTH: tuple[Payload, ...] = (
    PAYLOADS["IDi"][0],
    PAYLOADS["CERT"][0],
    Certificate(CertEncoding.X509_SIGNATURE, b"intermediate"),
    PAYLOADS["CERTREQ"][0],
    PAYLOADS["IDr"][0],
    PAYLOADS["AUTH"][0],
    PAYLOADS["AuthNonce"][0],
    PAYLOADS["SA of a Child SA"][0],
    PAYLOADS["TSi of both families"][0],
    PAYLOADS["TSr with ports, upside down"][0],
)

#: Cleartext messages of each kind.
CLEARTEXT: dict[str, tuple[Payload, ...]] = {
    "founding IKE_SA_INIT": FOUNDING,
    "IKE_SA_INIT with notifications": (*FOUNDING, PAYLOADS["N"][0], PAYLOADS["V"][0]),
    "IKE_SA_INIT in another order": (FOUNDING[2], PAYLOADS["N"][0], FOUNDING[0], FOUNDING[1]),
    "a refusal": (Notify(NotifyType.INVALID_KE_PAYLOAD, b"\x00\x0e"),),
    "no payload": (),
    "every payload": tuple(payload for payload, _, _ in PAYLOADS.values()),
}

SUITES: dict[str, Suite] = {
    "AES-CBC with HMAC": ike_suite("aes256-sha256-modp2048"),
    "AES-GCM": ike_suite("aes256gcm16-prfsha256-modp2048"),
    "ESP keywords": esp_suite("aes128-sha512"),
}


def sealer_of(name: str) -> Sealer:
    """A fresh sealer of a suite, with keys and IVs that are always the same."""
    suite = SUITES[name]
    encr, integ = suite.encr, IntegId(suite.integ)
    keys = DirectionKeys(Secret(bytes(encr_key_size(encr))), Secret(bytes(integ_key_size(integ))))
    return sealer(encr, integ, keys, lambda size: bytes(range(size)))


def sealed(header: Header, payloads: Sequence[Payload], sealer_: Sealer | None = None) -> bytes:
    """The one datagram of a message."""
    (datagram,) = CODEC.seal(header, payloads, sealer_, 0).datagrams
    return datagram
