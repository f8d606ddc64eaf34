"""Octets of the few IP packets that the user-space host makes and reads: IPv4, IPv6, UDP, ICMP echo.

Rules:

1. What is made has right checksums; what is read must have them. A packet that is anything else reads as
   None.
2. No fragments in either direction, and no IPv6 extension headers.
3. IPv4 options are never acted upon; a packet with a source route, or options that cannot be walked, reads
   as None.
"""

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from node.errors import DecodeError
from node.esp.inner import ICMP, ICMPV6, IPV4_HEADER, IPV6_HEADER, UDP, total_length
from node.model.selectors import IPAddress

#: Hop limit of what we send (RFC 1700 "IP time to live").
HOP_LIMIT: Final = 64

UDP_HEADER: Final = struct.Struct("!HHHH")
ICMP_ECHO: Final = struct.Struct("!BBHHH")

_IPV4: Final = struct.Struct("!BBHHHBBH4s4s")
_IPV6: Final = struct.Struct("!IHBB16s16s")
_DONT_FRAGMENT: Final = 0x4000
_MORE_OR_OFFSET: Final = 0x3FFF
_END_OF_OPTIONS, _NO_OPERATION = 0, 1
_SOURCE_ROUTES: Final = frozenset({131, 137})  # loose and strict (RFC 791 3.1)

#: ICMP type of an echo request and of its reply, by IP version (RFC 792, RFC 4443 4).
ECHO_REQUEST: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}


@dataclass(frozen=True, slots=True)
class Packet:
    """An unfragmented IP packet: its two ends, the upper-layer protocol and that protocol's octets."""

    source: IPAddress
    destination: IPAddress
    protocol: int
    body: bytes


@dataclass(frozen=True, slots=True)
class UdpDatagram:
    """A UDP datagram with the addresses of its packet."""

    source: IPAddress
    destination: IPAddress
    source_port: int
    destination_port: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Echo:
    """An ICMP echo message, request or reply."""

    is_request: bool
    identifier: int
    sequence: int
    data: bytes


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071) over `octets`; 0 over octets that hold a right one."""
    if len(octets) & 1:
        octets += b"\0"
    total = int.from_bytes(octets)
    # 2**16 is 1 modulo 65,535, so the remainder is the folded sum; a folded sum of 65,535 shows as 0.
    return 65535 - (total % 65535 or (65535 if total else 0))


def pack(source: IPAddress, destination: IPAddress, protocol: int, body: bytes) -> bytes:
    """An IP packet around `body`. Both addresses are of one family."""
    if source.version == 4:
        size = IPV4_HEADER + len(body)
        fields = (0x45, 0, size, 0, _DONT_FRAGMENT, HOP_LIMIT, protocol)
        header = _IPV4.pack(*fields, 0, source.packed, destination.packed)
        return header[:10] + checksum(header).to_bytes(2) + header[12:] + body
    return _IPV6.pack(6 << 28, len(body), protocol, HOP_LIMIT, source.packed, destination.packed) + body


def unpack(packet: bytes) -> Packet | None:
    """The packet, or None where it is malformed, a fragment, source-routed, or its header checksum is
    wrong.
    """
    try:
        end = total_length(packet)
    except DecodeError:
        return None
    if packet[0] >> 4 == 6:
        source, destination = ip_address(packet[8:24]), ip_address(packet[24:40])
        return Packet(source, destination, packet[6], packet[IPV6_HEADER:end])
    size = (packet[0] & 15) << 2
    fragment = int.from_bytes(packet[6:8]) & _MORE_OR_OFFSET
    if fragment or checksum(packet[:size]) or _source_routed(packet[IPV4_HEADER:size]):
        return None
    return Packet(ip_address(packet[12:16]), ip_address(packet[16:20]), packet[9], packet[size:end])


def udp_port(packet: bytes) -> int | None:
    """The destination port of a packet that `total_length` accepted, where it is UDP without IPv6 extension
    headers: a few octets, cheap enough for every packet.
    """
    offset = _behind_header(packet, UDP, UDP)
    return None if offset is None else int.from_bytes(packet[offset + 2 : offset + 4])


def echo_reply(packet: bytes) -> int | None:
    """The identifier of a packet that `total_length` accepted, where it looks like an ICMP echo reply;
    nothing is verified.
    """
    offset = _behind_header(packet, ICMP, ICMPV6)
    if offset is None or packet[offset : offset + 1] != bytes([ECHO_REPLY[packet[0] >> 4]]):
        return None
    return int.from_bytes(packet[offset + 4 : offset + 6])


def _behind_header(packet: bytes, protocol4: int, protocol6: int) -> int | None:
    """Where the protocol of the packet begins, where it is the one of its IP version that is given."""
    if packet[0] >> 4 == 4:
        return (packet[0] & 15) * 4 if packet[9] == protocol4 else None
    return IPV6_HEADER if packet[6] == protocol6 else None


def pack_udp(
    source: IPAddress, destination: IPAddress, source_port: int, destination_port: int, payload: bytes
) -> bytes:
    """An IP packet with a UDP datagram (RFC 768)."""
    length = UDP_HEADER.size + len(payload)
    header = UDP_HEADER.pack(source_port, destination_port, length, 0)
    # 0 would mean "no checksum", so its other form is sent.
    total = checksum(_pseudo(source, destination, UDP, length) + header + payload) or 65535
    return pack(source, destination, UDP, header[:6] + total.to_bytes(2) + payload)


def read_udp(packet: Packet) -> UdpDatagram | None:
    """The UDP datagram in a packet, or None. IPv6 demands a checksum, IPv4 allows none (RFC 8200 8.1, RFC
    768).
    """
    if packet.protocol != UDP or len(packet.body) < UDP_HEADER.size:
        return None
    source_port, destination_port, length, given = UDP_HEADER.unpack_from(packet.body)
    if not UDP_HEADER.size <= length <= len(packet.body):
        return None
    octets = packet.body[:length]
    if given:
        if checksum(_pseudo(packet.source, packet.destination, UDP, length) + octets):
            return None
    elif packet.source.version == 6:
        return None
    payload = octets[UDP_HEADER.size :]
    return UdpDatagram(packet.source, packet.destination, source_port, destination_port, payload)


def pack_echo(source: IPAddress, destination: IPAddress, echo: Echo) -> bytes:
    """An IP packet with an ICMP or ICMPv6 echo message."""
    kind = (ECHO_REQUEST if echo.is_request else ECHO_REPLY)[source.version]
    body = ICMP_ECHO.pack(kind, 0, 0, echo.identifier, echo.sequence) + echo.data
    protocol = ICMP if source.version == 4 else ICMPV6
    return pack(source, destination, protocol, icmp(source, destination, body))


def icmp(source: IPAddress, destination: IPAddress, body: bytes) -> bytes:
    """An ICMP or ICMPv6 message with its checksum, which is zero in `body`."""
    total = checksum(_icmp_prefix(source, destination, len(body)) + body)
    return body[:2] + total.to_bytes(2) + body[4:]


def read_echo(packet: Packet) -> Echo | None:
    """The echo message in a packet, or None."""
    version = packet.source.version
    if packet.protocol != (ICMP if version == 4 else ICMPV6) or len(packet.body) < ICMP_ECHO.size:
        return None
    if checksum(_icmp_prefix(packet.source, packet.destination, len(packet.body)) + packet.body):
        return None
    kind, code, _, identifier, sequence = ICMP_ECHO.unpack_from(packet.body)
    if code or kind not in (ECHO_REQUEST[version], ECHO_REPLY[version]):
        return None
    return Echo(kind == ECHO_REQUEST[version], identifier, sequence, packet.body[ICMP_ECHO.size :])


def udp_payload(packet: bytes, port: int) -> bytes | None:
    """The payload of an inner packet that is a whole, right UDP datagram to `port`, or None."""
    whole = unpack(packet)
    datagram = read_udp(whole) if whole else None
    return datagram.payload if datagram and datagram.destination_port == port else None


def _pseudo(source: IPAddress, destination: IPAddress, protocol: int, length: int) -> bytes:
    """The pseudo-header; the widths differ between RFC 768 and RFC 8200 8.1, the sum does not."""
    return source.packed + destination.packed + struct.pack("!II", length, protocol)


def _icmp_prefix(source: IPAddress, destination: IPAddress, length: int) -> bytes:
    return b"" if source.version == 4 else _pseudo(source, destination, ICMPV6, length)


def _source_routed(options: bytes) -> bool:
    """True where the options hold a source route, or cannot be walked. At most 40 octets."""
    offset = 0
    while offset < len(options) and options[offset] != _END_OF_OPTIONS:
        kind = options[offset]
        if kind in _SOURCE_ROUTES:
            return True
        if kind == _NO_OPERATION:
            offset += 1
            continue
        length = options[offset + 1] if offset + 1 < len(options) else 0
        if length < 2:
            return True
        offset += length
    return False
