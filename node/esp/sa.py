"""One direction of one Child SA: the state that a packet touches, and nothing else.

Keys enter the Sealer when the SA is made and are not kept here. Counters only grow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.crypto.batch import BatchSealer
from node.errors import DropReason
from node.esp.carrier import Hosts, carry
from node.esp.inner import MAX_PACKET
from node.esp.packet import NEXT_HEADER_IPV4, NEXT_HEADER_IPV6, alignment, min_size, trailers
from node.esp.replay import ReplayWindow
from node.esp.selectors import Selectors
from node.model.child import Mode, Padding
from node.model.message import Path

#: The last sequence number that may be sent: the counter never wraps (RFC 4303 3.3.3).
SEQUENCE_LIMIT: Final = (1 << 32) - 1
ESN_LIMIT: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Volume:
    """What an SA may send before it is replaced: octets of inner packets, and packets; 0: any number."""

    octets: int = 0
    packets: int = 0


#: A rekey is asked for when an eighth of the sequence numbers is left, so that it ends before they do.
REKEY_MARGIN: Final = 8

_TRAILERS4: Final = trailers(NEXT_HEADER_IPV4)
_TRAILERS6: Final = trailers(NEXT_HEADER_IPV6)


class InboundSa:
    """What decapsulation needs of an SA. `spi` is ours, 4 octets."""

    __slots__ = (
        "accepted_addresses",
        "batched",
        "batches",
        "dropped",
        "esn",
        "hosts",
        "marked",
        "mask",
        "min_size",
        "newest",
        "octets",
        "open",
        "packets",
        "sealer",
        "selectors",
        "spi",
        "window",
    )

    def __init__(
        self,
        spi: bytes,
        sealer: BatchSealer,
        window: int,
        selectors: Selectors,
        esn: bool,
        hosts: Hosts | None = None,
    ) -> None:
        self.spi = spi
        #: In transport mode, who sends and who receives; None in tunnel mode.
        self.hosts = hosts
        #: The highest sequence number of what was delivered: not of a dummy.
        self.newest = 0
        self.sealer = sealer
        self.open: Callable[[bytes, bytes], bytes] = sealer.open
        self.window = ReplayWindow(window)
        self.selectors = selectors
        self.esn = esn
        #: Bits that must be zero in the length of everything but the smallest parts of a packet.
        self.mask = alignment(sealer.block) - 1
        self.min_size = min_size(sealer)
        #: The addresses of the last packet whose addresses alone made it match: most packets repeat them.
        self.accepted_addresses = b""
        self.packets = 0
        self.octets = 0
        #: Batches opened at once, and the packets in them.
        self.batches = 0
        self.batched = 0
        #: Packets whose TOS or traffic class is another one than it was inside.
        self.marked = 0
        self.dropped: dict[DropReason, int] | None = None


class OutboundSa:
    """What encapsulation needs of an SA. `spi` is the peer's, 4 octets; `serial` grows with every SA
    installed.

    `sequence` is the last number that was sent. `alarm` is the next number at which the slow path must
    look: whether so much was sent that a rekey is to be asked for, then to stop.
    """

    __slots__ = (
        "alarm",
        "batched",
        "batches",
        "carry",
        "cut",
        "dropped",
        "esn",
        "limit",
        "mask",
        "octets",
        "padding",
        "path",
        "plain",
        "rekey_wanted",
        "seal",
        "sealer",
        "selectors",
        "sequence",
        "serial",
        "spi",
        "spi_number",
        "stopped",
        "trailers4",
        "trailers6",
        "transport",
        "width",
    )

    def __init__(
        self,
        spi: bytes,
        sealer: BatchSealer,
        path: Path,
        selectors: Selectors,
        esn: bool,
        serial: int,
        limit: int,
        mode: Mode,
        padding: Padding,
    ) -> None:
        self.spi = spi
        self.spi_number = int.from_bytes(spi)
        self.sealer = sealer
        self.seal: Callable[[bytes, bytes], bytes] = sealer.seal
        self.path = path
        self.selectors = selectors
        self.esn = esn
        self.serial = serial
        self.limit = limit
        self.alarm = 0
        self.mask = alignment(sealer.block) - 1
        self.padding = padding
        self.transport = mode is Mode.TRANSPORT
        #: Makes the plaintext where it is more than the packet and the least padding; else None.
        self.carry = carry(mode, padding, alignment(sealer.block))
        #: Whether the addresses of a packet that fits are all that has to be looked at.
        self.plain = self.carry is None and selectors.addresses_only
        self.trailers4 = _TRAILERS4
        self.trailers6 = _TRAILERS6
        self.sequence = 0
        self.octets = 0
        #: Batches sealed at once, and the packets in them.
        self.batches = 0
        self.batched = 0
        #: Octets of the largest inner packet that fits the way, as far as it is known, and packets that were
        #: cut for it.
        self.width = MAX_PACKET
        self.cut = 0
        self.rekey_wanted = False
        self.stopped = False
        self.dropped: dict[DropReason, int] | None = None


def count(sa: InboundSa | OutboundSa, reason: DropReason) -> None:
    """Count a refusal with the SA."""
    if sa.dropped is None:
        sa.dropped = {}
    sa.dropped[reason] = sa.dropped.get(reason, 0) + 1
