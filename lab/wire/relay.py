"""The relay: sockets and names around the engine.

    initiator -> listener (address of the wire) -> engine -> mapping's socket -> target, and back

A datagram whose sender's name or whose target is not known yet waits for it, in order and among a bounded
number of others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lab.wire.acts import NoEffect
from lab.wire.config import Config
from lab.wire.engine import Engine, Way
from lab.wire.eventlog import EventLog
from lab.wire.faults import Act, Fault
from lab.wire.holding import Timer
from lab.wire.names import Directory, asker
from lab.wire.nat import Mapping, Nat
from lab.wire.packets import Endpoint
from lab.wire.profiles import PROFILES
from lab.wire.recorder import Recorder
from lab.wire.spoof import Spoofer
from lab.wire.udp import Listener, SocketAddress, note

#: Datagrams taken from one socket before others have their turn.
BATCH = 64
#: Datagrams that wait for a name or for the target.
MAX_WAITING = 256


@dataclass(frozen=True, slots=True)
class _Arrival:
    listener: Listener
    octets: bytes
    source: SocketAddress
    own: str


class Relay:
    """One relay; to its engine it is the outside."""

    def __init__(
        self, config: Config, log: EventLog, recorder: Recorder, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Bind every port. Raises OSError."""
        self.config, self._log, self._recorder, self._loop = config, log, recorder, loop
        #: What the network said about single datagrams, by name of the error.
        self.errors: Counter[str] = Counter()
        #: Datagrams that could not be relayed: nobody to relay to, or no room to wait.
        self.lost = 0
        self.nat = Nat(config.version, config.listen, self.errors, self._watch, self._forget)
        ask = asker(config.version, loop.call_soon_threadsafe)
        self.directory = Directory(config.nodes, ask, loop.call_later, loop.time, self._drain)
        self.engine = Engine(PROFILES[config.profile], config.seed, config.faults, self)
        self._spoofer: Spoofer | None = None
        self._waiting: list[_Arrival] = []
        self._listeners: list[Listener] = []
        try:
            for port in config.ports:
                self._listeners.append(Listener(config.version, config.listen, port, self.errors))
        except OSError:
            self.close()
            raise

    def start(self) -> None:
        """Take datagrams; they wait for the target."""
        for listener in self._listeners:
            self._loop.add_reader(listener.socket, self._from_initiators, listener)
        self.directory.look()

    def begin(self, target: str) -> None:
        """The target is known: relay, and let the faults act that match the start."""
        self.nat.target = target
        config = self.config
        self._spoofer = Spoofer(target, config.sources, self._taken, self.errors, config.seed)
        self.engine.start(config.ports[0])
        self._drain()

    def _taken(self) -> frozenset[str]:
        """Addresses that are somebody's."""
        return self.directory.addresses | {self.nat.target, self.config.listen}

    def change(self, faults: Sequence[Fault], reason: str) -> None:
        """Put other faults in force."""
        self.engine.change(faults, reason, self.config.ports[0] if self.nat.target else None)

    def close(self) -> None:
        """Send on what is held back, and close everything."""
        self.engine.stop()
        for listener in self._listeners:
            self._loop.remove_reader(listener.socket)
            listener.close()
        self.nat.close()
        if self._spoofer is not None:
            self._spoofer.close()

    # What the engine asks for.

    def now(self) -> float:
        """Seconds of the event loop's clock."""
        return self._loop.time()

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something after some seconds."""
        return self._loop.call_later(seconds, action)

    def send(self, way: Way, octets: bytes) -> None:
        """Send along a way, unless its mapping is gone."""
        mapping = self.nat.get(way.flow)
        if mapping is None:
            self.lost += 1
        elif way.forward:
            self.nat.send(mapping, octets)
        else:
            mapping.listener.send(octets, mapping.peer, mapping.own)

    def record(self, way: Way, octets: bytes, comment: str) -> int:
        """Put a packet of a way into the capture, as if there were no relay."""
        mapping = self.nat.get(way.flow)
        if mapping is None:
            return self._recorder.packets
        ends = mapping.initiator, Endpoint(self.nat.target, way.port)
        source, target = ends if way.forward else ends[::-1]
        return self._recorder.record(source, target, octets, comment)

    def rebind(self, way: Way) -> str:
        """Give a flow another port. Raises NoEffect."""
        mapping = self.nat.get(way.flow)
        if mapping is None:
            raise NoEffect("its mapping is gone")
        return self.rebind_mapping(mapping)

    def rebind_mapping(self, mapping: Mapping) -> str:
        """The same, of a mapping."""
        try:
            old, new = self.nat.rebind(mapping)
        except OSError as error:
            raise NoEffect(f"no other port can be had: {error.strerror}") from error
        self.tell("wire_rebound", source=self.node(mapping), old=str(old), new=str(new))
        return f"{old} to {new}"

    def spoof(self, port: int, octets: bytes, comment: str) -> None:
        """Send from an address that is nobody's."""
        source = self._spoofer.send(port, octets) if self._spoofer else None
        if source is not None:
            self._recorder.record(source, Endpoint(self.nat.target, port), octets, comment)

    def why_no_flood(self) -> str:
        """Empty where a flood can be sent."""
        return self._spoofer.why_not() if self._spoofer else "the target is not known yet"

    def why_not(self, faults: Sequence[Fault]) -> str:
        """Empty where these faults can act, as far as it is known."""
        if self._spoofer is None or not any(fault.act is Act.FLOOD for fault in faults):
            return ""
        return self._spoofer.why_not()

    def answers(self) -> int | None:
        """Answers to spoofed addresses."""
        return self._spoofer.answers() if self._spoofer else None

    def tell(self, event: str, /, **fields: object) -> None:
        """Write an event."""
        self._log.tell(event, **fields)

    # Datagrams.

    def node(self, mapping: Mapping) -> str:
        """The name of an initiator, or its address."""
        return self.directory.name(mapping.initiator.address) or mapping.initiator.address

    def _from_initiators(self, listener: Listener) -> None:
        for _ in range(BATCH):
            found = listener.receive()
            if found is None:
                return
            self._take(_Arrival(listener, *found))

    def _take(self, arrival: _Arrival) -> None:
        name = self.directory.name(str(arrival.source[0]).partition("%")[0])
        if name is None or not self.nat.target:
            self._wait(arrival)
            return
        try:
            mapping = self.nat.of(arrival.source, arrival.listener, arrival.own)
        except OSError as error:
            note(error, self.errors)
            self.lost += 1
            return
        way = Way(mapping.number, True, arrival.listener.port, name, self.config.target_name)
        self.engine.arrive(way, arrival.octets)

    def _wait(self, arrival: _Arrival) -> None:
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(arrival)
        else:
            self.lost += 1

    def _drain(self) -> None:
        """Try again what waits."""
        waiting, self._waiting = self._waiting, []
        for arrival in waiting:
            self._take(arrival)

    def _from_target(self, mapping: Mapping) -> None:
        for _ in range(BATCH):
            octets = self.nat.receive(mapping)
            if octets is None:
                return
            self.nat.use(mapping)
            port, target = mapping.listener.port, self.config.target_name
            self.engine.arrive(Way(mapping.number, False, port, target, self.node(mapping)), octets)

    def _watch(self, mapping: Mapping) -> None:
        self._loop.add_reader(mapping.socket, self._from_target, mapping)

    def _forget(self, mapping: Mapping) -> None:
        self._loop.remove_reader(mapping.socket)
