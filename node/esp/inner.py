"""A bounded look into inner IPv4 and IPv6 packets: as much as traffic selectors need, and no more.

Rules:

1. Everything read lies inside the packet's own total length; a packet that contradicts itself is DecodeError.
2. The walk over IPv6 extension headers is bounded.
3. Ports that cannot be seen (later fragments, cut-off headers) are `NO_PORT`, which matches only "any port"
   (RFC 4301 7.2). An upper-layer protocol that cannot be seen is `NO_PROTOCOL`, which matches only "any".
4. Checksums and options are the business of the host behind the tunnel.
"""

import struct
from typing import Final, NamedTuple

from node.errors import DecodeError, DropReason

IPV4_HEADER: Final = 20
IPV6_HEADER: Final = 40

#: Where source and destination address lie, next to each other, in either header.
IPV4_ADDRESSES: Final = slice(12, 20)
IPV6_ADDRESSES: Final = slice(8, 40)

#: The largest inner packet that still fits a UDP datagram (65,507 octets) with ESP header, IV, padding and
#: ICV.
MAX_PACKET: Final = 65_400

#: RFC 8200 4.1 names eight places for extension headers; a longer chain is an attack on whoever walks it.
MAX_EXTENSION_HEADERS: Final = 8

#: Neither can appear on the wire, so neither falls into any range of a selector.
NO_PORT: Final = -1
NO_PROTOCOL: Final = -1

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
ICMPV6: Final = 58
MOBILITY: Final = 135

_PORTED: Final = frozenset({TCP, UDP, 33, 132, 136})  # and DCCP, SCTP, UDP-Lite: all begin with the two ports
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AH, _DESTINATION = 0, 43, 44, 51, 60
_EXTENSIONS: Final = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AH, _DESTINATION})
_PORTS: Final = struct.Struct("!HH")

#: Version octet, total length (IPv4), payload length (IPv6).
_LENGTHS: Final = struct.Struct("!BxHH")


class Flow(NamedTuple):
    """What selectors judge of a packet: address octets, upper-layer protocol, and the ports.

    For ICMP both ports are type * 256 + code, for the Mobility Header type * 256 (RFC 7296 3.13.1).
    """

    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int


def total_length(packet: bytes | memoryview) -> int:
    """Octets of the IP packet at the start of `packet`; what follows is traffic flow confidentiality padding.

    Raises DecodeError (INNER_MALFORMED) where the fixed header is not there or contradicts the octets.
    """
    size = len(packet)
    if size >= IPV4_HEADER:
        first: int
        length: int
        payload: int
        first, length, payload = _LENGTHS.unpack_from(packet)
        version = first >> 4
        if version == 4:
            if IPV4_HEADER <= (first & 15) << 2 <= length <= size:
                return length
        elif version == 6 and IPV6_HEADER + payload <= size:
            return IPV6_HEADER + payload
    raise _malformed(packet)


def addresses(packet: bytes) -> bytes:
    """Source and destination address, 8 or 32 octets, of a packet that `total_length` accepted."""
    return packet[IPV4_ADDRESSES] if packet[0] >> 4 == 4 else packet[IPV6_ADDRESSES]


def flow(packet: bytes) -> Flow:
    """What selectors need of a packet that `total_length` accepted. Raises DecodeError (INNER_MALFORMED)."""
    return _flow4(packet) if packet[0] >> 4 == 4 else _flow6(packet)


def _flow4(packet: bytes) -> Flow:
    source, destination, protocol = packet[12:16], packet[16:20], packet[9]
    if (packet[6] & 0x1F) << 8 | packet[7]:
        return Flow(source, destination, protocol, NO_PORT, NO_PORT)
    end = packet[2] << 8 | packet[3]
    return Flow(source, destination, protocol, *_ports(packet, protocol, (packet[0] & 15) << 2, end))


def _flow6(packet: bytes) -> Flow:
    source, destination, protocol = packet[8:24], packet[24:40], packet[6]
    offset, end = IPV6_HEADER, IPV6_HEADER + (packet[4] << 8 | packet[5])
    for _ in range(MAX_EXTENSION_HEADERS + 1):
        if protocol not in _EXTENSIONS:
            return Flow(source, destination, protocol, *_ports(packet, protocol, offset, end))
        if offset + 8 > end:
            raise DecodeError(
                DropReason.INNER_MALFORMED, "inner", f"extension header {protocol} is cut off", offset
            )
        following = packet[offset]
        if protocol == _FRAGMENT and (packet[offset + 2] << 8 | packet[offset + 3]) >> 3:
            return Flow(source, destination, _visible(following), NO_PORT, NO_PORT)
        offset += _extension_size(protocol, packet[offset + 1])
        protocol = following
    raise DecodeError(
        DropReason.INNER_MALFORMED, "inner", f"more than {MAX_EXTENSION_HEADERS} extension headers", offset
    )


def _extension_size(kind: int, length: int) -> int:
    if kind == _FRAGMENT:
        return 8
    return (length + 2) * 4 if kind == _AH else (length + 1) * 8


def _visible(protocol: int) -> int:
    """The protocol a later fragment names, unless that is an extension header in front of the real one."""
    return NO_PROTOCOL if protocol in _EXTENSIONS else protocol


def _ports(packet: bytes, protocol: int, offset: int, end: int) -> tuple[int, int]:
    if protocol in _PORTED:
        if offset + 4 <= end:
            source, destination = _PORTS.unpack_from(packet, offset)
            return source, destination
    elif protocol in (ICMP, ICMPV6):
        if offset + 2 <= end:
            kind = packet[offset] << 8 | packet[offset + 1]
            return kind, kind
    elif protocol == MOBILITY and offset + 3 <= end:
        kind = packet[offset + 2] << 8
        return kind, kind
    return NO_PORT, NO_PORT


def _malformed(packet: bytes | memoryview) -> DecodeError:
    if not packet:
        return DecodeError(DropReason.INNER_MALFORMED, "inner", "it is empty")
    text = f"{len(packet)} octets, version {packet[0] >> 4}, lengths that do not fit"
    return DecodeError(DropReason.INNER_MALFORMED, "inner", text)
