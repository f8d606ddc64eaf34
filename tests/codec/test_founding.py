"""The founding prototype's IKE_SA_INIT, as its description lets a Go program write it.

The octets are made by pyasn1 from the shape that the prototype had, not from the published module.
"""

import shutil
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from pyasn1.codec.der.encoder import encode
from pyasn1.type.namedtype import NamedType, NamedTypes
from pyasn1.type.univ import Integer, ObjectIdentifier, OctetString, Sequence

from node.errors import DecodeError, DropReason
from node.model.message import NO_SPI, Header, HeaderFlags
from node.model.payloads import KeyExchange, Nonce, SecurityAssociation
from node.model.proposal import Proposal, Transform
from node.model.registry import EncrId, ExchangeType, IntegId, KeId, PrfId, ProtocolId, TransformType
from node.wire.asn1.codec import Asn1Codec
from tests.codec import der_oracle
from tests.codec.der_oracle import implicit

AES_256_CBC, HMAC_SHA256, MODP_2048 = "1.2.840.113549.3.7", "1.2.840.113549.2.9", "1.3.6.1.5.5.8.1.2"
REGISTERED_AES_256_CBC = "2.16.840.1.101.3.4.1.42"
NAMES = (
    "initiatorSPI",
    "responderSPI",
    "nextPayload",
    "version",
    "exchangeType",
    "flags",
    "messageID",
    "length",
)
SPI = 0xC0FFEE00DECAF123
HEADER = dict(zip(NAMES, (SPI, 0, 33, 0x20, 34, 8, 0, 0), strict=True))
SA = {"proposalNum": 1, "protocolID": 1, "spiSize": 0, "numTransforms": 3}
OIDS = {"encryptionAlg": AES_256_CBC, "integrityAlg": HMAC_SHA256, "dhGroup": MODP_2048}
PUBLIC, NONCE = bytes(range(256)), bytes(range(32))
SUITE = (
    Transform(TransformType.ENCR, EncrId.ENCR_AES_CBC, 256),
    Transform(TransformType.PRF, PrfId.PRF_HMAC_SHA2_256),
    Transform(TransformType.INTEG, IntegId.AUTH_HMAC_SHA2_256_128),
    Transform(TransformType.KE, KeId.MODP_2048),
)
CODEC = Asn1Codec()


def record(**fields: Any) -> Sequence:
    """A SEQUENCE with these fields."""
    kind = Sequence(componentType=NamedTypes(*(NamedType(name, value) for name, value in fields.items())))
    for name, value in fields.items():
        kind[name] = value
    return kind


def tagged(number: int, base: Sequence) -> Sequence:
    """The same SEQUENCE with an IMPLICIT tag."""
    fields = {name: base[name] for name in base}
    kind = implicit(number, Sequence(componentType=base.componentType))
    for name, value in fields.items():
        kind[name] = value
    return kind


def prototype(header: dict[str, int] | None = None, **sa: Any) -> bytes:
    """The octets of the prototype's message, with other values where they are given."""
    numbers = HEADER | (header or {})
    association = SA | OIDS | sa
    fields = {
        name: ObjectIdentifier(value) if isinstance(value, str) else Integer(value)
        for name, value in association.items()
    }
    message = record(
        header=record(
            **{name: implicit(tag, Integer()).clone(numbers[name]) for tag, name in enumerate(NAMES)}
        ),
        sa=tagged(1, record(**fields)),
        ke=tagged(2, record(dhGroup=ObjectIdentifier(MODP_2048), publicKey=OctetString(PUBLIC))),
        nonce=tagged(3, record(data=OctetString(NONCE))),
    )
    return bytes(encode(message))


def read(octets: bytes) -> tuple[Any, ...]:
    return CODEC.read(CODEC.peek(octets)).payloads


def proposal(number: int = 1, protocol: int = 1) -> SecurityAssociation:
    return SecurityAssociation((Proposal(number, ProtocolId(protocol), b"", SUITE),))


def test_the_prototypes_message_parses_exactly() -> None:
    octets = prototype()
    envelope = CODEC.peek(octets)
    assert envelope.header == Header(
        SPI.to_bytes(8), NO_SPI, ExchangeType.IKE_SA_INIT, 0, int(HeaderFlags.INITIATOR), 0x20
    )
    assert not envelope.protected
    payloads = (proposal(), KeyExchange(KeId.MODP_2048, PUBLIC), Nonce(NONCE))
    assert read(octets) == payloads
    assert CODEC.seal(envelope.header, payloads, None, 0).octets == octets


def test_the_responders_answer_parses() -> None:
    octets = prototype({"responderSPI": 1, "flags": 0x20})
    header = CODEC.peek(octets).header
    assert (header.spi_r, header.is_response) == ((1).to_bytes(8), True)
    assert read(octets)[0] == proposal()


@pytest.mark.parametrize(
    ("why", "header", "sa"),
    [
        ("the registered identifier of AES-256-CBC", {}, {"encryptionAlg": REGISTERED_AES_256_CBC}),
        ("the PRF is counted too", {}, {"numTransforms": 4}),
        ("the size of the SPI in the header", {}, {"spiSize": 8}),
        ("nextPayload left at zero", {"nextPayload": 0}, {}),
        (
            "all of it",
            {"nextPayload": 0},
            {"spiSize": 8, "numTransforms": 4, "encryptionAlg": REGISTERED_AES_256_CBC},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_read_as_the_founding_message(why: str, header: dict[str, int], sa: dict[str, Any]) -> None:
    octets = prototype(header, **sa)
    assert read(octets) == read(prototype())
    assert CODEC.read(CODEC.peek(octets)).octets == octets, "what is signed are the octets that came"


CHILD = Proposal(
    1, ProtocolId.ESP, b"abcd", (*(t for t in SUITE if t.type in (1, 3)), Transform(TransformType.ESN, 0))
)


def child(**changes: Any) -> bytes:
    """A Child SA's proposals, two of them, with other values in the list of transforms."""
    association = SecurityAssociation((CHILD, replace(CHILD, number=2)))
    header = Header(bytes(8), bytes(8), ExchangeType.IKE_AUTH, 1, 8)
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, CODEC.seal(header, (association,), None, 0).octets)
    value["sa"] |= changes.pop("sa", {})
    value["sa"]["transforms"][0] |= changes.pop("first", {})
    value["sa"]["proposals"][0]["transforms"][0] |= changes.pop("second", {})
    return der_oracle.encode(der_oracle.IKE_MESSAGE, value)


@pytest.mark.parametrize(
    "places", [("sa",), ("first",), ("second",), ("sa", "first", "second")], ids=" ".join
)
def test_the_registered_identifier_is_read_wherever_the_label_may_stand(places: tuple[str, ...]) -> None:
    names = {"sa": "encryptionAlg", "first": "algorithm", "second": "algorithm"}
    octets = child(**{place: {names[place]: REGISTERED_AES_256_CBC} for place in places})
    assert octets != child()
    assert read(octets) == read(child()) == (SecurityAssociation((CHILD, replace(CHILD, number=2))),)


def test_the_registered_identifier_beside_another_algorithm_is_refused() -> None:
    """The founding field repeats the first transform: it cannot say AES-256-CBC where that is AES-GCM."""
    gcm = {"algorithm": "2.16.840.1.101.3.4.1.46"}
    assert read(child(first=gcm, sa={"encryptionAlg": gcm["algorithm"]}))
    for other in (AES_256_CBC, REGISTERED_AES_256_CBC):
        with pytest.raises(DecodeError) as caught:
            read(child(first=gcm, sa={"encryptionAlg": other}))
        assert caught.value.reason is DropReason.NOT_CANONICAL


def test_another_proposal_number_is_kept() -> None:
    assert read(prototype(proposalNum=7))[0] == proposal(7)


@pytest.mark.parametrize(
    ("why", "header", "sa"),
    [
        ("a negative SPI would be a second name of one SPI", {"initiatorSPI": -1}, {}),
        ("an SPI of more than 64 bits", {"initiatorSPI": 2**64}, {}),
        ("length is always 0", {"length": 300}, {}),
        ("version is one octet", {"version": 256}, {}),
        ("a message ID of 33 bits", {"messageID": 2**32}, {}),
        ("nextPayload is the first payload", {"nextPayload": 34}, {}),
        ("nextPayload promises protection", {"nextPayload": 46}, {}),
        ("proposals are numbered from 1", {}, {"proposalNum": 0}),
        ("a proposal number of two octets", {}, {"proposalNum": 256}),
        ("a negative proposal number", {}, {"proposalNum": -1}),
        ("an SPI that is not there", {}, {"spiSize": 4}),
        ("neither 3 nor 4 transforms", {}, {"numTransforms": 5}),
        ("no transforms", {}, {"numTransforms": 0}),
        ("an identifier of no encryption", {}, {"encryptionAlg": MODP_2048}),
        ("an identifier of no integrity", {}, {"integrityAlg": AES_256_CBC}),
        ("an identifier of no group", {}, {"dhGroup": "1.2.3"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not(why: str, header: dict[str, int], sa: dict[str, Any]) -> None:
    octets = prototype(header, **sa)
    with pytest.raises(DecodeError) as caught:
        read(octets)
    assert caught.value.reason in {DropReason.MALFORMED, DropReason.NOT_CANONICAL}


def test_a_proposal_for_esp_is_never_read_as_one_for_ike() -> None:
    """Outside IKE the HMAC does not name a PRF: three transforms, and no suite of ours."""
    (association, *_) = read(prototype(protocolID=3))
    assert association.proposals[0].protocol == ProtocolId.ESP
    assert association.proposals[0].transforms == tuple(t for t in SUITE if t.type != TransformType.PRF)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_the_message() -> None:
    """`openssl asn1parse` shows the algorithms by the names under which they are registered elsewhere."""
    command = ["openssl", "asn1parse", "-inform", "DER"]
    done = subprocess.run(command, input=prototype(), capture_output=True, check=True, timeout=30)
    lines = done.stdout.decode().splitlines()
    fields = [line.rpartition(":")[2].strip() for line in lines if "prim: OBJECT" in line]
    assert fields == ["des-ede3-cbc", "hmacWithSHA256", "hmac-sha1", "hmac-sha1"]
    assert [line.count("cons: cont") for line in lines].count(1) == 3
    assert "cont [ 0 ]" in lines[2]
