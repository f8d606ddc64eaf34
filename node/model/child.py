"""The Child SA as both the engine and the data path see it: the only thing `ike` and `esp` share."""

from dataclasses import dataclass, field
from enum import StrEnum

from node.model.message import Path
from node.model.proposal import Suite
from node.model.secret import Secret
from node.model.selectors import IPAddress, TrafficSelector

#: Default anti-replay window in packets (RFC 4303 3.4.3).
REPLAY_WINDOW = 64

#: Octets of an ESP SPI (RFC 4303 2.1).
ESP_SPI_SIZE = 4


@dataclass(frozen=True, slots=True)
class DirectionKeys:
    """Keys of one direction (RFC 7296 2.17).

    For AES-GCM and ChaCha20-Poly1305 `encr` ends with the 4-octet salt.
    """

    encr: Secret = field(repr=False)
    integ: Secret = field(repr=False)


class Mode(StrEnum):
    """What a Child SA protects: whole packets between networks, or the payload of packets between two hosts
    (RFC 4301 3.2).
    """

    TUNNEL = "tunnel"
    TRANSPORT = "transport"


@dataclass(frozen=True, slots=True)
class FarView:
    """The two hosts of transport mode as the peer sees them: its own address, and ours (RFC 7296 2.23.1)."""

    peer: IPAddress
    local: IPAddress


@dataclass(frozen=True, slots=True)
class ModeWish:
    """The mode that we want; `fallback`: where that is transport mode, tunnel mode is taken as well."""

    mode: Mode = Mode.TUNNEL
    fallback: bool = False

    def takes(self, mode: Mode) -> bool:
        """Whether a Child SA may have this mode."""
        return mode is self.mode or self.fallback


@dataclass(frozen=True, slots=True)
class Padding:
    """Traffic flow confidentiality (RFC 4303 2.6, 2.7), sending.

    An inner packet is made longer until its octets are a multiple of `multiple` (0: it is not), but no longer
    than `most` octets, which no dummy exceeds either.
    """

    multiple: int = 0
    most: int = 1400


@dataclass(frozen=True, slots=True)
class ChildSa:
    """A negotiated Child SA.

    `inbound_spi` is ours (packets to us carry it), `outbound_spi` the peer's; 4 octets each. `local` and
    `peer` are the narrowed traffic selectors. `ike_spi` names the IKE SA it belongs to (our own IKE SPI),
    `path` is where outbound packets go, `replay_window` is in packets.
    In transport mode each side's selectors are of one address, that of the host as we see it; `far` is what
    the peer sees, where a NAT makes that something else.
    """

    inbound_spi: bytes
    outbound_spi: bytes
    suite: Suite
    inbound: DirectionKeys = field(repr=False)
    outbound: DirectionKeys = field(repr=False)
    local: tuple[TrafficSelector, ...]
    peer: tuple[TrafficSelector, ...]
    path: Path
    ike_spi: bytes
    replay_window: int = REPLAY_WINDOW
    mode: Mode = Mode.TUNNEL
    padding: Padding = field(default_factory=Padding)
    far: FarView | None = None
