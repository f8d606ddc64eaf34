"""Authenticating anew, make before break (RFC 7296 2.8.3), and AUTH_LIFETIME (RFC 4478)."""

import random
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from node.ike.authlife import LEAST, MAX_LIFETIME, RETRY
from node.ike.children import ASK, LONG_LINGER
from node.ike.outputs import InstallOutbound, SaDown, SaUp
from node.ike.sa import IkeSa
from node.ike.settings import Lifetime, Settings
from node.ike.tasks import child
from node.ike.tasks.create_child import CreateChild
from node.ike.tasks.rekey import ABANDONED
from node.model.events import EventName as E
from node.model.payloads import Notify, Payload
from node.model.registry import ExchangeType, NotifyType
from node.model.selectors import host
from tests.engine.explore import ESP, IKE
from tests.engine.harness import INITIATOR, RESPONDER, Node, Pair, credentials, variant
from tests.engine.lives import (
    Role,
    carries,
    ike_sa,
    kind,
    rekey_child,
    rekey_ike,
    sender,
    settled,
    step,
)
from tests.engine.losses import lossy

INIT, AUTH = "IKE_SA_INIT request", "IKE_AUTH request"
AUTH_REPLY = "IKE_AUTH response"
INFORM, REPLY = "INFORMATIONAL request", "INFORMATIONAL response"
#: Seconds in which whatever was put off, or given up, is over.
REST = 700.0


def both(codec: str, ours: object = None, theirs: object = None) -> Pair:
    """An initiator and a responder whose settings are changed like that."""
    same: Callable[[Settings], Settings] = lambda settings: settings  # noqa: E731
    return Pair(
        codec,
        variant(INITIATOR, ike=IKE, esp=ESP, change=ours or same),
        variant(RESPONDER, ike=IKE, esp=ESP, change=theirs or same),
    )


def timed(**changes: object) -> Callable[[Settings], Settings]:
    """Settings with these changes."""
    return lambda settings: replace(settings, **changes)  # type: ignore[arg-type]


def reauth(pair: Pair) -> bytes:
    """Let the initiator authenticate anew; returns its SPI of the old IKE SA."""
    old = ike_sa(pair.initiator).local_spi
    pair.initiator.endpoint.reauthenticate(old, pair.now)
    pair.flush(pair.initiator)
    return old


def done(node: Node) -> int:
    """How often the node made a new IKE SA in place of another one."""
    return node.names().count(E.IKE_SA_REAUTHENTICATED)


def walk(pair: Pair) -> None:
    """Deliver one datagram after the other; at every moment what each end sends arrives."""
    while pair.wire:
        datagram = pair.take()
        pair.deliver(datagram)
        assert carries(pair), kind(pair, datagram)


def informational(pair: Pair, node: Node, *payloads: Payload) -> None:
    """A request of the node's making, and its answer."""
    sa = ike_sa(node)
    sa.send_request(ExchangeType.INFORMATIONAL, payloads, pair.now)
    pair.flush(node)
    pair.drive()


def lifetime(seconds: int) -> Notify:
    return Notify(NotifyType.AUTH_LIFETIME, seconds.to_bytes(4))


# -- make before break -----------------------------------------------------------------------------------


def test_a_whole_new_ike_sa_takes_over(codec: str) -> None:
    pair = both(codec).establish()
    old = reauth(pair)
    walk(pair)
    assert settled_in_time(pair)
    assert ike_sa(pair.initiator).local_spi != old
    kinds = [kind(pair, d) for d in pair.sent[4:]]
    # The last exchange is the responder's: it has heard nothing over the new IKE SA yet.
    assert kinds == [INIT, "IKE_SA_INIT response", AUTH, AUTH_REPLY, INFORM, REPLY, INFORM, REPLY]
    assert pair.sent[-2].source is pair.responder
    new = pair.initiator.event(E.IKE_SA_REAUTHENTICATED).fields
    assert new["old_spi_i"] == old.hex()
    assert pair.initiator.names().count(E.PEER_AUTH_VERIFIED) == 2
    assert pair.responder.names().count(E.PEER_AUTH_VERIFIED) == 2
    assert pair.initiator.event(E.IKE_SA_DELETED).fields["reason"] == "reauthenticated"


def settled_in_time(pair: Pair) -> bool:
    """Both ends agree, once what is late has had its time."""
    pair.pass_time(LONG_LINGER)
    return settled(pair)


def test_both_directions_move_and_what_is_late_arrives(codec: str) -> None:
    pair = both(codec).establish()
    before = {node.address: sender(node) for node in pair.nodes.values()}
    old = set(pair.initiator.children), set(pair.responder.children)
    reauth(pair)
    pair.drive()
    for node, theirs in ((pair.initiator, old[1]), (pair.responder, old[0])):
        assert sender(node) != before[node.address]
        assert sender(node) not in theirs
    assert old[0] < set(pair.initiator.children)
    assert old[1] < set(pair.responder.children), "the old inbound SA outlives"
    pair.pass_time(LONG_LINGER)
    assert not old[0] & set(pair.initiator.children)
    assert not old[1] & set(pair.responder.children)


def test_nothing_new_is_shown(codec: str) -> None:
    """The new outbound SA says whose traffic it takes over: for an inner side nothing has come up."""
    pair = both(codec).establish()
    (first,) = pair.initiator.children
    reauth(pair)
    pair.drive()
    installed = [o.replaces for o in pair.initiator.outputs if isinstance(o, InstallOutbound)]
    assert installed == [None, first]
    ups = [type(o) for o in pair.initiator.outputs if isinstance(o, SaUp | SaDown)]
    assert ups == [SaUp, SaUp, SaDown]


def test_nobody_says_initial_contact(codec: str) -> None:
    """Both have the old IKE SA yet: nobody may close it in the middle (RFC 7296 2.4)."""
    pair = both(codec).establish()
    reauth(pair)
    pair.drive()
    for node in (pair.initiator, pair.responder):
        said = [
            "INITIAL_CONTACT" in str(e.fields["payloads"]) for e in node.events if e.name is E.IKE_AUTH_SENT
        ]
        assert said == [True, False]


def test_a_lost_answer_costs_no_packet(codec: str) -> None:
    """The responder has the new SAs, the initiator does not know: the old ones carry both directions."""
    pair = both(codec).establish()
    reauth(pair)
    for _ in range(2):
        pair.deliver(pair.take())
    step(pair, pair.initiator, AUTH)
    assert kind(pair, pair.take()) == AUTH_REPLY
    assert carries(pair)
    pair.pass_time(0.3)
    assert carries(pair)
    pair.pass_time(1.0)
    assert carries(pair)
    assert settled_in_time(pair)
    assert done(pair.initiator) == 1


@pytest.mark.parametrize("sign", ["message", "packet", "time"])
def test_when_the_responder_moves(codec: str, sign: str) -> None:
    """A peer that keeps its old IKE SA: the new one is used from the first sign of life on, or soon."""
    pair = both(codec).establish()
    pair.initiate()
    pair.drive()
    responder = pair.responder
    old, new = responder.children
    assert set(responder.outbound) == {old}
    if sign == "message":
        (other,) = (
            sa for sa in pair.initiator.endpoint._sas.values() if new_spi(sa) == outbound(responder, new)
        )
        other.send_request(ExchangeType.INFORMATIONAL, (), pair.now)
        pair.flush(pair.initiator)
        pair.drive()
    elif sign == "packet":
        responder.endpoint.watch(lambda spi: int(spi == new))
        pair.pass_time(0.2)
    else:
        pair.pass_time(ASK - 0.2)
        assert set(responder.outbound) == {old}
        pair.pass_time(0.3)
    assert set(responder.outbound) == {old, new}


def new_spi(sa: IkeSa) -> bytes:
    return next(iter(sa.children))


def outbound(node: Node, inbound: bytes) -> bytes:
    return node.children[inbound].outbound_spi


def test_a_peer_elsewhere_is_not_waited_for(codec: str) -> None:
    """Same identity, another address: that is no reauthentication, and the newest SA carries at once."""
    pair = both(codec).establish()
    other = pair.add(variant(pair.initiator.options, address="192.0.2.77"))
    other.endpoint._context.entropy(1)
    pair.initiate(other)
    pair.drive()
    assert len(pair.responder.outbound) == len(pair.responder.children)


@pytest.mark.parametrize("seed", range(8))
def test_losses_repetitions_and_any_order(codec: str, seed: int) -> None:
    pair, draw, keep = both(codec).establish(), random.Random(seed), lossy(seed, 0.3)
    for round_ in range(3):
        old = reauth(pair)
        while pair.wire:
            datagram = draw.choice(list(pair.wire)[:4])
            pair.wire.remove(datagram)
            if keep(datagram):
                pair.deliver(datagram)
                if draw.random() < 0.3:
                    pair.wire.append(datagram)
            assert carries(pair)
        pair.pass_time(REST, keep)
        pair.pass_time(ABANDONED + LONG_LINGER)
        assert settled(pair)
        assert ike_sa(pair.initiator).local_spi != old
        assert done(pair.initiator) == round_ + 1


def test_further_child_sas_come_along(codec: str) -> None:
    pair = both(codec).establish()
    sa = ike_sa(pair.initiator)
    wanted = replace(child.allowed(sa), local=(host(ip_address("10.1.0.9")),))
    sa.ask(CreateChild(sa, None, wanted), pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert len(sa.children) == 2
    reauth(pair)
    pair.drive()
    kinds = [kind(pair, d) for d in pair.sent[-6:]]
    assert kinds == [AUTH, AUTH_REPLY, "CREATE_CHILD_SA request", "CREATE_CHILD_SA response", INFORM, REPLY]
    pair.pass_time(LONG_LINGER)
    assert settled(pair, children=2)
    locals_ = {str(owned.child.local[0]) for owned in ike_sa(pair.initiator).children.values()}
    assert locals_ == {"10.1.0.0/24", "10.1.0.9"}


# -- who may, and when -----------------------------------------------------------------------------------


def test_by_time_with_jitter(codec: str) -> None:
    pair = both(codec, timed(reauth=Lifetime(100.0, 20.0, 10.0))).establish()
    pair.pass_time(79.0)
    assert not done(pair.initiator)
    pair.pass_time(22.0)
    assert done(pair.initiator) == 1
    pair.pass_time(300.0)
    assert 3 <= done(pair.initiator) <= 6
    assert settled_in_time(pair)
    assert not done(pair.responder)


def test_who_did_not_open_it_does_not(codec: str) -> None:
    pair = both(codec, None, timed(reauth=Lifetime(10.0, 0.0, 10.0))).establish()
    pair.responder.endpoint.reauthenticate(ike_sa(pair.responder).local_spi, pair.now)
    pair.pass_time(100.0)
    assert len(pair.sent) == 4
    assert settled(pair)
    assert [sa.opened for n in (pair.initiator, pair.responder) for sa in n.endpoint.sas()] == [True, False]


def test_rekeying_does_not_put_it_off(codec: str, role: Role) -> None:
    """Who rekeyed last is the original initiator of the new IKE SA; who opened it stays who it was."""
    pair = both(codec, timed(reauth=Lifetime(100.0, 0.0, 10.0))).establish()
    for _ in range(3):
        pair.pass_time(30.0)
        rekey_ike(pair, role(pair)[0])
        pair.drive()
    assert not done(pair.initiator)
    pair.pass_time(11.0)
    assert done(pair.initiator) == 1
    assert settled_in_time(pair)


def test_one_at_a_time(codec: str) -> None:
    pair = both(codec).establish()
    for _ in range(5):
        reauth_again(pair)
    assert [kind(pair, d) for d in pair.wire] == [INIT]
    pair.drive()
    assert done(pair.initiator) == 1


def reauth_again(pair: Pair) -> None:
    spi = ike_sa(pair.initiator).local_spi
    pair.initiator.endpoint.reauthenticate(spi, pair.now)
    pair.flush(pair.initiator)


def test_where_the_peer_does_not_answer_the_old_one_stays(codec: str) -> None:
    pair = both(codec, timed(reauth=Lifetime(1_000.0, 0.0, 0.0))).establish()
    pair.pass_time(990.0)
    pair.pass_time(400.0, keep=lambda datagram: not kind(pair, datagram).startswith("IKE_SA_INIT"))
    assert pair.initiator.names().count(E.IKE_REAUTH_FAILED) >= 1
    assert carries(pair)
    pair.pass_time(RETRY + 300.0)
    assert done(pair.initiator) >= 1
    assert settled_in_time(pair)


def test_where_it_never_works_the_old_one_ends(codec: str) -> None:
    """The peer is not who it was: no new authentication, and in the end no IKE SA."""
    pair = both(codec, timed(reauth=Lifetime(1_000.0, 0.0, 100.0))).establish()
    shown = credentials("somebody")
    object.__setattr__(pair.responder.endpoint._context, "certificates", (shown.certificate,))
    pair.pass_time(1_050.0)
    assert pair.initiator.names().count(E.IKE_REAUTH_FAILED) == 2
    assert carries(pair)
    pair.pass_time(60.0)
    assert pair.empty()
    reasons = [str(e.fields["reason"]) for e in pair.initiator.events if e.name is E.IKE_SA_DELETED]
    assert "not authenticated again in time" in reasons[-1]


def test_no_child_sa_no_move(codec: str) -> None:
    """The new IKE SA comes up and its Child SA does not: the old one goes on."""
    pair = both(codec).establish()
    settings = pair.responder.endpoint._context.settings
    object.__setattr__(pair.responder.endpoint._context, "settings", replace(settings, child_suites=()))
    old = reauth(pair)
    walk(pair)
    assert ike_sa(pair.initiator).local_spi == old
    assert pair.initiator.told(E.IKE_REAUTH_FAILED)
    assert settled_in_time(pair)
    object.__setattr__(pair.responder.endpoint._context, "settings", settings)
    pair.pass_time(RETRY)
    assert ike_sa(pair.initiator).local_spi != old
    assert settled_in_time(pair)


def test_nothing_is_left_of_many(codec: str) -> None:
    pair = both(codec).establish()
    for _ in range(20):
        reauth(pair)
        pair.drive()
        pair.pass_time(LONG_LINGER + 1)
        for node in (pair.initiator, pair.responder):
            sa = ike_sa(node)
            assert len(node.endpoint._sas) == len(node.children) == len(node.endpoint._context.children) == 1
            assert (sa.older, sa.renewal, sa.heir, sa.doubt) == (None, None, None, None)
            assert len(node.endpoint._context.contacts._peers) == 1
            assert not node.endpoint._context.contacts._begun


# -- inner addresses -------------------------------------------------------------------------------------


def lent(codec: str, **more: object) -> Pair:
    """A responder with a pool and an initiator that asks for any address of it."""
    wishes = timed(virtual_ips=(ip_address("0.0.0.0"),), local_ts=())
    return both(codec, wishes, timed(pool=(ip_network("10.1.0.0/24"),), **more)).establish()


def test_the_inner_address_stays(codec: str) -> None:
    pair = lent(codec)
    had = ike_sa(pair.initiator).own_addresses
    assert had
    pools = pair.responder.endpoint._context.pools
    for _ in range(3):
        reauth(pair)
        walk(pair)
        assert ike_sa(pair.initiator).own_addresses == ike_sa(pair.responder).peer_addresses == had
        assert len(pools) == 1
        assert settled_in_time(pair)
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    assert len(pools) == 0
    assert not pools._numbers
    assert not pools._holders


def test_an_address_is_not_given_to_two_nodes(codec: str) -> None:
    """Another node with the same certificate asks for the address that the first one has."""
    pair = lent(codec)
    (had,) = ike_sa(pair.initiator).own_addresses
    wish = timed(virtual_ips=(had,), local_ts=(), initial_contact=False)
    other = pair.add(variant(pair.initiator.options, address="192.0.2.77", change=wish))
    other.endpoint._context.entropy(1)
    pair.initiate(other)
    pair.drive()
    assert ike_sa(other).own_addresses
    assert ike_sa(other).own_addresses != (had,)


# -- RFC 4478 --------------------------------------------------------------------------------------------


def test_the_responder_says_how_long_and_the_initiator_obeys(codec: str) -> None:
    pair = both(codec, None, timed(auth_lifetime=100)).establish()
    assert "N(AUTH_LIFETIME)" in str(pair.responder.event(E.IKE_AUTH_SENT).fields["payloads"])
    assert "N(AUTH_LIFETIME)" not in str(pair.initiator.event(E.IKE_AUTH_SENT).fields["payloads"])
    pair.pass_time(79.0)
    assert not done(pair.initiator)
    pair.pass_time(2.0)
    assert done(pair.initiator) == 1
    pair.pass_time(1_000.0)
    assert 12 <= done(pair.initiator) <= 14
    assert settled_in_time(pair)


def test_who_does_not_obey_is_closed(codec: str) -> None:
    """The clock runs from the authentication, however often the IKE SA was rekeyed."""
    pair = both(codec, None, timed(auth_lifetime=100)).establish()
    sa = ike_sa(pair.initiator)
    sa.auth = replace(sa.auth, wanted_at=None)
    pair.pass_time(50.0)
    rekey_ike(pair, pair.initiator)
    pair.pass_time(49.0)
    assert pair.up()
    pair.pass_time(2.0)
    assert pair.empty()
    reasons = [e.fields["reason"] for e in pair.responder.events if e.name is E.IKE_SA_DELETED]
    assert reasons[-1] == "the peer was not authenticated again in time"


def test_in_a_request_of_its_own(codec: str) -> None:
    pair = both(codec).establish()
    informational(pair, pair.responder, lifetime(50))
    pair.pass_time(39.0)
    assert not done(pair.initiator)
    pair.pass_time(2.0)
    assert done(pair.initiator) == 1
    assert settled_in_time(pair)


@pytest.mark.parametrize("seconds", [0, 1, 2, 3])
def test_a_hostile_lifetime_is_no_storm(codec: str, seconds: int) -> None:
    pair = both(codec).establish()
    object.__setattr__(
        pair.responder.endpoint._context,
        "settings",
        replace(pair.responder.settings, auth_lifetime=seconds or 1),
    )
    for _ in range(50):
        informational(pair, pair.responder, lifetime(seconds))
    assert not done(pair.initiator), "not before it has lasted for a while"
    for _ in range(60):
        pair.pass_time(1.0)
        for sa in tuple(pair.responder.endpoint._sas.values()):
            sa.auth = replace(sa.auth, expires_at=None)
    assert 1 <= done(pair.initiator) <= 60 / LEAST + 1


@pytest.mark.parametrize("data", [b"", b"\0\0\1", b"\0\0\0\0\1", MAX_LIFETIME.to_bytes(4)])
def test_what_makes_no_sense_or_is_longer_than_our_own(codec: str, data: bytes) -> None:
    pair = both(codec, timed(reauth=Lifetime(100.0, 0.0, 10.0))).establish()
    informational(pair, pair.responder, Notify(NotifyType.AUTH_LIFETIME, data))
    pair.pass_time(90.0)
    assert not done(pair.initiator)
    pair.pass_time(11.0)
    assert done(pair.initiator) == 1


def test_a_responder_is_not_told(codec: str) -> None:
    """An initiator that says it: nothing comes of it."""
    pair = both(codec).establish()
    informational(pair, pair.initiator, lifetime(10))
    pair.pass_time(100.0)
    assert not done(pair.initiator)
    assert not done(pair.responder)
    assert settled(pair)


def test_the_longest_lifetime(codec: str) -> None:
    pair = both(codec, None, timed(auth_lifetime=MAX_LIFETIME)).establish()
    assert pair.initiator.endpoint.deadline() is not None
    pair.pass_time(10_000.0)
    assert settled(pair)
    assert len(pair.sent) == 4


def test_with_a_window(codec: str) -> None:
    """With a window of four the farewell waits for the further Child SAs, and nothing is lost either."""
    pair = both(codec, timed(window=4), timed(window=4)).establish()
    rekey_child(pair, pair.initiator)
    pair.drive()
    reauth(pair)
    walk(pair)
    assert settled_in_time(pair)
