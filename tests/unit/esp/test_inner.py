"""The bounded look into inner packets."""

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason
from node.esp.inner import (
    MAX_EXTENSION_HEADERS,
    NO_PORT,
    NO_PROTOCOL,
    Flow,
    addresses,
    flow,
    total_length,
)
from tests.property.stopwatch import Stopwatch
from tests.unit.esp.support import ipv4, ipv6, udp, v4

S6, D6 = bytes.fromhex("fd00" + "00" * 13 + "01"), bytes.fromhex("fd00" + "00" * 13 + "02")
S4, D4 = v4("10.0.0.2"), v4("10.0.0.1")


def packet4(body: bytes, protocol: int = 17, **more: int | bytes) -> bytes:
    return ipv4("10.0.0.2", "10.0.0.1", body, protocol, **more)  # type: ignore[arg-type]


def extension(following: int, octets: int = 8) -> bytes:
    return bytes([following, octets // 8 - 1]) + bytes(octets - 2)


def fragment(following: int, offset: int, more: bool) -> bytes:
    return struct.pack("!BBHI", following, 0, offset << 3 | more, 99)


UDP_PORTS = udp(b"x", 1000, 2000)

FLOWS = [
    (packet4(UDP_PORTS), (17, 1000, 2000)),
    (packet4(UDP_PORTS, 6), (6, 1000, 2000)),
    (packet4(UDP_PORTS, 132), (132, 1000, 2000)),
    (packet4(UDP_PORTS, 47), (47, NO_PORT, NO_PORT)),
    (packet4(b"\x08\x00rest", 1), (1, 0x0800, 0x0800)),
    (packet4(b"\x03\x04rest", 1), (1, 0x0304, 0x0304)),
    (packet4(b"\x08", 1), (1, NO_PORT, NO_PORT)),
    (packet4(UDP_PORTS, options=bytes.fromhex("01010100")), (17, 1000, 2000)),
    (packet4(UDP_PORTS, options=bytes(40)), (17, 1000, 2000)),
    (packet4(UDP_PORTS, fragment=0x2000), (17, 1000, 2000)),  # the first fragment has the ports
    (packet4(UDP_PORTS, fragment=0x2001), (17, NO_PORT, NO_PORT)),
    (packet4(UDP_PORTS, fragment=0x1FFF), (17, NO_PORT, NO_PORT)),
    (packet4(UDP_PORTS, fragment=0x4000), (17, 1000, 2000)),
    (packet4(b"\x03\xe8\x07"), (17, NO_PORT, NO_PORT)),  # cut before the second port
    (packet4(b""), (17, NO_PORT, NO_PORT)),
    (ipv6(S6, D6, UDP_PORTS), (17, 1000, 2000)),
    (ipv6(S6, D6, b"\x80\x00rest", 58), (58, 0x8000, 0x8000)),
    (ipv6(S6, D6, b"\x3b\x00\x05\x00rest", 135), (135, 0x0500, 0x0500)),
    (ipv6(S6, D6, b"", 59), (59, NO_PORT, NO_PORT)),
    (ipv6(S6, D6, extension(60) + extension(17, 16) + UDP_PORTS, 0), (17, 1000, 2000)),
    (ipv6(S6, D6, fragment(17, 0, True) + UDP_PORTS, 44), (17, 1000, 2000)),
    (ipv6(S6, D6, fragment(17, 1, False) + UDP_PORTS, 44), (17, NO_PORT, NO_PORT)),
    (ipv6(S6, D6, fragment(17, 8191, True) + UDP_PORTS, 44), (17, NO_PORT, NO_PORT)),
    (ipv6(S6, D6, fragment(60, 5, False) + UDP_PORTS, 44), (NO_PROTOCOL, NO_PORT, NO_PORT)),
    (ipv6(S6, D6, bytes([17, 4]) + bytes(22) + UDP_PORTS, 51), (17, 1000, 2000)),
    (ipv6(S6, D6, bytes([17, 200]) + bytes(6), 60), (17, NO_PORT, NO_PORT)),
]


@pytest.mark.parametrize(("packet", "expected"), FLOWS)
def test_flows(packet: bytes, expected: tuple[int, int, int]) -> None:
    ends = (S4, D4) if packet[0] >> 4 == 4 else (S6, D6)
    assert total_length(packet) == len(packet)
    assert addresses(packet) == b"".join(ends)
    assert flow(packet) == Flow(*ends, *expected)


def patched(packet: bytes, offset: int, *octets: int) -> bytes:
    return packet[:offset] + bytes(octets) + packet[offset + len(octets) :]


GOOD4, GOOD6 = packet4(UDP_PORTS), ipv6(S6, D6, UDP_PORTS)

MALFORMED = {
    "empty": b"",
    "one octet": b"\x45",
    "cut header": GOOD4[:19],
    "cut packet": GOOD4[:-1],
    "version 0": patched(GOOD4, 0, 0x05),
    "version 5": patched(GOOD4, 0, 0x55),
    "header of 16 octets": patched(GOOD4, 0, 0x44),
    "header longer than the packet": patched(packet4(b""), 0, 0x4F),
    "total length 0": patched(GOOD4, 2, 0, 0),
    "total length below the header": patched(GOOD4, 2, 0, 19),
    "total length beyond the packet": patched(GOOD4, 2, 0xFF, 0xFF),
    "cut IPv6 header": GOOD6[:39],
    "cut IPv6 packet": GOOD6[:-1],
    "IPv6 jumbo": patched(GOOD6, 4, 0xFF, 0xFF),
}


@pytest.mark.parametrize("packet", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_packets(packet: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        total_length(packet)
    assert caught.value.reason is DropReason.INNER_MALFORMED


BOMBS = {
    "a thousand extension headers": ipv6(S6, D6, extension(60) * 1000, 60),
    "one too many": ipv6(S6, D6, extension(60) * MAX_EXTENSION_HEADERS + extension(17) + UDP_PORTS, 60),
    "cut extension header": ipv6(S6, D6, extension(60)[:7], 60),
    "extension header beyond the packet": ipv6(S6, D6, bytes([60, 255]) + bytes(6), 60),
    "cut fragment header": ipv6(S6, D6, b"\x11\0\0", 44),
    "fragments in fragments": ipv6(S6, D6, fragment(44, 0, True) * 100, 44),
}


@pytest.mark.parametrize("packet", BOMBS.values(), ids=BOMBS.keys())
def test_header_chains_are_bounded(packet: bytes) -> None:
    assert total_length(packet) == len(packet)
    with Stopwatch() as watch, pytest.raises(DecodeError) as caught:
        flow(packet)
    assert watch.own < 0.05
    assert caught.value.reason is DropReason.INNER_MALFORMED


def test_as_many_extension_headers_as_allowed() -> None:
    chain = extension(60) * (MAX_EXTENSION_HEADERS - 1) + extension(17)
    assert flow(ipv6(S6, D6, chain + UDP_PORTS, 60)).destination_port == 2000


def test_what_follows_the_packet_is_not_part_of_it() -> None:
    assert total_length(GOOD4 + b"padding") == len(GOOD4)
    assert total_length(GOOD6 + b"padding") == len(GOOD6)
    assert flow(packet4(b"") + UDP_PORTS).source_port == NO_PORT


def look(packet: bytes) -> None:
    try:
        if total_length(packet) <= len(packet):
            flow(packet)
    except DecodeError as error:
        assert error.reason is DropReason.INNER_MALFORMED  # noqa: PT017 - both outcomes are right


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"", b"\x45", b"\x4f", b"\x60"]))
def test_any_octets_are_judged(octets: bytes, start: bytes) -> None:
    look(start + octets)


def test_mutations_are_judged() -> None:
    chosen = random.Random(4)
    for _ in range(20_000):
        packet = bytearray(chosen.choice([one for one, _ in FLOWS]))
        for _ in range(chosen.randrange(1, 4)):
            packet[chosen.randrange(len(packet))] = chosen.randrange(256)
        look(bytes(packet[: chosen.randrange(len(packet) + 1)]))
