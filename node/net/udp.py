"""One UDP socket that knows which of our addresses each datagram came to.

Rules:

1. An answer leaves from the address the request came to (IP_PKTINFO, IPV6_PKTINFO).
2. Errors of the network never end the node: they are counted by name.
"""

import errno
import socket
import struct
from collections import Counter
from ipaddress import ip_address

from node.model.message import Path
from node.net.hosts import host_of, socket_address, unscoped

#: The largest UDP payload there is, and one more so that nothing is cut unseen.
RECEIVE_SIZE = 65_535
#: Socket buffers in octets: some hundred full datagrams while the process is busy with an exponentiation.
BUFFER = 1024 * 1024

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


class UdpSocket:
    """A bound, non-blocking UDP socket. Raises OSError where it cannot be bound.

    `carries_esp` is what its paths say of it.
    """

    def __init__(self, address: str, port: int, *, carries_esp: bool = True) -> None:
        self._carries_esp = carries_esp
        self._v6 = ip_address(address).version == 6
        self._socket = socket.socket(socket.AF_INET6 if self._v6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._prepare()
            self._socket.bind(socket_address(address, port))
        except OSError:
            self._socket.close()
            raise
        own = self._socket.getsockname()
        self.address: str = host_of(own)
        self.port: int = own[1]
        #: Failed sendings and receptions by errno name.
        self.errors: Counter[str] = Counter()

    def _prepare(self) -> None:
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        if self._v6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def fileno(self) -> int:
        """The descriptor, for the event loop."""
        return self._socket.fileno()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def receive(self) -> tuple[bytes, Path] | None:
        """The next datagram and its path, or None where there is none now."""
        try:
            datagram, ancillary, _, source = self._socket.recvmsg(RECEIVE_SIZE, 64)
        except BlockingIOError:
            return None
        except OSError as error:
            self._count(error)
            return None
        local = self._destination(ancillary) or unscoped(self.address)
        return datagram, Path(local, self.port, host_of(source), source[1], self._carries_esp)

    def send(self, datagram: bytes, path: Path) -> bool:
        """Send on a path, from its local address. False where the kernel refused, which is counted."""
        try:
            target = socket_address(path.peer_host, path.peer_port)
            self._socket.sendmsg([datagram], self._source(path.local_host), 0, target)
        except OSError as error:
            self._count(error)
            return False
        return True

    def path_to(self, host: str, port: int) -> Path:
        """The path on which datagrams to a peer leave: the kernel's choice of our address. Raises OSError."""
        if not ip_address(self.address).is_unspecified:
            return Path(unscoped(self.address), self.port, host, port, self._carries_esp)
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as probe:
            # Connecting a UDP socket sends nothing; it asks the routing table.
            probe.connect(socket_address(host, port))
            return Path(unscoped(probe.getsockname()[0]), self.port, host, port, self._carries_esp)

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

    def _count(self, error: OSError) -> None:
        if error.errno not in _TRANSIENT:
            raise error
        self.errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1

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
