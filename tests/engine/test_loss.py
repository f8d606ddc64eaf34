"""Retransmission, repetition and reordering."""

import itertools
import random

import pytest

from node.errors import DropReason
from node.ike.outputs import Transmit
from node.ike.settings import Retransmission
from node.ike.window import Window
from node.model.events import EventName as E
from node.model.message import Envelope, Fragment, Message
from node.model.registry import ExchangeType
from node.ports import Sealer
from tests.engine.harness import Datagram, Pair


def nth(pair: Pair, index: int, times: int) -> "Loses":
    return Loses(pair, index, times)


class Loses:
    """Loses the message at `index` of the handshake (0 to 3) `times` times."""

    def __init__(self, pair: Pair, index: int, times: int) -> None:
        self.pair, self.index, self.left = pair, index, times

    def __call__(self, datagram: Datagram) -> bool:
        header = self.pair.initiator.codec.peek(datagram.octets).header
        mine = header.message_id * 2 + header.is_response == self.index
        if mine and self.left:
            self.left -= 1
            return False
        return True


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("index", range(4))
def test_each_message_of_the_handshake_may_be_lost(pair: Pair, index: int, times: int) -> None:
    keep = nth(pair, index, times)
    pair.initiate()
    pair.pass_time(60, keep)
    assert pair.up()
    assert keep.left == 0
    assert pair.initiator.names().count(E.RETRANSMITTED) == times


def test_sending_again_sends_the_same_octets(pair: Pair) -> None:
    pair.initiate()
    pair.pass_time(20, keep=lambda datagram: False)
    octets = {d.octets for d in pair.sent}
    assert len(octets) == 1
    assert len(pair.sent) > 3


def test_giving_up_after_all_tries(pair: Pair) -> None:
    pair.initiate()
    pair.pass_time(1_000, keep=lambda datagram: False)
    assert len(pair.sent) == Retransmission().tries
    assert not pair.initiator.endpoint.sas()
    assert pair.initiator.event(E.IKE_SA_FAILED).fields["reason"] == "the peer does not answer"
    assert pair.initiator.endpoint.deadline() is None


def test_the_default_schedule_is_what_rfc_7296_wants() -> None:
    policy = Retransmission()
    waits = [min(policy.cap, policy.timeout * policy.factor**n) for n in range(policy.tries)]
    assert policy.tries >= 12
    assert sum(waits) > 120
    window = Window(policy, lambda size: b"\x80" * size)
    window.sent(ExchangeType.INFORMATIONAL, (b"x",), 0.0)
    first = window.in_flight[0]
    assert 0.4 < first.deadline < 0.6


@pytest.mark.parametrize("index", range(4))
def test_each_message_may_come_twice(pair: Pair, index: int) -> None:
    pair.initiate()
    while pair.wire:
        datagram = pair.take()
        header = pair.initiator.codec.peek(datagram.octets).header
        pair.deliver(datagram)
        if header.message_id * 2 + header.is_response == index:
            pair.deliver(datagram)
    assert pair.up()
    assert len(pair.responder.endpoint.sas()) == 1


def test_a_repeated_request_gets_the_same_answer_without_being_opened(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.establish()
    request, answer = pair.sent[2], pair.sent[3]
    opened: list[Envelope] = []
    honest = pair.responder.codec.open

    def counting(envelope: Envelope, opener: Sealer) -> Message | Fragment:
        opened.append(envelope)
        return honest(envelope, opener)

    monkeypatch.setattr(pair.responder.codec, "open", counting)
    pair.deliver(request)
    assert pair.sent[-1].octets == answer.octets
    assert not opened
    assert pair.responder.told(E.RESPONSE_REPEATED)


def test_an_old_ike_sa_init_does_not_open_another_sa(pair: Pair) -> None:
    pair.establish()
    pair.deliver(pair.sent[0])
    assert pair.responder.dropped[DropReason.STALE_MESSAGE_ID] == 1
    assert len(pair.responder.endpoint.sas()) == 1
    assert pair.responder.endpoint.half_open == 0


def test_a_late_answer_is_dropped(pair: Pair) -> None:
    pair.establish()
    pair.deliver(pair.sent[1])
    pair.deliver(pair.sent[3])
    assert pair.initiator.dropped[DropReason.STALE_MESSAGE_ID] == 2
    assert pair.up()


def test_a_responder_never_sends_unasked(pair: Pair) -> None:
    pair.initiate()
    pair.deliver(pair.take())
    sent = len(pair.responder.of(Transmit))
    pair.wire.clear()
    for _ in range(50):
        pair.now += 1
        pair.responder.endpoint.handle_timeout(pair.now)
        pair.flush(pair.responder)
    assert len(pair.responder.of(Transmit)) == sent
    assert not pair.responder.endpoint.sas()


@pytest.mark.parametrize("seed", range(25))
def test_everything_twice_and_in_any_order(codec: str, seed: int) -> None:
    rng = random.Random(seed)
    pair = Pair(codec)
    pair.initiate()
    for _ in itertools.repeat(None, 200):
        if not pair.wire:
            break
        for datagram in rng.sample(sorted(pair.wire, key=id), len(pair.wire)):
            pair.wire.remove(datagram)
            pair.deliver(datagram)
            if rng.random() < 0.5:
                pair.deliver(datagram)
    pair.pass_time(40)
    assert pair.up()


@pytest.mark.parametrize("seed", range(40))
def test_a_third_of_everything_is_lost(codec: str, seed: int) -> None:
    rng = random.Random(seed)
    pair = Pair(codec)
    pair.initiate()
    pair.pass_time(300, keep=lambda datagram: rng.random() > 0.3)
    pair.pass_time(60)
    assert pair.up()
