"""Searching captures for what must never be on the wire in clear.

What is looked for, and how often it would be found in ciphertext by chance, in a capture of n octets:

    texts          the demo's greeting: 27 octets                              n / 2^216
    patterns       the data of pings: 32 octets in a row                       n / 2^256
    pairs          two inner addresses one behind the other, as source and destination of an IP header,
                   and the two ends of an inner network, as in a traffic selector: 8 octets     n / 2^64
    in words       an inner address in decimal, as a log or a name would have it: 8 octets or more
    outer headers  source and destination of the frame itself (IPv4, ARP): looked at where they stand

A single inner address of four octets anywhere is not looked for: a capture of 100 MB would have it by chance
every fortieth time. IP fragments are joined before the search, and each is searched by itself as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import permutations

from lab.wire.pcapng import LINK_ETHERNET, LINK_RAW, Capture

#: The part that the pings of nodes (from 0x10 on) and of ping(8) (a time, then from 0x10 on) have in common.
_PING = bytes(range(0x18, 0x38))
_IPV4, _ARP = 0x0800, 0x0806
_ETHERNET_HEADER, _IPV4_HEADER = 14, 20
#: Offsets of the two addresses in an IPv4 header, and in an ARP packet for IPv4.
_IPV4_ADDRESSES, _ARP_ADDRESSES = (12, 16), (14, 24)
_MORE_FRAGMENTS, _FRAGMENT_OFFSET = 0x2000, 0x1FFF
#: Datagrams that wait for their other fragments.
_MAX_FRAGMENTED = 256

_Key = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, slots=True)
class Needles:
    """What is only ever said inside the tunnel: texts, inner networks, and addresses in them."""

    texts: tuple[str, ...]
    networks: tuple[IPv4Network, ...]
    addresses: tuple[IPv4Address, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in clear: which capture, which packet of it (from 1), which octet of the frame, what."""

    capture: str
    packet: int
    offset: int
    what: str

    def __str__(self) -> str:
        return f"{self.capture}: packet {self.packet}, octet {self.offset}: {self.what}"


def search(name: str, capture: Capture, needles: Needles) -> Iterator[Finding]:
    """Everything of `needles` that the capture holds in clear, at most once each in a packet."""
    patterns = _patterns(needles)
    networks = [(int(n.network_address), int(n.netmask)) for n in needles.networks]
    fragments: dict[_Key, dict[int, bytes]] = {}
    for number, packet in enumerate(capture.packets, 1):
        link, octets = capture.interfaces[packet.interface].link, packet.octets
        for what, pattern in patterns:
            if (at := octets.find(pattern)) >= 0:
                yield Finding(name, number, at, what)
        for at in _outer_addresses(link, octets):
            address = int.from_bytes(octets[at : at + 4])
            if any(address & mask == network for network, mask in networks):
                yield Finding(
                    name, number, at, f"the inner address {IPv4Address(address)} in the outer header"
                )
        yield from _whole(name, number, _joined(_network(link, octets), fragments), patterns)


def _patterns(needles: Needles) -> tuple[tuple[str, bytes], ...]:
    found = [(f'the text "{text}"', text.encode()) for text in needles.texts]
    found.append(("the data of a ping", _PING))
    found += [(f"the address {address} in words", str(address).encode()) for address in needles.addresses]
    ends = [(network[0], network[-1]) for network in needles.networks]
    for one, other in (*permutations(needles.addresses, 2), *ends):
        found.append((f"the addresses {one} and {other} in a row", one.packed + other.packed))
    return tuple(found)


def _outer_addresses(link: int, octets: bytes) -> Sequence[int]:
    """Where a frame has its IPv4 addresses."""
    if link == LINK_ETHERNET:
        kind = int.from_bytes(octets[12:14])
        places = {_IPV4: _IPV4_ADDRESSES, _ARP: _ARP_ADDRESSES}.get(kind, ())
        return [_ETHERNET_HEADER + at for at in places if len(octets) >= _ETHERNET_HEADER + at + 4]
    if link == LINK_RAW and octets[:1] and octets[0] >> 4 == 4:
        return [at for at in _IPV4_ADDRESSES if len(octets) >= at + 4]
    return ()


def _network(link: int, octets: bytes) -> bytes:
    """The IPv4 packet in a frame, or nothing."""
    if link == LINK_ETHERNET:
        return octets[_ETHERNET_HEADER:] if int.from_bytes(octets[12:14]) == _IPV4 else b""
    return octets if octets[:1] and octets[0] >> 4 == 4 else b""


def _joined(packet: bytes, fragments: dict[_Key, dict[int, bytes]]) -> bytes:
    """What the fragments so far make up, where this packet is one of several; else nothing."""
    if len(packet) < _IPV4_HEADER:
        return b""
    word = int.from_bytes(packet[6:8])
    if not word & (_MORE_FRAGMENTS | _FRAGMENT_OFFSET):
        return b""
    key = packet[4:6], packet[9:10], packet[12:20]
    parts = fragments.setdefault(key, {})
    parts[word & _FRAGMENT_OFFSET] = packet[(packet[0] & 15) * 4 :]
    if len(fragments) > _MAX_FRAGMENTED:
        fragments.pop(next(iter(fragments)))
    return b"".join(part for _, part in sorted(parts.items())) if len(parts) > 1 else b""


def _whole(name: str, number: int, octets: bytes, patterns: Iterable[tuple[str, bytes]]) -> Iterator[Finding]:
    for what, pattern in patterns:
        if octets and (at := octets.find(pattern)) >= 0:
            yield Finding(name, number, at, f"{what}, over several fragments")
