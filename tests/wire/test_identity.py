"""What a datagram is, by its cleartext header; and that nothing makes the reading raise."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.wire import der, patterns
from lab.wire.identity import Identity, Kind, read_asn1, read_rfc7296
from lab.wire.patterns import Seen
from tests.codec.rfc7296.samples import SUITES
from tests.codec.rfc7296.test_fragments import LARGE, cut
from tests.wire.support import (
    ANOTHER_ORDER,
    AUTH_REQUEST,
    AUTH_RESPONSE,
    INFORMATIONAL,
    INIT_REQUEST,
    INIT_RESPONSE,
    KEEPALIVE,
    NAMES,
    binary,
    esp,
)

MARKER = bytes(4)


def _with_header(*numbers: bytes) -> bytes:
    header = b"".join(der.write(0x80 + tag, number) for tag, number in enumerate(numbers))
    return der.write(0x30, der.write(0x30, header))


GOOD = [b"\1", b"\2", b"\0", b"\x20", b"\x22", b"\x08", b"\0", b"\0"]

ASN1 = [
    (INIT_REQUEST, "IKE_SA_INIT request 0"),
    (ANOTHER_ORDER, "IKE_SA_INIT request 0"),
    (INIT_RESPONSE, "IKE_SA_INIT response 0"),
    (AUTH_REQUEST, "IKE_AUTH request 1"),
    (AUTH_RESPONSE, "IKE_AUTH response 1"),
    (INFORMATIONAL, "INFORMATIONAL request 2"),
    (_with_header(*GOOD), "IKE_SA_INIT request 0"),
    (_with_header(*GOOD[:4], b"\x24", b"\x28", b"\1\2", b"\0"), "CREATE_CHILD_SA response 258"),
    (_with_header(*GOOD[:4], b"\x00\xf0", *GOOD[5:]), "exchange 240 request 0"),
    # cut off behind its header it still is what it was
    (AUTH_REQUEST[:60], "IKE_AUTH request 1"),
    (AUTH_REQUEST[:20], "IKE"),
    (_with_header(*GOOD[:7]), "IKE"),
    (_with_header(*GOOD, b"\0"), "IKE"),
    (_with_header(b"\1" * 9, *GOOD[1:]), "IKE"),
    (_with_header(*GOOD[:6], b"\1" * 5, b"\0"), "IKE"),
    (b"\x30\x80\0\0", "IKE"),
    (b"\x30\xff\xff\xff", "IKE"),
    (b"\x30\x84\0\0", "IKE"),
    (esp(7), "ESP spi 0xc1a2b3c4 sequence 7"),
    (b"\1\2\3\4", "ESP spi 0x01020304"),
    (b"\1\2\3\4\0\0\0", "ESP spi 0x01020304"),
    (KEEPALIVE, "keepalive"),
    (b"", "keepalive"),
    (b"\x30\0\0", "keepalive"),
]

BINARY = [
    (binary(34, 0x08, 0), 500, "IKE_SA_INIT request 0"),
    (binary(35, 0x20, 1), 500, "IKE_AUTH response 1"),
    (MARKER + binary(37, 0x28, 2), 4500, "INFORMATIONAL response 2"),
    (MARKER + binary(43, 0x08, 2), 14500, "IKE_INTERMEDIATE request 2"),
    (binary(34, 0x08, 0), 10500, "IKE_SA_INIT request 0"),
    # without the marker it is ESP there, whatever it looks like
    (binary(34, 0x08, 0), 4500, "ESP spi 0xa1a2a3a4 sequence 2779162536"),
    (binary(34, 0x08, 0) + b"x", 10500, "ESP spi 0xa1a2a3a4 sequence 2779162536"),
    (esp(9), 4500, "ESP spi 0xc1a2b3c4 sequence 9"),
    (esp(9)[:20], 500, "IKE"),
    (MARKER + b"\1\2\3", 4500, "IKE"),
    (KEEPALIVE, 4500, "keepalive"),
]


@pytest.mark.parametrize(("octets", "text"), ASN1)
def test_a_datagram_of_the_asn1_profile(octets: bytes, text: str) -> None:
    assert str(read_asn1(octets, 8000)) == text


@pytest.mark.parametrize(("octets", "port", "text"), BINARY)
def test_a_datagram_of_the_binary_profile(octets: bytes, port: int, text: str) -> None:
    assert str(read_rfc7296(octets, port)) == text


def test_the_spis_are_read() -> None:
    found = read_asn1(AUTH_REQUEST, 8000)
    assert (found.spi_i, found.spi_r) == (0xA1A2A3A4A5A6A7A8, 0x5152535455565758)
    found = read_rfc7296(binary(35, 8, 1), 500)
    assert (found.spi_i, found.spi_r) == (0xA1A2A3A4A5A6A7A8, 7)


@pytest.mark.parametrize("suite", SUITES)
def test_each_fragment_is_its_message(suite: str) -> None:
    """RFC 7383 2.5: the header of a fragment is that of the message, but for lengths and payload type."""
    fragments = cut(LARGE, suite)
    assert len(fragments) > 4
    assert {str(read_rfc7296(octets, 500)) for octets in fragments} == {"IKE_AUTH request 1"}
    assert {str(read_rfc7296(MARKER + octets, 4500)) for octets in fragments} == {"IKE_AUTH request 1"}


@pytest.mark.parametrize("octets", [INIT_REQUEST, binary(34, 8, 0)])
def test_only_an_init_request_opens(octets: bytes) -> None:
    read = read_asn1 if octets[0] == 0x30 else read_rfc7296
    assert read(octets, 500).opens
    assert not read_asn1(INIT_RESPONSE, 8000).opens
    assert not read_asn1(AUTH_REQUEST, 8000).opens
    assert not read_asn1(esp(1), 8000).opens


#: Wild octets, and those of messages with something changed or cut off.
WILD = st.one_of(
    st.binary(max_size=120),
    st.binary(max_size=60).map(lambda tail: b"\x30" + tail),
    st.tuples(st.sampled_from([AUTH_REQUEST, INIT_REQUEST]), st.integers(0, 80), st.binary(max_size=4)).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + len(t[2]) :]
    ),
    st.integers(0, len(AUTH_REQUEST)).map(lambda size: AUTH_REQUEST[:size]),
)


@given(WILD, st.sampled_from([500, 4500, 8000]))
def test_reading_never_raises_and_what_it_says_is_a_pattern_that_matches(octets: bytes, port: int) -> None:
    for read in (read_asn1, read_rfc7296):
        found = read(octets, port)
        seen = Seen(found, "alice", "responder", True)
        assert patterns.read(str(found), NAMES).matches(seen)
        assert (found.exchange is None) == (found.message_id is None)


@given(st.integers(0, (1 << 64) - 1))
def test_a_number_is_written_in_the_fewest_octets_and_read_again(value: int) -> None:
    octets = der.number(value)
    head = der.element(octets, 0)
    assert head is not None
    identifier, start, end = head
    assert (identifier, end) == (der.INTEGER, len(octets))
    assert int.from_bytes(octets[start:end], signed=True) == value
    assert end - start == 1 or octets[start] or octets[start + 1] & 0x80


@given(st.integers(0, 255), st.integers(0, 70_000))
def test_an_element_of_any_length_is_read_again(identifier: int, size: int) -> None:
    octets = der.write(identifier, bytes(size))
    assert der.element(octets, 0) == (identifier, len(octets) - size, len(octets))
    assert der.elements(octets + octets, 0, 2 * len(octets)) is not None
    assert der.elements(octets, 0, len(octets) + 1) is None


def test_reading_is_fast_enough_for_a_flood() -> None:
    """10,000 a second are to cost a fraction of one core; the bound leaves room for a loaded machine."""
    started = time.process_time()
    for _ in range(2_000):
        read_asn1(AUTH_REQUEST, 8000)
    assert (time.process_time() - started) / 2_000 < 100e-6


def test_an_identity_without_numbers_is_its_kind() -> None:
    assert str(Identity(Kind.ESP)) == "ESP"
