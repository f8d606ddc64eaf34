"""Traffic selectors (RFC 7296 3.13) and narrowing (RFC 7296 2.9), as pure functions.

A selector is a range of addresses, a range of ports and an upper-layer protocol (0 means any).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from node.model.registry import TsType

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

#: Ranges of addresses whose text is remembered: peers come back with the same ones.
MAX_REMEMBERED = 128

#: Selectors of a peer that are looked at: the number has one octet in RFC 7296 3.13.
MAX_PROPOSED = 255
#: Selectors of a narrowed side. Each of the peer's may meet each of ours: without a bound the answer would
#: not fit in a message.
MAX_NARROWED = 64

#: Upper bound of the port range that means "any port".
ANY_PORT = 65535


@dataclass(frozen=True, slots=True)
class TrafficSelector:
    """One selector.

    `start` and `end` are of one address family; start <= end holds for what can match at all.
    """

    start: IPAddress
    end: IPAddress
    protocol: int = 0
    start_port: int = 0
    end_port: int = ANY_PORT

    @property
    def type(self) -> TsType:
        """The selector's wire type, from its address family."""
        return TsType.TS_IPV4_ADDR_RANGE if self.start.version == 4 else TsType.TS_IPV6_ADDR_RANGE

    def intersect(self, other: "TrafficSelector") -> "TrafficSelector | None":
        """What both selectors cover, or None."""
        if self.start.version != other.start.version:
            return None
        if self.protocol and other.protocol and self.protocol != other.protocol:
            return None
        start = self.start if int(self.start) >= int(other.start) else other.start
        end = self.end if int(self.end) <= int(other.end) else other.end
        first = max(self.start_port, other.start_port)
        last = min(self.end_port, other.end_port)
        if int(start) > int(end) or first > last:
            return None
        return TrafficSelector(start, end, self.protocol or other.protocol, first, last)

    def covers(self, address: IPAddress, protocol: int = 0, port: int = 0) -> bool:
        """True where a packet end (address, upper-layer protocol, port) falls into this selector."""
        return (
            address.version == self.start.version
            and int(self.start) <= int(address) <= int(self.end)
            and self.protocol in (0, protocol)
            and self.start_port <= port <= self.end_port
        )

    def within(self, other: "TrafficSelector") -> bool:
        """True where everything this selector covers is covered by `other`."""
        return self.intersect(other) == self

    def __str__(self) -> str:
        span = _span(self.start, self.end)
        ports = (
            "" if (self.start_port, self.end_port) == (0, ANY_PORT) else f":{self.start_port}-{self.end_port}"
        )
        return f"{span}{ports}" + (f"[{self.protocol}]" if self.protocol else "")


@dataclass(frozen=True, slots=True)
class UnknownSelector:
    """A selector of a type without a meaning here (as in RFC 9478): nothing matches it, and it survives.

    `protocol` is the octet behind the type, `data` what stands behind the selector's length.
    """

    type: TsType
    protocol: int
    data: bytes


def network(text: str) -> TrafficSelector:
    """The selector of an address or a prefix such as `10.1.0.0/24`.

    Raises ValueError where the text is neither, or has bits set behind the prefix.
    """
    net: IPNetwork = ip_network(text)
    return TrafficSelector(net.network_address, net.broadcast_address)


def host(address: IPAddress) -> TrafficSelector:
    """The selector of one address."""
    return TrafficSelector(address, address)


def everything(version: int) -> TrafficSelector:
    """The selector of every address of an IP version."""
    return network("0.0.0.0/0" if version == 4 else "::/0")


def is_host(address: IPAddress) -> bool:
    """False for what no single host sends from: unspecified, multicast, limited broadcast and other class
    E, loopback.
    """
    return not (
        address.is_multicast
        or address.is_unspecified
        or address.is_loopback
        or (address.version == 4 and address.is_reserved)
    )


def address(octets: bytes) -> IPAddress:
    """The address of 4 or 16 octets. Raises ValueError for any other length."""
    return ip_address(octets)


def narrow(
    proposed: Sequence[TrafficSelector], policy: Sequence[TrafficSelector]
) -> tuple[TrafficSelector, ...]:
    """The intersection of what the peer proposed with our policy, in the peer's order, without repetition.

    An empty result means TS_UNACCEPTABLE. Above `MAX_NARROWED` selectors, or beyond the first `MAX_PROPOSED`
    of the peer's, the rest is left out: any subset is a valid answer (RFC 7296 2.9).
    """
    found: dict[TrafficSelector, None] = {}
    for common in (p.intersect(q) for p in proposed[:MAX_PROPOSED] for q in policy):
        if common is not None:
            found[common] = None
            if len(found) == MAX_NARROWED:
                break
    return tuple(found)


def subset(inner: Sequence[TrafficSelector], outer: Sequence[TrafficSelector]) -> bool:
    """True where every selector of `inner` lies within one of `outer`, and there is at least one."""
    return bool(inner) and all(any(i.within(o) for o in outer) for i in inner)


def overlap(one: Sequence[TrafficSelector], other: Sequence[TrafficSelector]) -> bool:
    """True where some packet end is covered by both lists."""
    return any(a.intersect(b) is not None for a in one for b in other)


@lru_cache(MAX_REMEMBERED)
def _span(start: IPAddress, end: IPAddress) -> str:
    size = int(end) - int(start) + 1
    bits = start.max_prefixlen
    prefix = bits - (size.bit_length() - 1)
    if size & (size - 1) == 0 and int(start) % size == 0:
        return str(start) if prefix == bits else f"{start}/{prefix}"
    return f"{start}-{end}"
