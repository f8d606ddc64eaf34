"""Payloads and messages: (value, octets) both ways, and whatever the model can say survives."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import LocalMisuse
from node.model.message import Header, Message
from node.model.payloads import (
    AuthNonce,
    Certificate,
    Configuration,
    ConfigurationAttribute,
    Delete,
    Identification,
    KeyExchange,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    VendorId,
)
from node.model.proposal import Attribute, Transform
from node.model.registry import (
    CertEncoding,
    ExchangeType,
    IdType,
    KeId,
    NotifyType,
    PayloadType,
    ProtocolId,
    TsType,
)
from node.model.selectors import TrafficSelector, UnknownSelector, address, network
from tests.codec import strategies
from tests.codec.rfc7296.samples import (
    AUTH,
    CLEARTEXT,
    CODEC,
    ENCR,
    FOREIGN,
    IKE_PROPOSAL,
    IKE_SA_INIT,
    INIT,
    PAYLOADS,
    SUITES,
    cleartext,
    opened,
    proposal,
    read,
    sa,
    sealed,
    sealer_of,
)

unknown_selectors = st.builds(
    UnknownSelector,
    st.sampled_from(sorted(set(range(256)) - {7, 8})).map(TsType),
    strategies.octet,
    strategies.data,
)


def sayable(payload: Payload) -> bool:
    """Whether the profile has octets for a payload."""
    if isinstance(payload, SecurityAssociation):
        return not any(
            t.key_length is None and t.others and (t.others[0].type, t.others[0].short) == (14, True)
            for p in payload.proposals
            for t in p.transforms
        )
    return not isinstance(payload, AuthNonce)


payloads = strategies.payloads.filter(sayable) | st.builds(
    TrafficSelectors,
    st.sampled_from([PayloadType.TSI, PayloadType.TSR]),
    st.lists(strategies.selectors(), max_size=2).map(tuple),
    st.lists(unknown_selectors, max_size=2).map(tuple),
)
messages = st.lists(payloads, max_size=8).map(tuple)


@pytest.mark.parametrize("name", PAYLOADS)
def test_each_payload_is_its_octets_and_the_octets_are_the_payload(name: str) -> None:
    payload, written = PAYLOADS[name]
    body = bytes.fromhex(written)
    critical = 0x80 if name == "unknown and critical" else 0
    octets = cleartext(payload.type, body, critical)
    assert CODEC.body(payload) == body
    assert sealed(INIT, (payload,)) == octets
    message = read(octets)
    assert (message.header, message.payloads, message.bodies) == (INIT, (payload,), (body,))
    assert (message.octets, message.protected, message.inner) == (octets, False, b"")


def test_a_header_is_its_octets() -> None:
    """RFC 7296 3.1, every field with a value of its own."""
    octets = bytes.fromhex("a1a2a3a4a5a6a7a8 5152535455565758 00 21 23 28 01020304 0000001c")
    header = Header(octets[:8], octets[8:16], ExchangeType.IKE_AUTH, 0x01020304, 0x28, 0x21)
    assert sealed(header, ()) == octets
    assert (CODEC.peek(octets).header, CODEC.peek(octets).octets) == (header, octets)
    assert read(octets).payloads == ()


def test_a_message_is_its_octets() -> None:
    """Each generic header says the type of the next payload, the last one 0 (RFC 7296 3.2)."""
    octets = bytes.fromhex(
        "a1a2a3a4a5a6a7a8 0000000000000000 21 20 22 08 00000000 00000090"
        "22 00 0030 00 00 002c 01 01 00 04 03 00 000c 01 00 000c 800e 0100"
        "03 00 0008 02 00 0005 03 00 0008 03 00 000c 00 00 0008 04 00 000e"
        "28 00 0028 001f 0000 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "29 00 0014 00000000000000000000000000000000"
        "00 00 000c 00 00 402f 0002 0003".replace("\n", "")
    )
    octets = octets[:24] + len(octets).to_bytes(4) + octets[28:]
    assert sealed(INIT, IKE_SA_INIT) == octets
    assert read(octets).payloads == IKE_SA_INIT


@given(strategies.headers, messages)
def test_whatever_the_model_says_comes_back(header: Header, said: tuple[Payload, ...]) -> None:
    octets = sealed(header, said)
    message = read(octets)
    assert (message.header, message.payloads, message.octets) == (header, said, octets)
    assert message.bodies == tuple(map(CODEC.body, said))
    assert sealed(message.header, message.payloads) == octets


@given(messages, st.sampled_from(sorted(SUITES)))
def test_whatever_the_model_says_comes_back_protected(said: tuple[Payload, ...], suite: str) -> None:
    octets = sealed(AUTH, said, sealer_of(suite))
    message = opened(octets, sealer_of(suite))
    assert isinstance(message, Message)
    assert (message.header, message.payloads, message.octets) == (AUTH, said, octets)
    assert message.inner == sealed(AUTH, said)[28:]


@given(messages)
def test_what_is_read_does_not_depend_on_what_nobody_may_look_at(said: tuple[Payload, ...]) -> None:
    """The critical bit of a payload we know and the reserved bits behind it (RFC 7296 3.2)."""
    octets = bytearray(sealed(INIT, said))
    at, kind = 28, octets[16]
    while kind:
        octets[at + 1] |= 0xFF if kind in KNOWN else 0x7F
        kind, at = octets[at], at + int.from_bytes(octets[at + 2 : at + 4])
    message = read(bytes(octets))
    assert message.payloads == said
    assert message.octets == octets, "and it is kept for signatures"


KNOWN = frozenset(p.type for p, _ in PAYLOADS.values() if not isinstance(p, Unknown))

#: Bodies with reserved bits set, or a size that means nothing: (type, body, what it is)
TOLERATED: list[tuple[int, str, Payload]] = [
    (33, "00 ff 002c 01 01 00 04 03 ff 000c 01 ff 000c 800e 0100 03 00 0008 02 00 0005"
         "03 00 0008 03 00 000c 00 00 0008 04 00 000e", sa(IKE_PROPOSAL)),
    (34, "001f ffff 78", KeyExchange(KeId.CURVE25519, b"x")),
    (35, "02 ffffff 61", Identification(PayloadType.IDI, IdType.ID_FQDN, b"a")),
    (42, "03 04 0000", Delete(ProtocolId.ESP)),
    (44, "00 ffffff", TrafficSelectors(PayloadType.TSI, ())),
    (47, "01 ffffff 8001 0000", Configuration(1, (ConfigurationAttribute(1),))),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "body", "payload"), TOLERATED, ids=str)
def test_reserved_bits_are_ignored_and_the_body_keeps_them(kind: int, body: str, payload: Payload) -> None:
    """The MACed ID is made of the body as it came (RFC 7296 2.15)."""
    message = read(cleartext(kind, bytes.fromhex(body)))
    assert message.payloads == (payload,)
    assert message.bodies == (bytes.fromhex(body),)


def test_a_selector_of_an_unknown_type_may_stand_anywhere() -> None:
    body = bytes.fromhex("02 000000 0a 00 0004 07 00 0010 0000 ffff 0a010001 0a010001")
    (payload,) = read(cleartext(45, body)).payloads
    assert payload == TrafficSelectors(
        PayloadType.TSR, (network("10.1.0.1"),), (UnknownSelector(TsType(10), 0, b""),)
    )


ODD = TrafficSelector(address(bytes(4)), address(bytes(16)))
#: What the model can hold and no octets can say.
UNSAYABLE: dict[str, Payload] = {
    "another profile's payload": FOREIGN,
    "an SA without a proposal": SecurityAssociation(()),
    "256 proposals": sa(*[proposal(1, 1, b"")] * 256),
    "a proposal number 0": sa(proposal(0, 1, b"")),
    "a proposal number 256": sa(proposal(256, 1, b"")),
    "an SPI of 256 octets": sa(proposal(1, 1, bytes(256))),
    "256 transforms": sa(proposal(1, 1, b"", *[Transform(ENCR, 12)] * 256)),
    "a transform of 65,536": sa(proposal(1, 1, b"", Transform(ENCR, 65_536))),
    "a key length of 17 bits": sa(proposal(1, 1, b"", Transform(ENCR, 12, 65_536))),
    "a negative key length": sa(proposal(1, 1, b"", Transform(ENCR, 12, -1))),
    "a key length among the others": sa(
        proposal(1, 1, b"", Transform(ENCR, 12, None, (Attribute(14, b"\1\0", short=True),)))
    ),
    "17 attributes": sa(proposal(1, 1, b"", Transform(ENCR, 12, None, (Attribute(1, b""),) * 17))),
    "an attribute type of 16 bits": sa(
        proposal(1, 1, b"", Transform(ENCR, 12, None, (Attribute(0x8000, b""),)))
    ),
    "a negative attribute type": sa(proposal(1, 1, b"", Transform(ENCR, 12, None, (Attribute(-1, b""),)))),
    "a short value of three octets": sa(
        proposal(1, 1, b"", Transform(ENCR, 12, None, (Attribute(1, b"abc", short=True),)))
    ),
    "a KE method of 17 bits": KeyExchange(KeId(65_536), b""),
    "an ID that is none": Identification(PayloadType.CERT, IdType.ID_FQDN, b""),
    "an ID type of 9 bits": Identification(PayloadType.IDI, IdType(256), b""),
    "a notification of 17 bits": Notify(NotifyType(65_536)),
    "a notification's SPI of 256 octets": Notify(NotifyType.REKEY_SA, b"", ProtocolId.ESP, bytes(256)),
    "SPIs of two sizes": Delete(ProtocolId.ESP, (bytes(4), bytes(8))),
    "empty SPIs": Delete(ProtocolId.ESP, (b"", b"")),
    "65,536 SPIs": Delete(ProtocolId.ESP, (b"a",) * 65_536),
    "selectors that are none": TrafficSelectors(PayloadType.SA, ()),
    "256 selectors": TrafficSelectors(PayloadType.TSI, (network("10.0.0.1"),) * 256),
    "a selector of two families": TrafficSelectors(PayloadType.TSI, (ODD,)),
    "an unknown selector of a known type": TrafficSelectors(
        PayloadType.TSI, (), (UnknownSelector(TsType.TS_IPV4_ADDR_RANGE, 0, bytes(12)),)
    ),
    "a configuration type of 16 bits": Configuration(1, (ConfigurationAttribute(32_768),)),
    "an unknown payload that is known": Unknown(PayloadType.NONCE, False, bytes(16)),
    "an unknown payload that is SK": Unknown(PayloadType.SK, False, bytes(16)),
    "an unknown payload of type 0": Unknown(PayloadType.NONE, False, b""),
    "an unknown payload of type 256": Unknown(PayloadType(256), False, b""),
    "a certificate of 64 kB": Certificate(CertEncoding.X509_SIGNATURE, bytes(65_536)),
}


@pytest.mark.parametrize("name", UNSAYABLE)
def test_what_no_octets_can_say_is_our_own_mistake(name: str) -> None:
    with pytest.raises(LocalMisuse, match="cannot be written"):
        sealed(INIT, (UNSAYABLE[name],))


def test_a_foreign_payload_has_no_body_either() -> None:
    with pytest.raises(LocalMisuse, match="AuthNonce"):
        CODEC.body(FOREIGN)


@pytest.mark.parametrize(
    "changes",
    [{"spi_i": bytes(7)}, {"spi_r": bytes(9)}, {"message_id": 2**32}, {"flags": 256}, {"version": -1}],
    ids=str,
)
def test_a_header_that_cannot_be_written(changes: dict[str, object]) -> None:
    header: Header = replace(INIT, **changes)  # type: ignore[arg-type]
    with pytest.raises(LocalMisuse):
        CODEC.seal(header, IKE_SA_INIT, None, 0)


def test_as_many_payloads_as_the_bound() -> None:
    many = (VendorId(b""),) * 128
    assert read(sealed(INIT, many)).payloads == many
    with pytest.raises(LocalMisuse, match="128 payloads"):
        sealed(INIT, (*many, VendorId(b"")))


@pytest.mark.parametrize("name", CLEARTEXT)
def test_the_order_is_that_of_the_message(name: str) -> None:
    for said in (CLEARTEXT[name], CLEARTEXT[name][::-1]):
        assert read(sealed(INIT, said)).payloads == said
