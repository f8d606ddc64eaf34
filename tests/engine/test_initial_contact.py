"""INITIAL_CONTACT (RFC 7296 2.4): said where it is certain, believed of the authenticated identity alone."""

from collections.abc import Sequence

import pytest

from node.ike.children import ASK
from node.ike.contacts import Contacts
from node.ike.outputs import RemoveSa, SaDown, SaUp, Transmit
from node.model.events import EventName as E
from node.model.message import Header, Sealed
from node.model.payloads import Identification, Notify, Payload
from node.model.registry import IdType, NotifyType, PayloadType
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, Node, NodeOptions, Pair, credentials, shared, variant

SAYS = "N(INITIAL_CONTACT)"
CLOSED = "INITIAL_CONTACT: the peer began anew"
STOLEN = type(credentials("initiator"))(
    credentials("initiator").certificate, credentials("somebody").key, credentials("initiator").anchors
)


def said(node: Node) -> list[bool]:
    """Whether each IKE_AUTH message that the node sent says so."""
    return [SAYS in e.fields["payloads"] for e in node.events if e.name is E.IKE_AUTH_SENT]  # type: ignore[operator]


def closed(node: Node) -> int:
    return sum(e.name is E.IKE_SA_DELETED and e.fields["reason"] == CLOSED for e in node.events)


def restart(pair: Pair, node: Node, **changes: object) -> Node:
    """The node crashes and comes back; nobody is told."""
    fresh = pair.add(variant(node.options, **changes))
    fresh.endpoint._context.entropy(1)
    if node is pair.initiator:
        pair.initiator = fresh
    else:
        pair.responder = fresh
    return fresh


def test_both_ends_say_so_on_the_first_contact(pair: Pair) -> None:
    pair.establish()
    assert said(pair.initiator) == said(pair.responder) == [True]
    assert closed(pair.initiator) == closed(pair.responder) == 0


def test_an_initiator_that_crashed_and_came_back(pair: Pair) -> None:
    pair.establish()
    old = dict(pair.responder.children)
    restart(pair, pair.initiator)
    sent = len(pair.sent)
    pair.establish()
    assert pair.up()
    assert closed(pair.responder) == 1
    assert len(pair.responder.outbound) == 1
    assert not old.keys() & pair.responder.children.keys()
    assert len(pair.sent) == sent + 4, "nothing is said to the dead"
    assert said(pair.responder) == [True, True]


def test_a_responder_that_crashed_and_came_back(pair: Pair) -> None:
    """The initiator, which still has the old IKE SA, says nothing; the responder does, and it is believed."""
    pair.establish()
    restart(pair, pair.responder)
    pair.establish()
    assert pair.up()
    assert said(pair.initiator) == [True, False]
    assert closed(pair.initiator) == 1


def test_what_goes_goes_in_order(pair: Pair) -> None:
    """Children, then the old IKE SA, then the new one, and only then the answer."""
    pair.establish()
    restart(pair, pair.initiator)
    before = len(pair.responder.outputs)
    pair.establish()
    later = pair.responder.outputs[before:]
    kinds = [type(output) for output in later]
    down, up = kinds.index(SaDown), kinds.index(SaUp)
    last_answer = len(kinds) - 1 - kinds[::-1].index(Transmit)
    assert kinds.index(RemoveSa) < down < up < last_answer
    assert later[down] == SaDown(later[down].ike_spi, CLOSED, True, False)  # type: ignore[union-attr]


def test_a_second_ike_sa_on_purpose_closes_nothing(pair: Pair) -> None:
    pair.establish()
    pair.initiate()
    pair.drive()
    assert said(pair.initiator) == said(pair.responder) == [True, False]
    assert len(pair.initiator.endpoint.sas()) == len(pair.responder.endpoint.sas()) == 2
    pair.pass_time(ASK)
    assert len(pair.responder.outbound) == 2


def test_two_begun_at_once_say_nothing(pair: Pair) -> None:
    pair.initiate()
    pair.initiate()
    pair.drive()
    assert said(pair.initiator) == [False, False]
    assert len(pair.responder.endpoint.sas()) == 2


def test_a_late_claim_closes_nothing_that_is_younger(pair: Pair) -> None:
    """The IKE_AUTH that says so is lost, a second IKE SA comes up, and only then it is sent again."""
    pair.initiate()
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    lost = pair.take()
    pair.now += 0.1
    pair.initiate()
    pair.drive()
    assert said(pair.initiator) == [True, False]
    pair.now += 0.1
    pair.deliver(lost)
    pair.drive()
    assert closed(pair.responder) == 0
    assert len(pair.responder.endpoint.sas()) == 2
    assert {sa.phase for sa in pair.responder.endpoint.sas()} == {"ESTABLISHED"}


def test_both_initiate_at_once_and_nothing_is_lost(pair: Pair) -> None:
    pair.initiate(pair.initiator, pair.responder)
    pair.initiate(pair.responder, pair.initiator)
    pair.drive()
    for node in (pair.initiator, pair.responder):
        assert closed(node) == 0
        assert len(node.endpoint.sas()) == 2


def test_half_open_strangers_do_not_keep_it_from_being_said(pair: Pair) -> None:
    stranger = pair.add(variant(INITIATOR, address="192.0.2.66"))
    pair.initiate(stranger, pair.initiator)
    pair.deliver(pair.take())
    assert pair.initiator.endpoint.half_open == 1
    pair.wire.clear()
    pair.initiate()
    pair.drive()
    assert said(pair.initiator) == [True]


def both(codec: str, **responder: object) -> Pair:
    return Pair(
        codec,
        responder=variant(RESPONDER, peer_ts="10.0.0.0/8", expects="fqdn:initiator fqdn:rival", **responder),
    )


RIVAL: NodeOptions = variant(INITIATOR, name="rival", address="192.0.2.66", local_ts="10.3.0.0/24")


def test_another_identity_is_not_concerned(codec: str) -> None:
    pair = both(codec).establish()
    rival = pair.add(RIVAL)
    pair.initiate(rival)
    pair.drive()
    assert said(rival) == [True]
    assert said(pair.responder) == [True, True], "each is the only one with its peer"
    assert closed(pair.responder) == 0
    assert len(pair.responder.endpoint.sas()) == len(pair.responder.outbound) == 2


def test_nothing_is_closed_before_the_peer_is_authenticated(codec: str) -> None:
    pair = both(codec).establish()
    impostor = pair.add(variant(INITIATOR, address="192.0.2.66", show=STOLEN))
    pair.initiate(impostor)
    pair.drive()
    assert said(impostor) == [True]
    assert pair.responder.told(E.AUTHENTICATION_FAILED)
    assert pair.up()


def test_several_nodes_with_one_identity(codec: str) -> None:
    pair = both(codec)
    nodes = [
        pair.add(variant(INITIATOR, address=f"192.0.2.{50 + n}", local_ts=f"10.7.{n}.0/24", change=shared))
        for n in range(3)
    ]
    for node in nodes:
        pair.initiate(node)
        pair.drive()
        assert said(node) == [False]
    assert said(pair.responder) == [True, False, False]
    assert closed(pair.responder) == 0
    assert len(pair.responder.endpoint.sas()) == len(pair.responder.outbound) == 3
    assert all(len(node.endpoint.sas()) == 1 for node in nodes)


def test_all_of_the_identity_go_however_many(pair: Pair) -> None:
    pair.establish()
    for _ in range(4):
        pair.initiate()
        pair.drive()
    assert len(pair.responder.endpoint.sas()) == 5
    restart(pair, pair.initiator)
    pair.establish()
    assert closed(pair.responder) == 5
    assert pair.up()


def test_in_another_message_it_says_nothing(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.establish()
    pair.initiate()
    pair.drive()
    honest = pair.initiator.codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> Sealed:
        return honest(header, (*payloads, Notify(NotifyType.INITIAL_CONTACT)), sealer, mtu)

    monkeypatch.setattr(pair.initiator.codec, "seal", seal)
    first = next(iter(pair.initiator.endpoint._sas))
    pair.initiator.endpoint.delete(first, pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert closed(pair.responder) == 0
    assert len(pair.responder.endpoint.sas()) == 1


def test_nothing_is_remembered_of_who_is_gone(pair: Pair) -> None:
    for _ in range(3):
        pair.establish()
        pair.initiator.endpoint.delete_all(pair.now)
        pair.flush(pair.initiator)
        pair.drive()
    pair.initiate()
    pair.wire.clear()
    pair.pass_time(600, keep=lambda datagram: False)
    for node in (pair.initiator, pair.responder):
        contacts: Contacts = node.endpoint._context.contacts
        assert not contacts._begun
        assert not contacts._peers
        assert not contacts._by_peer


def test_an_identity_is_its_type_and_its_octets() -> None:
    contacts = Contacts()
    contacts.establish(b"1", Identification(PayloadType.IDI, IdType.ID_FQDN, b"a"), 1.0)
    assert contacts.before(1.0, Identification(PayloadType.IDR, IdType.ID_FQDN, b"a")) == (b"1",)
    assert contacts.before(0.9, Identification(PayloadType.IDR, IdType.ID_FQDN, b"a")) == ()
    assert contacts.before(1.0, Identification(PayloadType.IDI, IdType.ID_KEY_ID, b"a")) == ()
    assert contacts.before(1.0, Identification(PayloadType.IDI, IdType.ID_FQDN, b"A")) == ()


def test_who_takes_the_place_of_another_was_there_as_early() -> None:
    peer, contacts = Identification(PayloadType.IDI, IdType.ID_FQDN, b"a"), Contacts()
    contacts.establish(b"1", peer, 1.0)
    contacts.inherit(b"1", b"2")
    contacts.inherit(b"2", b"3")
    assert contacts.before(1.0, peer) == (b"3",)
    contacts.end(b"3")
    assert contacts.before(9.0, peer) == ()
    assert contacts.sole(b"4")
