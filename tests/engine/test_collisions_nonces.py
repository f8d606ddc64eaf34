"""Both ends replace the same SA: of four nonces the lowest loses (RFC 7296 2.8.1, 2.8.2), whichever it is.

    one    request with Ni1   -->     <--   request with Ni2    other
           answer with Nr2    -->     <--   answer with Nr1

The exchange of `one` has Ni1 and Nr1, that of `other` has Ni2 and Nr2. Whoever made the SA with the lowest
of the four deletes it, and the maker of the other one deletes the old one. Both codecs, both original roles.
"""

import pytest

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
    finish,
    ike_sa,
    kept,
    pick,
    rekey_child,
    rekey_ike,
    settled,
    step,
)

#: Which nonce is the lowest; those of `one`'s exchange come first.
NONCES = ["Ni1", "Nr1", "Ni2", "Nr2"]
every_nonce = pytest.mark.parametrize("lowest", NONCES)


def draw(one: Node, other: Node, lowest: str) -> tuple[Node, Node]:
    """Let both draw their nonces so that this one is the lowest; returns (winner, loser)."""
    values = {name: bytes([9 - NONCES.index(name)]) * 32 for name in NONCES}
    values[lowest] = bytes(32)
    one.entropy.nonces.extend((values["Ni1"], values["Nr2"]))
    other.entropy.nonces.extend((values["Ni2"], values["Nr1"]))
    return (other, one) if lowest in NONCES[:2] else (one, other)


def meet(pair: Pair, one: Node, other: Node) -> None:
    """Both requests arrive, then both answers."""
    for node, expected in ((one, CREATE), (other, CREATE), (one, ANSWER), (other, ANSWER)):
        step(pair, node, expected)


@every_nonce
def test_a_child_sa(pair: Pair, role: Role, lowest: str) -> None:
    """
    winner                        loser
    SK { D(old) }          --\\ /--  SK { D(what the loser made) }
                         <--/ \\-->
    SK { D(that) }         --\\ /--  SK { D(old) }
                         <--/ \\-->
    """
    one, other = role(pair.establish())
    winner, loser = draw(one, other, lowest)
    old = rekey_child(pair, winner), rekey_child(pair, loser)
    meet(pair, one, other)
    assert (kept(winner), kept(loser)) == ([True], [False])
    assert sorted(owned.state for owned in ike_sa(winner).children.values()) == [
        "DELETING",
        "INSTALLED",
        "REKEYED",
    ]
    assert carries(pair)
    made = {node: set(node.children) - set(old) for node in (winner, loser)}
    assert [len(spis) for spis in made.values()] == [2, 2]
    step(pair, winner, INFORM)
    step(pair, loser, INFORM)
    assert carries(pair)
    step(pair, winner, REPLY)
    step(pair, loser, REPLY)
    assert not pair.wire
    finish(pair)
    assert settled(pair)
    for node in (winner, loser):
        assert child_of(node).inbound_spi in made[node]
        # The old one, and the one that lost; what is left was never touched.
        assert node.names().count(E.CHILD_SA_DELETED) == 2
        assert node.names().count(E.CHILD_SA_REKEYED) == 1


@every_nonce
def test_a_child_sa_whose_answer_is_late(pair: Pair, role: Role, lowest: str) -> None:
    """
    one                                 other
    SK { N(REKEY_SA), Ni1 }      -->
                                 <--    SK { N(REKEY_SA), Ni2 }
    SK { Nr2 }                   -->    other knows all four nonces, and deletes what it must: if it
                                 <--    has won the old one, if not what it made
    SK { D }                     -->
                                 <--    SK { Nr1 }, at last
    """
    one, other = role(pair.establish())
    winner, _ = draw(one, other, lowest)
    old = rekey_child(pair, one)
    rekey_child(pair, other)
    step(pair, one, CREATE)
    late = pick(pair, other, ANSWER)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    assert kept(other) == [winner is other]
    step(pair, other, INFORM)
    assert (old in ike_sa(one).children) is (winner is one)
    step(pair, one, REPLY)
    assert carries(pair)
    pair.deliver(late)
    # Where what `other` made is gone there is only one left to speak of.
    assert kept(one) == [winner is one]
    assert carries(pair)
    finish(pair)
    assert settled(pair)


@every_nonce
def test_a_child_sa_with_a_key_exchange_of_its_own(codec: str, role: Role, lowest: str) -> None:
    """Both requests have a KE payload: what is left has keys of the winner's exchange."""
    suite = {"esp": ("aes256gcm16-x25519",)}
    pair = Pair(codec, variant(INITIATOR, **suite), variant(RESPONDER, **suite)).establish()
    one, other = role(pair)
    winner, loser = draw(one, other, lowest)
    rekey_child(pair, one)
    rekey_child(pair, other)
    meet(pair, one, other)
    finish(pair)
    assert settled(pair)
    assert (kept(winner), kept(loser)) == ([True], [False])
    assert str(child_of(winner).suite.ke) == "CURVE25519"
    assert child_of(winner).inbound == child_of(loser).outbound
    assert child_of(winner).outbound == child_of(loser).inbound


@every_nonce
def test_an_ike_sa(pair: Pair, role: Role, lowest: str) -> None:
    """
    winner                          loser
    old: SK { D(IKE) }     --\\ /--    what the loser made: SK { D(IKE) }
                         <--/ \\-->
    SK { }                 --\\ /--    SK { }
                         <--/ \\-->
    """
    one, other = role(pair.establish())
    winner, loser = draw(one, other, lowest)
    child = {node: child_of(node) for node in (one, other)}
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    meet(pair, one, other)
    assert (kept(winner), kept(loser)) == ([True], [False])
    step(pair, winner, INFORM)
    step(pair, loser, INFORM)
    assert carries(pair)
    step(pair, winner, REPLY)
    step(pair, loser, REPLY)
    assert not pair.wire
    assert settled(pair)
    assert (ike_sa(winner).is_initiator, ike_sa(loser).is_initiator) == (True, False)
    for node in (one, other):
        assert child_of(node).inbound_spi == child[node].inbound_spi
        assert child_of(node).inbound == child[node].inbound
        assert node.names().count(E.IKE_SA_DELETED) == 2


@every_nonce
def test_an_ike_sa_whose_answer_is_late(pair: Pair, role: Role, lowest: str) -> None:
    """`other` knows all four nonces, and ends what it must, before `one` knows who has won."""
    one, other = role(pair.establish())
    winner, _ = draw(one, other, lowest)
    child = child_of(one).inbound_spi
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    step(pair, one, CREATE)
    late = pick(pair, other, ANSWER)
    step(pair, other, CREATE)
    step(pair, one, ANSWER)
    assert kept(other) == [winner is other]
    pair.drive()
    pair.deliver(late)
    # Where the late answer finds its IKE SA gone, `other` alone knows what was made by it, and ends it.
    finish(pair, ABANDONED + GIVE_UP)
    assert settled(pair)
    assert ike_sa(winner).is_initiator is True
    assert child_of(one).inbound_spi == child


def shorten(one: Node, other: Node) -> None:
    """The nonces of `one` are beginnings of those of `other`."""
    one.entropy.nonces.extend((bytes(16), bytes(24)))
    other.entropy.nonces.extend((bytes(32), bytes(40)))


def test_the_shorter_nonce_of_a_child_sa_is_lower(pair: Pair, role: Role) -> None:
    """Compared octet by octet, and where one ends it is the lower one."""
    one, other = role(pair.establish())
    shorten(one, other)
    rekey_child(pair, one)
    rekey_child(pair, other)
    meet(pair, one, other)
    assert (kept(one), kept(other)) == ([False], [True])
    finish(pair)
    assert settled(pair)


def test_the_shorter_nonce_of_an_ike_sa_is_lower(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    shorten(one, other)
    rekey_ike(pair, one)
    rekey_ike(pair, other)
    meet(pair, one, other)
    assert (kept(one), kept(other)) == ([False], [True])
    finish(pair)
    assert settled(pair)
    assert ike_sa(other).is_initiator is True


@pytest.mark.parametrize("rounds", [4])
def test_again_and_again(pair: Pair, role: Role, rounds: int) -> None:
    """What is left of a collision collides again, Child SA and IKE SA in turn."""
    one, other = role(pair.establish())
    for number in range(rounds):
        draw(one, other, NONCES[number])
        for node in (one, other):
            (rekey_ike if number % 2 else rekey_child)(pair, node)
        meet(pair, one, other)
        finish(pair)
        assert settled(pair)
    assert sorted(kept(one) + kept(other)) == [False] * rounds + [True] * rounds
