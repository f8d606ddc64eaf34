"""What is known of the ways to peers: the path MTU by the peer's outer address, for a while.

Rules:

1. What somebody on the way says is believed down to what every network carries, and no further (RFC 1191 3,
   RFC 8201 4): a liar makes packets small, but not without end.
2. It is believed for ten minutes (RFC 1191 6.3, RFC 8201 4); then the kernel, which forgets as well, is asked
   again, as soon as a packet is too large for it.
3. How many ways are known is bounded; what is forgotten is asked again.

No sockets, no clock here: times are seconds of any clock that only goes forward.
"""

from typing import Final, NamedTuple

from node.model.message import outer_address

#: Octets of an IP packet that every way carries whole: what an IPv4 host must take (RFC 791 3.1), and the
#: least MTU of IPv6 (RFC 8200 5).
LEAST_WAY: Final = {4: 576, 6: 1280}
#: Seconds for which a path MTU holds.
LIFE: Final = 600.0
#: Peers' addresses that are remembered.
MAX_WAYS: Final = 4_096


class Change(NamedTuple):
    """The way to a peer's address has another path MTU than before, in octets."""

    host: str
    before: int
    now: int


class _Way(NamedTuple):
    mtu: int
    until: float


class Widths:
    """The path MTU of every way that is in use."""

    __slots__ = ("_ways",)

    def __init__(self) -> None:
        self._ways: dict[str, _Way] = {}

    def of(self, host: str) -> int:
        """The path MTU in octets, 0 where it is not known."""
        way = self._ways.get(host)
        return way.mtu if way else 0

    def due(self, host: str, now: float) -> bool:
        """Whether the kernel is to be asked, since we do not know, or for too long."""
        way = self._ways.get(host)
        return way is None or now >= way.until

    def learn(self, host: str, mtu: int, now: float) -> Change | None:
        """Hold it for true for a while; returns what has changed, where something was known."""
        mtu = max(mtu, LEAST_WAY[outer_address(host).version])
        before = self._ways.pop(host, None)
        if len(self._ways) >= MAX_WAYS:
            del self._ways[next(iter(self._ways))]
        self._ways[host] = _Way(mtu, now + LIFE)
        return Change(host, before.mtu, mtu) if before and before.mtu != mtu else None

    def narrows(self, host: str, mtu: int) -> bool:
        """Whether that is less than what is known."""
        known = self.of(host)
        return not known or max(mtu, LEAST_WAY[outer_address(host).version]) < known
