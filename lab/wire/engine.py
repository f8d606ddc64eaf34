"""What happens to a datagram: faults have their turns, and what they decided is carried out.

    arrival -> turns of the faults -> record -> [behind junk] -> [behind others] -> [delay] -> send
                                             -> copies: at once, later, or back to the sender

No socket and no clock: whatever touches the world is asked of an `Outside`, so tests run on virtual time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from lab.wire import acts
from lab.wire.acts import Copy, Junk, NoEffect, Parcel
from lab.wire.dice import Dice, Tally, Turn
from lab.wire.faults import Act, Fault
from lab.wire.flood import Flood
from lab.wire.holding import Holding, Timer
from lab.wire.patterns import Seen
from lab.wire.profiles import Profile

#: Forged messages that leave at once, and the seconds between such batches: a receiver that opens one in
#: 100 microseconds keeps up, and its socket buffer holds several batches.
JUNK_BATCH, JUNK_PAUSE = 16, 0.005
#: Senders whose datagrams are counted, for `datagram N`.
MAX_SENDERS = 1024
#: What was done, for the comments of packets.
_DONE = {
    Act.DROP: "dropped",
    Act.DUPLICATE: "duplicated",
    Act.REORDER: "held back",
    Act.DELAY: "delayed",
    Act.CORRUPT: "corrupted",
    Act.TRUNCATE: "truncated",
    Act.REPLAY: "to be replayed",
    Act.REFLECT: "reflected",
    Act.REBIND: "rebound",
    Act.DOWNGRADE: "downgraded",
    Act.JUNK: "held back for junk",
    Act.FLOOD: "answered by a flood",
}


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of one flow: `forward` is from an initiator to the target.

    `port` is the one that initiators and the target use; `flow` numbers the mapping.
    """

    flow: int
    forward: bool
    port: int
    source: str
    target: str

    def back(self) -> "Way":
        """The other direction."""
        return replace(self, forward=not self.forward, source=self.target, target=self.source)


class Outside(Protocol):
    """The world as the engine sees it."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something after some seconds."""

    def send(self, way: Way, octets: bytes) -> None:
        """Send octets to the receiver of a way."""

    def record(self, way: Way, octets: bytes, comment: str) -> int:
        """Put a packet into the capture; returns its number there."""

    def rebind(self, way: Way) -> str:
        """Give the flow another port towards the target; returns a detail for the event."""

    def spoof(self, port: int, octets: bytes, comment: str) -> None:
        """Send octets to the target from an address that is nobody's."""

    def why_no_flood(self) -> str:
        """Empty where `spoof` works, else what it lacks."""

    def answers(self) -> int | None:
        """How many answers came to such addresses since this was asked last; None where nobody can know."""

    def tell(self, event: str, /, **fields: object) -> None:
        """Write an event."""


class Engine:
    """All state of the faults of a relay."""

    def __init__(self, profile: Profile, seed: int, faults: Sequence[Fault], outside: Outside) -> None:
        self._profile, self._seed, self._outside = profile, seed, outside
        self._dice = Dice(faults, seed)
        self._holding = Holding(outside.later)
        self._order = 0
        self._counts: dict[str, int] = {}
        self._flood: Flood | None = None
        #: The first IKE_SA_INIT request that came, and its port: floods look like it. It has no cookie yet.
        self._template: tuple[bytes, int] | None = None
        #: Changes with the list of faults: an attack of an older one ends.
        self._generation = 0
        #: Datagrams that were sent on (with or without a change), and acts of faults.
        self.relayed = 0
        self.acted = 0

    @property
    def held(self) -> int:
        """Datagrams and copies that are held back now."""
        return len(self._holding)

    def tallies(self) -> list[tuple[Fault, Tally]]:
        """The faults in force and what each has seen."""
        return self._dice.tallies()

    def start(self, port: int) -> None:
        """Let the faults act that begin with the relay. `port` is the one of IKE_SA_INIT."""
        for turn in self._dice.at_start():
            try:
                detail = self._begin_flood(turn, port)
            except NoEffect as error:
                detail = f"no effect: {error}"
            self._told(turn, None, "start", 0, detail)

    def change(self, faults: Sequence[Fault], reason: str, port: int | None) -> None:
        """Put other faults in force, with counters at zero. What is held back stays; attacks end.

        `port` is for `start`; None where that is still to come.
        """
        self._dice = Dice(faults, self._seed)
        self._generation += 1
        if self._flood is not None:
            self._flood.stop()
        self._outside.tell("wire_faults_changed", faults=[str(fault) for fault in faults], reason=reason)
        if port is not None:
            self.start(port)

    def stop(self) -> None:
        """Let go of what is held back, and end attacks."""
        self._generation += 1
        if self._flood is not None:
            self._flood.stop()
        self._holding.flush()

    def arrive(self, way: Way, octets: bytes) -> None:
        """Take a datagram and pass it on, or do to it what the faults say."""
        self._order += 1
        identity = self._profile.read(octets, way.port)
        seen = Seen(identity, way.source, way.target, way.forward, self._count(way.source))
        parcel = Parcel(octets, identity, self._profile)
        if way.forward and identity.opens and self._template is None:
            self._template = (octets, way.port)
        for turn in self._dice.turns(seen):
            self._act(turn, parcel, way)
            if parcel.dropped:
                break
        number = self._outside.record(way, octets, "; ".join(parcel.done))
        self._carry_out(_Journey(way, parcel, self._order, number))

    def _count(self, sender: str) -> int:
        number = self._counts.get(sender, 0) + 1
        if sender not in self._counts and len(self._counts) >= MAX_SENDERS:
            self._counts.pop(next(iter(self._counts)))
        self._counts[sender] = number
        return number

    def _act(self, turn: Turn, parcel: Parcel, way: Way) -> None:
        fault = turn.fault
        try:
            detail = self._perform(turn, parcel, way)
        except NoEffect as error:
            detail = f"no effect: {error}"
        else:
            parcel.done.append(f"{_DONE[fault.act]} by fault {turn.place}: {parcel.identity}")
        self._told(turn, way, str(parcel.identity), len(parcel.original), detail)

    def _perform(self, turn: Turn, parcel: Parcel, way: Way) -> str:
        """Raises NoEffect."""
        fault = turn.fault
        if fault.act is Act.REBIND:
            return self._outside.rebind(way)
        if fault.act is Act.FLOOD:
            return self._begin_flood(turn, way.port)
        count = fault.copies if fault.act is Act.REPLAY else 1
        if fault.act in acts.HOLDING and not self._holding.room(len(parcel.octets), count):
            raise NoEffect("too much is held back already")
        return acts.apply(turn, parcel)

    def _told(self, turn: Turn, way: Way | None, datagram: str, octets: int, detail: str) -> None:
        self.acted += 1
        self._outside.tell(
            "wire_fault",
            act=str(turn.fault.act),
            match=turn.fault.match.text,
            datagram=datagram,
            source=way.source if way else None,
            target=way.target if way else None,
            octets=octets,
            number=turn.number,
            detail=detail,
            fault=turn.place,
        )

    def _begin_flood(self, turn: Turn, port: int) -> str:
        """Raises NoEffect."""
        if self._flood is not None and self._flood.running:
            raise NoEffect("another flood is still running")
        if why := self._outside.why_no_flood():
            raise NoEffect(why)
        template, port = self._template or (b"", port)
        lead = b"" if template else self._profile.lead(port)
        fault, outside = turn.fault, self._outside

        def shoot(number: int) -> None:
            octets = lead + self._profile.request(template, turn.random)
            outside.spoof(port, octets, f"flood by fault {turn.place}: {number} of {fault.count}")

        self._flood = Flood(fault.count, fault.seconds, shoot, outside)
        self._flood.begin()
        return f"{fault.count} requests in {fault.seconds:g} s"

    def _carry_out(self, journey: "_Journey") -> None:
        parcel = journey.parcel
        if not parcel.dropped:
            if parcel.junk is None:
                self._reorder(journey)
            else:
                release = self._holding.keep(len(parcel.octets), lambda: self._reorder(journey))
                self._send_junk(_Barrage(journey, parcel.junk, self._generation, release), 0)
        for copy in parcel.copies:
            self._copy(journey, copy)

    def _send_junk(self, barrage: "_Barrage", sent: int) -> None:
        """The next batch of forged messages; behind the last one the honest one is released."""
        journey, junk = barrage.journey, barrage.junk
        current = barrage.generation == self._generation
        stop = min(sent + JUNK_BATCH, junk.count) if current else sent
        for number in range(sent + 1, stop + 1):
            octets = self._profile.junk(journey.parcel.original, junk.random) or b""
            self._emit(journey.way, octets, f"junk {number} of {junk.count} before packet {journey.number}")
        if current and stop < junk.count:
            self._outside.later(JUNK_PAUSE, lambda: self._send_junk(barrage, stop))
        else:
            self._outside.tell("wire_junk_done", count=stop)
            barrage.release()

    def _reorder(self, journey: "_Journey") -> None:
        size, within = len(journey.parcel.octets), journey.parcel.within
        if within:
            self._holding.behind(size, journey.lane, journey.order, within, lambda: self._delay(journey))
        else:
            self._delay(journey)

    def _delay(self, journey: "_Journey") -> None:
        parcel = journey.parcel
        if parcel.delay:
            self._holding.wait(len(parcel.octets), parcel.delay, lambda: self._pass(journey))
        else:
            self._pass(journey)

    def _pass(self, journey: "_Journey") -> None:
        parcel = journey.parcel
        self.relayed += 1
        if parcel.changed:
            comment = f"{', '.join(parcel.changed)} copy of packet {journey.number}"
            self._emit(journey.way, parcel.octets, comment)
        else:
            self._outside.send(journey.way, parcel.octets)
        self._holding.passed(journey.lane, journey.order)

    def _copy(self, journey: "_Journey", copy: Copy) -> None:
        way = journey.way.back() if copy.back else journey.way
        comment = f"{copy.what} of packet {journey.number}"

        def emit() -> None:
            self._emit(way, copy.octets, comment)

        if copy.seconds:
            self._holding.wait(len(copy.octets), copy.seconds, emit, original=False)
        else:
            emit()

    def _emit(self, way: Way, octets: bytes, comment: str) -> None:
        """Send octets that did not arrive like this: a packet of their own."""
        self._outside.record(way, octets, comment)
        self._outside.send(way, octets)


@dataclass(frozen=True, slots=True)
class _Journey:
    """A parcel on its way: its place in the order of arrival, and its number in the capture."""

    way: Way
    parcel: Parcel
    order: int
    number: int

    @property
    def lane(self) -> tuple[int, bool]:
        """What is never overtaken but by a fault: one direction of one flow."""
        return self.way.flow, self.way.forward


@dataclass(frozen=True, slots=True)
class _Barrage:
    """Junk before a datagram; it ends early where the faults have changed since."""

    journey: _Journey
    junk: Junk
    generation: int
    release: Callable[[], None]
