"""One UDP socket that knows which of our addresses each datagram came to.

Rules:

1. An answer leaves from the address the request came to (IP_PKTINFO, IPV6_PKTINFO).
2. Errors of the network never end the node: they are counted by name.
3. Many datagrams of one size go and come in one call where the kernel can do that (UDP_SEGMENT, UDP_GRO).
   Where a route cannot, its peer gets them one by one from then on.
4. Nothing is fragmented on its way (`node.net.outer`) but what asks for it: a message of IKE. What is as
   small as every network carries it leaves whatever the kernel was told of the way.
"""

import errno
import socket
import struct
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple, TypeVar

from node.esp.pathmtu import OUTER
from node.esp.widths import LEAST_WAY
from node.model.message import Path
from node.net import outer, reuseport
from node.net.hosts import host_of, socket_address, unscoped
from node.net.outer import Mode
from node.net.steer import Port

#: The largest UDP payload there is, and one more so that nothing is cut unseen.
RECEIVE_SIZE = 65_535
#: Socket buffers in octets, for while the process is busy: some hundred full datagrams of IKE, some
#: thousand of ESP. Without NET_ADMIN the kernel may give less (net.core.rmem_max, wmem_max).
BUFFER, ESP_BUFFER = 1024 * 1024, 8 * 1024 * 1024

#: linux/in.h; the socket module of Python 3.11 does not have it.
_IP_PKTINFO = 8
#: struct in_pktinfo: interface index, address to send from, destination of the header.
_PKTINFO4 = struct.Struct("=I4s4s")
#: struct in6_pktinfo: address, interface index.
_PKTINFO6 = struct.Struct("=16sI")

#: What the network or the kernel may say about one datagram, and nobody needs to hear twice.
_TRANSIENT = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.EPERM, errno.EACCES, errno.EMSGSIZE, errno.EINVAL}
    | {errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
    | {errno.ENOMEM, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENONET, errno.ETIMEDOUT, errno.EOPNOTSUPP}
    | {errno.EADDRNOTAVAIL, errno.EPROTO, errno.ENOPROTOOPT, errno.EAFNOSUPPORT}
)

# linux/udp.h, asm-generic/socket.h
_UDP_SEGMENT, _UDP_GRO = 103, 104
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_SEGMENT = struct.Struct("=H")
_GRO = struct.Struct("=i")
#: Octets of ancillary data: the address the datagram came to, its TOS, and the size of each where there are
#: many.
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO6.size) + outer.TOS_SPACE + socket.CMSG_SPACE(_GRO.size)

#: Why many datagrams cannot leave at once on a route: its device makes no checksums, its MTU is too small for
#: them, or the kernel does not know how.
_NOT_TOGETHER = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT})
#: Paths, and peers without segments, that are remembered.
MAX_REMEMBERED = 256

K = TypeVar("K")
V = TypeVar("V")


class Received(NamedTuple):
    """Datagrams that came on one path: `size` octets in all, `each` in every one but the last, which may have
    fewer. `tos` is the TOS or traffic class of their IP headers.
    """

    size: int
    each: int
    path: Path
    tos: int


#: How `sendmsg` is told our address, and the peer's.
_Way = tuple[list[tuple[int, int, bytes]], tuple[str, int] | tuple[str, int, int, int]]


class UdpSocket:
    """A bound, non-blocking UDP socket. Raises OSError where it cannot be bound.

    `carries_esp` is what its paths say of it. `shared`: the port may have a socket of ours already.
    """

    def __init__(self, address: str, port: int, *, carries_esp: bool = True, shared: bool = False) -> None:
        self._carries_esp = carries_esp
        self._v6 = ip_address(address).version == 6
        self._socket = socket.socket(socket.AF_INET6 if self._v6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._prepare()
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
            self._socket.bind(socket_address(address, port))
        except OSError:
            self._socket.close()
            raise
        own = self._socket.getsockname()
        self.address: str = host_of(own)
        self.port: int = own[1]
        #: Failed sendings and receptions by errno name.
        self.errors: Counter[str] = Counter()
        self._together = self._has(_UDP_SEGMENT, 0)
        self._one_by_one: set[str] = set()
        self._too_large: set[str] = set()
        self._ways: dict[Path, _Way] = {}
        self._paths: dict[tuple[object, ...], Path] = {}
        # The path of the last datagram, which the next one mostly has, too.
        self._last: tuple[Path | None, _Way | None] = None, None

    def _prepare(self) -> None:
        self._socket.setblocking(False)
        for force, ask in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
            size = ESP_BUFFER if self._carries_esp else BUFFER
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, force, size)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, ask, size)
        if self._v6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        outer.prepare(self._socket)

    def split(self, port: Port) -> "UdpSocket":
        """A second socket on this port, for everything that is not IKE (`node.net.reuseport`).

        Raises OSError where the kernel cannot choose between them; then this one gets all, as before.
        """
        self._share(True)
        other = None
        try:
            other = UdpSocket(self.address, self.port, carries_esp=self._carries_esp, shared=True)
            reuseport.attach(self._socket, reuseport.program(port))
        except OSError:
            if other is not None:
                other.close()
            self._share(False)
            raise
        return other

    def _share(self, yes: bool) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, yes)

    def fileno(self) -> int:
        """The descriptor, for the event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def gather(self) -> bool:
        """From now on let the kernel put datagrams together, for `receive_into`. False where it cannot."""
        return self._has(_UDP_GRO, 1)

    def receive(self) -> tuple[bytes, Path] | None:
        """The next datagram and its path, or None where there is none now."""
        try:
            datagram, ancillary, _, source = self._socket.recvmsg(RECEIVE_SIZE, _ANCILLARY)
        except OSError as error:
            self._missed(error)
            return None
        own = next((octets for level, _, octets in ancillary if level != socket.IPPROTO_UDP), b"")
        return datagram, self._paths.get((source, own)) or self._new_path(ancillary, source, own)

    def receive_into(self, buffer: bytearray) -> Received | None:
        """The next datagrams that the kernel put together, or None where there are none now."""
        try:
            size, ancillary, _, source = self._socket.recvmsg_into([buffer], _ANCILLARY)
        except OSError as error:
            self._missed(error)
            return None
        each, tos, own = size, 0, b""
        for level, kind, octets in ancillary:
            if level == socket.IPPROTO_UDP:
                if kind == _UDP_GRO and len(octets) >= _GRO.size:
                    each = _GRO.unpack_from(octets)[0]
            elif (level, kind) in outer.TOS_KINDS:
                tos = octets[0] if len(octets) == 1 else outer.tos_of(ancillary)
            else:
                own = octets
        path = self._paths.get((source, own)) or self._new_path(ancillary, source, own)
        # As a call of `Received` makes it, without that call.
        return tuple.__new__(Received, (size, each if 0 < each < size else size, path, tos))

    def send(self, datagram: bytes, path: Path, tos: int = 0) -> bool:
        """Send on a path, from its local address, with this TOS or traffic class. False where the kernel
        refused, which is counted: also what is too large for the way.
        """
        known, way = self._last
        if path is known and way is not None and not tos:
            try:
                self._socket.sendmsg((datagram,), way[0], 0, way[1])
            except OSError:
                # Once more, and carefully: an error may be that of a datagram before.
                return self._send((datagram,), path)
            return True
        return self._send((datagram,), path, tos)

    def send_pieces(self, datagram: bytes, path: Path, tos: int = 0) -> bool:
        """As `send`, in fragments where the way is too narrow."""
        return self._send((datagram,), path, tos, Mode.PIECES)

    def send_many(self, parts: Sequence[bytes | memoryview], size: int, path: Path, tos: int = 0) -> bool:
        """Send datagrams of `size` octets, at most `MAX_DATAGRAMS` and `MAX_OCTETS` (node.esp.packet).

        Each of the parts holds one or more of them, and the last may be smaller. False where one was refused.
        """
        if self._together and path.peer_host not in self._one_by_one:
            try:
                own, target = self._way(path, tos)
                segment = (socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT.pack(size))
                self._socket.sendmsg(parts, [*own, segment], 0, target)
            except OSError as error:
                if error.errno in _NOT_TOGETHER:
                    # Too large for the way they are one by one, too; those that are made next are not.
                    if self._fits(size, path):
                        self._separate(path.peer_host)
                elif error.errno != errno.ENOBUFS:
                    self._count(error, sum(-(-len(part) // size) for part in parts))
                    return False
                # A full queue may still have room for some of them.
            else:
                return True
        ones = [memoryview(part)[at : at + size] for part in parts for at in range(0, len(part), size)]
        return all([self._send((one,), path, tos) for one in ones])

    def _send(
        self, parts: Sequence[bytes | memoryview], path: Path, tos: int = 0, mode: Mode = Mode.WHOLE
    ) -> bool:
        try:
            own, target = self._way(path, tos)
            try:
                self._socket.sendmsg(parts, own, 0, target)
            except OSError as error:
                least = LEAST_WAY[self.version] - OUTER[self.version]
                if error.errno != errno.EMSGSIZE or (mode is Mode.WHOLE and len(parts[0]) > least):
                    raise
                with outer.sending(self._socket, Mode.UNBELIEVING if mode is Mode.WHOLE else mode):
                    self._socket.sendmsg(parts, own, 0, target)
        except OSError as error:
            if error.errno == errno.EMSGSIZE and len(self._too_large) < MAX_REMEMBERED:
                self._too_large.add(path.peer_host)
            self._count(error)
            return False
        return True

    def path_mtu(self, path: Path) -> int:
        """Octets of the largest IP packet that leaves on `path` whole; 0 where the kernel does not know."""
        try:
            return outer.path_mtu(path)
        except OSError:
            # There is no route now, or no such address of ours: sending will say so, and count it.
            return 0

    def narrowed(self, path: Path) -> int:
        """As `path_mtu`, where the kernel has refused something as too large since this was asked last; else
        0.
        """
        if path.peer_host not in self._too_large:
            return 0
        self._too_large.discard(path.peer_host)
        return self.path_mtu(path)

    def _fits(self, size: int, path: Path) -> bool:
        """Whether datagrams of this size leave whole, as far as the kernel knows."""
        mtu = self.path_mtu(path)
        return not mtu or size + OUTER[self.version] <= mtu

    def _separate(self, host: str) -> None:
        """Send to this peer one by one; with very many such peers, to all."""
        self._one_by_one.add(host)
        self._together = len(self._one_by_one) <= MAX_REMEMBERED

    def _has(self, option: int, value: int) -> bool:
        try:
            self._socket.setsockopt(socket.IPPROTO_UDP, option, value)
        except OSError:
            return False
        return True

    def _missed(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._count(error)

    def _way(self, path: Path, tos: int = 0) -> _Way:
        """Raises OSError (ENODEV) where there is no such interface."""
        way = self._ways.get(path)
        if way is None:
            way = self._source(path.local_host), socket_address(path.peer_host, path.peer_port)
            # The number that the name of an interface stands for may change.
            if "%" not in path.peer_host:
                _remember(self._ways, path, way)
        else:
            self._last = path, way
        return ([*way[0], outer.tos(self._socket.family, tos)], way[1]) if tos else way

    def _new_path(self, ancillary: list[outer.Ancillary], source: tuple[str, int], own: bytes) -> Path:
        """The path of a datagram that came from there; `own` holds our address as the kernel tells it."""
        local = self._destination(ancillary) or unscoped(self.address)
        path = Path(local, self.port, host_of(source), source[1], self._carries_esp)
        if "%" not in path.peer_host:
            _remember(self._paths, (source, own), path)
        return path

    def path_to(self, host: str, port: int) -> Path:
        """The path on which datagrams to a peer leave: the kernel's choice of our address. Raises OSError."""
        if not ip_address(self.address).is_unspecified:
            return Path(unscoped(self.address), self.port, host, port, self._carries_esp)
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as probe:
            # Connecting a UDP socket sends nothing; it asks the routing table.
            probe.connect(socket_address(host, port))
            return Path(unscoped(probe.getsockname()[0]), self.port, host, port, self._carries_esp)

    def reaches(self, path: Path) -> bool:
        """Whether datagrams can leave on `path` from here: it is of our family."""
        return ip_address(path.local_host).version == self.version

    def owns(self, host: str) -> bool:
        """Whether datagrams can leave from this address."""
        try:
            address = ip_address(host)
        except ValueError:
            return False
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(socket_address(host, 0))
            except OSError:
                return False
        return address.version == self.version and not address.is_unspecified

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if self._v6 else 4

    def _count(self, error: OSError, times: int = 1) -> None:
        if error.errno not in _TRANSIENT:
            raise error
        self.errors[errno.errorcode.get(error.errno or 0, "unknown")] += times

    def _destination(self, ancillary: list[tuple[int, int, bytes]]) -> str | None:
        for level, kind, octets in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(octets) >= _PKTINFO4.size:
                return socket.inet_ntop(socket.AF_INET, _PKTINFO4.unpack_from(octets)[2])
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(octets) >= _PKTINFO6.size:
                return socket.inet_ntop(socket.AF_INET6, _PKTINFO6.unpack_from(octets)[0])
        return None

    def _source(self, host: str) -> list[tuple[int, int, bytes]]:
        if self._v6:
            packed = socket.inet_pton(socket.AF_INET6, unscoped(host))
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(packed, 0))]
        packed = socket.inet_pton(socket.AF_INET, host)
        return [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(0, packed, bytes(4)))]


def _remember(known: dict[K, V], key: K, value: V) -> None:
    """Never more than so many: whoever sends from many addresses makes us forget, and no more."""
    if len(known) >= MAX_REMEMBERED:
        known.clear()
    known[key] = value
