"""UDP sockets of the relay: what a datagram needs besides its octets, and which errors are the network's.

A listening socket knows to which of our addresses a datagram came, and answers from there (IP_PKTINFO,
IPV6_PKTINFO). What the network or the kernel says about one datagram is counted by name and ends nothing.
"""

import errno
import socket
import struct
from collections import Counter
from typing import Any

#: The largest UDP payload there is.
RECEIVE_SIZE = 65_535
#: Socket buffers in octets, as far as the host allows: some hundred datagrams while faults are looked at.
BUFFER = 1 << 20

#: linux/in.h; the socket module of Python 3.11 does not have it.
_IP_PKTINFO = 8
#: struct in_pktinfo: interface index, address to send from, destination of the header.
_PKTINFO4 = struct.Struct("=I4s4s")
#: struct in6_pktinfo: address, interface index.
_PKTINFO6 = struct.Struct("=16sI")
_TRANSIENT = frozenset(
    {errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, errno.EACCES, errno.EMSGSIZE}
    | {errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
    | {errno.EINVAL, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ENONET, errno.ETIMEDOUT, errno.EOPNOTSUPP}
    | {errno.EADDRNOTAVAIL, errno.EPROTO, errno.ENOPROTOOPT, errno.EAFNOSUPPORT}
)

#: The address tuple of the socket module; for IPv6 with flow and scope.
SocketAddress = tuple[Any, ...]


def note(error: OSError, errors: "Counter[str]") -> None:
    """Count what the network says about one datagram; raise anything else again."""
    if error.errno not in _TRANSIENT:
        raise error
    errors[errno.errorcode.get(error.errno or 0, "unknown")] += 1


def opened(version: int, address: str, port: int) -> socket.socket:
    """A bound, non-blocking UDP socket. Raises OSError."""
    made = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        if version == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
    except OSError:
        made.close()
        raise
    return made


class Listener:
    """A socket that initiators send to. Raises OSError where it cannot be bound."""

    def __init__(self, version: int, address: str, port: int, errors: "Counter[str]") -> None:
        self._version, self._errors = version, errors
        self.port = port
        self.socket = opened(version, address, port)
        if version == 6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            self.socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def receive(self) -> tuple[bytes, SocketAddress, str] | None:
        """Octets, their source, and our address they came to; None where there is nothing now."""
        try:
            octets, ancillary, _, source = self.socket.recvmsg(RECEIVE_SIZE, 64)
        except BlockingIOError:
            return None
        except OSError as error:
            note(error, self._errors)
            return None
        return octets, source, self._destination(ancillary)

    def send(self, octets: bytes, target: SocketAddress, own: str) -> None:
        """Send from one of our addresses."""
        try:
            self.socket.sendmsg([octets], self._source(own), 0, target)
        except OSError as error:
            note(error, self._errors)

    def close(self) -> None:
        """Give the port back."""
        self.socket.close()

    def _destination(self, ancillary: list[tuple[int, int, bytes]]) -> str:
        for level, kind, octets in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO) and len(octets) >= _PKTINFO4.size:
                return socket.inet_ntop(socket.AF_INET, _PKTINFO4.unpack_from(octets)[2])
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(octets) >= _PKTINFO6.size:
                return socket.inet_ntop(socket.AF_INET6, _PKTINFO6.unpack_from(octets)[0])
        return ""

    def _source(self, own: str) -> list[tuple[int, int, bytes]]:
        if not own:
            return []
        if self._version == 6:
            packed = socket.inet_pton(socket.AF_INET6, own)
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO6.pack(packed, 0))]
        packed = socket.inet_pton(socket.AF_INET, own)
        return [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO4.pack(0, packed, bytes(4)))]
