"""Exchanges on one Child SA that meet because something is late or was lost (RFC 7296 2.8.1, 2.25.1).

Both codecs, both original roles. At the end both ends agree, and hold what they should.
"""

import pytest

from node.ike.children import LINGER
from node.ike.settings import Lifetime
from node.model.events import EventName as E
from tests.engine.harness import INITIATOR, RESPONDER, Node, Pair, variant
from tests.engine.lives import (
    ANSWER,
    CREATE,
    INFORM,
    REPLY,
    Role,
    carries,
    child_of,
    delete_child,
    finish,
    grab,
    ike_sa,
    kept,
    kind,
    last_answer,
    notifies,
    pick,
    refused_with,
    rekey_child,
    settled,
    step,
    through,
)

#: One end asks first for a group that the other one refuses.
WIDE, NARROW = ("aes256gcm16-modp2048", "aes256gcm16-x25519"), ("aes256gcm16-x25519",)


def replaced(pair: Pair, one: Node, other: Node) -> None:
    """One whole rekey of the Child SA, begun by `one`, deletion included."""
    rekey_child(pair, one)
    through(pair, one, other)


# -- a request that is late ----------------------------------------------------------------------------------


def test_a_request_comes_after_two_rekeys(pair: Pair, role: Role) -> None:
    """
    one                                       other
    (a whole rekey, and another one)          SK { N(REKEY_SA, the first one) }, under way all the time
                                       <--    and here at last
    SK { N(CHILD_SA_NOT_FOUND) }       -->    which has lost its point
    """
    one, other = role(pair.establish())
    rekey_child(pair, other)
    late = grab(pair, other, CREATE)
    for _ in range(2):
        replaced(pair, one, other)
    now_used = child_of(one).inbound_spi
    pair.deliver(late)
    step(pair, one, ANSWER)
    assert notifies(other) == ["CHILD_SA_NOT_FOUND"]
    finish(pair)
    assert settled(pair)
    assert child_of(one).inbound_spi == now_used
    assert kept(one) == kept(other) == []


def test_a_request_comes_within_the_second_rekey(pair: Pair, role: Role) -> None:
    """It names the Child SA before the one that is being replaced: no collision, CHILD_SA_NOT_FOUND."""
    one, other = role(pair.establish())
    rekey_child(pair, other)
    late = grab(pair, other, CREATE)
    replaced(pair, one, other)
    rekey_child(pair, one)
    step(pair, one, CREATE)
    pair.deliver(late)
    assert refused_with(one) == ["CHILD_SA_NOT_FOUND"]
    finish(pair)
    assert settled(pair)
    assert kept(one) == kept(other) == []
    assert one.names().count(E.CHILD_SA_REKEYED) == 2


def test_a_request_comes_when_what_replaced_it_is_gone(pair: Pair, role: Role) -> None:
    """
    one                                       other
    (a whole rekey)                           SK { N(REKEY_SA) }, under way all the time
    SK { D(new) }                      -->
                                       <--    SK { D(new) }
                                       <--    SK { N(REKEY_SA) }, late
    SK { N(CHILD_SA_NOT_FOUND) }       -->    nothing is made anew: it was deleted on purpose
    """
    one, other = role(pair.establish())
    rekey_child(pair, other)
    late = grab(pair, other, CREATE)
    replaced(pair, one, other)
    delete_child(pair, one)
    step(pair, one, INFORM)
    step(pair, other, REPLY)
    pair.deliver(late)
    step(pair, one, ANSWER)
    assert notifies(other) == ["CHILD_SA_NOT_FOUND"]
    finish(pair)
    assert settled(pair, children=0)


def test_a_request_is_lost_and_comes_again(pair: Pair, role: Role) -> None:
    """The second sequence of RFC 7296 2.8.1: the first request is lost, and the peer's rekey is through.

    one                                  other
    SK { N(REKEY_SA), ... }  (lost)
                                  <--    SK { N(REKEY_SA), ... }
    SK { SA, Nr, ... }            -->
                                  <--    SK { D(old) }
    SK { D(old) }                 -->
    SK { N(REKEY_SA), ... } again -->
                                  <--    SK { N(CHILD_SA_NOT_FOUND) }, which is ignored
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    grab(pair, one, CREATE)
    replaced(pair, other, one)
    now_used = child_of(one).inbound_spi
    assert E.RETRANSMITTED not in one.names()
    finish(pair)
    assert E.RETRANSMITTED in one.names()
    assert notifies(one) == ["CHILD_SA_NOT_FOUND"]
    assert settled(pair)
    assert child_of(one).inbound_spi == now_used
    assert E.CHILD_SA_FAILED not in one.names()


def test_a_delete_and_an_answer_cross(pair: Pair, role: Role) -> None:
    """
    one                                  other
                                  <--    SK { D }
    SK { N(REKEY_SA), ... }       -->    (sent before that came)
                                  <--\\  SK { N(TEMPORARY_FAILURE) }
    SK { D }                      -->  \\
                                   <-----  late: what it was about is gone, nobody asks again
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    delete_child(pair, other)
    step(pair, one, CREATE)
    late = pick(pair, other, ANSWER)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    pair.deliver(late)
    assert notifies(one) == ["TEMPORARY_FAILURE"]
    assert not len(ike_sa(one).agenda)
    finish(pair)
    assert settled(pair, children=0)


# -- the group is refused, and something is late -------------------------------------------------------------


def refused_group(codec: str) -> tuple[Pair, Node, Node]:
    """A pair, who asks for a group that is refused, and who refuses it."""
    pair = Pair(codec, variant(INITIATOR, esp=WIDE), variant(RESPONDER, esp=NARROW)).establish()
    return pair, pair.initiator, pair.responder


def test_the_second_try_comes_after_the_peers_rekey(codec: str) -> None:
    """
    one                                          other
    SK { N(REKEY_SA), KEi (MODP-2048) }   -->
                                          <--    SK { N(INVALID_KE_PAYLOAD) }
    SK { N(REKEY_SA), KEi (Curve25519) }, late
                                          <--    a whole rekey
                                          -->    the late one
                                          <--    SK { N(CHILD_SA_NOT_FOUND) }
    """
    pair, one, other = refused_group(codec)
    rekey_child(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    late = grab(pair, one, CREATE)
    replaced(pair, other, one)
    pair.deliver(late)
    step(pair, other, ANSWER)
    assert notifies(one) == ["INVALID_KE_PAYLOAD", "CHILD_SA_NOT_FOUND"]
    finish(pair)
    assert settled(pair)
    assert other.names().count(E.CHILD_SA_REKEYED) == 1


def test_the_second_try_comes_before_the_peers_delete(codec: str) -> None:
    """As above; the peer has not deleted the old one yet: TEMPORARY_FAILURE, and no third try."""
    pair, one, other = refused_group(codec)
    rekey_child(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    late = grab(pair, one, CREATE)
    rekey_child(pair, other)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    pair.deliver(late)
    answer = pick(pair, other, ANSWER)
    pair.deliver(answer)
    assert notifies(one) == ["INVALID_KE_PAYLOAD", "TEMPORARY_FAILURE"]
    finish(pair)
    assert settled(pair)
    assert one.names().count(E.CHILD_SA_REKEYED) == 1


def test_the_refusal_comes_after_the_peers_rekey(codec: str) -> None:
    """INVALID_KE_PAYLOAD is late itself: by then there is nothing left to ask for."""
    pair, one, other = refused_group(codec)
    rekey_child(pair, one)
    step(pair, one, CREATE)
    late = grab(pair, other, ANSWER)
    replaced(pair, other, one)
    pair.deliver(late)
    assert not pair.wire
    finish(pair)
    assert settled(pair)
    assert other.names().count(E.CHILD_SA_REKEYED) == 1


# -- the other end acts before the rekey is through ----------------------------------------------------------


@pytest.mark.parametrize("which", ["old", "new"])
def test_a_soft_limit_while_it_waits_for_the_delete(pair: Pair, role: Role, which: str) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }     -->
                                <--    SK { SA, Nr, ... }      its own soft limit comes: it asks nothing
    SK { D(old) }               -->
    """
    one, other = role(pair.establish())
    set_lifetime(other)
    rekey_child(pair, one)
    step(pair, one, CREATE)
    children = ike_sa(other).children
    (new,) = (spi for spi, owned in children.items() if owned.silent)
    (old,) = (spi for spi in children if spi != new)
    other.endpoint.expire_child({"old": old, "new": new}[which], pair.now, hard=False)
    pair.flush(other)
    assert [kind(pair, datagram) for datagram in pair.wire] == [ANSWER]
    finish(pair)
    assert settled(pair)
    assert one.names().count(E.CHILD_SA_REKEYED) == other.names().count(E.CHILD_SA_REKEYED) == 1


def test_a_hard_limit_while_it_waits_for_the_delete(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }     -->
                                <--    SK { SA, Nr, ... }
                           /----<--    SK { D(old) }: it may not be used any more
    SK { D(old) }          |    -->
                         <-/    <--    SK { }
    SK { }                      -->
    """
    one, other = role(pair.establish())
    set_lifetime(other)
    rekey_child(pair, one)
    step(pair, one, CREATE)
    (old,) = (spi for spi, owned in ike_sa(other).children.items() if not owned.silent)
    other.endpoint.expire_child(old, pair.now, hard=True)
    pair.flush(other)
    step(pair, other, ANSWER)
    step(pair, other, INFORM)
    assert last_answer(one) == ()
    assert carries(pair)
    step(pair, one, INFORM)
    assert last_answer(other) == ()
    assert carries(pair)
    finish(pair)
    assert settled(pair)


def set_lifetime(node: Node) -> None:
    """Child SAs of the node have an end, far away: so it heeds what they have sent."""
    object.__setattr__(node.settings, "child_lifetime", Lifetime(100_000.0, 0.0, 10.0))


def test_the_other_end_deletes_the_old_one_before_its_answer_is_there(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }     -->
                           /----<--    SK { SA, Nr, ... }
                           |    <--    SK { D(old) }: not its part, and too early
    SK { D(old) }          |    -->
                         <-/           and there is the new one
    """
    one, other = role(pair.establish())
    old = rekey_child(pair, one)
    step(pair, one, CREATE)
    late = grab(pair, other, ANSWER)
    (theirs,) = (spi for spi, owned in ike_sa(other).children.items() if not owned.silent)
    other.endpoint.delete_child(theirs, pair.now)
    pair.flush(other)
    step(pair, other, INFORM)
    assert old not in ike_sa(one).children
    step(pair, one, REPLY)
    pair.deliver(late)
    assert not pair.wire
    finish(pair)
    assert settled(pair)


def test_the_other_end_deletes_the_new_one_at_once(pair: Pair, role: Role) -> None:
    """
    one                                other
    (a whole rekey, but for the last answer)
                                <--    SK { D(old) }
                                <--    SK { D(new) }: right behind it
    SK { D(new) }               -->
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    step(pair, one, INFORM)
    delete_child(pair, other)
    step(pair, other, REPLY)
    step(pair, other, INFORM)
    assert last_answer(one) == ("DELETE",)
    finish(pair)
    assert settled(pair, children=0)


def test_one_deletes_the_new_one_before_the_old_one_is_gone(pair: Pair, role: Role) -> None:
    """Whoever made it changes its mind: both are deleted, one after the other."""
    one, other = role(pair.establish())
    rekey_child(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    delete_child(pair, one)
    finish(pair)
    assert settled(pair, children=0)
    assert other.names().count(E.CHILD_SA_DELETED) == 2


def test_the_old_one_ends_once_however_often_that_is_said(pair: Pair, role: Role) -> None:
    """The DELETE is lost, comes again, its answer is lost, and the old one receives a little longer."""
    one, other = role(pair.establish())
    old = rekey_child(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    grab(pair, one, INFORM)
    pair.pass_time(1.0, keep=lambda datagram: datagram.source is one)
    assert [owned.state for owned in ike_sa(other).children.values()] == ["INSTALLED"]
    finish(pair)
    assert settled(pair)
    for node in (one, other):
        told = [e.fields["inbound_spi"] for e in node.events if e.name is E.CHILD_SA_DELETED]
        assert len(told) == 1
    assert [e.fields["inbound_spi"] for e in one.events if e.name is E.CHILD_SA_DELETED] == [old.hex()]


def test_packets_that_are_late_find_the_old_one(pair: Pair, role: Role) -> None:
    """What was replaced receives for LINGER seconds after its end, and no longer."""
    one, other = role(pair.establish())
    old = rekey_child(pair, one)
    pair.drive()
    assert old not in ike_sa(one).children
    pair.pass_time(LINGER - 0.5)
    assert len(one.children) == len(other.children) == 2
    assert old in one.children
    pair.pass_time(0.5)
    assert len(one.children) == len(other.children) == 1


# -- one end has lost it -------------------------------------------------------------------------------------


def lose(pair: Pair, node: Node) -> None:
    """A node has its Child SA no more, and nobody told the peer."""
    sa = ike_sa(node)
    sa.remove_child(child_of(node).inbound_spi)
    pair.flush(node)


def test_a_rekey_of_what_the_other_end_has_lost(pair: Pair, role: Role) -> None:
    """
    one                                  other
    SK { N(REKEY_SA), ... }       -->    has no such Child SA
                                  <--    SK { N(CHILD_SA_NOT_FOUND) }
    SK { SA, Ni, TSi, TSr }       -->    a new one from scratch (RFC 7296 2.25)
                                  <--    SK { SA, Nr, TSi, TSr }
    """
    one, other = role(pair.establish())
    lose(pair, other)
    old = rekey_child(pair, one)
    step(pair, one, CREATE)
    assert refused_with(other) == ["CHILD_SA_NOT_FOUND"]
    step(pair, other, ANSWER)
    assert old not in one.children
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    assert carries(pair)
    finish(pair)
    assert settled(pair)
    assert one.names().count(E.CHILD_SA_REKEYED) == 0


def test_a_delete_of_what_the_other_end_has_lost(pair: Pair, role: Role) -> None:
    """Answered without a Delete payload (RFC 7296 2.25.1), and gone at both ends."""
    one, other = role(pair.establish())
    lose(pair, other)
    delete_child(pair, one)
    step(pair, one, INFORM)
    assert last_answer(other) == ()
    finish(pair)
    assert settled(pair, children=0)


def test_a_delete_of_what_is_being_rekeyed_is_answered_as_usual(pair: Pair, role: Role) -> None:
    """With a Delete payload (RFC 7296 2.25.1)."""
    one, other = role(pair.establish())
    rekey_child(pair, one)
    grab(pair, one, CREATE)
    delete_child(pair, other)
    step(pair, other, INFORM)
    assert last_answer(one) == ("DELETE",)
    finish(pair)
    assert settled(pair, children=0)
