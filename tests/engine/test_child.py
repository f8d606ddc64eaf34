"""The Child SA of IKE_AUTH: it may fail alone, and an answer may not take more than was offered."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from node.errors import DropReason
from node.ike.children import ASK
from node.ike.settings import Limits, Settings
from node.model.events import EventName as E
from node.model.message import Header, Sealed
from node.model.payloads import Payload, SecurityAssociation, TrafficSelectors
from node.model.proposal import Proposal
from node.model.registry import PayloadType, ProtocolId, TsType
from node.model.selectors import MAX_NARROWED, UnknownSelector, network
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, Node, Pair, variant


def forge(
    pair: Pair, node: Node, change: Callable[[Payload], Payload], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a node send other payloads than it means to, properly sealed."""
    honest = node.codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> Sealed:
        return honest(header, [change(p) for p in payloads] if sealer else payloads, sealer, mtu)

    monkeypatch.setattr(node.codec, "seal", seal)


@pytest.mark.parametrize(
    ("change", "notify"),
    [({"esp": ("aes256gcm16",)}, "NO_PROPOSAL_CHOSEN"), ({"peer_ts": "10.9.0.0/16"}, "TS_UNACCEPTABLE")],
    ids=["no common suite", "no common selectors"],
)
def test_the_ike_sa_stays_without_its_child(codec: str, change: dict[str, object], notify: str) -> None:
    pair = Pair(codec, responder=variant(RESPONDER, **change)).establish()
    for node in (pair.initiator, pair.responder):
        (sa,) = node.endpoint.sas()
        assert (sa.phase, sa.children) == ("ESTABLISHED", ())
        assert node.told(E.CHILD_SA_FAILED)
        assert not node.children
    assert pair.initiator.event(E.NOTIFY_RECEIVED).fields["notify"] == notify


def test_selectors_of_another_peer_are_not_granted(codec: str) -> None:
    both = variant(RESPONDER, peer_ts="10.0.0.0/8", expects="fqdn:initiator fqdn:rival")
    pair = Pair(codec, responder=both).establish()
    rival = pair.add(variant(INITIATOR, name="rival", address="192.0.2.66", local_ts="10.1.0.0/16"))
    pair.initiate(rival)
    pair.drive()
    assert rival.event(E.NOTIFY_RECEIVED).fields["notify"] == "TS_UNACCEPTABLE"
    assert len(pair.responder.outbound) == 1
    assert (
        pair.responder.event(E.CHILD_SA_FAILED).fields["reason"]
        == "another peer holds some of the proposed selectors"
    )


def test_the_same_peer_may_take_its_selectors_again(pair: Pair) -> None:
    pair.establish()
    pair.initiate()
    pair.drive()
    assert len(pair.responder.children) == 2
    pair.pass_time(ASK)
    assert len(pair.responder.outbound) == 2


def swap_proposal(change: Callable[[Proposal], Proposal]) -> Callable[[Payload], Payload]:
    def apply(payload: Payload) -> Payload:
        if isinstance(payload, SecurityAssociation):
            return SecurityAssociation(tuple(change(p) for p in payload.proposals))
        return payload

    return apply


def widen(kind: PayloadType) -> Callable[[Payload], Payload]:
    def apply(payload: Payload) -> Payload:
        return TrafficSelectors(kind, (network("0.0.0.0/0"),)) if payload.type == kind else payload

    return apply


ANSWERS: dict[str, Callable[[Payload], Payload]] = {
    "TSi wider than offered": widen(PayloadType.TSI),
    "TSr wider than offered": widen(PayloadType.TSR),
    "another proposal": swap_proposal(lambda p: replace(p, number=7)),
    "another protocol": swap_proposal(lambda p: replace(p, protocol=ProtocolId.AH)),
    "a transform missing": swap_proposal(lambda p: replace(p, transforms=p.transforms[:-1])),
    "a reserved SPI": swap_proposal(lambda p: replace(p, spi=b"\0\0\0\xff")),
    "an SPI of eight octets": swap_proposal(lambda p: replace(p, spi=bytes(range(8)))),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_that_takes_liberties_ends_the_sa(
    pair: Pair, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge(pair, pair.responder, ANSWERS[answer], monkeypatch)
    pair.establish()
    pair.pass_time(5)
    assert pair.empty()
    assert pair.initiator.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"
    assert E.CHILD_SA_INSTALLED not in pair.initiator.names()


def label(payload: Payload) -> Payload:
    """With a selector of a type that we do not know (RFC 9478), which only this profile can say."""
    unknown = UnknownSelector(TsType(10), 0, b"secret")
    return replace(payload, others=(unknown,)) if isinstance(payload, TrafficSelectors) else payload


def test_a_selector_of_an_unknown_type_is_narrowed_away(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair("rfc7296")
    forge(pair, pair.initiator, label, monkeypatch)
    assert pair.establish().up()
    (child,) = pair.responder.children.values()
    assert child.peer == pair.responder.settings.peer_ts


def test_an_answer_with_a_selector_of_an_unknown_type_ends_the_sa(monkeypatch: pytest.MonkeyPatch) -> None:
    """We did not offer it, and would not keep to it."""
    pair = Pair("rfc7296")
    forge(pair, pair.responder, label, monkeypatch)
    pair.establish()
    pair.pass_time(5)
    assert pair.empty()
    assert pair.initiator.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"


@pytest.mark.parametrize("spi", [b"\0\0\0\0", b"\0\0\0\xff", b"abc", bytes(8)], ids=lambda s: s.hex())
def test_a_request_with_an_impossible_spi(pair: Pair, spi: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    forge(pair, pair.initiator, swap_proposal(lambda p: replace(p, spi=spi)), monkeypatch)
    pair.establish()
    pair.pass_time(5)
    assert not pair.responder.children
    assert not pair.initiator.children
    assert pair.responder.dropped[DropReason.BAD_SPI] == 1


def test_more_selectors_than_an_answer_holds_are_narrowed(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many selectors as a peer can say, each within all of ours: the answer must still fit a message."""
    ours = tuple(network(f"10.1.{n}.0/24") for n in range(8))
    pair = Pair(codec, responder=variant(RESPONDER, change=lambda s: replace(s, peer_ts=ours)))
    many = tuple(replace(network("0.0.0.0/0"), protocol=17, start_port=n) for n in range(255))

    def flood(payload: Payload) -> Payload:
        return TrafficSelectors(payload.type, many) if payload.type == PayloadType.TSI else payload

    forge(pair, pair.initiator, flood, monkeypatch)
    pair.initiate()
    pair.drive(lambda datagram: datagram.target is pair.responder or not pair.responder.children)
    (child,) = pair.responder.children.values()
    assert len(child.peer) == MAX_NARROWED


def test_ike_sas_are_bounded(codec: str) -> None:
    def change(settings: Settings) -> Settings:
        return replace(settings, limits=Limits(ike_sas=1))

    pair = Pair(codec, responder=variant(RESPONDER, change=change, peer_ts="10.0.0.0/8")).establish()
    late = pair.add(variant(INITIATOR, address="192.0.2.9", local_ts="10.3.0.0/24"))
    pair.initiate(late)
    pair.drive()
    assert pair.responder.dropped == {DropReason.SA_LIMIT: 1}
    assert pair.up()
