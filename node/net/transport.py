"""The UDP ports of a node as one: what comes is steered, what leaves takes the socket of its path.

    profile    sockets
    asn1       one
    rfc7296    `ike` (500), `nat` (4500, IKE behind the non-ESP marker); one where the numbers are equal

Rules:

1. A path's local port says which socket it is about, and the socket what a message looks like there.
2. Where the numbers are equal there is the marker from the first datagram on.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from node.model.message import Path
from node.net.steer import Port
from node.net.udp import UdpSocket


class Line(NamedTuple):
    """A bound socket, and what may come on it."""

    udp: UdpSocket
    port: Port


class Transport:
    """`nat` is the socket that ESP shares; `ike` that of IKE alone, the same one where there is only one."""

    def __init__(self, nat: Line, ike: Line | None = None) -> None:
        self._nat, self._ike = nat, ike or nat
        self._lines = {line.udp.port: line for line in (self._ike, self._nat)}
        #: Hears of the path of everything that leaves.
        self.on_send: Callable[[Path], None] | None = None
        self._sockets = {port: line.udp for port, line in self._lines.items()}

    def __iter__(self) -> Iterator[Line]:
        """Every socket once, that of IKE_SA_INIT first."""
        return iter(self._lines.values())

    @property
    def address(self) -> str:
        """The address that all of them are bound to."""
        return self._ike.udp.address

    @property
    def port(self) -> int:
        """The port of IKE."""
        return self._ike.udp.port

    @property
    def nat_port(self) -> int:
        """The port that ESP shares."""
        return self._nat.udp.port

    @property
    def errors(self) -> Counter[str]:
        """Failed sendings and receptions by errno name."""
        return sum((line.udp.errors for line in self), Counter())

    @property
    def shared(self) -> Line:
        """What ESP shares with IKE."""
        return self._nat

    def starting(self, *, shared: bool) -> UdpSocket:
        """Where an IKE SA begins: at the port that ESP shares where `shared`."""
        return self._nat.udp if shared else self._ike.udp

    def nat_path(self, path: Path, port: int) -> Path | None:
        """The way to the same peer, at its `port`, from the port that ESP shares.

        None where `path` is such a one already.
        """
        if path.carries_esp:
            return None
        return replace(path, local_port=self._nat.udp.port, peer_port=port, carries_esp=True)

    def way_to(self, path: Path) -> Path:
        """The path to the same peer, from the address that the routes choose now. Raises OSError."""
        return self._sockets[path.local_port].path_to(path.peer_host, path.peer_port)

    def owns(self, host: str) -> bool:
        """Whether datagrams can leave from this address."""
        return self._nat.udp.owns(host)

    def port_of(self, path: Path) -> Port:
        """What may come, and what a message looks like, on a path of ours."""
        return self._lines[path.local_port].port

    def send(self, datagram: bytes, path: Path, tos: int = 0) -> bool:
        """Send octets as they are on a path of ours (`UdpSocket.send`). False where the kernel refused, which
        is counted.
        """
        if self.on_send is not None:
            self.on_send(path)
        return self._sockets[path.local_port].send(datagram, path, tos)

    def send_many(self, parts: Sequence[bytes | memoryview], size: int, path: Path, tos: int = 0) -> bool:
        """As `send`, many datagrams of one size (`UdpSocket.send_many`)."""
        if self.on_send is not None:
            self.on_send(path)
        return self._sockets[path.local_port].send_many(parts, size, path, tos)

    def send_pieces(self, datagram: bytes, path: Path, tos: int = 0) -> bool:
        """As `send`, in fragments where the way is too narrow."""
        if self.on_send is not None:
            self.on_send(path)
        return self._sockets[path.local_port].send_pieces(datagram, path, tos)

    def send_message(self, message: bytes, path: Path) -> bool:
        """Send an IKE message, as it looks on that port; IP may cut it where IKE did not."""
        return self.send_pieces(self.port_of(path).datagram(message), path)

    def path_mtu(self, path: Path) -> int:
        """As `UdpSocket.path_mtu`."""
        return self._sockets[path.local_port].path_mtu(path)

    def narrowed(self, path: Path) -> int:
        """As `UdpSocket.narrowed`."""
        return self._sockets[path.local_port].narrowed(path)

    def close(self) -> None:
        """Give the ports back."""
        for line in self:
            line.udp.close()
