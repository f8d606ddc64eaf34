"""Tunnel or transport mode (RFC 7296 1.3.1): who asks, who agrees, and what a NAT changes (2.23.1)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.ike.settings import Settings
from node.model.child import ChildSa, FarView, Mode, ModeWish, Padding
from node.model.events import EventName as E
from node.model.message import Header, Sealed
from node.model.payloads import Notify, Payload
from node.model.registry import NotifyType
from node.model.selectors import network
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, Node, NodeOptions, Pair, variant
from tests.engine.two_ports import TwoPorts

TRANSPORT, FALLBACK = ModeWish(Mode.TRANSPORT), ModeWish(Mode.TRANSPORT, True)
OURS, THEIRS = (network(INITIATOR.address),), (network(RESPONDER.address),)
PADDED = Padding(256, 1400)


def wishing(options: NodeOptions, mode: ModeWish, **changes: object) -> NodeOptions:
    def change(settings: Settings) -> Settings:
        return replace(settings, mode=mode, padding=PADDED)

    return variant(options, change=change, **changes)


def two(codec: str, initiator: ModeWish, responder: ModeWish, **changes: object) -> Pair:
    return Pair(codec, wishing(INITIATOR, initiator), wishing(RESPONDER, responder, **changes))


def the_child(node: Node) -> ChildSa:
    (child,) = node.children.values()
    return child


def say(node: Node, notify: NotifyType, monkeypatch: pytest.MonkeyPatch, *, instead: bool = False) -> None:
    """Let a node add a notification to what it protects; or say nothing of transport mode in place of it."""
    honest = node.codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> Sealed:
        kept = [p for p in payloads if not (instead and p == Notify(NotifyType.USE_TRANSPORT_MODE))]
        added = [] if instead or sealer is None else [Notify(notify)]
        return honest(header, [*kept, *added], sealer, mtu)

    monkeypatch.setattr(node.codec, "seal", seal)


def test_both_want_transport_mode(codec: str) -> None:
    pair = two(codec, TRANSPORT, TRANSPORT).establish()
    assert pair.up()
    first, second = the_child(pair.initiator), the_child(pair.responder)
    for child in (first, second):
        assert (child.mode, child.far, child.padding) == (Mode.TRANSPORT, None, Padding(0, 1400))
    assert (first.local, first.peer) == (second.peer, second.local) == (OURS, THEIRS)
    assert pair.initiator.event(E.CHILD_SA_INSTALLED).fields["mode"] == "transport"
    assert pair.initiator.endpoint.sas()[0].children[0].mode == "transport"


def test_tunnel_mode_says_nothing_of_it_and_pads(pair: Pair) -> None:
    pair.establish()
    assert the_child(pair.initiator).mode is Mode.TUNNEL
    sent = str(pair.initiator.event(E.IKE_AUTH_SENT).fields["payloads"])
    assert "USE_TRANSPORT_MODE" not in sent


@pytest.mark.parametrize("wide", ["192.0.2.0/24", "0.0.0.0/0"])
def test_tunnel_mode_in_its_place_where_that_is_allowed(codec: str, wide: str) -> None:
    pair = two(codec, FALLBACK, ModeWish(), local_ts=wide, peer_ts=wide).establish()
    assert pair.up()
    for node in (pair.initiator, pair.responder):
        child = the_child(node)
        assert (child.mode, child.padding) == (Mode.TUNNEL, PADDED)
        assert {child.local, child.peer} == {OURS, THEIRS}


def test_a_child_sa_in_tunnel_mode_is_deleted_where_it_is_not_wanted(codec: str) -> None:
    """RFC 7296 1.3.1: "the initiator MUST delete the SA"."""
    pair = two(codec, TRANSPORT, ModeWish(), local_ts="0.0.0.0/0", peer_ts="0.0.0.0/0").establish()
    for node in (pair.initiator, pair.responder):
        assert [len(sa.children) for sa in node.endpoint.sas()] == [0]
        assert not node.children
    assert "child.tunnel_fallback" in str(pair.initiator.event(E.CHILD_SA_FAILED).fields["reason"])
    assert E.CHILD_SA_INSTALLED not in pair.initiator.names()
    assert pair.responder.told(E.CHILD_SA_DELETED)


def test_the_same_of_create_child_sa(codec: str) -> None:
    pair = two(codec, TRANSPORT, ModeWish(), local_ts="0.0.0.0/0", peer_ts="0.0.0.0/0").establish()
    (sa,) = pair.initiator.endpoint.sas()
    pair.initiator.endpoint.create_child(bytes.fromhex(sa.spi_i), pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert [event.name for event in pair.initiator.events].count(E.CHILD_SA_FAILED) == 2
    assert not pair.initiator.children
    assert not pair.responder.children


def test_who_wants_transport_mode_alone_refuses_tunnel_mode(codec: str) -> None:
    asking = wishing(INITIATOR, ModeWish(), local_ts="192.0.2.1", peer_ts="192.0.2.2")
    pair = Pair(codec, asking, wishing(RESPONDER, TRANSPORT)).establish()
    assert pair.initiator.event(E.NOTIFY_RECEIVED).fields["notify"] == "NO_PROPOSAL_CHOSEN"
    assert "child.tunnel_fallback" in str(pair.responder.event(E.CHILD_SA_FAILED).fields["reason"])
    assert not pair.responder.children


def test_who_wants_it_with_a_fallback_takes_tunnel_mode(codec: str) -> None:
    asking = wishing(INITIATOR, ModeWish(), local_ts="192.0.2.0/24", peer_ts="192.0.2.0/24")
    pair = Pair(codec, asking, wishing(RESPONDER, FALLBACK)).establish()
    assert pair.up()
    child = the_child(pair.responder)
    assert (child.mode, child.local, child.peer) == (Mode.TUNNEL, THEIRS, OURS)


def test_nobody_agrees_to_what_was_not_asked_for(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    say(pair.responder, NotifyType.USE_TRANSPORT_MODE, monkeypatch)
    pair.establish()
    pair.pass_time(5)
    assert pair.empty()
    assert pair.initiator.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"
    assert E.CHILD_SA_INSTALLED not in pair.initiator.names()


@pytest.mark.parametrize("speaker", ["initiator", "responder"])
def test_padding_is_not_sent_to_who_wants_none(
    codec: str, speaker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = two(codec, ModeWish(), ModeWish())
    node: Node = getattr(pair, speaker)
    say(node, NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED, monkeypatch)
    assert pair.establish().up()
    other = pair.responder if node is pair.initiator else pair.initiator
    assert the_child(other).padding == Padding(0, 1400)
    assert the_child(node).padding == PADDED


@pytest.mark.parametrize("asker", ["initiator", "responder"])
@pytest.mark.parametrize("wish", [TRANSPORT, FALLBACK])
def test_a_rekey_keeps_the_mode(codec: str, asker: str, wish: ModeWish) -> None:
    pair = two(codec, wish, wish).establish()
    node: Node = getattr(pair, asker)
    (old,) = node.children
    node.endpoint.rekey_child(old, pair.now)
    pair.flush(node)
    pair.drive()
    pair.pass_time(30)
    assert pair.up()
    assert old not in node.children
    assert {the_child(n).mode for n in (pair.initiator, pair.responder)} == {Mode.TRANSPORT}
    assert pair.initiator.told(E.CHILD_SA_REKEYED)


def test_a_rekey_falls_back_to_nothing(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer suddenly forgets to say it: the old Child SA stays, whatever the configuration allows."""
    pair = two(codec, FALLBACK, FALLBACK).establish()
    (old,) = pair.initiator.children
    say(pair.responder, NotifyType.USE_TRANSPORT_MODE, monkeypatch, instead=True)
    pair.initiator.endpoint.rekey_child(old, pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert list(pair.initiator.children) == [old]
    assert pair.initiator.told(E.CHILD_SA_FAILED)


def behind_nats(codec: str, *, both: bool) -> TwoPorts:
    pair = TwoPorts(codec, wishing(INITIATOR, TRANSPORT), wishing(RESPONDER, TRANSPORT))
    pair.rebind(pair.initiator)
    if both:
        pair.forward(pair.responder)
    return pair


@pytest.mark.parametrize("both", [False, True])
def test_each_end_has_the_addresses_that_it_sees(codec: str, both: bool) -> None:
    pair = behind_nats(codec, both=both)
    pair.establish()
    assert pair.up()
    first, second = the_child(pair.initiator), the_child(pair.responder)
    reached = "203.0.113.77" if both else RESPONDER.address
    assert (first.local, first.peer) == (OURS, (network(reached),))
    assert (second.local, second.peer) == (THEIRS, (network("203.0.113.9"),))
    assert first.far == FarView(second.local[0].start, second.peer[0].start)
    assert second.far == FarView(first.local[0].start, first.peer[0].start)


@pytest.mark.parametrize("asker", ["initiator", "responder"])
def test_a_rekey_behind_nats_has_what_is_seen_then(codec: str, asker: str) -> None:
    pair = behind_nats(codec, both=True)
    pair.establish()
    node: Node = getattr(pair, asker)
    (old,) = node.children
    node.endpoint.rekey_child(old, pair.now)
    pair.flush(node)
    pair.drive()
    pair.pass_time(30)
    assert pair.up()
    first, second = the_child(pair.initiator), the_child(pair.responder)
    assert first.mode is second.mode is Mode.TRANSPORT
    assert first.far == FarView(second.local[0].start, second.peer[0].start)
    assert second.far == FarView(first.local[0].start, first.peer[0].start)


def test_selectors_of_others_are_not_replaced_without_a_nat(codec: str) -> None:
    """Only NAT detection makes an address stand for another one."""
    somebody = str(OURS[0].start + 7)
    asking = variant(INITIATOR, local_ts=somebody, peer_ts=RESPONDER.address)
    pair = Pair(codec, asking, wishing(RESPONDER, TRANSPORT))
    with pytest.MonkeyPatch.context() as patch:
        say(pair.initiator, NotifyType.USE_TRANSPORT_MODE, patch)
        pair.establish()
    assert pair.initiator.event(E.NOTIFY_RECEIVED).fields["notify"] == "TS_UNACCEPTABLE"
    assert not pair.responder.children
