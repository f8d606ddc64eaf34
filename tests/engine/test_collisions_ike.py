"""Exchanges that meet on the IKE SA itself (RFC 7296 2.25.2, 2.8.2): both codecs, both original roles.

At the end both ends have one IKE SA, the same, with the Child SA that was there before, or none at all.
"""

from node.ike.tasks.rekey import ABANDONED
from node.model.events import EventName as E
from tests.engine.harness import INITIATOR, RESPONDER, Node, Pair, variant
from tests.engine.lives import (
    ANSWER,
    CREATE,
    GIVE_UP,
    INFORM,
    REPLY,
    Role,
    carries,
    child_of,
    delete_ike,
    finish,
    grab,
    ike_sa,
    notifies,
    rekey_child,
    rekey_ike,
    settled,
    step,
)


def lost(node: Node) -> bool:
    """Whether what this end made was given up."""
    return any(e.name is E.REKEY_COLLISION and not e.fields["kept"] for e in node.events)


def test_both_rekey(pair: Pair, role: Role) -> None:
    """
    one                         other
    SK { SA, Ni, KEi }  --\\ /--  SK { SA, Ni, KEi }
                      <--/ \\-->
    SK { SA, Nr, KEr }  --\\ /--  SK { SA, Nr, KEr }
                      <--/ \\-->  of four nonces the lowest loses: its maker deletes what it made, the
                                  maker of the other one deletes the old one
    """
    one, other = role(pair.establish())
    child = child_of(one)
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    step(pair, one, CREATE)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    step(pair, other, ANSWER)
    assert sorted((lost(one), lost(other))) == [False, True]
    assert carries(pair)
    finish(pair)
    assert settled(pair)
    assert child_of(one).inbound_spi == child.inbound_spi


def test_the_winner_is_the_original_initiator_of_what_is_left(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    finish(pair)
    assert settled(pair)
    assert ike_sa(one).is_initiator is not lost(one)
    assert ike_sa(other).is_initiator is not lost(other)


def test_both_rekey_and_one_answer_is_late(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    step(pair, one, CREATE)
    step(pair, other, CREATE)
    late = grab(pair, other, ANSWER)
    step(pair, one, ANSWER)
    pair.drive()
    pair.deliver(late)
    # Where the late answer finds no IKE SA any more, its new one is known to one end alone, and ends there.
    pair.pass_time(ABANDONED + GIVE_UP)
    assert settled(pair)


def test_both_rekey_and_one_request_is_lost(pair: Pair, role: Role) -> None:
    """
    one                            other
    SK { SA, Ni, KEi }      -->    (its own request was lost)
                            <--    SK { SA, Nr, KEr }
    SK { D(IKE) }           -->    it knows nothing of a collision: the new IKE SA of one is the one
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    grab(pair, other, CREATE)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    step(pair, one, INFORM)
    assert carries(pair)
    finish(pair)
    assert settled(pair)
    assert ike_sa(one).is_initiator is True


def test_both_rekey_and_one_request_comes_before_the_delete(pair: Pair, role: Role) -> None:
    """
    one                            other
    SK { SA, Ni, KEi }      -->
                            <--    SK { SA, Nr, KEr }
    SK { D(IKE) }           --\\
                            <--\\-  SK { SA, Ni, KEi }, late
    SK { N(TEMPORARY_FAILURE) } \\->
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    rekey_ike(pair, other)
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
    """INVALID_KE_PAYLOAD for one of the two that meet."""
    wide, narrow = ("aes256-sha256-modp2048", "aes256-sha256-x25519"), ("aes256-sha256-x25519",)
    pair = Pair(codec, variant(INITIATOR, ike=wide), variant(RESPONDER, ike=(*narrow, wide[0]))).establish()
    one, other = role(pair)
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    finish(pair)
    assert settled(pair)


def test_the_group_of_a_rekey_is_refused_once(codec: str) -> None:
    """
    one                                          other
    SK { SA, Ni, KEi (MODP-2048) }        -->
                                          <--    SK { N(INVALID_KE_PAYLOAD, Curve25519) }
    SK { SA, Ni, KEi (Curve25519) }       -->
                                          <--    SK { SA, Nr, KEr }
    """
    both = ("aes256-sha256-modp2048", "aes256-sha256-x25519")
    pair = Pair(codec, variant(INITIATOR, ike=both[:1]), variant(RESPONDER, ike=both)).establish()
    one, other = pair.initiator, pair.responder
    settings = ike_sa(one).context.settings
    object.__setattr__(settings, "ike_suites", settings.ike_suites + other.settings.ike_suites[1:])
    object.__setattr__(other.settings, "ike_suites", other.settings.ike_suites[1:])
    rekey_ike(pair, one)
    finish(pair)
    assert settled(pair)
    assert notifies(one) == ["INVALID_KE_PAYLOAD"]
    assert "CURVE25519" in str(one.endpoint.sas()[0].suite)


def test_rekey_meets_delete(pair: Pair, role: Role) -> None:
    """
    one                         other
    SK { SA, Ni, KEi }  --\\ /--  SK { D(IKE) }
                      <--/ \\-->
    SK { }              --\\ /--  SK { N(TEMPORARY_FAILURE) }, to nobody
                      <--/ \\-->
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    delete_ike(pair, other)
    step(pair, one, CREATE)
    step(pair, other, INFORM)
    step(pair, one, REPLY)
    step(pair, other, ANSWER)
    finish(pair)
    assert pair.empty()


def test_a_rekey_that_comes_after_the_delete(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    late = grab(pair, one, CREATE)
    delete_ike(pair, other)
    pair.drive()
    pair.deliver(late)
    finish(pair)
    assert pair.empty()


def test_a_delete_that_comes_after_the_rekey(pair: Pair, role: Role) -> None:
    """The peer has answered our rekey, then deletes the old IKE SA, which we are about to do: one is left."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    step(pair, one, CREATE)
    late = grab(pair, other, ANSWER)
    old = next(sa for sa in other.endpoint._sas.values() if sa.phase == "REKEYED")
    other.endpoint.delete(old.local_spi, pair.now)
    pair.flush(other)
    pair.deliver(late)
    finish(pair)
    assert settled(pair)


def test_both_delete(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    delete_ike(pair, one)
    delete_ike(pair, other)
    step(pair, one, INFORM)
    step(pair, other, INFORM)
    finish(pair)
    assert pair.empty()


def test_both_delete_and_one_is_lost(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    delete_ike(pair, one)
    delete_ike(pair, other)
    grab(pair, one, INFORM)
    finish(pair)
    assert pair.empty()


def test_what_waits_goes_over_the_new_ike_sa(pair: Pair, role: Role) -> None:
    """A rekey of the Child SA that waits behind the one of the IKE SA is asked over the new IKE SA."""
    one, other = role(pair.establish())
    child = child_of(one).inbound_spi
    rekey_ike(pair, one)
    rekey_child(pair, one)
    assert len(pair.wire) == 1
    finish(pair)
    assert settled(pair)
    assert child_of(one).inbound_spi != child
    assert other.names().count(E.CHILD_SA_REKEYED) == 1


def test_an_old_ike_sa_that_nobody_deletes_is_deleted_by_us(pair: Pair, role: Role) -> None:
    """The maker of the new IKE SA never deletes the old one: the other end does, after a while."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    pair.wire.clear()
    pair.pass_time(ABANDONED + 5, keep=lambda datagram: datagram.source is other)
    assert [sa.phase for sa in other.endpoint.sas()].count("REKEYED") == 0
    pair.pass_time(600)
    assert settled(pair)


def test_a_request_that_is_in_flight_goes_before_the_delete(pair: Pair, role: Role) -> None:
    """The peer takes requests in order, so a DELETE waits for the answer to the rekey before it."""
    one, _ = role(pair.establish())
    rekey_child(pair, one)
    delete_ike(pair, one)
    assert len(pair.wire) == 1
    finish(pair)
    assert pair.empty()
