"""Ports and addresses: IKE_AUTH goes to the other port, and who is followed where (RFC 7296 2.23)."""

from dataclasses import replace

import pytest

from node.errors import DropReason
from node.ike import extensions
from node.ike.outputs import InstallOutbound, MoveSa, SaMoved, SaUp, Transmit
from node.model.events import EventName as E
from node.model.message import Path
from tests.engine.harness import CODECS, Node
from tests.engine.two_ports import IKE, NAT, TwoPorts

OURS, R, OUTER = "192.0.2.1", "192.0.2.2", "203.0.113.9"


@pytest.fixture(params=sorted(CODECS))
def pair(request: pytest.FixtureRequest) -> TwoPorts:
    return TwoPorts(request.param)


def up(pair: TwoPorts) -> TwoPorts:
    pair.initiate()
    pair.drive()
    assert pair.up()
    return pair


def follows(pair: TwoPorts, node: Node, path: Path) -> bool:
    """Whether the node takes this path for everything, and tells so; it does both or nothing."""
    told = [e for e in node.events if e.name is E.PEER_MOVED]
    moved = pair.moved(node)
    assert len(told) == len(moved) <= 1
    assert pair.paths(node) == ({path} if moved else {pair.sa(node).path})
    return moved == [path]


# -- IKE_AUTH goes to the port that ESP shares ---------------------------------------------------------------


def test_ike_sa_init_on_one_port_everything_else_on_the_other(pair: TwoPorts) -> None:
    # IKE_SA_INIT 500 <-> 500, IKE_AUTH 4500 <-> 4500
    up(pair)
    ports = [(d.path.peer_port, d.path.local_port) for d in pair.sent]
    assert ports == [(IKE, IKE)] * 2 + [(NAT, NAT)] * 2
    assert pair.paths(pair.initiator) == {Path(OURS, NAT, R, NAT)}
    assert pair.paths(pair.responder) == {Path(R, NAT, OURS, NAT)}
    for node in pair.nodes.values():
        assert not {E.NAT_DETECTED, E.PEER_MOVED} & set(node.names())


def test_a_retransmitted_ike_auth_goes_to_that_port_too(pair: TwoPorts) -> None:
    pair.initiate()
    pair.drive(keep=lambda datagram: datagram.path.local_port == IKE)
    pair.pass_time(5, keep=lambda datagram: False)
    late = [d for d in pair.sent if d.source is pair.initiator][1:]
    assert len(late) > 2
    assert {d.path.local_port for d in late} == {NAT}


def test_through_a_nat(pair: TwoPorts) -> None:
    pair.rebind(pair.initiator)
    up(pair)
    assert pair.initiator.event(E.NAT_DETECTED).fields["local"] is True
    assert pair.responder.event(E.NAT_DETECTED).fields["remote"] is True
    assert pair.paths(pair.responder) == {Path(R, NAT, OUTER, 40_002)}
    ups = [next(o for o in n.outputs if isinstance(o, SaUp)) for n in (pair.initiator, pair.responder)]
    assert [one.behind_nat for one in ups] == [True, False]
    assert [one.path for one in ups] == [Path(OURS, NAT, R, NAT), Path(R, NAT, OUTER, 40_002)]


def test_without_nat_detection_there_is_no_child_sa(pair: TwoPorts, monkeypatch: pytest.MonkeyPatch) -> None:
    # IKE_AUTH on port 500 -->
    #                      <-- N(NO_PROPOSAL_CHOSEN), and the IKE SA stays
    monkeypatch.setattr(extensions, "announce", lambda *_: ())
    pair.initiate()
    pair.drive()
    assert {d.path.local_port for d in pair.sent} == {IKE}
    assert "NAT detection" in str(pair.responder.event(E.CHILD_SA_FAILED).fields["reason"])
    assert pair.initiator.told(E.CHILD_SA_FAILED)
    for node in (pair.initiator, pair.responder):
        (status,) = node.endpoint.sas()
        assert (status.phase, status.children) == ("ESTABLISHED", ())
        assert not node.children


def test_a_responder_that_could_is_told_that_there_is_no_child_sa(
    pair: TwoPorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # IKE_AUTH -->
    #          <-- SA, TSi, TSr
    # D(ESP)   -->
    monkeypatch.setattr(extensions, "announce", lambda *_: ())
    pair.raw_esp.add(R)
    pair.initiate()
    pair.drive()
    assert "NAT detection" in str(pair.initiator.event(E.CHILD_SA_FAILED).fields["reason"])
    assert not any(isinstance(o, InstallOutbound) for o in pair.initiator.outputs)
    assert pair.responder.told(E.CHILD_SA_DELETED)
    assert [s.phase for n in pair.nodes.values() for s in n.endpoint.sas()] == ["ESTABLISHED"] * 2
    assert not pair.responder.children


# -- who is followed -----------------------------------------------------------------------------------------


def test_a_peer_behind_a_nat_is_followed(pair: TwoPorts) -> None:
    pair.rebind(pair.initiator)
    up(pair)
    pair.rebind(pair.initiator)
    pair.wire.append(pair.datagram(pair.initiator, pair.ask(pair.initiator).octets, Path(OURS, NAT, R, NAT)))
    pair.drive()
    new = Path(R, NAT, OUTER, 40_004)
    assert follows(pair, pair.responder, new)
    event = pair.responder.event(E.PEER_MOVED).fields
    assert (event["old"], event["new"], event["local"]) == (f"{OUTER}:40002", f"{OUTER}:40004", f"{R}:{NAT}")
    assert pair.initiator.names().count(E.INFORMATIONAL_RECEIVED) == 1, "the answer arrived there"
    (spi,) = [sa.spi_r for sa in pair.responder.endpoint.sas()]
    pair.responder.endpoint.delete(bytes.fromhex(spi), pair.now)
    pair.flush(pair.responder)
    pair.drive()
    assert pair.empty()


def test_outputs_of_a_move_stand_before_the_answer(pair: TwoPorts) -> None:
    pair.rebind(pair.initiator)
    up(pair)
    seen = len(pair.responder.outputs)
    request = pair.ask(pair.initiator)
    pair.deliver(replace(request, path=Path(R, NAT, OUTER, 50_000)))
    kinds = [type(output) for output in pair.responder.outputs[seen:]]
    assert [k for k in kinds if k in (SaMoved, MoveSa, Transmit)] == [SaMoved, MoveSa, Transmit]


@pytest.mark.parametrize("codec", sorted(CODECS))
@pytest.mark.parametrize(
    ("natted", "forwarded", "mover", "followed"),
    [
        (False, False, "initiator", True),
        (True, False, "initiator", True),
        (False, True, "initiator", False),
        (True, True, "initiator", True),
        (False, False, "responder", True),
        (True, False, "responder", False),
        (False, True, "responder", True),
        (True, True, "responder", False),
    ],
)
@pytest.mark.parametrize("by", ["request", "esp"])
def test_table_of_who_is_followed(
    codec: str, natted: bool, forwarded: bool, mover: str, followed: bool, by: str
) -> None:
    """The initiator behind a NAT, the responder behind one with a mapping for it; one of them moves."""
    pair = TwoPorts(codec)
    if natted:
        pair.rebind(pair.initiator)
    if forwarded:
        pair.forward(pair.responder)
    up(pair)
    ends = (pair.initiator, pair.responder) if mover == "initiator" else (pair.responder, pair.initiator)
    node, other = ends
    before = pair.paths(other)
    new = Path(other.options.address, NAT, "198.51.100.4", 4)
    if by == "request":
        pair.deliver(replace(pair.ask(node), path=new))
        assert pair.sent[-1].source is other, "answered, whoever asks from wherever"
        answered = [o for o in other.outputs if isinstance(o, Transmit)][-1]
        assert answered.path == new
    else:
        other.endpoint.peer_moved(pair.sa(other).local_spi, new, pair.now)
        pair.flush(other)
    assert follows(pair, other, new) is followed
    assert followed or pair.paths(other) == before


def test_a_response_from_elsewhere_is_followed(pair: TwoPorts) -> None:
    up(pair)
    request = pair.ask(pair.initiator)
    pair.deliver(request)
    response = pair.take()
    new = Path(OURS, NAT, "198.51.100.4", 4)
    pair.deliver(replace(response, path=new))
    assert follows(pair, pair.initiator, new)


def test_the_port_of_ike_alone_takes_no_child_sa_along(pair: TwoPorts) -> None:
    up(pair)
    before = pair.paths(pair.responder)
    alone = Path(R, IKE, OURS, IKE, carries_esp=False)
    pair.deliver(replace(pair.ask(pair.initiator), path=alone))
    assert [o for o in pair.responder.outputs if isinstance(o, Transmit)][-1].path == alone
    assert pair.paths(pair.responder) == before
    assert E.PEER_MOVED not in pair.responder.names()


# -- who is not ----------------------------------------------------------------------------------------------


def test_nothing_forged_or_repeated_moves_anybody(pair: TwoPorts) -> None:
    pair.rebind(pair.initiator)
    up(pair)
    before = pair.paths(pair.responder)
    stranger = Path(R, NAT, "198.51.100.4", 4)
    _, auth = (d for d in pair.sent if d.source is pair.initiator)
    fresh = pair.ask(pair.initiator)
    broken = fresh.octets[:-1] + bytes([fresh.octets[-1] ^ 1])
    for octets in (broken, fresh.octets[:-1], auth.octets):
        pair.responder.endpoint.handle_datagram(octets, stranger, pair.now)
        pair.flush(pair.responder)
        assert pair.paths(pair.responder) == before
    assert pair.responder.dropped[DropReason.BAD_ICV] >= 1
    pair.deliver(fresh)
    pair.deliver(replace(fresh, path=stranger))
    repeated = [o for o in pair.responder.outputs if isinstance(o, Transmit)][-1]
    assert repeated.path == stranger, "a repeated request is answered from the store, there"
    assert pair.paths(pair.responder) == before
    assert E.PEER_MOVED not in pair.responder.names()


def test_a_response_that_nobody_waits_for_moves_nobody(pair: TwoPorts) -> None:
    up(pair)
    before = pair.paths(pair.initiator)
    pair.deliver(pair.ask(pair.initiator))
    response = pair.take()
    pair.deliver(response)
    pair.deliver(replace(response, path=Path(OURS, NAT, "198.51.100.4", 4)))
    assert pair.paths(pair.initiator) == before
    assert pair.initiator.dropped[DropReason.STALE_MESSAGE_ID] == 1


def test_esp_of_an_ike_sa_that_is_gone_moves_nobody(pair: TwoPorts) -> None:
    up(pair)
    pair.responder.endpoint.peer_moved(bytes(8), Path(R, NAT, "198.51.100.4", 4), pair.now)
    pair.flush(pair.responder)
    assert not pair.moved(pair.responder)
