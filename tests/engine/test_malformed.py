"""Messages of an authenticated peer that are no messages: it is told INVALID_SYNTAX, and its SA ends."""

from collections.abc import Sequence

import pytest

from node.errors import DecodeError, DropReason, PeerMisbehaved
from node.ike import exchanges
from node.ike.outputs import SaDown
from node.model.events import EventName as E
from node.model.message import Envelope, Fragment, Header, Message, Path, Sealed
from node.model.payloads import Delete, Nonce, Notify, Payload, Unknown
from node.model.registry import ExchangeType, NotifyType, PayloadType, ProtocolId
from node.ports import Sealer
from tests.engine.harness import Node, Pair


def garble(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what this node opens be unreadable once it is authenticated."""
    honest = node.codec.open

    def unreadable(envelope: Envelope, opener: Sealer) -> Message | Fragment:
        honest(envelope, opener)
        raise DecodeError(DropReason.MALFORMED, "plaintext", authenticated=True)

    monkeypatch.setattr(node.codec, "open", unreadable)


def test_an_unreadable_request(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    garble(pair.responder, monkeypatch)
    pair.establish()
    pair.pass_time(5)
    assert pair.empty()
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"
    assert pair.initiator.event(E.IKE_SA_FAILED).fields["reason"] == "refused with INVALID_SYNTAX"


def test_an_unreadable_response(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    garble(pair.initiator, monkeypatch)
    pair.establish()
    pair.pass_time(300)
    assert pair.empty()
    assert pair.initiator.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"


def test_unreadable_but_not_authenticated_has_no_effect(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.establish()

    def unreadable(envelope: Envelope, opener: Sealer) -> Message | Fragment:
        raise DecodeError(DropReason.MALFORMED, "encrypted")

    monkeypatch.setattr(pair.responder.codec, "open", unreadable)
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.deliver(pair.take())
    assert pair.responder.dropped == {DropReason.MALFORMED: 1}
    assert len(pair.responder.endpoint.sas()) == 1


def test_a_fragment_where_none_was_negotiated(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.establish()

    def fragment(envelope: Envelope, opener: Sealer) -> Message | Fragment:
        return Fragment(envelope.header, 1, 2, 0, b"")

    monkeypatch.setattr(pair.responder.codec, "open", fragment)
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.deliver(pair.take())
    assert pair.responder.dropped == {DropReason.UNEXPECTED_MESSAGE: 1}
    assert len(pair.responder.endpoint.sas()) == 1


def ask(pair: Pair, *payloads: Payload) -> None:
    (sa,) = pair.initiator.endpoint._sas.values()
    sa.send_request(ExchangeType.INFORMATIONAL, payloads, pair.now)
    pair.flush(pair.initiator)
    pair.deliver(pair.take())


def test_an_unknown_critical_payload_rejects_the_request_and_nothing_more(pair: Pair) -> None:
    pair.establish()
    ask(pair, Unknown(PayloadType(201), True, b""))
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "UNSUPPORTED_CRITICAL_PAYLOAD"
    assert pair.responder.dropped == {DropReason.CRITICAL_PAYLOAD: 1}
    assert len(pair.responder.endpoint.sas()) == 1


@pytest.mark.parametrize(
    "payloads",
    [
        (Nonce(bytes(32)),),
        tuple(Delete(ProtocolId.ESP) for _ in range(17)),
        tuple(Notify(NotifyType(40_000)) for _ in range(33)),
        tuple(Unknown(PayloadType(201), False, b"") for _ in range(17)),
    ],
    ids=["one that does not belong", "too many deletes", "too many notifications", "too many unknown"],
)
def test_payloads_that_break_the_rules(pair: Pair, payloads: tuple[Payload, ...]) -> None:
    pair.establish()
    ask(pair, *payloads)
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"
    assert not pair.responder.endpoint.sas()
    assert len(pair.responder.of(SaDown)) == 1


def test_an_unknown_exchange(pair: Pair) -> None:
    pair.establish()
    (sa,) = pair.initiator.endpoint._sas.values()
    protection = sa.protection
    if protection is None:
        raise AssertionError("an established SA has keys")
    header = Header(sa.spi_i, sa.spi_r, ExchangeType(99), 2, 0x08)
    sealed = pair.initiator.codec.seal(header, (), protection.outbound, 0)
    path = Path(*pair.responder.address, *pair.initiator.address)
    pair.responder.endpoint.handle_datagram(sealed.octets, path, pair.now)
    pair.flush(pair.responder)
    assert pair.responder.dropped == {DropReason.UNEXPECTED_MESSAGE: 1}
    assert pair.up()


def test_an_unprotected_message_for_a_protected_exchange(pair: Pair) -> None:
    pair.establish()
    header = pair.initiator.codec.peek(pair.sent[2].octets).header
    forged = Header(header.spi_i, header.spi_r, ExchangeType.INFORMATIONAL, 2, 0x08)
    octets = pair.initiator.codec.seal(forged, (Delete(ProtocolId.IKE),), None, 0).octets
    path = Path(*pair.responder.address, *pair.initiator.address)
    pair.responder.endpoint.handle_datagram(octets, path, pair.now)
    pair.flush(pair.responder)
    assert pair.responder.dropped.total() == 1
    assert pair.up()


INIT_ANSWERS: dict[str, DropReason] = {
    "no nonce": DropReason.INVALID_PAYLOADS,
    "our own nonce": DropReason.REFLECTED,
    "SPI zero": DropReason.BAD_SPI,
    "our own SPI": DropReason.REFLECTED,
    "from elsewhere": DropReason.UNEXPECTED_MESSAGE,
}


@pytest.mark.parametrize("answer", INIT_ANSWERS)
def test_a_bad_answer_to_ike_sa_init_is_dropped_and_a_good_one_still_counts(pair: Pair, answer: str) -> None:
    pair.initiate()
    request = pair.take()
    pair.deliver(request)
    honest = pair.take()
    codec = pair.initiator.codec
    message = codec.read(codec.peek(honest.octets))
    asked = codec.read(codec.peek(request.octets))
    own = next(p for p in asked.payloads if isinstance(p, Nonce))
    changed: Sequence[Payload] = message.payloads
    header, path = message.header, honest.path
    if answer == "no nonce":
        changed = [p for p in changed if not isinstance(p, Nonce)]
    elif answer == "our own nonce":
        changed = [own if isinstance(p, Nonce) else p for p in changed]
    elif answer == "from elsewhere":
        path = Path(path.local_host, path.local_port, "192.0.2.99", 8000)
    else:
        spi = bytes(8) if answer == "SPI zero" else header.spi_i
        header = Header(header.spi_i, spi, header.exchange, 0, header.flags)
    forged: Sealed = codec.seal(header, changed, None, 0)
    pair.initiator.endpoint.handle_datagram(forged.octets, path, pair.now)
    pair.flush(pair.initiator)
    assert pair.initiator.dropped == {INIT_ANSWERS[answer]: 1}
    pair.deliver(honest)
    pair.drive()
    assert pair.up()


def test_a_required_payload_that_is_absent_is_the_peers_fault(pair: Pair) -> None:

    message = Message(Header(bytes(8), bytes(8), ExchangeType.IKE_AUTH, 1, 8), (), (), b"")
    with pytest.raises(PeerMisbehaved, match="no Nonce payload"):
        exchanges.required(message, Nonce)
