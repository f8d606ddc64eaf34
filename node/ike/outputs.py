"""What the engine asks of the world: one ordered queue of these.

Order carries meaning: a responder installs its inbound SA before it transmits the response, an initiator
installs inbound before outbound.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.crypto.keymat import IkeKeys
from node.errors import DropReason
from node.model.child import ChildSa
from node.model.events import EventName
from node.model.message import Path
from node.model.proposal import Suite
from node.model.selectors import IPAddress


@dataclass(frozen=True, slots=True)
class Transmit:
    """Send these datagrams, in order, on this path."""

    datagrams: tuple[bytes, ...]
    path: Path


@dataclass(frozen=True, slots=True)
class InstallInbound:
    """Accept ESP packets with `child.inbound_spi` from now on."""

    child: ChildSa


@dataclass(frozen=True, slots=True)
class InstallOutbound:
    """Send inner packets that match `child`'s selectors through it from now on.

    `replaces` is the inbound SPI of the Child SA that it takes over from, None for a new one.
    """

    child: ChildSa
    replaces: bytes | None = None


@dataclass(frozen=True, slots=True)
class RemoveOutbound:
    """Send no more through the Child SA with this inbound SPI: the peer has it no more. It still receives."""

    inbound_spi: bytes


@dataclass(frozen=True, slots=True)
class RemoveSa:
    """Forget both directions of the Child SA with this inbound SPI."""

    inbound_spi: bytes


@dataclass(frozen=True, slots=True)
class MoveSa:
    """Send through the Child SA with this inbound SPI on this path from now on."""

    inbound_spi: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class SaReplaced:
    """The IKE SA with our SPI `ike_spi` has taken the place, and the Child SAs, of the one with `old_spi`."""

    old_spi: bytes
    ike_spi: bytes


@dataclass(frozen=True, slots=True)
class SaUp:
    """The IKE SA with this SPI of ours is established with the peer of this identity.

    `behind_nat`: our address changes on the way to the peer, so the mapping must be kept alive (RFC 3948 4).
    `addresses` are inner ones that the peer gave us, ours until its `SaDown` (RFC 7296 2.19).
    """

    ike_spi: bytes
    peer_identity: str
    path: Path
    is_initiator: bool
    behind_nat: bool = False
    addresses: tuple[IPAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class SaMoved:
    """The IKE SA with this SPI of ours is on this path now; `MoveSa` says so of children.

    `behind_nat` as in `SaUp`, for this path.
    """

    ike_spi: bytes
    path: Path
    behind_nat: bool = False


@dataclass(frozen=True, slots=True)
class SaDown:
    """The IKE SA with this SPI of ours is gone; `established` says whether it ever was up."""

    ike_spi: bytes
    reason: str
    established: bool
    is_initiator: bool


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling; `fields` hold JSON scalars and lists of them."""

    name: EventName
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A datagram was discarded without an effect."""

    reason: DropReason
    path: Path | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class KeysDerived:
    """The keys of an IKE SA exist. Put out only where `Settings.reveal_keys` says so."""

    spi_i: bytes
    spi_r: bytes
    suite: Suite
    keys: IkeKeys = field(repr=False)


Output = (
    Transmit
    | InstallInbound
    | InstallOutbound
    | RemoveOutbound
    | RemoveSa
    | MoveSa
    | SaReplaced
    | SaUp
    | SaMoved
    | SaDown
    | Event
    | Dropped
    | KeysDerived
)
