"""Exchanges on the IKE SA that meet because something is late or was lost (RFC 7296 2.8.2, 2.25.2).

Both codecs, both original roles. At the end both ends have one IKE SA, the same, or none at all.
"""

from node.errors import DropReason
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
    kept,
    last_answer,
    notifies,
    pick,
    refused_with,
    rekey_child,
    rekey_ike,
    settled,
    step,
    through,
)

#: One end asks first for a group that the other one refuses.
MODP, CURVE = "aes256-sha256-modp2048", "aes256-sha256-x25519"


def replaced(pair: Pair, one: Node, other: Node) -> None:
    """One whole rekey of the IKE SA, begun by `one`, deletion included."""
    rekey_ike(pair, one)
    through(pair, one, other)


# -- a request that is late ----------------------------------------------------------------------------------


def test_a_request_comes_after_the_delete(pair: Pair, role: Role) -> None:
    """
    one                            other
    (a whole rekey)                SK { SA, Ni, KEi }, under way all the time: it is forgotten with the
                            <--    old IKE SA, and finds nobody when it comes
    """
    one, other = role(pair.establish())
    child = child_of(one).inbound_spi
    rekey_ike(pair, other)
    late = grab(pair, other, CREATE)
    replaced(pair, one, other)
    assert settled(pair)
    sent = len(pair.sent)
    pair.deliver(late)
    assert one.dropped[DropReason.UNKNOWN_SPI] == 1
    assert not pair.wire
    finish(pair, GIVE_UP)
    assert len(pair.sent) == sent
    assert settled(pair)
    assert child_of(one).inbound_spi == child


def test_a_request_comes_after_two_rekeys(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    rekey_ike(pair, other)
    late = grab(pair, other, CREATE)
    for _ in range(2):
        replaced(pair, one, other)
    pair.deliver(late)
    assert one.dropped[DropReason.UNKNOWN_SPI] == 1
    finish(pair)
    assert settled(pair)
    assert kept(one) == kept(other) == []


def test_a_request_is_answered_and_the_peers_own_rekey_is_through_first(pair: Pair, role: Role) -> None:
    """
    one                            other
    SK { SA, Ni, KEi }, late
                            <--    SK { SA, Ni, KEi }    one sees the collision, other does not
    SK { SA, Nr, KEr }      -->
                            <--    SK { D(IKE) }         so one forgets its own rekey (RFC 7296 2.8.2)
    SK { }                  -->
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    late = grab(pair, one, CREATE)
    rekey_ike(pair, other)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    step(pair, other, INFORM)
    assert carries(pair)
    step(pair, one, REPLY)
    assert settled(pair)
    pair.deliver(late)
    assert other.dropped[DropReason.UNKNOWN_SPI] == 1
    finish(pair)
    assert settled(pair)
    assert ike_sa(other).is_initiator is True
    assert kept(one) == kept(other) == []


def test_a_request_comes_within_the_delete(pair: Pair, role: Role) -> None:
    """As above; the late request comes while the peer waits for the answer to its DELETE.

    TEMPORARY_FAILURE, whether or not the DELETE has been sent (RFC 7296 2.8.2): to nobody, in the end.
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    late = grab(pair, one, CREATE)
    rekey_ike(pair, other)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    step(pair, other, INFORM)
    pair.deliver(late)
    assert refused_with(other) == ["TEMPORARY_FAILURE"]
    finish(pair)
    assert settled(pair)
    assert ike_sa(other).is_initiator is True


def test_the_answer_to_a_rekey_that_was_forgotten_comes(pair: Pair, role: Role) -> None:
    """The refusal of above is there before the DELETE: what the peer made takes over at once."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    late = grab(pair, one, CREATE)
    rekey_ike(pair, other)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    held = grab(pair, other, INFORM)
    pair.deliver(late)
    step(pair, other, ANSWER)
    assert notifies(one) == ["TEMPORARY_FAILURE"]
    assert ike_sa(one).is_initiator is False
    pair.deliver(held)
    finish(pair)
    assert settled(pair)


def test_the_child_sa_is_rekeyed_over_what_the_peer_made(pair: Pair, role: Role) -> None:
    """
    one                                    other
    old: SK { SA, Ni, KEi }, late
                                    <--    old: SK { SA, Ni, KEi }
    old: SK { SA, Nr, KEr }         -->
                                    <--    new: SK { N(REKEY_SA), ... }: overtakes old: SK { D(IKE) }
    new: SK { SA, Nr, TSi, TSr }    -->    who asks over the new one has won
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    grab(pair, one, CREATE)
    rekey_ike(pair, other)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    held = grab(pair, other, INFORM)
    old = rekey_child(pair, other)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    assert carries(pair)
    pair.deliver(held)
    finish(pair)
    assert settled(pair)
    assert child_of(other).inbound_spi != old


# -- the group is refused, and something is late -------------------------------------------------------------


def refused_group(codec: str) -> tuple[Pair, Node, Node]:
    """A pair, who asks for MODP-2048 again, and who by now takes Curve25519 alone."""
    pair = Pair(codec, variant(INITIATOR, ike=(MODP, CURVE)), variant(RESPONDER, ike=(MODP, CURVE)))
    one, other = pair.establish().initiator, pair.responder
    object.__setattr__(other.settings, "ike_suites", other.settings.ike_suites[1:])
    return pair, one, other


def test_the_group_is_refused_within_a_collision(codec: str) -> None:
    """
    one                                 other
    SK { SA, Ni, KEi (MODP-2048) }  --\\ /--  SK { SA, Ni, KEi (MODP-2048) }
                                  <--/ \\-->
    SK { SA, Nr, KEr }              --\\ /--  SK { N(INVALID_KE_PAYLOAD) }
                                  <--/ \\-->  one has an answer for other's: that one is the one
    """
    pair, one, other = refused_group(codec)
    rekey_ike(pair, one)
    step(pair, one, CREATE)
    object.__setattr__(other.settings, "ike_suites", one.settings.ike_suites)
    rekey_ike(pair, other)
    refusal = pick(pair, other, ANSWER)
    step(pair, other, CREATE)
    pair.deliver(refusal)
    assert notifies(one) == ["INVALID_KE_PAYLOAD"]
    finish(pair)
    assert settled(pair)
    assert ike_sa(other).is_initiator is True


def test_the_second_try_comes_after_the_peers_rekey(codec: str) -> None:
    """It is about an IKE SA that is gone."""
    pair, one, other = refused_group(codec)
    rekey_ike(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    late = grab(pair, one, CREATE)
    object.__setattr__(other.settings, "ike_suites", one.settings.ike_suites)
    replaced(pair, other, one)
    assert settled(pair)
    pair.deliver(late)
    assert other.dropped[DropReason.UNKNOWN_SPI] == 1
    finish(pair)
    assert settled(pair)


# -- rekey and delete ----------------------------------------------------------------------------------------


def test_a_delete_that_meets_a_rekey_is_lost_and_comes_again(pair: Pair, role: Role) -> None:
    """
    one                         other
    SK { SA, Ni, KEi }   -->    SK { D(IKE) }  (lost)
                         <--    SK { N(TEMPORARY_FAILURE) }: it is being closed (RFC 7296 2.25.2)
                         <--    SK { D(IKE) }, again
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    delete_ike(pair, other)
    grab(pair, other, INFORM)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    assert notifies(one) == ["TEMPORARY_FAILURE"]
    finish(pair)
    assert pair.empty()


def test_a_rekey_that_meets_a_delete_is_lost(pair: Pair, role: Role) -> None:
    """The DELETE is answered as usual, the rekey forgotten: it is not sent again."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    delete_ike(pair, other)
    grab(pair, one, CREATE)
    step(pair, other, INFORM)
    assert last_answer(one) == ()
    finish(pair, GIVE_UP)
    assert pair.empty()
    assert E.RETRANSMITTED not in one.names()


def test_a_delete_behind_our_own_rekey(pair: Pair, role: Role) -> None:
    """
    one                            other
    SK { SA, Ni, KEi }      -->    and is told to delete: that waits, the peer may have the new one
                            <--    SK { SA, Nr, KEr }
    new: SK { D(IKE) }, old: SK { D(IKE) }
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    delete_ike(pair, one)
    assert len(pair.wire) == 1
    finish(pair)
    assert pair.empty()
    assert other.names().count(E.CHILD_SA_DELETED) == 1


def test_a_delete_behind_both_rekeys(pair: Pair, role: Role) -> None:
    """Both replace it, and one is told to delete it meanwhile: whichever is kept ends, too."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    delete_ike(pair, one)
    finish(pair, ABANDONED + GIVE_UP)
    assert pair.empty()


def test_a_delete_of_the_new_one_overtakes_that_of_the_old_one(pair: Pair, role: Role) -> None:
    """
    one                            other
    SK { SA, Ni, KEi }      -->
                            <--    SK { SA, Nr, KEr }
    old: SK { D(IKE) }, late
    new: SK { D(IKE) }      -->
                            <--    new: SK { }
    """
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    held = grab(pair, one, INFORM)
    delete_ike(pair, one)
    step(pair, one, INFORM)
    step(pair, other, REPLY)
    pair.deliver(held)
    finish(pair)
    assert pair.empty()


def test_both_delete_and_both_are_answered(pair: Pair, role: Role) -> None:
    """As usual, and each forgets its own (RFC 7296 2.25.2)."""
    one, other = role(pair.establish())
    delete_ike(pair, one)
    delete_ike(pair, other)
    step(pair, one, INFORM)
    step(pair, other, INFORM)
    assert (last_answer(one), last_answer(other)) == ((), ())
    assert pair.empty()
    finish(pair, GIVE_UP)
    for node in (one, other):
        assert node.names().count(E.IKE_SA_DELETED) == 1
        assert E.RETRANSMISSION_GAVE_UP not in node.names()


def test_the_answer_is_lost_and_the_request_comes_again(pair: Pair, role: Role) -> None:
    """The stored answer goes out again: one new IKE SA, not two."""
    one, other = role(pair.establish())
    rekey_ike(pair, one)
    step(pair, one, CREATE)
    lost = grab(pair, other, ANSWER)
    pair.pass_time(1.0)
    assert other.names().count(E.RESPONSE_REPEATED) == 1
    assert lost.octets in [datagram.octets for datagram in pair.sent if datagram is not lost]
    finish(pair)
    assert settled(pair)
    assert other.names().count(E.IKE_SA_REKEYED) == 1
