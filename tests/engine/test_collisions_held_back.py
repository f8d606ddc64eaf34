"""A Child SA that the peer asked for and may not have: what carries the traffic meanwhile, and until when."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from node.ike.children import ASK
from node.ike.sa import IkeSa
from node.ike.settings import Lifetime
from node.ike.tasks import child
from node.ike.tasks.create_child import CreateChild
from node.model.events import EventName as E
from node.model.registry import ExchangeType
from node.model.selectors import host
from tests.engine.harness import Datagram, Node, Pair
from tests.engine.lives import (
    ANSWER,
    INFORM,
    REPLY,
    Role,
    carries,
    ike_sa,
    kind,
    sender,
    settled,
    step,
)
from tests.engine.mobile import HOME, gone, mobile_pair, move
from tests.engine.test_reauthentication import AUTH, AUTH_REPLY, REST, both, done, reauth, timed


def unanswered(codec: str, ours: object = None, theirs: object = None) -> Pair:
    """The responder has a new IKE SA, and its answer to IKE_AUTH is lost."""
    pair = both(codec, ours, theirs).establish()
    reauth(pair)
    for _ in range(2):
        pair.deliver(pair.take())
    step(pair, pair.initiator, AUTH)
    assert kind(pair, pair.take()) == AUTH_REPLY
    return pair


def newest(node: Node) -> IkeSa:
    """The IKE SA that a node made last."""
    return list(node.endpoint._sas.values())[-1]


def oldest(node: Node) -> IkeSa:
    return next(iter(node.endpoint._sas.values()))


def no_auth_reply(pair: Pair) -> Callable[[Datagram], bool]:
    """A wire on which no answer to IKE_AUTH arrives."""
    return lambda datagram: kind(pair, datagram) != AUTH_REPLY


# -- the answer to IKE_AUTH ------------------------------------------------------------------------------


def test_a_peer_that_never_has_it_is_asked_and_loses_nothing(codec: str) -> None:
    """Neither the time nor a question that nobody answers makes the responder send where nobody receives."""
    pair = unanswered(codec)
    asked = 0
    for _ in range(600):
        pair.pass_time(1.0, no_auth_reply(pair))
        assert carries(pair)
        asked += any(kind(pair, d) == INFORM and d.source is pair.responder for d in pair.sent)
    assert asked
    assert pair.responder.names().count(E.RETRANSMISSION_GAVE_UP) >= 1
    pair.pass_time(REST)
    assert settled(pair)
    assert done(pair.initiator) == 1


def test_it_is_asked_once_and_the_answer_says_it(codec: str) -> None:
    """A peer that keeps both IKE SAs and sends nothing over the new one."""
    pair = both(codec).establish()
    pair.initiate()
    pair.drive()
    old, new = pair.responder.children
    pair.pass_time(ASK - 0.1)
    assert set(pair.responder.outbound) == {old}
    pair.pass_time(60.0)
    assert set(pair.responder.outbound) == {old, new}
    assert [kind(pair, d) for d in pair.sent[8:]] == [INFORM, REPLY]
    assert pair.responder.endpoint.deadline() is None


def test_packets_are_evidence_enough(codec: str) -> None:
    pair = both(codec).establish()
    pair.initiate()
    pair.drive()
    _, new = pair.responder.children
    pair.responder.endpoint.watch(lambda spi: int(spi == new))
    pair.pass_time(60.0)
    assert new in pair.responder.outbound
    assert len(pair.sent) == 8


def test_no_question_where_packets_came_before_the_old_one_ended(codec: str) -> None:
    pair = both(codec).establish()
    reauth(pair)
    pair.drive()
    new = set(ike_sa(pair.responder).children)
    pair.responder.endpoint.watch(lambda spi: int(spi in new))
    pair.pass_time(60.0)
    assert settled(pair)
    assert len(pair.sent) == 10


@pytest.mark.parametrize("what", ["IKE SA", "Child SA"])
def test_who_takes_over_without_evidence_asks(codec: str, what: str) -> None:
    """The responder deletes what carries: nothing is left but what the peer may not have."""
    pair = unanswered(codec)
    old = oldest(pair.responder)
    if what == "IKE SA":
        pair.responder.endpoint.delete(old.local_spi, pair.now)
    else:
        (spi,) = old.children
        pair.responder.endpoint.delete_child(spi, pair.now)
    pair.flush(pair.responder)
    pair.drive(no_auth_reply(pair))
    (new,) = newest(pair.responder).children
    assert new in pair.responder.outbound, "there is nothing else to send through"
    before = len(pair.sent)
    pair.pass_time(0.0, no_auth_reply(pair))
    assert [kind(pair, d) for d in pair.sent[before:]] == [INFORM]
    pair.pass_time(REST)
    assert settled(pair)
    assert pair.responder.names().count(E.RETRANSMISSION_GAVE_UP) == 0


def test_who_takes_over_from_a_peer_that_is_gone_ends(codec: str) -> None:
    """The peer never heard of the new IKE SA, and is away."""
    pair = unanswered(codec)
    pair.responder.endpoint.delete(oldest(pair.responder).local_spi, pair.now)
    pair.flush(pair.responder)
    pair.pass_time(REST, keep=lambda datagram: False)
    assert not pair.responder.endpoint.sas()
    assert not pair.responder.children
    assert not pair.responder.outbound


def test_the_old_ike_sa_is_given_up_meanwhile(codec: str) -> None:
    """The responder's request over it gets no answer, and the new one stands in."""
    pair = unanswered(codec)
    old = oldest(pair.responder)
    pair.responder.endpoint.create_child(old.local_spi, pair.now)
    pair.responder.endpoint.rekey_child(next(iter(old.children)), pair.now)
    pair.flush(pair.responder)

    def keep(datagram: Datagram) -> bool:
        return kind(pair, datagram) not in ("CREATE_CHILD_SA request", AUTH_REPLY)

    while E.RETRANSMISSION_GAVE_UP not in pair.responder.names():
        pair.pass_time(0.1, keep)
    (held,) = newest(pair.responder).children
    assert held in pair.responder.outbound
    pair.pass_time(0.1, keep)
    assert any(kind(pair, d) == INFORM for d in pair.sent if d.source is pair.responder)
    pair.pass_time(2 * REST)
    assert settled(pair)


def test_the_new_one_fails_and_the_old_one_never_stopped(codec: str) -> None:
    """The initiator does not like what it gets: its DELETE ends the new one at both ends."""
    pair = unanswered(codec)
    before = sender(pair.responder)
    pair.initiator.endpoint.delete(newest(pair.initiator).local_spi, pair.now)
    pair.flush(pair.initiator)
    pair.pass_time(ASK + 1.0)
    assert sender(pair.responder) == before
    assert carries(pair)
    pair.pass_time(2 * REST)
    assert settled(pair)


def test_a_peer_that_moves_is_waited_for_as_well(codec: str) -> None:
    """It authenticates anew from another address, and the older IKE SA does not know of that yet (MOBIKE)."""
    pair = mobile_pair(codec)
    move(pair, "192.0.2.101")
    assert kind(pair, pair.take()) == INFORM
    reauth(pair)
    for _ in range(2):
        pair.deliver(pair.take())
    step(pair, pair.initiator, AUTH)
    assert kind(pair, pair.take()) == AUTH_REPLY
    assert carries(pair)
    pair.pass_time(REST, gone(HOME))
    assert carries(pair)
    assert done(pair.initiator) == 1


def test_of_two_that_carry_one_ends(codec: str) -> None:
    """What is held back waits as long as anything else carries the traffic."""
    pair = both(codec).establish()
    pair.initiate()
    pair.drive()
    pair.pass_time(REST)
    pair.initiate()
    for _ in range(3):
        pair.deliver(pair.take())
    pair.take()
    first, second, third = pair.responder.endpoint._sas.values()
    (held,) = third.children
    pair.responder.endpoint.delete(second.local_spi, pair.now)
    pair.flush(pair.responder)
    pair.drive(no_auth_reply(pair))
    assert held not in pair.responder.outbound
    assert carries(pair)
    pair.responder.endpoint.delete(first.local_spi, pair.now)
    pair.flush(pair.responder)
    assert held in pair.responder.outbound
    pair.pass_time(REST)
    assert settled(pair)


# -- the answer to CREATE_CHILD_SA -----------------------------------------------------------------------


def another(pair: Pair, node: Node) -> None:
    """Ask for a Child SA of a part of what the first one carries."""
    sa = ike_sa(node)
    wanted = replace(child.allowed(sa), local=(host(ip_address(HOSTS[node is pair.initiator])),))
    sa.ask(CreateChild(sa, None, wanted), pair.now)
    pair.flush(node)


INFORMATIONAL = ExchangeType.INFORMATIONAL
#: An address of the responder's side, and of the initiator's.
HOSTS = ("10.2.0.9", "10.1.0.9")


@pytest.mark.parametrize("window", [1, 4])
def test_one_more_child_sa_sends_once_the_peer_surely_has_it(codec: str, role: Role, window: int) -> None:
    """The answer is lost: the first Child SA carries all until a request shows that it arrived."""
    pair = both(codec, timed(window=window), timed(window=window)).establish()
    node, other = role(pair)
    # Both windows are open from now on.
    for end in (node, other):
        ike_sa(end).send_request(INFORMATIONAL, (), pair.now)
        pair.flush(end)
        pair.drive()
    another(pair, node)
    pair.deliver(pair.take())
    assert kind(pair, pair.take()) == ANSWER
    (held,) = (spi for spi, owned in ike_sa(other).children.items() if owned.held)
    assert held not in other.outbound
    assert carries(pair)
    ike_sa(other).send_request(INFORMATIONAL, (), pair.now)
    pair.flush(other)
    pair.drive()
    assert held not in other.outbound, "an answer to us says nothing of an answer of ours"
    pair.pass_time(2.0)
    assert held not in other.outbound
    for count in range(window):
        assert (held in other.outbound) == (count > window - 1)
        ike_sa(node).send_request(INFORMATIONAL, (), pair.now)
        pair.flush(node)
        pair.drive()
    assert held in other.outbound
    assert carries(pair)
    assert settled(pair, children=2)


def test_one_more_child_sa_sends_after_its_first_packet(codec: str) -> None:
    pair = both(codec).establish()
    another(pair, pair.initiator)
    pair.drive()
    (held,) = (spi for spi, owned in ike_sa(pair.responder).children.items() if owned.held)
    pair.responder.endpoint.watch(lambda spi: int(spi == held))
    pair.pass_time(0.2)
    assert held in pair.responder.outbound


def test_one_more_child_sa_stands_in(codec: str) -> None:
    """Without the first one there is nothing to wait for."""
    pair = both(codec).establish()
    another(pair, pair.initiator)
    pair.drive()
    (first,) = pair.responder.outbound
    (held,) = (spi for spi, owned in ike_sa(pair.responder).children.items() if owned.held)
    pair.responder.endpoint.delete_child(first, pair.now)
    pair.flush(pair.responder)
    pair.drive()
    assert set(pair.responder.outbound) == {held}
    assert settled(pair)


def test_what_is_held_back_is_rekeyed_later(codec: str) -> None:
    """Its time has come, and nothing shows yet that the peer has it."""
    life = timed(child_lifetime=Lifetime(100.0, 0.0, 0.0))
    pair = both(codec, None, life).establish()
    ike_sa(pair.responder).children.update(
        {
            spi: replace(o, times=replace(o.times, rekey_at=None))
            for spi, o in ike_sa(pair.responder).children.items()
        }
    )
    another(pair, pair.initiator)
    pair.drive()
    pair.pass_time(150.0)
    assert not pair.responder.names().count(E.CHILD_SA_REKEYED)
    ike_sa(pair.initiator).send_request(INFORMATIONAL, (), pair.now)
    pair.flush(pair.initiator)
    pair.pass_time(20.0)
    assert pair.responder.names().count(E.CHILD_SA_REKEYED) == 1
    assert settled(pair, children=2)


def test_the_peer_rekeys_what_is_held_back(codec: str) -> None:
    """With a window above 1 its name in a request says that the peer has it."""
    pair = both(codec, timed(window=4), timed(window=4)).establish()
    another(pair, pair.initiator)
    pair.drive()
    (held,) = (o.child for o in ike_sa(pair.responder).children.values() if o.held)
    pair.initiator.endpoint.rekey_child(held.outbound_spi, pair.now)
    pair.flush(pair.initiator)
    pair.deliver(pair.take())
    assert held.inbound_spi in pair.responder.outbound
    pair.drive()
    pair.pass_time(REST)
    assert settled(pair, children=2)
