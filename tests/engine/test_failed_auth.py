"""A failed IKE_AUTH costs its source a slot until the half-open IKE SA would have ended (docs/adr/0020)."""

from dataclasses import replace

from node.errors import DropReason
from node.ike.children import ASK
from node.ike.halfopen import MAX_SPENT, HalfOpen
from node.ike.phases import InitReplied
from node.ike.settings import Limits
from node.model.events import EventName as E
from node.model.message import Path
from tests.engine.harness import INITIATOR, RESPONDER, Pair, credentials, variant
from tests.engine.strangers import limits

STOLEN = type(credentials("initiator"))(
    credentials("initiator").certificate, credentials("somebody").key, credentials("initiator").anchors
)
IMPOSTOR = variant(INITIATOR, show=STOLEN)


def attempts(pair: Pair, count: int, seconds: float = 0.1) -> None:
    """The initiator tries, one attempt after the other."""
    for _ in range(count):
        pair.initiate()
        pair.pass_time(seconds)


def test_failures_of_one_source_are_bounded_in_their_time(codec: str) -> None:
    pair = Pair(
        codec, IMPOSTOR, variant(RESPONDER, **limits(half_open_per_source=5, half_open_lifetime=30.0))
    )
    attempts(pair, 40)
    failed = pair.responder.names().count(E.AUTHENTICATION_FAILED)
    assert failed == 5
    assert pair.responder.endpoint.half_open == 0
    assert not pair.responder.endpoint.sas()
    pair.pass_time(25)
    assert pair.responder.names().count(E.AUTHENTICATION_FAILED) == failed
    assert pair.responder.dropped[DropReason.HALF_OPEN_SOURCE_LIMIT] >= 35
    pair.pass_time(60)
    # Five in each half minute of one and a half minutes.
    assert pair.responder.names().count(E.AUTHENTICATION_FAILED) == 3 * failed


def test_a_slot_is_taken_as_long_as_the_half_open_sa_would_have_been(codec: str) -> None:
    pair = Pair(
        codec, IMPOSTOR, variant(RESPONDER, **limits(half_open_per_source=1, half_open_lifetime=30.0))
    )
    start = pair.now
    attempts(pair, 1)
    assert pair.responder.endpoint.deadline() is not None
    pair.pass_time(29.5)
    assert pair.responder.endpoint._half_open.crowded(pair.responder.path_to(pair.initiator))
    pair.pass_time(30.5 - (pair.now - start))
    assert not pair.responder.endpoint._half_open.crowded(pair.responder.path_to(pair.initiator))


def test_another_identity_behind_the_same_address_may_try(codec: str) -> None:
    """Nine impostors, then an honest peer on the tenth slot of the address."""
    pair = Pair(codec, IMPOSTOR)
    attempts(pair, 9)
    honest = pair.add(variant(INITIATOR, address="192.0.2.1"))
    pair.initiate(honest)
    pair.drive()
    assert honest.endpoint.sas()[0].phase == "ESTABLISHED"
    assert pair.responder.endpoint._half_open._sources["192.0.2.1"] == 9


def test_other_addresses_are_not_concerned(codec: str) -> None:
    pair = Pair(codec, IMPOSTOR, variant(RESPONDER, **limits(half_open_per_source=1)))
    attempts(pair, 5)
    other = pair.add(variant(INITIATOR, address="192.0.2.77"))
    pair.initiate(other)
    pair.drive()
    assert other.endpoint.sas()[0].phase == "ESTABLISHED"


def test_who_succeeds_gets_the_slot_back(codec: str) -> None:
    pair = Pair(codec, responder=variant(RESPONDER, **limits(half_open_per_source=1)))
    for _ in range(5):
        pair.initiate()
        pair.drive()
    assert len(pair.responder.endpoint.sas()) == 5
    assert not pair.responder.endpoint._half_open._sources
    pair.pass_time(ASK)
    assert pair.responder.endpoint.deadline() is None


def test_a_key_share_that_cannot_be_used_costs_the_slot_too(pair: Pair) -> None:
    """Found out when the keys are derived, after the first protected message."""
    pair.initiate()
    pair.drive(lambda datagram: len(pair.sent) < 3)
    (sa,) = pair.responder.endpoint._sas.values()
    request = pair.sent[2]
    assert isinstance(sa.data, InitReplied)
    sa.data = replace(sa.data, peer_public=bytes(256))
    pair.deliver(request)
    assert not pair.responder.endpoint.sas()
    assert pair.responder.dropped == {DropReason.BAD_KE: 1}
    assert pair.responder.endpoint._half_open._sources.total() == 1


def test_slots_of_failures_are_bounded_in_number() -> None:
    table = HalfOpen(Limits())
    for number in range(MAX_SPENT + 500):
        spi, host = number.to_bytes(8), f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        table.add(spi, Path("192.0.2.2", 1, host, 1), spi, number / 1000, proven=True)
        table.spend(spi)
        table.discard(spi)
    assert len(table._spent) == table._sources.total() == MAX_SPENT
    assert len(table) == 0
    table.expire(1e9)
    assert not table._spent
    assert not table._sources
