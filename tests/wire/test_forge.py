"""Forged messages, judged by the node's codec, and the binary ones by what RFC 7296 says of their octets."""

import struct
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.wire import forge_asn1, forge_rfc7296
from lab.wire.identity import HEADER, read_asn1, read_rfc7296
from lab.wire.profiles import PROFILES
from node.crypto.suites import ike_suite
from node.errors import IntegrityError
from node.model.message import Message
from node.model.payloads import KeyExchange, Nonce, SecurityAssociation
from node.model.proposal import offer
from node.model.registry import KeId
from tests.codec.samples import (
    AUTH,
    CODEC,
    FOUNDING,
    FOUNDING_SA,
    IKE_AUTH,
    INIT,
    PAYLOADS,
    sealed,
    sealer_of,
)
from tests.wire.support import (
    ANOTHER_ORDER,
    AUTH_REQUEST,
    INFORMATIONAL,
    INIT_REQUEST,
    WITH_NOTIFY,
    binary,
    esp,
)

MARKER = bytes(4)
STRONG = SecurityAssociation(
    offer((ike_suite("aes256gcm16-prfsha384-ecp384"), ike_suite("aes256-sha256-modp2048")))
)
OFFERS = {
    "the founding one": INIT_REQUEST,
    "with notifications": WITH_NOTIFY,
    "in another order": ANOTHER_ORDER,
    "two proposals": sealed(INIT, (STRONG, *FOUNDING[1:])),
    "AES-GCM alone": sealed(
        INIT, (PAYLOADS["SA with AES-GCM, no INTEG"][0], *FOUNDING[1:], PAYLOADS["N"][0])
    ),
}


def _read(octets: bytes) -> Message:
    return CODEC.read(CODEC.peek(octets))


@pytest.mark.parametrize("offer_", OFFERS.values(), ids=OFFERS)
def test_a_downgraded_offer_is_the_founding_suite_and_all_else_is_as_it_was(offer_: bytes) -> None:
    forged = forge_asn1.downgrade(offer_)
    assert forged is not None
    before, after = _read(offer_), _read(forged)
    assert after.header == before.header
    (offered,) = (p for p in before.payloads if isinstance(p, SecurityAssociation))
    # under the number of what it was, so that the answer to it is taken for one's own
    founding = replace(FOUNDING_SA.proposals[0], number=offered.proposals[-1].number)
    assert [p for p in after.payloads if isinstance(p, SecurityAssociation)] == [
        SecurityAssociation((founding,))
    ]
    assert [p for p in after.payloads if not isinstance(p, SecurityAssociation)] == [
        p for p in before.payloads if not isinstance(p, SecurityAssociation)
    ]
    # and it is written as the node writes it
    assert forged == sealed(after.header, after.payloads)


@pytest.mark.parametrize("octets", [AUTH_REQUEST, esp(1), b"", b"\x30\x02\x30\x00", INIT_REQUEST[:-1]])
def test_what_offers_nothing_cannot_be_downgraded(octets: bytes) -> None:
    assert forge_asn1.downgrade(octets) is None


@pytest.mark.parametrize("honest", [AUTH_REQUEST, INFORMATIONAL], ids=["CBC", "GCM"])
def test_junk_is_told_from_the_honest_one_by_nothing_but_its_icv(honest: bytes) -> None:
    random = Random(7)
    sizes = set()
    for _ in range(30):
        forged = forge_asn1.junk(honest, random)
        assert forged is not None
        envelope = CODEC.peek(forged)
        assert envelope.protected
        assert envelope.header == CODEC.peek(honest).header
        sizes.add(len(forged))
        with pytest.raises(IntegrityError):
            CODEC.open(envelope, sealer_of("AES-CBC with HMAC" if honest is AUTH_REQUEST else "AES-GCM"))
    assert len(sizes) > 3
    assert max(sizes) <= len(honest) + 4 * 16 + 8


def test_junk_before_a_cleartext_message_has_its_header_and_is_protected() -> None:
    forged = forge_asn1.junk(INIT_REQUEST, Random(1))
    assert forged is not None
    envelope = CODEC.peek(forged)
    assert envelope.protected
    assert envelope.header == CODEC.peek(INIT_REQUEST).header


@pytest.mark.parametrize("template", [b"", *OFFERS.values()], ids=["built in", *OFFERS])
def test_flood_requests_are_whole_messages_and_all_differ(template: bytes) -> None:
    random = Random(3)
    seen: set[bytes] = set()
    for _ in range(50):
        octets = forge_asn1.request(template, random)
        message = _read(octets)
        assert str(read_asn1(octets, 8000)) == "IKE_SA_INIT request 0"
        like = _read(template or INIT_REQUEST)
        assert [p.type for p in message.payloads] == [p.type for p in like.payloads]
        for made, model in zip(message.payloads, like.payloads, strict=True):
            if isinstance(made, KeyExchange):
                assert isinstance(model, KeyExchange)
                assert (made.group, len(made.data)) == (model.group, len(model.data))
                assert made.data[0] < 0x80
                seen.add(made.data)
            elif isinstance(made, Nonce):
                assert isinstance(model, Nonce)
                assert len(made.data) == len(model.data)
                seen.add(made.data)
            else:
                assert made == model
        seen.add(message.header.spi_i)
    assert len(seen) == 150


def test_the_built_in_request_is_the_founding_shape() -> None:
    message = _read(forge_asn1.request(b"", Random(1)))
    assert message.payloads[0] == FOUNDING_SA
    key = message.payloads[1]
    assert isinstance(key, KeyExchange)
    assert (key.group, len(key.data)) == (KeId.MODP_2048, 256)
    assert message.header == replace(INIT, spi_i=message.header.spi_i)


# The binary profile.

ENCR_256 = bytes.fromhex("0300000c01000014800e0100")
TRANSFORMS = [bytes.fromhex(text) for text in ("0300000802000005", "030000080300000c", "000000080400000e")]


def _proposal(number: int, *, last: bool, encr: bytes = ENCR_256) -> bytes:
    body = encr + b"".join(TRANSFORMS)
    return struct.pack(">BBHBBBB", 0 if last else 2, 0, 8 + len(body), number, 1, 0, 4) + body


def _payload(following: int, body: bytes) -> bytes:
    return struct.pack(">BBH", following, 0, 4 + len(body)) + body


def _init(*proposals: bytes) -> bytes:
    key, nonce = struct.pack(">HH", 14, 0) + bytes(256), bytes(32)
    body = _payload(34, b"".join(proposals)) + _payload(40, key) + _payload(41, nonce) + _payload(0, bytes(8))
    return binary(34, 0x08, 0, body, 33)


WEAK = bytes.fromhex("0300000c0100000c800e0080")
TWO = _init(_proposal(1, last=False), _proposal(2, last=True, encr=WEAK))


@pytest.mark.parametrize("marker", [b"", MARKER])
def test_a_binary_offer_keeps_its_last_proposal_under_its_number(marker: bytes) -> None:
    weak = _proposal(2, last=True, encr=WEAK)
    assert forge_rfc7296.downgrade(marker + TWO) == marker + _init(weak)
    # whatever says that more would follow
    wrong = _init(_proposal(1, last=False), _proposal(2, last=False, encr=WEAK))
    assert forge_rfc7296.downgrade(marker + wrong) == marker + _init(weak)


BROKEN = [
    b"",
    TWO[:27],
    TWO[:-1],
    TWO[:30],
    binary(34, 8, 0),
    binary(35, 8, 1, _payload(0, b"x"), 46),
    _init(_proposal(1, last=True)[:6]),
    _init(b"\0\0\0\7\1\1\0\0"),
    _init(),
]


@pytest.mark.parametrize("octets", BROKEN)
def test_a_binary_message_that_cannot_be_read_is_not_spliced(octets: bytes) -> None:
    assert forge_rfc7296.downgrade(octets) is None


@pytest.mark.parametrize("marker", [b"", MARKER])
def test_binary_junk_has_the_honest_header_and_true_lengths(marker: bytes) -> None:
    honest = marker + binary(35, 0x08, 1, _payload(35, bytes(800)), 46)
    for seed in range(20):
        forged = forge_rfc7296.junk(honest, Random(seed))
        assert forged is not None
        assert forged.startswith(marker)
        rest = forged[len(marker) :]
        spi_i, spi_r, following, *others, length = HEADER.unpack_from(rest)
        assert (spi_i, spi_r, following, others) == (0xA1A2A3A4A5A6A7A8, 7, 46, [0x20, 35, 8, 1])
        assert length == len(rest)
        assert int.from_bytes(rest[30:32]) == len(rest) - 28
        assert (len(rest) - 28 - 4 - 800) % 16 == 0


@pytest.mark.parametrize("template", [b"", TWO, MARKER + TWO, b"x" * 40])
def test_binary_flood_requests_have_true_lengths_and_all_differ(template: bytes) -> None:
    random = Random(9)
    seen = set()
    for _ in range(50):
        octets = forge_rfc7296.request(template, random)
        marker = MARKER if template.startswith(MARKER) else b""
        assert str(read_rfc7296(octets, 4500 if marker else 500)) == "IKE_SA_INIT request 0"
        assert HEADER.unpack_from(octets[len(marker) :])[-1] == len(octets) - len(marker)
        if TWO in template:
            assert len(octets) == len(template)
            assert octets[len(marker) + 8 : len(marker) + 28] == TWO[8:28]
        seen.add(octets)
    assert len(seen) == 50


def test_the_built_in_binary_request_offers_aes_256_and_modp_2048() -> None:
    octets = forge_rfc7296.request(b"", Random(1))
    transforms = octets[28 + 4 + 8 : 28 + 4 + 44]
    # type, ID and key length of each transform
    assert transforms == bytes.fromhex(
        "0300000c0100000c800e0100 0300000802000005 030000080300000c 000000080400000e"
    )


@pytest.mark.parametrize("name", PROFILES)
@given(octets=st.binary(max_size=80) | st.integers(0, 200).map(lambda n: AUTH_REQUEST[:n]))
def test_forging_from_wild_octets_never_raises(name: str, octets: bytes) -> None:
    profile = PROFILES[name]
    for octet in (octets, b"\x30" + octets, TWO[: len(octets)] + octets):
        profile.downgrade(octet)
        profile.junk(octet, Random(1))
        assert profile.read(profile.request(octet, Random(1)), 500).opens


def test_the_samples_are_what_they_say() -> None:
    assert CODEC.open(CODEC.peek(AUTH_REQUEST), sealer_of("AES-CBC with HMAC")).header == AUTH
    assert len(IKE_AUTH) > 3


def test_without_a_template_the_port_says_whether_there_is_a_marker() -> None:
    for port, marker in ((500, b""), (4500, bytes(4)), (8000, bytes(4))):
        profile = PROFILES["rfc7296"]
        octets = profile.lead(port) + profile.request(b"", Random(1))
        assert octets.startswith(marker)
        assert len(octets) == len(marker) + int.from_bytes(octets[len(marker) :][24:28])
        assert read_rfc7296(octets, port).opens
    assert PROFILES["asn1"].lead(8000) == b""
