"""Asking a silent peer for life (RFC 7296 2.4)."""

from dataclasses import replace

import pytest

from node.ike.settings import Retransmission, Settings
from node.model.events import EventName as E
from node.model.payloads import Notify, Payload
from node.model.registry import NotifyType
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Node, NodeOptions, Pair, variant
from tests.engine.test_delete import ask
from tests.engine.test_virtual_ip import rewrite

INTERVAL = 10.0
#: Seconds until a request is given up: 0.5 + 0.5 + 0.5 with the jitter.
PATIENCE = 3 * 0.5 * 1.1


def impatient(options: NodeOptions) -> NodeOptions:
    def change(settings: Settings) -> Settings:
        policy = Retransmission(timeout=0.5, factor=1, tries=3)
        return replace(settings, liveness=INTERVAL, retransmission=policy)

    return variant(options, change=change)


@pytest.fixture
def lively(codec: str) -> Pair:
    """A responder that asks, and an initiator that only answers; both are up."""
    return Pair(codec, responder=impatient(RESPONDER)).establish()


def asked(node: Node) -> int:
    """How often it asked so far."""
    return sum(e.name is E.INFORMATIONAL_SENT and e.fields["kind"] == "request" for e in node.events)


def nothing(datagram: Datagram) -> bool:
    """Nothing gets through."""
    return False


def test_a_silent_peer_is_asked_and_answers(lively: Pair) -> None:
    """
    initiator   <--   INFORMATIONAL SK{ }   responder, after ten seconds of silence, and again after ten more
                INFORMATIONAL SK{ }   -->
    """
    lively.pass_time(INTERVAL - 0.1)
    assert asked(lively.responder) == 0
    lively.pass_time(0.2)
    assert asked(lively.responder) == 1
    lively.pass_time(5 * INTERVAL)
    assert asked(lively.responder) == 6
    assert asked(lively.initiator) == 0
    assert lively.up()
    sent = [e for e in lively.responder.events if e.name is E.INFORMATIONAL_SENT]
    assert all(e.fields["payloads"] == [] for e in sent)


def test_either_role_asks(codec: str) -> None:
    pair = Pair(codec, impatient(INITIATOR)).establish()
    pair.pass_time(INTERVAL + 1)
    assert (asked(pair.initiator), asked(pair.responder)) == (1, 0)
    assert pair.up()


def test_both_ask_at_once(codec: str) -> None:
    pair = Pair(codec, impatient(INITIATOR), impatient(RESPONDER)).establish()
    pair.pass_time(10 * INTERVAL + 1)
    assert pair.up()
    assert asked(pair.initiator) + asked(pair.responder) >= 10


def test_nobody_asks_unless_told_to(pair: Pair) -> None:
    pair.establish()
    pair.pass_time(100_000)
    assert asked(pair.initiator) == asked(pair.responder) == 0
    assert pair.initiator.endpoint.deadline() is None


def test_a_peer_that_died_is_given_up(lively: Pair) -> None:
    """
    initiator   x--   INFORMATIONAL SK{ }   responder, three times
    """
    lively.pass_time(INTERVAL + PATIENCE, keep=nothing)
    assert asked(lively.responder) == 1
    assert lively.responder.names().count(E.RETRANSMITTED) == 2
    assert lively.responder.told(E.RETRANSMISSION_GAVE_UP)
    assert lively.responder.event(E.IKE_SA_DELETED).fields["reason"] == "the peer does not answer"
    assert not lively.responder.endpoint.sas()
    assert not lively.responder.children


def test_an_answer_to_the_last_repetition_is_enough(lively: Pair) -> None:
    sent: list[Datagram] = []

    def third(datagram: Datagram) -> bool:
        sent.append(datagram)
        return len(sent) >= 3

    lively.pass_time(INTERVAL + PATIENCE, keep=third)
    assert len({datagram.octets for datagram in sent[:3]}) == 1
    assert lively.up()
    assert E.RETRANSMISSION_GAVE_UP not in lively.responder.names()


def test_what_the_peer_asks_is_life(lively: Pair) -> None:
    for _ in range(5):
        lively.pass_time(INTERVAL - 1)
        ask(lively, lively.initiator)
        lively.drive()
    assert asked(lively.responder) == 0


def test_a_repeated_request_is_no_life(lively: Pair) -> None:
    """What somebody recorded keeps no dead peer alive."""
    ask(lively, lively.initiator)
    recorded = lively.take()
    lively.deliver(recorded)
    lively.wire.clear()
    for _ in range(4):
        lively.pass_time(INTERVAL / 4, keep=nothing)
        lively.deliver(recorded)
        lively.wire.clear()
    assert lively.responder.told(E.INFORMATIONAL_RECEIVED)
    lively.pass_time(PATIENCE, keep=nothing)
    assert lively.responder.told(E.RETRANSMISSION_GAVE_UP)


def test_esp_is_life(lively: Pair) -> None:
    """The number of the newest packet is looked at when the time is up, and at no other time."""
    (inbound,) = lively.responder.children
    looked: list[bytes] = []
    newest = 0

    def look(spi: bytes) -> int:
        looked.append(spi)
        return newest

    lively.responder.endpoint.watch(look)
    for _ in range(5):
        newest += 1
        lively.pass_time(INTERVAL)
    assert looked == [inbound] * 5
    assert asked(lively.responder) == 0
    lively.pass_time(INTERVAL)
    assert asked(lively.responder) == 1


def test_a_delete_waits_for_the_answer_to_the_question(lively: Pair) -> None:
    """
    initiator   x--   INFORMATIONAL SK{ }   responder, which is told to delete now
                <--   INFORMATIONAL SK{ }, once more
                INFORMATIONAL SK{ }   -->
                <--   INFORMATIONAL SK{ D }
                INFORMATIONAL SK{ }   -->
    """
    lively.pass_time(INTERVAL, keep=nothing)
    lively.responder.endpoint.delete_all(lively.now)
    lively.flush(lively.responder)
    assert not lively.responder.children
    lively.pass_time(PATIENCE)
    assert lively.empty()
    assert lively.responder.event(E.IKE_SA_DELETED).fields["reason"] == "deleted by us"
    assert lively.initiator.event(E.IKE_SA_DELETED).fields["reason"] == "deleted by the peer"
    assert not lively.initiator.dropped


def test_a_delete_behind_a_question_without_an_answer(lively: Pair) -> None:
    lively.pass_time(INTERVAL, keep=nothing)
    lively.responder.endpoint.delete_all(lively.now)
    lively.flush(lively.responder)
    lively.pass_time(PATIENCE, keep=nothing)
    assert not lively.responder.endpoint.sas()


@pytest.mark.parametrize(
    ("notify", "stays"), [(NotifyType.INVALID_SYNTAX, False), (NotifyType.TEMPORARY_FAILURE, True)]
)
def test_an_answer_that_says_no(
    lively: Pair, notify: NotifyType, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(lively.initiator, lambda payload: (payload,), monkeypatch)
    honest = lively.initiator.codec.seal

    def seal(header: object, payloads: list[Payload], sealer: object, mtu: int) -> object:
        return honest(header, [*payloads, Notify(notify)], sealer, mtu)  # type: ignore[arg-type]

    monkeypatch.setattr(lively.initiator.codec, "seal", seal)
    lively.pass_time(INTERVAL)
    assert lively.responder.event(E.NOTIFY_RECEIVED).fields["notify"] == str(notify)
    assert bool(lively.responder.endpoint.sas()) is stays
