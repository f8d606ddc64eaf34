"""A peer that goes too far with CREATE_CHILD_SA and DELETE, and clocks that run out meanwhile."""

from dataclasses import replace
from typing import ClassVar

import pytest

from node.crypto import kex
from node.ike.agenda import LEAST_PAUSE, PATIENCE, PAUSE, PAUSE_JITTER, Agenda
from node.ike.children import LINGER
from node.ike.settings import Lifetime, Limits, Settings
from node.ike.tasks import shares
from node.ike.tasks.create_child import MAX_STILLBORN, CreateChild
from node.ike.tasks.rekey import ABANDONED, UNCLAIMED
from node.model.events import EventName as E
from node.model.message import Message
from node.model.payloads import Delete, KeyExchange, Nonce, Payload, SecurityAssociation
from node.model.proposal import offer
from node.model.registry import ExchangeType, ProtocolId
from tests.engine.harness import INITIATOR, RESPONDER, Counting, Node, Pair, variant
from tests.engine.lives import (
    Role,
    carries,
    child_of,
    ike_sa,
    notifies,
    rekey_child,
    rekey_ike,
    settled,
    step,
)

CREATE, ANSWER = "CREATE_CHILD_SA request", "CREATE_CHILD_SA response"
INFORM, REPLY = "INFORMATIONAL request", "INFORMATIONAL response"
GIVE_UP = 600.0


def insist(pair: Pair, liar: Node, exchange: ExchangeType, *payloads: Payload) -> None:
    """A request of the liar's making, whose answer it does not wait for."""
    sa = ike_sa(liar)
    sa.window.abandon()
    sa.send_request(exchange, payloads, pair.now)
    pair.flush(liar)
    step(pair, liar, f"{exchange} request")
    pair.wire.clear()


def new_ike_sa(liar: Node, number: int) -> tuple[Payload, ...]:
    """The payloads that ask for a new IKE SA."""
    share = kex.generate(shares.group_of(liar.settings.ike_suites[0]))
    proposals = SecurityAssociation(offer(liar.settings.ike_suites, number.to_bytes(8)))
    return proposals, Nonce(number.to_bytes(32)), KeyExchange(share.group, share.public)


def test_deleted_spis_that_nobody_has_heard_of_are_not_collected(pair: Pair, role: Role) -> None:
    """While we wait for an answer the peer deletes what is not there, again and again."""
    liar, other = role(pair.establish())
    rekey_child(pair, other)
    pair.wire.clear()
    for number in range(40):
        spis = tuple((number * 10 + n).to_bytes(4) for n in range(1_000, 1_010))
        insist(pair, liar, ExchangeType.INFORMATIONAL, Delete(ProtocolId.ESP, spis))
    (active,) = ike_sa(other).agenda.active(CreateChild)
    assert 0 < len(active.stillborn) <= MAX_STILLBORN


def test_one_rival_at_a_time(codec: str, role: Role) -> None:
    """While we replace the IKE SA the peer replaces it, too, again and again: that makes one rival."""
    fast = {"ike": ("aes256gcm16-prfsha256-x25519",)}
    pair = Pair(codec, variant(INITIATOR, **fast), variant(RESPONDER, **fast)).establish()
    liar, other = role(pair)
    rekey_ike(pair, other)
    pair.wire.clear()
    for number in range(1, 6):
        insist(pair, liar, ExchangeType.CREATE_CHILD_SA, *new_ike_sa(liar, number))
    assert len(other.endpoint.sas()) == 2
    sent = [e.fields["notify"] for e in other.events if e.name is E.NOTIFY_SENT]
    assert sent == ["TEMPORARY_FAILURE"] * 4


def test_a_rival_that_nobody_claims_does_not_stay(pair: Pair, role: Role) -> None:
    """The wire is cut where both have made a new IKE SA and neither knows it of the other one."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    step(pair, one, CREATE)
    step(pair, other, CREATE)
    pair.pass_time(UNCLAIMED + GIVE_UP, keep=lambda datagram: False)
    assert pair.empty()


def test_new_ike_sas_count(codec: str, role: Role) -> None:
    """The bound on IKE SAs is one on those that replace others, too."""

    def few(settings: Settings) -> Settings:
        return replace(settings, limits=replace(Limits(), ike_sas=4))

    fast = {"ike": ("aes256gcm16-prfsha256-x25519",), "change": few}
    pair = Pair(codec, variant(INITIATOR, **fast), variant(RESPONDER, **fast)).establish()
    one, other = role(pair)
    for _ in range(6):
        rekey_ike(pair, one)
        step(pair, one, CREATE)
        step(pair, other, ANSWER)
        pair.wire.clear()
    assert len(other.endpoint.sas()) == 4
    assert "NO_ADDITIONAL_SAS" in notifies(one)
    pair.pass_time(ABANDONED + GIVE_UP)
    assert settled(pair)


class Chore:
    """A task of a test: has a point, or none any more."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    alone: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self.name, self.point = name, True

    def key(self) -> object:
        return self.name

    def move(self, sa: object, /) -> bool:
        return bool(sa)

    def build(self, now: float) -> tuple[Payload, ...] | None:
        return () if self.point and now else None

    def process(self, message: Message, now: float) -> None:
        raise AssertionError(f"{message} at {now}")


def test_what_settled_itself_is_no_disagreement() -> None:
    """Put off, then pointless; hours later something else is put off: that has not gone on for hours."""
    agenda, chore, later = Agenda(Counting(b"agenda")), Chore("one"), Chore("another")
    assert agenda.put_off(chore, 0.0)
    chore.point = False
    assert agenda.next(PAUSE + PAUSE_JITTER, 0) is None
    assert agenda.put_off(later, 10 * PATIENCE)
    assert agenda.next(10 * PATIENCE + PAUSE + PAUSE_JITTER, 0) == (later, ())
    agenda.finish(0)
    assert not agenda.put_off(later, 11.5 * PATIENCE)


@pytest.mark.parametrize("moment", [5.2, 15.0], ids=["in time", "in the last moment"])
def test_the_end_of_an_old_ike_sa_is_not_that_of_its_heir(codec: str, moment: float) -> None:
    """The hard limit comes while the rekey is under way: what it makes lives on."""

    def mortal(settings: Settings) -> Settings:
        return replace(settings, ike_lifetime=Lifetime(100.0, 0.0, 10.0))

    pair = Pair(codec, variant(INITIATOR, change=mortal)).establish()
    one = pair.initiator
    pair.pass_time(99.0)
    pair.pass_time(moment, keep=lambda datagram: False)
    pair.pass_time(60.0)
    assert settled(pair)
    assert carries(pair)
    assert one.names().count(E.IKE_SA_REKEYED) == 1


def forget_soft_limits(node: Node) -> None:
    """As if they were over: nothing is rekeyed by the clock any more."""
    sa = ike_sa(node)
    sa.times = replace(sa.times, rekey_at=None)
    for spi, owned in sa.children.items():
        sa.children[spi] = replace(owned, times=replace(owned.times, rekey_at=None))


@pytest.mark.parametrize("margin", [0.5, 1.0, 5.0])
def test_what_is_put_off_comes_again_before_the_end_of_its_sa(codec: str, margin: float) -> None:
    """
    one                                         other
    SK { N(REKEY_SA), SA, Ni, TSi, TSr }  --\\ /--  SK { SA, Ni, KEi }
                                          <--/ \\-->
    SK { N(TEMPORARY_FAILURE) }           --\\ /--  SK { N(TEMPORARY_FAILURE) }
                                          <--/ \\-->
    and both SAs end before the pause would be over
    """

    def mortal(settings: Settings) -> Settings:
        life = Lifetime(100.0, 0.0, margin)
        return replace(settings, child_lifetime=life, ike_lifetime=life)

    pair = Pair(codec, variant(INITIATOR, change=mortal), variant(RESPONDER, change=mortal)).establish()
    one, other = pair.initiator, pair.responder
    old, child = ike_sa(one), child_of(one)
    for node in (one, other):
        forget_soft_limits(node)
    pair.pass_time(100.0)
    rekey_child(pair, one)
    rekey_ike(pair, other)
    for node in (one, other):
        step(pair, node, CREATE)
    for node in (one, other):
        step(pair, node, ANSWER)
    assert notifies(one) == notifies(other) == ["TEMPORARY_FAILURE"]
    pair.pass_time(margin + LINGER)
    assert settled(pair)
    assert ike_sa(one).spi_i != old.spi_i
    assert child_of(one).inbound_spi != child.inbound_spi
    for node in (one, other):
        assert E.CHILD_SA_EXPIRED not in node.names()
        assert E.CHILD_SA_REKEYED in node.names()
        assert E.IKE_SA_REKEYED in node.names()


def test_a_pause_is_never_longer_than_what_is_left_nor_too_short() -> None:
    entropy = Counting(b"agenda")
    for left, least, most in (
        (None, PAUSE, PAUSE + PAUSE_JITTER),
        (3600.0, PAUSE, PAUSE + PAUSE_JITTER),
        (4.0, 1.0, 2.0),
        (0.1, LEAST_PAUSE, 2 * LEAST_PAUSE),
        (-1.0, LEAST_PAUSE, 2 * LEAST_PAUSE),
    ):
        for _ in range(20):
            agenda = Agenda(entropy)
            assert agenda.put_off(Chore("one"), 100.0, left)
            assert least - 1e-9 <= (agenda.deadline() or 0.0) - 100.0 <= most + 1e-9
