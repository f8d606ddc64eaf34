"""Nodes that cut their messages into fragments, and somebody who cuts them as he likes (RFC 7383).

Only rfc7296: the asn1 profile has no fragments, and says so in its codec.
"""

from collections.abc import Sequence
from dataclasses import replace

from node.errors import LocalMisuse
from node.ike.fragments import Budget, Reassembly
from node.ike.sa import IkeSa
from node.ike.settings import Settings
from node.model.events import EventName
from node.model.message import Header, HeaderFlags
from node.model.payloads import Payload
from node.model.registry import ExchangeType, PayloadType
from node.wire.rfc7296 import chain, protection
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Node, NodeOptions, Pair, variant

#: Cuts IKE_AUTH of the nodes here into three, both ways.
MTU = 300
#: Cheap, and with an ICV and an IV of its own for each fragment.
SUITE = ("aes256gcm16-prfsha256-x25519",)


def cutting(options: NodeOptions, mtu: int = MTU, **changes: object) -> NodeOptions:
    """The node, with fragments of at most `mtu` octets; 0: none."""

    def change(settings: Settings) -> Settings:
        return replace(options.change(settings), mtu=mtu)

    return variant(options, change=change, **{"ike": SUITE, **changes})


def cutting_pair(initiator: int = MTU, responder: int = MTU) -> Pair:
    """An initiator and a responder that have not met, with these sizes of fragments."""
    return Pair("rfc7296", cutting(INITIATOR, initiator), cutting(RESPONDER, responder))


def take_all(pair: Pair) -> list[Datagram]:
    """Everything that is on the wire, undelivered."""
    taken = list(pair.wire)
    pair.wire.clear()
    return taken


def to_auth(pair: Pair) -> list[Datagram]:
    """Both parties did IKE_SA_INIT; the fragments of the IKE_AUTH request, undelivered."""
    pair.initiate()
    pair.deliver(pair.take())
    pair.deliver(pair.take())
    return take_all(pair)


def to_response(pair: Pair) -> list[Datagram]:
    """As `to_auth`, and the responder has answered; the fragments of its answer, undelivered."""
    for datagram in to_auth(pair):
        pair.deliver(datagram)
    return take_all(pair)


def sa_of(node: Node) -> IkeSa:
    """The only IKE SA of a node."""
    (sa,) = node.endpoint._sas.values()
    return sa


def waiting(node: Node) -> Reassembly:
    """What the only IKE SA of a node collects of its peer's request."""
    requests = sa_of(node).window.requests
    return next(iter(requests.values()), Reassembly(Budget()))


def held(node: Node) -> int:
    """What a node keeps of fragments, in octets with what each costs."""
    return node.endpoint._context.fragments.held


def count(node: Node, name: EventName) -> int:
    """How often a node told of it."""
    return node.names().count(name)


class Cutter:
    """The initiator of a pair with a knife: seals any piece as number `number` of `total`, with its keys."""

    def __init__(
        self, pair: Pair, exchange: ExchangeType = ExchangeType.IKE_AUTH, message_id: int = 1
    ) -> None:
        self.sa = sa_of(pair.initiator)
        flags = HeaderFlags.INITIATOR if self.sa.is_initiator else 0
        self.header = Header(self.sa.spi_i, self.sa.spi_r, exchange, message_id, flags)

    def piece(
        self, number: int, total: int, inner: bytes, first: int | None = None, header: Header | None = None
    ) -> bytes:
        """One datagram; `first` is the type of the first payload, by default what belongs there."""
        if self.sa.protection is None:
            raise LocalMisuse("there are no keys yet")
        chosen = first if first is not None else PayloadType.NOTIFY if number == 1 else PayloadType.NONE
        numbers = number.to_bytes(2) + total.to_bytes(2)
        sealer = self.sa.protection.outbound
        return protection._datagram(header or self.header, PayloadType.SKF, chosen, numbers, inner, sealer)

    def cut(self, payloads: Sequence[Payload], total: int) -> list[bytes]:
        """A message in so many pieces of about the same size."""
        first, inner = chain.write(tuple(payloads))
        size = -(-len(inner) // total)
        pieces = [inner[at : at + size] for at in range(0, size * total, size)]
        return [
            self.piece(number, total, piece, first if number == 1 else None)
            for number, piece in enumerate(pieces, 1)
        ]
