"""Batches give what the tunnel gives packet by packet, whatever is lost, doubled, late or forged."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import DropReason
from node.esp.bulk import Burst
from node.esp.coalesce import Joined, tcp_layout
from node.esp.replay import SUBSPACE
from node.esp.sad import Sad
from node.esp.tunnel import Incoming, Outgoing, Refused
from node.model.child import ChildSa
from node.model.proposal import Suite
from node.model.registry import EncrId
from tests.unit.esp.batches import (
    ACK,
    FIN,
    PSH,
    BulkEnd,
    bulk_pair,
    datagrams,
    finished,
    offload,
    received,
    right,
    tcp,
    udp,
    whole,
)
from tests.unit.esp.support import (
    CBC,
    GCM,
    LOCAL,
    OURS,
    PEER,
    SUITES,
    THEIRS,
    child,
    end,
    esp,
    hello,
    mirrored,
    pad,
    pair,
    selectors,
    suite,
)

pytestmark = pytest.mark.usefixtures("loops")

ESN = suite(EncrId.ENCR_AES_GCM_16, 256, esn=True)
ALL = (*SUITES, ESN)


def both(chosen: Suite, window: int = 64) -> ChildSa:
    """A Child SA for either family."""
    local, peer = selectors(LOCAL, "fd00::1"), selectors(PEER, "fd00::2")
    return child(chosen, window=window, local=local, peer=peer)


def window(one: BulkEnd, spi: bytes = THEIRS) -> int:
    return one.end.sad.by_spi[int.from_bytes(spi)].window.top


@pytest.mark.parametrize("chosen", ALL, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    version=st.sampled_from([4, 6]),
    data=st.binary(min_size=1, max_size=20_000),
    segment=st.integers(200, 1400),
    stream=st.booleans(),
)
def test_what_leaves_in_a_batch_arrives_one_by_one(
    chosen: Suite, version: int, data: bytes, segment: int, stream: bool
) -> None:
    ours, peers = bulk_pair(both(chosen))
    packet = tcp(data, version=version) if stream else udp(data, version=version)
    sent = datagrams(ours, packet, segment)
    assert len(sent) == -(-len(data) // segment)
    results = [peers.end.tunnel.decapsulate(one) for one in sent]
    found = [one.packet for one in results if isinstance(one, Incoming)]
    assert len(found) == len(sent)
    assert all(right(one) for one in found)
    header = len(found[0]) - len(data[:segment])
    assert b"".join(one[header:] for one in found) == data
    (status,) = ours.end.sad.query()
    assert (status.outbound_packets, status.outbound_octets) == (len(sent), sum(map(len, found)))


@pytest.mark.parametrize("chosen", ALL, ids=str)
@settings(max_examples=12, deadline=None)
@given(
    version=st.sampled_from([4, 6]),
    count=st.integers(2, 40),
    flags=st.sampled_from([ACK, ACK | PSH, ACK | PSH | FIN]),
    sequence=st.sampled_from([1, 0xFFFFF000]),
    options=st.sampled_from([b"", b"\1" * 12]),
)
def test_joining_undoes_cutting(
    chosen: Suite, version: int, count: int, flags: int, sequence: int, options: bytes
) -> None:
    ours, peers = bulk_pair(both(chosen))
    data = bytes(n % 251 for n in range(count * 1000))
    packet = tcp(data, version=version, flags=flags, sequence=sequence, options=options)
    assert received(peers, datagrams(ours, packet, 1000)) == [packet]
    (status,) = peers.end.sad.query()
    assert (status.inbound_packets, status.inbound_batches, status.inbound_batched) == (count, 1, count)


def arrivals(draw: st.DrawFn) -> list[tuple[int, str]]:
    """Numbers of packets in the order they arrive, and what became of each on the way."""
    count = draw(st.integers(2, 24))
    order = draw(st.one_of(st.just(list(range(count))), st.permutations(range(count))))
    lost = draw(st.sets(st.integers(0, count - 1), max_size=count // 3))
    again = draw(st.lists(st.integers(0, count - 1), max_size=3))
    for number in again:
        order.insert(draw(st.integers(0, len(order))), number)
    bad = draw(st.sets(st.integers(0, count - 1), max_size=2))
    harm = draw(st.sampled_from(["icv", "sequence", "spi", "header"]))
    return [(n, harm if n in bad else "") for n in order if n not in lost]


@pytest.mark.parametrize("chosen", ALL, ids=str)
@settings(max_examples=25, deadline=None)
@given(st.composite(arrivals)(), st.integers(1, 9), st.booleans())
def test_whatever_arrives_the_results_are_the_tunnels(
    chosen: Suite, arriving: list[tuple[int, str]], size: int, twice: bool
) -> None:
    one = both(chosen, 32)
    ours, bulky = bulk_pair(one)
    plainly = end(mirrored(one))
    packets = [finished(tcp(bytes(300), sequence=1000 + 300 * n, number=n)) for n in range(24)]
    made = [ours.end.tunnel.encapsulate(packet) for packet in packets]
    sent = [m.datagram for m in made if isinstance(m, Outgoing)]
    coming = [harmed(sent[number], harm) for number, harm in arriving] * (1 + twice)
    for first in range(0, len(coming), size):
        together = coming[first : first + size]
        expected = [plainly.tunnel.decapsulate(datagram) for datagram in together]
        found = received(bulky, together)
        refused = [r for r in expected if isinstance(r, Refused)]
        assert [r for r in found if isinstance(r, Refused)] == refused
        assert carried(found) == carried(list(expected))
        assert window(bulky) == plainly.sad.by_spi[int.from_bytes(THEIRS)].window.top
    assert bulky.end.sad.dropped == plainly.sad.dropped
    (mine,), (other,) = bulky.end.sad.query(), plainly.sad.query()
    assert dataclasses.replace(mine, inbound_batches=0, inbound_batched=0) == other


def harmed(datagram: bytes, harm: str) -> bytes:
    """A datagram as it looks after an attack."""
    if harm == "icv":
        return datagram[:-1] + bytes([datagram[-1] ^ 1])
    if harm == "sequence":
        return datagram[:4] + b"\x7f\xff\xff\xff" + datagram[8:]
    if harm == "spi":
        return b"\xee" + datagram[1:]
    return datagram[:12] + bytes([datagram[12] ^ 0x80]) + datagram[13:] if harm else datagram


def carried(results: list[Incoming | Refused | Joined | bytes]) -> list[tuple[int, bytes]]:
    """TCP sequence numbers and data, octet by octet where packets were joined."""
    found = []
    for one in results:
        packet = one if isinstance(one, bytes) else one.packet if isinstance(one, Incoming) else b""
        for at in range(40, len(packet), 300):
            found.append((int.from_bytes(packet[24:28]) + at - 40, packet[at : at + 300]))
    return found


def test_one_bad_packet_of_a_batch_is_lost_and_no_other() -> None:
    ours, peers = bulk_pair(child(GCM))
    sent = datagrams(ours, tcp(bytes(10_000)), 1000)
    sent[4] = harmed(sent[4], "icv")
    results = received(peers, sent)
    assert [getattr(r, "reason", None) for r in results] == [None] * 4 + [DropReason.ESP_BAD_ICV] + [None] * 5


def test_a_forged_high_number_in_a_batch_moves_nothing() -> None:
    ours, peers = bulk_pair(child(GCM))
    sent = datagrams(ours, tcp(bytes(10_000)), 1000)
    received(peers, [*sent[:9], harmed(sent[9], "sequence")])
    assert window(peers) == 9


def test_a_batch_that_came_is_not_taken_again() -> None:
    ours, peers = bulk_pair(child(GCM))
    sent = datagrams(ours, tcp(bytes(10_000)), 1000)
    assert len(received(peers, sent)) == 1
    results = received(peers, sent)
    assert all(isinstance(r, Refused) and r.reason is DropReason.ESP_REPLAYED for r in results)


# of five segments: what is done to the third, and the runs that are left
CHANGES = [
    ("nothing", {}, [5]),
    ("another acknowledgement", {"ack": 2001}, [2, 1, 2]),
    ("a gap", {"sequence": 9_000}, [2, 1, 2]),
    ("PSH in the middle", {"flags": ACK | PSH}, [3, 2]),
    ("FIN in the middle", {"flags": ACK | FIN}, [3, 2]),
    ("SYN", {"flags": ACK | 2}, [2, 1, 2]),
    ("URG", {"flags": ACK | 0x20}, [2, 1, 2]),
    ("CWR", {"flags": ACK | 0x80}, [2, 1, 2]),
    ("ECE", {"flags": ACK | 0x40}, [2, 1, 2]),
    ("no DF", {"fragment": 0}, [2, 1, 2]),
    ("a fragment", {"fragment": 0x2000}, [2, 1, 2]),
    ("options of another kind", {"options": b"\1\1\1\1"}, [2, 1, 2]),
]


def runs(packets: list[bytes]) -> list[int]:
    """How many packets are joined to one, by batch."""
    ours, peers = bulk_pair(child(GCM))
    made = [ours.end.tunnel.encapsulate(packet) for packet in packets]
    results = received(peers, [m.datagram for m in made if isinstance(m, Outgoing)])
    sizes = [(len(r) - 40) // 300 if isinstance(r, bytes) else 1 for r in results]
    assert not any(isinstance(r, Refused) for r in results)
    unjoined = b"".join(r.packet for r in results if isinstance(r, Incoming))
    assert all(p in unjoined for p in packets if not right(p)), "what is wrong goes on as it came"
    return sizes


@pytest.mark.parametrize(("change", "expected"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_only_what_belongs_together_is_joined(change: dict[str, object], expected: list[int]) -> None:
    packets = []
    for n in range(5):
        size = 300 if n != 2 or "options" not in change else 296
        usual: dict[str, object] = {"sequence": 1000 + 300 * n, "number": n}
        packets.append(finished(tcp(bytes(size), **{**usual, **(change if n == 2 else {})})))  # type: ignore[arg-type]
    assert runs(packets) == expected


@pytest.mark.parametrize("place", [40, 339, 10, 36, 22])
def test_a_wrong_checksum_does_not_become_right_by_joining(place: int) -> None:
    packets = [finished(tcp(bytes(300), sequence=1000 + 300 * n, number=n)) for n in range(5)]
    packets[2] = packets[2][:place] + bytes([packets[2][place] ^ 1]) + packets[2][place + 1 :]
    assert runs(packets) == [2, 1, 2]


def test_identification_without_df_must_count_up() -> None:
    packets = [finished(tcp(bytes(300), sequence=1000 + 300 * n, number=n, fragment=0)) for n in range(5)]
    assert runs(packets) == [5]
    packets[2] = finished(tcp(bytes(300), sequence=1600, number=77, fragment=0))
    assert runs(packets) == [2, 1, 2]


@pytest.mark.parametrize("limit", [1, 8, 44, 45, 46, 50, 100])
def test_a_batch_stops_where_the_sa_does(limit: int) -> None:
    one = child(GCM)
    ours, _ = bulk_pair(one)
    bounded = end(one, max_packets=limit)
    singly = end(one, max_packets=limit)
    bulk = type(ours.bulk)(bounded.sad, bounded.tunnel)
    packet = tcp(bytes(60_000), flags=ACK | PSH)
    sent, refused = 0, []
    for result in bulk.encapsulate(memoryview(packet), offload(packet, 1000)):
        if isinstance(result, Burst):
            sent += result.packets
        elif isinstance(result, Outgoing):
            sent += 1
        else:
            refused.append(result)
    packets = [hello(LOCAL, PEER)] * 60
    expected = [singly.tunnel.encapsulate(p) for p in packets]
    assert sent == sum(isinstance(r, Outgoing) for r in expected) == min(limit, 60)
    assert refused == [r for r in expected if isinstance(r, Refused)]
    assert bounded.sad.notices() == singly.sad.notices()
    assert bounded.sad.dropped == singly.sad.dropped


def test_without_an_sa_every_segment_is_refused() -> None:
    sad = Sad(lambda size: bytes(size))
    ours, _ = bulk_pair(child(GCM))
    bulk = type(ours.bulk)(sad, type(ours.end.tunnel)(sad))
    packet = tcp(bytes(5000))
    results = list(bulk.encapsulate(memoryview(packet), offload(packet, 1000)))
    assert [getattr(r, "reason", None) for r in results] == [DropReason.NO_SA] * 5


def test_extended_numbers_across_the_boundary() -> None:
    ours, peers = bulk_pair(child(ESN))
    (sa,) = ours.end.sad.spd.candidates(tcp(b"x")[12:20])
    sa.sequence = SUBSPACE - 6
    peers.end.sad.by_spi[int.from_bytes(THEIRS)].window.mark(SUBSPACE - 6)
    packet = tcp(bytes(10_000))
    assert received(peers, datagrams(ours, packet, 1000)) == [packet]
    assert window(peers) == SUBSPACE + 4


def test_numbers_end_where_they_end() -> None:
    """Authenticated numbers at the very end are refused or taken, and nothing is raised."""
    _, peers = bulk_pair(child(ESN))
    sa = peers.end.sad.by_spi[int.from_bytes(THEIRS)]
    sa.window.mark((1 << 64) - 3)
    made = [THEIRS + low.to_bytes(4) + bytes(28) for low in (0xFFFFFFFE, 0xFFFFFFFF, 0, 1)]
    reasons = [getattr(r, "reason", None) for r in received(peers, made)]
    assert reasons == [DropReason.ESP_BAD_ICV] * 2 + [DropReason.ESP_STALE] * 2


@pytest.mark.parametrize("next_header", [4, 41, 59, 17])
@pytest.mark.parametrize("chosen", [GCM, CBC], ids=str)
def test_trailers_in_a_batch_are_judged_one_by_one(chosen: Suite, next_header: int) -> None:
    one = child(chosen)
    ours, _ = bulk_pair(mirrored(one))
    align = 16 if chosen is CBC else 4
    plains = [pad(hello(), 4, align), pad(hello(), next_header, align), pad(hello(), 4, align)]
    plainly, _ = pair(one)
    made = [esp(chosen, one.inbound, OURS, n + 1, plain, n) for n, plain in enumerate(plains)]
    bulky = BulkEnd(end(one), ours.bulk)
    bulky = BulkEnd(bulky.end, type(ours.bulk)(bulky.end.sad, bulky.end.tunnel))
    assert received(bulky, made) == [plainly.tunnel.decapsulate(datagram) for datagram in made]


def test_a_packet_that_follows_is_joined_to_a_batch() -> None:
    ours, peers = bulk_pair(child(GCM))
    packet = tcp(bytes(5_100), flags=ACK | PSH)
    *full, last = datagrams(ours, packet, 1000)
    octets = b"".join(full)
    peers.bulk.inbox[: len(octets)] = octets
    opened = peers.bulk.decapsulate(len(full), len(full[0]))
    tail = peers.end.tunnel.decapsulate(last)
    assert opened is not None
    assert isinstance(tail, Incoming)
    (joined,) = opened.contents
    assert isinstance(joined, Joined)
    layout = tcp_layout(tail.packet)
    assert layout is not None
    assert joined.add(tail.packet, layout)
    assert not joined.add(tail.packet, layout), "PSH ends it"
    assert whole(joined) == packet
