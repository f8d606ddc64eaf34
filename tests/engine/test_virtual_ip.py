"""Inner addresses: asked for and given in IKE_AUTH, and what else may come of it (RFC 7296 2.19, 3.15)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from node.errors import DropReason
from node.ike.configuration import ANY
from node.ike.outputs import SaUp
from node.ike.settings import Settings
from node.model.events import EventName as E
from node.model.message import Header, Sealed
from node.model.payloads import Configuration, ConfigurationAttribute, Payload, TrafficSelectors
from node.model.registry import CfgAttribute, CfgType, PayloadType
from node.model.selectors import everything, host, network
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, Node, NodeOptions, Pair, shared, variant

V4, V6 = CfgAttribute.INTERNAL_IP4_ADDRESS, CfgAttribute.INTERNAL_IP6_ADDRESS


def gives(*prefixes: str, **changes: object) -> NodeOptions:
    """A responder with these pools; 10.9.0.1 is its own."""

    def change(settings: Settings) -> Settings:
        pool = tuple(ip_network(p) for p in prefixes)
        own = frozenset({ip_address("10.9.0.1")})
        return replace(settings, pool=pool, pool_reserved=own, initial_contact=False)

    return variant(RESPONDER, expects="fqdn:initiator fqdn:second", change=change, **changes)


def wants(*wishes: str, **changes: object) -> NodeOptions:
    """An initiator that asks for these."""
    virtual = tuple(ANY[int(w[-1])] if w.startswith("any") else ip_address(w) for w in wishes)
    return variant(INITIATOR, change=lambda s: replace(shared(s), virtual_ips=virtual), **changes)


def addresses(node: Node) -> list[str]:
    return [a for e in node.events if e.name is E.VIRTUAL_IP_ASSIGNED for a in e.fields["addresses"]]  # type: ignore[attr-defined]


def rewrite(
    node: Node, change: Callable[[Payload], Sequence[Payload]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a node send other protected payloads than it means to, properly sealed."""
    honest = node.codec.seal

    def seal(header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int) -> Sealed:
        said = [new for old in payloads for new in change(old)] if sealer else payloads
        return honest(header, said, sealer, mtu)

    monkeypatch.setattr(node.codec, "seal", seal)


def says(kind: int, *attributes: tuple[int, bytes]) -> Callable[[Payload], Sequence[Payload]]:
    """In front of the SA payload, this Configuration payload in place of any other."""
    made = Configuration(kind, tuple(ConfigurationAttribute(*a) for a in attributes))

    def change(payload: Payload) -> Sequence[Payload]:
        if isinstance(payload, Configuration):
            return ()
        return (made, payload) if payload.type is PayloadType.SA else (payload,)

    return change


@pytest.mark.parametrize(
    ("wishes", "given"),
    [
        (["any4"], ["10.9.0.2"]),
        (["10.9.0.77"], ["10.9.0.77"]),
        (["10.8.0.1"], ["10.9.0.2"]),
        (["10.9.0.1"], ["10.9.0.2"]),
        (["any6"], ["fd09::1"]),
        (["fd09::77"], ["fd09::77"]),
        (["any4", "any6"], ["10.9.0.2", "fd09::1"]),
    ],
)
def test_an_address_is_asked_for_and_given(codec: str, wishes: list[str], given: list[str]) -> None:
    """
    initiator   IKE_AUTH SK{ ..., CP(CFG_REQUEST), SA, TSi = everything, TSr }   -->
                         <--   IKE_AUTH SK{ ..., CP(CFG_REPLY), SA, TSi = the address, TSr }   responder
    """
    pair = Pair(codec, wants(*wishes), gives("10.9.0.0/24", "fd09::/64")).establish()
    assert pair.up()
    assert addresses(pair.initiator) == addresses(pair.responder) == given
    (ours,), (theirs,) = pair.initiator.children.values(), pair.responder.children.values()
    assert ours.local == theirs.peer == tuple(host(ip_address(a)) for a in given)
    assert ours.peer == theirs.local == (network("10.2.0.0/24"),)
    for name in (E.IKE_AUTH_SENT, E.IKE_AUTH_RECEIVED):
        payloads = pair.initiator.event(name).fields["payloads"]
        assert payloads.index("CP") == payloads.index("SA") - 1  # type: ignore[attr-defined]
    (mine,), (yours,) = pair.initiator.endpoint.sas(), pair.responder.endpoint.sas()
    assert (mine.own_addresses, mine.peer_addresses) == (tuple(given), ())
    assert (yours.own_addresses, yours.peer_addresses) == ((), tuple(given))
    (up,), (other,) = pair.initiator.of(SaUp), pair.responder.of(SaUp)
    assert isinstance(up, SaUp)
    assert isinstance(other, SaUp)
    assert [str(a) for a in up.addresses] == given
    assert other.addresses == ()


def test_a_family_without_a_pool_is_left_out(codec: str) -> None:
    pair = Pair(codec, wants("any4", "any6"), gives("fd09::/64")).establish()
    assert pair.up()
    assert addresses(pair.initiator) == ["fd09::1"]


def test_an_address_comes_back_with_the_end_of_its_ike_sa(codec: str) -> None:
    pair = Pair(codec, wants("any4"), gives("10.9.0.0/30")).establish()
    for _ in range(3):
        pair.initiator.endpoint.delete_all(pair.now)
        pair.flush(pair.initiator)
        pair.drive()
        assert pair.empty()
        pair.establish()
    assert pair.up()
    assert addresses(pair.responder) == ["10.9.0.2"] * 4


def test_who_begins_anew_gets_its_address_again(codec: str) -> None:
    """N(INITIAL_CONTACT) of the second IKE_AUTH ends the first IKE SA before addresses are given."""
    asks = variant(wants("any4"), change=lambda s: replace(s, virtual_ips=(ANY[4],)))
    pair = Pair(codec, asks, gives("10.9.0.0/24")).establish()
    fresh = pair.add(asks)
    pair.initiate(fresh)
    pair.drive()
    assert addresses(fresh) == addresses(pair.initiator) == ["10.9.0.2"]
    assert len(pair.responder.endpoint.sas()) == 1


def test_without_a_free_address_there_is_no_child_sa(codec: str) -> None:
    """
    second   IKE_AUTH SK{ ..., CP(CFG_REQUEST), SA, TSi, TSr }   -->
                             <--   IKE_AUTH SK{ IDr, CERT, AUTH, N(INTERNAL_ADDRESS_FAILURE) }   responder
    """
    pair = Pair(codec, wants("any4"), gives("10.9.0.0/30")).establish()
    second = pair.add(wants("any4", name="second", address="192.0.2.7"))
    pair.initiate(second)
    pair.drive()
    assert second.event(E.NOTIFY_RECEIVED).fields["notify"] == "INTERNAL_ADDRESS_FAILURE"
    assert (second.endpoint.sas()[0].phase, second.children) == ("ESTABLISHED", {})
    assert pair.responder.event(E.CHILD_SA_FAILED).fields["reason"] == "no inner address is left for 0.0.0.0"
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    pair.initiate(second)
    pair.drive()
    assert addresses(second) == ["10.9.0.2"]


def test_who_does_not_ask_gets_no_child_sa(codec: str) -> None:
    pair = Pair(codec, responder=gives("10.9.0.0/24")).establish()
    assert pair.initiator.event(E.NOTIFY_RECEIVED).fields["notify"] == "FAILED_CP_REQUIRED"
    for node in (pair.initiator, pair.responder):
        assert (node.endpoint.sas()[0].phase, node.children) == ("ESTABLISHED", {})
        assert node.told(E.CHILD_SA_FAILED)


@pytest.mark.parametrize("pool", [(), ("10.9.0.0/24",)], ids=["no pool", "no selectors"])
def test_what_comes_to_nothing_takes_no_address(
    codec: str, pool: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    initiator   IKE_AUTH SK{ ..., TSi = 10.1.0.0/24 }   -->   the address would lie outside
    """
    pair = Pair(codec, wants("any4"), gives(*pool))

    def narrow(payload: Payload) -> Sequence[Payload]:
        mine = payload.type is PayloadType.TSI
        return (TrafficSelectors(PayloadType.TSI, (network("10.1.0.0/24"),)) if mine else payload,)

    rewrite(pair.initiator, narrow, monkeypatch)
    pair.establish()
    assert addresses(pair.initiator) == []
    assert len(pair.responder.endpoint._context.pools) == 0


def test_a_responder_that_does_not_know_of_it_is_left(codec: str) -> None:
    """
    initiator                            <--   IKE_AUTH SK{ ..., SA, TSi = 10.1.0.0/24, TSr }   responder
                INFORMATIONAL SK{ N(INTERNAL_ADDRESS_FAILURE), D }   -->
                                         <--   INFORMATIONAL SK{ }
    """
    pair = Pair(codec, wants("any4")).establish()
    assert pair.empty()
    assert pair.initiator.event(E.IKE_SA_FAILED).fields["reason"] == (
        "the peer gave us none of the addresses we asked for"
    )
    assert pair.responder.told(E.IKE_SA_DELETED)


BAD = [
    pytest.param((V4, bytes(3)), id="v4 of 3"),
    pytest.param((V4, bytes(5)), id="v4 of 5"),
    pytest.param((V4, bytes(8)), id="v4 with a netmask"),
    pytest.param((V6, bytes(16)), id="v6 without its prefix"),
    pytest.param((V6, bytes(18)), id="v6 of 18"),
    pytest.param((V6, bytes(4)), id="v6 of 4"),
    pytest.param((V6, ip_address("fd09::5").packed + b"\x81"), id="v6 with a prefix of 129"),
]


@pytest.mark.parametrize("attribute", BAD)
def test_a_request_of_another_length_is_refused(
    codec: str, attribute: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(codec, wants("any4", "any6"), gives("10.9.0.0/24", "fd09::/64"))
    rewrite(pair.initiator, says(CfgType.REQUEST, (V4, b""), attribute), monkeypatch)
    pair.establish()
    assert pair.empty()
    assert pair.responder.dropped == {DropReason.INVALID_PAYLOADS: 1}
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "INVALID_SYNTAX"
    assert len(pair.responder.endpoint._context.pools) == 0


@pytest.mark.parametrize(
    ("attributes", "given"),
    [
        ([(3, b""), (V4, b""), (13, b"x"), (32767, bytes(1000)), (7, b"")], ["10.9.0.2"]),
        ([(V4, b"")] * 200, ["10.9.0.2"]),
        ([(V4, bytes((10, 9, 0, 9))), (V4, bytes((10, 9, 0, 10)))], ["10.9.0.9"]),
        ([(V4, bytes(4))], ["10.9.0.2"]),
        ([(V6, ip_address("fd09::5").packed + b"\x40")], ["fd09::5"]),
    ],
    ids=["unknown ones beside it", "many", "two", "unspecified", "v6 with a prefix of 64"],
)
def test_what_else_a_peer_may_ask(
    codec: str, attributes: list[tuple[int, bytes]], given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(codec, wants("any4", "any6"), gives("10.9.0.0/24", "fd09::/64"))
    rewrite(pair.initiator, says(CfgType.REQUEST, *attributes), monkeypatch)
    pair.establish()
    assert pair.up()
    assert addresses(pair.initiator) == addresses(pair.responder) == given


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [(CfgType.REQUEST, [(3, b"")]), (CfgType.REQUEST, []), (CfgType.SET, [(V4, b"")]), (9, [(V4, bytes(3))])],
    ids=["no address", "nothing", "CFG_SET", "an unknown type"],
)
def test_what_asks_for_no_address(
    codec: str, kind: int, attributes: list[tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair(codec, wants("any4"), gives("10.9.0.0/24"))
    rewrite(pair.initiator, says(kind, *attributes), monkeypatch)
    pair.establish()
    assert pair.initiator.event(E.NOTIFY_RECEIVED).fields["notify"] == "FAILED_CP_REQUIRED"
    assert pair.responder.endpoint.sas()[0].phase == "ESTABLISHED"


def v4(text: str) -> tuple[int, bytes]:
    return V4, ip_address(text).packed


def v6(text: str) -> tuple[int, bytes]:
    return V6, ip_address(text).packed + b"\x80"


@pytest.mark.parametrize(
    "attributes",
    [
        *([p.values[0]] for p in BAD),
        [(V4, b"")],
        [v4("0.0.0.0")],
        [v4("127.0.0.1")],
        [v4("224.0.0.1")],
        [v4("255.255.255.255")],
        [v4("169.254.1.1")],
        [v4("192.0.2.1")],
        [v4("192.0.2.2")],
        [v4("10.9.0.2"), v4("10.9.0.3")],
        [v6("fd09::1")],
        [v4("10.9.0.2"), v6("fd09::1")],
        [v4("10.1.0.9")],
    ],
    ids=lambda found: " ".join(f"{kind}:{value.hex() or '-'}" for kind, value in found),
)
def test_an_address_that_cannot_be_ours_is_refused(
    codec: str, attributes: list[tuple[int, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one lies outside the TSi that came with it."""
    pair = Pair(codec, wants("any4"), gives("10.9.0.0/24"))
    rewrite(pair.responder, says(CfgType.REPLY, *attributes), monkeypatch)
    pair.establish()
    assert pair.empty()
    assert not pair.initiator.of(SaUp)
    assert pair.initiator.told(E.IKE_SA_FAILED)


def test_wider_selectors_than_the_address_are_not_taken(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(codec, wants("any4"), gives("10.9.0.0/24"))

    def widen(payload: Payload) -> Sequence[Payload]:
        mine = payload.type is PayloadType.TSI
        return (TrafficSelectors(PayloadType.TSI, (everything(4),)) if mine else payload,)

    rewrite(pair.responder, widen, monkeypatch)
    pair.establish()
    (child,) = pair.initiator.children.values()
    assert child.local == (network("10.9.0.2/32"),)


def test_a_reply_that_nobody_asked_for_changes_nothing(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(codec)
    rewrite(pair.responder, says(CfgType.REPLY, v4("10.9.0.2")), monkeypatch)
    pair.establish()
    assert pair.up()
    assert addresses(pair.initiator) == []
    assert pair.initiator.endpoint.sas()[0].own_addresses == ()


@pytest.mark.parametrize("first", ["initiator", "responder"])
def test_the_address_outlives_a_rekey_of_either_sa(codec: str, first: str) -> None:
    """RFC 7296 3.15.1: it is valid as long as the IKE SA or its rekeyed successors."""
    pair = Pair(codec, wants("any4"), gives("10.9.0.0/30")).establish()
    node = pair.initiator if first == "initiator" else pair.responder
    node.endpoint.rekey_child(next(iter(node.children)), pair.now)
    pair.flush(node)
    pair.pass_time(30)
    (child,) = pair.initiator.children.values()
    assert child.local == (network("10.9.0.2/32"),)
    (old,) = node.endpoint.sas()
    spi = old.spi_i if old.is_initiator else old.spi_r
    node.endpoint.rekey_ike(bytes.fromhex(spi), pair.now)
    pair.flush(node)
    pair.pass_time(30)
    assert pair.up()
    assert pair.initiator.endpoint.sas()[0].own_addresses == ("10.9.0.2",)
    assert pair.responder.endpoint.sas()[0].peer_addresses == ("10.9.0.2",)
    assert len(pair.responder.endpoint._context.pools) == 1
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert pair.empty()
    assert len(pair.responder.endpoint._context.pools) == 0
