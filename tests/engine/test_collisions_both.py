"""Exchanges on a Child SA that meet those on its IKE SA, and IKE SAs without a Child SA (RFC 7296 2.25).

Both codecs, both original roles. At the end both ends have one IKE SA, the same, with the same Child SAs, or
none at all.
"""

from collections.abc import Callable

import pytest

from node.ike.tasks.rekey import ABANDONED
from node.model.events import EventName as E
from tests.engine.harness import RESPONDER, Node, Pair, variant
from tests.engine.lives import (
    ANSWER,
    CREATE,
    GIVE_UP,
    INFORM,
    LATER,
    REPLY,
    Role,
    carries,
    child_of,
    create,
    delete_child,
    delete_ike,
    finish,
    grab,
    ike_sa,
    last_answer,
    notifies,
    pairs_of,
    pick,
    refused_with,
    rekey_child,
    rekey_ike,
    settled,
    step,
)

Ask = Callable[[Pair, Node], bytes]


def childless(pair: Pair, node: Node) -> None:
    """A node deletes the Child SA of an IKE SA that is up."""
    delete_child(pair, node)
    pair.drive()


# -- a Child SA and its IKE SA -------------------------------------------------------------------------------


def test_a_delete_while_the_ike_sa_is_being_rekeyed(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { SA, Ni, KEi }, under way
                                <--    SK { D(ESP) }
    SK { D(ESP) }               -->    as usual, with a Delete payload (RFC 7296 2.25.2)
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    late = grab(pair, one, CREATE)
    delete_child(pair, other)
    step(pair, other, INFORM)
    assert last_answer(one) == ("DELETE",)
    step(pair, one, REPLY)
    pair.deliver(late)
    finish(pair)
    assert settled(pair, children=0)
    assert other.names().count(E.IKE_SA_REKEYED) == 1


@pytest.mark.parametrize("ask", [rekey_child, create], ids=["rekey", "another one"])
def test_a_child_sa_is_wanted_while_the_ike_sa_is_being_deleted(pair: Pair, role: Role, ask: Ask) -> None:
    """
    one                                other
                                       SK { D(IKE) }, under way
    SK { ... }                  -->
                                <--    SK { N(TEMPORARY_FAILURE) }
    SK { }, to the DELETE       -->    nobody asks again
    """
    one, other = role(pair.establish())
    if ask is create:
        childless(pair, one)
    delete_ike(pair, other)
    held = grab(pair, other, INFORM)
    ask(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    assert refused_with(other) == notifies(one) == ["TEMPORARY_FAILURE"]
    pair.deliver(held)
    finish(pair, GIVE_UP)
    assert pair.empty()


def test_a_rekey_behind_which_the_ike_sa_is_deleted(pair: Pair, role: Role) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }     -->
                                <--    SK { SA, Nr, ... }, under way; then SK { D(IKE) }, which overtakes it
    SK { }                      -->
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    step(pair, one, CREATE)
    late = grab(pair, other, ANSWER)
    delete_ike(pair, other)
    step(pair, other, INFORM)
    pair.deliver(late)
    assert not one.children
    finish(pair, GIVE_UP)
    assert pair.empty()


def test_a_rekey_of_the_ike_sa_by_the_end_that_waits_for_a_delete(pair: Pair, role: Role) -> None:
    """What is in the middle of its own rekey moves to the new IKE SA as it is.

    one                                  other
    SK { N(REKEY_SA), ... }       -->
                                  <--    SK { SA, Nr, TSi, TSr }
    SK { D(old) }                 -->    lost, and comes again, while
                                  <--    SK { SA, Ni, KEi } comes
    SK { N(TEMPORARY_FAILURE) }   -->
    """
    one, other = role(pair.establish())
    old = rekey_child(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    grab(pair, one, INFORM)
    rekey_ike(pair, other)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    assert notifies(other) == ["TEMPORARY_FAILURE"]
    assert carries(pair)
    finish(pair)
    assert settled(pair)
    assert child_of(one).inbound_spi != old
    assert ike_sa(other).is_initiator is True


@pytest.mark.parametrize("ask", [rekey_child, delete_child], ids=["rekey", "delete"])
def test_what_waits_behind_both_rekeys_of_the_ike_sa(pair: Pair, role: Role, ask: Ask) -> None:
    """Both replace the IKE SA; what one of them wants of the Child SA meanwhile goes over what is left."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    child = ask(pair, one)
    assert len(pair.wire) == 2
    finish(pair, ABANDONED + GIVE_UP)
    assert settled(pair, children=1 if ask is rekey_child else 0)
    assert child not in ike_sa(one).children


def test_both_want_both(pair: Pair, role: Role) -> None:
    """Each end replaces the Child SA and the IKE SA at once."""
    one, other = role(pair.establish())
    old = child_of(one).inbound_spi, ike_sa(one).local_spi
    for node in (one, other):
        rekey_child(pair, node)
        rekey_ike(pair, node)
    finish(pair, ABANDONED + GIVE_UP)
    assert settled(pair)
    assert child_of(one).inbound_spi != old[0]
    assert ike_sa(one).local_spi != old[1]


def test_one_wants_the_child_sa_and_the_other_one_the_ike_sa(pair: Pair, role: Role) -> None:
    """
    one                                    other
    SK { N(REKEY_SA), ... }             --\\ /--  SK { SA (IKE), Ni, KEi }
                                      <--/ \\-->
    SK { N(TEMPORARY_FAILURE) }         --\\ /--  SK { N(TEMPORARY_FAILURE) }
                                      <--/ \\-->  both are put off, at random
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    rekey_ike(pair, other)
    step(pair, one, CREATE)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    step(pair, other, ANSWER)
    assert notifies(one) == notifies(other) == ["TEMPORARY_FAILURE"]
    assert carries(pair)
    finish(pair, 2 * LATER)
    assert settled(pair)
    assert one.names().count(E.IKE_SA_REKEYED) == other.names().count(E.CHILD_SA_REKEYED) == 1


def test_what_still_receives_moves_to_the_new_ike_sa(pair: Pair, role: Role) -> None:
    """A replaced Child SA receives on although its IKE SA is gone, and ends in time with the new one."""
    one, other = role(pair.establish())
    old = rekey_child(pair, one)
    pair.drive()
    rekey_ike(pair, other)
    pair.drive()
    assert old in one.children
    assert len(one.children) == len(other.children) == 2
    finish(pair)
    assert settled(pair)


# -- no Child SA ---------------------------------------------------------------------------------------------


def test_without_a_child_sa_the_ike_sa_lives_on(pair: Pair, role: Role) -> None:
    """It is replaced, and asked over, as any other one; then it gets a Child SA."""
    one, other = role(pair.establish())
    childless(pair, other)
    for node in (one, other):
        rekey_ike(pair, node)
        pair.drive()
        assert settled(pair, children=0)
    create(pair, one)
    pair.drive()
    assert settled(pair)
    rekey_child(pair, other)
    finish(pair)
    assert settled(pair)


def test_without_a_child_sa_both_replace_the_ike_sa(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    childless(pair, one)
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    finish(pair)
    assert settled(pair, children=0)


def test_an_ike_sa_that_never_had_a_child_sa(codec: str, role: Role) -> None:
    """IKE_AUTH made none, as the ends could not agree; a later request may, and a rekey does no harm."""
    pair = Pair(codec, responder=variant(RESPONDER, esp=("aes256gcm16",))).establish()
    assert settled(pair, children=0)
    one, other = role(pair)
    create(pair, one)
    pair.drive()
    assert settled(pair, children=0)
    assert notifies(one)[-1] == "NO_PROPOSAL_CHOSEN"
    rekey_ike(pair, other)
    pair.drive()
    for node in (one, other):
        object.__setattr__(node.settings, "child_suites", pair.initiator.settings.child_suites)
    create(pair, one)
    finish(pair)
    assert settled(pair)


def test_both_make_a_child_sa(pair: Pair, role: Role) -> None:
    """
    one                          other
    SK { SA, Ni, TSi, TSr }  --\\ /--  SK { SA, Ni, TSi, TSr }
                           <--/ \\-->
    SK { SA, Nr, TSi, TSr }  --\\ /--  SK { SA, Nr, TSi, TSr }
                           <--/ \\-->  two that are equal: RFC 7296 2.8 wants no guess which one is meant
    """
    one, other = role(pair.establish())
    childless(pair, one)
    create(pair, one)
    create(pair, other)
    for node, expected in ((one, CREATE), (other, CREATE), (one, ANSWER), (other, ANSWER)):
        step(pair, node, expected)
    finish(pair)
    assert settled(pair, children=2)
    # Each of them is an SA like any other one: replaced, and deleted, alone.
    first, second = ike_sa(one).children
    one.endpoint.rekey_child(first, pair.now)
    pair.flush(one)
    finish(pair)
    assert settled(pair, children=2)
    assert second in ike_sa(one).children
    one.endpoint.delete_child(second, pair.now)
    pair.flush(one)
    finish(pair)
    assert settled(pair)


def test_an_equal_one_is_not_asked_for_while_one_is_being_made(pair: Pair, role: Role) -> None:
    """The request waits its turn, and has lost its point by then."""
    one, other = role(pair.establish())
    childless(pair, one)
    create(pair, one)
    late = pick(pair, one, CREATE)
    create(pair, one)
    assert not pair.wire
    pair.deliver(late)
    create(pair, other)
    finish(pair)
    assert settled(pair)
    assert len(pairs_of(one.endpoint.sas()[0])) == 1


def test_an_ike_sa_without_a_child_sa_is_deleted_by_both(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    childless(pair, one)
    delete_ike(pair, one)
    delete_ike(pair, other)
    step(pair, one, INFORM)
    step(pair, other, INFORM)
    finish(pair)
    assert pair.empty()
