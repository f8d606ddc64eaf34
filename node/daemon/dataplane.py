"""The data path: what the rest of a node asks of it and hears from it, and the one that does the work.

    DataPath    what is asked and heard, wherever the Child SAs are
    DataPlane   datagrams to inner packets and back, over one SAD: in the process that has the SAD

Rules:

1. Fail closed: what the tunnel refuses is dropped and counted, never sent otherwise.
2. Where a peer is, is the engine's to say: a packet from elsewhere is told, and moves nothing by itself.
3. Whole values pass, no shared objects: the SAs may be in another process (`node.daemon.remote`).
4. What is too large for the way is cut or told of (`node.daemon.narrow`), and DSCP and ECN cross the tunnel
   (`node.esp.tos`): packets that leave together have the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.daemon.narrow import Kernel, Narrow, fragments
from node.errors import DropReason
from node.esp.bulk import Bulk, Burst
from node.esp.carrier import dummy
from node.esp.coalesce import Joined
from node.esp.packet import MAX_DATAGRAMS, MAX_OCTETS
from node.esp.pathmtu import must_fit, too_big
from node.esp.sa import ESN_LIMIT, OutboundSa, Volume
from node.esp.sad import RekeyNeeded, Sad, SaStatus
from node.esp.tos import CopyDscp, arrived, octet
from node.esp.tunnel import Incoming, Outgoing, Refused, TooLarge, Tunnel
from node.esp.vnet import Offload
from node.esp.widths import Change
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


class Sender(Kernel, Protocol):
    """Sends ESP packets, in IP packets with this TOS or traffic class."""

    def send(self, datagram: bytes, path: Path, tos: int, /) -> bool:
        """Send on a path. False where the kernel refused, which it counts."""
        ...

    def send_many(self, parts: Sequence[bytes | memoryview], size: int, path: Path, tos: int, /) -> bool:
        """As `send`, datagrams of one size, of which the last may be smaller."""
        ...

    def send_pieces(self, datagram: bytes, path: Path, tos: int, /) -> bool:
        """As `send`, in fragments where the way is too narrow."""
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
#: Hears that a way has another path MTU.
Changed = Callable[[Change], None]
#: Takes what the sender of an inner packet is to be told: a packet for this host.
Tell = Callable[[bytes], None]


class Log(Protocol):
    """Where refusals are told."""

    def drop(
        self, name: EventName, reason: DropReason, /, *, peer: str | None = None, detail: str = ""
    ) -> None:
        """Count a discarded datagram or inner packet, and tell it unless it is one of many."""
        ...


class DataPath(Protocol):
    """The Child SAs, wherever they are. `strayed`, `expired` and `changed` are set by the node."""

    strayed: Strayed
    expired: Expired
    changed: Changed

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

    `deliver`, `deliver_joined`, `tell` and `sent` are set by the inner side, `strayed`, `expired` and
    `changed` by the node.

    `max_packets` bounds what one Child SA sends; 0: its sequence numbers do. `volume` is what it sends before
    `expired` is told. `copy_dscp` says which way DSCP crosses the tunnel.
    """

    def __init__(
        self,
        sender: Sender,
        log: Log,
        entropy: Entropy,
        max_packets: int = 0,
        volume: Volume | None = None,
        copy_dscp: CopyDscp = CopyDscp.OUT,
    ) -> None:
        self._sender, self._log, self._entropy = sender, log, entropy
        self._copied, self._takes_dscp = copy_dscp.sent, copy_dscp.taken
        self._sad = Sad(entropy, max_packets or ESN_LIMIT, volume)
        self._tunnel = Tunnel(self._sad)
        self._bulk = Bulk(self._sad, self._tunnel)
        self._narrow = Narrow(sender, self._sad, lambda change: self.changed(change))
        self._tunnel.wider = self._narrow.wider
        self.inbox = self._bulk.inbox
        # Of one path, size and TOS, and the inner packet of each, where it is at hand.
        self._waiting: list[Outgoing] = []
        self._inner: list[bytes] = []
        self._tos = 0
        self.deliver_joined: DeliverJoined = lambda joined: None
        self.deliver: Deliver = lambda incoming, path: None
        self.sent: Sent = lambda packet, outgoing: None
        self.strayed: Strayed = lambda ike_spi, path: None
        self.expired: Expired = lambda notice: None
        self.changed: Changed = lambda change: None
        self.tell: Tell = lambda packet: None

    def add_inbound(self, child: ChildSa) -> None:
        """Accept the Child SA's packets from now on."""
        self._sad.add_inbound(child)

    def add_outbound(self, child: ChildSa) -> None:
        """Send through the Child SA from now on."""
        self._sad.add_outbound(child)
        self._narrow.begin(child.inbound_spi, child.path)

    def hand_over(self, old_spi: bytes, ike_spi: bytes) -> None:
        """The Child SAs of one IKE SA belong to another one now."""
        self._sad.hand_over(old_spi, ike_spi)

    def move(self, inbound_spi: bytes, path: Path) -> None:
        """Send on this path from now on."""
        if self._sad.update(inbound_spi, path):
            self._narrow.move(inbound_spi, path)

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

    def datagram(self, octets: bytes, path: Path, tos: int = 0) -> None:
        """Take an ESP packet from the wire; `tos` is that of its IP header."""
        result = self._tunnel.decapsulate(octets)
        if not isinstance(result, Incoming):
            self._take(result, path, tos)
            return
        if result.newest and (ike_spi := self._sad.strayed(result.spi, path)) is not None:
            self.strayed(ike_spi, path)
        if tos & 1 or self._takes_dscp:
            self._take(result, path, tos)
        else:
            self.deliver(result, path)

    def burst(self, count: int, size: int, path: Path, tos: int = 0) -> bool:
        """Take the first datagrams of the inbox, each of `size` octets, where they are ESP packets of one SA.

        False where they are to be taken one by one; nothing has happened to them then.
        """
        opened = self._bulk.decapsulate(count, size)
        if opened is None:
            return False
        self._follow(opened.spi, path)
        for one in opened.contents:
            if not isinstance(one, Joined):
                self._take(one, path, tos)
            elif not (tos & 1 or self._takes_dscp) or self._hears(one, opened.spi, path, tos):
                self.deliver_joined(one)
        return True

    def _follow(self, spi: bytes, path: Path) -> None:
        """Tell of a new path before the contents: an answer to them must go there, too."""
        ike_spi = self._sad.strayed(spi, path)
        if ike_spi is not None:
            self.strayed(ike_spi, path)

    def _take(self, result: Incoming | Refused, path: Path, tos: int) -> None:
        # Only ECT(1) and CE, which are odd, say anything to the inner header.
        if (tos & 1 or self._takes_dscp) and isinstance(result, Incoming):
            result = self._heard(result, tos)
        if isinstance(result, Incoming):
            self.deliver(result, path)
        else:
            self._log.drop(EventName.DATAGRAM_DROPPED, result.reason, peer=path.peer, detail=result.detail)

    def _heard(self, result: Incoming, tos: int) -> Incoming | Refused:
        """What came, with what the outer header says of its way."""
        sa = self._sad.by_spi.get(int.from_bytes(result.spi))
        if sa is None or sa.hosts is not None:
            # In transport mode there is no header inside that could hear of it.
            return result
        packet = arrived(result.packet, tos, self._takes_dscp)
        if packet is None:
            return self._bad_ecn(result.spi)
        if packet is not result.packet:
            self._sad.mark(result.spi)
        return result._replace(packet=packet)

    def _hears(self, joined: Joined, spi: bytes, path: Path, tos: int) -> bool:
        """As `_heard`, packets that were joined; False where they are dropped."""
        changed = joined.arrived(tos, self._takes_dscp)
        if changed:
            self._sad.mark(spi, joined.count)
        for _ in range(joined.count if changed is None else 0):
            refused = self._bad_ecn(spi)
            self._log.drop(EventName.DATAGRAM_DROPPED, refused.reason, peer=path.peer, detail=refused.detail)
        return changed is not None

    def _bad_ecn(self, spi: bytes) -> Refused:
        detail = f"SPI {spi.hex()}: congestion was met, and the inner packet is none that can tell"
        return self._tunnel.refuse(DropReason.ESP_BAD_ECN, detail, self._sad.by_spi.get(int.from_bytes(spi)))

    def packet(self, packet: bytes) -> None:
        """Send an inner packet through the tunnel; where there is no way it is counted."""
        result = self._tunnel.encapsulate(packet)
        if self._sad.noticed:
            self._notice()
        if self._waiting:
            self.flush()
        if not isinstance(result, Outgoing):
            self._keep_back(result)
            self.flush()
            return
        tos = packet[1] if packet[0] >> 4 == 4 else octet(packet)
        if self._sender.send(result.datagram, result.path, tos & self._copied):
            self.sent(packet, result)
        else:
            self._not_sent([result], [packet])

    def gather(self, packet: bytes) -> None:
        """As `packet`, but it may wait for others of its size to leave with; at the latest until `flush`."""
        result = self._tunnel.encapsulate(packet)
        if self._sad.noticed:
            self._notice()
        if isinstance(result, Outgoing):
            self._gather(result, octet(packet) & self._copied, packet)
            self.sent(packet, result)
        else:
            self._keep_back(result)

    def super_packet(self, packet: memoryview, offload: Offload) -> None:
        """As `packet`, the segments of a super-packet."""
        self.flush()
        for result in self._bulk.encapsulate(packet, offload):
            self._notice()
            if isinstance(result, Burst):
                parts = (result.octets, result.tail) if result.tail else (result.octets,)
                tos = octet(packet) & self._copied
                sent = self._sender.send_many(parts, result.size, result.path, tos)
                if not sent and 0 < self._narrow.refused(result.path) < result.size:
                    # No segment of that size has left, nor will one: all begins anew, in smaller ones.
                    self.super_packet(packet, offload)
                    return
            elif isinstance(result, Outgoing):
                self._gather(result, octet(packet) & self._copied, b"")
            else:
                self._keep_back(result)
        self.flush()

    def send_dummies(self) -> None:
        """Send a packet that means nothing through every Child SA; nobody is told of it as of traffic."""
        for sa in self._sad.sending():
            outgoing = self._tunnel.dummy(sa, dummy(sa.padding, sa.width, sa.mask + 1, self._entropy))
            self._notice()
            if outgoing is not None:
                self._sender.send(outgoing.datagram, outgoing.path, 0)

    def flush(self) -> None:
        """Send what waits."""
        if not self._waiting:
            return
        waiting, inner = self._waiting, self._inner
        self._waiting, self._inner = [], []
        path = waiting[0].path
        if len(waiting) == 1:
            sent = self._sender.send(waiting[0].datagram, path, self._tos)
        else:
            parts = [outgoing.datagram for outgoing in waiting]
            sent = self._sender.send_many(parts, len(parts[0]), path, self._tos)
        if not sent:
            self._not_sent(waiting, inner)

    def _not_sent(self, outgoing: Sequence[Outgoing], inner: Sequence[bytes]) -> None:
        """Packets of one path, of which one at least was not sent: where they were too large, send them as
        they fit.
        """
        room = self._narrow.refused(outgoing[0].path)
        if room:
            for one, packet in zip(outgoing, inner, strict=True):
                if len(one.datagram) > room:
                    self._again(packet, len(one.datagram))
            self.flush()

    def _again(self, packet: bytes, size: int) -> None:
        """Send what has not left, as it fits now."""
        if packet:
            self.gather(packet)
        else:
            detail = f"an ESP packet of {size} octets"
            self._log.drop(EventName.PACKET_DROPPED, DropReason.PACKET_TOO_BIG, detail=detail)

    def _gather(self, outgoing: Outgoing, tos: int, packet: bytes) -> None:
        waiting, size = self._waiting, len(outgoing.datagram)
        if waiting:
            each = len(waiting[0].datagram)
            full = len(waiting) == MAX_DATAGRAMS or (len(waiting) + 1) * each > MAX_OCTETS
            if full or size != each or tos != self._tos or outgoing.path is not waiting[0].path:
                self.flush()
        self._tos = tos
        self._waiting.append(outgoing)
        self._inner.append(packet)

    def _keep_back(self, result: Refused | TooLarge) -> None:
        """What is not sent as it is."""
        if isinstance(result, TooLarge):
            self._fit(result)
        else:
            self._log.drop(EventName.PACKET_DROPPED, result.reason, detail=result.detail)

    def _fit(self, large: TooLarge) -> None:
        """Send a packet that is too large in pieces, or tell its sender."""
        packet, sa = large
        # In transport mode it is the ESP packet that is fragmented, not what is inside (RFC 4303 3.3.4).
        if must_fit(packet) or sa.transport:
            sa.cut += 1
            self._protect(sa, packet, packet, whole=False)
            return
        pieces = fragments(packet, sa)
        if pieces:
            sa.cut += 1
            for piece in pieces:
                self._protect(sa, piece, packet if piece is pieces[0] else b"")
            return
        answer = too_big(packet, sa.width)
        if answer is not None:
            self.tell(answer)
        detail = f"{len(packet)} octets, outbound SPI {sa.spi.hex()} takes {sa.width}"
        self._keep_back(self._tunnel.refuse(DropReason.PACKET_TOO_BIG, detail, sa))

    def _protect(self, sa: OutboundSa, piece: bytes, packet: bytes, whole: bool = True) -> None:
        """Send a piece of a packet through this SA; `packet` is told as sent, where it is one."""
        result = self._tunnel.number(sa, piece)
        self._notice()
        if isinstance(result, Refused):
            self._keep_back(result)
            return
        if whole:
            self._gather(result, octet(piece) & self._copied, piece)
        else:
            self.flush()
            self._sender.send_pieces(result.datagram, result.path, octet(piece) & self._copied)
        if packet:
            self.sent(packet, result)

    def _notice(self) -> None:
        for notice in self._sad.notices():
            self.expired(notice)

    def lost(self, detail: str, reason: DropReason = DropReason.TUN_QUEUE_FULL) -> None:
        """An inner packet could not be handed over to the TUN device, or could not be made."""
        self._log.drop(EventName.PACKET_DROPPED, reason, detail=detail)
