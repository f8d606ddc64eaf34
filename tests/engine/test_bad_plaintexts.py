"""A peer with the right keys, and octets inside SK that are no message.

It is told INVALID_SYNTAX, its SA ends, and nobody else is disturbed (RFC 7296 2.21.2, 2.21.3).

The octets go through the codec of the rfc7296 profile. What is well-formed and still not allowed is the same
for both profiles: tests/engine/test_malformed.py, test_attacks.py and test_child.py.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from node.errors import DropReason
from node.ike.phases import Protection
from node.model.events import EventName as E
from node.model.message import Header, HeaderFlags, Message
from node.model.payloads import (
    Delete,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
)
from node.model.proposal import offer
from node.model.registry import ExchangeType, KeId, NotifyType, PayloadType, ProtocolId
from node.model.selectors import network
from tests.codec.rfc7296.test_bad_octets import BODIES
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Node, Pair, variant
from tests.engine.test_attacks import the

#: Padding of any length fits, so that a plaintext can end anywhere.
SUITE = {"ike": ("aes128gcm16-prfsha256-x25519",)}
SK, SKF = int(PayloadType.SK), int(PayloadType.SKF)
IDI = struct.pack(">BBH", 0, 0, 17) + b"\2\0\0\0initiator"
#: Plaintexts that are none, whatever the exchange: why, the type of the first payload, the octets.
PLAINTEXTS: list[tuple[str, int, bytes]] = [
    ("nothing at all", 0, b""),
    ("a pad length that is too long", 35, IDI + b"\xff"),
    ("a pad length of one too many", 0, b"\1"),
    ("padding that is not counted", 35, IDI + b"\0\0\0"),
    ("padding that is a payload", 35, IDI + bytes((len(IDI),))),
    ("payloads where none is announced", 0, IDI + b"\0"),
    ("no payload where one is announced", 35, b"\0"),
    ("another payload announced behind the last", 35, b"\x29" + IDI[1:] + b"\0"),
    ("a payload of length 0", 41, bytes(4) + b"\0"),
    ("a payload of length 3", 41, b"\0\0\0\3" + b"\0"),
    ("a payload past the end", 41, b"\0\0\xff\xff" + b"\0"),
    ("a generic header that is cut", 41, b"\0\0\0" + b"\0"),
    ("SK in SK", SK, b"\0\0\0\4" + b"\0"),
    ("a fragment in SK", SKF, b"\0\0\0\x08\0\1\0\1" + b"\0"),
    ("129 payloads", 43, b"\x2b\0\0\4" * 128 + b"\0\0\0\4" + b"\0"),
    ("octets that are nothing", 1, b"\xff" * 32 + b"\0"),
    ("a nonce of no octet", 40, b"\0\0\0\4" + b"\0"),
    ("a nonce of 15 octets", 40, b"\0\0\0\x13" + bytes(15) + b"\0"),
    ("a nonce of 257 octets", 40, b"\0\0\1\5" + bytes(257) + b"\0"),
]


def recorded(node: Node) -> list[tuple[Payload, ...]]:
    """What a node seals from now on."""
    honest, found = node.codec.seal, []

    def seal(header, payloads, sealer, mtu):  # type: ignore[no-untyped-def]
        if sealer:
            found.append(tuple(payloads))
        return honest(header, payloads, sealer, mtu)

    node.codec.seal = seal  # type: ignore[method-assign]
    return found


@dataclass(frozen=True, slots=True)
class Scene:
    """A message is due from `author` to `target`, and what it would honestly hold."""

    pair: Pair
    author: Node
    target: Node
    keys: Protection
    header: Header
    payloads: tuple[Payload, ...]

    def hand(self, first: int, plain: bytes) -> None:
        """A plaintext of ours arrives in its place, under the right keys."""
        sealer, header = self.keys.outbound, self.header
        size = 4 + sealer.sealed_len(len(plain))
        head = struct.pack(
            ">8s8sBBBBIIBBH", header.spi_i, header.spi_r, SK, 0x20, header.exchange, header.flags,
            header.message_id, 28 + size, first, 0, size,
        )  # fmt: skip
        octets = head + sealer.seal(head, plain)
        self.target.endpoint.handle_datagram(octets, self.target.path_to(self.author), self.pair.now)
        self.pair.flush(self.target)

    def with_body(self, kind: int, body: bytes) -> tuple[int, bytes]:
        """The honest payloads, this body in the place of that of its type, or behind them all."""
        bodies = [(int(p.type), self.author.codec.body(p)) for p in self.payloads]
        types = [known for known, _ in bodies]
        at = types.index(kind) if kind in types else len(bodies)
        bodies[at : at + 1] = [(kind, body)]
        following = [kind for kind, _ in bodies[1:]] + [0]
        parts = (
            struct.pack(">BBH", n, 0, 4 + len(b)) + b for n, (_, b) in zip(following, bodies, strict=True)
        )
        return bodies[0][0], b"".join(parts) + b"\0"

    def answers(self) -> list[Message]:
        """What the target sent, as the author opens it."""
        codec = self.author.codec
        found = [codec.open(codec.peek(one.octets), self.keys.inbound) for one in self.pair.wire]
        assert all(isinstance(message, Message) for message in found)
        return [message for message in found if isinstance(message, Message)]

    def honest_peers_are_served(self) -> None:
        """The target and somebody who has done nothing wrong come up."""
        self.pair.wire.clear()
        if self.target is self.pair.initiator:
            other = self.pair.add(variant(RESPONDER, address="192.0.2.22", **SUITE))
            ends = self.target, other
        else:
            other = self.pair.add(variant(INITIATOR, address="192.0.2.11", **SUITE))
            ends = other, self.target
        self.pair.initiate(*ends)
        self.pair.drive(lambda datagram: {datagram.source, datagram.target} == set(ends))
        assert [(sa.phase, len(sa.children)) for sa in other.endpoint.sas()] == [("ESTABLISHED", 1)]
        assert set(other.children) <= {child.outbound_spi for child in self.target.outbound.values()}


def met() -> Pair:
    return Pair("rfc7296", variant(INITIATOR, **SUITE), variant(RESPONDER, **SUITE))


def first_auth() -> Scene:
    pair = met()
    found = recorded(pair.initiator)
    pair.initiate()
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    return due(pair, pair.take(), found[-1])


def last_auth() -> Scene:
    pair = met()
    found = recorded(pair.responder)
    pair.initiate()
    for _ in range(3):
        pair.deliver(pair.take())
    return due(pair, pair.take(), found[-1])


def due(pair: Pair, honest: Datagram, payloads: tuple[Payload, ...]) -> Scene:
    author = honest.source
    return Scene(
        pair, author, honest.target, keys_of(author), author.codec.peek(honest.octets).header, payloads
    )


def keys_of(node: Node) -> Protection:
    found = the(node).protection
    assert found is not None
    return found


def last_answer() -> Scene:
    """The answer to a DELETE, behind which its author has nothing left."""
    pair = met().establish()
    keys = keys_of(pair.responder)
    pair.initiator.endpoint.delete_all(pair.now)
    pair.flush(pair.initiator)
    pair.deliver(pair.take())
    header = pair.responder.codec.peek(pair.take().octets).header
    return Scene(pair, pair.responder, pair.initiator, keys, header, ())


def request(exchange: ExchangeType, *, by_responder: bool = False) -> Scene:
    """The next request of either side of an IKE SA that is up."""
    pair = met().establish()
    ends = (pair.initiator, pair.responder)
    author, target = reversed(ends) if by_responder else ends
    sa = the(author)
    flags = HeaderFlags.INITIATOR if sa.is_initiator else 0
    header = Header(sa.spi_i, sa.spi_r, exchange, sa.window.next_id, flags)
    return Scene(pair, author, target, keys_of(author), header, HONEST[exchange](author))


def child(author: Node) -> tuple[Payload, ...]:
    """A Child SA with a key exchange of its own (RFC 7296 1.3.1)."""
    selectors = (
        TrafficSelectors(kind, (network("10.1.0.0/16"),)) for kind in (PayloadType.TSI, PayloadType.TSR)
    )
    proposals = SecurityAssociation(offer(author.settings.child_suites, b"\xc0\xff\xee\1"))
    return proposals, Nonce(bytes(32)), KeyExchange(KeId.CURVE25519, b"\x09" + bytes(31)), *selectors


HONEST: dict[ExchangeType, Callable[[Node], tuple[Payload, ...]]] = {
    ExchangeType.CREATE_CHILD_SA: child,
    ExchangeType.INFORMATIONAL: lambda _: (
        Notify(NotifyType(40_000)),
        Delete(ProtocolId.ESP, (b"\xc0\xff\xee\1",)),
    ),
}
REQUESTS: dict[str, Callable[[], Scene]] = {
    "IKE_AUTH": first_auth,
    "CREATE_CHILD_SA": lambda: request(ExchangeType.CREATE_CHILD_SA),
    "INFORMATIONAL": lambda: request(ExchangeType.INFORMATIONAL),
    "CREATE_CHILD_SA of the responder": lambda: request(ExchangeType.CREATE_CHILD_SA, by_responder=True),
    "INFORMATIONAL of the responder": lambda: request(ExchangeType.INFORMATIONAL, by_responder=True),
}
each_request = pytest.mark.parametrize("name", REQUESTS)
each_body = pytest.mark.parametrize(
    ("kind", "why", "body"), [b[:3] for b in BODIES], ids=[b[1] for b in BODIES]
)
each_plaintext = pytest.mark.parametrize(
    ("why", "first", "plain"), PLAINTEXTS, ids=[why for why, *_ in PLAINTEXTS]
)


def judge_request(scene: Scene) -> None:
    """One protected INVALID_SYNTAX, and nothing is left of the SA."""
    (answer,) = scene.answers()
    header = answer.header
    assert answer.protected
    assert header.is_response
    assert (header.exchange, header.message_id) == (scene.header.exchange, scene.header.message_id)
    assert answer.payloads == (Notify(NotifyType.INVALID_SYNTAX),)
    target = scene.target
    assert not target.endpoint.sas()
    assert not target.children
    assert not target.outbound
    assert target.endpoint.half_open == 0
    assert target.dropped.total() == 1
    assert set(target.dropped) <= {DropReason.MALFORMED, DropReason.BAD_NONCE}
    scene.honest_peers_are_served()


@each_request
@each_body
def test_a_request_with_a_body_that_is_none(name: str, kind: int, why: str, body: str) -> None:
    scene = REQUESTS[name]()
    scene.hand(*scene.with_body(kind, bytes.fromhex(body)))
    judge_request(scene)


@each_request
@each_plaintext
def test_a_request_with_a_plaintext_that_is_none(name: str, why: str, first: int, plain: bytes) -> None:
    scene = REQUESTS[name]()
    scene.hand(first, plain)
    judge_request(scene)


def judge_answer(scene: Scene) -> None:
    """The initiator is not up, tells the responder, and lets go."""
    (told,) = scene.answers()
    assert not told.header.is_response
    assert told.header.exchange == ExchangeType.INFORMATIONAL
    assert told.payloads == (Notify(NotifyType.INVALID_SYNTAX),)
    target = scene.target
    assert not target.children
    assert E.IKE_SA_ESTABLISHED not in target.names()
    scene.pair.pass_time(300, keep=lambda datagram: False)
    assert not target.endpoint.sas()
    scene.honest_peers_are_served()


@each_body
def test_an_ike_auth_response_with_a_body_that_is_none(kind: int, why: str, body: str) -> None:
    scene = last_auth()
    scene.hand(*scene.with_body(kind, bytes.fromhex(body)))
    judge_answer(scene)


@each_plaintext
def test_an_ike_auth_response_with_a_plaintext_that_is_none(why: str, first: int, plain: bytes) -> None:
    scene = last_auth()
    scene.hand(first, plain)
    judge_answer(scene)


@each_plaintext
def test_the_answer_to_a_delete_may_be_anything(why: str, first: int, plain: bytes) -> None:
    """The SA ends, as was wanted; nobody is told anything more (RFC 7296 2.21.3)."""
    scene = last_answer()
    scene.hand(first, plain)
    assert not scene.answers()
    assert scene.pair.empty()
    scene.honest_peers_are_served()


@pytest.mark.parametrize("name", ["IKE_AUTH", "CREATE_CHILD_SA", "INFORMATIONAL"])
def test_the_honest_message_in_its_place_is_accepted(name: str) -> None:
    """What the tests above change is good as it was."""
    scene = REQUESTS[name]()
    first = scene.payloads[0]
    scene.hand(*scene.with_body(int(first.type), scene.author.codec.body(first)))
    (answer,) = scene.answers()
    assert Notify(NotifyType.INVALID_SYNTAX) not in answer.payloads
    assert [sa.phase for sa in scene.target.endpoint.sas()] == ["ESTABLISHED"]
    assert not scene.target.dropped


def test_all_of_them_at_one_responder_leave_nothing_behind() -> None:
    """One after another, as fast as one address may fail; then somebody else comes up."""
    pair, last = met(), None
    found = recorded(pair.initiator)
    for number, (kind, _, body, _) in enumerate(BODIES, start=1):
        pair.initiate()
        pair.deliver(pair.take())
        pair.deliver(pair.take())
        last = due(pair, pair.take(), found[-1])
        last.hand(*last.with_body(kind, bytes.fromhex(body)))
        pair.drive()
        assert pair.empty()
        if number % pair.responder.settings.limits.half_open_per_source == 0:
            # What failed keeps its place for so long.
            pair.pass_time(pair.responder.settings.limits.half_open_lifetime + 1)
    assert pair.responder.dropped == {DropReason.MALFORMED: len(BODIES)}
    assert last is not None
    last.honest_peers_are_served()
