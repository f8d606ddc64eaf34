"""What tests of rekeying and deleting look at: who holds which Child SA, and which one carries a packet."""

from collections.abc import Callable

from node.ike.agenda import PAUSE, PAUSE_JITTER
from node.ike.children import LINGER
from node.ike.outputs import InstallOutbound
from node.ike.sa import IkeSa
from node.ike.status import SaStatus
from node.model.child import ChildSa
from node.model.events import EventName as E
from node.model.message import Header
from tests.engine.harness import Datagram, Node, Pair

Role = Callable[[Pair], tuple[Node, Node]]

CREATE, ANSWER = "CREATE_CHILD_SA request", "CREATE_CHILD_SA response"
INFORM, REPLY = "INFORMATIONAL request", "INFORMATIONAL response"
#: Seconds after which everything that was put off was tried again, and nothing lingers.
LATER = 2 * (PAUSE + PAUSE_JITTER) + LINGER
#: Seconds after which a request that nobody answers is given up.
GIVE_UP = 600.0


def first(pair: Pair) -> tuple[Node, Node]:
    """The original initiator begins: the pair as (who asks, who answers)."""
    return pair.initiator, pair.responder


def second(pair: Pair) -> tuple[Node, Node]:
    """The original responder begins."""
    return pair.responder, pair.initiator


def ike_sa(node: Node) -> IkeSa:
    """The only IKE SA of a node that is not about to end. Raises ValueError where there are others."""
    (sa,) = (sa for sa in node.endpoint._sas.values() if sa.phase == "ESTABLISHED")
    return sa


def child_of(node: Node) -> ChildSa:
    """The only Child SA that a node would rekey. Raises ValueError where there are others."""
    (owned,) = (o for o in ike_sa(node).children.values() if o.state == "INSTALLED")
    return owned.child


def sender(node: Node) -> bytes:
    """The outbound SPI of the Child SA that carries the node's packets: the newest that sends."""
    installed = [o.child for o in node.outputs if isinstance(o, InstallOutbound)]
    return next(c.outbound_spi for c in reversed(installed) if c.inbound_spi in node.outbound)


def carries(pair: Pair) -> bool:
    """What each end sends arrives at an SA that the other end has."""
    ends = ((pair.initiator, pair.responder), (pair.responder, pair.initiator))
    return all(sender(one) in other.children for one, other in ends)


def harmless(pair: Pair) -> bool:
    """Each end sends through what the other end has, wherever there is such a Child SA at all.

    Who deletes a Child SA by itself sends through it until that is answered, as always. Nobody sends through
    what lost where both replaced the same one: its maker deletes it.
    """
    ends = ((pair.initiator, pair.responder), (pair.responder, pair.initiator))
    return all(sends_well(one, other) for one, other in ends)


def sends_well(one: Node, other: Node) -> bool:
    owned = [o for sa in one.endpoint._sas.values() for o in sa.children.values()]
    deleting = {o.child.outbound_spi for o in owned if o.state == "DELETING"}
    lost = {o.child.outbound_spi for o in owned if o.state == "REKEYED" and o.heir is None}
    received = {o.child.outbound_spi for o in owned} & set(other.children) - deleting - lost
    return not received or (bool(one.outbound) and sender(one) in received | deleting)


def settled(pair: Pair, *, children: int = 1) -> bool:
    """Both ends have one IKE SA and so many Child SAs, agree on all SPIs, and wait for nothing."""
    ours, theirs = pair.initiator.endpoint.sas(), pair.responder.endpoint.sas()
    if [len(ours), len(theirs)] != [1, 1] or {ours[0].phase, theirs[0].phase} != {"ESTABLISHED"}:
        return False
    if (ours[0].spi_i, ours[0].spi_r) != (theirs[0].spi_i, theirs[0].spi_r):
        return False
    mine, yours = pairs_of(ours[0]), {(o, i) for i, o in pairs_of(theirs[0])}
    idle = all(not ike_sa(n).window.in_flight and not len(ike_sa(n).agenda) for n in pair.nodes.values())
    same = all(set(n.children) == set(ike_sa(n).children) for n in pair.nodes.values())
    return mine == yours and len(mine) == children and idle and same and (children == 0 or carries(pair))


def pairs_of(sa: SaStatus) -> set[tuple[str, str]]:
    """Inbound and outbound SPIs."""
    return {(child.inbound_spi, child.outbound_spi) for child in sa.children}


def header(pair: Pair, datagram: Datagram) -> Header:
    """The header of what is on the wire."""
    return pair.initiator.codec.peek(datagram.octets).header


def kind(pair: Pair, datagram: Datagram) -> str:
    """`CREATE_CHILD_SA request`, for instance."""
    found = header(pair, datagram)
    return f"{found.exchange} {'response' if found.is_response else 'request'}"


def step(pair: Pair, source: Node, expected: str) -> Datagram:
    """Take the oldest datagram of `source` off the wire and deliver it; it must be of that kind."""
    datagram = grab(pair, source, expected)
    pair.deliver(datagram)
    return datagram


def grab(pair: Pair, source: Node, expected: str) -> Datagram:
    """Take the oldest datagram of `source` off the wire, undelivered; it must be of that kind."""
    datagram = next(d for d in pair.wire if d.source is source)
    pair.wire.remove(datagram)
    found = kind(pair, datagram)
    if found != expected:
        raise AssertionError(f"{found}, not {expected}")
    return datagram


def pick(pair: Pair, source: Node, wanted: str) -> Datagram:
    """Take the oldest datagram of that kind off the wire, undelivered, whatever `source` sent before it.

    Raises StopIteration where there is none.
    """
    datagram = next(d for d in pair.wire if d.source is source and kind(pair, d) == wanted)
    pair.wire.remove(datagram)
    return datagram


def rekey_child(pair: Pair, node: Node) -> bytes:
    """Let a node replace its Child SA; returns the inbound SPI of the old one."""
    old = child_of(node).inbound_spi
    node.endpoint.rekey_child(old, pair.now)
    pair.flush(node)
    return old


def rekey_ike(pair: Pair, node: Node) -> bytes:
    """Let a node replace its IKE SA; returns its SPI of the old one."""
    old = ike_sa(node).local_spi
    node.endpoint.rekey_ike(old, pair.now)
    pair.flush(node)
    return old


def through(pair: Pair, one: Node, other: Node) -> None:
    """The rest of a rekey that `one` has asked for, deletion included."""
    for node, expected in ((one, CREATE), (other, ANSWER), (one, INFORM), (other, REPLY)):
        pair.deliver(pick(pair, node, expected))


def create(pair: Pair, node: Node) -> bytes:
    """Let a node ask for a Child SA; returns its SPI of the IKE SA."""
    spi = ike_sa(node).local_spi
    node.endpoint.create_child(spi, pair.now)
    pair.flush(node)
    return spi


def delete_child(pair: Pair, node: Node) -> bytes:
    """Let a node delete its Child SA; returns its inbound SPI."""
    spi = child_of(node).inbound_spi
    node.endpoint.delete_child(spi, pair.now)
    pair.flush(node)
    return spi


def delete_ike(pair: Pair, node: Node) -> None:
    """Let a node delete its IKE SA."""
    node.endpoint.delete(ike_sa(node).local_spi, pair.now)
    pair.flush(node)


def notifies(node: Node) -> list[str]:
    """The notifications that the node was told of, in order."""
    return [str(e.fields["notify"]) for e in node.events if e.name is E.NOTIFY_RECEIVED]


def finish(pair: Pair, seconds: float = LATER) -> None:
    """Let everything come to rest."""
    pair.drive()
    pair.pass_time(seconds)


def kept(node: Node) -> list[bool]:
    """Whether what this end made was kept, for each collision that it saw."""
    return [bool(e.fields["kept"]) for e in node.events if e.name is E.REKEY_COLLISION]


def last_answer(node: Node) -> tuple[str, ...]:
    """The payloads of the last INFORMATIONAL response that a node sent."""
    told = [e.fields for e in node.events if e.name is E.INFORMATIONAL_SENT]
    payloads = [fields["payloads"] for fields in told if fields["kind"] == "response"][-1]
    if not isinstance(payloads, list | tuple):
        raise TypeError(f"{payloads!r} is no list of payloads")
    return tuple(map(str, payloads))


def refused_with(node: Node) -> list[str]:
    """The notifications by which a node refused something, in order."""
    return [str(e.fields["notify"]) for e in node.events if e.name is E.NOTIFY_SENT]
