"""CREATE_CHILD_SA without a collision: Child SAs and IKE SAs are replaced (RFC 7296 1.3, 2.8)."""

from dataclasses import replace

import pytest

from node.ike.children import LINGER
from node.ike.outputs import InstallOutbound, RemoveOutbound
from node.ike.settings import Lifetime, Settings
from node.model.events import EventName as E
from tests.engine.harness import INITIATOR, RESPONDER, Pair, variant
from tests.engine.lives import (
    Role,
    carries,
    child_of,
    delete_child,
    delete_ike,
    first,
    ike_sa,
    rekey_child,
    rekey_ike,
    sender,
    settled,
    step,
)

CREATE, ANSWER = "CREATE_CHILD_SA request", "CREATE_CHILD_SA response"
INFORM, REPLY = "INFORMATIONAL request", "INFORMATIONAL response"


def test_a_child_sa_is_replaced(pair: Pair, role: Role) -> None:
    """
    one                                           other
    SK { N(REKEY_SA), SA, Ni, TSi, TSr }   -->     other receives on the new one, sends on the old one
                                           <--    SK { SA, Nr, TSi, TSr }
    SK { D }                               -->     other sends on the new one
                                           <--    SK { D }
    """
    one, other = role(pair.establish())
    old, before = child_of(one), child_of(other)
    rekey_child(pair, one)
    assert sender(one) == old.outbound_spi
    step(pair, one, CREATE)
    assert sender(other) == before.outbound_spi
    assert len(other.children) == 2
    step(pair, other, ANSWER)
    assert carries(pair)
    assert sender(one) != old.outbound_spi
    assert sender(other) == before.outbound_spi
    assert old.inbound_spi in one.children
    step(pair, one, INFORM)
    assert carries(pair)
    assert sender(other) == child_of(one).inbound_spi
    step(pair, other, REPLY)
    assert not pair.wire
    assert carries(pair)
    assert len(one.children) == len(other.children) == 2
    pair.pass_time(LINGER)
    assert settled(pair)
    for node in (one, other):
        assert [e for e in node.names() if e is E.CHILD_SA_REKEYED] == [E.CHILD_SA_REKEYED]
    assert child_of(one).local == old.local
    assert child_of(one).inbound != old.inbound


def test_no_packet_finds_neither_the_old_nor_the_new_one(pair: Pair, role: Role) -> None:
    """Outputs are carried out one by one, and packets may leave in between."""
    one, other = role(pair.establish())
    rekey_child(pair, one)
    pair.drive()
    for node in (one, other):
        turns = [type(o) for o in node.outputs if isinstance(o, InstallOutbound | RemoveOutbound)]
        assert turns == [InstallOutbound, InstallOutbound, RemoveOutbound]


def test_what_was_replaced_still_receives_but_sends_no_more(pair: Pair, role: Role) -> None:
    """Its peer has deleted it: what would go out on it nobody could read (RFC 7296 1.4.1)."""
    one, other = role(pair.establish())
    rekey_child(pair, one)
    pair.drive()
    for node in (one, other):
        assert len(node.children) == 2
        assert set(node.outbound) == {child_of(node).inbound_spi}
    delete_child(pair, one)
    pair.drive()
    for node in (one, other):
        assert len(node.children) == 1
        assert not node.outbound
    pair.pass_time(LINGER)
    assert settled(pair, children=0)


def test_an_ike_sa_is_replaced(pair: Pair, role: Role) -> None:
    """
    one                                  other
    SK { SA, Ni, KEi }            -->
                                  <--    SK { SA, Nr, KEr }    other has moved the Child SA
    old: SK { D(IKE) }            -->                          one has moved the Child SA
                                  <--    old: SK { }
    """
    one, other = role(pair.establish())
    old, child = ike_sa(one), child_of(one)
    rekey_ike(pair, one)
    step(pair, one, CREATE)
    assert ike_sa(other).is_initiator is False
    step(pair, other, ANSWER)
    assert ike_sa(one).is_initiator is True
    step(pair, one, INFORM)
    step(pair, other, REPLY)
    assert settled(pair)
    assert child_of(one).inbound_spi == child.inbound_spi
    assert child_of(one).inbound == child.inbound
    assert (ike_sa(one).window.next_id, ike_sa(one).window.expected_id) == (0, 0)
    assert {ike_sa(one).spi_i, ike_sa(one).spi_r}.isdisjoint({old.spi_i, old.spi_r})
    assert old.phase == "CLOSED"


def test_the_new_ike_sa_does_all_that_the_old_one_did(pair: Pair, role: Role) -> None:
    one, other = role(pair.establish())
    for node in (one, other, one, one, other):
        rekey_ike(pair, node)
        pair.drive()
        rekey_child(pair, other)
        pair.drive()
        rekey_child(pair, one)
        pair.drive()
        pair.pass_time(LINGER)
        assert settled(pair)
    delete_ike(pair, other)
    pair.drive()
    assert pair.empty()


@pytest.mark.parametrize("count", [20])
def test_keys_and_spis_never_come_again(pair: Pair, role: Role, count: int) -> None:
    one, _ = role(pair.establish())
    seen: set[bytes] = set()
    for number in range(count):
        (rekey_child if number % 3 else rekey_ike)(pair, one)
        pair.drive()
        keys = ike_sa(one).protection
        assert keys is not None
        fresh = {keys.keys.sk_d.reveal(), keys.keys.sk_ei.reveal(), keys.keys.sk_er.reveal()}
        fresh |= {child_of(one).inbound.encr.reveal(), child_of(one).inbound_spi}
        assert len(fresh - seen) >= (2 if number % 3 else 3)
        seen |= fresh


@pytest.mark.parametrize(
    ("ours", "theirs", "group"),
    [
        (("aes256gcm16-x25519",), ("aes256gcm16-x25519",), "CURVE25519"),
        (("aes256-sha256-ecp256",), ("aes256-sha256-ecp256",), "ECP_256"),
        (("aes256gcm16-modp2048", "aes256gcm16-x25519"), ("aes256gcm16-x25519",), "CURVE25519"),
        (("aes256gcm16-x25519", "aes256gcm16"), ("aes256gcm16",), None),
        (("aes256gcm16",), ("aes256gcm16-x25519", "aes256gcm16"), None),
    ],
    ids=["same group", "with ECP", "INVALID_KE_PAYLOAD", "the peer wants none", "the peer could"],
)
def test_a_key_exchange_of_its_own(
    codec: str, role: Role, ours: tuple[str, ...], theirs: tuple[str, ...], group: str | None
) -> None:
    """PFS: the Child SA of IKE_AUTH has none; each one after it has its own (RFC 7296 1.2, 1.3.1)."""
    mine, yours = (ours, theirs) if role is first else (theirs, ours)
    pair = Pair(codec, variant(INITIATOR, esp=mine), variant(RESPONDER, esp=yours)).establish()
    one, other = role(pair)
    assert child_of(one).suite.ke is None
    rekey_child(pair, one)
    pair.drive()
    pair.pass_time(LINGER)
    assert settled(pair)
    for node in (one, other):
        assert (str(child_of(node).suite.ke) if child_of(node).suite.ke else None) == group
    assert child_of(one).inbound == child_of(other).outbound


def test_a_child_sa_is_deleted_alone(pair: Pair, role: Role) -> None:
    """
    one                            other
    SK { D(ESP) }           -->
                            <--    SK { D(ESP) }
    """
    one, other = role(pair.establish())
    delete_child(pair, one)
    step(pair, one, INFORM)
    assert not other.children
    step(pair, other, REPLY)
    assert settled(pair, children=0)


def test_another_child_sa_after_that(pair: Pair, role: Role) -> None:
    one, _ = role(pair.establish())
    delete_child(pair, one)
    pair.drive()
    one.endpoint.create_child(ike_sa(one).local_spi, pair.now)
    pair.flush(one)
    pair.drive()
    assert settled(pair)


def test_an_equal_child_sa_is_not_asked_for(pair: Pair, role: Role) -> None:
    one, _ = role(pair.establish())
    one.endpoint.create_child(ike_sa(one).local_spi, pair.now)
    pair.flush(one)
    assert not pair.wire


def test_by_time(codec: str, role: Role) -> None:
    """The end with a lifetime replaces its SAs, a bit early; the other one takes part."""

    def mortal(settings: Settings) -> Settings:
        ike, child = Lifetime(100.0, 10.0, 10.0), Lifetime(30.0, 3.0, 5.0)
        return replace(settings, ike_lifetime=ike, child_lifetime=child)

    mine, yours = (INITIATOR, RESPONDER)
    if role is first:
        mine = variant(mine, change=mortal)
    else:
        yours = variant(yours, change=mortal)
    pair = Pair(codec, mine, yours).establish()
    one, other = role(pair)
    pair.pass_time(26.9)
    assert E.CHILD_SA_REKEYED not in one.names()
    pair.pass_time(3.2)
    assert one.names().count(E.CHILD_SA_REKEYED) == other.names().count(E.CHILD_SA_REKEYED) == 1
    pair.pass_time(300)
    assert one.names().count(E.IKE_SA_REKEYED) == 3
    assert one.names().count(E.CHILD_SA_REKEYED) in range(10, 13)
    assert E.CHILD_SA_EXPIRED not in one.names()
    pair.pass_time(LINGER + 1)
    assert carries(pair)


def test_what_could_not_be_replaced_ends(pair: Pair) -> None:
    """The hard limit: a Child SA whose rekey is never answered, and an IKE SA after it, are gone in time."""
    settings = pair.initiator.settings
    object.__setattr__(settings, "child_lifetime", Lifetime(30.0, 0.0, 5.0))
    object.__setattr__(settings, "ike_lifetime", Lifetime(60.0, 0.0, 5.0))
    pair.establish()
    pair.pass_time(31, keep=lambda datagram: False)
    assert pair.initiator.children
    pair.pass_time(4.5, keep=lambda datagram: False)
    assert E.CHILD_SA_EXPIRED in pair.initiator.names()
    pair.pass_time(600, keep=lambda datagram: False)
    assert not pair.initiator.endpoint.sas()
    assert not pair.initiator.children
