"""A data path over a way that is narrow, grows narrower, and is forgotten: nothing vanishes in it.

Also DSCP and ECN, from one data path to another.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.daemon import dataplane, narrow
from node.daemon.dataplane import DataPlane
from node.errors import DropReason
from node.esp import tos
from node.esp.coalesce import Joined
from node.esp.pathmtu import OUTER
from node.esp.tos import CopyDscp
from node.esp.vnet import Gso, Offload
from node.esp.widths import LIFE, Change
from node.eventlog import EventLog
from node.model.message import Path
from node.prose import Palette
from tests.unit.esp.batches import offload, right, tcp, whole
from tests.unit.esp.support import (
    CBC,
    GCM,
    LOCAL,
    OURS,
    PATH,
    PEER,
    Octets,
    child,
    ipv4,
    ipv6,
    mirrored,
    selectors,
    sum16,
)

LOCAL6, PEER6 = bytes.fromhex("fd01" + "00" * 13 + "01"), bytes.fromhex("fd02" + "00" * 13 + "02")
DF, MORE = 0x4000, 0x2000


class Way:
    """A kernel and the way behind it: what is larger than `mtu` is refused, as with DF set."""

    def __init__(self, mtu: int) -> None:
        self.mtu, self.refused, self.asked = mtu, False, 0
        self.sent: list[tuple[bytes, int]] = []
        self.pieces = 0

    def send(self, datagram: bytes | memoryview, path: Path, tos: int) -> bool:
        if len(datagram) + OUTER[4] > self.mtu:
            self.refused = True
            return False
        self.sent.append((bytes(datagram), tos))
        return True

    def send_many(self, parts: Sequence[bytes | memoryview], size: int, path: Path, tos: int) -> bool:
        ones = [memoryview(part)[at : at + size] for part in parts for at in range(0, len(part), size)]
        return all([self.send(one, path, tos) for one in ones])

    def send_pieces(self, datagram: bytes, path: Path, tos: int) -> bool:
        self.pieces += 1
        self.sent.append((datagram, tos))
        return True

    def path_mtu(self, path: Path) -> int:
        self.asked += 1
        return self.mtu

    def narrowed(self, path: Path) -> int:
        refused, self.refused = self.refused, False
        return self.mtu if refused else 0


class Pair:
    """Our data path, the way, and the peer's data path."""

    def __init__(self, mtu: int = 1500, *, copy: CopyDscp = CopyDscp.OUT) -> None:
        self.lines: list[dict[str, Any]] = []
        self.log = EventLog("n", lambda line: self.lines.append(json.loads(line)), None, Palette(False))
        self.way = Way(mtu)
        local, peer = selectors(LOCAL, "fd01::/64"), selectors(PEER, "fd02::/64")
        one = child(GCM, local=local, peer=peer)
        self.ours = DataPlane(self.way, self.log, Octets(3), copy_dscp=copy)
        self.theirs = DataPlane(Way(1500), self.log, Octets(4), copy_dscp=copy)
        for plane, side in ((self.ours, one), (self.theirs, mirrored(one))):
            plane.add_inbound(side)
            plane.add_outbound(side)
        self.told: list[bytes] = []
        self.arrived: list[bytes] = []
        self.joined: list[Joined] = []
        self.changes: list[Change] = []
        self.ours.tell = self.told.append
        self.ours.changed = self.changes.append
        self.theirs.deliver = lambda incoming, path: self.arrived.append(incoming.packet)
        self.theirs.deliver_joined = self.joined.append

    def carry(self, mark: int | None = None) -> None:
        """Let the peer have what was sent, with another outer TOS where one is given."""
        sent, self.way.sent = self.way.sent, []
        for datagram, octet in sent:
            self.theirs.datagram(datagram, PATH, octet if mark is None else mark)

    @property
    def status(self) -> Any:
        """Our Child SA."""
        return self.ours.query()[0]


def assembled(pieces: list[bytes]) -> bytes:
    """The IPv4 packet of these fragments, or the packet that there is."""
    if len(pieces) == 1:
        return pieces[0]
    assert all(sum16(piece[:20]) == 0 for piece in pieces)
    offsets = [(int.from_bytes(piece[6:8]) & 0x1FFF) * 8 for piece in pieces]
    body = b"".join(piece[20:] for piece in pieces)
    assert offsets == [sum(len(piece) - 20 for piece in pieces[:n]) for n in range(len(pieces))]
    last = [bool(int.from_bytes(piece[6:8]) & MORE) for piece in pieces]
    assert last == [True] * (len(pieces) - 1) + [False]
    header = pieces[0][:2] + (20 + len(body)).to_bytes(2) + pieces[0][4:6] + bytes(2) + pieces[0][8:10]
    header += bytes(2) + pieces[0][12:20]
    return header[:10] + sum16(header).to_bytes(2) + header[12:] + body


def packet_of(kind: str, size: int) -> bytes:
    if kind == "v6":
        return ipv6(LOCAL6, PEER6, bytes(n % 251 for n in range(size)))
    return ipv4(LOCAL, PEER, bytes(n % 251 for n in range(size)), fragment=DF if kind == "df" else 0)


@settings(deadline=None)
@given(
    mtus=st.lists(st.integers(576, 1500), min_size=1, max_size=3),
    packets=st.lists(
        st.tuples(st.sampled_from(["df", "free", "v6"]), st.integers(0, 3000)), min_size=1, max_size=6
    ),
    together=st.booleans(),
)
def test_any_packet_arrives_whole_or_is_told_of(
    mtus: list[int], packets: list[tuple[str, int]], together: bool
) -> None:
    pair = Pair(1500)
    for mtu in mtus:
        pair.way.mtu = mtu
        for kind, size in packets:
            packet = packet_of(kind, size)
            pair.arrived.clear()
            pair.told.clear()
            if together:
                pair.ours.gather(packet)
                pair.ours.flush()
            else:
                pair.ours.packet(packet)
            pair.carry()
            if pair.told:
                assert kind != "free"
                (told,) = pair.told
                shown = told[28:] if kind == "df" else told[48:]
                assert packet.startswith(shown)
                fits = int.from_bytes(told[26:28] if kind == "df" else told[44:48])
                assert fits == max(pair.status.inner_mtu, 68 if kind == "df" else 1280)
                assert len(packet) > fits
                assert not pair.arrived
            else:
                assert assembled(pair.arrived) == packet
    assert not pair.log.dropped.keys() - {DropReason.PACKET_TOO_BIG}


def test_what_was_gathered_before_the_way_was_known_to_be_narrow_still_arrives() -> None:
    pair = Pair(1500)
    pair.way.mtu = 1300
    packets = [packet_of("free", size) for size in (1350, 1350, 1350, 100)]
    for packet in packets:
        pair.ours.gather(packet)
    pair.ours.flush()
    pair.carry()
    assert pair.changes == [Change(PATH.peer_host, 1500, 1300)]
    assert len(pair.arrived) == 7
    assert pair.status.outbound_cut == 3
    assert pair.way.pieces == 0


def test_a_super_packet_is_cut_to_what_fits_and_its_segments_make_it_again() -> None:
    pair = Pair(1500)
    data = bytes(n % 251 for n in range(40_000))
    packet = tcp(data)
    header = len(packet) - len(data)
    for mtu in (1300, 700):
        pair.way.mtu = mtu
        pair.ours.super_packet(memoryview(bytearray(packet)), offload(packet, 1360))
        assert max(len(datagram) for datagram, _ in pair.way.sent) + OUTER[4] <= mtu
        pair.carry()
        found = list(pair.arrived)
        pair.arrived.clear()
        # Where the way proves narrow on the way, the end of the data may have left before the rest.
        stream, begin = bytearray(len(data)), int.from_bytes(packet[24:28])
        for one in found:
            at = int.from_bytes(one[24:28]) - begin
            stream[at : at + len(one) - header] = one[header:]
        assert stream == data
        assert sum(len(one) - header for one in found) < len(data) + 1360
        assert all(len(one) <= pair.status.inner_mtu for one in found)
        assert all(right(one) for one in found)
    assert pair.told == []
    assert pair.log.dropped == {}
    assert [change.now for change in pair.changes] == [1300, 700]


def test_no_more_is_believed_than_every_network_carries() -> None:
    pair = Pair(1500)
    pair.way.mtu = 300
    pair.ours.packet(packet_of("df", 1300))
    assert pair.changes == [Change(PATH.peer_host, 1500, 576)]
    assert pair.status.inner_mtu > 500
    assert len(pair.told) == 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the widths take for the time."""
    now = [1000.0]
    monkeypatch.setattr(
        dataplane, "Narrow", lambda kernel, sad, told: narrow.Narrow(kernel, sad, told, lambda: now[0])
    )
    return now


def test_a_narrow_way_is_asked_about_again_after_its_time_and_not_before(clock: list[float]) -> None:
    pair = Pair(1500)
    large = packet_of("df", 1300)
    pair.way.mtu = 1000
    pair.ours.packet(large)
    assert len(pair.told) == 1
    pair.way.mtu, asked = 1500, pair.way.asked
    clock[0] += LIFE - 1
    pair.ours.packet(large)
    assert (len(pair.told), pair.way.asked) == (2, asked)
    clock[0] += 1
    pair.ours.packet(large)
    assert (len(pair.told), pair.way.asked) == (2, asked + 1)
    assert [(change.before, change.now) for change in pair.changes] == [(1500, 1000), (1000, 1500)]
    pair.carry()
    assert pair.arrived == [large]


def test_a_liar_who_stays_makes_the_way_narrow_and_no_more_than_that(clock: list[float]) -> None:
    pair = Pair(1500)
    for _ in range(5):
        pair.way.mtu = 10
        pair.ours.packet(packet_of("df", 1300))
        clock[0] += LIFE
    assert pair.status.inner_mtu > 500
    pair.way.mtu = 1500
    pair.ours.packet(packet_of("df", 1300))
    pair.carry()
    assert len(pair.arrived) == 1


def test_a_child_sa_that_moves_asks_about_its_new_way() -> None:
    pair = Pair(1500)
    pair.way.mtu = 900
    pair.ours.move(OURS, Path("192.0.2.1", 4500, "203.0.113.9", 4500))
    assert 800 < pair.status.inner_mtu < 900
    assert pair.changes == []


# -- DSCP and ECN --------------------------------------------------------------------------------------------


def with_tos(octet: int, size: int = 40) -> bytes:
    made = ipv4(LOCAL, PEER, bytes(size))
    head = made[:1] + bytes([octet]) + made[2:10] + bytes(2) + made[12:20]
    return head[:10] + sum16(head).to_bytes(2) + head[12:] + made[20:]


@pytest.mark.parametrize(("copy", "bits"), [("out", 0xFF), ("both", 0xFF), ("in", 3), ("none", 3)])
@pytest.mark.parametrize("octet", [0, 1, 2, 3, 0xB8, 0xBA, 0xFF])
def test_what_leaves_is_marked_as_the_inner_packet_is(copy: str, bits: int, octet: int) -> None:
    pair = Pair(copy=CopyDscp(copy))
    pair.ours.packet(with_tos(octet))
    assert [found for _, found in pair.way.sent] == [octet & bits]


def test_packets_that_wait_for_each_other_have_one_mark() -> None:
    pair = Pair()
    marks = [0, 0, 0xB8, 0xB8, 2, 0]
    for octet in marks:
        pair.ours.gather(with_tos(octet))
    pair.ours.flush()
    assert [found for _, found in pair.way.sent] == marks


@pytest.mark.parametrize("copy", list(CopyDscp))
@pytest.mark.parametrize("inner", [0x00, 0x01, 0x02, 0x03, 0xB9, 0xBA])
@pytest.mark.parametrize("outer", [0x00, 0x01, 0x02, 0x03, 0x48, 0x4B])
def test_what_comes_hears_of_its_way(copy: CopyDscp, inner: int, outer: int) -> None:
    pair = Pair(copy=copy)
    packet = with_tos(inner)
    pair.ours.packet(packet)
    pair.carry(outer)
    expected = tos.arrived(packet, outer, copy.taken)
    assert pair.arrived == ([] if expected is None else [expected])
    (status,) = pair.theirs.query()
    if expected is None:
        assert pair.log.dropped == status.dropped == {"esp_bad_ecn": 1}
        assert pair.lines[-1]["reason"] == "esp_bad_ecn"
    else:
        assert sum16(expected[:20]) == 0
        assert status.inbound_marked == (expected != packet)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("inner", "outer", "left"), [(2, 3, 3), (2, 1, 1), (1, 3, 3), (2, 2, 2), (0, 3, None)]
)
def test_a_batch_hears_of_its_way_as_single_packets_do(
    version: int, inner: int, outer: int, left: int | None
) -> None:
    pair = Pair()
    segments = bytearray(tcp(bytes(n % 251 for n in range(10_000)), version=version))
    if version == 4:
        segments[1] = inner
    else:
        segments[1] |= inner << 4
    packet = bytes(segments)
    peer = DataPlane(Way(1500), pair.log, Octets(5))
    ours = DataPlane(pair.way, pair.log, Octets(6))
    networks = selectors(LOCAL, "::/0"), selectors(PEER, "::/0")
    one = child(CBC, local=networks[0], peer=networks[1])
    ours.add_outbound(one)
    peer.add_inbound(mirrored(one))
    found: list[Joined] = []
    peer.deliver_joined = found.append
    ours.super_packet(memoryview(bytearray(packet)), offload(packet, 1000))
    sent = [datagram for datagram, octet in pair.way.sent]
    assert {octet for _, octet in pair.way.sent} == {inner}
    together = b"".join(sent)
    peer.inbox[: len(together)] = together
    assert peer.burst(len(sent), len(sent[0]), PATH, outer)
    if left is None:
        assert found == []
        assert pair.log.dropped == {"esp_bad_ecn": 10}
        return
    (joined,) = found
    assert tos.octet(whole(joined)) == left
    changed = bytearray(packet)
    changed[1] = left if version == 4 else changed[1] & 0xCF | left << 4
    assert whole(joined)[20:] == bytes(changed)[20:]
    assert peer.query()[0].inbound_marked == (10 if left != inner else 0)


def test_an_sa_for_one_port_cannot_carry_fragments_so_the_sender_is_told() -> None:
    pair = Pair()
    (peer,) = selectors(PEER)
    narrow_ports = (replace(peer, protocol=17, start_port=5000, end_port=5000),)
    plane = DataPlane(Way(900), pair.log, Octets(7))
    plane.tell = pair.told.append
    plane.add_outbound(child(GCM, peer=narrow_ports))
    plane.packet(ipv4(LOCAL, PEER, (4000).to_bytes(2) + (5000).to_bytes(2) + bytes(1200)))
    assert len(pair.told) == 1
    assert pair.log.dropped == {DropReason.PACKET_TOO_BIG: 1}


def test_a_super_packet_that_is_none_is_refused_and_nothing_is_read_of_it() -> None:
    pair = Pair()
    pair.ours.super_packet(memoryview(bytearray()), Offload(True, Gso.TCPV4, 100, 20, 16))
    assert pair.log.dropped == {DropReason.INNER_MALFORMED: 1}
