"""The SAD: every Child SA, found by SPI inbound and by the inner packet's selectors outbound (RFC 4301 4.4).

Rules:

1. A Child SA is known by its inbound SPI; both directions are added one by one and removed together.
2. No SA, no plaintext: what is not found here is refused by the tunnel.
3. A sequence number is never used twice. Near the end a rekey is asked for once, at the end the SA stops,
   for good.

No sockets, no clock, no octets of packets here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from node.crypto.aead import sealer
from node.crypto.batch import BatchSealer
from node.errors import DropReason, LocalMisuse
from node.esp.carrier import Hosts
from node.esp.inner import MAX_PACKET
from node.esp.packet import MIN_SPI
from node.esp.pathmtu import inner_mtu
from node.esp.sa import ESN_LIMIT, REKEY_MARGIN, SEQUENCE_LIMIT, InboundSa, OutboundSa, Volume, count
from node.esp.selectors import Selectors
from node.esp.spd import Spd
from node.model.child import ESP_SPI_SIZE, ChildSa, DirectionKeys, Mode
from node.model.message import Path, outer_address
from node.model.proposal import AEAD_IDS, Suite
from node.model.registry import EsnId, ProtocolId
from node.model.selectors import IPAddress, TrafficSelector
from node.ports import Entropy

_REPLAYED: Final = (DropReason.ESP_REPLAYED, DropReason.ESP_STALE)


class RekeyNeeded(NamedTuple):
    """An outbound SA has sent what it may before it is replaced; `exhausted`: it has stopped sending."""

    inbound_spi: bytes
    outbound_spi: bytes
    exhausted: bool


@dataclass(frozen=True, slots=True)
class SaStatus:
    """A Child SA as a user sees it. SPIs are hexadecimal (empty where that direction is not installed).

    Octets are those of inner packets. `replayed` counts packets refused as seen before or left of the
    window; `dropped` counts every refusal by reason, these included. Packets that went in batches are counted
    with the batches as well: how many, and in how many. `inner_mtu` is the largest inner packet that leaves
    uncut, as far as the way is known (0: nothing is sent); `outbound_cut` counts those that were cut,
    `inbound_marked` those whose DSCP or ECN is another one than it was inside.
    """

    inbound_spi: str
    outbound_spi: str
    ike_spi: str
    mode: str
    suite: str
    local: tuple[str, ...]
    peer: tuple[str, ...]
    path: str
    replay_window: int
    inbound_packets: int
    inbound_octets: int
    outbound_packets: int
    outbound_octets: int
    inbound_batches: int
    inbound_batched: int
    outbound_batches: int
    outbound_batched: int
    replayed: int
    dropped: Mapping[str, int]
    rekey_wanted: bool
    inner_mtu: int
    outbound_cut: int
    inbound_marked: int


class _Entry:
    """A Child SA without its keys."""

    __slots__ = ("ike_spi", "inbound", "local", "mode", "outbound", "path", "peer", "replay_window", "suite")

    def __init__(self, child: ChildSa) -> None:
        self.ike_spi = child.ike_spi
        self.mode = child.mode
        self.suite: Suite = child.suite
        self.local: tuple[TrafficSelector, ...] = child.local
        self.peer: tuple[TrafficSelector, ...] = child.peer
        self.path: Path = child.path
        self.replay_window = child.replay_window
        self.inbound: InboundSa | None = None
        self.outbound: OutboundSa | None = None


class Sad:
    """All Child SAs of a node. `max_packets` bounds what one SA may send, at most its sequence number space;
    `volume` is what it may send before a rekey is asked for.

    Adding raises LocalMisuse for an SPI that is in use, reserved or not 4 octets, for an SA that is no ESP
    SA or has no selectors, and for what the crypto layer cannot do; nothing is changed then.
    """

    __slots__ = (
        "_entries",
        "_entropy",
        "_max_packets",
        "_serial",
        "_volume",
        "by_spi",
        "dropped",
        "noticed",
        "spd",
    )

    def __init__(self, entropy: Entropy, max_packets: int = ESN_LIMIT, volume: Volume | None = None) -> None:
        if max_packets < 1:
            raise LocalMisuse(f"an SA must be allowed at least one packet, not {max_packets}")
        self._entropy = entropy
        self._max_packets = max_packets
        self._volume = volume or Volume()
        self._entries: dict[bytes, _Entry] = {}
        #: Inbound SAs by SPI, for the tunnel.
        self.by_spi: dict[int, InboundSa] = {}
        #: What `notices` will tell.
        self.noticed: list[RekeyNeeded] = []
        self._serial = 0
        #: Refusals by reason, over all SAs that are and were, and of packets that belong to none.
        self.dropped: dict[DropReason, int] = {}
        self.spd = Spd()

    def add_inbound(self, child: ChildSa) -> None:
        """Accept packets that carry `child.inbound_spi` from now on."""
        entry = self._entry(child)
        if entry.inbound is not None:
            raise LocalMisuse(f"inbound SPI {child.inbound_spi.hex()} is in use")
        opener = self._sealer(child, child.inbound)
        selectors = Selectors(child.local, child.peer)
        hosts = _hosts(child)
        entry.inbound = InboundSa(
            child.inbound_spi, opener, child.replay_window, selectors, _esn(child), hosts
        )
        self._entries[child.inbound_spi] = entry
        self.by_spi[int.from_bytes(child.inbound_spi)] = entry.inbound

    def add_outbound(self, child: ChildSa) -> None:
        """Send inner packets that match `child` through it from now on, rather than through older SAs."""
        entry = self._entry(child)
        if entry.outbound is not None:
            raise LocalMisuse(f"the outbound SA of inbound SPI {child.inbound_spi.hex()} is installed")
        esn = _esn(child)
        limit = min(ESN_LIMIT if esn else SEQUENCE_LIMIT, self._max_packets)
        selectors = entry.inbound.selectors if entry.inbound else Selectors(child.local, child.peer)
        protection = self._sealer(child, child.outbound)
        _hosts(child)
        self._serial += 1
        entry.outbound = OutboundSa(
            child.outbound_spi,
            protection,
            child.path,
            selectors,
            esn,
            self._serial,
            limit,
            child.mode,
            child.padding,
        )
        entry.outbound.alarm = self._next_alarm(entry.outbound)
        self._entries[child.inbound_spi] = entry
        self.spd.add(entry.outbound)

    def update(self, inbound_spi: bytes, path: Path) -> bool:
        """Send the SA's packets on another path from now on. False where there is no such SA."""
        entry = self._entries.get(inbound_spi)
        if entry is None:
            return False
        entry.path = path
        if entry.outbound is not None:
            entry.outbound.path = path
        return True

    def fit(self, inbound_spi: bytes, path_mtu: int) -> None:
        """Let the SA's packets be such as fit outer packets of so many octets; 0: of any size."""
        entry = self._entries.get(inbound_spi)
        if entry is not None and entry.outbound is not None:
            _fit(entry.outbound, path_mtu)

    def fit_all(self, host: str, path_mtu: int) -> None:
        """As `fit`, every SA whose packets go to this address."""
        for entry in self._entries.values():
            if entry.outbound is not None and entry.outbound.path.peer_host == host:
                _fit(entry.outbound, path_mtu)

    def hand_over(self, old_spi: bytes, ike_spi: bytes) -> None:
        """The Child SAs of one IKE SA, by our SPI of it, belong to another one now."""
        for entry in self._entries.values():
            if entry.ike_spi == old_spi:
                entry.ike_spi = ike_spi

    def strayed(self, inbound_spi: bytes, path: Path) -> bytes | None:
        """Our SPI of its IKE SA where a packet of this SA came on another path than its own leave on."""
        entry = self._entries[inbound_spi]
        if entry.path is path:
            return None
        if entry.path != path:
            return entry.ike_spi
        # The same, and next time at first sight.
        entry.path = path
        return None

    def remove_outbound(self, inbound_spi: bytes) -> None:
        """Send nothing more through it; nothing happens where there is no such SA, or it does not send."""
        entry = self._entries.get(inbound_spi)
        if entry is not None and entry.outbound is not None:
            self.spd.remove(entry.outbound)
            entry.outbound = None

    def remove(self, inbound_spi: bytes) -> SaStatus | None:
        """Forget both directions. The last status with its final counters, None where there is no such SA."""
        entry = self._entries.pop(inbound_spi, None)
        if entry is None:
            return None
        self.by_spi.pop(int.from_bytes(inbound_spi), None)
        if entry.outbound is not None:
            self.spd.remove(entry.outbound)
        return _status(inbound_spi, entry)

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget every Child SA."""
        for inbound_spi in tuple(self._entries):
            self.remove(inbound_spi)

    def query(self, first: int = 0, most: int | None = None) -> tuple[SaStatus, ...]:
        """Every Child SA, in the order they were added; from the one at `first` on, at most so many."""
        end = None if most is None else first + most
        return tuple(_status(spi, entry) for spi, entry in islice(self._entries.items(), first, end))

    def newest(self, inbound_spi: bytes) -> int:
        """The highest sequence number of a packet that was delivered, so of no dummy; 0 for none, or no such
        SA.
        """
        sa = self.by_spi.get(int.from_bytes(inbound_spi))
        return sa.newest if sa else 0

    def sending(self) -> tuple[OutboundSa, ...]:
        """Every SA that sends."""
        return tuple(entry.outbound for entry in self._entries.values() if entry.outbound is not None)

    def notices(self) -> tuple[RekeyNeeded, ...]:
        """What happened since the last call; each SA reports at most twice in its life (rekey wanted,
        exhausted).
        """
        found = tuple(self.noticed)
        self.noticed.clear()
        return found

    def count(self, reason: DropReason, sa: InboundSa | OutboundSa | None = None) -> None:
        """Count a refusal, with its SA where it has one."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        if sa is not None:
            count(sa, reason)

    def mark(self, inbound_spi: bytes, packets: int = 1) -> None:
        """Count packets of an SA whose TOS or traffic class was changed as they came."""
        sa = self.by_spi.get(int.from_bytes(inbound_spi))
        if sa is not None:
            sa.marked += packets

    def near_limit(self, sa: OutboundSa) -> bool:
        """Called when `sa` reached its alarm: report once that a rekey is needed; True where it must not
        send.
        """
        exhausted = sa.sequence >= sa.limit
        wanted = exhausted or sa.sequence >= self._soft_limit(sa) or 0 < self._volume.octets <= sa.octets
        if (wanted and not sa.rekey_wanted) or (exhausted and not sa.stopped):
            self.noticed.append(RekeyNeeded(self._inbound_spi(sa), sa.spi, exhausted))
        sa.rekey_wanted, sa.stopped = sa.rekey_wanted or wanted, exhausted
        sa.alarm = self._next_alarm(sa)
        return exhausted

    def _soft_limit(self, sa: OutboundSa) -> int:
        """The sequence number at which a rekey is asked for."""
        return min(sa.limit - sa.limit // REKEY_MARGIN, self._volume.packets or sa.limit)

    def _next_alarm(self, sa: OutboundSa) -> int:
        """The next sequence number at which to look: with octets, no later than packets may reach them."""
        if sa.rekey_wanted:
            return sa.limit
        soft = self._soft_limit(sa)
        if not self._volume.octets:
            return soft
        return min(soft, sa.sequence + max(1, (self._volume.octets - sa.octets) // MAX_PACKET))

    def _inbound_spi(self, sa: OutboundSa) -> bytes:
        return next((spi for spi, entry in self._entries.items() if entry.outbound is sa), b"")

    def _entry(self, child: ChildSa) -> _Entry:
        for spi in (child.inbound_spi, child.outbound_spi):
            if len(spi) != ESP_SPI_SIZE or int.from_bytes(spi) < MIN_SPI:
                raise LocalMisuse(f"{spi.hex() or 'an empty string'} is no ESP SPI")
        if child.suite.protocol != ProtocolId.ESP:
            raise LocalMisuse(f"a Child SA of protocol {child.suite.protocol}")
        return self._entries.get(child.inbound_spi) or _Entry(child)

    def _sealer(self, child: ChildSa, keys: DirectionKeys) -> BatchSealer:
        if _esn(child) and child.suite.encr.id not in AEAD_IDS:
            raise LocalMisuse("extended sequence numbers need an AEAD transform here")
        return sealer(child.suite.encr, child.suite.integ, keys, self._entropy)


def _fit(sa: OutboundSa, path_mtu: int) -> None:
    version = outer_address(sa.path.peer_host).version
    sa.width = min(inner_mtu(path_mtu, version, sa.sealer), MAX_PACKET) if path_mtu else MAX_PACKET


def _esn(child: ChildSa) -> bool:
    return child.suite.esn == EsnId.ESN


def _hosts(child: ChildSa) -> Hosts | None:
    """Who sends and who receives in transport mode. Raises LocalMisuse where that is not one host each."""
    if child.mode is not Mode.TRANSPORT:
        return None
    peer, local = _one_host(child.peer), _one_host(child.local)
    if peer is None or local is None or peer.version != local.version:
        raise LocalMisuse(f"transport mode is between two hosts, not {child.local} and {child.peer}")
    far = child.far
    return Hosts(peer, local, Hosts(far.peer, far.local) if far else None)


def _one_host(selectors: tuple[TrafficSelector, ...]) -> IPAddress | None:
    found = {address for selector in selectors for address in (selector.start, selector.end)}
    return found.pop() if len(found) == 1 else None


def _status(inbound_spi: bytes, entry: _Entry) -> SaStatus:
    inbound, outbound = entry.inbound, entry.outbound
    dropped: dict[str, int] = {}
    for direction in (inbound, outbound):
        for reason, number in ((direction and direction.dropped) or {}).items():
            dropped[str(reason)] = dropped.get(str(reason), 0) + number
    return SaStatus(
        inbound_spi=inbound_spi.hex() if inbound else "",
        outbound_spi=outbound.spi.hex() if outbound else "",
        ike_spi=entry.ike_spi.hex(),
        mode=str(entry.mode),
        suite=str(entry.suite),
        local=tuple(str(s) for s in entry.local),
        peer=tuple(str(s) for s in entry.peer),
        path=str(entry.path),
        replay_window=entry.replay_window,
        inbound_packets=inbound.packets if inbound else 0,
        inbound_octets=inbound.octets if inbound else 0,
        outbound_packets=outbound.sequence if outbound else 0,
        outbound_octets=outbound.octets if outbound else 0,
        inbound_batches=inbound.batches if inbound else 0,
        inbound_batched=inbound.batched if inbound else 0,
        outbound_batches=outbound.batches if outbound else 0,
        outbound_batched=outbound.batched if outbound else 0,
        replayed=sum(dropped.get(str(reason), 0) for reason in _REPLAYED),
        dropped=dropped,
        rekey_wanted=bool(outbound and outbound.rekey_wanted),
        inner_mtu=outbound.width if outbound else 0,
        outbound_cut=outbound.cut if outbound else 0,
        inbound_marked=inbound.marked if inbound else 0,
    )
