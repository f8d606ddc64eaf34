"""The user-space host: what it makes is right, and what it answers."""

import random
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import LocalMisuse
from node.esp.host import EchoReplied, Host, Send, UdpReceived, udp_payload
from node.esp.ip import UdpDatagram, checksum
from tests.unit.esp.support import LOCAL, PEER, ipv4, ipv6, sum16, udp, v4

US, THEM = IPv4Address(LOCAL), IPv4Address(PEER)
US6, THEM6 = IPv6Address("fd00::1"), IPv6Address("fd00::2")
OURS, THEIRS = Host((US, US6), 0x1234), Host((THEM, THEM6), 0x5678)


def icmp(kind: int, body: bytes = b"\x12\x34\0\x01data", code: int = 0) -> bytes:
    octets = bytes([kind, code, 0, 0]) + body
    return octets[:2] + sum16(octets).to_bytes(2) + octets[4:]


def icmp6(kind: int, source: IPv6Address, destination: IPv6Address, body: bytes = b"\0\x01\0\x02x") -> bytes:
    octets = bytes([kind, 0, 0, 0]) + body
    pseudo = source.packed + destination.packed + struct.pack("!II", len(octets), 58)
    return octets[:2] + sum16(pseudo + octets).to_bytes(2) + octets[4:]


@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_rfc_1071(octets: bytes) -> None:
    assert checksum(octets) == sum16(octets)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("", 0xFFFF),
        ("0000", 0xFFFF),
        ("ffff", 0),
        ("ffffffff", 0),
        ("0001f203f4f5f6f7", 0x220D),
        ("01", 0xFEFF),
    ],
)
def test_checksums(octets: str, expected: int) -> None:
    assert checksum(bytes.fromhex(octets)) == expected


def test_ping_and_its_answer() -> None:
    request = OURS.ping(7, THEM)
    assert sum16(request[:20]) == 0
    assert sum16(request[20:]) == 0
    assert request[12:20] == US.packed + THEM.packed
    assert request[20:28] == b"\x08\0" + request[22:24] + b"\x12\x34\0\x07"
    assert len(request) == 84
    (reply,) = THEIRS.receive(request)
    assert isinstance(reply, Send)
    assert reply.packet[12:20] == THEM.packed + US.packed
    assert reply.packet[28:] == request[28:]
    assert sum16(reply.packet[20:]) == 0
    assert OURS.receive(reply.packet) == (EchoReplied(THEM, 7, 56),)


def test_ping_and_its_answer_over_ipv6() -> None:
    request = OURS.ping(65536 + 9, THEM6, b"odd")
    (reply,) = THEIRS.receive(request)
    assert isinstance(reply, Send)
    assert reply.packet[40] == 129
    pseudo = THEM6.packed + US6.packed + struct.pack("!II", 11, 58)
    assert sum16(pseudo + reply.packet[40:]) == 0
    assert OURS.receive(reply.packet) == (EchoReplied(THEM6, 9, 3),)


@pytest.mark.parametrize("payload", [b"", b"x", b"Hello from IPSec Initiator!", bytes(1300)])
def test_udp(payload: bytes) -> None:
    for us, them in ((US, THEM), (US6, THEM6)):
        packet = OURS.send_udp(them, 4000, 5000, payload)
        assert THEIRS.receive(packet) == (UdpReceived(UdpDatagram(us, them, 4000, 5000, payload)),)
        assert udp_payload(packet, 5000) == payload
        assert udp_payload(packet, 4000) is None


@settings(max_examples=50)
@given(st.binary(max_size=100), st.integers(1, 65535), st.integers(1, 65535))
def test_udp_checksums(payload: bytes, source: int, destination: int) -> None:
    packet = OURS.send_udp(THEM, source, destination, payload)
    pseudo = US.packed + THEM.packed + struct.pack("!BBH", 0, 17, len(payload) + 8)
    assert sum16(pseudo + packet[20:]) == 0
    assert packet[26:28] != b"\0\0"


def test_a_checksum_of_zero_is_sent_as_ones() -> None:
    payload = bytes.fromhex("0000")
    packet = OURS.send_udp(THEM, 4000, 5000, payload)
    missing = int.from_bytes(packet[26:28])
    packet = OURS.send_udp(THEM, 4000, 5000, missing.to_bytes(2))
    assert packet[26:28] == b"\xff\xff"
    assert udp_payload(packet, 5000) == missing.to_bytes(2)


def test_udp_without_a_checksum_is_allowed_for_ipv4_only() -> None:
    assert udp_payload(ipv4(PEER, LOCAL, udp(b"x")), 5000) == b"x"
    assert udp_payload(ipv6(THEM6.packed, US6.packed, udp(b"x")), 5000) is None


def broken(packet: bytes, offset: int) -> bytes:
    octets = bytearray(packet)
    octets[offset] ^= 1
    return bytes(octets)


REQUEST = ipv4(PEER, LOCAL, icmp(8), 1)
DATAGRAM = THEIRS.send_udp(US, 4000, 5000, b"payload")

IGNORED = {
    "empty": b"",
    "garbage": b"garbage" * 9,
    "cut": REQUEST[:-1],
    "broken header checksum": broken(REQUEST, 8),
    "broken ICMP checksum": broken(REQUEST, 30),
    "broken UDP checksum": broken(DATAGRAM, 30),
    "broken UDP port": broken(DATAGRAM, 20),
    "broken UDP length": broken(DATAGRAM, 24),
    "for somebody else": ipv4(PEER, "10.0.0.3", icmp(8), 1),
    "limited broadcast": ipv4(PEER, "255.255.255.255", icmp(8), 1),
    "subnet broadcast": ipv4(PEER, "10.0.0.255", icmp(8), 1),
    "multicast": ipv4(PEER, "224.0.0.1", icmp(8), 1),
    "from ourselves": ipv4(LOCAL, LOCAL, icmp(8), 1),
    "from nobody": ipv4("0.0.0.0", LOCAL, icmp(8), 1),
    "from the broadcast address": ipv4("255.255.255.255", LOCAL, icmp(8), 1),
    "from class E": ipv4("240.0.0.1", LOCAL, icmp(8), 1),
    "from a multicast group": ipv4("224.0.0.1", LOCAL, icmp(8), 1),
    "from the loopback": ipv4("127.0.0.1", LOCAL, icmp(8), 1),
    "reply to somebody else's ping": ipv4(PEER, LOCAL, icmp(0, b"\x99\x99\0\x01"), 1),
    "destination unreachable": ipv4(PEER, LOCAL, icmp(3, bytes(32)), 1),
    "redirect": ipv4(PEER, LOCAL, icmp(5, bytes(32)), 1),
    "timestamp request": ipv4(PEER, LOCAL, icmp(13, bytes(16)), 1),
    "echo request with a code": ipv4(PEER, LOCAL, icmp(8, code=1), 1),
    "short ICMP": ipv4(PEER, LOCAL, icmp(8, b"\0\0"), 1),
    "first fragment": ipv4(PEER, LOCAL, icmp(8), 1, fragment=0x2000),
    "later fragment": ipv4(PEER, LOCAL, icmp(8), 1, fragment=0x0001),
    "loose source route": ipv4(PEER, LOCAL, icmp(8), 1, options=bytes.fromhex("83070401020304 00")),
    "strict source route behind others": ipv4(
        PEER, LOCAL, icmp(8), 1, options=bytes.fromhex("01 4404 0500 89030400")[:8]
    ),
    "option of length 0": ipv4(PEER, LOCAL, icmp(8), 1, options=bytes.fromhex("44000000")),
    "option without a length": ipv4(PEER, LOCAL, icmp(8), 1, options=bytes.fromhex("01010144")),
    "short UDP": ipv4(PEER, LOCAL, bytes(7)),
    "UDP length below its header": ipv4(PEER, LOCAL, struct.pack("!HHHH", 1, 2, 7, 0) + b"xx"),
    "UDP length beyond the packet": ipv4(PEER, LOCAL, struct.pack("!HHHH", 1, 2, 99, 0)),
    "TCP": ipv4(PEER, LOCAL, bytes(20), 6),
    "ICMPv6 inside IPv4": ipv4(PEER, LOCAL, icmp(128), 58),
    "ICMP inside IPv6": ipv6(THEM6.packed, US6.packed, icmp(8), 1),
    "IPv6 multicast": ipv6(
        THEM6.packed, ip_address("ff02::1").packed, icmp6(128, THEM6, IPv6Address("ff02::1")), 58
    ),
    "from nobody over IPv6": ipv6(bytes(16), US6.packed, icmp6(128, IPv6Address("::"), US6), 58),
    "neighbour solicitation": ipv6(THEM6.packed, US6.packed, icmp6(135, THEM6, US6, bytes(20)), 58),
    "IPv6 extension header": ipv6(THEM6.packed, US6.packed, b"\x3a" + bytes(7) + icmp6(128, THEM6, US6), 60),
}


@pytest.mark.parametrize("packet", IGNORED.values(), ids=IGNORED.keys())
def test_ignored(packet: bytes) -> None:
    assert OURS.receive(packet) == ()
    assert udp_payload(packet, 5000) is None


def test_an_answer_is_never_answered() -> None:
    (reply,) = THEIRS.receive(OURS.ping(1, THEM))
    assert isinstance(reply, Send)
    assert not any(isinstance(output, Send) for output in OURS.receive(reply.packet))
    assert not any(isinstance(output, Send) for output in OURS.receive(DATAGRAM))


def test_harmless_options_do_not_matter() -> None:
    for options in ("01010100", "00ffffff", "94040000", "4408050000000000"):
        packet = ipv4(PEER, LOCAL, icmp(8), 1, options=bytes.fromhex(options))
        (reply,) = OURS.receive(packet)
        assert isinstance(reply, Send)
        assert reply.packet[0] == 0x45


def test_octets_behind_the_packet_do_not_matter() -> None:
    assert udp_payload(DATAGRAM + b"trailing", 5000) == b"payload"
    assert len(OURS.receive(REQUEST + b"trailing")) == 1


def test_an_answer_is_as_large_as_the_request() -> None:
    (reply,) = OURS.receive(ipv4(PEER, LOCAL, icmp(8, bytes(1376)), 1))
    assert isinstance(reply, Send)
    assert len(reply.packet) == 1400


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        ((US, THEM), "at most one"),
        ((IPv4Address("0.0.0.0"),), "one host"),
        ((IPv4Address("224.0.0.1"),), "one host"),
        ((IPv4Address("255.255.255.255"),), "one host"),
        ((IPv6Address("ff02::1"),), "one host"),
    ],
)
def test_addresses_a_host_cannot_have(addresses: tuple[IPv4Address | IPv6Address, ...], text: str) -> None:
    with pytest.raises(LocalMisuse, match=text):
        Host(addresses, 1)


def test_what_cannot_be_sent() -> None:
    with pytest.raises(LocalMisuse, match="no address"):
        Host((US,), 1).ping(1, THEM6)
    with pytest.raises(LocalMisuse, match="inner MTU"):
        OURS.ping(1, THEM, bytes(1373))
    with pytest.raises(LocalMisuse, match="inner MTU"):
        OURS.send_udp(THEM6, 1, 2, bytes(1353))
    for ports in ((0, 1), (1, 0), (65536, 1), (1, -1)):
        with pytest.raises(LocalMisuse, match="UDP port"):
            OURS.send_udp(THEM, *ports, b"")


@settings(max_examples=300)
@given(st.binary(max_size=120))
def test_any_octets_are_survived(octets: bytes) -> None:
    for packet in (octets, ipv4(PEER, LOCAL, octets, 1), ipv4(PEER, LOCAL, octets)):
        assert len(OURS.receive(packet)) <= 1


def test_flipped_bits_are_ignored() -> None:
    chosen = random.Random(3)
    for _ in range(3000):
        packet = broken(DATAGRAM, chosen.randrange(len(DATAGRAM)))
        # The fields that no checksum covers are the same in every packet accepted here.
        assert OURS.receive(packet) == ()
    assert v4(LOCAL) == DATAGRAM[16:20]
