"""INFORMATIONAL: delete, liveness, and the end of SAs."""

import pytest

from node.errors import DropReason
from node.ike.outputs import RemoveSa, SaDown
from node.model.events import EventName as E
from node.model.payloads import Delete, Notify, Payload
from node.model.registry import ExchangeType, NotifyType, ProtocolId
from tests.engine.harness import INITIATOR, Node, Pair, variant


def sides(pair: Pair, first: str) -> tuple[Node, Node]:
    both = (pair.initiator, pair.responder)
    return both if first == "initiator" else (both[1], both[0])


def ask(pair: Pair, node: Node, *payloads: Payload) -> None:
    """Send an INFORMATIONAL request of our own making from an established SA."""
    (sa,) = node.endpoint._sas.values()
    sa.send_request(ExchangeType.INFORMATIONAL, payloads, pair.now)
    pair.flush(node)


@pytest.mark.parametrize("first", ["initiator", "responder"])
def test_delete(pair: Pair, first: str) -> None:
    """
    one    INFORMATIONAL SK{ D }  -->
                                  <--  INFORMATIONAL SK{ }   other
    """
    pair.establish()
    one, other = sides(pair, first)
    one.endpoint.delete_all(pair.now)
    pair.flush(one)
    pair.drive()
    assert pair.empty()
    for node in (one, other):
        assert node.told(E.IKE_SA_DELETED)
        assert node.told(E.CHILD_SA_DELETED)
        assert len(node.of(RemoveSa)) == len(node.of(SaDown)) == 1


def test_a_node_that_retires_takes_no_new_ike_sa(pair: Pair) -> None:
    """The old ones are deleted in good order all the same."""
    pair.establish()
    pair.responder.endpoint.retire(pair.now)
    pair.flush(pair.responder)
    late = pair.add(variant(INITIATOR, address="192.0.2.9"))
    pair.initiate(late)
    pair.drive()
    assert pair.responder.dropped == {DropReason.STOPPING: 1}
    assert pair.empty() is False, "the late one waits for an answer"
    assert not pair.responder.endpoint.sas()
    assert not pair.initiator.endpoint.sas()
    assert [d.source for d in pair.sent if d.target is late] == []


def test_retiring_ends_what_was_only_begun(pair: Pair) -> None:
    pair.initiate()
    pair.deliver(pair.take())
    (answer,) = pair.wire
    pair.responder.endpoint.retire(pair.now)
    pair.flush(pair.responder)
    assert not pair.responder.endpoint.sas()
    pair.deliver(answer)
    pair.wire.popleft()
    pair.drive()
    assert pair.responder.dropped == {DropReason.UNKNOWN_SPI: 1}


def test_both_delete_at_once(pair: Pair) -> None:
    pair.establish()
    for node in (pair.initiator, pair.responder):
        node.endpoint.delete_all(pair.now)
        pair.flush(node)
    pair.drive()
    pair.pass_time(5)
    assert pair.empty()


def test_a_lost_answer_to_delete_is_repeated_from_the_store(pair: Pair) -> None:
    pair.establish()
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.deliver(pair.take())
    assert not pair.responder.endpoint.sas()
    lost = pair.take()
    pair.pass_time(1)
    assert pair.empty()
    assert pair.responder.told(E.RESPONSE_REPEATED)
    assert pair.sent[-1].octets == lost.octets


def test_a_peer_that_is_gone_does_not_hold_us_for_ever(pair: Pair) -> None:
    pair.establish()
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.pass_time(600, keep=lambda datagram: False)
    assert not pair.initiator.endpoint.sas()
    assert pair.initiator.told(E.RETRANSMISSION_GAVE_UP)


@pytest.mark.parametrize("first", ["initiator", "responder"])
def test_an_empty_request_asks_for_life(pair: Pair, first: str) -> None:
    pair.establish()
    one, other = sides(pair, first)
    ask(pair, one)
    pair.deliver(pair.take())
    assert other.names().count(E.INFORMATIONAL_RECEIVED) == 1
    assert other.names().count(E.INFORMATIONAL_SENT) == 1
    assert len(other.endpoint.sas()) == 1


@pytest.mark.parametrize("first", ["initiator", "responder"])
def test_deleting_only_the_child(pair: Pair, first: str) -> None:
    """
    one    INFORMATIONAL SK{ D(ESP, our inbound SPI) }  -->
                        <--  INFORMATIONAL SK{ D(ESP, their inbound SPI) }   other
    """
    pair.establish()
    one, other = sides(pair, first)
    (spi,) = one.children
    ask(pair, one, Delete(ProtocolId.ESP, (spi,)))
    pair.deliver(pair.take())
    assert not other.children
    assert len(other.endpoint.sas()) == 1


def test_deleting_a_child_twice_in_one_message_is_no_accident(pair: Pair) -> None:
    pair.establish()
    (spi,) = pair.initiator.children
    ask(pair, pair.initiator, Delete(ProtocolId.ESP, (spi, spi)), Delete(ProtocolId.ESP, (spi,)))
    pair.deliver(pair.take())
    assert len(pair.responder.of(RemoveSa)) == 1


@pytest.mark.parametrize(
    "payload",
    [
        Delete(ProtocolId.IKE, (bytes(8),)),
        Delete(ProtocolId.ESP, (bytes(3),)),
        Delete(ProtocolId.AH, (bytes(4),)),
        Delete(ProtocolId.NONE),
    ],
    ids=["IKE with an SPI", "ESP with three octets", "AH", "no protocol"],
)
def test_a_delete_that_makes_no_sense_ends_the_sa(pair: Pair, payload: Payload) -> None:
    pair.establish()
    ask(pair, pair.initiator, payload)
    pair.drive()
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"
    assert not pair.responder.endpoint.sas()


def test_deleting_an_unknown_child_changes_nothing(pair: Pair) -> None:
    pair.establish()
    ask(pair, pair.initiator, Delete(ProtocolId.ESP, (b"\x01\x02\x03\x04",)))
    pair.deliver(pair.take())
    assert pair.up()


def test_a_status_notification_is_ignored(pair: Pair) -> None:
    pair.establish()
    ask(pair, pair.initiator, Notify(NotifyType(40000), b"?"))
    pair.deliver(pair.take())
    assert pair.up()


def test_an_error_notification_of_an_established_peer_ends_the_sa(pair: Pair) -> None:
    pair.establish()
    ask(pair, pair.initiator, Notify(NotifyType.AUTHENTICATION_FAILED))
    pair.deliver(pair.take())
    assert not pair.responder.endpoint.sas()
    assert not pair.responder.children
