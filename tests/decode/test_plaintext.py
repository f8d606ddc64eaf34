"""The search for plaintext finds each kind where it is planted, and nothing in what is protected."""

import random
import struct
import time
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from itertools import pairwise
from pathlib import Path

import pytest

from lab.plaintext import MAX_FINDINGS, PING, Finding, Needles, search
from lab.wire import pcapng
from node.daemon.inner import _PING_DATA
from node.esp.ip import Echo, pack, pack_echo, pack_udp
from node.model.payloads import TrafficSelectors
from node.model.registry import PayloadType
from node.model.selectors import network
from tests.codec.samples import INIT, sealed
from tests.decode.support import ESP_SUITES, HELLO, IKE_SUITES, ZERO, capture, make_run
from tests.decode.support import PING as OUR_PING
from tests.decode.test_frames import ethernet, pieces, pieces6
from tests.unit.esp import support as esp

A, B = ip_address("192.0.2.1"), ip_address("192.0.2.2")
A6, B6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
FIRST, SECOND = ip_address("10.1.0.1"), ip_address("10.2.0.1")
FIRST6, SECOND6 = ip_address("fd01::1"), ip_address("fd02::1")
NETWORKS = tuple(map(ip_network, ("10.1.0.0/24", "10.2.0.0/24", "fd01::/64", "fd02::/64")))
NEEDLES = Needles(NETWORKS, (HELLO,))
INNER = pack(FIRST, SECOND, 6, b"\x00" * 20)
INNER6 = pack(FIRST6, SECOND6, 6, b"\x00" * 20)


def outer(payload: bytes) -> bytes:
    """A datagram between the outer addresses; its payload begins at octet 28."""
    return pack_udp(A, B, 8000, 8000, payload)


def found(
    packets: Sequence[bytes], needles: Needles = NEEDLES, link: int = pcapng.LINK_RAW
) -> tuple[Finding, ...]:
    one = capture([pcapng.Packet(ZERO, octets) for octets in packets], link)
    return search([("a.pcapng", one)], needles)


def what(packets: Sequence[bytes], link: int = pcapng.LINK_RAW) -> list[tuple[int, int, str]]:
    return [(one.packet, one.offset, one.what) for one in found(packets, link=link)]


def selectors(cidr: str) -> bytes:
    """A cleartext message with one selector; its addresses begin at octet 58."""
    return sealed(INIT, (TrafficSelectors(PayloadType.TSI, (network(cidr),)),))


SIDE, OUTER, INSIDE = "side by side with", "of the outer IP header", "of an IPv4 header"
GRE = b"\x00\x00\x08\x00"
PLANTED: dict[str, tuple[bytes, dict[int, str]]] = {
    "the greeting": (outer(b"xx" + HELLO), {30: f'the text "{HELLO.decode()}"'}),
    "a ping of ours": (outer(bytes(8) + _PING_DATA), {36: "the data of a ping"}),
    "a ping of iputils": (outer(bytes(24) + bytes(range(0x10, 0x38))), {52: "the data of a ping"}),
    "an outer source": (pack(FIRST, B, 17, b"abcd"), {12: f"10.1.0.1 as source {OUTER}"}),
    "an outer destination": (pack(A, SECOND, 17, b"abcd"), {16: f"10.2.0.1 as destination {OUTER}"}),
    "an outer source of IPv6": (pack(FIRST6, B6, 17, b"abcd"), {8: f"fd01::1 as source {OUTER}"}),
    "an outer destination of IPv6": (pack(A6, SECOND6, 17, b""), {24: f"fd02::1 as destination {OUTER}"}),
    "two packed addresses": (outer(b"z" + FIRST.packed + SECOND.packed), {29: f"10.1.0.1 {SIDE} 10.2.0.1"}),
    "two of IPv6": (outer(b"z" + FIRST6.packed + SECOND6.packed), {29: f"fd01::1 {SIDE} fd02::1"}),
    "a range": (outer(bytes.fromhex("0a010000 0a0100ff")), {28: f"10.1.0.0 {SIDE} 10.1.0.255"}),
    "selectors in DER": (outer(selectors("10.1.0.0/24")), {86: "10.1.0.0 in DER before 10.1.0.255"}),
    "selectors of IPv6 in DER": (
        outer(selectors("fd01::/64")),
        {86: "fd01:: in DER before fd01::ffff:ffff:ffff:ffff"},
    ),
    "an address as text": (outer(b"from 10.1.0.77, yes"), {33: "10.1.0.77 as text"}),
    "an address of IPv6 as text": (outer(b"[fd02::a:1]"), {29: "fd02::a:1 as text"}),
    "IP in IP": (
        pack(A, B, 4, INNER),
        {32: f"10.1.0.1 {SIDE} 10.2.0.1", 36: f"10.2.0.1 as destination {INSIDE}"},
    ),
    "IPv6 in IP": (pack(A, B, 41, INNER6), {28: f"fd01::1 {SIDE} fd02::1"}),
    "GRE": (
        pack(A, B, 47, GRE + INNER),
        {36: f"10.1.0.1 {SIDE} 10.2.0.1", 40: f"10.2.0.1 as destination {INSIDE}"},
    ),
    "GRE to a stranger": (
        pack(A, B, 47, GRE + pack(FIRST, A, 6, b"")),
        {36: f"10.1.0.1 as source {INSIDE}"},
    ),
    "GRE from a stranger": (
        pack(A, B, 47, GRE + pack(A, SECOND, 6, b"")),
        {40: f"10.2.0.1 as destination {INSIDE}"},
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str) -> None:
    octets, wanted = PLANTED[name]
    harmless = outer(b"nothing")
    assert what([harmless, octets, harmless]) == [(2, offset, said) for offset, said in wanted.items()]
    framed = [(2, 14 + offset, said) for offset, said in wanted.items()]
    kind = 0x0800 if octets[0] >> 4 == 4 else 0x86DD
    frames = [ethernet(harmless), ethernet(octets, kind)]
    assert what(frames, link=pcapng.LINK_ETHERNET) == framed
    tagged = ethernet(octets, kind, struct.pack("!HH", 0x8100, 5))
    assert what([harmless, tagged], link=pcapng.LINK_ETHERNET) == [(2, o + 4, said) for _, o, said in framed]


def test_a_whole_packet_in_clear_is_found_by_everything_in_it() -> None:
    said = " ".join(one.what for one in found([pack_udp(FIRST, SECOND, 7000, 7000, HELLO)]))
    assert "source of the outer" in said
    assert "destination of the outer" in said
    assert "the text" in said


def test_what_is_split_over_fragments_is_found_in_what_they_make() -> None:
    whole = pack_udp(A, B, 8000, 8000, bytes(93) + HELLO + bytes(50))
    assert b"".join(pieces(whole, (104,))).count(HELLO) == 0
    (one,) = found(pieces(whole, (104,)))
    assert (one.packet, one.offset, one.joined) == (2, 121, True)
    assert (
        str(one)
        == f'a.pcapng, packet 2, octet 121 of its fragments put together: the text "{HELLO.decode()}"'
    )
    whole6 = pack_udp(A6, B6, 8000, 8000, bytes(105) + HELLO + bytes(50))
    (six,) = found(pieces6(whole6, 120))
    assert (six.packet, six.joined) == (2, True)


def test_what_is_in_one_fragment_is_found_without_the_others() -> None:
    first, _ = pieces(pack_udp(A, B, 8000, 8000, HELLO + bytes(100)), (104,))
    (one,) = found([first])
    assert (one.offset, one.joined, str(one)) == (
        28,
        False,
        f'a.pcapng, packet 1, octet 28: the text "{HELLO.decode()}"',
    )


def test_nothing_is_found_across_two_packets() -> None:
    assert found([outer(HELLO[:10]), HELLO[10:] + outer(b"")]) == ()
    assert found([outer(FIRST.packed), SECOND.packed]) == ()
    assert found([outer(FIRST.packed[:2]), FIRST.packed[2:] + SECOND.packed]) == ()


@pytest.mark.parametrize("suite", [suite for suite in ESP_SUITES if not suite.startswith("null")])
def test_nothing_is_found_in_a_protected_run(suite: str) -> None:
    run = make_run(esp_suite=suite, pings=40)
    assert search([("a", run.capture)], NEEDLES) == ()


@pytest.mark.parametrize("suite", IKE_SUITES)
def test_nothing_is_found_in_the_handshake_of_any_suite(suite: str) -> None:
    assert search([("a", make_run(ike_suite=suite).capture)], NEEDLES) == ()


def test_esp_without_encryption_is_plaintext() -> None:
    run = make_run(esp_suite="null-sha256")
    said = {one.what for one in search([("a", run.capture)], NEEDLES)}
    assert {f'the text "{HELLO.decode()}"', "the data of a ping", f"10.1.0.1 {SIDE} 10.2.0.1"} <= said
    assert len({one.packet for one in search([("a", run.capture)], NEEDLES)}) == 8


HARMLESS = (
    b"110.1.0.1 and 10.10.0.1",
    b"10.1.0",
    FIRST.packed + A.packed,
    b"\x04\x04" + FIRST.packed + b"\x04\x05" + SECOND.packed,
    INNER[:10] + b"\xff\xff" + INNER[12:16] + A.packed,
    b"10.3.0.1 fd03::1 2fd01::1",
    bytes(range(0x10, 0x1F)),
    HELLO[:-1],
)


@pytest.mark.parametrize("payload", HARMLESS)
def test_what_only_looks_like_it_is_not_found(payload: bytes) -> None:
    assert found([outer(payload)]) == ()


WIDE = Needles((ip_network("10.0.0.0/8"),))


def test_wide_networks_are_found_in_headers_only() -> None:
    pair = outer(FIRST.packed + SECOND.packed)
    assert found([pair], WIDE) == ()
    assert [one.what for one in found([pack(A, B, 4, INNER)], WIDE)] == [
        "10.1.0.1 as source of an IPv4 header",
        "10.2.0.1 as destination of an IPv4 header",
    ]
    narrow = Needles((*WIDE.networks, ip_network("10.1.0.0/24"), ip_network("10.2.0.0/24")))
    assert [one.what for one in found([pair], narrow)] == [f"10.1.0.1 {SIDE} 10.2.0.1"]


SIZES = ("10.1.0.1/32", "10.1.0.0/30", "10.1.0.0/22", "10.0.0.0/13", "fd01::/24", "fd01::1/128")


@pytest.mark.parametrize("cidr", SIZES)
def test_networks_of_any_size(cidr: str) -> None:
    one = ip_network(cidr)
    first = FIRST if one.version == 4 else FIRST6
    number = 4 if one.version == 4 else 41
    inner = pack(first, A if one.version == 4 else first, 6, b"")
    assert found([pack(A, B, number, inner)], Needles((one,)))
    stranger = ip_address("11.1.0.1") if one.version == 4 else ip_address("fe01::1")
    assert found([pack(A, B, number, pack(stranger, stranger, 6, b""))], Needles((one,))) == ()


def test_what_chance_would_find_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="too short"):
        Needles(texts=(b"hello",))
    with pytest.raises(ValueError, match="too wide"):
        Needles((ip_network("0.0.0.0/0"),))
    with pytest.raises(ValueError, match="too wide"):
        Needles((ip_network("fc00::/7"),))


def test_a_capture_that_is_open_ends_the_search() -> None:
    assert len(found([outer(HELLO)] * (MAX_FINDINGS + 50))) == MAX_FINDINGS


def test_findings_name_their_capture_and_are_in_order() -> None:
    first = capture([pcapng.Packet(ZERO, outer(HELLO + HELLO)), pcapng.Packet(ZERO, outer(HELLO))])
    both = search([("left", first), ("right", first)], NEEDLES)
    places = [(name, number) for name in ("left", "right") for number in (1, 1, 2)]
    assert [(one.capture, one.packet) for one in both] == places
    assert all(one.offset < two.offset for one, two in pairwise(both[:2]))


def test_the_pings_are_those_of_the_node() -> None:
    assert PING in _PING_DATA
    assert _PING_DATA == OUR_PING
    assert found([outer(pack_echo(A, B, Echo(True, 1, 1, _PING_DATA)))])


def test_random_octets_of_a_large_capture_hold_nothing_and_cost_seconds() -> None:
    """20 MB of what looks like ESP, within a few seconds of processor time."""
    chance = random.Random(3)
    packets = [outer(chance.randbytes(1_400)) for _ in range(14_000)]
    packets += [
        esp.ipv4("192.0.2.1", "192.0.2.2", chance.randbytes(16), fragment=0x2000 | n) for n in range(64)
    ]
    one = capture([pcapng.Packet(ZERO, octets) for octets in packets])
    started = time.process_time()
    assert search([("a", one)], NEEDLES) == ()
    assert search([("a", one)], WIDE) == ()
    assert time.process_time() - started < 5


def test_octets_that_are_nothing_raise_nothing(tmp_path: Path) -> None:
    chance = random.Random(8)
    for link in (pcapng.LINK_RAW, pcapng.LINK_ETHERNET, 147):
        packets = [chance.randbytes(chance.randint(0, 70)) for _ in range(500)]
        packets += [bytes((0x45, *chance.randbytes(chance.randint(0, 30)))) for _ in range(500)]
        packets += [bytes((0x60, *chance.randbytes(chance.randint(0, 60)))) for _ in range(500)]
        assert found(packets, link=link) == ()
