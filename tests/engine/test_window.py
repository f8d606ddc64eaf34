"""Message-ID windows above 1 (RFC 7296 2.3): several requests under way, in any order, and the end of IDs."""

import itertools
import random
from dataclasses import replace

import pytest

from node.errors import DropReason, LocalMisuse, PeerMisbehaved
from node.ike.settings import Retransmission, Settings
from node.ike.tasks.delete import DeleteChild
from node.ike.tasks.stray import PAUSE
from node.ike.window import MAX_MESSAGE_ID, RESERVE, Window
from node.model.events import EventName as E
from node.model.payloads import Notify, Payload
from node.model.registry import ExchangeType, NotifyType, ProtocolId
from tests.engine.explore import ESP, IKE
from tests.engine.harness import INITIATOR, RESPONDER, Counting, Datagram, Node, Pair, variant
from tests.engine.lives import Role, header, ike_sa, kind, rekey_child, rekey_ike, settled, step
from tests.engine.losses import lossy

CREATE, ANSWER = "CREATE_CHILD_SA request", "CREATE_CHILD_SA response"
INFORM, REPLY = "INFORMATIONAL request", "INFORMATIONAL response"
SAYS = "N(SET_WINDOW_SIZE)"


def sized(codec: str, ours: int = 4, theirs: int = 4) -> Pair:
    """An initiator and a responder that accept so many requests at once."""
    return Pair(
        codec,
        variant(INITIATOR, ike=IKE, esp=ESP, change=lambda s: with_window(s, ours)),
        variant(RESPONDER, ike=IKE, esp=ESP, change=lambda s: with_window(s, theirs)),
    )


def with_window(settings: Settings, size: int) -> Settings:
    return replace(settings, window=size)


def ask(pair: Pair, node: Node, count: int) -> list[Datagram]:
    """Let a node ask for so many things at once; its requests that are on the wire then, in order."""
    sa = ike_sa(node)
    for number in range(count):
        sa.ask(DeleteChild(sa, number.to_bytes(4), held=False), pair.now)
    pair.flush(node)
    return [datagram for datagram in pair.wire if datagram.source is node]


def request(pair: Pair, node: Node, message_id: int, *payloads: Payload) -> None:
    """An INFORMATIONAL request of the node with this very ID, delivered."""
    sa = ike_sa(node)
    sa.window.abandon()
    sa.window.next_id = message_id
    sa.send_request(ExchangeType.INFORMATIONAL, payloads, pair.now)
    sa.window.abandon()
    pair.flush(node)
    step(pair, node, INFORM)


def said(node: Node) -> list[bool]:
    """Whether each protected message that the node sent says how large its window is."""
    kinds = (E.IKE_AUTH_SENT, E.CREATE_CHILD_SA_SENT, E.INFORMATIONAL_SENT)
    return [SAYS in str(event.fields["payloads"]) for event in node.events if event.name in kinds]


# -- who says what ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "sends"), [(1, 1, 1), (4, 1, 1), (1, 4, 1), (4, 3, 3), (16, 16, 16)]
)
def test_the_smaller_of_both_counts(codec: str, ours: int, theirs: int, sends: int) -> None:
    pair = sized(codec, ours, theirs).establish()
    assert said(pair.initiator) == [ours > 1]
    assert said(pair.responder) == [theirs > 1]
    assert ike_sa(pair.initiator).window.sends == ike_sa(pair.responder).window.sends == sends
    assert len(ask(pair, pair.initiator, 20)) == min(sends, 20)
    pair.drive()
    assert settled(pair)


def test_a_new_ike_sa_begins_with_one(codec: str, role: Role) -> None:
    pair = sized(codec).establish()
    one, other = role(pair)
    rekey_ike(pair, one)
    pair.drive()
    assert ike_sa(one).window.sends == ike_sa(other).window.sends == 1
    assert len(ask(pair, one, 6)) == 1
    pair.drive()
    assert ike_sa(one).window.sends == ike_sa(other).window.sends == 4
    assert len(ask(pair, one, 6)) == 4
    pair.drive()
    assert settled(pair)


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x00\x00\x00\x09\x00", bytes(4)])
def test_a_size_that_makes_no_sense(codec: str, role: Role, data: bytes) -> None:
    pair = sized(codec, 4, 1).establish() if role.__name__ == "second" else sized(codec, 1, 4).establish()
    liar, other = role(pair)
    request(pair, liar, ike_sa(liar).window.next_id, Notify(NotifyType.SET_WINDOW_SIZE, data))
    assert ike_sa(other).window.sends == 1


def test_a_window_never_shrinks_and_is_never_larger_than_ours(codec: str, role: Role) -> None:
    pair = sized(codec).establish()
    liar, other = role(pair)
    for size in (2, 2**32 - 1, 0):
        window = Notify(NotifyType.SET_WINDOW_SIZE, size.to_bytes(4))
        request(pair, liar, ike_sa(liar).window.next_id, window)
        pair.wire.clear()
        assert ike_sa(other).window.sends == 4


# -- order and loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_requests_and_responses_in_any_order(codec: str, role: Role, order: tuple[int, ...]) -> None:
    pair = sized(codec).establish()
    one, other = role(pair)
    requests = ask(pair, one, 3)
    pair.wire.clear()
    for index in order:
        pair.deliver(requests[index])
    answers = list(pair.wire)
    pair.wire.clear()
    assert [header(pair, d).message_id for d in answers] == [
        header(pair, requests[i]).message_id for i in order
    ]
    for index in reversed(order):
        pair.deliver(answers[index])
    assert settled(pair)
    assert not one.dropped
    assert not other.dropped


def test_every_answer_of_the_window_is_kept(codec: str, role: Role) -> None:
    """All answers are lost; the requests come again, the same octets: nothing is done twice."""
    pair = sized(codec).establish()
    one, other = role(pair)
    requests = ask(pair, one, 4)
    for datagram in requests:
        step(pair, one, INFORM)
        assert datagram.octets
    lost = [d.octets for d in pair.wire]
    pair.wire.clear()
    handled = other.names().count(E.INFORMATIONAL_RECEIVED)
    for datagram in reversed(requests):
        pair.deliver(datagram)
    assert [d.octets for d in pair.wire] == lost[::-1]
    assert other.names().count(E.INFORMATIONAL_RECEIVED) == handled
    assert other.names().count(E.RESPONSE_REPEATED) == 4
    pair.drive()
    assert settled(pair)


def test_no_more_answers_than_the_window_are_kept(codec: str, role: Role) -> None:
    pair = sized(codec).establish()
    one, other = role(pair)
    for _ in range(10):
        ask(pair, one, 7)
        pair.drive()
        assert len(ike_sa(other).window.answers) <= 4
    assert not ike_sa(other).window.requests
    assert settled(pair)


def test_the_oldest_request_holds_the_window(codec: str, role: Role) -> None:
    """The first of six is lost, the next three are answered: the fifth waits for the first."""
    pair = sized(codec).establish()
    one, _ = role(pair)
    first, *_others = ask(pair, one, 6)
    pair.wire.remove(first)
    pair.drive()
    numbers = [header(pair, d).message_id for d in pair.sent if d.source is one and kind(pair, d) == INFORM]
    assert numbers == [numbers[0] + n for n in range(4)]
    pair.pass_time(2.0)
    assert settled(pair)


def test_only_what_is_lost_is_sent_again(codec: str, role: Role) -> None:
    pair = sized(codec).establish()
    one, _ = role(pair)
    second = ask(pair, one, 4)[1]
    pair.wire.remove(second)
    pair.drive()
    pair.pass_time(2.0)
    again = [e.fields["message_id"] for e in one.events if e.name is E.RETRANSMITTED]
    assert again == [header(pair, second).message_id]


@pytest.mark.parametrize("seed", range(6))
def test_losses_repetitions_and_any_order(codec: str, role: Role, seed: int) -> None:
    """Each request is carried out once, whatever the wire does; SAs are replaced meanwhile."""
    pair, draw, keep = sized(codec).establish(), random.Random(seed), lossy(seed, 0.25)
    one, other = role(pair)
    for _ in range(5):
        ask(pair, one, 6)
        ask(pair, other, 5)
        (rekey_child if draw.random() < 0.6 else rekey_ike)(pair, draw.choice((one, other)))
        for _ in range(40):
            if not pair.wire:
                break
            datagram = draw.choice(list(pair.wire)[:8])
            pair.wire.remove(datagram)
            if draw.random() < 0.2:
                pair.wire.append(datagram)
            if keep(datagram):
                pair.deliver(datagram)
        pair.pass_time(700.0, keep)
        assert settled(pair)
    for node in (one, other):
        assert DropReason.OUT_OF_WINDOW not in node.dropped


# -- rekeying the IKE SA ---------------------------------------------------------------------------------


def test_an_ike_sa_is_replaced_when_nothing_else_is_under_way(codec: str, role: Role) -> None:
    pair = sized(codec).establish()
    one, _ = role(pair)
    ask(pair, one, 2)
    rekey_ike(pair, one)
    ask(pair, one, 3)
    assert [kind(pair, d) for d in pair.wire] == [INFORM, INFORM]
    step(pair, one, INFORM)
    pair.deliver(pair.wire.pop())
    assert CREATE not in [kind(pair, d) for d in pair.wire], "one answer is missing"
    pair.drive()
    assert settled(pair)
    assert one.names().count(E.IKE_SA_REKEYED) == 1


def test_a_request_for_a_new_ike_sa_waits_for_what_was_asked_before(codec: str, role: Role) -> None:
    """A peer that does not wait: the request before it is missing yet, so it is put off."""
    pair = sized(codec).establish()
    liar, other = role(pair)
    (early,) = ask(pair, liar, 1)
    pair.wire.clear()
    sa = ike_sa(liar)
    sa.agenda.clear()
    rekey_ike(pair, liar)
    step(pair, liar, CREATE)
    assert [e.fields["notify"] for e in other.events if e.name is E.NOTIFY_SENT] == ["TEMPORARY_FAILURE"]
    pair.deliver(early)
    pair.pass_time(60.0)
    assert settled(pair)
    assert liar.names().count(E.IKE_SA_REKEYED) == 1


def test_the_delete_goes_last(codec: str, role: Role) -> None:
    pair = sized(codec).establish()
    one, _ = role(pair)
    ask(pair, one, 3)
    one.endpoint.delete(ike_sa(one).local_spi, pair.now)
    pair.flush(one)
    assert len(pair.wire) == 3
    pair.drive()
    assert pair.empty()


# -- outside the window ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("window", "ahead"), [(1, 1), (4, 4), (4, 2**31)])
def test_the_peer_hears_of_an_id_ahead_of_the_window(codec: str, role: Role, window: int, ahead: int) -> None:
    pair = sized(codec, window, window).establish()
    liar, other = role(pair)
    expected = ike_sa(other).window.expected_id
    for _ in range(5):
        request(pair, liar, expected + ahead)
    assert other.dropped[DropReason.OUT_OF_WINDOW] == 5
    told = [d for d in pair.wire if d.source is other]
    assert [kind(pair, d) for d in told] == [INFORM], (
        "the request itself is not answered, and it is said once"
    )
    ike_sa(liar).window.next_id = expected
    pair.drive()
    received = liar.event(E.NOTIFY_RECEIVED)
    assert received.fields["notify"] == "INVALID_MESSAGE_ID"
    pair.now += PAUSE
    request(pair, liar, expected + ahead)
    assert other.names().count(E.NOTIFY_SENT) == 2
    ike_sa(liar).window.next_id = expected
    pair.drive()
    assert settled(pair)


def test_only_the_peer_can_have_it_said(codec: str, role: Role) -> None:
    """Octets that were changed on the way, and such of long ago, bring nothing about."""
    pair = sized(codec).establish()
    liar, other = role(pair)
    old = ask(pair, liar, 1)[0]
    pair.drive()
    for _ in range(6):
        ask(pair, liar, 1)
        pair.drive()
    sent = len(pair.sent)
    pair.deliver(old)
    sa = ike_sa(liar)
    sa.window.next_id += 9
    sa.send_request(ExchangeType.INFORMATIONAL, (), pair.now)
    sa.window.abandon()
    pair.flush(liar)
    forged = pair.take()
    pair.deliver(forged, forged.octets[:-1] + bytes((forged.octets[-1] ^ 1,)))
    assert len(pair.sent) == sent + 1
    assert other.dropped[DropReason.STALE_MESSAGE_ID] == other.dropped[DropReason.OUT_OF_WINDOW] == 1
    assert E.NOTIFY_SENT not in other.names()


# -- the end of message IDs ------------------------------------------------------------------------------


def at_id(pair: Pair, one: Node, other: Node, number: int) -> None:
    """As if `one` had sent so many requests."""
    ike_sa(one).window.next_id = number
    ike_sa(other).window.expected_id = number


def test_a_new_ike_sa_comes_in_time(codec: str, role: Role) -> None:
    pair = sized(codec).establish()
    one, other = role(pair)
    at_id(pair, one, other, MAX_MESSAGE_ID - RESERVE - 1)
    old = ike_sa(one).local_spi
    ask(pair, one, 1)
    pair.drive()
    pair.pass_time(60.0)
    assert ike_sa(one).local_spi != old
    assert ike_sa(one).window.next_id < 10
    assert settled(pair)


@pytest.mark.parametrize("left", range(1, 6))
def test_the_last_id_deletes(codec: str, role: Role, left: int) -> None:
    """A peer that never agrees to a new IKE SA: the old one ends before an ID comes twice."""
    pair = sized(codec).establish()
    one, other = role(pair)
    for node in (one, other):
        ike_sa(node).renewed = True
    at_id(pair, one, other, MAX_MESSAGE_ID - left)
    ask(pair, one, 10)
    pair.drive()
    assert pair.empty()
    numbers = [header(pair, d).message_id for d in pair.sent if d.source is one and kind(pair, d) == INFORM]
    assert numbers == [MAX_MESSAGE_ID - left + n for n in range(left + 1)]
    assert "message IDs" in str(one.event(E.IKE_SA_DELETED).fields["reason"])


def test_a_peer_that_has_used_up_its_ids(codec: str, role: Role) -> None:
    """It does not stop: after its last one we delete the IKE SA, and nothing of it is taken any more."""
    pair = sized(codec).establish()
    liar, other = role(pair)
    for node in (liar, other):
        ike_sa(node).renewed = True
    ike_sa(other).window.expected_id = MAX_MESSAGE_ID
    request(pair, liar, MAX_MESSAGE_ID)
    assert other.endpoint.sas()[0].phase == "DELETING"
    ike_sa(liar).window.next_id = 0
    (ending,) = other.endpoint._sas.values()
    with pytest.raises(PeerMisbehaved):
        ending.window.repeated(0, b"wrapped")
    pair.drive()
    assert pair.empty()


def test_an_id_is_never_taken_beyond_the_last() -> None:
    window = Window(Retransmission(), Counting(b"window"), size=4)
    window.next_id = MAX_MESSAGE_ID
    assert window.used_up
    window.sent(ExchangeType.INFORMATIONAL, (b"last",), 0.0)
    window.grant(4)
    with pytest.raises(LocalMisuse, match="used up"):
        window.take_id()


def test_a_full_window_takes_no_id() -> None:
    window = Window(Retransmission(), Counting(b"window"), size=2)
    window.grant(9)
    for _ in range(2):
        window.sent(ExchangeType.INFORMATIONAL, (b"x",), 0.0)
    assert not window.open
    with pytest.raises(LocalMisuse, match="window is 2"):
        window.take_id()
    window.done(1)
    assert not window.open, "the oldest one holds it"
    window.done(0)
    assert window.take_id() == 2


def test_protocol_of_the_notification(codec: str) -> None:
    """Four octets, big endian, of no SPI (RFC 7296 2.3, 3.10)."""
    pair = sized(codec, 16, 16).establish()
    seen: list[Notify] = []
    honest = pair.responder.codec.seal

    def seal(*arguments: object) -> object:
        seen.extend(p for p in arguments[1] if isinstance(p, Notify))  # type: ignore[attr-defined]
        return honest(*arguments)  # type: ignore[arg-type]

    pair.responder.codec.seal = seal  # type: ignore[assignment,method-assign]
    rekey_ike(pair, pair.responder)
    pair.drive()
    ask(pair, pair.responder, 1)
    pair.drive()
    (notify,) = (n for n in seen if n.notify_type == NotifyType.SET_WINDOW_SIZE)
    assert (notify.data, notify.protocol, notify.spi) == (b"\0\0\0\x10", ProtocolId.NONE, b"")
