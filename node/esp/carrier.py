"""What stands inside an ESP packet for an inner packet (RFC 4303 2.6, 2.7, 3.1).

    tunnel      the whole packet, next header 4 or 41; behind it zeros, where lengths are to be hidden
    transport   what follows its IP header, next header is its protocol
    dummy       nothing that means anything, next header 59

Rules:

1. In transport mode the receiver makes the packet again, between the two hosts of the SA and not from the
   datagram it came in, wherever a NAT lets that come from by now. Where the sender sees other addresses, the
   checksum of TCP, UDP or ICMPv6 is changed by what differs (RFC 3948 3.1.2), so that a wrong one stays
   wrong. The other fields of the header are new: hop limit 64, no options.
2. Transport mode is for whole datagrams (RFC 4303 3.3.4): a fragment is refused before it is sent. What is
   larger than the path carries is fragmented after ESP, by the kernel that sends the UDP datagram.
3. Only a whole packet says where it ends: padding that hides lengths is for tunnel mode alone (2.7).
"""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from node.errors import DecodeError, DropReason
from node.esp.checksum import MODULUS, total
from node.esp.inner import ICMPV6, IPV4_HEADER, IPV6_HEADER, TCP, UDP
from node.esp.ip import pack
from node.esp.packet import (
    NEXT_HEADER_IPV4,
    NEXT_HEADER_IPV6,
    NEXT_HEADER_NONE,
    TRAILER_SIZE,
    trailer,
)
from node.model.child import Mode, Padding
from node.model.selectors import IPAddress
from node.ports import Entropy

#: Makes the plaintext with its trailer of an inner packet that `inner.total_length` accepted; the octets of
#: an inner packet that fit the way bound what is padded. Raises DecodeError (INNER_MALFORMED).
Carry = Callable[[bytes, int], bytes]

UDP_LITE: Final = 136
#: Where the checksum stands that covers the addresses, by protocol (RFC 9293, 768, 3828, 4443).
_CHECKSUMS: Final = {TCP: 16, UDP: 6, UDP_LITE: 6, ICMPV6: 2}

_FRAGMENT: Final = 44
_MORE_OR_OFFSET: Final = 0x3FFF


class Hosts(NamedTuple):
    """The two ends of an SA in transport mode, as its packets go; `far`: as the sender sees them, where that
    is something else.
    """

    source: IPAddress
    destination: IPAddress
    far: "Hosts | None" = None


def carry(mode: Mode, padding: Padding, align: int) -> Carry | None:
    """How an SA makes its plaintext, padded to `align` octets.

    None: it is the packet and the least padding, which the tunnel knows by itself.
    """
    if mode is Mode.TRANSPORT:
        return partial(load, align=align)
    return partial(pad, padding=padding, align=align) if padding.multiple else None


def load(packet: bytes, _room: int, align: int) -> bytes:
    """The payload of a packet, for transport mode, which hides no lengths.

    Raises DecodeError (INNER_MALFORMED) for a fragment, and for IPv4 options, which would have to stand in a
    header that is not ours.
    """
    if packet[0] >> 4 == 4:
        size, next_header = (packet[0] & 15) << 2, packet[9]
        fragment = bool(int.from_bytes(packet[6:8]) & _MORE_OR_OFFSET)
    else:
        size, next_header = IPV6_HEADER, packet[6]
        fragment = next_header == _FRAGMENT
    if fragment:
        raise _unfit("a fragment; transport mode takes whole datagrams")
    if packet[0] >> 4 == 4 and size != IPV4_HEADER:
        raise _unfit(f"{size - IPV4_HEADER} octets of IPv4 options, which transport mode does not carry here")
    if next_header == NEXT_HEADER_NONE:
        raise _unfit("no next header, which would make a dummy of it")
    payload = packet[size:]
    return payload + trailer(len(payload), align, next_header)


def unload(plain: bytes, hosts: Hosts) -> bytes | DropReason:
    """The packet of authenticated plaintext of transport mode, or why it is refused."""
    if len(plain) < TRAILER_SIZE:
        return DropReason.ESP_BAD_PADDING
    padding, next_header = plain[-2], plain[-1]
    if next_header == NEXT_HEADER_NONE:
        return DropReason.ESP_DUMMY
    end = len(plain) - TRAILER_SIZE - padding
    if end < 0 or plain[end:-TRAILER_SIZE] != bytes(range(1, padding + 1)):
        return DropReason.ESP_BAD_PADDING
    payload = plain[:end]
    if hosts.far is not None:
        payload = mend(next_header, payload, hosts.far, hosts)
    return pack(hosts.source, hosts.destination, next_header, payload)


def mend(protocol: int, payload: bytes, before: Hosts, after: Hosts) -> bytes:
    """The payload with the checksum that it has between other hosts, as RFC 1624 3 does it: without a look at
    what else it covers.
    """
    at = _CHECKSUMS.get(protocol)
    if at is None or len(payload) < at + 2:
        return payload
    field = int.from_bytes(payload[at : at + 2])
    if not field and protocol in (UDP, UDP_LITE):
        return payload
    changed = (field + _sum(before) - _sum(after)) % MODULUS or MODULUS
    return payload[:at] + changed.to_bytes(2) + payload[at + 2 :]


def _sum(hosts: Hosts) -> int:
    return total(hosts.source.packed + hosts.destination.packed)


def pad(packet: bytes, room: int, padding: Padding, align: int) -> bytes:
    """The packet with zeros behind it, up to a multiple of octets that the path still carries."""
    size = padded(len(packet), padding, room)
    next_header = NEXT_HEADER_IPV4 if packet[0] >> 4 == 4 else NEXT_HEADER_IPV6
    return packet.ljust(size, b"\0") + trailer(size, align, next_header)


def padded(size: int, padding: Padding, room: int) -> int:
    """Octets that a packet of `size` octets is made to have; never fewer, and no more than `room` then."""
    if not padding.multiple:
        return size
    return max(size, min(-(-size // padding.multiple) * padding.multiple, padding.most, room))


def dummy(padding: Padding, room: int, align: int, entropy: Entropy) -> bytes:
    """The plaintext of a dummy, of a length that a packet could have, drawn by `entropy`."""
    most = max(1, min(padding.most, room))
    size = padded(int.from_bytes(entropy(4)) % most + 1, padding, most)
    return bytes(size) + trailer(size, align, NEXT_HEADER_NONE)


def _unfit(text: str) -> DecodeError:
    return DecodeError(DropReason.INNER_MALFORMED, "inner", text)
