"""The SAD: adding, removing, counters, and the end of the sequence numbers."""

import dataclasses
from collections.abc import Callable

import pytest

from node.errors import DropReason, LocalMisuse
from node.esp.sad import RekeyNeeded, Sad, SaStatus
from node.esp.tunnel import Incoming, Outgoing, Refused, Tunnel
from node.model.child import ChildSa
from node.model.message import Path
from node.model.proposal import Suite, Transform
from node.model.registry import EncrId, IntegId, ProtocolId, TransformType
from tests.unit.esp.support import (
    CBC,
    GCM,
    LOCAL,
    OURS,
    PATH,
    PEER,
    THEIRS,
    Octets,
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

OUT = hello(LOCAL, PEER)


def sent(tunnel: Tunnel, packet: bytes = OUT) -> Outgoing:
    result = tunnel.encapsulate(packet)
    assert isinstance(result, Outgoing), result
    return result


def test_status_tells_what_was_carried_and_refused() -> None:
    ours, peers = pair(child())
    carried = sent(ours.tunnel)
    peers.tunnel.decapsulate(carried.datagram)
    peers.tunnel.decapsulate(carried.datagram)
    peers.tunnel.decapsulate(carried.datagram[:4] + b"\0\0\0\x09" + carried.datagram[8:])
    (status,) = ours.sad.query()
    assert status == SaStatus(
        inbound_spi="c0000001",
        outbound_spi="d0000002",
        ike_spi="11" * 8,
        suite="ENCR_AES_CBC_256/AUTH_HMAC_SHA2_256_128",
        local=("10.0.0.1",),
        peer=("10.0.0.2",),
        path="192.0.2.1[4500]...192.0.2.2[4500]",
        replay_window=64,
        inbound_packets=0,
        inbound_octets=0,
        outbound_packets=1,
        outbound_octets=len(OUT),
        inbound_batches=0,
        inbound_batched=0,
        outbound_batches=0,
        outbound_batched=0,
        replayed=0,
        dropped={},
        rekey_wanted=False,
        inner_mtu=65_400,
        outbound_cut=0,
        inbound_marked=0,
    )
    (status,) = peers.sad.query()
    assert (status.inbound_packets, status.inbound_octets) == (1, len(OUT))
    assert (status.replayed, status.dropped) == (1, {"esp_replayed": 1, "esp_bad_icv": 1})
    assert peers.sad.dropped == {DropReason.ESP_REPLAYED: 1, DropReason.ESP_BAD_ICV: 1}


def test_each_direction_by_itself() -> None:
    sad = Sad(Octets())
    tunnel, one = Tunnel(sad), child()
    datagram = esp(CBC, one.inbound, OURS, 1, pad(hello()))
    assert isinstance(tunnel.decapsulate(datagram), Refused)
    sad.add_inbound(one)
    assert isinstance(tunnel.decapsulate(datagram), Incoming)
    refused = tunnel.encapsulate(OUT)
    assert isinstance(refused, Refused)
    assert refused.reason is DropReason.NO_SA
    assert sad.query()[0].outbound_spi == ""
    sad.add_outbound(one)
    assert sent(tunnel).spi == THEIRS


def test_remove_forgets_both_directions_and_returns_the_counters() -> None:
    ours = end(child())
    sent(ours.tunnel)
    status = ours.sad.remove(OURS)
    assert status is not None
    assert status.outbound_packets == 1
    assert ours.sad.remove(OURS) is None
    assert ours.sad.query() == ()
    for refused in (ours.tunnel.encapsulate(OUT), ours.tunnel.decapsulate(OURS + bytes(60))):
        assert isinstance(refused, Refused)
    assert ours.sad.dropped == {DropReason.NO_SA: 1, DropReason.ESP_UNKNOWN_SPI: 1}


def test_the_newest_sa_sends_and_the_old_one_still_receives() -> None:
    old = child()
    new = child(GCM, inbound=b"\xc0\0\0\x07", outbound=b"\xd0\0\0\x08")
    ours = end(old, new)
    assert sent(ours.tunnel).spi == new.outbound_spi
    for one in (old, new):
        datagram = esp(one.suite, one.inbound, one.inbound_spi, 1, pad(hello()))
        assert isinstance(ours.tunnel.decapsulate(datagram), Incoming)
    ours.sad.remove(new.inbound_spi)
    assert sent(ours.tunnel).spi == old.outbound_spi


def test_what_no_longer_sends_still_receives() -> None:
    one = child()
    ours = end(one)
    ours.sad.remove_outbound(OURS)
    refused = ours.tunnel.encapsulate(OUT)
    assert isinstance(refused, Refused)
    assert refused.reason is DropReason.NO_SA
    datagram = esp(one.suite, one.inbound, one.inbound_spi, 1, pad(hello()))
    assert isinstance(ours.tunnel.decapsulate(datagram), Incoming)
    assert [(sa.inbound_spi, sa.outbound_spi) for sa in ours.sad.query()] == [(OURS.hex(), "")]
    ours.sad.remove_outbound(OURS)
    ours.sad.remove_outbound(THEIRS)
    assert ours.sad.remove(OURS) is not None
    assert ours.sad.spd._tables == {4: {}, 16: {}}


def test_update_moves_the_path() -> None:
    ours, moved = end(child()), Path("192.0.2.1", 4500, "203.0.113.9", 40000)
    assert sent(ours.tunnel).path == PATH
    assert ours.sad.update(OURS, moved)
    assert sent(ours.tunnel).path == moved
    assert ours.sad.query()[0].path == str(moved)
    assert not ours.sad.update(b"none", moved)


Change = Callable[[ChildSa], ChildSa]


def changed(**fields: object) -> Change:
    return lambda one: dataclasses.replace(one, **fields)  # type: ignore[arg-type]


NULL_CIPHER = Suite(ProtocolId.ESP, Transform(TransformType.ENCR, EncrId.ENCR_NULL))
MISUSES = {
    "reserved inbound SPI": changed(inbound_spi=b"\0\0\0\xff"),
    "SPI 0": changed(outbound_spi=bytes(4)),
    "short SPI": changed(inbound_spi=b"\xc0\0\0"),
    "long SPI": changed(outbound_spi=b"\xc0" * 8),
    "empty SPI": changed(inbound_spi=b""),
    "no local selectors": changed(local=()),
    "no peer selectors": changed(peer=()),
    "no ESP": changed(suite=dataclasses.replace(CBC, protocol=ProtocolId.AH)),
    "ESN without AEAD": changed(suite=suite(EncrId.ENCR_AES_CBC, 256, IntegId.AUTH_HMAC_SHA2_256_128, True)),
}


@pytest.mark.parametrize("change", MISUSES.values(), ids=MISUSES.keys())
def test_what_cannot_be_added(change: Change) -> None:
    sad = Sad(Octets())
    for add in (sad.add_inbound, sad.add_outbound):
        with pytest.raises(LocalMisuse):
            add(change(child()))
    assert sad.query() == ()
    assert isinstance(Tunnel(sad).encapsulate(OUT), Refused)


def test_a_window_out_of_bounds_is_refused() -> None:
    sad = Sad(Octets())
    with pytest.raises(LocalMisuse, match="replay window"):
        sad.add_inbound(child(window=16))
    assert sad.query() == ()


def test_neither_encryption_nor_integrity_is_refused() -> None:
    sad = Sad(Octets())
    with pytest.raises(LocalMisuse):
        sad.add_inbound(dataclasses.replace(child(), suite=NULL_CIPHER))
    assert sad.query() == ()


def test_an_sa_is_added_once() -> None:
    ours = end(child())
    with pytest.raises(LocalMisuse, match="in use"):
        ours.sad.add_inbound(child())
    with pytest.raises(LocalMisuse, match="installed"):
        ours.sad.add_outbound(child())
    assert len(ours.sad.query()) == 1


def test_a_limit_below_one_packet_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="at least one"):
        Sad(Octets(), 0)


def test_the_end_of_the_sequence_numbers_is_a_hard_stop_reported_once() -> None:
    ours = end(child(), max_packets=16)
    assert [sent(ours.tunnel).sequence for _ in range(14)] == list(range(1, 15))
    assert ours.sad.notices() == ()
    assert sent(ours.tunnel).sequence == 15
    assert ours.sad.notices() == (RekeyNeeded(OURS, THEIRS, False),)
    assert ours.sad.query()[0].rekey_wanted
    assert sent(ours.tunnel).sequence == 16
    for _ in range(3):
        refused = ours.tunnel.encapsulate(OUT)
        assert isinstance(refused, Refused)
        assert refused.reason is DropReason.ESP_SEQUENCE_EXHAUSTED
    assert ours.sad.notices() == (RekeyNeeded(OURS, THEIRS, True),)
    assert ours.sad.notices() == ()
    assert ours.sad.query()[0].outbound_packets == 16


@pytest.mark.parametrize(("esn", "last"), [(False, (1 << 32) - 1), (True, (1 << 64) - 1)])
def test_the_last_number_is_used_and_never_wraps(esn: bool, last: int) -> None:
    one = child(suite(EncrId.ENCR_AES_GCM_16, 256, esn=esn))
    ours, peers = pair(one)
    (sa,) = ours.sad.spd.candidates(bytes([10, 0, 0, 1, 10, 0, 0, 2]))
    sa.sequence = last - 1
    window = peers.sad.by_spi.get(0xD0000002)
    assert window is not None
    window.window.mark(last - 5)
    final = sent(ours.tunnel)
    assert final.sequence == last
    assert final.datagram[4:8] == b"\xff" * 4
    assert isinstance(peers.tunnel.decapsulate(final.datagram), Incoming)
    assert isinstance(ours.tunnel.encapsulate(OUT), Refused)
    assert sa.sequence == last


def test_a_rekeyed_sa_takes_over_from_an_exhausted_one() -> None:
    ours = end(child(), max_packets=1)
    sent(ours.tunnel)
    assert isinstance(ours.tunnel.encapsulate(OUT), Refused)
    new = child(inbound=b"\xc0\0\0\x07", outbound=b"\xd0\0\0\x08")
    ours.sad.add_inbound(new)
    ours.sad.add_outbound(new)
    assert sent(ours.tunnel).spi == new.outbound_spi


def test_a_thousand_sas_come_and_go() -> None:
    ours, children = end(), []
    for number in range(1000):
        host = f"10.9.{number >> 8}.{number & 255}"
        spi = (0xC0000000 + number).to_bytes(4)
        children.append(child(GCM, inbound=spi, outbound=spi, peer=selectors(host)))
        ours.sad.add_inbound(children[-1])
        ours.sad.add_outbound(children[-1])
    for number in range(0, 1000, 37):
        host = f"10.9.{number >> 8}.{number & 255}"
        assert sent(ours.tunnel, hello(LOCAL, host)).spi == children[number].outbound_spi
    for one in children:
        assert ours.sad.remove(one.inbound_spi) is not None
    assert ours.sad.query() == ()
    assert ours.sad.spd._tables == {4: {}, 16: {}}
    assert ours.sad.by_spi == {}


def test_nothing_of_the_keys_shows() -> None:
    one = child()
    ours = end(one, mirrored(child(inbound=b"\xc0\0\0\x07", outbound=b"\xd0\0\0\x08")))
    shown = repr(ours.sad.query()) + repr(one)
    for secret in (one.inbound.encr, one.inbound.integ, one.outbound.encr, one.outbound.integ):
        assert secret.reveal().hex() not in shown
        assert repr(secret.reveal()) not in shown
