"""What fits the ways to peers: learned from the kernel, and what becomes of a packet that does not.

    a Child SA, or a new path of one      -> the kernel is asked
    a datagram was refused as too large   -> the kernel is asked, and believed where that is less
    a packet is too large, and what we know is old -> the kernel is asked again

Rules:

1. Nobody else is asked: what comes from a network as ICMP is the kernel's to judge (`node.net.outer`).
2. A packet that does not fit is cut, or its sender is told, or it is sent in outer fragments where IPv6
   leaves nothing else (`node.esp.pathmtu`). None vanishes.
"""

from collections.abc import Callable
from typing import Protocol

from node.esp.inner import flow
from node.esp.pathmtu import OUTER, cut, may_cut
from node.esp.sa import OutboundSa
from node.esp.sad import Sad
from node.esp.widths import Change, Widths
from node.model.message import Path, outer_address
from node.net import clock


class Kernel(Protocol):
    """Knows how large IP packets on a path may be, in octets; 0 where it does not know."""

    def path_mtu(self, path: Path, /) -> int:
        """Now."""
        ...

    def narrowed(self, path: Path, /) -> int:
        """Now, where something was refused as too large since this was asked last; else 0."""
        ...


class Narrow:
    """Keeps the widths of the outbound SAs of `sad`; `changed` hears of every change of a known way."""

    def __init__(
        self,
        kernel: Kernel,
        sad: Sad,
        changed: Callable[[Change], None],
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._kernel, self._sad, self._changed, self._now = kernel, sad, changed, now
        self._widths = Widths()

    def begin(self, inbound_spi: bytes, path: Path) -> None:
        """A Child SA sends on this path from now on."""
        if self._widths.due(path.peer_host, self._now()):
            self._ask(path)
        self._sad.fit(inbound_spi, self._widths.of(path.peer_host))

    def move(self, inbound_spi: bytes, path: Path) -> None:
        """As `begin`, on another path than before: where it leaves from may be new as well."""
        self._ask(path)
        self._sad.fit(inbound_spi, self._widths.of(path.peer_host))

    def wider(self, sa: OutboundSa) -> int:
        """Octets of an inner packet that fit: for `Tunnel.wider`."""
        if self._widths.due(sa.path.peer_host, self._now()):
            self._ask(sa.path)
        return sa.width

    def refused(self, path: Path) -> int:
        """Called when something was not sent: octets of an ESP packet that fit, where that may be why; else
        0. What was made before it was known that they are so few is larger.
        """
        mtu = self._kernel.narrowed(path)
        if not mtu:
            return 0
        host = path.peer_host
        if self._widths.narrows(host, mtu):
            self._learn(host, mtu)
        return self._widths.of(host) - OUTER[outer_address(host).version]

    def _ask(self, path: Path) -> None:
        mtu = self._kernel.path_mtu(path)
        if mtu:
            self._learn(path.peer_host, mtu)

    def _learn(self, host: str, mtu: int) -> None:
        known = self._widths.of(host)
        change = self._widths.learn(host, mtu, self._now())
        if self._widths.of(host) != known:
            self._sad.fit_all(host, self._widths.of(host))
        if change is not None:
            self._changed(change)


def fragments(packet: bytes, sa: OutboundSa) -> tuple[bytes, ...]:
    """The pieces in which a packet that is too large may go through this SA; none where it may not.

    Later fragments have no ports: an SA for some ports alone does not carry them (RFC 4301 7).
    """
    if not may_cut(packet):
        return ()
    pieces = cut(packet, sa.width)
    selectors = sa.selectors
    fit = selectors.addresses_only or all(selectors.covers_outbound(flow(piece)) for piece in pieces)
    return pieces if fit else ()
