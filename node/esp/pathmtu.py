"""Inner packets that are too large for the way: told to their sender, or cut (RFC 4301 8, RFC 1191, 8201).

Rules:

1. Outer packets are never fragmented on the way: what leaves is made to fit, so there is no black hole.
2. A packet that must not be cut (DF, and every IPv6 packet) is answered with the size that fits. The answer
   comes from the packet's own destination: no router is to be seen inside a tunnel.
3. No error answers an error, a later fragment, or a packet from or to what is no single host (RFC 1122 3.2.2,
   RFC 4443 2.4).
4. An IPv6 packet of 1280 octets or fewer fits every link (RFC 8200 5). Where the way has no room for it in a
   tunnel, and only there, the outer packet is cut (RFC 2473 7.1).

Packets are such that `inner.total_length` accepted.
"""

import struct
from ipaddress import ip_address
from typing import Final

from node.errors import LocalMisuse
from node.esp.inner import ICMP, ICMPV6, IPV4_HEADER, IPV6_HEADER, total_length
from node.esp.ip import checksum, icmp, pack
from node.esp.packet import HEADER_SIZE, TRAILER_SIZE, alignment
from node.model.selectors import is_host
from node.ports import Sealer

#: Octets that every way carries inside a tunnel (RFC 791 3.2, RFC 8200 5): no smaller size is told.
LEAST: Final = {4: 68, 6: 1280}
#: Octets of IP and UDP header around ESP, by the outer IP version.
OUTER: Final = {4: IPV4_HEADER + 8, 6: IPV6_HEADER + 8}

#: Type and code of "too big", and the octets that such a message has at most (RFC 792, RFC 1812 4.3.2.3,
#: RFC 4443 3.2).
_TOO_BIG: Final = {4: (3, 4), 6: (2, 0)}
_ANSWER: Final = {4: 576, 6: 1280}
#: Errors of ICMP (RFC 1122 3.2.2); those of ICMPv6 are all types below 128.
_ERRORS4: Final = frozenset({3, 4, 5, 11, 12})
_DONT_FRAGMENT, _MORE, _OFFSET = 0x4000, 0x2000, 0x1FFF
_COPIED: Final = 0x80
_FRAGMENT: Final = 44


def inner_mtu(path_mtu: int, version: int, sealer: Sealer) -> int:
    """Octets of the largest inner packet that leaves in one outer packet of `path_mtu` octets.

    `version` is that of the outer IP header.
    """
    align = alignment(sealer.block)
    room = path_mtu - OUTER[version] - HEADER_SIZE - sealer.sealed_len(0)
    return max(room // align * align - TRAILER_SIZE, 0)


def may_cut(packet: bytes) -> bool:
    """Whether a packet may be cut into fragments on its way (RFC 791 2.3)."""
    return packet[0] >> 4 == 4 and not int.from_bytes(packet[6:8]) & _DONT_FRAGMENT


def must_fit(packet: bytes) -> bool:
    """Whether a packet may neither be cut nor be refused, whatever the way: IPv6, and no larger than that."""
    return packet[0] >> 4 == 6 and len(packet) <= LEAST[6]


def too_big(packet: bytes, mtu: int) -> bytes | None:
    """The packet that tells the sender of `packet` what fits; None where nothing may be told."""
    version = packet[0] >> 4
    if not _answerable(packet):
        return None
    ends = packet[12:20] if version == 4 else packet[8:40]
    source, target = ip_address(ends[: len(ends) // 2]), ip_address(ends[len(ends) // 2 :])
    if not is_host(source) or not is_host(target):
        return None
    header = IPV4_HEADER if version == 4 else IPV6_HEADER
    shown = packet[: _ANSWER[version] - header - 8]
    told = max(mtu, LEAST[version])
    kind, code = _TOO_BIG[version]
    # RFC 1191 has the size in the lower 16 bits of the word of which RFC 4443 takes all.
    body = struct.pack("!BBHI", kind, code, 0, min(told, 0xFFFF)) + shown
    return pack(target, source, ICMP if version == 4 else ICMPV6, icmp(target, source, body))


def cut(packet: bytes, mtu: int) -> tuple[bytes, ...]:
    """The fragments of an IPv4 packet, none larger than `mtu` octets (RFC 791 3.2).

    Raises LocalMisuse for a packet that may not be cut, and where not even 8 octets of its body fit.
    """
    if not may_cut(packet):
        raise LocalMisuse("a packet that must not be fragmented")
    head = (packet[0] & 15) << 2
    body = packet[head : total_length(packet)]
    flags = int.from_bytes(packet[6:8])
    # Later fragments have fewer options at most, so what fits behind the first header fits behind theirs.
    room = (mtu - head) & ~7
    if room < 8:
        raise LocalMisuse(f"no fragment of this packet fits {mtu} octets")
    if len(body) <= room:
        return (packet[: head + len(body)],)
    made = []
    for start in range(0, len(body), room):
        last = start + room >= len(body)
        field = (flags & _OFFSET) + start // 8 | (flags & _MORE if last else _MORE)
        header = packet[:head] if start == 0 else _later_header(packet[:head])
        made.append(_fragment(header, field, body[start : start + room]))
    return tuple(made)


def _answerable(packet: bytes) -> bool:
    """Neither an error itself, nor a fragment behind the first."""
    if packet[0] >> 4 == 4:
        head = (packet[0] & 15) << 2
        if int.from_bytes(packet[6:8]) & _OFFSET:
            return False
        return packet[9] != ICMP or (len(packet) > head and packet[head] not in _ERRORS4)
    if packet[6] == _FRAGMENT:
        # Its offset, and what it is a fragment of: what cannot be judged is not answered.
        offset = int.from_bytes(packet[42:44]) >> 3 if len(packet) >= 48 else 1
        return offset == 0 and packet[40] != ICMPV6
    return packet[6] != ICMPV6 or (len(packet) > IPV6_HEADER and packet[IPV6_HEADER] >= 128)


def _later_header(header: bytes) -> bytes:
    """The header with those options alone that every fragment carries, padded to four octets."""
    kept = b"".join(_copied(header[IPV4_HEADER:]))
    kept += bytes(-len(kept) % 4)
    return bytes([0x40 | (IPV4_HEADER + len(kept)) >> 2]) + header[1:IPV4_HEADER] + kept


def _copied(options: bytes) -> list[bytes]:
    """The options with the copied flag; what cannot be walked ends the list."""
    found, offset = [], 0
    while offset < len(options) and options[offset]:
        kind = options[offset]
        length = 1 if kind == 1 else (options[offset + 1] if offset + 1 < len(options) else 0)
        if length < 1 or (kind != 1 and length < 2):
            break
        if kind & _COPIED:
            found.append(options[offset : offset + length])
        offset += length
    return found


def _fragment(header: bytes, field: int, body: bytes) -> bytes:
    size = (len(header) + len(body)).to_bytes(2)
    made = header[:2] + size + header[4:6] + field.to_bytes(2) + header[8:10] + bytes(2) + header[12:]
    return made[:10] + checksum(made).to_bytes(2) + made[12:] + body
