"""From a captured frame to a whole IP packet: link layers, and fragments put together.

Fragments that overlap, or are too many, are never put together (RFC 5722 says so for IPv6; for IPv4 nothing
honest needs it).
"""

import struct
from collections import OrderedDict
from dataclasses import dataclass, field

from lab.decode.inet import Packet, joined
from lab.decode.items import address, count
from lab.decode.problem import Unreadable
from lab.decode.values import Item
from lab.wire import pcapng

#: Packets that wait for fragments, octets of one, and fragments of one.
MAX_WAITING, MAX_PACKET, MAX_FRAGMENTS = 256, 65_535, 8_192
_ETHERNET_HEADER, _VLAN_TAG = 14, 4
_VLANS = (0x8100, 0x88A8)
_ETHER_IPV4, _ETHER_ARP, _ETHER_IPV6 = 0x0800, 0x0806, 0x86DD
_ETHER_NAMES = {_ETHER_IPV4: "IPv4", _ETHER_ARP: "ARP", _ETHER_IPV6: "IPv6", 0x88CC: "LLDP"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame without its link layer: IP octets, or the title of something else."""

    link: tuple[Item, ...]
    source: str
    target: str
    network: bytes
    other: str = ""


def unwrap(link: int, octets: bytes) -> Frame:
    """Take off the link layer. Raises Unreadable for link types and frames that cannot be read."""
    if link == pcapng.LINK_RAW:
        return Frame((), "", "", octets)
    if link != pcapng.LINK_ETHERNET:
        raise Unreadable(f"link type {link} is neither RAW nor ETHERNET")
    if len(octets) < _ETHERNET_HEADER:
        raise Unreadable(f"an Ethernet frame of {count(len(octets))}")
    target, source = _mac(octets[:6]), _mac(octets[6:12])
    kind, at = _ether_type(octets)
    name = _ETHER_NAMES.get(kind, f"EtherType {kind:#06x}")
    item = Item("Ethernet", f"{source} > {target}, {name}")
    body = octets[at:]
    if kind in (_ETHER_IPV4, _ETHER_IPV6):
        return Frame((item,), source, target, body)
    other = _arp(body) if kind == _ETHER_ARP else f"{name}, {count(len(body))}"
    return Frame((item,), source, target, b"", other)


def network_at(link: int, octets: bytes) -> int | None:
    """Where the IP packet in a frame begins; None where there is none."""
    if link == pcapng.LINK_RAW:
        return 0 if octets else None
    if link != pcapng.LINK_ETHERNET or len(octets) <= _ETHERNET_HEADER:
        return None
    kind, at = _ether_type(octets)
    return at if kind in (_ETHER_IPV4, _ETHER_IPV6) and at < len(octets) else None


def _ether_type(octets: bytes) -> tuple[int, int]:
    """The EtherType behind all VLAN tags, and the place behind it."""
    kind, at = int.from_bytes(octets[12:14]), _ETHERNET_HEADER
    while kind in _VLANS and at + _VLAN_TAG <= len(octets):
        kind, at = int.from_bytes(octets[at + 2 : at + 4]), at + _VLAN_TAG
    return kind, at


def _mac(octets: bytes) -> str:
    return octets.hex(":")


def _arp(body: bytes) -> str:
    """Who asks whom (RFC 826), for IPv4 over Ethernet."""
    if len(body) < 28 or struct.unpack_from("!HHBB", body) != (1, _ETHER_IPV4, 6, 4):
        return f"ARP, {count(len(body))}"
    operation = int.from_bytes(body[6:8])
    sender, target = address(body[14:18]), address(body[24:28])
    if operation == 1:
        return f"ARP: who has {target}? tell {sender}"
    return f"ARP: {sender} is at {_mac(body[8:14])}" if operation == 2 else f"ARP, operation {operation}"


@dataclass(slots=True)
class _Waiting:
    """The fragments of one packet: octets by offset, who they came from, and the size once it is known."""

    pieces: dict[int, bytes] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    first: Packet | None = None
    size: int | None = None
    held: int = 0

    def add(self, packet: Packet, offset: int, more: bool, number: int) -> bool:
        """Take in a fragment; False where it contradicts the others."""
        body, end = packet.body, offset + len(packet.body)
        known = self.pieces.get(offset)
        if known is not None:
            return known == body
        if end > MAX_PACKET or len(self.pieces) >= MAX_FRAGMENTS or (more and (not body or len(body) % 8)):
            return False
        if not more:
            if self.size is not None:
                return False
            self.size = end
        self.pieces[offset] = body
        self.held += len(body)
        self.numbers.append(number)
        self.first = packet if offset == 0 else self.first
        return True

    def whole(self) -> bytes | None:
        """All octets, once none is missing and none is there twice."""
        if self.size is None or self.first is None or self.held < self.size:
            return None
        end, parts = 0, []
        for offset, body in sorted(self.pieces.items()):
            if offset != end:
                raise Unreadable("IP fragments that overlap")
            end += len(body)
            parts.append(body)
        if end != self.size:
            raise Unreadable("IP fragments behind the last one")
        return b"".join(parts)


class Reassembler:
    """Puts the fragments of a capture together, those of each interface by themselves."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[object, _Waiting] = OrderedDict()

    def add(self, packet: Packet, interface: int, number: int) -> Packet | None:
        """A packet that is whole: the one given, or what its last fragment completes; None where fragments
        are missing. `number` is that of the captured packet. Raises Unreadable.
        """
        part = packet.part
        if part is None:
            return packet
        key = (interface, part.key)
        waiting = self._waiting.setdefault(key, _Waiting())
        self._waiting.move_to_end(key)
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)
        try:
            if not waiting.add(packet, part.offset, part.more, number):
                raise Unreadable("an IP fragment that contradicts others")
            octets = waiting.whole()
        except Unreadable:
            self._waiting.pop(key, None)
            raise
        first = waiting.first
        if octets is None or first is None:
            return None
        del self._waiting[key]
        numbers = ", ".join(map(str, waiting.numbers[:20])) + (", ..." if len(waiting.numbers) > 20 else "")
        said = f"{count(len(octets))} from {len(waiting.numbers)} fragments (packets {numbers})"
        return joined(first, octets, said)
