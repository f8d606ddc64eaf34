"""IP packets and what is in them: IPv4, IPv6 with extension headers, UDP, ICMP echo. Outer and inner alike.

RFC 791, RFC 8200, RFC 768, RFC 792, RFC 4443. A checksum that is wrong is said, and refuses nothing: a
capture on the sending host often has them unfinished.
"""

import struct
from dataclasses import dataclass, replace

from lab.decode import numbers
from lab.decode.items import address, count, data, endpoint, is_text, text
from lab.decode.problem import Unreadable
from lab.decode.values import Item
from lab.text import printable

ICMP, IPV4, TCP, UDP, IPV6, ESP, ICMPV6, NO_NEXT = 1, 4, 6, 17, 41, 50, 58, 59
IPV4_HEADER, IPV6_HEADER, UDP_HEADER = 20, 40, 8

_FRAGMENT = 44
#: Extension headers that a packet is searched through (RFC 8200 4): hop-by-hop, routing, destination options.
_EXTENSIONS = frozenset({0, 43, 60})
_MORE_FRAGMENTS, _DONT_FRAGMENT, _OFFSET = 0x2000, 0x4000, 0x1FFF
_ECHO = {(ICMP, 8): "request", (ICMP, 0): "reply", (ICMPV6, 128): "request", (ICMPV6, 129): "reply"}
_ICMP_NAMES = {
    (ICMP, 3): "destination unreachable",
    (ICMP, 11): "time exceeded",
    (ICMPV6, 1): "destination unreachable",
    (ICMPV6, 2): "packet too big",
    (ICMPV6, 3): "time exceeded",
    (ICMPV6, 133): "router solicitation",
    (ICMPV6, 134): "router advertisement",
    (ICMPV6, 135): "neighbor solicitation",
    (ICMPV6, 136): "neighbor advertisement",
    (ICMPV6, 143): "multicast listener report",
}
_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
#: Characters of a UDP payload in a title.
_SHOWN_TITLE = 40


@dataclass(frozen=True, slots=True)
class Part:
    """Where a fragment belongs: octets from the start, and whether more follow."""

    key: tuple[bytes, bytes, int, int]
    offset: int
    more: bool


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet: addresses of 4 or 16 octets, the protocol and the octets behind all IP headers.

    `head` are the octets before these. `part` is None where it is no fragment.
    """

    source: bytes
    destination: bytes
    protocol: int
    head: bytes
    body: bytes
    item: Item
    part: Part | None = None

    @property
    def ends(self) -> tuple[str, str]:
        """Source and destination as text."""
        return address(self.source), address(self.destination)


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram."""

    source_port: int
    target_port: int
    payload: bytes
    item: Item


@dataclass(frozen=True, slots=True)
class Shown:
    """A packet's contents for people: the title says the protocol, addresses included."""

    title: str
    items: tuple[Item, ...]


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071): 0 over octets that hold a right one."""
    number = int.from_bytes(octets + bytes(len(octets) % 2))
    return 0xFFFF - (number % 0xFFFF or (0xFFFF if number else 0))


def read(octets: bytes) -> Packet:
    """The IP packet that the octets begin with; what follows it (padding of a frame) is left out.

    Raises Unreadable.
    """
    version = octets[0] >> 4 if octets else 0
    if version == 4:
        return _read4(octets)
    if version == 6:
        return _read6(octets)
    raise Unreadable(f"no IP packet: version {version}")


def _read4(octets: bytes) -> Packet:
    if len(octets) < IPV4_HEADER:
        raise Unreadable(f"an IPv4 packet of {count(len(octets))}")
    first, tos, total, identifier, flags, ttl, protocol, given = struct.unpack_from("!BBHHHBBH", octets)
    size = (first & 15) * 4
    if not IPV4_HEADER <= size <= total <= len(octets):
        raise Unreadable(f"an IPv4 packet of {size} and {total} octets in {len(octets)}")
    source, destination = octets[12:16], octets[16:20]
    offset, more = (flags & _OFFSET) * 8, bool(flags & _MORE_FRAGMENTS)
    part = Part((source, destination, protocol, identifier), offset, more) if offset or more else None
    good = "good" if not checksum(octets[:size]) else "wrong, or left to the network card"
    words = [
        word
        for bit, word in ((_DONT_FRAGMENT, "don't fragment"), (_MORE_FRAGMENTS, "more fragments"))
        if flags & bit
    ]
    item = Item(
        "IPv4",
        f"{address(source)} > {address(destination)}, {count(total)}",
        (
            Item("Header Length", count(size)),
            Item("Type of Service", f"{tos:#04x}"),
            Item("Total Length", count(total)),
            Item("Identification", str(identifier)),
            Item("Flags", ", ".join(words) or "none"),
            Item("Fragment Offset", count(offset)),
            Item("Time to Live", str(ttl)),
            Item("Protocol", numbers.named(numbers.IP_PROTOCOLS, protocol)),
            Item("Header Checksum", f"{given:#06x}, {good}"),
            *((data("Options", octets[IPV4_HEADER:size]),) if size > IPV4_HEADER else ()),
        ),
    )
    return Packet(source, destination, protocol, octets[:size], octets[size:total], item, part)


def _read6(octets: bytes) -> Packet:
    if len(octets) < IPV6_HEADER:
        raise Unreadable(f"an IPv6 packet of {count(len(octets))}")
    label, length, following, limit = struct.unpack_from("!IHBB", octets)
    end = IPV6_HEADER + length
    if end > len(octets):
        raise Unreadable(f"an IPv6 packet of {end} octets in {len(octets)}")
    source, destination = octets[8:24], octets[24:40]
    following, at, extensions, part = _extensions(octets[:end])
    item = Item(
        "IPv6",
        f"{address(source)} > {address(destination)}, {count(end)}",
        (
            Item("Traffic Class", f"{label >> 20 & 0xFF:#04x}"),
            Item("Flow Label", f"{label & 0xFFFFF:#07x}"),
            Item("Payload Length", count(length)),
            Item("Next Header", numbers.named(numbers.IP_PROTOCOLS, octets[6])),
            Item("Hop Limit", str(limit)),
            *extensions,
        ),
    )
    return Packet(source, destination, following, octets[:at], octets[at:end], item, part)


def joined(first: Packet, octets: bytes, said: str) -> Packet:
    """The packet whose first fragment is `first` and whose fragments together hold `octets`. `said` is what
    its item says of that. Raises Unreadable.
    """
    protocol, at = first.protocol, 0
    while protocol in _EXTENSIONS:
        if at + 8 > len(octets):
            raise Unreadable("an IPv6 packet that ends in an extension header")
        protocol, at = octets[at], at + 8 + octets[at + 1] * 8
    item = replace(first.item, value=f"{' > '.join(first.ends)}, {said}")
    return replace(
        first, protocol=protocol, head=first.head + octets[:at], body=octets[at:], item=item, part=None
    )


def _extensions(octets: bytes) -> tuple[int, int, list[Item], Part | None]:
    """The upper protocol of an IPv6 packet, where it begins, the extension headers before it, and which
    fragment it is. Raises Unreadable.
    """
    at, following, part = IPV6_HEADER, octets[6], None
    items = []
    while following in _EXTENSIONS or (following == _FRAGMENT and part is None):
        if at + 8 > len(octets):
            raise Unreadable("an IPv6 packet that ends in an extension header")
        if following == _FRAGMENT:
            place, identifier = struct.unpack_from("!HI", octets, at + 2)
            part = Part(
                (octets[8:24], octets[24:40], octets[at], identifier), place & 0xFFF8, bool(place & 1)
            )
            more = "more follow" if part.more else "the last"
            said, size = f"offset {count(part.offset)}, {more}, identification {identifier}", 8
        else:
            size = 8 + octets[at + 1] * 8
            said = count(size)
        items.append(Item(numbers.IP_PROTOCOLS[following], said))
        following, at = octets[at], at + size
        # What follows in a fragment is put together first.
        if part is not None and (part.offset or part.more):
            return following, at, items, part
    if at > len(octets):
        raise Unreadable("an IPv6 packet that ends in an extension header")
    return following, at, items, None


def udp(packet: Packet) -> Datagram:
    """The UDP datagram in a packet. Raises Unreadable."""
    body = packet.body
    if len(body) < UDP_HEADER:
        raise Unreadable(f"a UDP datagram of {count(len(body))}")
    source, target, length, given = struct.unpack_from("!HHHH", body)
    if not UDP_HEADER <= length <= len(body):
        raise Unreadable(f"a UDP datagram that says {count(length)}, in {len(body)}")
    good = "none" if not given else _verdict(packet, body[:length])
    item = Item(
        "UDP",
        f"port {source} > port {target}, {count(length)}",
        (
            Item("Source Port", str(source)),
            Item("Destination Port", str(target)),
            Item("Length", count(length)),
            Item("Checksum", f"{given:#06x}, {good}"),
        ),
    )
    return Datagram(source, target, body[UDP_HEADER:length], item)


def _verdict(packet: Packet, octets: bytes) -> str:
    """Whether the checksum over pseudo-header and octets is right."""
    pseudo = packet.source + packet.destination + struct.pack("!II", len(octets), packet.protocol)
    return "wrong, or left to the network card" if checksum(pseudo + octets) else "good"


def contents(packet: Packet) -> Shown:
    """What a whole packet carries, for the inside of a tunnel and for what is neither IKE nor ESP.

    Raises Unreadable.
    """
    source, destination = packet.ends
    if packet.part is not None:
        return Shown(f"IP fragment {source} > {destination}", (data("Fragment", packet.body),))
    if packet.protocol == UDP:
        return _udp(packet)
    if packet.protocol in (ICMP, ICMPV6) and len(packet.body) >= 8:
        return _icmp(packet)
    if packet.protocol == TCP and len(packet.body) >= 20:
        return _tcp(packet)
    name = numbers.name(numbers.IP_PROTOCOLS, packet.protocol, "protocol")
    return Shown(f"{name} {source} > {destination}", (data(name, packet.body),))


def _udp(packet: Packet) -> Shown:
    datagram = udp(packet)
    source, destination = packet.ends
    ends = f"{endpoint(source, datagram.source_port)} > {endpoint(destination, datagram.target_port)}"
    payload = datagram.payload
    if not is_text(payload):
        return Shown(f"UDP {ends}, {count(len(payload))}", (datagram.item, data("Data", payload)))
    words = payload.decode("utf-8")
    short = printable(words[:_SHOWN_TITLE]) + ("..." if len(words) > _SHOWN_TITLE else "")
    return Shown(f'UDP {ends} "{short}"', (datagram.item, Item("Text", text(payload))))


def _icmp(packet: Packet) -> Shown:
    kind, code, given, identifier, sequence = struct.unpack_from("!BBHHH", packet.body)
    name = "ICMP" if packet.protocol == ICMP else "ICMPv6"
    over = packet.body if packet.protocol == ICMP else None
    good = (
        ("wrong, or left to the network card" if checksum(over) else "good")
        if over
        else _verdict(packet, packet.body)
    )
    echo = _ECHO.get((packet.protocol, kind))
    said = f"echo {echo}" if echo else _ICMP_NAMES.get((packet.protocol, kind), f"type {kind}")
    head = (
        Item("Type", f"{said} ({kind})"),
        Item("Code", str(code)),
        Item("Checksum", f"{given:#06x}, {good}"),
    )
    rest: tuple[Item, ...]
    if echo:
        rest = (
            Item("Identifier", str(identifier)),
            Item("Sequence Number", str(sequence)),
            data("Data", packet.body[8:]),
        )
    else:
        rest = (data("Message", packet.body[4:]),)
    source, destination = packet.ends
    return Shown(f"{name} {said} {source} > {destination}", (Item(name, said, (*head, *rest)),))


def _tcp(packet: Packet) -> Shown:
    source, target, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", packet.body)
    words = " ".join(word for bit, word in enumerate(_TCP_FLAGS) if flags >> bit & 1)
    size = min((offset >> 4) * 4, len(packet.body))
    item = Item(
        "TCP",
        f"port {source} > port {target}, {words or 'no flags'}",
        (
            Item("Sequence Number", str(sequence)),
            Item("Acknowledgment Number", str(acknowledged)),
            data("Data", packet.body[size:]),
        ),
    )
    ends = [endpoint(host, port) for host, port in zip(packet.ends, (source, target), strict=True)]
    return Shown(f"TCP {ends[0]} > {ends[1]} {words}".rstrip(), (item,))
