"""The data path in this process: datagrams to inner packets and back, over one SAD.

Rules:

1. Fail closed: what the tunnel refuses is dropped and counted, never sent otherwise.
2. The engine reaches the SAs through `add_inbound`, `add_outbound`, `move` and `remove` only, so that a
   process border fits in between.
3. Where a peer is, is the engine's to say: a packet from elsewhere is told, and moves nothing by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from node.errors import DropReason
from node.esp.sa import ESN_LIMIT, Volume
from node.esp.sad import RekeyNeeded, Sad, SaStatus
from node.esp.tunnel import Incoming, Outgoing, Tunnel
from node.eventlog import EventLog
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


class Sender(Protocol):
    """Sends an ESP packet."""

    def send(self, datagram: bytes, path: Path, /) -> bool:
        """Send on a path. False where the kernel refused, which it counts."""
        ...


#: Takes a decrypted inner packet.
Deliver = Callable[[bytes, Origin], None]
#: Hears of an inner packet that left in this ESP packet.
Sent = Callable[[bytes, Outgoing], None]
#: Hears of a packet that came on another path than its SA's: our SPI of the IKE SA, and that path.
Strayed = Callable[[bytes, Path], None]


#: Hears of a Child SA, by its inbound SPI, that has sent what it may before it is to be replaced, or ever.
Expired = Callable[[bytes, bool], None]


class DataPlane:
    """Encapsulates and decapsulates.

    `deliver` and `sent` are set by the inner side, `strayed` and `expired` by the node.

    `max_packets` bounds what one Child SA sends; 0: its sequence numbers do. `volume` is what it sends before
    `expired` is told.
    """

    def __init__(
        self,
        sender: Sender,
        log: EventLog,
        entropy: Entropy,
        max_packets: int = 0,
        volume: Volume | None = None,
    ) -> None:
        self._sender, self._log = sender, log
        self._sad = Sad(entropy, max_packets or ESN_LIMIT, volume)
        self._tunnel = Tunnel(self._sad)
        self.deliver: Deliver = lambda packet, origin: None
        self.sent: Sent = lambda packet, outgoing: None
        self.strayed: Strayed = lambda ike_spi, path: None
        self.expired: Expired = lambda inbound_spi, hard: None

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

    def query(self) -> tuple[SaStatus, ...]:
        """Every Child SA with its counters."""
        return self._sad.query()

    def newest(self, inbound_spi: bytes) -> int:
        """The highest sequence number that came, 0 for none."""
        return self._sad.newest(inbound_spi)

    def datagram(self, octets: bytes, path: Path) -> None:
        """Take an ESP packet from the wire."""
        result = self._tunnel.decapsulate(octets)
        peer = path.peer
        if isinstance(result, Incoming):
            if result.newest and (ike_spi := self._sad.strayed(result.spi, path)) is not None:
                # Before its contents: an answer to them must go there, too.
                self.strayed(ike_spi, path)
            self.deliver(result.packet, Origin(peer, result.spi.hex(), result.sequence))
        else:
            self._log.drop(EventName.DATAGRAM_DROPPED, result.reason, peer=peer, detail=result.detail)

    def packet(self, packet: bytes) -> Outgoing | None:
        """Send an inner packet through the tunnel; None where there is no way, which is counted."""
        result = self._tunnel.encapsulate(packet)
        for notice in self._sad.notices():
            self._tell(notice)
        if isinstance(result, Outgoing):
            self._sender.send(result.datagram, result.path)
            self.sent(packet, result)
            return result
        self._log.drop(EventName.PACKET_DROPPED, result.reason, detail=result.detail)
        return None

    def _tell(self, notice: RekeyNeeded) -> None:
        name = EventName.CHILD_SA_EXPIRED if notice.exhausted else EventName.CHILD_SA_EXPIRING
        spis = {"inbound_spi": notice.inbound_spi.hex(), "outbound_spi": notice.outbound_spi.hex()}
        self._log.emit(name, **spis)
        self.expired(notice.inbound_spi, notice.exhausted)

    def lost(self, detail: str, reason: DropReason = DropReason.TUN_QUEUE_FULL) -> None:
        """An inner packet could not be handed over to the TUN device, or could not be made."""
        self._log.drop(EventName.PACKET_DROPPED, reason, detail=detail)
