"""The data path: what the rest of a node asks of it and hears from it, and the one that does the work.

    DataPath    what is asked and heard, wherever the Child SAs are
    DataPlane   datagrams to inner packets and back, over one SAD: in the process that has the SAD

Rules:

1. Fail closed: what the tunnel refuses is dropped and counted, never sent otherwise.
2. Where a peer is, is the engine's to say: a packet from elsewhere is told, and moves nothing by itself.
3. Whole values pass, no shared objects: the SAs may be in another process (`node.daemon.remote`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.errors import DropReason
from node.esp.bulk import Bulk, Burst
from node.esp.carrier import dummy
from node.esp.coalesce import Joined
from node.esp.packet import MAX_DATAGRAMS, MAX_OCTETS
from node.esp.sa import ESN_LIMIT, Volume
from node.esp.sad import RekeyNeeded, Sad, SaStatus
from node.esp.tunnel import Incoming, Outgoing, Refused, Tunnel
from node.esp.vnet import Offload
from node.model.child import ChildSa
from node.model.events import EventName
from node.model.message import Path
from node.ports import Entropy


@dataclass(frozen=True, slots=True)
class Origin:
    """The ESP packet that an inner packet came in: the peer's outer address, the SPI in hexadecimal, the
    sequence number.
    """

    peer: str
    spi: str
    sequence: int

    @classmethod
    def of(cls, incoming: Incoming, path: Path) -> "Origin":
        """Where a packet came from on a path; for those that are told of."""
        return cls(path.peer, incoming.spi.hex(), incoming.sequence)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a process of its own has counted: errors of its socket by name, and notices that did not get
    through to us.
    """

    errors: Mapping[str, int] = field(default_factory=dict)
    untold: int = 0


class Sender(Protocol):
    """Sends an ESP packet."""

    def send(self, datagram: bytes, path: Path, /) -> bool:
        """Send on a path. False where the kernel refused, which it counts."""
        ...

    def send_many(self, parts: Sequence[bytes | memoryview], size: int, path: Path, /) -> bool:
        """As `send`, datagrams of one size, of which the last may be smaller."""
        ...


#: Takes a decrypted inner packet, and the path on which it came.
Deliver = Callable[[Incoming, Path], None]
#: Takes packets that were joined to one.
DeliverJoined = Callable[[Joined], None]
#: Hears of an inner packet that left in this ESP packet.
Sent = Callable[[bytes, Outgoing], None]
#: Hears of a packet that came on another path than its SA's: our SPI of the IKE SA, and that path.
Strayed = Callable[[bytes, Path], None]
#: Hears of a Child SA that has sent what it may before it is to be replaced, or ever.
Expired = Callable[[RekeyNeeded], None]


class Log(Protocol):
    """Where refusals are told."""

    def drop(
        self, name: EventName, reason: DropReason, /, *, peer: str | None = None, detail: str = ""
    ) -> None:
        """Count a discarded datagram or inner packet, and tell it unless it is one of many."""
        ...


class DataPath(Protocol):
    """The Child SAs, wherever they are. `strayed` and `expired` are set by the node."""

    strayed: Strayed
    expired: Expired

    def add_inbound(self, child: ChildSa) -> None:
        """Accept the Child SA's packets from now on."""
        ...

    def add_outbound(self, child: ChildSa) -> None:
        """Send through the Child SA from now on."""
        ...

    def hand_over(self, old_spi: bytes, ike_spi: bytes) -> None:
        """The Child SAs of one IKE SA belong to another one now."""
        ...

    def move(self, inbound_spi: bytes, path: Path) -> None:
        """Send on this path from now on."""
        ...

    def remove_outbound(self, inbound_spi: bytes) -> None:
        """Send no more through the Child SA with this inbound SPI."""
        ...

    def remove(self, inbound_spi: bytes) -> None:
        """Forget both directions."""
        ...

    @property
    def size(self) -> int:
        """How many Child SAs there are."""
        ...

    def query(self) -> tuple[SaStatus, ...]:
        """Every Child SA with its counters."""
        ...

    def newest(self, inbound_spi: bytes) -> int:
        """The highest sequence number that came, 0 for none."""
        ...

    def count(self) -> Counted:
        """What was counted beside the Child SAs; whatever was dropped until now is in the log."""
        ...

    def catch_up(self) -> None:
        """Hear of everything that has happened until now."""
        ...

    def packet(self, packet: bytes) -> None:
        """Send an inner packet of ours through the tunnel; where there is no way it is counted."""
        ...

    def lost(self, detail: str, reason: DropReason = DropReason.TUN_QUEUE_FULL) -> None:
        """An inner packet could not be handed over to the kernel, or could not be made."""
        ...


class DataPlane:
    """Encapsulates and decapsulates. Datagrams may be received into `inbox`, for `burst`.

    `deliver`, `deliver_joined` and `sent` are set by the inner side, `strayed` and `expired` by the node.

    `max_packets` bounds what one Child SA sends; 0: its sequence numbers do. `volume` is what it sends before
    `expired` is told.
    """

    def __init__(
        self,
        sender: Sender,
        log: Log,
        entropy: Entropy,
        max_packets: int = 0,
        volume: Volume | None = None,
    ) -> None:
        self._sender, self._log, self._entropy = sender, log, entropy
        self._sad = Sad(entropy, max_packets or ESN_LIMIT, volume)
        self._tunnel = Tunnel(self._sad)
        self._bulk = Bulk(self._sad, self._tunnel)
        self.inbox = self._bulk.inbox
        self._waiting: list[Outgoing] = []
        self.deliver_joined: DeliverJoined = lambda joined: None
        self.deliver: Deliver = lambda incoming, path: None
        self.sent: Sent = lambda packet, outgoing: None
        self.strayed: Strayed = lambda ike_spi, path: None
        self.expired: Expired = lambda notice: None

    def add_inbound(self, child: ChildSa) -> None:
        """Accept the Child SA's packets from now on."""
        self._sad.add_inbound(child)

    def add_outbound(self, child: ChildSa) -> None:
        """Send through the Child SA from now on."""
        self._sad.add_outbound(child)

    def hand_over(self, old_spi: bytes, ike_spi: bytes) -> None:
        """The Child SAs of one IKE SA belong to another one now."""
        self._sad.hand_over(old_spi, ike_spi)

    def move(self, inbound_spi: bytes, path: Path) -> None:
        """Send on this path from now on."""
        self._sad.update(inbound_spi, path)

    def remove_outbound(self, inbound_spi: bytes) -> None:
        """Send no more through the Child SA with this inbound SPI."""
        self._sad.remove_outbound(inbound_spi)

    def remove(self, inbound_spi: bytes) -> None:
        """Forget both directions."""
        self._sad.remove(inbound_spi)

    @property
    def size(self) -> int:
        """How many Child SAs there are."""
        return len(self._sad)

    def query(self) -> tuple[SaStatus, ...]:
        """Every Child SA with its counters."""
        return self._sad.query()

    def newest(self, inbound_spi: bytes) -> int:
        """The highest sequence number that came, 0 for none."""
        return self._sad.newest(inbound_spi)

    def clear(self) -> None:
        """Forget every Child SA."""
        self._sad.clear()

    def page(self, first: int, most: int) -> tuple[SaStatus, ...]:
        """As `query`, some of them: at most so many from this place in the order on."""
        return self._sad.query(first, most)

    def count(self) -> Counted:
        """Nothing: who has the sockets counts."""
        return Counted()

    def catch_up(self) -> None:
        """Everything was heard at once."""

    def datagram(self, octets: bytes, path: Path) -> None:
        """Take an ESP packet from the wire."""
        result = self._tunnel.decapsulate(octets)
        if isinstance(result, Incoming) and result.newest:
            self._follow(result.spi, path)
        self._take(result, path)

    def burst(self, count: int, size: int, path: Path) -> bool:
        """Take the first datagrams of the inbox, each of `size` octets, where they are ESP packets of one SA.

        False where they are to be taken one by one; nothing has happened to them then.
        """
        opened = self._bulk.decapsulate(count, size)
        if opened is None:
            return False
        self._follow(opened.spi, path)
        for one in opened.contents:
            if isinstance(one, Joined):
                self.deliver_joined(one)
            else:
                self._take(one, path)
        return True

    def _follow(self, spi: bytes, path: Path) -> None:
        """Tell of a new path before the contents: an answer to them must go there, too."""
        ike_spi = self._sad.strayed(spi, path)
        if ike_spi is not None:
            self.strayed(ike_spi, path)

    def _take(self, result: Incoming | Refused, path: Path) -> None:
        if isinstance(result, Incoming):
            self.deliver(result, path)
        else:
            self._log.drop(EventName.DATAGRAM_DROPPED, result.reason, peer=path.peer, detail=result.detail)

    def packet(self, packet: bytes) -> None:
        """Send an inner packet through the tunnel; where there is no way it is counted."""
        self.gather(packet)
        self.flush()

    def gather(self, packet: bytes) -> None:
        """As `packet`, but it may wait for others of its size to leave with; at the latest until `flush`."""
        result = self._tunnel.encapsulate(packet)
        self._tell()
        if isinstance(result, Outgoing):
            self._gather(result)
            self.sent(packet, result)
        else:
            self._log.drop(EventName.PACKET_DROPPED, result.reason, detail=result.detail)

    def super_packet(self, packet: memoryview, offload: Offload) -> None:
        """As `packet`, the segments of a super-packet."""
        self.flush()
        for result in self._bulk.encapsulate(packet, offload):
            self._tell()
            if isinstance(result, Burst):
                parts = (result.octets, result.tail) if result.tail else (result.octets,)
                self._sender.send_many(parts, result.size, result.path)
            elif isinstance(result, Outgoing):
                self._gather(result)
            else:
                self._log.drop(EventName.PACKET_DROPPED, result.reason, detail=result.detail)
        self.flush()

    def send_dummies(self) -> None:
        """Send a packet that means nothing through every Child SA; nobody is told of it as of traffic."""
        for sa in self._sad.sending():
            outgoing = self._tunnel.dummy(sa, dummy(sa.padding, sa.mask + 1, self._entropy))
            self._tell()
            if outgoing is not None:
                self._sender.send(outgoing.datagram, outgoing.path)

    def flush(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        if len(waiting) == 1:
            self._sender.send(waiting[0].datagram, waiting[0].path)
        elif waiting:
            parts = [outgoing.datagram for outgoing in waiting]
            self._sender.send_many(parts, len(parts[0]), waiting[0].path)

    def _gather(self, outgoing: Outgoing) -> None:
        waiting, size = self._waiting, len(outgoing.datagram)
        if waiting:
            each = len(waiting[0].datagram)
            full = len(waiting) == MAX_DATAGRAMS or (len(waiting) + 1) * each > MAX_OCTETS
            if full or size != each or outgoing.path is not waiting[0].path:
                self.flush()
        self._waiting.append(outgoing)

    def _tell(self) -> None:
        for notice in self._sad.notices():
            self.expired(notice)

    def lost(self, detail: str, reason: DropReason = DropReason.TUN_QUEUE_FULL) -> None:
        """An inner packet could not be handed over to the TUN device, or could not be made."""
        self._log.drop(EventName.PACKET_DROPPED, reason, detail=detail)
