"""What stands inside an ESP packet: payloads of transport mode, padding that hides lengths, dummies."""

import struct
from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason, LocalMisuse
from node.esp.bulk import Bulk
from node.esp.carrier import Hosts, dummy, load, mend, pad, padded, unload
from node.esp.host import Host
from node.esp.inner import MAX_PACKET
from node.esp.ip import Echo, pack_echo, pack_udp, read_echo, read_udp, unpack
from node.esp.packet import trailer
from node.esp.sad import Sad
from node.esp.segment import SuperPacket
from node.esp.tunnel import Incoming, Outgoing, Refused, Tunnel
from node.model.child import ChildSa, FarView, Mode, Padding
from tests.unit.esp import batches
from tests.unit.esp.support import (
    GCM,
    LOCAL,
    OURS,
    PEER,
    SUITES,
    THEIRS,
    Octets,
    child,
    end,
    esp,
    ipv4,
    ipv6,
    mirrored,
    selectors,
    sum16,
    udp,
    unseal,
)

HERE, THERE = ip_address(LOCAL), ip_address(PEER)
#: The hosts of `child()`, as what it receives goes.
HOSTS = Hosts(THERE, HERE)


def transport(**changes: object) -> ChildSa:
    return replace(child(), mode=Mode.TRANSPORT, **changes)  # type: ignore[arg-type]


def theirs(one: ChildSa, far: FarView | None = None) -> ChildSa:
    """The peer's side of it."""
    return replace(mirrored(one), mode=one.mode, padding=one.padding, far=far)


def carried(packet: bytes, one: ChildSa, other: ChildSa) -> Incoming | Refused:
    out = end(one).tunnel.encapsulate(packet)
    assert isinstance(out, Outgoing)
    return end(other).tunnel.decapsulate(out.datagram)


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_the_octets_are_those_of_the_rfc(suite: object) -> None:
    """RFC 4303 3.1.1: what follows the IP header, and its protocol as next header."""
    one = replace(child(suite), mode=Mode.TRANSPORT)  # type: ignore[arg-type]
    for size in range(18):
        body = udp(bytes(range(size)))
        out = end(one).tunnel.encapsulate(ipv4(LOCAL, PEER, body))
        assert isinstance(out, Outgoing)
        plain = unseal(one.suite, one.outbound, out.datagram)
        assert plain[: len(body)] == body
        padding = plain[len(body) : -2]
        assert padding == bytes(range(1, len(padding) + 1))
        assert (plain[-2], plain[-1]) == (len(padding), 17)
        assert len(padding) < 16


def test_what_leaves_arrives_between_the_same_hosts() -> None:
    one = transport()
    for packet in (
        pack_udp(HERE, THERE, 4000, 5000, b"hello"),
        pack_echo(HERE, THERE, Echo(True, 7, 1, b"x" * 57)),
    ):
        found = carried(packet, one, theirs(one))
        assert isinstance(found, Incoming)
        assert found.packet == packet
        assert sum16(found.packet[:20]) == 0


def test_ipv6_hosts() -> None:
    here, there = ip_address("2001:db8::1"), ip_address("2001:db8::2")
    one = transport(local=selectors("2001:db8::1"), peer=selectors("2001:db8::2"))
    packet = pack_udp(here, there, 4000, 5000, b"hello")
    found = carried(packet, one, theirs(one))
    assert isinstance(found, Incoming)
    assert found.packet == packet


def test_checksums_are_right_behind_a_nat() -> None:
    """RFC 3948 3.1.2: the sender's is over its own addresses; here each end sees others."""
    seen = (ip_address("203.0.113.9"), ip_address("203.0.113.77"))
    one = transport(peer=selectors("203.0.113.77"), far=FarView(ip_address("192.0.2.9"), seen[0]))
    other = replace(
        theirs(one),
        local=selectors("192.0.2.9"),
        peer=selectors("203.0.113.9"),
        far=FarView(HERE, seen[1]),
    )
    found = carried(pack_udp(HERE, seen[1], 4000, 5000, b"hello"), one, other)
    assert isinstance(found, Incoming)
    whole = unpack(found.packet)
    assert whole is not None
    assert (str(whole.source), str(whole.destination)) == ("203.0.113.9", "192.0.2.9")
    datagram = read_udp(whole)
    assert datagram is not None
    assert datagram.payload == b"hello"
    back = carried(pack_udp(ip_address("192.0.2.9"), seen[0], 5000, 4000, b"back"), other, one)
    assert isinstance(back, Incoming)
    whole = unpack(back.packet)
    assert whole is not None
    assert read_udp(whole) is not None


TCP_SEGMENT = struct.pack("!HHIIBBHHH", 80, 4000, 1, 2, 0x50, 0x10, 512, 0, 0) + b"octets"
OTHER = Hosts(ip_address("198.51.100.200"), ip_address("10.255.0.254"))


def summed(protocol: int, at: int, body: bytes, hosts: Hosts) -> bytes:
    """The body with its checksum, word by word."""
    pseudo = hosts.source.packed + hosts.destination.packed + struct.pack("!II", len(body), protocol)
    clean = body[:at] + b"\0\0" + body[at + 2 :]
    return body[:at] + (sum16(pseudo + clean) or 65535).to_bytes(2) + body[at + 2 :]


@given(st.binary(max_size=40), st.sampled_from([(6, 16), (17, 6), (136, 6)]))
def test_a_mended_checksum_is_the_one_that_is_computed(octets: bytes, kind: tuple[int, int]) -> None:
    protocol, at = kind
    body = TCP_SEGMENT + octets if protocol == 6 else udp(octets)
    mended = mend(protocol, summed(protocol, at, body, HOSTS), HOSTS, OTHER)
    pseudo = OTHER.source.packed + OTHER.destination.packed + struct.pack("!II", len(body), protocol)
    assert sum16(pseudo + mended) == 0
    assert mended[:at] + mended[at + 2 :] == body[:at] + body[at + 2 :]


def test_a_wrong_checksum_stays_wrong() -> None:
    right = summed(17, 6, udp(b"hello"), HOSTS)
    wrong = right[:-1] + bytes([right[-1] ^ 1])
    pseudo = OTHER.source.packed + OTHER.destination.packed + struct.pack("!II", len(right), 17)
    assert sum16(pseudo + mend(17, wrong, HOSTS, OTHER)) != 0


@pytest.mark.parametrize(
    ("protocol", "payload"), [(17, udp(b"no checksum")), (6, b"short"), (1, b"\x08\0\x12\x34"), (47, b"gre")]
)
def test_what_has_no_checksum_over_addresses_is_left_alone(protocol: int, payload: bytes) -> None:
    assert mend(protocol, payload, HOSTS, OTHER) == payload


@pytest.mark.parametrize(
    ("packet", "word"),
    [
        (ipv4(LOCAL, PEER, udp(b"x"), fragment=0x2000), "fragment"),
        (ipv4(LOCAL, PEER, udp(b"x"), fragment=3), "fragment"),
        (ipv4(LOCAL, PEER, udp(b"x"), options=b"\1\1\1\1"), "options"),
        (ipv4(LOCAL, PEER, b"x", 59), "dummy"),
        (ipv6(bytes(16), bytes(16), bytes(8), 44), "fragment"),
    ],
)
def test_what_transport_mode_does_not_carry(packet: bytes, word: str) -> None:
    with pytest.raises(DecodeError, match=word):
        load(packet, MAX_PACKET, 4)


def test_a_fragment_is_dropped_before_anything_is_sent() -> None:
    ours = end(transport())
    found = ours.tunnel.encapsulate(ipv4(LOCAL, PEER, udp(b"x"), fragment=0x2000))
    assert isinstance(found, Refused)
    assert found.reason is DropReason.INNER_MALFORMED
    (status,) = ours.sad.query()
    assert (status.outbound_packets, status.mode) == (0, "transport")


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (b"", DropReason.ESP_BAD_PADDING),
        (b"\0", DropReason.ESP_BAD_PADDING),
        (b"\1\2\3\x04\x11", DropReason.ESP_BAD_PADDING),
        (b"abcd\2\1\2\x11", DropReason.ESP_BAD_PADDING),
        (b"abcd\1\2\3\x05\x11", DropReason.ESP_BAD_PADDING),
        (b"anything\x09\x3b", DropReason.ESP_DUMMY),
    ],
)
def test_what_is_no_plaintext_of_transport_mode(plain: bytes, reason: DropReason) -> None:
    assert unload(plain, HOSTS) is reason


@given(st.binary(max_size=300))
def test_any_octets_are_a_packet_or_a_reason(plain: bytes) -> None:
    found = unload(plain, HOSTS)
    if isinstance(found, bytes):
        assert found[12:20] == HOSTS.source.packed + HOSTS.destination.packed
        assert int.from_bytes(found[2:4]) == len(found)


def test_selectors_of_ports_are_judged_on_the_packet_that_was_made() -> None:
    alone = tuple(replace(s, protocol=17, start_port=5000, end_port=5000) for s in selectors(LOCAL))
    ours = end(transport(local=alone))
    for number, (port, taken) in enumerate(((5000, True), (5001, False)), 1):
        plain = load(ipv4(PEER, LOCAL, udp(b"x", destination_port=port)), MAX_PACKET, 16)
        found = ours.tunnel.decapsulate(esp(child().suite, child().inbound, OURS, number, plain))
        assert isinstance(found, Incoming) is taken
        assert taken or isinstance(found, Refused)


@pytest.mark.parametrize("networks", [("10.0.0.0/24",), (LOCAL, "10.0.0.9"), ("2001:db8::1",)])
def test_transport_mode_is_between_two_hosts(networks: tuple[str, ...]) -> None:
    sad = Sad(Octets())
    for add in (sad.add_inbound, sad.add_outbound):
        with pytest.raises(LocalMisuse, match="two hosts"):
            add(transport(local=selectors(*networks)))
    assert len(sad) == 0


def test_lengths() -> None:
    table = {(28, 0): 28, (28, 128): 128, (128, 128): 128, (129, 128): 256}
    table |= {(1399, 512): 1400, (1400, 512): 1400}
    assert {(size, m): padded(size, Padding(m, 1400), MAX_PACKET) for size, m in table} == table
    assert padded(1500, Padding(512, 1400), MAX_PACKET) == 1500
    assert padded(900, Padding(512, 1400), 1000) == 1000
    assert padded(1100, Padding(512, 1400), 1000) == 1100


@given(st.integers(20, 1600), st.integers(0, 1500), st.integers(576, 1500))
def test_a_padded_length_is_a_multiple_or_all_that_fits(size: int, multiple: int, most: int) -> None:
    found = padded(size, Padding(multiple, most), MAX_PACKET)
    assert found >= size
    assert found <= max(size, most)
    assert found in (size, most) or found % multiple == 0


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_padded_packets_have_one_length_and_arrive_as_they_were(suite: object) -> None:
    one = replace(child(suite), padding=Padding(256, 1400))  # type: ignore[arg-type]
    ours, peers = end(one), end(mirrored(one))
    sizes = set()
    for size in (0, 1, 17, 100, 200):
        packet = ipv4(LOCAL, PEER, udp(bytes(size)))
        out = ours.tunnel.encapsulate(packet)
        assert isinstance(out, Outgoing)
        sizes.add(len(out.datagram))
        found = peers.tunnel.decapsulate(out.datagram)
        assert isinstance(found, Incoming)
        assert found.packet == packet
    assert len(sizes) == 1
    (status,) = ours.sad.query()
    assert status.outbound_octets == sum(28 + size for size in (0, 1, 17, 100, 200))


def test_the_padding_is_zeros_behind_the_packet() -> None:
    packet = ipv4(LOCAL, PEER, udp(b"x"))
    plain = pad(packet, MAX_PACKET, Padding(64, 1400), 4)
    assert plain == packet + bytes(64 - len(packet)) + b"\1\2\2\4"
    six = ipv6(bytes(15) + b"\1", bytes(15) + b"\2", udp(b"x"))
    assert pad(six, MAX_PACKET, Padding(64, 1400), 4)[-1] == 41


@pytest.mark.parametrize("mode", Mode)
def test_a_dummy_is_verified_counted_and_dropped(mode: Mode) -> None:
    one = replace(child(), mode=mode)
    ours, peers = end(one), end(theirs(one))
    entropy, sizes, last = Octets(), set(), b""
    (sa,) = ours.sad.sending()
    for number in range(1, 30):
        out = ours.tunnel.dummy(sa, dummy(sa.padding, sa.width, sa.mask + 1, entropy))
        assert out is not None
        assert out.sequence == number
        last = out.datagram
        sizes.add(len(last))
        found = peers.tunnel.decapsulate(last)
        assert isinstance(found, Refused)
        assert found.reason is DropReason.ESP_DUMMY
        assert peers.tunnel.decapsulate(out.datagram) != found
    (sent,), (status,) = ours.sad.query(), peers.sad.query()
    assert (sent.outbound_packets, sent.outbound_octets) == (29, 0)
    assert (status.inbound_packets, status.dropped) == (0, {"esp_dummy": 29, "esp_replayed": 29})
    assert len(sizes) > 5
    assert max(sizes) <= 1400 + 8 + 16 + 18 + 16
    forged = bytearray(last)
    forged[5] ^= 1
    assert isinstance(peers.tunnel.decapsulate(bytes(forged)), Refused)
    assert peers.sad.dropped[DropReason.ESP_DUMMY] == 29


def test_a_dummy_is_no_sign_of_life() -> None:
    """`Sad.newest` is what liveness looks at: it stands still while only dummies come."""
    one = transport()
    ours, peers = end(one), end(theirs(one))
    (sa,) = ours.sad.sending()

    def come(dummies: int) -> int:
        for _ in range(dummies):
            out = ours.tunnel.dummy(sa, dummy(sa.padding, sa.width, 16, Octets()))
            assert out is not None
            peers.tunnel.decapsulate(out.datagram)
        return peers.sad.newest(THEIRS)

    assert come(3) == 0
    sent = ours.tunnel.encapsulate(ipv4(LOCAL, PEER, udp(b"x")))
    assert isinstance(sent, Outgoing)
    assert isinstance(peers.tunnel.decapsulate(sent.datagram), Incoming)
    assert come(2) == 4


def test_dummies_end_with_the_sequence_numbers() -> None:
    ours = end(child(), max_packets=3)
    (sa,) = ours.sad.sending()
    made = [ours.tunnel.dummy(sa, dummy(sa.padding, sa.width, 16, Octets())) for _ in range(5)]
    assert [out is None for out in made] == [False, False, False, True, True]


def test_dummies_have_the_lengths_of_padded_packets() -> None:
    lengths = {len(dummy(Padding(512, 1400), MAX_PACKET, 4, Octets(seed))) for seed in range(60)}
    assert lengths == {512 + 4, 1024 + 4, 1400 + 4}


@pytest.mark.parametrize("changes", [{"mode": Mode.TRANSPORT}, {"padding": Padding(1024, 1400)}])
def test_super_packets_go_one_by_one_with_the_same_octets(changes: dict[str, object]) -> None:
    """What is no batch is left to the tunnel; a receiver gets the same packets."""
    one = replace(child(GCM), **changes)  # type: ignore[arg-type]
    packet = batches.tcp(bytes(2500))
    ours, single = end(one), end(one)
    bulk = Bulk(ours.sad, ours.tunnel)
    results = list(bulk.encapsulate(memoryview(packet), batches.offload(packet, 1000)))
    assert [type(result) for result in results] == [Outgoing] * 3
    segments = [SuperPacket(memoryview(packet), batches.offload(packet, 1000))[n] for n in range(3)]
    peers, seen = end(theirs(one)), []
    for result, segment in zip(results, segments, strict=True):
        alone = single.tunnel.encapsulate(segment)
        assert isinstance(result, Outgoing)
        assert isinstance(alone, Outgoing)
        plain = unseal(one.suite, one.outbound, result.datagram)
        assert plain == unseal(one.suite, one.outbound, alone.datagram)
        found = peers.tunnel.decapsulate(result.datagram)
        assert isinstance(found, Incoming)
        seen.append(found.packet[20:])
    assert seen == [segment[20:] for segment in segments]


def test_a_host_on_loopback_answers_where_it_may() -> None:
    here, there = ip_address("127.0.0.1"), ip_address("127.0.0.2")
    with pytest.raises(LocalMisuse, match="one host"):
        Host([here], 7)
    asked = Host([there], 7, loopback=True).ping(1, here)
    (answer,) = Host([here], 8, loopback=True).receive(asked)
    whole = unpack(answer.packet)  # type: ignore[union-attr]
    assert whole is not None
    assert read_echo(whole) is not None


def test_the_tunnel_is_the_same_object_for_both() -> None:
    """One SAD may hold both modes: the selectors choose."""
    one, other = transport(), replace(child(inbound=b"\xc0\0\0\2"), local=selectors("10.0.1.0/24"))
    sad = Sad(Octets())
    for each in (one, other):
        sad.add_inbound(each)
        sad.add_outbound(each)
    tunnel = Tunnel(sad)
    first = tunnel.encapsulate(ipv4(LOCAL, PEER, udp(b"x")))
    second = tunnel.encapsulate(ipv4("10.0.1.5", PEER, udp(b"x")))
    assert isinstance(first, Outgoing)
    assert isinstance(second, Outgoing)
    assert unseal(one.suite, one.outbound, first.datagram)[-1] == 17
    assert unseal(other.suite, other.outbound, second.datagram)[-1] == 4
    assert [status.mode for status in sad.query()] == ["transport", "tunnel"]


def test_padded_packets_and_dummies_that_come_together() -> None:
    """A batch of one size: packets lose their padding, dummies are dropped, all are counted."""
    one = replace(child(GCM), padding=Padding(512, 1400))
    ours = end(one)
    peer = end(mirrored(one))
    peers = batches.BulkEnd(peer, Bulk(peer.sad, peer.tunnel))
    packets = [batches.finished(batches.tcp(bytes(size), sequence=size)) for size in (10, 200, 300)]
    (sa,) = ours.sad.sending()
    arriving = []
    for packet in packets:
        out = ours.tunnel.encapsulate(packet)
        assert isinstance(out, Outgoing)
        arriving.append(out.datagram)
    nothing = ours.tunnel.dummy(sa, bytes(512) + trailer(512, sa.mask + 1, 59))
    assert nothing is not None
    arriving.insert(3, nothing.datagram)
    assert len({len(datagram) for datagram in arriving}) == 1
    found = batches.received(peers, arriving)
    assert [one.packet for one in found if isinstance(one, Incoming)] == packets
    assert [one.reason for one in found if isinstance(one, Refused)] == [DropReason.ESP_DUMMY]
    (status,) = peer.sad.query()
    assert (status.inbound_packets, status.inbound_batched, status.dropped) == (3, 4, {"esp_dummy": 1})
    assert peer.sad.newest(THEIRS) == 3
