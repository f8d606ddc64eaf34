"""What meets reauthentication: rekeys and deletions of the old SAs and of the new ones, by either end."""

from collections.abc import Callable

import pytest

from node.ike.children import LONG_LINGER
from node.ike.outputs import InstallOutbound
from node.ike.sa import IkeSa
from node.ike.tasks.rekey import ABANDONED
from node.model.events import EventName as E
from tests.engine.harness import Node, Pair
from tests.engine.lives import INFORM, Role, carries, harmless, ike_sa, kind, settled
from tests.engine.test_reauthentication import REST, both, done, reauth, walk


def oldest(node: Node) -> IkeSa:
    """The IKE SA that a node has had for longest."""
    return next(iter(node.endpoint._sas.values()))


@pytest.mark.parametrize("steps", range(7))
def test_the_old_ike_sa_is_rekeyed_meanwhile(codec: str, role: Role, steps: int) -> None:
    """After any number of messages of the reauthentication one end replaces the old IKE SA."""
    pair = both(codec).establish()
    reauth(pair)
    begin_after(pair, steps, lambda: rekeyed(pair, role(pair)[0], rekey=True))
    assert done(pair.initiator) == 1


@pytest.mark.parametrize("steps", range(7))
def test_the_old_child_sa_is_rekeyed_meanwhile(codec: str, role: Role, steps: int) -> None:
    pair = both(codec).establish()
    reauth(pair)
    begin_after(pair, steps, lambda: rekeyed(pair, role(pair)[0], rekey=False))
    assert done(pair.initiator) == 1


def begin_after(pair: Pair, steps: int, act: Callable[[], None]) -> None:
    """Act after so many messages; all the time something carries, and both ends agree in the end."""
    for _ in range(steps):
        if pair.wire:
            pair.deliver(pair.take())
    act()
    walk(pair)
    pair.pass_time(ABANDONED + LONG_LINGER)
    assert settled(pair)


def rekeyed(pair: Pair, node: Node, *, rekey: bool) -> None:
    """Replace the first IKE SA of a node, or its Child SA, if it is there yet."""
    sa = next(iter(node.endpoint._sas.values()))
    if rekey:
        node.endpoint.rekey_ike(sa.local_spi, pair.now)
    else:
        for spi in tuple(sa.children):
            node.endpoint.rekey_child(spi, pair.now)
    pair.flush(node)


@pytest.mark.parametrize("rekeys", [1, 2, 3])
def test_the_old_ike_sa_is_rekeyed_again_and_again(codec: str, role: Role, rekeys: int) -> None:
    """What the responder has was authenticated before the new one began, however often it was replaced."""
    pair = both(codec).establish()
    pair.pass_time(1.0)
    reauth(pair)
    pair.deliver(pair.take())
    # IKE_SA_INIT response  <--  is late
    late, node = pair.take(), role(pair)[0]
    for _ in range(rekeys):
        pair.now += 0.1
        node.endpoint.rekey_ike(ike_sa(node).local_spi, pair.now)
        pair.flush(node)
        walk(pair)
    pair.deliver(late)
    # IKE_AUTH request  -->  the answer may be lost: the old Child SA sends on
    walk(pair)
    pair.pass_time(ABANDONED + LONG_LINGER)
    assert settled(pair)
    assert done(pair.initiator) == 1


@pytest.mark.parametrize("steps", range(5))
def test_deleted_by_us_meanwhile(codec: str, steps: int) -> None:
    """Who deletes the old IKE SA by hand wants no new one in its place."""
    pair = both(codec).establish()
    old = reauth(pair)
    for _ in range(steps):
        pair.deliver(pair.take())
    if old in pair.initiator.endpoint._sas:
        pair.initiator.endpoint.delete(old, pair.now)
        pair.flush(pair.initiator)
    if steps < 4:
        pair.pass_time(REST)
        assert pair.empty()


@pytest.mark.parametrize("steps", range(4))
def test_deleted_by_the_peer_meanwhile(codec: str, steps: int) -> None:
    """The peer deletes the old one; what is being made is new, and comes up."""
    pair = both(codec).establish()
    old = ike_sa(pair.responder).local_spi
    reauth(pair)
    for _ in range(steps):
        pair.deliver(pair.take())
    pair.responder.endpoint.delete(old, pair.now)
    pair.flush(pair.responder)
    pair.pass_time(REST)
    assert settled(pair)
    assert not pair.initiator.names().count(E.IKE_REAUTH_FAILED)


def test_the_new_one_is_rekeyed_at_once(codec: str, role: Role) -> None:
    pair = both(codec).establish()
    reauth(pair)
    for _ in range(4):
        pair.deliver(pair.take())
    one, _ = role(pair)
    spi = list(one.endpoint._sas)[-1]
    one.endpoint.rekey_ike(spi, pair.now)
    pair.flush(one)
    walk(pair)
    pair.pass_time(ABANDONED + LONG_LINGER)
    assert settled(pair)


def test_a_node_that_stops_in_the_middle(codec: str) -> None:
    for steps in range(6):
        pair = both(codec).establish()
        reauth(pair)
        for _ in range(steps):
            pair.deliver(pair.take())
        pair.initiator.endpoint.retire(pair.now)
        pair.flush(pair.initiator)
        pair.pass_time(REST)
        assert pair.empty()


@pytest.mark.parametrize("steps", range(7))
def test_the_old_child_sa_is_deleted_meanwhile(codec: str, role: Role, steps: int) -> None:
    """After any number of messages of the reauthentication."""
    pair = both(codec).establish()
    reauth(pair)
    for _ in range(steps):
        if pair.wire:
            pair.deliver(pair.take())
    node = role(pair)[0]
    for spi in tuple(oldest(node).children) if len(node.endpoint._sas) == 2 or steps < 2 else ():
        node.endpoint.delete_child(spi, pair.now)
    pair.flush(node)
    while pair.wire:
        pair.deliver(pair.take())
        assert harmless(pair)
    pair.pass_time(ABANDONED + LONG_LINGER)
    assert settled(pair)
    assert done(pair.initiator) == 1


@pytest.mark.parametrize("first", ["rekey", "DELETE"])
@pytest.mark.parametrize("lost", range(12))
def test_one_message_is_lost_while_both_are_replaced(codec: str, role: Role, lost: int, first: str) -> None:
    """The old Child SA is rekeyed, or deleted, while its IKE SA is authenticated anew; a message is lost."""
    pair = both(codec).establish()
    node, seen = role(pair)[0], 0
    (old,) = ike_sa(node).children
    reauth(pair)
    (node.endpoint.rekey_child if first == "rekey" else node.endpoint.delete_child)(old, pair.now)
    pair.flush(node)
    for _ in range(60):
        while pair.wire:
            datagram, seen = pair.take(), seen + 1
            if seen - 1 != lost:
                pair.deliver(datagram)
            assert carries(pair) if first == "rekey" else harmless(pair)
        pair.pass_time(0.1)
    pair.pass_time(ABANDONED + LONG_LINGER)
    assert settled(pair)
    assert done(pair.initiator) == 1


def test_outbound_is_taken_away_once_and_only_where_it_is(codec: str, role: Role) -> None:
    """An heir that only receives when its IKE SA ends: there is no outbound SA to take away."""
    pair = both(codec).establish()
    node, other = role(pair)
    reauth(pair)
    for _ in range(2):
        pair.deliver(pair.take())
    node.endpoint.rekey_child(next(iter(oldest(node).children)), pair.now)
    pair.flush(node)
    pair.drive(lambda d: not (kind(pair, d) == INFORM and d.source is node))
    assert harmless(pair)
    pair.pass_time(REST)
    assert settled(pair)
    for end in (node, other):
        installed = [o.child.inbound_spi for o in end.outputs if isinstance(o, InstallOutbound)]
        assert len(installed) == len(set(installed))


def test_both_authenticate_anew_at_once(codec: str) -> None:
    """Each end has opened an IKE SA with the other one, and repeats its own at the same time."""
    pair = both(codec).establish()
    pair.initiate(pair.responder, pair.initiator)
    pair.drive()
    pair.pass_time(REST)
    for node in (pair.initiator, pair.responder):
        (mine,) = (sa for sa in node.endpoint._sas.values() if sa.auth.ours)
        node.endpoint.reauthenticate(mine.local_spi, pair.now)
        pair.flush(node)
    while pair.wire:
        pair.deliver(pair.take())
        assert carries(pair)
    pair.pass_time(REST)
    assert carries(pair)
    for node in (pair.initiator, pair.responder):
        assert done(node) == 1
        assert len(node.endpoint._sas) == len(node.children) == len(node.outbound) == 2
        assert all(sa.doubt is None for sa in node.endpoint._sas.values())
