"""Outer layers: link types, VLANs, fragments in every order, what is neither IKE nor ESP."""

import itertools
import random
import struct
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from lab.decode import frames, inet
from lab.decode.keylog import Keys
from lab.decode.problem import Unreadable
from lab.decode.run import decode
from lab.decode.values import Decoded, Kind
from lab.wire import pcapng
from node.esp.ip import pack_udp
from tests.codec.samples import CLEARTEXT, INIT, sealed
from tests.decode.support import ZERO, capture, find, only, walk
from tests.unit.esp import support as esp

A, B = "192.0.2.1", "192.0.2.2"
A6, B6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
MESSAGE = sealed(INIT, CLEARTEXT["founding IKE_SA_INIT"])
WHOLE = pack_udp(ip_address(A), ip_address(B), 8000, 8000, MESSAGE)
WHOLE6 = pack_udp(A6, B6, 8000, 8000, MESSAGE)
TITLE = "IKE_SA_INIT request 0: SA KE Ni"
MACS = bytes.fromhex("020000000002 020000000001")


SIDES = (pcapng.Interface("left", pcapng.LINK_RAW), pcapng.Interface("right", pcapng.LINK_RAW))
OPTIONS = struct.pack("!BBIH", 17, 0, 0, 0)


def ethernet(packet: bytes, kind: int = 0x0800, tags: bytes = b"") -> bytes:
    return MACS + tags + struct.pack("!H", kind) + packet


def pieces(packet: bytes, sizes: Sequence[int]) -> list[bytes]:
    """An IPv4 packet in fragments of these sizes (the last takes the rest)."""
    body, at, found = packet[20:], 0, []
    for size in (*sizes, len(body)):
        part = body[at : at + size]
        if part:
            more = 0x2000 if at + len(part) < len(body) else 0
            found.append(esp.ipv4(A, B, part, packet[9], fragment=more | at // 8))
            at += len(part)
    return found


def pieces6(packet: bytes, size: int, extra: bytes = b"") -> list[bytes]:
    """An IPv6 packet in fragments. `extra` is an extension header between fragment header and UDP."""
    protocol = 60 if extra else packet[6]
    body = extra + packet[40:]
    found = []
    for at in range(0, len(body), size):
        part = body[at : at + size]
        more = at + len(part) < len(body)
        head = struct.pack("!BBHI", protocol, 0, at | more, 77)
        found.append(esp.ipv6(A6.packed, B6.packed, head + part, 44))
    return found


def decoded(packets: Sequence[bytes], link: int = pcapng.LINK_RAW) -> tuple[Decoded, ...]:
    return decode(capture([pcapng.Packet(ZERO, octets) for octets in packets], link), Keys(), "")


@pytest.mark.parametrize("octets", [WHOLE, WHOLE6], ids=["IPv4", "IPv6"])
def test_both_versions_over_both_links(octets: bytes) -> None:
    kind = 0x0800 if octets[0] >> 4 == 4 else 0x86DD
    vlan = struct.pack("!HH", 0x8100, 7)
    frames_of = {
        pcapng.LINK_RAW: [octets],
        pcapng.LINK_ETHERNET: [
            ethernet(octets, kind),
            ethernet(octets, kind, vlan),
            ethernet(octets + bytes(20), kind),
        ],
    }
    for link, found in frames_of.items():
        for one in decoded(found, link):
            assert (one.kind, one.title, one.octets, one.problem) == (Kind.IKE, TITLE, MESSAGE, "")
            hosts = (A, B) if kind == 0x0800 else ("[2001:db8::1]", "[2001:db8::2]")
            assert (one.source, one.target) == tuple(f"{host}:8000" for host in hosts)


def test_what_the_capture_says_of_a_packet_is_kept() -> None:
    packets = (pcapng.Packet(ZERO + 5, WHOLE, 1, "dropped"), pcapng.Packet(ZERO, WHOLE))
    taken = pcapng.Capture("", SIDES, packets)
    first, second = decode(taken, Keys(), "")
    assert (first.number, first.moment_ns, first.vantage, first.remark) == (1, ZERO + 5, "right", "dropped")
    assert (second.number, second.vantage, second.remark) == (2, "left", "")
    assert {one.vantage for one in decode(taken, Keys(), "here")} == {"here"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_fragments_are_put_together_in_any_order(order: tuple[int, ...]) -> None:
    parts = pieces(WHOLE, (104, 96, 8))
    found = decoded([parts[at] for at in order])
    assert [one.kind for one in found] == [Kind.OTHER] * 3 + [Kind.IKE]
    assert {one.title for one in found[:3]} == {f"IP fragment {A} > {B}"}
    assert (found[3].title, found[3].octets, found[3].problem) == (TITLE, MESSAGE, "")
    assert "from 4 fragments (packets 1, 2, 3, 4)" in find(found[3].tree, "IPv4").value


@pytest.mark.parametrize("extra", [b"", OPTIONS], ids=["plain", "destination options"])
@pytest.mark.parametrize("turned", [False, True])
def test_ipv6_fragments_are_put_together(extra: bytes, turned: bool) -> None:
    parts = pieces6(WHOLE6, 128, extra)
    found = decoded(parts[::-1] if turned else parts)
    assert (found[-1].title, found[-1].octets, found[-1].problem) == (TITLE, MESSAGE, "")
    assert len([one for one in found if one.kind is Kind.IKE]) == 1


def test_an_ipv6_packet_with_extension_headers() -> None:
    options = struct.pack("!BBIH", 60, 0, 0, 0) + struct.pack("!BBIH", 44, 0, 0, 0)
    atomic = struct.pack("!BBHI", 17, 0, 0, 7)
    octets = esp.ipv6(A6.packed, B6.packed, options + atomic + WHOLE6[40:], 0)
    assert only(octets).title == TITLE


def test_the_same_fragment_twice_is_no_contradiction() -> None:
    parts = pieces(WHOLE, (104,))
    assert [one.kind for one in decoded([parts[0], parts[0], parts[1]])] == [Kind.OTHER, Kind.OTHER, Kind.IKE]


@pytest.mark.parametrize(
    "parts",
    [
        [esp.ipv4(A, B, bytes(16), fragment=0x2000), esp.ipv4(A, B, bytes(8) + b"\1" * 8, fragment=0x2000)],
        [
            esp.ipv4(A, B, bytes(16), fragment=0x2000),
            esp.ipv4(A, B, bytes(16), fragment=0x2001),
            esp.ipv4(A, B, bytes(8), fragment=4),
        ],
        [esp.ipv4(A, B, bytes(9), fragment=0x2000)],
        [esp.ipv4(A, B, b"", fragment=0x2000)],
        [esp.ipv4(A, B, bytes(8), fragment=1), esp.ipv4(A, B, bytes(8), fragment=2)],
        [esp.ipv4(A, B, bytes(100), fragment=8190)],
    ],
    ids=["other octets", "overlapping", "no multiple of 8", "empty", "two last ones", "too long"],
)
def test_fragments_that_contradict_each_other_are_said(parts: list[bytes]) -> None:
    found = decoded(parts)
    assert "fragment" in found[-1].problem
    assert {one.kind for one in found} == {Kind.OTHER}


def test_fragments_of_two_interfaces_are_not_mixed() -> None:
    parts = pieces(WHOLE, (104,))
    packets = [pcapng.Packet(ZERO, part, at) for part in parts for at in (0, 1)]
    found = decode(pcapng.Capture("", SIDES, tuple(packets)), Keys(), "")
    assert [(one.kind, one.vantage) for one in found[2:]] == [(Kind.IKE, "left"), (Kind.IKE, "right")]


def test_fragments_that_wait_are_bounded() -> None:
    reassembler = frames.Reassembler()
    for number in range(4 * frames.MAX_WAITING):
        octets = bytearray(esp.ipv4(A, B, bytes(8), fragment=0x2000))
        octets[4:6] = struct.pack("!H", number)
        assert reassembler.add(inet.read(bytes(octets)), 0, number) is None
    assert len(reassembler._waiting) == frames.MAX_WAITING
    reassembler = frames.Reassembler()
    for at in range(8191):
        assert reassembler.add(inet.read(esp.ipv4(A, B, bytes(8), fragment=0x2000 | at)), 0, at) is None
    beyond = inet.read(esp.ipv4(A, B, bytes(8), fragment=0x3FFF))
    with pytest.raises(Unreadable):
        reassembler.add(beyond, 0, 8191)


def arp(operation: int) -> bytes:
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return ethernet(head + MACS[6:] + esp.v4("10.0.0.1") + bytes(6) + esp.v4("10.0.0.2"), 0x0806)


SOLICITATION = esp.ipv6(A6.packed, B6.packed, b"\x87" + bytes(7), 58)
EMPTY_OPTIONS = esp.ipv6(A6.packed, B6.packed, b"\x11\xff" + bytes(6), 0)


OTHERS = (
    (arp(1), "ARP: who has 10.0.0.2? tell 10.0.0.1"),
    (arp(2), "ARP: 10.0.0.1 is at 02:00:00:00:00:01"),
    (ethernet(b"\x00", 0x0806), "ARP, 1 octet"),
    (ethernet(bytes(9), 0x1234), "EtherType 0x1234, 9 octets"),
    (ethernet(esp.ipv4(A, B, esp.udp(b"hello?", 1, 53))), f'UDP {A}:1 > {B}:53 "hello?"'),
    (ethernet(SOLICITATION, 0x86DD), "ICMPv6 neighbor solicitation 2001:db8::1 > 2001:db8::2"),
)


@pytest.mark.parametrize(("frame", "title"), OTHERS, ids=[title for _, title in OTHERS])
def test_other_frames_have_a_short_title(frame: bytes, title: str) -> None:
    found = only(frame, link=pcapng.LINK_ETHERNET)
    assert (found.kind, found.title, found.problem, found.octets) == (Kind.OTHER, title, "", frame)
    assert (found.source, found.target) != ("", "")


@pytest.mark.parametrize("octets", [b"", b"\xff", b"\xff\xff\xff"])
def test_a_datagram_without_room_for_an_spi_is_a_keepalive(octets: bytes) -> None:
    found = only(esp.ipv4(A, B, esp.udp(octets, 8000, 8000)))
    assert (found.kind, found.problem) == (Kind.KEEPALIVE, "")
    assert found.title == f"keepalive, {len(octets)} octet{'' if len(octets) == 1 else 's'}"


def test_ports_are_an_argument() -> None:
    packet = esp.ipv4(A, B, esp.udp(MESSAGE, 9000, 1234))
    one = capture([pcapng.Packet(ZERO, packet)])
    assert decode(one, Keys(), "")[0].kind is Kind.OTHER
    assert decode(one, Keys(), "", ports={9000})[0].kind is Kind.IKE
    assert decode(one, Keys(), "", ports={1234, 5})[0].kind is Kind.IKE


def test_esp_without_udp() -> None:
    found = only(esp.ipv4(A, B, bytes.fromhex("c0000001 00000007") + bytes(40), 50))
    assert (found.kind, found.source, found.target) == (Kind.ESP, A, B)
    assert found.title == "ESP 0xc0000001 sequence 7: 48 octets"


@pytest.mark.parametrize(
    ("octets", "link", "says"),
    [
        (b"", pcapng.LINK_RAW, "no IP packet"),
        (b"\x75" * 40, pcapng.LINK_RAW, "no IP packet: version 7"),
        (WHOLE[:19], pcapng.LINK_RAW, "an IPv4 packet of 19 octets"),
        (WHOLE[:100], pcapng.LINK_RAW, "in 100"),
        (b"\x44" + WHOLE[1:], pcapng.LINK_RAW, "an IPv4 packet of 16"),
        (WHOLE6[:39], pcapng.LINK_RAW, "an IPv6 packet of 39 octets"),
        (WHOLE6[:90], pcapng.LINK_RAW, "in 90"),
        (esp.ipv6(A6.packed, B6.packed, b"\x11\xff", 0), pcapng.LINK_RAW, "ends in an extension header"),
        (EMPTY_OPTIONS, pcapng.LINK_RAW, "ends in an extension header"),
        (MACS, pcapng.LINK_ETHERNET, "an Ethernet frame of 12 octets"),
        (WHOLE, 147, "link type 147"),
        (esp.ipv4(A, B, bytes(5)), pcapng.LINK_RAW, "a UDP datagram of 5 octets"),
        (esp.ipv4(A, B, bytes(4) + b"\0\x5a\0\0"), pcapng.LINK_RAW, "that says 90 octets, in 8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_said(octets: bytes, link: int, says: str) -> None:
    found = only(octets, link=link)
    assert (found.kind, found.title) == (Kind.OTHER, f"not readable, {len(octets)} octets")
    assert says in found.problem


def test_random_frames_raise_nothing() -> None:
    chance = random.Random(4)
    samples = [WHOLE, WHOLE6, *pieces(WHOLE, (104, 96)), *pieces6(WHOLE6, 128), *(ethernet(WHOLE[:200]),)]
    for _ in range(3_000):
        octets = bytearray(chance.choice(samples))
        for _ in range(chance.randint(1, 6)):
            octets[chance.randrange(min(len(octets), 60))] = chance.choice((0, 1, 17, 43, 44, 60, 255))
        del octets[chance.randint(0, len(octets)) :]
        for link in (pcapng.LINK_RAW, pcapng.LINK_ETHERNET):
            found = only(bytes(octets), link=link)
            assert found.title
            assert len(list(walk(found.tree))) < 500
