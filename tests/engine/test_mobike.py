"""MOBIKE (RFC 4555): addresses change, and nothing else does."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from node.errors import LocalMisuse
from node.ike import extensions
from node.ike.endpoint import Endpoint
from node.ike.mobility import MAX_ADDRESSES
from node.ike.outputs import MoveSa, SaMoved, Transmit
from node.model.events import EventName as E
from node.model.message import Path
from node.model.payloads import Notify
from node.model.registry import NotifyType as N
from tests.engine.harness import INITIATOR, RESPONDER, Pair
from tests.engine.lives import ike_sa, kind, rekey_child, rekey_ike, settled, step
from tests.engine.losses import lossy
from tests.engine.mobile import (
    ABROAD,
    ANSWER,
    ASK,
    FAR,
    HOME,
    UPDATE,
    VICTIM,
    R,
    at,
    esp_paths,
    four,
    gone,
    mobile,
    mobile_pair,
    move,
    payloads,
    six,
    to,
)
from tests.engine.test_delete import ask
from tests.engine.test_virtual_ip import rewrite
from tests.engine.two_ports import NAT, TwoPorts

# -- agreeing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [(True, True), (True, False), (False, True), (False, False)])
def test_both_must_want_it(codec: str, ours: bool, theirs: bool) -> None:
    pair = Pair(codec, mobile(INITIATOR, mobike=ours), mobile(RESPONDER, mobike=theirs)).establish()
    both = ours and theirs
    for node in (pair.initiator, pair.responder):
        assert node.endpoint.sas()[0].mobike is both
        assert (E.MOBIKE_AGREED in node.names()) is both
    assert len(pair.initiator.endpoint.mobile()) == both
    assert not pair.responder.endpoint.mobile()
    (request,), (response,) = (payloads(n, E.IKE_AUTH_SENT) for n in (pair.initiator, pair.responder))
    assert ("N(MOBIKE_SUPPORTED)" in str(request)) is ours
    assert ("N(MOBIKE_SUPPORTED)" in str(response)) is both
    assert pair.up()


def test_not_without_nat_detection(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our ESP is in UDP: what protects addresses where there can be no NAT is nothing that we have (3.9)."""
    monkeypatch.setattr(extensions, "announce", lambda *_: ())
    pair = mobile_pair(codec)
    assert pair.up()
    assert "MOBIKE" not in str([payloads(n, E.IKE_AUTH_SENT) for n in (pair.initiator, pair.responder)])
    assert not pair.initiator.endpoint.mobile()


def test_without_it_nobody_moves(codec: str) -> None:
    pair = Pair(codec).establish()
    with pytest.raises(LocalMisuse):
        pair.initiator.endpoint.move(ike_sa(pair.initiator).local_spi, Path(ABROAD, 8000, R, 8000), pair.now)


# -- moving --------------------------------------------------------------------------------------------------


def test_the_exchange(codec: str) -> None:
    """
    I, abroad    SK{ N(UPDATE_SA_ADDRESSES), ... }   -->
                                                     <--   SK{ ..., N(COOKIE2) }
                                                     <--   SK{ N(COOKIE2) }
                 SK{ N(COOKIE2) }                    -->   only now Child SAs follow
    """
    pair = mobile_pair(codec)
    before = len(pair.responder.outputs)
    move(pair)
    assert esp_paths(pair.initiator) == {Path(ABROAD, 8000, R, 8000)}, (
        "our own packets leave from there at once"
    )
    update = step(pair, pair.initiator, ASK)
    assert update.path == to(ABROAD)
    assert payloads(pair.initiator, E.INFORMATIONAL_SENT) == [UPDATE]
    assert ike_sa(pair.responder).path == to(ABROAD)
    assert esp_paths(pair.responder) == {to(HOME)}
    step(pair, pair.responder, ANSWER)
    step(pair, pair.responder, ASK)
    assert esp_paths(pair.responder) == {to(HOME)}
    step(pair, pair.initiator, ANSWER)
    assert at(pair, ABROAD)
    kinds = [type(output) for output in pair.responder.outputs[before:]]
    assert [k for k in kinds if k in (Transmit, SaMoved, MoveSa)] == [Transmit, Transmit, SaMoved, MoveSa]
    told = pair.initiator.event(E.ADDRESS_CHANGED).fields
    assert (told["old"], told["new"]) == (f"{HOME}:8000", f"{ABROAD}:8000")
    moved = pair.responder.event(E.PEER_MOVED).fields
    assert (moved["old"], moved["new"]) == (f"{HOME}:8000", f"{ABROAD}:8000")
    assert payloads(pair.responder, E.INFORMATIONAL_SENT) == [
        ["N(NAT_DETECTION_SOURCE_IP)", "N(NAT_DETECTION_DESTINATION_IP)", "N(COOKIE2)"],
        ["N(COOKIE2)"],
    ]
    assert settled(pair)


def test_there_and_back_again(codec: str) -> None:
    pair = mobile_pair(codec)
    for host, old in ((ABROAD, HOME), (FAR, ABROAD), (HOME, FAR)):
        move(pair, host)
        pair.drive(gone(old))
        assert at(pair, host)
    assert settled(pair)


@pytest.mark.parametrize("share", [0.2, 0.3])
def test_over_a_wire_that_loses(codec: str, share: float) -> None:
    for seed in range(15):
        pair, keep = mobile_pair(codec), lossy(seed, share)
        move(pair)
        pair.pass_time(300, lambda d, keep=keep: gone(HOME)(d) and keep(d))  # type: ignore[misc]
        assert settled(pair)
        assert ike_sa(pair.initiator).path.local_host == ABROAD
        assert at(pair, ABROAD)


def test_an_update_again_asks_nothing_again(codec: str) -> None:
    pair = mobile_pair(codec)
    move(pair)
    pair.drive()
    move(pair)
    pair.drive()
    assert at(pair, ABROAD)
    assert pair.initiator.told(E.ADDRESS_CHANGED)
    assert pair.responder.told(E.PEER_MOVED)
    assert payloads(pair.initiator, E.INFORMATIONAL_SENT).count(UPDATE) == 2


def test_twice_before_there_is_an_answer(codec: str) -> None:
    """An answer to what is over means nothing; the peer is told again (3.5)."""
    pair = mobile_pair(codec)
    move(pair, ABROAD)
    first = pair.take()
    move(pair, FAR)
    assert not pair.wire, "the window is 1"
    pair.deliver(first)
    pair.drive(gone(ABROAD))
    pair.pass_time(300, gone(HOME, ABROAD))
    assert at(pair, FAR)
    assert settled(pair)


def test_back_before_the_peer_has_asked(codec: str) -> None:
    """Where it never left there is nothing to be shown."""
    pair = mobile_pair(codec)
    move(pair, ABROAD)
    step(pair, pair.initiator, ASK)
    step(pair, pair.responder, ANSWER)
    move(pair, HOME)
    pair.pass_time(60, gone(ABROAD))
    assert at(pair, HOME)
    assert E.PEER_MOVED not in pair.responder.names()
    assert settled(pair)


def test_a_request_in_flight_goes_on_from_the_new_address(codec: str) -> None:
    pair = mobile_pair(codec)
    rekey_child(pair, pair.initiator)
    lost = pair.take()
    pair.pass_time(20, lambda datagram: False)
    move(pair)
    pair.pass_time(0.0, gone(HOME))
    again = next(d for d in pair.sent if d.octets == lost.octets and d.path.peer_host == ABROAD)
    assert again.path == to(ABROAD)
    pair.pass_time(60, gone(HOME))
    assert at(pair, ABROAD)
    assert settled(pair)


@pytest.mark.parametrize("who", ["initiator", "responder"])
@pytest.mark.parametrize("what", [rekey_child, rekey_ike])
@pytest.mark.parametrize("passed", range(5))
@pytest.mark.parametrize("told", ["before", "after"])
def test_while_something_is_rekeyed(codec: str, who: str, what, passed: int, told: str) -> None:  # type: ignore[no-untyped-def]
    """Either end rekeys; the address changes before, or after so many datagrams of that."""
    pair = mobile_pair(codec)
    node = getattr(pair, who)
    if told == "before":
        move(pair)
        for _ in range(min(passed, len(pair.wire))):
            pair.deliver(pair.take())
        what(pair, node)
    else:
        what(pair, node)
        for _ in range(min(passed, len(pair.wire))):
            pair.deliver(pair.take())
        move(pair)
    pair.pass_time(400, gone(HOME))
    assert settled(pair)
    assert at(pair, ABROAD)
    move(pair, FAR)
    pair.pass_time(60, gone(HOME, ABROAD))
    assert at(pair, FAR), "the heir can move, too"


def test_while_both_replace_the_ike_sa(codec: str) -> None:
    pair = mobile_pair(codec)
    rekey_ike(pair, pair.initiator)
    rekey_ike(pair, pair.responder)
    move(pair)
    pair.pass_time(400, gone(HOME))
    assert settled(pair)
    assert at(pair, ABROAD)


@pytest.mark.parametrize("who", ["initiator", "responder"])
def test_who_decides_does_not_change_with_a_rekey(codec: str, who: str) -> None:
    pair = mobile_pair(codec)
    rekey_ike(pair, getattr(pair, who))
    pair.drive()
    assert ike_sa(pair.initiator).is_initiator is (who == "initiator")
    assert not pair.responder.endpoint.mobile()
    with pytest.raises(LocalMisuse):
        pair.responder.endpoint.move(ike_sa(pair.responder).local_spi, to(ABROAD), pair.now)
    move(pair)
    pair.drive(gone(HOME))
    assert at(pair, ABROAD)


def test_an_ike_sa_that_ends_ends_from_the_new_address(codec: str) -> None:
    pair = mobile_pair(codec)
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.take()
    move(pair)
    pair.pass_time(5, gone(HOME))
    assert pair.empty()


def test_a_child_sa_that_is_made_meanwhile_waits_as_well(codec: str) -> None:
    """Nobody gets packets by a new Child SA at an address where the peer has not answered yet."""
    pair = mobile_pair(codec)
    move(pair, VICTIM)
    step(pair, pair.initiator, ASK)
    step(pair, pair.responder, ANSWER)
    rekey_child(pair, pair.initiator)
    step(pair, pair.initiator, "CREATE_CHILD_SA request")
    assert {owned.child.path for owned in ike_sa(pair.responder).children.values()} == {to(HOME)}
    assert len(ike_sa(pair.responder).children) == 2
    pair.drive()
    assert at(pair, VICTIM), "unless it does answer there"


# -- refusals ------------------------------------------------------------------------------------------------


def test_an_address_inside_the_tunnel_is_not_acceptable(codec: str) -> None:
    pair = mobile_pair(codec)
    move(pair, "10.1.0.99")
    pair.drive()
    assert pair.responder.event(E.NOTIFY_SENT).fields["notify"] == "UNACCEPTABLE_ADDRESSES"
    assert pair.initiator.event(E.NOTIFY_RECEIVED).fields["notify"] == "UNACCEPTABLE_ADDRESSES"
    assert at(pair, HOME), "it goes back to where it was"
    assert settled(pair)


@pytest.mark.parametrize("host", ["224.0.0.1", "0.0.0.0", "255.255.255.255"])
def test_an_address_of_nobody_is_not_acceptable(codec: str, host: str) -> None:
    pair = mobile_pair(codec)
    ask(pair, pair.initiator, Notify(N.UPDATE_SA_ADDRESSES))
    pair.deliver(replace(pair.take(), path=to(host)))
    assert payloads(pair.responder, E.INFORMATIONAL_SENT) == [["N(UNACCEPTABLE_ADDRESSES)"]]
    assert ike_sa(pair.responder).path == to(HOME)


def test_the_port_of_ike_alone_is_not_acceptable(codec: str) -> None:
    pair = mobile_pair(codec)
    ask(pair, pair.initiator, Notify(N.UPDATE_SA_ADDRESSES))
    pair.deliver(replace(pair.take(), path=replace(to(ABROAD), carries_esp=False)))
    assert payloads(pair.responder, E.INFORMATIONAL_SENT) == [["N(UNACCEPTABLE_ADDRESSES)"]]


def no_nats(source: str, target: str = R, ports: tuple[int, int] = (8000, 8000)) -> Notify:
    octets = b"".join(ip_address(host).packed for host in (source, target))
    return Notify(N.NO_NATS_ALLOWED, octets + b"".join(port.to_bytes(2) for port in ports))


@pytest.mark.parametrize(
    ("told", "fits"),
    [
        (no_nats(ABROAD), True),
        (no_nats(HOME), False),
        (no_nats(ABROAD, ports=(8000, 8001)), False),
        (no_nats(ABROAD, ports=(8001, 8000)), False),
        (no_nats(R, ABROAD), False),
        (Notify(N.NO_NATS_ALLOWED), False),
        (Notify(N.NO_NATS_ALLOWED, bytes(36)), False),
    ],
)
def test_a_nat_where_none_is_allowed(codec: str, told: Notify, fits: bool) -> None:
    pair = mobile_pair(codec)
    ask(pair, pair.initiator, Notify(N.UPDATE_SA_ADDRESSES), told, Notify(N.COOKIE2, bytes(8)))
    pair.deliver(replace(pair.take(), path=to(ABROAD)))
    answered = payloads(pair.responder, E.INFORMATIONAL_SENT)[0]
    assert answered == (["N(COOKIE2)"] if fits else ["N(UNEXPECTED_NAT_DETECTED)", "N(COOKIE2)"])
    assert ike_sa(pair.responder).path == to(ABROAD if fits else HOME)


def test_unexpected_nats_are_believed_after_some_tries(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = mobile_pair(codec)
    detection = N.NAT_DETECTION_SOURCE_IP
    unexpected = Notify(N.UNEXPECTED_NAT_DETECTED)
    rewrite(
        pair.responder,
        lambda p: (unexpected, p) if isinstance(p, Notify) and p.notify_type == detection else (p,),
        monkeypatch,
    )
    move(pair)
    pair.drive()
    assert payloads(pair.initiator, E.INFORMATIONAL_SENT).count(UPDATE) == 4
    assert ike_sa(pair.initiator).path.local_host == HOME
    assert esp_paths(pair.initiator) == {Path(HOME, 8000, R, 8000)}


# -- further addresses ---------------------------------------------------------------------------------------


def test_further_addresses_are_told_and_kept(codec: str) -> None:
    ours = tuple(map(ip_address, ("198.51.100.1", "2001:db8::1", HOME)))
    pair = Pair(codec, mobile(INITIATOR, additional_addresses=ours), mobile(RESPONDER)).establish()
    assert pair.responder.event(E.MOBIKE_AGREED).fields["addresses"] == ["198.51.100.1", "2001:db8::1"]
    assert pair.initiator.event(E.MOBIKE_AGREED).fields["addresses"] == []
    move(pair, "198.51.100.1")
    pair.drive()
    (status,) = pair.responder.endpoint.sas()
    assert status.peer_outer_addresses == ("2001:db8::1", HOME)
    assert pair.responder.told(E.PEER_ADDRESSES_CHANGED)
    assert at(pair, "198.51.100.1")
    rekey_ike(pair, pair.responder)
    pair.drive()
    assert pair.responder.endpoint.sas()[0].peer_outer_addresses == ("2001:db8::1", HOME)


def test_so_many_are_told_that_the_peer_takes_the_message(codec: str) -> None:
    ours = tuple(ip_address(f"198.51.100.{number}") for number in range(1, 101))
    pair = mobile_pair(codec, additional_addresses=ours)
    assert pair.up()
    move(pair)
    pair.drive()
    assert at(pair, ABROAD)
    for node in (pair.initiator, pair.responder):
        told = node.endpoint.sas()[0].peer_outer_addresses
        assert told == tuple(map(str, ours[:MAX_ADDRESSES]))


@pytest.mark.parametrize("asks", ["initiator", "responder"])
def test_a_list_replaces_the_one_before(codec: str, asks: str) -> None:
    pair = mobile_pair(codec)
    asker = getattr(pair, asks)
    other = pair.initiator if asks == "responder" else pair.responder
    lists: list[tuple[tuple[Notify, ...], tuple[str, ...]]] = [
        ((four("192.0.2.9"), six("2001:db8::9")), ("192.0.2.9", "2001:db8::9")),
        ((four("192.0.2.8"),), ("192.0.2.8",)),
        ((Notify(N.COOKIE2, bytes(8)),), ("192.0.2.8",)),
        ((Notify(N.NO_ADDITIONAL_ADDRESSES),), ()),
    ]
    for said, kept in lists:
        ask(pair, asker, *said)
        pair.drive()
        assert other.endpoint.sas()[0].peer_outer_addresses == kept


# -- NATs ----------------------------------------------------------------------------------------------------


def natted(codec: str, **settings: object) -> TwoPorts:
    pair = TwoPorts(codec, mobile(INITIATOR, **settings), mobile(RESPONDER))
    pair.rebind(pair.initiator)
    pair.initiate()
    pair.drive()
    assert pair.up()
    return pair


def test_a_changed_mapping_is_noticed_by_a_question_for_life(codec: str) -> None:
    """3.8: the peer sees us elsewhere than before, and is told so."""
    pair = natted(codec, liveness=10.0)
    pair.pass_time(15)
    assert UPDATE not in payloads(pair.initiator, E.INFORMATIONAL_SENT)
    pair.rebind(pair.initiator)
    outer = Path(R, NAT, *pair.public(pair.initiator, NAT))
    pair.pass_time(15)
    assert payloads(pair.initiator, E.INFORMATIONAL_SENT).count(UPDATE) == 1
    assert pair.paths(pair.responder) == {outer}
    pair.pass_time(100)
    assert payloads(pair.initiator, E.INFORMATIONAL_SENT).count(UPDATE) == 1


def test_keepalives_begin_and_end_with_the_nat(codec: str) -> None:
    pair = natted(codec)
    pair.outside.clear()
    home = pair.initiator.options.address
    for host in (ABROAD, home):
        pair.outside[home, NAT] = (host, NAT)
        spi, path = pair.initiator.endpoint.mobile()[0]
        pair.initiator.endpoint.move(spi, path, pair.now)
        pair.flush(pair.initiator)
        pair.drive()
    told = [o.behind_nat for o in pair.initiator.outputs if isinstance(o, SaMoved)]
    assert told == [False]
    assert ike_sa(pair.responder).extensions.nat.peer is False
    assert pair.paths(pair.responder) == {Path(R, NAT, home, NAT)}


def test_nothing_of_it_is_any_endpoints_own_idea(codec: str) -> None:
    """An endpoint that nobody tells of an address never sends an update."""
    pair = mobile_pair(codec, liveness=10.0)
    rekey_ike(pair, pair.responder)
    pair.pass_time(200)
    rekey_ike(pair, pair.initiator)
    pair.pass_time(200)
    assert UPDATE not in payloads(pair.initiator, E.INFORMATIONAL_SENT)
    assert isinstance(pair.initiator.endpoint, Endpoint)
    assert kind(pair, pair.sent[-1]) == ANSWER
