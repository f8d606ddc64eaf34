"""The ESP process: TUN device, one UDP socket, the keys of Child SAs, and one loop.

    UDP socket   -> Pump.on_udp     a datagram that is not ESP goes to the IKE process (`Passed`)
    TUN device   -> Pump.on_tun
    channel      -> an order of the IKE process; each is answered, but for those that say otherwise
    tie          closed: the supervisor is gone, or wants us to end

Rules:

1. It decides nothing: which SAs there are, and where their peers are, it is told.
2. An order is checked before anything is done; a wrong one is refused and changes nothing. It never ends the
   process.
3. What happens is told without waiting: where the IKE process is slow, notices are counted in place of that.
   How many there are is bounded before they are made.
"""

import select
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from node.daemon.chaff import Chaff
from node.daemon.channel import Channel
from node.daemon.dataplane import DataPlane, Origin
from node.daemon.documents import DocumentError
from node.daemon.orders import (
    MAX_TOLD,
    ORDERS,
    PAGE,
    AddInbound,
    AddOutbound,
    Answer,
    Arrived,
    Count,
    Counts,
    Done,
    Expired,
    Gone,
    HandOver,
    Heard,
    Inner,
    Left,
    Lost,
    Move,
    Narrowed,
    Newest,
    Notice,
    Number,
    Order,
    Passed,
    Query,
    Refused,
    Remove,
    RemoveOutbound,
    Reset,
    Statuses,
    Strayed,
    Tell,
    pack,
    unpack,
)
from node.daemon.pump import BATCH, Pump, Watch
from node.errors import DropReason, LocalMisuse
from node.esp.sa import Volume
from node.esp.sad import RekeyNeeded
from node.esp.tos import CopyDscp
from node.esp.widths import Change
from node.eventlog import is_told
from node.ike.ratelimit import TokenBucket
from node.model.events import EventName
from node.model.message import Path
from node.net import clock
from node.net.steer import Steer
from node.net.transport import Line
from node.net.tun import Tun
from node.ports import Entropy

#: Seconds to wait for room for an answer, which the IKE process waits for, and for what must not be lost.
ANSWER_PATIENCE = 0.2
#: Seconds for which a packet from a new path waits for the word of the IKE process, so that an answer to it
#: goes there, too; and how often in a second, and at once.
STRAY_PATIENCE, STRAYS_PER_SECOND, STRAYS_BURST = 0.05, 2.0, 4
#: Packets of the demo, and datagrams for the IKE process, that are passed on in a second, and at once.
PASSED_PER_SECOND, PASSED_BURST = 200.0, 200


class Refusals:
    """What was dropped: counted, and told as `node.eventlog` tells it."""

    def __init__(self, tell: Callable[[Notice], bool]) -> None:
        self._tell = tell
        self._dropped: Counter[DropReason] = Counter()
        self._untold: dict[DropReason, Lost] = {}

    def drop(
        self, name: EventName, reason: DropReason, /, *, peer: str | None = None, detail: str = ""
    ) -> None:
        """Count a discarded datagram or packet, and tell it unless it is one of many."""
        before = self._dropped[reason]
        self._dropped[reason] = before + 1
        earlier = self._untold.pop(reason, None)
        lost = Lost(name, reason, 1 + (earlier.times if earlier else 0), peer, detail)
        if not (is_told(before, before + 1) and self._tell(lost)):
            self._untold[reason] = lost

    def tell_rest(self) -> None:
        """Tell the counts that nobody knows yet."""
        self._untold = {reason: lost for reason, lost in self._untold.items() if not self._tell(lost)}


class EspProcess:
    """`line` is the socket that gets what is not IKE; `channel` leads to the IKE process, `tie` to the
    supervisor. `dummies` are sent in a second.
    """

    def __init__(
        self,
        tun: Tun,
        line: Line,
        channel: Channel,
        tie: Channel,
        generation: int,
        watch: Watch,
        max_packets: int,
        volume: Volume,
        entropy: Entropy,
        dummies: int = 0,
        copy_dscp: CopyDscp = CopyDscp.OUT,
    ) -> None:
        self._tun, self._line, self._channel, self._tie = tun, line, channel, tie
        self._generation = generation
        self._untold = 0
        self._refusals = Refusals(self._tell)
        self._plane = DataPlane(line.udp, self._refusals, entropy, max_packets, volume, copy_dscp)
        self._plane.strayed, self._plane.expired = self._strayed, self._expired
        self._chaff = Chaff(self._plane.send_dummies, dummies) if dummies else None
        self._plane.changed = self._changed
        self._watch = watch
        self._pump = Pump(self._plane, (line,), self._other)
        self._pump.attach(tun, watch, self._gone)
        self._strays = TokenBucket(STRAYS_PER_SECOND, STRAYS_BURST)
        self._passed = TokenBucket(PASSED_PER_SECOND, PASSED_BURST)
        self._heard = self._over = False
        self._epoll = select.epoll()

    def run(self) -> None:
        """Until the supervisor ends it."""
        handlers: Mapping[int, Callable[[], None]] = {
            self._line.udp.fileno(): partial(self._pump.on_udp, self._line.udp),
            self._tun.fileno(): self._pump.on_tun,
            self._channel.fileno(): self._on_channel,
            self._tie.fileno(): self._on_tie,
        }
        for descriptor in handlers:
            self._epoll.register(descriptor, select.EPOLLIN)
        chaff, poll = self._chaff, self._epoll.poll
        while not self._over:
            for descriptor, _ in poll(chaff.wait(clock.monotonic()) if chaff else None):
                handlers[descriptor]()
            if chaff:
                chaff.send_due(clock.monotonic())

    # -- orders ----------------------------------------------------------------------------------------------

    def _on_channel(self) -> None:
        for _ in range(BATCH):
            try:
                document = self._channel.receive()
            except EOFError:
                self._over = self._heard = True
                return
            if document is None:
                return
            self._take(document)

    def _on_tie(self) -> None:
        try:
            self._tie.receive()
        except EOFError:
            self._over = True

    def _take(self, document: bytes) -> None:
        try:
            letter = unpack(document, ORDERS)
        except DocumentError as error:
            # Nobody can be told whose order this was; who waits for its answer stops to wait.
            self._refusals.drop(EventName.PACKET_DROPPED, DropReason.MALFORMED, detail=f"order: {error}")
            return
        if letter.generation != self._generation:
            return
        try:
            answer = self._obey(letter.message)
        except LocalMisuse as error:
            answer = Refused(str(error))
        if answer is not None:
            self._channel.send(pack(self._generation, letter.number, answer), ANSWER_PATIENCE)

    def _obey(self, order: Order) -> Answer | None:
        """Carry out an order. Raises LocalMisuse, and nothing has changed then."""
        plane = self._plane
        match order:
            case Query():
                return Statuses(plane.page(order.first, PAGE))
            case Newest():
                return Number(plane.newest(order.inbound_spi))
            case Count():
                self._refusals.tell_rest()
                return Counts(dict(self._line.udp.errors), self._untold)
            case Inner():
                plane.packet(order.packet)
                return None
            case Heard():
                self._heard = True
                return None
        self._change(order)
        return Done()

    def _change(
        self, order: Reset | AddInbound | AddOutbound | HandOver | Move | RemoveOutbound | Remove | Tell
    ) -> None:
        plane = self._plane
        match order:
            case AddInbound(child) | AddOutbound(child) if not self._line.udp.reaches(child.path):
                raise LocalMisuse(f"{child.path} is not of the family of our socket")
            case Move() if not self._line.udp.reaches(order.path):
                raise LocalMisuse(f"{order.path} is not of the family of our socket")
            case Reset():
                plane.clear()
                self._watch.tell(self, echoes=None)
            case AddInbound():
                plane.add_inbound(order.child)
            case AddOutbound():
                plane.add_outbound(order.child)
            case HandOver():
                plane.hand_over(order.old_spi, order.ike_spi)
            case Move():
                plane.move(order.inbound_spi, order.path)
            case RemoveOutbound():
                plane.remove_outbound(order.inbound_spi)
            case Remove():
                plane.remove(order.inbound_spi)
            case Tell():
                self._watch.tell(self, echoes=order.echoes)

    # -- notices ---------------------------------------------------------------------------------------------

    def arrived(self, packet: bytes, origin: Origin) -> None:
        """Tell of a packet of the demo that came."""
        if self._may_pass(packet):
            self._tell(Arrived(packet, origin.peer, bytes.fromhex(origin.spi), origin.sequence))

    def left(self, packet: bytes, spi: bytes, sequence: int) -> None:
        """Tell of a packet of the demo that has left."""
        if self._may_pass(packet):
            self._tell(Left(packet, spi, sequence))

    def _may_pass(self, packet: bytes) -> bool:
        return len(packet) <= MAX_TOLD and self._passed.take(clock.monotonic())

    def _other(self, kind: Steer, octets: bytes, path: Path) -> None:
        """What the kernel should have given to the IKE process, and so has not chosen by our program."""
        if self._passed.take(clock.monotonic()):
            self._tell(Passed(octets, path))
        else:
            self._refusals.drop(
                EventName.DATAGRAM_DROPPED, DropReason.RATE_LIMITED, peer=path.peer, detail=str(kind)
            )

    def _strayed(self, ike_spi: bytes, path: Path) -> None:
        now = clock.monotonic()
        if not self._strays.take(now) or not self._tell(Strayed(ike_spi, path)):
            return
        self._heard, end = False, now + STRAY_PATIENCE
        while not self._heard and self._channel.wait(end - clock.monotonic()):
            self._on_channel()

    def _expired(self, notice: RekeyNeeded) -> None:
        self._tell(Expired(*notice), ANSWER_PATIENCE)

    def _changed(self, change: Change) -> None:
        self._tell(Narrowed(*change))

    def _gone(self, reason: str) -> None:
        self._epoll.unregister(self._tun.fileno())
        self._tell(Gone(reason), ANSWER_PATIENCE)

    def _tell(self, notice: Notice, patience: float = 0.0) -> bool:
        told = self._channel.send(pack(self._generation, 0, notice), patience)
        self._untold += not told
        return told
