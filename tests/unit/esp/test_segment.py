"""Super-packets and their segments: against a second computation, and what does not agree with itself."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from node.errors import DecodeError, DropReason
from node.esp.checksum import complete
from node.esp.segment import Rows, SuperPacket
from node.esp.vnet import Gso, Offload, read
from node.esp.vnet import pack as pack_header
from tests.unit.esp.batches import ACK, CWR, ECE, FIN, PSH, finished, offload, right, tcp, udp

pytestmark = pytest.mark.usefixtures("loops")

SEGMENT = st.integers(1, 1460)


def cut(packet: bytes, segment: int) -> list[bytes]:
    """All segments, those of full size made together, in two goes."""
    import numpy as np

    super_packet = SuperPacket(memoryview(bytearray(packet)), offload(packet, segment))
    plain = np.full((super_packet.whole + 1, super_packet.layout.size + 7), 0xAA, np.uint8)
    rows, found, half = Rows(plain, super_packet.layout), [], super_packet.whole // 2
    for first, count in ((0, half), (half, super_packet.whole - half)):
        if count:
            rows.fill(super_packet, first, count)
            found += [row[: super_packet.layout.size].tobytes() for row in plain[:count]]
    assert (plain[:, super_packet.layout.size :] == 0xAA).all(), "what is behind is not touched"
    assert found == [super_packet[n] for n in range(super_packet.whole)]
    return found + [super_packet[n] for n in range(super_packet.whole, super_packet.count)]


@settings(max_examples=60, deadline=None)
@given(
    version=st.sampled_from([4, 6]),
    data=st.binary(min_size=1, max_size=3000),
    segment=SEGMENT,
    flags=st.sampled_from([ACK, ACK | PSH, ACK | PSH | FIN, ACK | CWR | ECE, ACK | PSH | CWR]),
    sequence=st.sampled_from([0, 1000, 0xFFFFFF00]),
    number=st.sampled_from([0, 65_530]),
    options=st.sampled_from([b"", b"\1" * 12]),
    whole=st.booleans(),
)
def test_tcp_segments(
    version: int,
    data: bytes,
    segment: int,
    flags: int,
    sequence: int,
    number: int,
    options: bytes,
    whole: bool,
) -> None:
    packet = tcp(
        data,
        version=version,
        flags=flags,
        sequence=sequence,
        number=number,
        options=options,
        fragment=0x4000 if whole else 0,
    )
    found = cut(packet, segment)
    assert all(right(one) for one in found)
    parsed = [IP(one) if version == 4 else IPv6(one) for one in found]
    assert b"".join(bytes(one[TCP].payload)[: len(data)] for one in parsed) == data
    for place, one in enumerate(parsed):
        assert one[TCP].seq == (sequence + place * segment) & 0xFFFFFFFF
        last, first = place == len(parsed) - 1, place == 0
        expected = flags & ~(0 if last else PSH | FIN) & ~(0 if first else CWR)
        assert int(one[TCP].flags) == expected
        if version == 4:
            # With DF it says nothing (RFC 6864 4.1).
            assert one.id == (number if whole else (number + place) & 0xFFFF)
            assert one.len == len(found[place])
        else:
            assert one.plen == len(found[place]) - 40


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([4, 6]), st.binary(min_size=1, max_size=3000), SEGMENT)
def test_udp_segments(version: int, data: bytes, segment: int) -> None:
    found = cut(udp(data, version=version), segment)
    assert all(right(one) for one in found)
    parsed = [IP(one) if version == 4 else IPv6(one) for one in found]
    assert [one[UDP].len for one in parsed] == [
        8 + len(data[n : n + segment]) for n in range(0, len(data), segment)
    ]
    assert all(one[UDP].chksum for one in parsed), "zero would say that there is no checksum"


@pytest.mark.parametrize("version", [4, 6])
def test_a_checksum_is_finished(version: int) -> None:
    for size in (0, 1, 2, 511, 1400):
        packet = bytearray(tcp(bytes(range(256)) * 6, version=version)[:])
        packet = bytearray(tcp(b"x" * size, version=version))
        start = 20 if version == 4 else 40
        expected = finished(bytes(packet))
        complete(memoryview(packet), start, 16)
        assert bytes(packet) == expected
        assert right(expected)


GOOD = tcp(bytes(100))
TCP4 = offload(GOOD, 10)
FRAGMENT = tcp(bytes(100), fragment=0x2000)
NO_DATA = tcp(b"")

# what is said about a packet that does not agree with it
BAD = [
    ("kind of another version", GOOD, TCP4._replace(gso=Gso.TCPV6)),
    ("kind of another protocol", GOOD, TCP4._replace(gso=Gso.UDP_L4, offset=6)),
    ("no kind", GOOD, TCP4._replace(gso=Gso.NONE)),
    ("no checksum to make", GOOD, TCP4._replace(needs_checksum=False)),
    ("segments of nothing", GOOD, TCP4._replace(segment=0)),
    ("a checksum from elsewhere", GOOD, TCP4._replace(start=24)),
    ("a checksum beyond the end", GOOD, TCP4._replace(start=60_000)),
    ("a checksum elsewhere", GOOD, TCP4._replace(offset=6)),
    ("a fragment", FRAGMENT, offload(FRAGMENT, 10)),
    ("no data", NO_DATA, offload(NO_DATA, 10)),
    ("cut off", GOOD[:-1], TCP4),
    ("longer than it says", GOOD + b"\0", TCP4),
    ("empty", b"", TCP4),
    ("half a header", GOOD[:30], TCP4),
    ("TCP header of 16 octets", GOOD[:32] + b"\x40" + GOOD[33:], TCP4),
    ("TCP header beyond the end", GOOD[:2] + b"\0\x32" + GOOD[4:32] + b"\xf0" + GOOD[33:50], TCP4),
    ("version 5", b"\x55" + GOOD[1:], TCP4),
]


@pytest.mark.parametrize(("packet", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_does_not_agree_is_refused(packet: bytes, said: Offload) -> None:
    with pytest.raises(DecodeError) as raised:
        SuperPacket(memoryview(packet), said)
    assert raised.value.reason is DropReason.INNER_MALFORMED


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200),
    st.builds(Offload, st.booleans(), st.sampled_from(Gso), *[st.integers(0, 0xFFFF)] * 3),
    st.integers(0, 120),
)
def test_whatever_is_said_nothing_else_is_raised(noise: bytes, said: Offload, kept: int) -> None:
    for packet in (noise, GOOD[:kept] + noise):
        try:
            found = SuperPacket(memoryview(packet), said)
        except DecodeError:
            continue
        assert (
            sum(len(found[n]) - found.layout.header for n in range(found.count))
            == len(packet) - found.layout.header
        )


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_a_checksum_outside_is_refused(octets: bytes, start: int, offset: int) -> None:
    packet = bytearray(octets)
    try:
        complete(memoryview(packet), start, offset)
    except DecodeError:
        assert start + offset > len(octets) - 2
        assert packet == octets


# (octets, what they say)
HEADERS = [
    ("00000000000000000000", Offload(False, Gso.NONE)),
    ("01003400000014001000", Offload(True, Gso.NONE, 0, 20, 16)),
    ("01013400440514001000", Offload(True, Gso.TCPV4, 1348, 20, 16)),
    ("01810000440514001000", Offload(True, Gso.TCPV4, 1348, 20, 16)),
    ("01040000440528001000", Offload(True, Gso.TCPV6, 1348, 40, 16)),
    ("01050000780528000600", Offload(True, Gso.UDP_L4, 1400, 40, 6)),
]


@pytest.mark.parametrize(("octets", "said"), HEADERS)
def test_header_in_front(octets: str, said: Offload) -> None:
    native = struct.pack("=BBHHHH", *struct.unpack("<BBHHHH", bytes.fromhex(octets)))
    assert read(native) == said
    assert read(pack_header(said, 52)) == said


@pytest.mark.parametrize(
    "octets", ["", "00", "000000000000000000", "01030000000000000000", "007f0000000000000000"]
)
def test_bad_headers_in_front(octets: str) -> None:
    with pytest.raises(DecodeError):
        read(bytes.fromhex(octets))
