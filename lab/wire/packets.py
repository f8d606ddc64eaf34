"""IP packets with UDP in them, as they would be without a relay: headers and both checksums (RFC 1071).

IPv4   RFC 791, no options, DF         IPv6   RFC 8200, no extension headers        UDP   RFC 768
"""

import socket
import struct
from dataclasses import dataclass

_UDP = 17
_HOPS = 64
_DONT_FRAGMENT = 0x4000
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_IPV6 = struct.Struct(">IHBB16s16s")
_PORTS = struct.Struct(">HHHH")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a UDP port."""

    address: str
    port: int

    def __str__(self) -> str:
        """`192.0.2.1:8000` or `[2001:db8::1]:8000`."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def packet(source: Endpoint, target: Endpoint, octets: bytes) -> bytes:
    """The IP packet that carries these octets. Raises ValueError where they do not fit in one, or the
    addresses are not of one family.
    """
    family = socket.AF_INET6 if ":" in source.address else socket.AF_INET
    if (":" in target.address) != (":" in source.address) or _PORTS.size + len(octets) > 0xFFFF:
        raise ValueError(f"{source} to {target}, {len(octets)} octets: no packet can be like this")
    sender, receiver = (socket.inet_pton(family, end.address) for end in (source, target))
    datagram = _datagram(sender, receiver, source.port, target.port, octets)
    if family == socket.AF_INET6:
        return _IPV6.pack(6 << 28, len(datagram), _UDP, _HOPS, sender, receiver) + datagram
    length = _IPV4.size + len(datagram)
    if length > 0xFFFF:
        raise ValueError(f"{len(octets)} octets do not fit in an IPv4 packet")
    header = _IPV4.pack(0x45, 0, length, 0, _DONT_FRAGMENT, _HOPS, _UDP, 0, sender, receiver)
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + datagram


def _datagram(sender: bytes, receiver: bytes, source: int, target: int, octets: bytes) -> bytes:
    length = _PORTS.size + len(octets)
    pseudo = sender + receiver + struct.pack(">IHBB", length, 0, 0, _UDP)
    found = checksum(pseudo + _PORTS.pack(source, target, length, 0) + octets)
    # 0 says that there is none (RFC 768): a sum of 0 is written as its other form.
    return _PORTS.pack(source, target, length, found or 0xFFFF) + octets


def checksum(octets: bytes) -> int:
    """The Internet checksum: the complement of the ones' complement sum of 16-bit words."""
    if len(octets) % 2:
        octets += b"\0"
    # A number in base 2^16 is congruent to the sum of its digits modulo 2^16 - 1.
    value = int.from_bytes(octets)
    folded = value % 0xFFFF
    # The sum is 0 only where every word is; else its zero is written as 0xffff.
    return 0xFFFF if not value else 0xFFFF - (folded or 0xFFFF)
