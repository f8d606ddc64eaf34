"""MOBIKE under attack: nobody is led to where the peer has not answered (RFC 4555 3.7, 5.3)."""

from dataclasses import replace

import pytest

from node.errors import DropReason
from node.ike.mobility import MAX_ADDRESSES
from node.ike.settings import Retransmission
from node.model.events import EventName as E
from node.model.message import Path
from node.model.payloads import Notify
from node.model.registry import NotifyType as N
from tests.engine.harness import Datagram
from tests.engine.lives import header, ike_sa, kind, rekey_ike, step
from tests.engine.mobile import (
    ABROAD,
    ASK,
    FAR,
    HOME,
    VICTIM,
    R,
    at,
    esp_paths,
    four,
    gone,
    last_path,
    mobile_pair,
    move,
    payloads,
    six,
    stray,
    to,
)
from tests.engine.test_delete import ask
from tests.engine.test_virtual_ip import rewrite

#: How often somebody is asked where the peer is not.
QUESTIONS = 10


# -- who is not followed -------------------------------------------------------------------------------------


def test_no_other_message_moves_anybody(codec: str) -> None:
    """3.8: so that a path can be tried."""
    pair = mobile_pair(codec)
    ask(pair, pair.initiator)
    request = pair.take()
    pair.deliver(replace(request, path=to(VICTIM)))
    assert last_path(pair.responder) == to(VICTIM)
    pair.wire.clear()
    assert ike_sa(pair.responder).path == to(HOME)
    ask(pair, pair.responder)
    pair.deliver(pair.take())
    pair.deliver(replace(pair.take(), path=to(VICTIM)))
    assert (ike_sa(pair.responder).path, esp_paths(pair.responder)) == (to(HOME), {to(HOME)})
    assert E.PEER_MOVED not in pair.responder.names()


def test_a_request_sent_on_from_elsewhere_leads_nobody_away(codec: str) -> None:
    """Somebody sees the request and has a copy there first, from an address of a third party."""
    pair = mobile_pair(codec)
    move(pair)
    genuine = pair.take()
    pair.deliver(replace(genuine, path=to(VICTIM)))
    assert ike_sa(pair.responder).path == to(VICTIM)
    assert esp_paths(pair.responder) == {to(HOME)}, "no packet of a Child SA goes there"
    pair.deliver(genuine)
    pair.pass_time(100, gone(HOME))
    assert esp_paths(pair.responder) == {to(HOME)}
    assert pair.responder.told(E.ROUTE_CHECK_FAILED)
    # The answer, and the question: what a third party gets at most.
    assert pair.sent_to(VICTIM) == 1 + QUESTIONS
    assert len(pair.responder.endpoint.sas()) == 1
    stray(pair, ABROAD)
    pair.pass_time(60, gone(HOME))
    assert at(pair, ABROAD), "the next ESP packet says where the peer is"


def test_a_repeated_request_moves_nobody(codec: str) -> None:
    pair = mobile_pair(codec)
    move(pair)
    genuine = pair.take()
    pair.deliver(genuine)
    pair.drive()
    pair.deliver(replace(genuine, path=to(VICTIM)))
    assert last_path(pair.responder) == to(VICTIM)
    assert at(pair, ABROAD)
    assert pair.responder.told(E.PEER_MOVED)
    move(pair, FAR)
    pair.drive()
    pair.deliver(replace(genuine, path=to(VICTIM)))
    assert pair.responder.dropped[DropReason.STALE_MESSAGE_ID] == 1
    assert at(pair, FAR)


def test_a_forged_request_moves_nobody(codec: str) -> None:
    pair = mobile_pair(codec)
    move(pair)
    genuine = pair.take()
    broken = genuine.octets[:-1] + bytes([genuine.octets[-1] ^ 1])
    pair.deliver(replace(genuine, path=to(VICTIM)), broken)
    assert ike_sa(pair.responder).path == to(HOME)
    assert pair.responder.dropped[DropReason.BAD_ICV] == 1


def test_the_responder_cannot_move_anybody(codec: str) -> None:
    pair = mobile_pair(codec)
    ask(pair, pair.responder, Notify(N.UPDATE_SA_ADDRESSES), Notify(N.COOKIE2, bytes(8)))
    pair.deliver(replace(pair.take(), path=Path(HOME, 8000, VICTIM, 8000)))
    assert payloads(pair.initiator, E.INFORMATIONAL_SENT)[-1] == ["N(COOKIE2)"]
    assert ike_sa(pair.initiator).path == Path(HOME, 8000, R, 8000)


# -- ESP from elsewhere --------------------------------------------------------------------------------------


def test_an_esp_packet_from_elsewhere_is_a_reason_to_ask(codec: str) -> None:
    pair = mobile_pair(codec)
    pair.nodes[ABROAD, 8000] = pair.initiator
    stray(pair, ABROAD)
    assert esp_paths(pair.responder) == {to(HOME)}
    assert payloads(pair.responder, E.INFORMATIONAL_SENT) == [["N(COOKIE2)"]]
    for _ in range(5):
        stray(pair, ABROAD)
    pair.drive()
    assert esp_paths(pair.responder) == {to(ABROAD)}
    assert pair.responder.told(E.PEER_MOVED)


def test_esp_packets_that_somebody_sends_on_lead_nothing_away(codec: str) -> None:
    pair = mobile_pair(codec)
    for number in range(3):
        stray(pair, VICTIM)
        pair.pass_time(200)
        assert pair.responder.names().count(E.ROUTE_CHECK_FAILED) == number + 1
        assert esp_paths(pair.responder) == {to(HOME)}
    assert at(pair, HOME)
    assert pair.sent_to(VICTIM) == 3 * QUESTIONS


def test_who_decides_is_not_led(codec: str) -> None:
    pair = mobile_pair(codec)
    stray(pair, VICTIM, pair.initiator)
    assert not pair.wire
    assert at(pair, HOME)


# -- COOKIE2 -------------------------------------------------------------------------------------------------


def other_cookie(*said: Notify):  # type: ignore[no-untyped-def]
    return lambda p: said if isinstance(p, Notify) and p.notify_type == N.COOKIE2 else (p,)


WRONG = {
    "another": (Notify(N.COOKIE2, bytes(16)),),
    "none": (),
    "a longer one": (Notify(N.COOKIE2, bytes(17)),),
    "two": (Notify(N.COOKIE2, bytes(16)),) * 2,
}


@pytest.mark.parametrize("said", WRONG)
@pytest.mark.parametrize("liar", ["initiator", "responder"])
def test_who_does_not_repeat_a_cookie_loses_the_ike_sa(
    codec: str, said: str, liar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The responder's question, and the initiator's in its update, which is honest yet."""
    pair = mobile_pair(codec)
    move(pair)
    rewrite(getattr(pair, liar), other_cookie(*WRONG[said]), monkeypatch)
    pair.drive()
    victim = pair.responder if liar == "initiator" else pair.initiator
    assert victim.told(E.ROUTE_CHECK_FAILED)
    assert pair.empty()


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [((8,), True), ((64,), True), ((7,), False), ((65,), False), ((0,), False), ((8, 8), False)],
)
@pytest.mark.parametrize("asks", ["initiator", "responder"])
def test_a_cookie_is_copied_within_bounds(codec: str, sizes: tuple[int, ...], fits: bool, asks: str) -> None:
    pair = mobile_pair(codec)
    asker = getattr(pair, asks)
    answerer = pair.initiator if asks == "responder" else pair.responder
    ask(pair, asker, *(Notify(N.COOKIE2, bytes(size)) for size in sizes))
    pair.drive()
    assert payloads(answerer, E.INFORMATIONAL_SENT)[0] == ["N(COOKIE2)" if fits else "N(INVALID_SYNTAX)"]
    assert answerer.dropped[DropReason.INVALID_PAYLOADS] == (not fits)


# -- floods --------------------------------------------------------------------------------------------------


def test_a_flood_of_addresses(codec: str) -> None:
    pair = mobile_pair(codec)
    nonsense = [
        Notify(N.ADDITIONAL_IP4_ADDRESS, bytes(5)),
        Notify(N.ADDITIONAL_IP6_ADDRESS, bytes(4)),
        Notify(N.ADDITIONAL_IP4_ADDRESS),
        four("0.0.0.0"),
        four("224.0.0.9"),
        six("ff02::1"),
    ]
    for _ in range(3):
        ask(pair, pair.initiator, *nonsense, *(four(f"192.0.2.{n}") for n in range(26)))
        pair.drive()
    kept = pair.responder.endpoint.sas()[0].peer_outer_addresses
    assert kept == tuple(f"192.0.2.{n}" for n in range(MAX_ADDRESSES))
    assert pair.responder.told(E.PEER_ADDRESSES_CHANGED), "what changes nothing is not told"
    ask(pair, pair.initiator, *(four(f"192.0.2.{n}") for n in range(33)))
    pair.drive()
    assert not pair.responder.endpoint.sas(), "more notifications than a message may have"
    assert pair.responder.dropped[DropReason.INVALID_PAYLOADS] == 1


def test_updates_of_a_peer_that_never_answers_are_kept_once(codec: str) -> None:
    pair = mobile_pair(codec)
    for number in range(200):
        ask(pair, pair.initiator, Notify(N.UPDATE_SA_ADDRESSES))
        pair.deliver(replace(pair.take(), path=to(f"198.51.{number}.1")))
        ike_sa(pair.initiator).window.abandon()
        pair.wire.clear()
    sa = ike_sa(pair.responder)
    assert len(sa.agenda) == 1
    assert esp_paths(pair.responder) == {to(HOME)}
    pair.pass_time(100)
    assert pair.responder.told(E.ROUTE_CHECK_FAILED)
    assert sa.path == to(HOME)


def test_a_question_without_an_answer_does_not_end_the_ike_sa_of_who_is_there(codec: str) -> None:
    pair = mobile_pair(codec, retransmission=Retransmission(timeout=0.5, factor=1, tries=4))
    stray(pair, VICTIM)
    pair.pass_time(30)
    assert pair.up()
    assert at(pair, HOME)


def test_an_ike_sa_that_was_replaced_says_nothing_of_the_peers_address(codec: str) -> None:
    """Its DELETE is not answered for long, when the peer moves: that is no answer to any question."""
    pair = mobile_pair(codec)
    old = rekey_ike(pair, pair.responder)
    step(pair, pair.responder, "CREATE_CHILD_SA request")
    step(pair, pair.initiator, "CREATE_CHILD_SA response")

    def new(datagram: Datagram) -> bool:
        found = header(pair, datagram)
        return old not in (found.spi_i, found.spi_r)

    pair.pass_time(55, new)
    move(pair)
    pair.drive(lambda d: new(d) and kind(pair, d) == ASK and d.source is pair.initiator)
    assert ike_sa(pair.responder).path == to(ABROAD)
    pair.pass_time(30, lambda d: False)
    assert E.ROUTE_CHECK_FAILED not in pair.responder.names()
    assert ike_sa(pair.responder).esp_path == to(HOME)
    pair.pass_time(100, new)
    assert at(pair, ABROAD)
