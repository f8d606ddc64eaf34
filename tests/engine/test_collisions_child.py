"""Exchanges that meet on one Child SA (RFC 7296 2.25.1, 2.8.1), over both codecs and for both original roles.

`one` and `other` are the ends; messages cross where the arrows do. At the end both ends agree, hold exactly
the Child SAs that they should, and packets in both directions arrive at SAs that are there.
"""

import pytest

from node.ike.tasks.delete import DeleteChild
from node.model.events import EventName as E
from tests.engine.harness import INITIATOR, RESPONDER, Pair, variant
from tests.engine.lives import (
    ANSWER,
    CREATE,
    INFORM,
    LATER,
    REPLY,
    Role,
    carries,
    child_of,
    delete_child,
    delete_ike,
    finish,
    grab,
    ike_sa,
    kept,
    kind,
    notifies,
    rekey_child,
    rekey_ike,
    settled,
    step,
)

# -- both replace it -----------------------------------------------------------------------------------------


def test_both_rekey(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }  --\\ /--  SK { N(REKEY_SA), ... }
                               X
                           <--/ \\-->
    SK { SA, Nr, ... }       --\\ /--  SK { SA, Nr, ... }
                           <--/ \\-->  of four nonces the lowest loses
    """
    one, other = role(pair.establish())
    old = rekey_child(pair, one), rekey_child(pair, other)
    step(pair, one, CREATE)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    step(pair, other, ANSWER)
    assert carries(pair)
    assert sorted(kept(one) + kept(other)) == [False, True]
    finish(pair)
    assert settled(pair)
    assert child_of(one).inbound_spi not in old
    assert notifies(one) == notifies(other) == []


def test_both_rekey_and_one_answer_is_late(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }  -->
                             <--       SK { N(REKEY_SA), ... }
    SK { SA, Nr, ... }       -->       other knows who won, and deletes
                             <--       SK { D }
    SK { D }                 -->
                             <--       SK { SA, Nr, ... }, at last
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    rekey_child(pair, other)
    step(pair, one, CREATE)
    late = grab(pair, other, "CREATE_CHILD_SA request")
    answer = grab(pair, other, ANSWER)
    pair.deliver(late)
    step(pair, one, ANSWER)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    assert carries(pair)
    pair.deliver(answer)
    finish(pair)
    assert settled(pair)


def test_both_rekey_and_one_request_comes_after_the_end(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }  -->       (other's own request is under way)
                             <--       SK { SA, Nr, ... }
    SK { D(old) }            -->
                             <--       SK { D(old) }
                             <--       SK { N(REKEY_SA), ... }, late
    SK { N(CHILD_SA_NOT_FOUND) } -->
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    rekey_child(pair, other)
    late = grab(pair, other, CREATE)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    step(pair, one, INFORM)
    step(pair, other, REPLY)
    assert carries(pair)
    pair.deliver(late)
    step(pair, one, ANSWER)
    assert notifies(other) == ["CHILD_SA_NOT_FOUND"]
    finish(pair)
    assert settled(pair)
    assert kept(one) == kept(other) == []


def test_both_rekey_and_one_request_comes_before_the_delete(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }  -->
                             <--       SK { SA, Nr, ... }
    SK { D(old) }            --\\
                             <--\\---  SK { N(REKEY_SA), ... }, late
    SK { N(TEMPORARY_FAILURE) } --\\->
                                   \\->
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    rekey_child(pair, other)
    late = grab(pair, other, CREATE)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    held = grab(pair, one, INFORM)
    pair.deliver(late)
    step(pair, one, ANSWER)
    assert notifies(other) == ["TEMPORARY_FAILURE"]
    pair.deliver(held)
    finish(pair)
    assert settled(pair)


def test_both_rekey_and_the_group_of_one_is_refused(codec: str, role: Role) -> None:
    """One end's request needs another group first: INVALID_KE_PAYLOAD inside the collision."""
    wide, narrow = ("aes256gcm16-modp2048", "aes256gcm16-x25519"), ("aes256gcm16-x25519",)
    pair = Pair(codec, variant(INITIATOR, esp=wide), variant(RESPONDER, esp=narrow)).establish()
    one, other = role(pair)
    rekey_child(pair, one)
    rekey_child(pair, other)
    step(pair, one, CREATE)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    step(pair, other, ANSWER)
    finish(pair)
    assert settled(pair)
    assert {str(child_of(node).suite.ke) for node in (one, other)} == {"CURVE25519"}


def test_the_loser_deletes_the_old_one_all_the_same(pair: Pair, role: Role) -> None:
    """A peer that lost deletes the old Child SA, instead of leaving it to us: no harm done."""
    one, other = role(pair.establish())
    rekey_child(pair, one)
    rekey_child(pair, other)
    for node, expected in ((one, CREATE), (other, CREATE), (one, ANSWER), (other, ANSWER)):
        step(pair, node, expected)
    loser = one if kept(one) == [False] else other
    winner = other if loser is one else one
    sa = ike_sa(loser)
    old = next(spi for spi, o in sa.children.items() if o.heir is not None)
    loser.endpoint.delete_child(old, pair.now)
    pair.flush(loser)
    finish(pair)
    assert settled(pair)
    assert len(winner.children) == 1


# -- one replaces, one deletes -------------------------------------------------------------------------------


def test_rekey_meets_delete(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }  --\\ /--  SK { D }
                           <--/ \\-->
    SK { D }                 --\\ /--  SK { N(TEMPORARY_FAILURE) }
                           <--/ \\-->
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    delete_child(pair, other)
    step(pair, one, CREATE)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    step(pair, other, ANSWER)
    assert notifies(one) == ["TEMPORARY_FAILURE"]
    finish(pair)
    assert settled(pair, children=0)


def test_a_rekey_that_comes_after_the_delete(pair: Pair, role: Role) -> None:
    """
    one                                     other
    (request under way)              <--    SK { D }
    SK { D }                         -->
    SK { N(REKEY_SA), ... }, late    -->
                                     <--    SK { N(CHILD_SA_NOT_FOUND) }
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    late = grab(pair, one, CREATE)
    delete_child(pair, other)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    pair.deliver(late)
    step(pair, other, ANSWER)
    assert notifies(one) == ["CHILD_SA_NOT_FOUND"]
    finish(pair)
    assert settled(pair, children=0)


def test_a_delete_that_is_lost_and_comes_again(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    rekey_child(pair, one)
    delete_child(pair, other)
    grab(pair, other, INFORM)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    finish(pair)
    assert settled(pair, children=0)


def test_a_rekey_that_is_lost_and_comes_again(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    rekey_child(pair, one)
    delete_child(pair, other)
    grab(pair, one, CREATE)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    finish(pair)
    assert settled(pair, children=0)


def test_the_delete_of_a_new_one_waits_until_the_peer_has_it(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }  -->
                             <--       SK { SA, Nr, ... }, late; then it is told to delete the new one
    SK { D(old) }            -->
                             <--       SK { D(old) }
                             <--       SK { D(new) }
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    step(pair, one, CREATE)
    (new,) = (spi for spi, owned in ike_sa(other).children.items() if owned.silent)
    other.endpoint.delete_child(new, pair.now)
    pair.flush(other)
    assert [kind(pair, datagram) for datagram in pair.wire] == [ANSWER]
    finish(pair)
    assert settled(pair, children=0)


def test_a_delete_of_the_new_one_that_overtakes_the_answer(pair: Pair, role: Role) -> None:
    """A peer that deletes what it has just made before it knows that we have it: nothing is left of it."""
    one, other = role(pair.establish())
    rekey_child(pair, one)
    step(pair, one, CREATE)
    late = grab(pair, other, ANSWER)
    sa = ike_sa(other)
    (new,) = (spi for spi, owned in sa.children.items() if owned.silent)
    sa.ask(DeleteChild(sa, new), pair.now)
    pair.flush(other)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    pair.deliver(late)
    finish(pair)
    assert settled(pair, children=0)


# -- both delete ---------------------------------------------------------------------------------------------


def test_both_delete(pair: Pair, role: Role) -> None:
    """
    one                  other
    SK { D }   --\\ /--  SK { D }
             <--/ \\-->
    SK { }     --\\ /--  SK { }          no SPI twice (1.4.1)
             <--/ \\-->
    """
    one, other = role(pair.establish())
    delete_child(pair, one)
    delete_child(pair, other)
    step(pair, one, INFORM)
    step(pair, other, INFORM)
    for node in (one, other):
        sent = [e.fields for e in node.events if e.name is E.INFORMATIONAL_SENT]
        assert sent[-1]["payloads"] == []
    step(pair, one, REPLY)
    step(pair, other, REPLY)
    finish(pair)
    assert settled(pair, children=0)
    for node in (one, other):
        assert node.names().count(E.CHILD_SA_DELETED) == 1


def test_both_delete_and_one_is_lost(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    delete_child(pair, one)
    delete_child(pair, other)
    grab(pair, one, INFORM)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    finish(pair)
    assert settled(pair, children=0)


# -- with the IKE SA -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [rekey_child, delete_child])
def test_a_child_sa_meets_a_rekey_of_the_ike_sa(pair: Pair, role: Role, what: object) -> None:
    """
    one                                    other
    SK { N(REKEY_SA) ... } or SK { D }  --\\ /--  SK { SA (IKE), Ni, KEi }
                                      <--/ \\-->
    SK { N(TEMPORARY_FAILURE) }         --\\ /--  SK { N(TEMPORARY_FAILURE) } or SK { D }
                                      <--/ \\-->
    """
    one, other = role(pair.establish())
    first = ike_sa(one)
    if what is rekey_child:
        rekey_child(pair, one)
    else:
        delete_child(pair, one)
    rekey_ike(pair, other)
    step(pair, one, CREATE if what is rekey_child else INFORM)
    step(pair, other, CREATE)
    assert notifies(one) == notifies(other) == []
    pair.drive()
    assert "TEMPORARY_FAILURE" in notifies(other)
    finish(pair)
    pair.pass_time(LATER)
    assert settled(pair, children=1 if what is rekey_child else 0)
    assert first.phase == "CLOSED"


def test_another_child_sa_meets_a_rekey_of_the_ike_sa(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    delete_child(pair, one)
    pair.drive()
    one.endpoint.create_child(ike_sa(one).local_spi, pair.now)
    pair.flush(one)
    rekey_ike(pair, other)
    step(pair, one, CREATE)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    step(pair, other, ANSWER)
    assert notifies(one) == notifies(other) == ["TEMPORARY_FAILURE"]
    finish(pair)
    pair.pass_time(LATER)
    assert settled(pair)


@pytest.mark.parametrize("what", [rekey_child, delete_child])
def test_a_child_sa_meets_the_end_of_the_ike_sa(pair: Pair, role: Role, what: object) -> None:
    """Whatever the Child SA was about to become: with the IKE SA it is gone, and nobody is confused."""
    one, other = role(pair.establish())
    if what is rekey_child:
        rekey_child(pair, one)
    else:
        delete_child(pair, one)
    delete_ike(pair, other)
    step(pair, one, CREATE if what is rekey_child else INFORM)
    step(pair, other, INFORM)
    finish(pair)
    assert pair.empty()
