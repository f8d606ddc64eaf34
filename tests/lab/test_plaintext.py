"""The search for plaintext finds each kind of it wherever it stands, and nothing in what is protected."""

import os
import struct
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.plaintext import Finding, Needles, search
from lab.wire.pcapng import LINK_ETHERNET, LINK_RAW, Capture, Interface, Packet

HELLO = "Hello from IPSec Initiator!"
NEEDLES = Needles(
    (HELLO,),
    (IPv4Network("10.1.0.0/24"), IPv4Network("10.2.0.0/24")),
    (IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1")),
)
#: What `ping` sends: a time, then octets that count up.
PING = struct.pack("=qq", 1_790_000_000, 123_456) + bytes(range(0x10, 0x38))
ONE, OTHER = IPv4Address("10.1.0.1").packed, IPv4Address("10.2.0.1").packed
OUTER = (IPv4Address("172.28.0.2").packed, IPv4Address("172.28.0.3").packed)


def ip(payload: bytes, ends: tuple[bytes, bytes] = OUTER, protocol: int = 17, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, 64, protocol, 0)
    return head + b"".join(ends) + payload


def ethernet(kind: int, payload: bytes) -> bytes:
    return bytes(12) + struct.pack("!H", kind) + payload


def udp(payload: bytes) -> bytes:
    return struct.pack("!HHHH", 8000, 8000, 8 + len(payload), 0) + payload


def found(*packets: bytes, link: int = LINK_RAW) -> list[Finding]:
    capture = Capture("", (Interface("x", link),), tuple(Packet(1, octets) for octets in packets))
    return list(search("capture.pcapng", capture, NEEDLES))


PLANTED = {
    "the greeting": ip(udp(HELLO.encode())),
    "the greeting in an acknowledgement": ip(udp(b"ACK " + HELLO.encode())),
    "the pings of a node": ip(b"\x08\x00\x00\x00" + bytes(4) + bytes(range(0x10, 0x48)), protocol=1),
    "the pings of ping(8)": ip(b"\x08\x00\x00\x00" + bytes(4) + PING, protocol=1),
    "an inner packet in clear": ip(udp(b"secret"), (ONE, OTHER)),
    "an inner source": ip(udp(b"secret"), (ONE, OUTER[1])),
    "an inner destination that nobody has": ip(udp(b"x"), (OUTER[0], IPv4Address("10.2.0.77").packed)),
    "an inner packet in an IP tunnel": ip(ip(udp(b"secret"), (OTHER, ONE)), protocol=4),
    "an inner packet in GRE": ip(struct.pack("!HH", 0, 0x0800) + ip(udp(b"x"), (ONE, OTHER)), protocol=47),
    "an inner address in words": ip(udp(b"route to 10.2.0.1 is down")),
    "a traffic selector": ip(
        udp(b"\x07\x00" + IPv4Address("10.1.0.0").packed + IPv4Address("10.1.0.255").packed)
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_in_clear_is_found_and_named(name: str) -> None:
    clean, planted = ip(udp(bytes(100))), PLANTED[name]
    for link, frames in ((LINK_RAW, (clean, planted)), (LINK_ETHERNET, (clean, ethernet(0x0800, planted)))):
        hits = found(*frames, link=link)
        assert hits
        assert {hit.packet for hit in hits} == {2}
        assert str(hits[0]).startswith("capture.pcapng: packet 2, octet ")


def test_a_question_for_an_inner_address_is_found() -> None:
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes(6) + OUTER[0] + bytes(6) + OTHER
    (hit,) = found(ethernet(0x0806, arp), link=LINK_ETHERNET)
    assert "10.2.0.1 in the outer header" in hit.what


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_is_cut_in_two_by_fragments_is_found(order: tuple[int, int]) -> None:
    whole = udp(HELLO.encode() + bytes(20))
    parts = (ip(whole[:16], fragment=0x2000), ip(whole[16:], fragment=2))
    assert found(parts[0]) == found(parts[1]) == []
    (hit,) = found(*(parts[number] for number in order))
    assert hit.what.endswith("over several fragments")


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from([LINK_RAW, LINK_ETHERNET]))
def test_no_octets_stop_the_search(packets: list[bytes], link: int) -> None:
    assert len(found(*packets, link=link)) <= 20 * len(packets)


def test_ciphertext_holds_nothing() -> None:
    assert found(*(ip(udp(os.urandom(1400))) for _ in range(2000))) == []
