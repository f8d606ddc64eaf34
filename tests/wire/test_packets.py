"""IP packets around datagrams, against checksums computed word by word and against the kernel."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.wire.packets import Endpoint, checksum, packet

A4, B4 = Endpoint("192.0.2.1", 8000), Endpoint("198.51.100.2", 40001)
A6, B6 = Endpoint("2001:db8::1", 4500), Endpoint("2001:db8::2", 500)


def _by_words(octets: bytes) -> int:
    """RFC 1071 as it is written there."""
    total = 0
    for (word,) in struct.iter_unpack(">H", octets + bytes(len(octets) % 2)):
        total += word
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


@given(st.binary(max_size=300) | st.sampled_from([b"", b"\xff\xff", b"\xff" * 8, bytes(8), b"\xff\xfe\0\1"]))
def test_the_checksum_is_that_of_rfc_1071(octets: bytes) -> None:
    assert checksum(octets) == _by_words(octets)


@given(st.binary(max_size=200))
def test_both_checksums_of_an_ipv4_packet_verify(octets: bytes) -> None:
    made = packet(A4, B4, octets)
    assert _by_words(made[:20]) == 0
    assert made[20:] == made[20:26] + made[26:28] + octets
    length = struct.pack(">H", len(made) - 20)
    assert _by_words(made[12:20] + b"\0\x11" + length + made[20:]) == 0
    assert made[26:28] != b"\0\0"
    assert struct.unpack(">HHH", made[20:26]) == (8000, 40001, len(octets) + 8)
    assert (made[0], made[9], struct.unpack(">H", made[2:4])[0]) == (0x45, 17, len(made))
    assert (socket.inet_ntoa(made[12:16]), socket.inet_ntoa(made[16:20])) == (A4.address, B4.address)


@given(st.binary(max_size=200))
def test_the_checksum_of_an_ipv6_packet_verifies(octets: bytes) -> None:
    made = packet(A6, B6, octets)
    length = struct.pack(">I", len(made) - 40)
    assert _by_words(made[8:40] + length + b"\0\0\0\x11" + made[40:]) == 0
    assert (made[0] >> 4, made[6], struct.unpack(">H", made[4:6])[0]) == (6, 17, len(made) - 40)


def test_a_checksum_of_zero_is_written_as_ones() -> None:
    """RFC 768: zero says that there is none."""
    for first in range(0x10000):
        octets = first.to_bytes(2)
        pseudo = socket.inet_aton(A4.address) + socket.inet_aton(B4.address) + b"\0\x11\0\x0a"
        if _by_words(pseudo + struct.pack(">HHHH", 8000, 40001, 10, 0) + octets) == 0:
            assert packet(A4, B4, octets)[26:28] == b"\xff\xff"
            return
    pytest.fail("no such datagram")


@pytest.mark.parametrize(
    ("source", "target", "size"), [(A4, B6, 1), (A6, B4, 1), (A4, B4, 65_508), (A6, B6, 65_528)]
)
def test_what_is_no_packet_is_refused(source: Endpoint, target: Endpoint, size: int) -> None:
    with pytest.raises(ValueError, match="octets"):
        packet(source, target, bytes(size))


def test_the_largest_ones_fit() -> None:
    assert len(packet(A4, B4, bytes(65_507))) == 65_535
    assert len(packet(A6, B6, bytes(65_527))) == 40 + 65_535


def test_endpoints_are_written_as_usual() -> None:
    assert (str(A4), str(A6)) == ("192.0.2.1:8000", "[2001:db8::1]:4500")
