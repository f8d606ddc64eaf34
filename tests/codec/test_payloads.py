"""Payloads and messages: (value, octets) both ways, by two independent decoders; nothing is lost."""

from pathlib import Path
from typing import Any

import asn1tools
import pytest
from hypothesis import given, settings

from node.errors import LocalMisuse
from node.model.message import Header
from node.model.payloads import (
    Certificate,
    Delete,
    Identification,
    Notify,
    Payload,
    TrafficSelectors,
    Unknown,
)
from node.model.registry import CertEncoding, NotifyType, PayloadType, ProtocolId, TsType
from node.model.selectors import UnknownSelector
from tests.codec import der_oracle, strategies
from tests.codec.samples import (
    ARC,
    CLEARTEXT,
    CODEC,
    FOUNDING,
    IKE_AUTH,
    INIT,
    PAYLOADS,
    SUITES,
    sealed,
    sealer_of,
)

ROOT = Path(__file__).resolve().parents[2]
HEADER = {
    "initiatorSPI": int.from_bytes(INIT.spi_i),
    "responderSPI": 0,
    "version": 0x20,
    "exchangeType": 34,
    "flags": 8,
    "messageID": 0,
    "length": 0,
}
#: Contents octets of elements, written out: what bodies and signatures are made of must never change.
BODIES = {
    "SA of the founding suite": (
        "020101 020101 020100 020103 06082a864886f70d0307 06082a864886f70d0209 06082b06010505080102"
    ),
    "IDi": "020102 0409696e69746961746f72",
    "IDr": "020200c9 0400",
    "CERT": "0405 3003020105",
    "CERT of another encoding": "041e" + "00" * 20 + "687474703a2f2f63612f 80010c",
    "N": "0202402f 040400020003",
    "N about an SA": "02024009 0400 800103 8104deadbeef",
    "D of the IKE SA": "020101 3000",
    "D of two Child SAs": "020103 300c 040400000100 0404ffffffff",
    "V": "04036c6162",
    "TSr with ports, upside down": "3017 3015 020111 020109 020107 04040a000002 04040a000001",
    "CP": "020101 3010 3005 020101 0400 3007 02027fff 040178",
    "EAP": "04050101000501",
    "unknown": "020200c8 010100 0404626f6479",
    "unknown and critical": "020131 0101ff 0400",
    "AuthNonce": "0420" + bytes(range(32)).hex(),
}


@pytest.fixture(scope="module")
def module() -> Any:
    """The published module, by a compiler that shares nothing with the codec."""
    return asn1tools.compile_files(str(ROOT / "docs" / "ipseclab.asn1"), "der")


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_by_the_oracle(name: str) -> None:
    payload, alternative, value = PAYLOADS[name]
    number, kind = der_oracle.ALTERNATIVES[alternative]
    body = der_oracle.contents(der_oracle.encode(kind, value))
    assert CODEC.body(payload) == body
    # the second of two equal payloads always stands in the list
    header = {**HEADER, "nextPayload": int(payload.type)}
    field = {"sa": "sa", "ke": "ke", "nonce": "nonce", "cert": "cert"}.get(alternative)
    entry = (alternative, value)
    fields = {field: value, "payloads": [entry]} if field else {"payloads": [entry, entry]}
    octets = der_oracle.message(header, **fields)
    message = CODEC.read(CODEC.peek(octets))
    assert message.payloads == (payload, payload)
    assert message.bodies == (body, body)
    assert sealed(INIT, (payload, payload)) == octets
    assert number in (0, int(payload.type))


@pytest.mark.parametrize("name", BODIES)
def test_a_body_in_octets(name: str) -> None:
    assert CODEC.body(PAYLOADS[name][0]).hex() == BODIES[name].replace(" ", "")


def test_every_type_of_payload_is_in_the_table() -> None:
    wanted = set(PayloadType) - {PayloadType.NONE, PayloadType.SK, PayloadType.SKF}
    assert {payload.type for payload, _, _ in PAYLOADS.values()} >= wanted
    assert {alternative for _, alternative, _ in PAYLOADS.values()} == set(der_oracle.ALTERNATIVES)


@pytest.mark.parametrize("name", CLEARTEXT)
def test_a_cleartext_message(name: str, module: Any) -> None:
    payloads = CLEARTEXT[name]
    octets = sealed(INIT, payloads)
    message = CODEC.read(CODEC.peek(octets))
    assert (message.header, message.payloads, message.octets) == (INIT, payloads, octets)
    assert message.bodies == tuple(map(CODEC.body, payloads))
    assert not message.protected
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, octets)
    assert module.decode("IKEMessage", octets, check_constraints=True) == value
    assert module.encode("IKEMessage", value, check_constraints=True) == octets
    assert _all_payloads(value) == [_in_module(p) for p in payloads]


@pytest.mark.parametrize("suite", SUITES)
def test_a_protected_message(suite: str, module: Any) -> None:
    octets = sealed(INIT, IKE_AUTH, sealer_of(suite))
    message = CODEC.open(CODEC.peek(octets), sealer_of(suite))
    assert message.payloads == IKE_AUTH  # type: ignore[union-attr]
    outer = der_oracle.decode(der_oracle.IKE_MESSAGE, octets)
    assert set(outer) == {"header", "encrypted"}
    assert module.decode("IKEMessage", octets, check_constraints=True) == outer
    plain = message.inner
    inner = plain[: len(plain) - 1 - plain[-1]]
    value = der_oracle.decode(der_oracle.INNER_PAYLOADS, inner)
    assert module.decode("InnerPayloads", inner, check_constraints=True) == value
    assert _all_payloads(value)[0] == ("idI", PAYLOADS["IDi"][2])
    assert value["order"] == [7, 1]


def _in_module(payload: Payload) -> tuple[str, object]:
    known = {p: (name, value) for p, name, value in PAYLOADS.values()}
    if payload in known:
        return known[payload]
    if payload == FOUNDING[1]:
        return "ke", {"dhGroup": "1.3.6.1.5.5.8.1.2", "publicKey": bytes(range(256))}
    if payload == FOUNDING[2]:
        return "nonce", {"data": bytes(range(32))}
    assert payload == Notify(NotifyType.INVALID_KE_PAYLOAD, b"\x00\x0e")
    return "notify", {"notifyType": 17, "data": b"\x00\x0e", "protocolID": 0}


def _all_payloads(value: Any) -> list[tuple[str, object]]:
    """The payloads of an abstract message in order, by the rule that the module states."""
    founding = [(name, value[name]) for name in ("sa", "ke", "nonce", "cert") if name in value]
    found = list(value.get("payloads", []))
    positions = value.get("order", range(len(founding)))
    for position, entry in sorted(zip(positions, founding, strict=True), key=lambda pair: pair[0]):
        found.insert(position, entry)
    return found


@given(strategies.headers, strategies.messages)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost(header: Header, payloads: tuple[Payload, ...]) -> None:
    octets = sealed(header, payloads)
    envelope = CODEC.peek(octets)
    message = CODEC.read(envelope)
    assert (envelope.header, message.payloads) == (header, payloads)
    assert message.bodies == tuple(map(CODEC.body, payloads))
    assert sealed(message.header, message.payloads) == octets
    der_oracle.decode(der_oracle.IKE_MESSAGE, octets)


@given(strategies.headers, strategies.messages)
@settings(max_examples=80, deadline=None)
def test_nothing_is_lost_under_protection(header: Header, payloads: tuple[Payload, ...]) -> None:
    octets = sealed(header, payloads, sealer_of("AES-CBC with HMAC"))
    message = CODEC.open(CODEC.peek(octets), sealer_of("AES-CBC with HMAC"))
    assert (message.header, message.payloads) == (header, payloads)  # type: ignore[union-attr]
    for body, payload in zip(message.bodies, payloads, strict=True):  # type: ignore[union-attr]
        assert body == CODEC.body(payload)
        assert body in message.inner


def test_the_order_of_payloads_survives() -> None:
    certificates = tuple(Certificate(CertEncoding.X509_SIGNATURE, bytes((n,))) for n in range(5))
    payloads = (PAYLOADS["V"][0], *certificates, PAYLOADS["N"][0], FOUNDING[1], FOUNDING[0])
    assert CODEC.read(CODEC.peek(sealed(INIT, payloads))).payloads == payloads


def test_the_documented_identifiers_are_those_in_use() -> None:
    from node.wire.asn1 import oids

    text = (ROOT / "docs" / "ipseclab.asn1").read_text(encoding="utf-8")
    table = {
        name: ".".join(arcs.split())
        for line in text.splitlines()
        if " OBJECT IDENTIFIER ::= { " in line
        for name, arcs in [(line.split()[0], line.split("{")[1].split("}")[0])]
    }
    assert table.pop("id-ipseclab") == ARC == oids.PRIVATE_ARC
    assert table.pop("id-aes256-cbc") == oids.AES_256_CBC_ALIAS.dotted_string
    used = {oid.dotted_string for oid in [*oids._TABLE.values(), *oids.NO_ALGORITHM.values()]}
    assert set(table.values()) == used


@pytest.mark.parametrize(
    "payload",
    [
        Identification(PayloadType.AUTH, PAYLOADS["IDi"][0].id_type, b""),  # type: ignore[union-attr]
        Unknown(PayloadType.NOTIFY, False, b""),
        Unknown(PayloadType.SK, False, b""),
        Unknown(PayloadType.NONE, False, b""),
        Unknown(PayloadType(256), False, b""),
        Notify(NotifyType(65536)),
        Notify(NotifyType(1), spi=bytes(256)),
        Delete(ProtocolId.ESP, (b"1234", b"123")),
        Delete(ProtocolId.ESP, (b"",)),
        TrafficSelectors(PayloadType.TSI, (), (UnknownSelector(TsType(10), 0, b""),)),
        Certificate(CertEncoding(256), b""),
        Certificate(CertEncoding(4), bytes(70_000)),
        Certificate(CertEncoding(4), bytes(2**24)),
    ],
    ids=repr,
)
def test_what_the_module_cannot_say(payload: Payload) -> None:
    with pytest.raises(LocalMisuse):
        CODEC.seal(INIT, (payload,), None, 0)


def test_what_is_too_many() -> None:
    with pytest.raises(LocalMisuse, match="256 payloads"):
        CODEC.seal(INIT, (PAYLOADS["V"][0],) * 257, None, 0)
    assert CODEC.seal(INIT, (PAYLOADS["V"][0],) * 256, None, 0).octets
