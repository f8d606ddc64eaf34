"""A pair with the two ports of RFC 7296 2.23, and NATs in front of its ends whose mappings a test can change.

500     IKE alone                4500    IKE and ESP
"""

from dataclasses import replace

from node.ike.outputs import MoveSa, SaMoved
from node.ike.sa import IkeSa
from node.model.message import Path
from node.model.registry import ExchangeType
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Node, NodeOptions, Pair

IKE, NAT = 500, 4500
End = tuple[str, int]


class TwoPorts(Pair):
    """`raw_esp` are nodes whose IKE port counts as one that ESP can use, as with ESP beside UDP."""

    def __init__(
        self, codec: str, initiator: NodeOptions = INITIATOR, responder: NodeOptions = RESPONDER
    ) -> None:
        super().__init__(codec, initiator, responder)
        self.outside: dict[End, End] = {}
        self.raw_esp: set[str] = set()
        self._last = 40_000

    def rebind(self, node: Node, host: str = "203.0.113.9") -> None:
        """Put the node behind a NAT, or give it other mappings there."""
        for port in (IKE, NAT):
            self._last += 1
            self.outside[node.options.address, port] = (host, self._last)

    def forward(self, node: Node, host: str = "203.0.113.77") -> None:
        """Put the node behind a NAT that has a mapping for it: reached at another address, same ports."""
        for port in (IKE, NAT):
            self.outside[node.options.address, port] = (host, port)

    def public(self, node: Node, port: int) -> End:
        """Where others find a port of the node."""
        return self.outside.get((node.options.address, port), (node.options.address, port))

    def initiate(self, node: Node | None = None, peer: Node | None = None) -> bytes:
        node, peer = node or self.initiator, peer or self.responder
        address = node.options.address
        path = Path(address, IKE, *self.public(peer, IKE), carries_esp=False)
        nat_path = Path(address, NAT, *self.public(peer, NAT))
        spi = node.endpoint.initiate(path, self.now, nat_path)
        self.flush(node)
        return spi

    def put(self, source: Node, octets: bytes, path: Path) -> None:
        datagram = self.datagram(source, octets, path)
        self.sent.append(datagram)
        if datagram.target is not NOBODY:
            self.wire.append(datagram)

    def datagram(self, source: Node, octets: bytes, path: Path) -> Datagram:
        """As it arrives. What goes to a mapping that is gone arrives nowhere."""
        end = (path.local_host, path.local_port)
        inside = {outer: inner for inner, outer in self.outside.items()}
        to = inside.get((path.peer_host, path.peer_port), (path.peer_host, path.peer_port))
        target = next((n for n in self.nodes.values() if n.options.address == to[0]), NOBODY)
        return Datagram(source, target, octets, self.arriving(*to, *self.outside.get(end, end)))

    def arriving(self, host: str, port: int, peer_host: str, peer_port: int) -> Path:
        """The path as the receiver's socket tells it."""
        return Path(host, port, peer_host, peer_port, carries_esp=port == NAT or host in self.raw_esp)

    def sa(self, node: Node) -> IkeSa:
        """The one IKE SA of a node."""
        (found,) = node.endpoint._sas.values()
        return found

    def ask(self, node: Node) -> Datagram:
        """An empty INFORMATIONAL request of this node, off the wire again."""
        self.sa(node).send_request(ExchangeType.INFORMATIONAL, (), self.now)
        self.flush(node)
        return self.wire.pop()

    def paths(self, node: Node) -> set[Path]:
        """Where everything of the node's one IKE SA goes: IKE, and each child as the data path was told."""
        sa = self.sa(node)
        children = {spi: child.path for spi, child in node.outbound.items()}
        for output in node.outputs:
            if isinstance(output, MoveSa):
                children[output.inbound_spi] = output.path
        return {sa.path, *children.values(), *(owned.child.path for owned in sa.children.values())}

    def moved(self, node: Node) -> list[Path]:
        """The paths to which the node followed its peer."""
        return [output.path for output in node.outputs if isinstance(output, SaMoved)]


#: The receiver of what nobody receives.
NOBODY = Node(replace(RESPONDER, address="198.51.100.255"), "asn1")
