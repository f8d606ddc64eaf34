"""Traffic selectors in the shape the data path compares them: octets of addresses, no objects per packet.

An SA's selectors match a packet where one local selector covers its local end and one peer selector its
peer end (RFC 7296 3.13, RFC 4301 4.4.1). Address octets of one length compare as the addresses do.
"""

from collections.abc import Sequence
from typing import NamedTuple

from node.errors import LocalMisuse
from node.esp.inner import Flow
from node.model.selectors import ANY_PORT, TrafficSelector


class Rule(NamedTuple):
    """One traffic selector; `any_port` also matches packets whose ports cannot be seen."""

    start: bytes
    end: bytes
    protocol: int
    first_port: int
    last_port: int
    any_port: bool

    def covers_address(self, address: bytes) -> bool:
        """True where the address octets lie in the range, and are of its family."""
        return len(address) == len(self.start) and self.start <= address <= self.end

    def covers(self, address: bytes, protocol: int, port: int) -> bool:
        """True where a packet end falls into the selector."""
        return (
            self.covers_address(address)
            and self.protocol in (0, protocol)
            and (self.any_port or self.first_port <= port <= self.last_port)
        )


class Selectors:
    """The selectors of one Child SA. Raises LocalMisuse where one side has none: such an SA could carry
    nothing.
    """

    __slots__ = ("addresses_only", "local", "peer")

    def __init__(self, local: Sequence[TrafficSelector], peer: Sequence[TrafficSelector]) -> None:
        if not local or not peer:
            raise LocalMisuse("a Child SA needs traffic selectors on both sides")
        self.local = tuple(_rule(s) for s in local)
        self.peer = tuple(_rule(s) for s in peer)
        #: True where the addresses of a packet decide alone.
        self.addresses_only = all(r.protocol == 0 and r.any_port for r in self.local + self.peer)

    def covers_addresses(self, local: bytes, peer: bytes) -> bool:
        """True where the two addresses could be those of a packet of this SA."""
        return any(r.covers_address(local) for r in self.local) and any(
            r.covers_address(peer) for r in self.peer
        )

    def covers_outbound(self, flow: Flow) -> bool:
        """True where a packet from us matches: its source is local."""
        return any(r.covers(flow.source, flow.protocol, flow.source_port) for r in self.local) and any(
            r.covers(flow.destination, flow.protocol, flow.destination_port) for r in self.peer
        )

    def covers_inbound(self, flow: Flow) -> bool:
        """True where a packet from the peer matches: its source is the peer's."""
        return any(r.covers(flow.source, flow.protocol, flow.source_port) for r in self.peer) and any(
            r.covers(flow.destination, flow.protocol, flow.destination_port) for r in self.local
        )


def _rule(selector: TrafficSelector) -> Rule:
    first, last = selector.start_port, selector.end_port
    any_port = (first, last) == (0, ANY_PORT)
    return Rule(selector.start.packed, selector.end.packed, selector.protocol, first, last, any_port)
