"""Pairs that speak MOBIKE, and an initiator that changes its address (RFC 4555)."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from node.ike.outputs import MoveSa, Transmit
from node.ike.settings import Settings
from node.model.events import EventName
from node.model.message import Path
from node.model.payloads import Notify
from node.model.registry import NotifyType
from tests.engine.explore import ESP, IKE
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Node, NodeOptions, Pair, variant
from tests.engine.lives import ike_sa

HOME, ABROAD, FAR, R = "192.0.2.1", "192.0.2.77", "192.0.2.78", "192.0.2.2"
#: Somebody who has nothing to do with it.
VICTIM = "198.51.100.4"
ASK, ANSWER = "INFORMATIONAL request", "INFORMATIONAL response"
UPDATE = [
    "N(UPDATE_SA_ADDRESSES)",
    "N(NAT_DETECTION_SOURCE_IP)",
    "N(NAT_DETECTION_DESTINATION_IP)",
    "N(NO_ADDITIONAL_ADDRESSES)",
    "N(COOKIE2)",
]


class OpenPair(Pair):
    """What is sent to an address of nobody is sent, and lost."""

    def put(self, source: Node, octets: bytes, path: Path) -> None:
        if (path.peer_host, path.peer_port) in self.nodes:
            super().put(source, octets, path)
        else:
            mirrored = Path(path.peer_host, path.peer_port, path.local_host, path.local_port)
            self.sent.append(Datagram(source, source, octets, mirrored))

    def sent_to(self, host: str) -> int:
        """How many datagrams went there."""
        return sum(datagram.path.local_host == host for datagram in self.sent)


def mobile(options: NodeOptions, **settings: object) -> NodeOptions:
    """The node, speaking MOBIKE, with fast key exchanges."""

    def change(made: Settings) -> Settings:
        return replace(options.change(made), **{"mobike": True, **settings})  # type: ignore[arg-type]

    return variant(options, change=change, ike=IKE, esp=ESP)


def mobile_pair(codec: str, **settings: object) -> OpenPair:
    """Two of them, with an IKE SA and a Child SA."""
    pair = OpenPair(codec, mobile(INITIATOR, **settings), mobile(RESPONDER, **settings))
    pair.establish()
    return pair


def move(pair: Pair, host: str = ABROAD) -> None:
    """The initiator is at another address from now on, too."""
    node = pair.initiator
    pair.nodes[host, 8000] = node
    for spi, path in node.endpoint.mobile():
        node.endpoint.move(spi, replace(path, local_host=host), pair.now)
    pair.flush(node)


def gone(*hosts: str) -> Callable[[Datagram], bool]:
    """Keeps what has nothing to do with these addresses."""
    return lambda datagram: not {datagram.path.local_host, datagram.path.peer_host} & set(hosts)


def to(host: str) -> Path:
    """The responder's path to an address of the initiator."""
    return Path(R, 8000, host, 8000)


def esp_paths(node: Node) -> set[Path]:
    """Where the Child SAs of a node send, as the data path was told."""
    paths = {spi: child.path for spi, child in node.outbound.items()}
    for output in node.outputs:
        if isinstance(output, MoveSa) and output.inbound_spi in paths:
            paths[output.inbound_spi] = output.path
    return set(paths.values())


def at(pair: Pair, host: str) -> bool:
    """Both ends have everything between the responder and this address, and wait for nothing."""
    ours, theirs = ike_sa(pair.initiator), ike_sa(pair.responder)
    ends = (pair.initiator, Path(host, 8000, R, 8000)), (pair.responder, to(host))
    return (
        all(
            ike_sa(node).path == path == ike_sa(node).esp_path
            and {owned.child.path for owned in ike_sa(node).children.values()} | esp_paths(node) <= {path}
            for node, path in ends
        )
        and not len(ours.agenda)
        and not len(theirs.agenda)
    )


def stray(pair: Pair, host: str, node: Node | None = None) -> None:
    """The newest ESP packet to this node, the responder, came from this address."""
    node = node or pair.responder
    node.endpoint.peer_moved(ike_sa(node).local_spi, Path(node.address[0], 8000, host, 8000), pair.now)
    pair.flush(node)


def payloads(node: Node, name: EventName) -> list[object]:
    """The payloads of every message that the node told of by this event."""
    return [event.fields["payloads"] for event in node.events if event.name is name]


def last_path(node: Node) -> Path:
    """Where the last datagrams of a node went."""
    return [output.path for output in node.outputs if isinstance(output, Transmit)][-1]


def four(host: str) -> Notify:
    """ADDITIONAL_IP4_ADDRESS."""
    return Notify(NotifyType.ADDITIONAL_IP4_ADDRESS, ip_address(host).packed)


def six(host: str) -> Notify:
    """ADDITIONAL_IP6_ADDRESS."""
    return Notify(NotifyType.ADDITIONAL_IP6_ADDRESS, ip_address(host).packed)
