"""Octets that are no message: each refused with its reason and the element named, at little cost."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason
from node.model.message import NO_SPI
from node.model.registry import ExchangeType, PayloadType
from node.wire.rfc7296.codec import Rfc7296Codec
from node.wire.rfc7296.limits import MAX_DATAGRAM, MAX_PAYLOADS
from tests.codec.rfc7296.samples import AUTH, CODEC, IKE_SA_INIT, INIT, cleartext, read, sealed, written

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
STRANGE = json.loads((VECTORS / "ike_sa_init_bad.json").read_text())["cases"]
#: A bad datagram costs a receiver less than this much processor time.
BOUND = 0.050

PROPOSAL = "00 00 0014 01 01 00 01 00 00 000c 01 00 000c 800e 0100"
T0, S0 = "sa/proposals[0]/transforms[0]", "tsr/selectors[0]"
#: (type, why, body, the element that is named)
BODIES: list[tuple[int, str, str, str]] = [
    (33, "SA of nothing", "", "sa"),
    (33, "a proposal that ends in its header", "00 00 00", "sa"),
    (33, "a proposal that ends in its fields", "00 00 0007 01 01 00", "sa/proposals[0]"),
    (33, "a proposal of length 0", "00 00 0000 01 01 00 00", "sa"),
    (33, "a proposal shorter than its header", "00 00 0003 01 01 00 00", "sa"),
    (33, "a proposal longer than the payload", "00 00 0009 01 01 00 00", "sa"),
    (33, "proposal number 0", "00 00 0008 00 01 00 00", "sa/proposals[0]"),
    (33, "an SPI longer than the proposal", "00 00 000c 01 03 05 00 01020304", "sa/proposals[0]"),
    (33, "an SPI that eats the transform", PROPOSAL.replace("01 01 00 01", "01 01 08 01"), "sa/proposals[0]"),
    (33, "one transform too few", PROPOSAL.replace("01 01 00 01", "01 01 00 02"), "sa/proposals[0]"),
    (33, "one transform too many", PROPOSAL.replace("01 01 00 01", "01 01 00 00"), "sa/proposals[0]"),
    (33, "more announced behind the last proposal", "02" + PROPOSAL[2:], "sa/proposals[0]"),
    (33, "last, with another behind", PROPOSAL * 2, "sa/proposals[0]"),
    (33, "3 in place of 2", "03" + PROPOSAL[2:] + PROPOSAL, "sa/proposals[0]"),
    (33, "octets behind the last proposal", PROPOSAL + "00", "sa/proposals[0]"),
    (33, "a transform of length 0", PROPOSAL.replace("000c 01", "0000 01"), "sa/proposals[0]"),
    (33, "a transform of length 7", "00 00 000f 01 01 00 01 00 00 0007 01 00 00", T0),
    (33, "a transform past the proposal", PROPOSAL.replace("000c 01", "000d 01"), "sa/proposals[0]"),
    (33, "more announced behind a transform", PROPOSAL.replace("00 00 000c", "03 00 000c"), T0),
    (33, "2 in a transform", PROPOSAL.replace("00 00 000c", "02 00 000c"), T0),
    (33, "an attribute of 3 octets", "00 00 0013 01 01 00 01 00 00 000b 01 00 000c 800e 01", T0),
    (33, "an attribute value past the end", PROPOSAL.replace("800e 0100", "000e 0001"), T0),
    (33, "17 attributes", "00 00 0054 01 01 00 01 00 00 004c 01 00 000c" + "8001 0000" * 17, T0),
    (34, "KE without its reserved octets", "001f 00", "ke"),
    (35, "IDi of three octets", "02 0000", "idi"),
    (36, "IDr of nothing", "", "idr"),
    (37, "CERT of nothing", "", "cert"),
    (38, "CERTREQ of nothing", "", "certreq"),
    (39, "AUTH of three octets", "0e 0000", "auth"),
    (41, "N of three octets", "00 00 40", "notify"),
    (41, "an SPI longer than the notification", "03 05 4009 deadbeef", "notify"),
    (42, "D of three octets", "03 04 00", "delete"),
    (42, "fewer SPIs than announced", "03 04 0002 deadbeef", "delete"),
    (42, "more SPIs than announced", "03 04 0001 deadbeef cafe0001", "delete"),
    (42, "SPIs of no octet", "01 00 0001", "delete"),
    (42, "65,535 SPIs of 255 octets", "03 ff ffff 00", "delete"),
    (44, "TSi of nothing", "", "tsi"),
    (44, "fewer selectors than announced", "02 000000 07 00 0010 0000 ffff 0a000000 0a0000ff", "tsi"),
    (44, "more selectors than announced", "00 000000 07 00 0010 0000 ffff 0a000000 0a0000ff", "tsi"),
    (45, "a selector of length 0", "01 000000 07 00 0000 0000 ffff 0a000000 0a0000ff", "tsr"),
    (45, "a selector past the end", "01 000000 07 00 0011 0000 ffff 0a000000 0a0000ff", "tsr"),
    (45, "IPv4 with octets to spare", "01 000000 07 00 0011 0000 ffff 0a000000 0a0000ff 00", S0),
    (45, "IPv6 with IPv4 addresses", "01 000000 08 00 0010 0000 ffff 0a000000 0a0000ff", S0),
    (45, "IPv4 without ports", "01 000000 07 00 0004", S0),
    (45, "255 selectors, none there", "ff 000000", "tsr"),
    (47, "CP of three octets", "01 0000", "cp"),
    (47, "an attribute that ends in its fields", "01 000000 0001 00", "cp"),
    (47, "an attribute past the end", "01 000000 0001 0001", "cp"),
    (46, "SK behind another payload", "00", "payloads[1]"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "why", "body", "path"), BODIES, ids=[why for _, why, *_ in BODIES])
def test_a_body_that_is_none(kind: int, why: str, body: str, path: str) -> None:
    contents = bytes.fromhex(body)
    inner = bytes((kind, 0, 0, 4)) + b"\0\0" + (4 + len(contents)).to_bytes(2) + contents
    octets = written(43, inner)
    with pytest.raises(DecodeError) as caught:
        read(octets)
    error = caught.value
    assert (error.reason, error.authenticated) == (DropReason.MALFORMED, False)
    assert error.path == path
    assert error.offset is None or 0 <= error.offset <= len(octets)


@pytest.mark.parametrize("size", [0, 1, 15, 257, 1024])
def test_a_nonce_of_the_wrong_size(size: int) -> None:
    with pytest.raises(DecodeError) as caught:
        read(cleartext(40, bytes(size)))
    assert (caught.value.reason, caught.value.path) == (DropReason.BAD_NONCE, "nonce")


GOOD = sealed(INIT, IKE_SA_INIT)
CHAINS: list[tuple[str, bytes, DropReason]] = [
    ("nothing", b"", DropReason.TRUNCATED),
    ("a header that is cut", GOOD[:27], DropReason.TRUNCATED),
    ("less than the length says", GOOD[:-1], DropReason.TRUNCATED),
    ("more than the length says", GOOD + b"\0", DropReason.MALFORMED),
    ("a length of 0", GOOD[:24] + bytes(4) + GOOD[28:], DropReason.MALFORMED),
    ("a length below the header", GOOD[:24] + b"\0\0\0\x1b" + GOOD[28:], DropReason.MALFORMED),
    ("a length of four billion", GOOD[:24] + b"\xff" * 4 + GOOD[28:], DropReason.TRUNCATED),
    ("a payload that is not there", written(43, b"\x2b\0\0\4"), DropReason.MALFORMED),
    ("octets behind the last payload", GOOD[:16] + b"\0" + GOOD[17:], DropReason.MALFORMED),
    ("a payload of length 0", GOOD[:30] + b"\0\0" + GOOD[32:], DropReason.MALFORMED),
    ("a payload of length 3", GOOD[:30] + b"\0\3" + GOOD[32:], DropReason.MALFORMED),
    ("a payload past the end", GOOD[:30] + b"\xff\xff" + GOOD[32:], DropReason.MALFORMED),
    ("the non-ESP marker", bytes(4) + GOOD, DropReason.MALFORMED),
]


@pytest.mark.parametrize(("why", "octets", "reason"), CHAINS, ids=[why for why, *_ in CHAINS])
def test_a_datagram_that_is_no_message(why: str, octets: bytes, reason: DropReason) -> None:
    with pytest.raises(DecodeError) as caught:
        read(octets)
    assert caught.value.reason is reason


def test_a_datagram_above_the_cap_is_not_looked_at() -> None:
    with pytest.raises(DecodeError) as caught:
        CODEC.peek(bytes(MAX_DATAGRAM + 1))
    assert caught.value.reason is DropReason.OVERSIZED
    with pytest.raises(DecodeError) as caught:
        CODEC.peek(bytes(MAX_DATAGRAM))
    assert caught.value.reason is DropReason.MALFORMED


def test_the_cap_is_a_choice_up_to_the_largest_datagram() -> None:
    octets = cleartext(43, bytes(65_535 - 32))
    assert len(octets) == 65_535
    wide = Rfc7296Codec(65_535)
    assert wide.read(wide.peek(octets)).octets == octets
    with pytest.raises(DecodeError) as caught:
        wide.peek(octets + b"\0")
    assert caught.value.reason is DropReason.OVERSIZED


def test_a_header_of_another_version_is_read_so_that_it_can_be_answered() -> None:
    """RFC 7296 2.5: the engine refuses it, with INVALID_MAJOR_VERSION."""
    for version in (0x00, 0x10, 0x2F, 0x30, 0xFF):
        assert CODEC.peek(GOOD[:17] + bytes((version,)) + GOOD[18:]).header.version == version


def test_numbers_that_nobody_knows_are_kept() -> None:
    octets = GOOD[:17] + b"\x20\xf0\xff" + GOOD[20:]
    header = CODEC.peek(octets).header
    assert (header.exchange, header.flags) == (ExchangeType(240), 0xFF)
    assert (header.spi_i, header.spi_r) == (INIT.spi_i, NO_SPI)


def refusal(octets: bytes) -> DropReason | None:
    """Why a datagram is refused, or None where it is read."""
    try:
        read(octets)
    except DecodeError as error:
        return error.reason
    return None


def cost(octets: bytes) -> float:
    """Seconds of processor time to read or refuse octets."""
    begin = time.thread_time()
    refusal(octets)
    return time.thread_time() - begin


#: What the codec can see of the bad datagrams; all others are the engine's to judge.
SEEN_BY_THE_CODEC = {
    **dict.fromkeys(("hdr-natka", "hdr-trunc-4", "hdr-trunc-16", "hdr-trunc-18"), DropReason.TRUNCATED),
    **dict.fromkeys(("hdr-trunc-27", "msg-trunc-31", "msg-trunc-40"), DropReason.TRUNCATED),
    **dict.fromkeys(("msg-trunc-375", "hdr-len-57005"), DropReason.TRUNCATED),
    **dict.fromkeys(("hdr-len-27", "hdr-len-375", "hdr-trailing"), DropReason.MALFORMED),
    **dict.fromkeys(("pl-len-0", "pl-len-2", "pl-len-over", "pl-self-loop"), DropReason.MALFORMED),
    **dict.fromkeys(("pl-many-1000", "n-200", "pl-skf-in-init", "cert-init"), DropReason.MALFORMED),
    **dict.fromkeys(("skf-num-gt", "skf-num-max"), DropReason.UNEXPECTED_MESSAGE),
    **dict.fromkeys(("sa-empty", "sa-num0", "sa-ntr255", "sa-plen", "sa-spisz"), DropReason.MALFORMED),
    **dict.fromkeys(("sa-trlen0", "sa-tlv", "n-spisz"), DropReason.MALFORMED),
    **dict.fromkeys(("sa-many", "big"), DropReason.OVERSIZED),
    **dict.fromkeys(("nonce-0", "nonce-15", "nonce-1024"), DropReason.BAD_NONCE),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE, ids=[case["id"] for case in STRANGE])
def test_the_list_of_bad_datagrams(case: dict[str, str]) -> None:
    """Those that may be answered as usual are read, all but one: whose CERT, AUTH, IDi and TSi are none."""
    found = refusal(bytes.fromhex(case["hex"]))
    assert found is SEEN_BY_THE_CODEC.get(case["id"])
    assert found is None or case["expect"] != "accept" or case["id"] == "cert-init"


def test_the_list_of_bad_datagrams_is_complete() -> None:
    assert len(STRANGE) == 91
    assert {case["id"] for case in STRANGE} >= SEEN_BY_THE_CODEC.keys()


BOMBS = {
    "payloads of four octets": written(43, b"\x2b\0\0\4" * 2_490),
    "transforms": cleartext(33, b"\0\0\x26\x98\1\1\0\xff" + b"\3\0\0\x08\1\0\0\x0c" * 1_234),
    "proposals": cleartext(33, b"\2\0\0\x08\1\1\0\0" * 1_240),
    "attributes of a transform": cleartext(
        33, b"\0\0\x20\0\1\1\0\1\0\0\x1f\xf8\1\0\0\x0c" + b"\x80\1\0\0" * 2_044
    ),
    "configuration attributes": cleartext(47, b"\1\0\0\0" + b"\0\1\0\0" * 2_400),
    "SPIs of one octet": cleartext(42, b"\3\1\x20\0" + bytes(8_192)),
    "selectors": cleartext(44, b"\xff\0\0\0" + b"\x0a\0\0\4" * 255),
}


@pytest.mark.parametrize("name", BOMBS)
def test_as_many_of_anything_as_fit_cost_little(name: str) -> None:
    assert min(cost(BOMBS[name]) for _ in range(3)) < BOUND


def test_the_bound_of_payloads_holds_before_they_are_read() -> None:
    octets = written(33, b"\x21\0\0\4" * (MAX_PAYLOADS + 1))
    with pytest.raises(DecodeError, match=f"more than {MAX_PAYLOADS}"):
        read(octets)


@given(st.binary(max_size=200), st.integers(0, 255))
def test_any_body_of_any_type(body: bytes, kind: int) -> None:
    """Reading raises a DecodeError, or what was read is written with as many octets, and read alike."""
    octets = cleartext(kind, body)
    try:
        message = read(octets)
    except DecodeError:
        return
    again = sealed(message.header, message.payloads)
    assert read(again).payloads == message.payloads
    assert len(again) == len(octets)


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        read(octets)


def test_cleartext_and_protected_are_not_taken_for_one_another() -> None:
    assert not CODEC.peek(GOOD).protected
    for frame in (PayloadType.SK, PayloadType.SKF):
        assert CODEC.peek(GOOD[:16] + bytes((frame,)) + GOOD[17:]).protected
    with pytest.raises(DecodeError) as caught:
        CODEC.glance(CODEC.peek(sealed(AUTH, ())[:16] + b"\x2e" + sealed(AUTH, ())[17:]))
    assert caught.value.reason is DropReason.UNEXPECTED_MESSAGE
