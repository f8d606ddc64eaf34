"""The data path in another process: orders that are waited for, and what that process tells.

Rules:

1. The other process reads what strangers send, and may be theirs by now. What it says is checked; what cannot
   be true ends it: it is a new one then, with new keys. It is never waited for longer than `PATIENCE`.
2. Which process there is, the supervisor says. A new one has no Child SA. Their keys are never given a second
   time: sequence numbers and nonces would begin anew. Whoever owns them hears of it (`renewed`), and has to
   make new ones.
3. What it tells is heard in its order, and never in the middle of something else: in a turn of its own of the
   event loop, or when `catch_up` is called.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from node.daemon.channel import Channel
from node.daemon.dataplane import Changed as HearChanged
from node.daemon.dataplane import Counted, Origin
from node.daemon.dataplane import Expired as HearExpired
from node.daemon.dataplane import Strayed as HearStrayed
from node.daemon.documents import DocumentError
from node.daemon.orders import (
    ANSWERS,
    NOTICES,
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
    Letter,
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
from node.daemon.pump import BATCH, Witness
from node.daemon.tie import NOBODY, Tie
from node.errors import DecodeError, DropReason
from node.esp.inner import total_length
from node.esp.sad import RekeyNeeded, SaStatus
from node.esp.widths import Change
from node.eventlog import EventLog
from node.ike.ratelimit import TokenBucket
from node.model.child import ChildSa
from node.model.events import EventName
from node.model.message import Path, outer_address
from node.net import clock
from node.net.udp import UdpSocket

#: Seconds to wait for an answer: a packet or a batch of them is handled in between, which takes a thousandth.
PATIENCE = 2.0
#: Seconds to wait for the first one, from a process that may just begin.
FIRST_PATIENCE = 5.0
#: Notices that may come before an answer.
MAX_QUEUED = 4_096
#: The events that it may tell of refusals.
_REFUSALS = frozenset({EventName.DATAGRAM_DROPPED, EventName.PACKET_DROPPED})
#: What may be told of that costs us an event or a look: in a second, and at once. Honest ones tell less.
TOLD_PER_SECOND, TOLD_BURST = 400.0, 400
#: What may come.
_SAID: tuple[type[Answer | Notice], ...] = (*ANSWERS, *NOTICES)

A = TypeVar("A", bound=Answer)


class RemotePath:
    """The `DataPath` of an IKE process. `udp` is our socket on the shared port; `patience` is in seconds.

    `distrusted` hears why the other process must be ended. `renewed` hears of the Child SAs, by inbound SPI,
    that are gone; `refused` of one that cannot be, and why; `passed` of what is not ESP; `gone` of the end of
    the TUN device. Must be made inside a running event loop.
    """

    def __init__(
        self, channel: Channel, tie: Tie, log: EventLog, udp: UdpSocket, patience: float = PATIENCE
    ) -> None:
        self._channel, self._tie, self._log, self._patience = channel, tie, log, patience
        self._udp = udp
        self._loop = asyncio.get_running_loop()
        # Answers to the orders of an IKE process before us have other numbers.
        self._number = tie.instance << 32
        # The generation that is not to be trusted any more.
        self._ended = NOBODY
        self._queue: deque[Letter[Answer | Notice]] = deque()
        # The generation that has the Child SA of an inbound SPI.
        self._children: dict[bytes, int] = {}
        self._expired: set[tuple[bytes, bool]] = set()
        self._witness: Witness | None = None
        self._echoes: int | None = None
        self._told = TokenBucket(TOLD_PER_SECOND, TOLD_BURST)
        self.strayed: HearStrayed = lambda ike_spi, path: None
        self.changed: HearChanged = lambda change: None
        self.expired: HearExpired = lambda notice: None
        self.renewed: Callable[[Sequence[bytes]], None] = lambda spis: None
        self.refused: Callable[[bytes, str], None] = lambda spi, reason: None
        self.passed: Callable[[bytes, Path], None] = lambda octets, path: None
        self.gone: Callable[[str], None] = lambda reason: None
        self.distrusted: Callable[[str], None] = lambda reason: None

    def begin(self) -> None:
        """Have the other process forget what an IKE process before us ordered, and listen from now on."""
        self._loop.add_reader(self._channel.fileno(), self.catch_up)
        self._ask(Reset(), Done, patience=FIRST_PATIENCE)
        # Told to the IKE process before us.
        self._queue.clear()

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._channel.fileno())

    def begun(self) -> None:
        """There is a new process."""
        self._queue.clear()
        if self._witness is not None:
            self.tell(self._witness, echoes=self._echoes)
        self._renew(tuple(self._children))

    @property
    def generation(self) -> int:
        """That of the other process, `NOBODY` where there is none that is trusted."""
        now = self._tie.generation
        return NOBODY if now == self._ended else now

    # -- DataPath --------------------------------------------------------------------------------------------

    def add_inbound(self, child: ChildSa) -> None:
        """Accept the Child SA's packets from now on."""
        spi = child.inbound_spi
        self._children[spi] = NOBODY
        if self._change(AddInbound(child), spi):
            self._children[spi] = self.generation

    def add_outbound(self, child: ChildSa) -> None:
        """Send through the Child SA from now on, unless the process that receives for it is gone."""
        spi = child.inbound_spi
        if self._has(spi):
            self._change(AddOutbound(child), spi)
        elif self.generation != NOBODY:
            self._loop.call_soon(self._renew, (spi,))

    def hand_over(self, old_spi: bytes, ike_spi: bytes) -> None:
        """The Child SAs of one IKE SA belong to another one now."""
        self._change(HandOver(old_spi, ike_spi))

    def move(self, inbound_spi: bytes, path: Path) -> None:
        """Send on this path from now on."""
        self._change(Move(inbound_spi, path))

    def remove_outbound(self, inbound_spi: bytes) -> None:
        """Send no more through the Child SA with this inbound SPI."""
        if self._has(inbound_spi):
            self._change(RemoveOutbound(inbound_spi))

    def remove(self, inbound_spi: bytes) -> None:
        """Forget both directions."""
        there = self._has(inbound_spi)
        self._children.pop(inbound_spi, None)
        self._expired -= {(inbound_spi, True), (inbound_spi, False)}
        if there:
            self._change(Remove(inbound_spi))

    @property
    def size(self) -> int:
        """How many Child SAs there are."""
        return sum(self._has(spi) for spi in self._children)

    def query(self) -> tuple[SaStatus, ...]:
        """Every Child SA with its counters."""
        found: list[SaStatus] = []
        while len(found) <= len(self._children):
            page = self._ask(Query(len(found)), Statuses)
            found += page.found if page else ()
            if page is None or len(page.found) != PAGE:
                break
        return tuple(found)

    def newest(self, inbound_spi: bytes) -> int:
        """The highest sequence number that came, 0 for none."""
        found = self._ask(Newest(inbound_spi), Number)
        return found.value if found else 0

    def count(self) -> Counted:
        """What was counted beside the Child SAs; whatever was dropped until now is in the log."""
        counts = self._ask(Count(), Counts)
        self.catch_up()
        return Counted(counts.errors, counts.untold) if counts else Counted()

    def catch_up(self) -> None:
        """Hear of what has happened until now, a bounded part of it."""
        for _ in range(BATCH):
            letter = self._queue.popleft() if self._queue else self._receive()
            if letter is None:
                return
            if letter.generation == self.generation and not letter.number:
                self._hear(letter.message)
        if self._queue:
            self._loop.call_soon(self.catch_up)

    def packet(self, packet: bytes) -> None:
        """Send an inner packet of ours through the tunnel; where there is no way it is counted."""
        if self.generation == NOBODY or not self._send(Inner(packet)):
            self.lost("no process has the TUN device")

    def lost(self, detail: str, reason: DropReason = DropReason.TUN_QUEUE_FULL) -> None:
        """An inner packet could not be handed over to the kernel, or could not be made."""
        self._log.drop(EventName.PACKET_DROPPED, reason, detail=detail)

    def tell(self, witness: Witness, *, echoes: int | None) -> None:
        """Tell it of the packets of the demo from now on, and of echo replies with this identifier."""
        self._witness, self._echoes = witness, echoes
        self._change(Tell(echoes))

    def _has(self, inbound_spi: bytes) -> bool:
        return self._children.get(inbound_spi, NOBODY) == self.generation != NOBODY

    def _renew(self, spis: Sequence[bytes]) -> None:
        gone = [spi for spi in spis if spi in self._children and not self._has(spi)]
        if gone and self.generation != NOBODY:
            self.renewed(gone)

    # -- orders ----------------------------------------------------------------------------------------------

    def _change(self, order: Order, spi: bytes = b"") -> bool:
        """Order something; False where it is not so, which is told where it is about the Child SA `spi`."""
        return self._ask(order, Done, spi=spi) is not None

    def _ask(self, order: Order, kind: type[A], spi: bytes = b"", patience: float = 0.0) -> A | None:
        """The answer of this kind to an order. None where there is no other process, or it refused."""
        if self.generation == NOBODY:
            return None
        if not self._send(order):
            self._end("takes no orders")
            return None
        answer = self._await(clock.monotonic() + max(patience, self._patience))
        if self._queue:
            self._loop.call_soon(self.catch_up)
        if isinstance(answer, Refused):
            self._loop.call_soon(self.refused, spi, answer.detail)
            return None
        if answer is not None and not isinstance(answer, kind):
            self._end(f"answers {type(order).__name__} with {type(answer).__name__}")
            return None
        return answer

    def _send(self, order: Order) -> bool:
        self._number += 1
        return self._channel.send(pack(self.generation, self._number, order), self._patience)

    def _await(self, deadline: float) -> Answer | None:
        """The answer to the last order. None where none can come any more."""
        generation = self.generation
        while len(self._queue) < MAX_QUEUED:
            letter = self._receive()
            if letter is not None and letter.generation != generation:
                continue
            if self.generation != generation:
                return None
            if letter is None:
                left = deadline - clock.monotonic()
                if left <= 0:
                    self._end("does not answer in time")
                else:
                    self._tie.wait_beside(self._channel, left)
                continue
            if letter.number == self._number and isinstance(letter.message, ANSWERS):
                return letter.message
            if not letter.number:
                self._queue.append(letter)
        self._end("tells more than it answers")
        return None

    def _receive(self) -> Letter[Answer | Notice] | None:
        """What it said next, or None where there is nothing now."""
        try:
            document = self._channel.receive()
            return None if document is None else unpack(document, _SAID)
        except DocumentError as error:
            self._end(f"says what cannot be: {error}")
        except EOFError:
            # The supervisor has died, and the tie says so.
            return None
        return None

    def _end(self, reason: str) -> None:
        """The other process cannot be trusted any more."""
        if self.generation != NOBODY:
            self._tie.end(self.generation)
            self._ended = self.generation
            self._queue.clear()
            self._loop.call_soon(self.distrusted, reason)

    # -- notices ---------------------------------------------------------------------------------------------

    def _hear(self, notice: Answer | Notice) -> None:
        match notice:
            case Strayed() | Passed() if not self._is_ours(notice.path):
                self._end(f"tells of {notice.path}, which is no path of ours")
            case Strayed():
                if self._told.take(clock.monotonic()):
                    self.strayed(notice.ike_spi, notice.path)
                self._send(Heard())
            case Expired():
                self._hear_expired(notice)
            case Arrived() | Left():
                self._hear_of_packet(notice)
            case Lost():
                self._hear_lost(notice)
            case Narrowed():
                self._hear_narrowed(notice)
            case Passed():
                self.passed(notice.octets, notice.path)
            case Gone():
                self.gone(notice.reason)
            case _:
                self._end(f"tells {type(notice).__name__}")

    def _is_ours(self, path: Path) -> bool:
        """Whether a datagram can have come on it."""
        return path.carries_esp and path.local_port == self._udp.port and self._udp.reaches(path)

    def _hear_expired(self, notice: Expired) -> None:
        """Each Child SA reports each only once."""
        key = (notice.inbound_spi, notice.exhausted)
        if self._has(notice.inbound_spi) and key not in self._expired:
            self._expired.add(key)
            self.expired(RekeyNeeded(notice.inbound_spi, notice.outbound_spi, notice.exhausted))

    def _hear_narrowed(self, notice: Narrowed) -> None:
        try:
            ours = outer_address(notice.host).version == self._udp.version
        except ValueError:
            ours = False
        if not ours or notice.before == notice.now:
            self._end("tells of a path MTU that cannot have changed")
        elif self._told.take(clock.monotonic()):
            self.changed(Change(notice.host, notice.before, notice.now))

    def _hear_of_packet(self, notice: Arrived | Left) -> None:
        try:
            whole = total_length(notice.packet) == len(notice.packet)
        except DecodeError:
            whole = False
        if not whole:
            self._end("tells of what is no packet")
        elif self._witness is None or not self._told.take(clock.monotonic()):
            return
        elif isinstance(notice, Arrived):
            origin = Origin(notice.peer, notice.spi.hex(), notice.sequence)
            self._witness.arrived(notice.packet, origin)
        else:
            self._witness.left(notice.packet, notice.spi, notice.sequence)

    def _hear_lost(self, notice: Lost) -> None:
        if notice.event not in _REFUSALS:
            self._end(f"tells {notice.event}")
            return
        peer = {} if notice.peer is None else {"peer": notice.peer}
        self._log.drop(notice.event, notice.reason, notice.times, **peer, detail=notice.detail)
