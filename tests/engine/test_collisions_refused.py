"""Rekeys that are refused: put off, asked for again in another form, or given up (RFC 7296 2.25, 1.3).

Whatever the peer says, what was to be replaced stays until its own end, and goes on carrying packets. Both
codecs, both original roles.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from node.crypto.suites import esp_suite, ike_suite
from node.errors import DropReason, PeerMisbehaved
from node.ike.agenda import PATIENCE, PAUSE, PAUSE_JITTER
from node.ike.settings import Limits, Retransmission, Settings
from node.ike.tasks.create_child import MAX_GROUPS
from node.model.events import EventName as E
from node.model.message import Header, Sealed
from node.model.payloads import Notify, Payload
from node.model.registry import NotifyType
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Node, Pair, variant
from tests.engine.lives import (
    ANSWER,
    CREATE,
    INFORM,
    LATER,
    Role,
    child_of,
    create,
    delete_child,
    finish,
    grab,
    ike_sa,
    kind,
    notifies,
    refused_with,
    rekey_child,
    rekey_ike,
    settled,
    step,
)

Rekey = Callable[[Pair, Node], bytes]
either = pytest.mark.parametrize("rekey", [rekey_child, rekey_ike], ids=["Child SA", "IKE SA"])

#: Suites that nobody offers here.
IKE, ESP = ike_suite("aes128gcm16-prfsha512-ecp521"), esp_suite("aes128gcm16")


def configure(node: Node, name: str, value: object) -> None:
    """Change a setting of a running endpoint."""
    object.__setattr__(node.settings, name, value)


def refuse(node: Node, monkeypatch: pytest.MonkeyPatch, notify: Notify) -> None:
    """Let a node refuse every CREATE_CHILD_SA, and give this reason for it."""
    configure(node, "ike_suites", (IKE,))
    configure(node, "child_suites", (ESP,))
    honest = node.codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> Sealed:
        swapped = [notify if isinstance(payload, Notify) else payload for payload in payloads]
        return honest(header, swapped, sealer, mtu)

    monkeypatch.setattr(node.codec, "seal", seal)


# -- refused for good ----------------------------------------------------------------------------------------

FOR_GOOD = {
    "NO_PROPOSAL_CHOSEN": Notify(NotifyType.NO_PROPOSAL_CHOSEN),
    "NO_ADDITIONAL_SAS": Notify(NotifyType.NO_ADDITIONAL_SAS),
    "TS_UNACCEPTABLE": Notify(NotifyType.TS_UNACCEPTABLE),
    "INVALID_KE_PAYLOAD, a group that was not offered": Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x15"),
    "INVALID_KE_PAYLOAD, no group at all": Notify(NotifyType.INVALID_KE_PAYLOAD),
    "an error that nobody knows": Notify(NotifyType(8_200)),
}


@either
@pytest.mark.parametrize("name", FOR_GOOD)
def test_the_old_one_stays(
    pair: Pair, role: Role, rekey: Rekey, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    one                                other
    SK { ... }                  -->
                                <--    SK { N(a reason) }
    """
    one, other = role(pair.establish())
    refuse(other, monkeypatch, FOR_GOOD[name])
    old = child_of(one).inbound_spi, ike_sa(one).local_spi
    rekey(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    assert not pair.wire
    failed = E.CHILD_SA_FAILED if rekey is rekey_child else E.IKE_REKEY_FAILED
    assert one.event(failed).fields["reason"] == str(FOR_GOOD[name].notify_type)
    assert (child_of(one).inbound_spi, ike_sa(one).local_spi) == old
    finish(pair)
    assert settled(pair)


def test_no_room_for_another_child_sa(pair: Pair, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    one                                other
    SK { N(REKEY_SA), ... }     -->    has as many as it may have
                                <--    SK { N(NO_ADDITIONAL_SAS) }
    and later, when there is room:
    SK { N(REKEY_SA), ... }     -->
                                <--    SK { SA, Nr, ... }
    """
    one, other = role(pair.establish())
    monkeypatch.setattr("node.ike.tasks.create_child.MAX_CHILDREN", 1)
    rekey_child(pair, one)
    finish(pair)
    assert refused_with(other) == notifies(one) == ["NO_ADDITIONAL_SAS"]
    assert settled(pair)
    monkeypatch.setattr("node.ike.tasks.create_child.MAX_CHILDREN", 2)
    old = rekey_child(pair, one)
    finish(pair)
    assert settled(pair)
    assert child_of(one).inbound_spi != old


def test_no_room_for_another_ike_sa(pair: Pair, role: Role) -> None:
    """The bound on IKE SAs holds for those that replace others, too; what is there lives on."""
    one, other = role(pair.establish())
    configure(other, "limits", replace(Limits(), ike_sas=1))
    old = rekey_ike(pair, one)
    finish(pair)
    assert refused_with(other) == notifies(one) == ["NO_ADDITIONAL_SAS"]
    assert settled(pair)
    assert ike_sa(one).local_spi == old
    configure(other, "limits", Limits())
    rekey_ike(pair, one)
    finish(pair)
    assert settled(pair)
    assert ike_sa(one).local_spi != old


# -- another group -------------------------------------------------------------------------------------------


@either
def test_another_group_each_time(
    pair: Pair, role: Role, rekey: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    one                                                    other
    SK { ..., KEi (a group) }                       -->
                                                    <--    SK { N(INVALID_KE_PAYLOAD, another one) }
    SK { ..., KEi (that one) }                      -->    and so on: MAX_GROUPS times, then no more
    """
    one, other = role(pair.establish())
    suites = {
        "ike_suites": [ike_suite(f"aes256-sha256-{group}") for group in ("modp2048", "x25519")],
        "child_suites": [esp_suite(f"aes256-sha256-{group}") for group in ("modp2048", "x25519")],
    }
    for name, both in suites.items():
        configure(one, name, tuple(both))
    rekey(pair, one)
    tries = 0
    while pair.wire and tries < 2 * MAX_GROUPS:
        for name, both in suites.items():
            configure(other, name, (both[1 - tries % 2],))
        step(pair, one, CREATE)
        step(pair, other, ANSWER)
        tries += 1
    assert tries == MAX_GROUPS + 1
    assert notifies(one) == ["INVALID_KE_PAYLOAD"] * tries
    for name, both in suites.items():
        configure(other, name, tuple(both))
    finish(pair)
    assert settled(pair)


# -- put off -------------------------------------------------------------------------------------------------


def deaf(pair: Pair, source: Node) -> Callable[[Datagram], bool]:
    """A wire that loses every CREATE_CHILD_SA request of this node."""
    return lambda datagram: not (datagram.source is source and kind(pair, datagram) == CREATE)


@pytest.mark.parametrize("ask", [rekey_child, create], ids=["rekey", "another one"])
def test_a_child_sa_is_put_off_while_the_peer_replaces_the_ike_sa(pair: Pair, role: Role, ask: Rekey) -> None:
    """
    one                                other
                                       SK { SA, Ni, KEi }, under way
    SK { ... }                  -->
                                <--    SK { N(TEMPORARY_FAILURE) }
    ... PAUSE later, again; and in the end over the new IKE SA
    """
    one, other = role(pair.establish())
    if ask is create:
        delete_child(pair, one)
        pair.drive()
    rekey_ike(pair, other)
    silence = deaf(pair, other)
    pair.drive(silence)
    ask(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    assert notifies(one) == ["TEMPORARY_FAILURE"]
    pair.pass_time(PAUSE - 0.01, silence)
    assert notifies(one) == ["TEMPORARY_FAILURE"]
    pair.pass_time(PAUSE_JITTER + 0.02, silence)
    assert len(notifies(one)) == 2
    finish(pair, 2 * LATER)
    assert settled(pair)
    assert other.names().count(E.IKE_SA_REKEYED) == 1
    assert one.names().count(E.CHILD_SA_INSTALLED) == 2


@pytest.mark.parametrize("busy", [rekey_child, delete_child, create], ids=["rekeys", "deletes", "makes"])
def test_an_ike_sa_is_put_off_while_the_peer_is_at_a_child_sa(pair: Pair, role: Role, busy: Rekey) -> None:
    """
    one                                other
                                       SK { ... } about a Child SA, under way
    SK { SA, Ni, KEi }          -->
                                <--    SK { N(TEMPORARY_FAILURE) }
    """
    one, other = role(pair.establish())
    if busy is create:
        delete_child(pair, other)
        pair.drive()
    busy(pair, other)
    (late,) = pair.wire
    pair.wire.clear()
    old = rekey_ike(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    assert refused_with(other) == notifies(one) == ["TEMPORARY_FAILURE"]
    pair.deliver(late)
    finish(pair)
    assert settled(pair, children=0 if busy is delete_child else 1)
    assert ike_sa(one).local_spi != old


def test_an_ike_sa_is_put_off_while_its_own_maker_deletes_what_was_replaced(pair: Pair, role: Role) -> None:
    """
    one                                other
    (rekeys the Child SA)
    SK { D(old) }, under way
                                <--    SK { SA, Ni, KEi }
    SK { N(TEMPORARY_FAILURE) } -->
    """
    one, other = role(pair.establish())
    rekey_child(pair, one)
    step(pair, one, CREATE)
    step(pair, other, ANSWER)
    late = grab(pair, one, INFORM)
    rekey_ike(pair, other)
    step(pair, other, CREATE)
    assert refused_with(one) == ["TEMPORARY_FAILURE"]
    pair.deliver(late)
    finish(pair)
    assert settled(pair)
    assert other.names().count(E.IKE_SA_REKEYED) == other.names().count(E.CHILD_SA_REKEYED) == 1


def patient(settings: Settings) -> Settings:
    """Repeats a request for longer than any peer takes TEMPORARY_FAILURE."""
    return replace(settings, retransmission=Retransmission(tries=100, cap=10.0))


def test_a_peer_that_stays_busy_is_out_of_step(codec: str, role: Role) -> None:
    """For several minutes nothing but TEMPORARY_FAILURE: the IKE SA ends, and the peer is told (2.25)."""
    options = variant(INITIATOR, change=patient), variant(RESPONDER, change=patient)
    pair = Pair(codec, *options).establish()
    one, other = role(pair)
    rekey_ike(pair, other)
    silence = deaf(pair, other)
    pair.drive(silence)
    rekey_child(pair, one)
    pair.pass_time(PATIENCE, silence)
    assert len(one.endpoint.sas()) == 1
    pair.pass_time(PAUSE + PAUSE_JITTER, silence)
    assert pair.empty()
    assert one.event(E.IKE_SA_DELETED).fields["reason"] == "the peer keeps answering TEMPORARY_FAILURE"
    assert PATIENCE / (PAUSE + PAUSE_JITTER) <= len(notifies(one)) <= PATIENCE / PAUSE + 2


# -- the peer has nothing any more ---------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [rekey_child, rekey_ike, delete_child], ids=["Child SA", "IKE SA", "delete"])
def test_invalid_syntax_ends_the_ike_sa(
    pair: Pair, role: Role, ask: Rekey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    one                                other
    SK { ... }                  -->    cannot make sense of it, and has no IKE SA any more
                                <--    SK { N(INVALID_SYNTAX) }
    fatal in both peers, without a DELETE (RFC 7296 2.21.3)
    """
    one, other = role(pair.establish())

    def confused(message: object) -> None:
        raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, "what is that?")

    ask(pair, one)
    with monkeypatch.context() as patch:
        patch.setattr("node.ike.receive.exchanges.check", confused)
        pair.deliver(pair.take())
    pair.drive()
    assert refused_with(other) == notifies(one) == ["INVALID_SYNTAX"]
    assert pair.empty()
    assert one.event(E.IKE_SA_DELETED).fields["reason"] == "refused with INVALID_SYNTAX"
