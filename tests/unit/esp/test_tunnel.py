"""Encapsulation and decapsulation against a second implementation, and what is refused."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import DropReason
from node.esp.inner import MAX_PACKET
from node.esp.tunnel import Incoming, Outgoing, Refused, TooLarge, Tunnel
from node.model.proposal import Suite
from node.model.registry import EncrId
from node.model.selectors import TrafficSelector, network
from tests.property.stopwatch import Stopwatch
from tests.unit.esp.support import (
    CBC,
    GCM,
    LOCAL,
    OURS,
    PATH,
    PEER,
    SUITES,
    THEIRS,
    End,
    child,
    end,
    esp,
    hello,
    ipv4,
    ipv6,
    pad,
    pair,
    selectors,
    suite,
    udp,
    unseal,
)

OUT = hello(LOCAL, PEER)
A6 = bytes.fromhex("fd00" + "00" * 13 + "01")
B6 = bytes.fromhex("fd00" + "00" * 13 + "02")
ESN = suite(EncrId.ENCR_AES_GCM_16, 256, esn=True)


def delivered(result: Incoming | Refused) -> bytes:
    assert isinstance(result, Incoming), result
    return result.packet


def reason(result: Incoming | Outgoing | Refused | TooLarge) -> DropReason:
    assert isinstance(result, Refused), result
    return result.reason


def top(one: End) -> int:
    sa = one.sad.by_spi.get(int.from_bytes(OURS))
    assert sa is not None
    return sa.window.top


@pytest.mark.parametrize("chosen", SUITES, ids=str)
@pytest.mark.parametrize("size", [0, 1, 2, 13, 14, 15, 16, 64, 1400])
def test_what_we_send_the_second_implementation_reads(chosen: Suite, size: int) -> None:
    one = child(chosen)
    packet = hello(LOCAL, PEER, bytes(size))
    ours = end(one)
    for sequence in (1, 2):
        sent = ours.tunnel.encapsulate(packet)
        assert isinstance(sent, Outgoing)
        assert (sent.path, sent.spi, sent.sequence) == (PATH, THEIRS, sequence)
        assert sent.datagram[:8] == THEIRS + sequence.to_bytes(4)
        align = 16 if chosen.encr.id == EncrId.ENCR_AES_CBC else 4
        assert unseal(chosen, one.outbound, sent.datagram) == pad(packet, align=align)


@pytest.mark.parametrize("chosen", SUITES, ids=str)
def test_what_the_second_implementation_sends_we_read(chosen: Suite) -> None:
    one = child(chosen)
    ours = end(one)
    result = ours.tunnel.decapsulate(esp(chosen, one.inbound, OURS, 7, pad(hello())))
    assert result == Incoming(hello(), OURS, 7, True)


@pytest.mark.parametrize("chosen", [*SUITES, ESN], ids=str)
@settings(max_examples=20, deadline=None)
@given(payload=st.binary(max_size=1400))
def test_both_ends_agree(chosen: Suite, payload: bytes) -> None:
    ours, peers = pair(child(chosen))
    for _ in range(3):
        packet = hello(LOCAL, PEER, payload)
        sent = ours.tunnel.encapsulate(packet)
        assert isinstance(sent, Outgoing)
        assert delivered(peers.tunnel.decapsulate(sent.datagram)) == packet
        back = peers.tunnel.encapsulate(hello(PEER, LOCAL, payload))
        assert isinstance(back, Outgoing)
        assert delivered(ours.tunnel.decapsulate(back.datagram)) == hello(PEER, LOCAL, payload)


def test_no_iv_is_used_twice() -> None:
    for chosen in (one for one in SUITES if one.encr.id != EncrId.ENCR_NULL):
        ours = end(child(chosen))
        size = 16 if chosen.encr.id == EncrId.ENCR_AES_CBC else 8
        ivs = set()
        for _ in range(50):
            sent = ours.tunnel.encapsulate(OUT)
            assert isinstance(sent, Outgoing)
            ivs.add(sent.datagram[8 : 8 + size])
        assert len(ivs) == 50


def test_ipv6_inside() -> None:
    one = child(GCM, local=selectors("fd00::1"), peer=selectors("fd00::2"))
    ours, peers = pair(one)
    packet = ipv6(A6, B6, udp(b"hello"))
    sent = ours.tunnel.encapsulate(packet)
    assert isinstance(sent, Outgoing)
    assert unseal(GCM, one.outbound, sent.datagram)[-1] == 41
    assert delivered(peers.tunnel.decapsulate(sent.datagram)) == packet


def cbc(plain: bytes, sequence: int = 7) -> bytes:
    return esp(CBC, child().inbound, OURS, sequence, plain)


def gcm(plain: bytes) -> bytes:
    return esp(GCM, child(GCM).inbound, OURS, 7, plain)


GOOD = pad(hello())
SHORTEST = cbc(bytes(14) + b"\0\x3b")

# datagrams before authentication: the reason, and the window must not move
FORGED = [
    ("empty", b"", DropReason.ESP_TRUNCATED),
    ("keepalive", b"\xff", DropReason.ESP_TRUNCATED),
    ("seven octets", OURS + b"\0\0\0", DropReason.ESP_TRUNCATED),
    ("header only, unknown SPI", THEIRS + b"\0\0\0\x01", DropReason.ESP_UNKNOWN_SPI),
    ("SPI 0", bytes(64), DropReason.ESP_UNKNOWN_SPI),
    ("SPI 255", b"\0\0\0\xff" + cbc(GOOD)[4:], DropReason.ESP_UNKNOWN_SPI),
    ("next SPI", b"\xc0\0\0\x02" + cbc(GOOD)[4:], DropReason.ESP_UNKNOWN_SPI),
    ("our outbound SPI", THEIRS + cbc(GOOD)[4:], DropReason.ESP_UNKNOWN_SPI),
    ("header only", OURS + b"\0\0\0\x01", DropReason.ESP_TRUNCATED),
    ("IV only", SHORTEST[:24], DropReason.ESP_TRUNCATED),
    ("IV and ICV only", SHORTEST[:40], DropReason.ESP_TRUNCATED),
    ("one octet short of a block", SHORTEST[:-1], DropReason.ESP_TRUNCATED),
    ("one octet too many", SHORTEST + b"\0", DropReason.ESP_TRUNCATED),
    ("one block too many", cbc(GOOD) + bytes(16), DropReason.ESP_BAD_ICV),
    ("one block cut off", cbc(GOOD)[:-16], DropReason.ESP_BAD_ICV),
    ("no ICV", cbc(GOOD)[:-16] + bytes(16), DropReason.ESP_BAD_ICV),
    ("sequence number 0", cbc(GOOD, 0), DropReason.ESP_STALE),
    ("forged sequence number", OURS + b"\0\0\0\x08" + cbc(GOOD)[8:], DropReason.ESP_BAD_ICV),
    ("forged high sequence number", OURS + b"\xff\xff\xff\xff" + cbc(GOOD)[8:], DropReason.ESP_BAD_ICV),
    ("keys of the other direction", esp(CBC, child().outbound, OURS, 7, GOOD), DropReason.ESP_BAD_ICV),
    ("another suite", esp(GCM, child(GCM).inbound, OURS, 7, pad(hello(), 4, 16)), DropReason.ESP_TRUNCATED),
    ("largest datagram", OURS + b"\0\0\0\x01" + bytes(65488), DropReason.ESP_BAD_ICV),
]


@pytest.mark.parametrize(
    ("datagram", "expected"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED]
)
def test_forged_datagrams_change_nothing(datagram: bytes, expected: DropReason) -> None:
    ours = end(child())
    with Stopwatch() as watch:
        assert reason(ours.tunnel.decapsulate(datagram)) is expected
    assert watch.own < 0.05
    assert top(ours) == 0
    assert ours.sad.dropped == {expected: 1}
    assert delivered(ours.tunnel.decapsulate(cbc(GOOD))) == hello()


SPOOFED = ipv4("10.0.0.3", LOCAL, udp(b"x"))
ELSEWHERE = ipv4(PEER, "10.0.0.9", udp(b"x"))

# authenticated plaintext that is refused: the number is used up all the same
AUTHENTIC = [
    ("dummy", pad(b"", 59), DropReason.ESP_DUMMY),
    ("dummy with anything inside", b"\xaa" * 14 + b"\xff\x3b", DropReason.ESP_DUMMY),
    ("pad length beyond the body", bytes(14) + b"\x0f\x04", DropReason.ESP_BAD_PADDING),
    ("pad length 255", bytes(14) + b"\xff\x04", DropReason.ESP_BAD_PADDING),
    ("padding of zeros", hello() + bytes(13) + b"\x0d\x04", DropReason.ESP_BAD_PADDING),
    ("transport mode", pad(udp(b"x"), 17), DropReason.ESP_BAD_NEXT_HEADER),
    ("next header 0", pad(hello(), 0), DropReason.ESP_BAD_NEXT_HEADER),
    ("ESP inside", pad(hello(), 50), DropReason.ESP_BAD_NEXT_HEADER),
    ("nothing inside", pad(b""), DropReason.INNER_MALFORMED),
    ("nothing IPv6 inside", pad(b"", 41), DropReason.INNER_MALFORMED),
    ("half a header", pad(hello()[:12]), DropReason.INNER_MALFORMED),
    ("cut inner packet", pad(hello()[:-1]), DropReason.INNER_MALFORMED),
    ("inner length 0", pad(ipv4(PEER, LOCAL, b"", length=0)), DropReason.INNER_MALFORMED),
    ("inner length beyond the packet", pad(ipv4(PEER, LOCAL, b"", length=9999)), DropReason.INNER_MALFORMED),
    ("IPv6 called IPv4", pad(ipv6(B6, A6, udp(b"x"))), DropReason.INNER_MALFORMED),
    ("IPv4 called IPv6", pad(hello(), 41), DropReason.INNER_MALFORMED),
    ("IPv6 through an IPv4 SA", pad(ipv6(B6, A6, udp(b"x")), 41), DropReason.INNER_SELECTOR_MISMATCH),
    ("spoofed source", pad(SPOOFED), DropReason.INNER_SELECTOR_MISMATCH),
    ("destination elsewhere", pad(ELSEWHERE), DropReason.INNER_SELECTOR_MISMATCH),
    ("our own packet sent back", pad(OUT), DropReason.INNER_SELECTOR_MISMATCH),
    ("spoofed fragment", pad(ipv4("10.0.0.3", LOCAL, b"x", fragment=5)), DropReason.INNER_SELECTOR_MISMATCH),
]


@pytest.mark.parametrize(("plain", "expected"), [row[1:] for row in AUTHENTIC], ids=[r[0] for r in AUTHENTIC])
def test_refused_plaintext(plain: bytes, expected: DropReason) -> None:
    ours = end(child())
    datagram = cbc(plain, 9)
    assert reason(ours.tunnel.decapsulate(datagram)) is expected
    assert top(ours) == 9
    assert reason(ours.tunnel.decapsulate(datagram)) is DropReason.ESP_REPLAYED
    assert ours.sad.query()[0].inbound_packets == 0
    assert delivered(ours.tunnel.decapsulate(cbc(GOOD))) == hello()


def test_a_spoofed_packet_after_a_good_one_is_refused() -> None:
    ours = end(child())
    assert delivered(ours.tunnel.decapsulate(cbc(GOOD, 1))) == hello()
    assert reason(ours.tunnel.decapsulate(cbc(pad(SPOOFED), 2))) is DropReason.INNER_SELECTOR_MISMATCH
    assert delivered(ours.tunnel.decapsulate(cbc(GOOD, 3))) == hello()


def test_details_are_printable_and_name_the_ends() -> None:
    ours = end(child())
    refused = ours.tunnel.decapsulate(cbc(pad(SPOOFED)))
    assert isinstance(refused, Refused)
    assert refused.detail == "SPI c0000001: inner packet from 10.0.0.3 to 10.0.0.1"
    for number, (_, plain, _) in enumerate(AUTHENTIC, start=20):
        refused = ours.tunnel.decapsulate(cbc(plain, number))
        assert isinstance(refused, Refused)
        assert refused.detail.isprintable()


def test_traffic_flow_confidentiality_padding_is_removed() -> None:
    ours = end(child())
    assert delivered(ours.tunnel.decapsulate(cbc(pad(hello() + b"\xaa" * 300)))) == hello()
    assert ours.sad.query()[0].inbound_octets == len(hello())


def test_more_padding_than_needed_is_accepted() -> None:
    ours = end(child(GCM))
    plain = hello() + bytes(range(1, 256))[: 200 + (-(len(hello()) + 202) % 4)]
    assert delivered(ours.tunnel.decapsulate(gcm(plain + bytes([len(plain) - len(hello()), 4])))) == hello()


def test_fragments_and_options_pass_through() -> None:
    ours = end(child())
    packets = (
        ipv4(PEER, LOCAL, udp(b"x"), fragment=0x2000),
        ipv4(PEER, LOCAL, b"rest", fragment=0x2001),
        ipv4(PEER, LOCAL, udp(b"x"), options=bytes.fromhex("44040500")),
    )
    for number, packet in enumerate(packets, start=1):
        assert delivered(ours.tunnel.decapsulate(cbc(pad(packet), number))) == packet


# protocol and ports of the SA's selectors, an inner packet from the peer, and whether it may pass
def only(address: str, protocol: int, first: int = 0, last: int = 65535) -> tuple[TrafficSelector, ...]:
    whole = network(address)
    return (TrafficSelector(whole.start, whole.end, protocol, first, last),)


PORTS = [
    (hello(), True),
    (ipv4(PEER, LOCAL, udp(b"x", 4000, 5001)), False),
    (ipv4(PEER, LOCAL, udp(b"x", 4001, 5000)), False),
    (ipv4(PEER, LOCAL, udp(b"x"), protocol=6), False),
    (ipv4(PEER, LOCAL, udp(b"x"), fragment=0x2000), True),
    (ipv4(PEER, LOCAL, udp(b"x"), fragment=0x2001), False),
    (ipv4(PEER, LOCAL, b"\x0f\xa0\x13"), False),
]


@pytest.mark.parametrize(("packet", "passes"), PORTS)
def test_protocol_and_ports_both_ways(packet: bytes, passes: bool) -> None:
    one = child(local=only(LOCAL, 17, 5000, 5000), peer=only(PEER, 17, 4000, 4000))
    ours, peers = pair(one)
    sent = peers.tunnel.encapsulate(packet)
    assert isinstance(sent, Outgoing) is passes
    got = ours.tunnel.decapsulate(cbc(pad(packet)))
    assert isinstance(got, Incoming) is passes
    if not passes:
        assert (reason(sent), reason(got)) == (DropReason.NO_SA, DropReason.INNER_SELECTOR_MISMATCH)


def test_a_narrow_newer_sa_leaves_the_rest_to_the_wide_older_one() -> None:
    wide = child()
    narrow = child(
        GCM,
        inbound=b"\xc0\0\0\x07",
        outbound=b"\xd0\0\0\x08",
        local=only(LOCAL, 17),
        peer=only(PEER, 17, 53, 53),
    )
    ours = end(wide, narrow)
    chosen = []
    for packet in (ipv4(LOCAL, PEER, udp(b"x", 999, 53)), ipv4(LOCAL, PEER, udp(b"x", 999, 54))):
        sent = ours.tunnel.encapsulate(packet)
        assert isinstance(sent, Outgoing)
        chosen.append(sent.spi)
    assert chosen == [narrow.outbound_spi, wide.outbound_spi]


OUTBOUND = [
    ("empty", b"", DropReason.INNER_MALFORMED),
    ("not IP", b"\x00" * 40, DropReason.INNER_MALFORMED),
    ("cut", OUT[:-1], DropReason.INNER_MALFORMED),
    ("longer than it says", OUT + b"\0", DropReason.INNER_MALFORMED),
    ("too large", ipv4(LOCAL, PEER, bytes(MAX_PACKET - 19)), DropReason.OVERSIZED),
    ("a megabyte", bytes(1 << 20), DropReason.OVERSIZED),
    ("no such destination", ipv4(LOCAL, "10.0.0.3", b""), DropReason.NO_SA),
    ("foreign source", ipv4("10.0.0.3", PEER, b""), DropReason.NO_SA),
    ("broadcast", ipv4(LOCAL, "255.255.255.255", b""), DropReason.NO_SA),
    ("IPv6", ipv6(A6, B6, b""), DropReason.NO_SA),
    ("backwards", hello(), DropReason.NO_SA),
]


@pytest.mark.parametrize(("packet", "expected"), [row[1:] for row in OUTBOUND], ids=[r[0] for r in OUTBOUND])
def test_refused_outbound(packet: bytes, expected: DropReason) -> None:
    ours = end(child())
    assert reason(ours.tunnel.encapsulate(packet)) is expected
    assert ours.sad.query()[0].outbound_packets == 0
    assert ours.sad.dropped == {expected: 1}


def test_the_largest_packet_fits_a_udp_datagram() -> None:
    for chosen in SUITES:
        sent = end(child(chosen)).tunnel.encapsulate(ipv4(LOCAL, PEER, bytes(MAX_PACKET - 20)))
        assert isinstance(sent, Outgoing)
        assert len(sent.datagram) <= 65507


@pytest.mark.parametrize("chosen", SUITES, ids=str)
def test_every_single_bit_counts(chosen: Suite) -> None:
    """Each bit of a packet flipped: none accepted, no state changed, and the packet itself still passes."""
    one = child(chosen)
    ours = end(one)
    datagram = esp(chosen, one.inbound, OURS, 7, pad(hello()))
    for bit in range(len(datagram) * 8):
        flipped = bytearray(datagram)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        expected = DropReason.ESP_UNKNOWN_SPI if bit < 32 else DropReason.ESP_BAD_ICV
        assert reason(ours.tunnel.decapsulate(bytes(flipped))) is expected
    assert top(ours) == 0
    assert delivered(ours.tunnel.decapsulate(datagram)) == hello()


def test_random_octets_are_refused() -> None:
    ours, chosen = end(child()), random.Random(5)
    for _ in range(5000):
        octets = chosen.randbytes(chosen.randrange(120))
        reason(ours.tunnel.decapsulate(octets if chosen.random() < 0.5 else OURS + octets))
    assert top(ours) == 0


def test_reordered_and_duplicated_traffic_arrives_once() -> None:
    one = child(GCM)
    ours, peers = pair(dataclasses.replace(one, replay_window=64))
    chosen, numbers = random.Random(6), range(4000)
    datagrams = []
    for number in numbers:
        sent = ours.tunnel.encapsulate(hello(LOCAL, PEER, number.to_bytes(4)))
        assert isinstance(sent, Outgoing)
        datagrams.append(sent.datagram)
    arriving = sorted(numbers, key=lambda n: n + chosen.random() * 60)
    arriving += [n for n in arriving if chosen.random() < 0.1]
    got = []
    for index, number in enumerate(arriving):
        for again in (number, *([arriving[max(0, index - 30)]] if index % 10 == 0 else [])):
            result = peers.tunnel.decapsulate(datagrams[again])
            if isinstance(result, Incoming):
                got.append(int.from_bytes(result.packet[-4:]))
            else:
                assert result.reason in (DropReason.ESP_REPLAYED, DropReason.ESP_STALE)
    assert sorted(got) == list(numbers)


def test_esn_across_the_end_of_a_subspace() -> None:
    one = child(ESN)
    ours = end(one)
    receiver = ours.sad.by_spi.get(int.from_bytes(OURS))
    assert receiver is not None
    receiver.window.mark(0xFFFFFFEF)
    for sequence in (0xFFFFFFF0, 0xFFFFFFFF, 0x100000000, 0x100000005, 0xFFFFFFFE):
        datagram = esp(ESN, one.inbound, OURS, sequence, pad(hello()))
        result = ours.tunnel.decapsulate(datagram)
        assert isinstance(result, Incoming), (hex(sequence), result)
        assert result.sequence == sequence
        assert reason(ours.tunnel.decapsulate(datagram)) is DropReason.ESP_REPLAYED
    wrong = esp(ESN, one.inbound, OURS, 0x300000007, pad(hello()))
    assert reason(ours.tunnel.decapsulate(wrong)) is DropReason.ESP_BAD_ICV
    assert top(ours) == 0x100000005


def test_esn_sends_the_low_half_and_authenticates_all() -> None:
    one = child(ESN)
    ours, peers = pair(one)
    (sa,) = ours.sad.spd.candidates(bytes([10, 0, 0, 1, 10, 0, 0, 2]))
    sa.sequence = 0xFFFFFFFE
    receiver = peers.sad.by_spi.get(int.from_bytes(THEIRS))
    assert receiver is not None
    receiver.window.mark(0xFFFFFFFE)
    for sequence in (0xFFFFFFFF, 0x100000000, 0x100000001):
        sent = ours.tunnel.encapsulate(OUT)
        assert isinstance(sent, Outgoing)
        assert sent.sequence == sequence
        assert sent.datagram[4:8] == (sequence & 0xFFFFFFFF).to_bytes(4)
        assert unseal(ESN, one.outbound, sent.datagram, sequence >> 32) == pad(OUT, align=4)
        assert delivered(peers.tunnel.decapsulate(sent.datagram)) == OUT


def test_without_esn_the_numbers_end_where_esn_would_go_on() -> None:
    one = child(GCM)
    ours = end(one)
    last = esp(GCM, one.inbound, OURS, 0xFFFFFFFF, pad(hello()))
    assert delivered(ours.tunnel.decapsulate(last)) == hello()
    for low in (0, 1):
        again = esp(GCM, one.inbound, OURS, low, pad(hello()))
        assert reason(ours.tunnel.decapsulate(again)) is DropReason.ESP_STALE


def test_an_empty_sad_refuses_everything() -> None:
    ours = end()
    assert isinstance(ours.tunnel, Tunnel)
    assert reason(ours.tunnel.encapsulate(OUT)) is DropReason.NO_SA
    assert reason(ours.tunnel.decapsulate(cbc(GOOD))) is DropReason.ESP_UNKNOWN_SPI


def flip_many(count: int) -> int:
    """How many of `count` packets with one to three random bits flipped were accepted."""
    one, chosen, accepted = child(GCM), random.Random(7), 0
    ours = end(one)
    datagram = esp(GCM, one.inbound, OURS, 7, pad(hello()))
    number, size = int.from_bytes(datagram), len(datagram)
    for _ in range(count):
        flips = 0
        while not flips:
            for _ in range(chosen.randrange(1, 4)):
                flips ^= 1 << chosen.randrange((size - 4) * 8)
        accepted += isinstance(ours.tunnel.decapsulate((number ^ flips).to_bytes(size)), Incoming)
    assert top(ours) == 0
    return accepted


def test_flipped_bits_are_never_accepted() -> None:
    """A million of them: `make test-long`."""
    assert flip_many(100_000) == 0
