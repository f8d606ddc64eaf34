"""The requests of rtnetlink(7) that a TUN device needs: link, address, route, unreachable route.

Rules:

1. Each request asks for an acknowledgement; an error of the kernel is an OSError that says what was asked
   for.
2. Everything may be repeated: what exists already is replaced.

Messages are a 16-octet header (length, type, flags, sequence, port), a fixed struct, then attributes
(length, type, value, padded to 4 octets), all in host byte order.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface

# linux/netlink.h
_NLMSG_ERROR = 2
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_REPLACE, _NLM_F_CREATE = 0x001, 0x004, 0x100, 0x400
# linux/rtnetlink.h
_RTM_NEWLINK, _RTM_NEWADDR, _RTM_DELADDR, _RTM_NEWROUTE = 16, 20, 21, 24
_RTA_DST, _RTA_OIF, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 6, 7
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST, _RTN_UNREACHABLE = 254, 4, 1, 7
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 0, 253
# linux/if_addr.h, linux/if_link.h, linux/if.h
_IFA_ADDRESS, _IFA_LOCAL, _IFA_F_NODAD = 1, 2, 0x02
_IFLA_MTU, _IFLA_AF_SPEC, _IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_MODE_NONE = 4, 26, 8, 1
_IFLA_GSO_MAX_SEGS, _IFLA_GSO_MAX_SIZE, _IFLA_GSO_IPV4_MAX_SIZE = 40, 41, 63
_IFF_UP = 0x1

_HEADER = struct.Struct("=IHHII")
_ERROR = struct.Struct("=i")
#: struct ifinfomsg: family, pad, type, index, flags, change mask.
_LINK = struct.Struct("=BxHiII")
#: struct ifaddrmsg: family, prefix length, flags, scope, index.
_ADDRESS = struct.Struct("=BBBBI")
#: struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags.
_ROUTE = struct.Struct("=BBBBBBBBI")

#: Octets of an answer: an acknowledgement is 36, an error repeats our request.
_ANSWER = 8192
#: Seconds to wait for the kernel, which answers at once.
_PATIENCE = 5.0


class Netlink:
    """A connection to the kernel's routing tables; a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(_PATIENCE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def link_up(self, index: int, mtu: int) -> None:
        """Set the MTU, keep the kernel from giving the link an IPv6 address of its own, and bring it up."""
        mode = _attribute(_IFLA_INET6_ADDR_GEN_MODE, bytes([_ADDR_GEN_MODE_NONE]))
        quiet = _attribute(_IFLA_AF_SPEC, _attribute(socket.AF_INET6, mode))
        # A kernel without IPv6 has nothing to keep quiet, and says so.
        with contextlib.suppress(OSError):
            fixed = _LINK.pack(0, 0, index, 0, 0)
            self._request(_RTM_NEWLINK, 0, fixed + quiet, "no IPv6 address of its own")
        body = _LINK.pack(0, 0, index, _IFF_UP, _IFF_UP) + _attribute(_IFLA_MTU, struct.pack("=I", mtu))
        self._request(_RTM_NEWLINK, 0, body, f"link {index} up, MTU {mtu}")

    def bound_segments(self, index: int, segments: int, size: int) -> None:
        """Let a packet that we are to cut have no more segments than this, and no more octets.

        IPv4 has a bound of its own since Linux 6.3.
        """
        fixed = _LINK.pack(0, 0, index, 0, 0)
        names = (_IFLA_GSO_MAX_SEGS, segments), (_IFLA_GSO_MAX_SIZE, size), (_IFLA_GSO_IPV4_MAX_SIZE, size)
        for kind, value in names:
            body = fixed + _attribute(kind, struct.pack("=I", value))
            self._request(_RTM_NEWLINK, 0, body, f"link {index}: at most {segments} segments")

    def add_address(self, index: int, interface: Interface) -> None:
        """Give a link an address, as a host: routes are added one by one, on purpose."""
        flags = _NLM_F_CREATE | _NLM_F_REPLACE
        self._request(_RTM_NEWADDR, flags, _address(index, interface), f"address {interface.ip}")

    def remove_address(self, index: int, interface: Interface) -> None:
        """Take an address away from a link; with the last one of IPv4 the kernel drops the link's routes."""
        self._request(_RTM_DELADDR, 0, _address(index, interface), f"no address {interface.ip}")

    def add_route(self, network: Network, index: int, source: Interface, metric: int) -> None:
        """Route a network into a link, from our inner address."""
        fixed = self._route(network, _RT_SCOPE_LINK, _RTN_UNICAST)
        body = fixed + _attribute(_RTA_OIF, struct.pack("=I", index)) + _metric(metric)
        if source.version == network.version:
            body += _attribute(_RTA_PREFSRC, source.ip.packed)
        self._request(_RTM_NEWROUTE, _NLM_F_CREATE | _NLM_F_REPLACE, body, f"route to {network}")

    def add_unreachable(self, network: Network, metric: int) -> None:
        """Refuse a network wherever no route of a lower metric takes it."""
        body = self._route(network, _RT_SCOPE_UNIVERSE, _RTN_UNREACHABLE) + _metric(metric)
        self._request(_RTM_NEWROUTE, _NLM_F_CREATE | _NLM_F_REPLACE, body, f"unreachable route to {network}")

    def _route(self, network: Network, scope: int, kind: int) -> bytes:
        family = _family(network.version)
        fixed = _ROUTE.pack(family, network.prefixlen, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, kind, 0)
        return fixed + _attribute(_RTA_DST, network.network_address.packed)

    def _request(self, kind: int, flags: int, body: bytes, what: str) -> None:
        self._sequence += 1
        length = _HEADER.size + len(body)
        flags |= _NLM_F_REQUEST | _NLM_F_ACK
        self._socket.send(_HEADER.pack(length, kind, flags, self._sequence, 0) + body)
        code = self._acknowledgement()
        if code:
            raise OSError(code, f"{os.strerror(code)} ({what})")

    def _acknowledgement(self) -> int:
        while True:
            for kind, sequence, body in _messages(self._socket.recv(_ANSWER)):
                if kind == _NLMSG_ERROR and sequence == self._sequence:
                    return -int(_ERROR.unpack_from(body)[0])


def _address(index: int, interface: Interface) -> bytes:
    packed = interface.ip.packed
    fixed = _ADDRESS.pack(_family(interface.version), interface.max_prefixlen, _IFA_F_NODAD, 0, index)
    return fixed + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)


def _messages(octets: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(octets):
        length, kind, _, sequence, _ = _HEADER.unpack_from(octets, offset)
        if length < _HEADER.size:
            return
        yield kind, sequence, octets[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + bytes(-length % 4)


def _metric(metric: int) -> bytes:
    return _attribute(_RTA_PRIORITY, struct.pack("=I", metric))


def _family(version: int) -> int:
    return int(socket.AF_INET if version == 4 else socket.AF_INET6)
