"""What a UDP socket writes into the outer IP header beside addresses, and reads from it: DF, TOS (IPv6:
traffic class).

    WHOLE        DF; the kernel refuses (EMSGSIZE) what is larger than the path MTU that it knows
    UNBELIEVING  DF; only what the device cannot carry is refused, whatever the path MTU
    PIECES       fragments where they are needed

The path MTU is the kernel's: it takes an ICMP message only about a datagram that one of our sockets may have
sent to that address, and forgets it after ten minutes (net.ipv4.route.mtu_expires).
"""

import contextlib
import socket
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final

from node.model.message import Path
from node.net.hosts import socket_address

Ancillary = tuple[int, int, bytes]

# linux/in.h, linux/in6.h
_IP_TOS, _IP_RECVTOS, _IP_MTU_DISCOVER, _IP_MTU = 1, 13, 10, 14
_IPV6_MTU_DISCOVER, _IPV6_MTU, _IPV6_RECVTCLASS, _IPV6_TCLASS = 23, 24, 66, 67
_INT: Final = struct.Struct("=i")

#: Octets of ancillary data with the TOS of a datagram.
TOS_SPACE: Final = socket.CMSG_SPACE(_INT.size)
#: Level and kind of that.
TOS_KINDS: Final = frozenset({(socket.IPPROTO_IP, _IP_TOS), (socket.IPPROTO_IPV6, _IPV6_TCLASS)})


class Mode(IntEnum):
    """What becomes of a datagram that is too large: IP_PMTUDISC_DONT, _DO, _PROBE."""

    PIECES = 0
    WHOLE = 2
    UNBELIEVING = 3


def prepare(end: socket.socket) -> None:
    """Send whole, and hear of each datagram's TOS."""
    if end.family == socket.AF_INET6:
        end.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVTCLASS, 1)
    else:
        end.setsockopt(socket.IPPROTO_IP, _IP_RECVTOS, 1)
    _set(end, Mode.WHOLE)


@contextlib.contextmanager
def sending(end: socket.socket, mode: Mode) -> Iterator[None]:
    """Send so for a moment."""
    _set(end, mode)
    try:
        yield
    finally:
        _set(end, Mode.WHOLE)


def tos(family: int, octet: int) -> Ancillary:
    """Makes one datagram, or those of one call, leave with this TOS or traffic class."""
    if family == socket.AF_INET6:
        return socket.IPPROTO_IPV6, _IPV6_TCLASS, _INT.pack(octet)
    return socket.IPPROTO_IP, _IP_TOS, _INT.pack(octet)


def tos_of(ancillary: Sequence[Ancillary]) -> int:
    """The TOS or traffic class that a datagram came with; 0 where the kernel did not say."""
    for level, kind, octets in ancillary:
        if (level, kind) in TOS_KINDS:
            # One octet of IPv4, a number of IPv6.
            return octets[0] if len(octets) == 1 else _INT.unpack_from(octets)[0] & 0xFF
    return 0


def path_mtu(path: Path) -> int:
    """Octets of the largest IP packet that the kernel sends on `path` whole. Raises OSError."""
    with socket.socket(_family(path), socket.SOCK_DGRAM) as probe:
        probe.bind(socket_address(path.local_host, 0))
        # Connecting a UDP socket sends nothing; it asks the routing table.
        probe.connect(socket_address(path.peer_host, path.peer_port))
        if probe.family == socket.AF_INET6:
            return probe.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
        return probe.getsockopt(socket.IPPROTO_IP, _IP_MTU)


def _family(path: Path) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in path.peer_host else socket.AF_INET


def _set(end: socket.socket, mode: Mode) -> None:
    if end.family == socket.AF_INET6:
        end.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, mode)
    else:
        end.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
