"""All the ways in which two endpoints may meet, to a bounded depth, and random ones beyond.

A schedule is a list of choices, each a number: which of the possible steps is taken next. Steps are what
either end may be told to do, and what may become of each datagram under way: delivered, in any order, lost or
doubled. Endpoints draw their entropy from counters, so a schedule always does the same, and a failing one is
its own description. Invariants are looked at after every step, and once everything has settled.

    python -m tests.engine.explore asn1 3,0,0,4,1,0      play a schedule and draw it
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from node.ike.endpoint import Endpoint
from node.ike.outputs import InstallInbound
from node.ike.sa import IkeSa
from tests.engine.harness import INITIATOR, RESPONDER, Datagram, Node, Pair, variant
from tests.engine.lives import carries, harmless, kind, settled

#: Seconds after which both ends have given up or done whatever they were told.
PATIENCE = 1_500.0
#: Fast, and with a key exchange in every rekey.
IKE, ESP = ("aes256gcm16-prfsha256-x25519",), ("aes256gcm16",)

#: No deadline further away is waited for within a schedule: no datagram is under way for that long.
MOMENT = 2.0

#: What an endpoint is told about an SA, by our SPI of it (inbound, where it is a Child SA), and when.
Command = Callable[[Endpoint, bytes, float], None]
COMMANDS: dict[str, Command] = {
    "rekey Child SA": Endpoint.rekey_child,
    "rekey IKE SA": Endpoint.rekey_ike,
    "delete Child SA": Endpoint.delete_child,
    "delete IKE SA": Endpoint.delete,
    "reauthenticate IKE SA": Endpoint.reauthenticate,
}


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass(slots=True)
class Limits:
    """How often each end is told something, how many datagrams may be lost or doubled in a schedule, and how
    often time passes before all of them have arrived.
    """

    commands: int = 1
    losses: int = 1
    copies: int = 1
    moments: int = 0


#: Those of random schedules.
WIDE = Limits(2, 2, 2, 3)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that may happen: its words, and what does it."""

    words: str
    take: Callable[[], None] = field(repr=False)


class World:
    """Two endpoints with an IKE SA and a Child SA, and what may happen to them."""

    def __init__(self, codec: str, limits: Limits, allowed: Sequence[str] = tuple(COMMANDS)) -> None:
        self.pair = self.made(codec)
        self.limits, self.allowed = replace(limits), allowed
        self.told = {self.pair.initiator: 0, self.pair.responder: 0}
        self.asked: set[str] = set()
        self.diagram: list[str] = []
        self._seen = {self.pair.initiator: 0, self.pair.responder: 0}
        self._used: set[bytes] = set()
        self.check()

    def made(self, codec: str) -> Pair:
        """The two endpoints, which have met."""
        options = (variant(INITIATOR, ike=IKE, esp=ESP), variant(RESPONDER, ike=IKE, esp=ESP))
        return Pair(codec, *options).establish()

    def steps(self) -> list[Step]:
        """What may happen next, in a fixed order."""
        return [*self._deliveries(), *self._commands(), *self._moments()]

    def take(self, step: Step) -> None:
        """Let it happen. Raises Broken."""
        self.diagram.append(step.words)
        step.take()
        self.check()

    # -- steps -----------------------------------------------------------------------------------------------

    def _deliveries(self) -> Iterator[Step]:
        for place, datagram in enumerate(tuple(self.pair.wire)):
            arrow = self._arrow(datagram)
            yield Step(arrow, lambda p=place: self._deliver(p, keep=False))  # type: ignore[misc]
            if self.limits.losses:
                yield Step(f"{arrow}   lost", lambda p=place: self._lose(p))  # type: ignore[misc]
            if self.limits.copies:
                yield Step(f"{arrow}   and once more", lambda p=place: self._copy(p))  # type: ignore[misc]

    def _commands(self) -> Iterator[Step]:
        for node, told in self.told.items():
            for name in self.allowed if told < self.limits.commands else ():
                for place, spi in self._targets(name, node):
                    words = f"{node.options.name}: {name}{' (the new one)' * place}"
                    yield Step(words, lambda s=spi, n=node, w=name: self._tell(w, n, s))  # type: ignore[misc]

    def _targets(self, name: str, node: Node) -> Iterator[tuple[int, bytes]]:
        """What the command may be about: one SA, and while an IKE SA is authenticated anew, that of each."""
        up = [sa for sa in node.endpoint._sas.values() if sa.phase == "ESTABLISHED"]
        if len(up) > 1 and not self.reauthenticates:
            return
        for place, sa in enumerate([sa for sa in up if sa.predecessor is None][:2]):
            free = [spi for spi, o in sa.children.items() if o.state == "INSTALLED"]
            if "Child" in name and len(free) == 1:
                yield place, free[0]
            elif "IKE" in name and (sa.auth.ours or "reauthenticate" not in name):
                yield place, sa.local_spi

    @property
    def reauthenticates(self) -> bool:
        """An end was told to authenticate anew."""
        return "reauthenticate IKE SA" in self.asked

    def _tell(self, name: str, node: Node, spi: bytes) -> None:
        self.told[node] += 1
        self.asked.add(name)
        COMMANDS[name](node.endpoint, spi, self.pair.now)
        self.pair.flush(node)

    def _moments(self) -> Iterator[Step]:
        due = min(self.pair.deadlines(), default=None)
        if self.limits.moments and due is not None and due <= self.pair.now + MOMENT:
            yield Step(f"... {max(due - self.pair.now, 0.0):.2f} s pass", self._pass)

    def _pass(self) -> None:
        self.limits.moments -= 1
        pair = self.pair
        pair.now = max(pair.now, min(pair.deadlines()))
        for node in self.told:
            node.endpoint.handle_timeout(pair.now)
            pair.flush(node)

    def _deliver(self, place: int, *, keep: bool) -> None:
        datagram = self.pair.wire[place]
        if not keep:
            del self.pair.wire[place]
        self.pair.deliver(datagram)

    def _lose(self, place: int) -> None:
        self.limits.losses -= 1
        del self.pair.wire[place]

    def _copy(self, place: int) -> None:
        self.limits.copies -= 1
        self._deliver(place, keep=True)

    def _arrow(self, datagram: Datagram) -> str:
        words = kind(self.pair, datagram)
        right = datagram.source is self.pair.initiator
        number = self.pair.initiator.codec.peek(datagram.octets).header.message_id
        return f"{words} {number} -->" if right else f"{'':40}<-- {words} {number}"

    # -- invariants ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What always holds: no key and no SPI is used twice, and what an end sends finds an SA at the other
        one. (The harness sees that inbound comes first, and that outbound is installed and removed once.)
        """
        for node in (self.pair.initiator, self.pair.responder):
            for output in node.outputs[self._seen[node] :]:
                if isinstance(output, InstallInbound):
                    self._use(output.child.inbound_spi + node.options.name.encode())
                    self._use(output.child.inbound.encr.reveal())
            self._seen[node] = len(node.outputs)
        # Who is told to delete an IKE SA takes its Child SAs down before the peer can know.
        ends = "delete IKE SA" in self.asked
        holds = harmless if "delete Child SA" in self.asked else carries
        if not ends and not holds(self.pair):
            raise Broken(f"an end sends where nobody receives: {self.describe()}")

    def _use(self, octets: bytes) -> None:
        if octets in self._used:
            raise Broken("an SPI or a key is used twice")
        self._used.add(octets)

    def settle(self) -> None:
        """Let everything come to rest, and look at what is left. Raises Broken."""
        self.diagram.append("... and everything that is still to come")
        self.pair.pass_time(PATIENCE)
        self.check()
        if "delete IKE SA" in self.asked and not self.reauthenticates:
            if not self.pair.empty():
                raise Broken(f"something is left: {self.describe()}")
        elif "delete IKE SA" in self.asked and self.pair.empty():
            return
        elif not (settled(self.pair, children=1) or self._childless()):
            raise Broken(f"the ends do not agree: {self.describe()}")

    def _childless(self) -> bool:
        return "delete Child SA" in self.asked and settled(self.pair, children=0)

    def describe(self) -> str:
        """Both ends in a line."""
        return " | ".join(f"{n.options.name}: {shape_of(n, {})}" for n in self.told)

    def shape(self) -> object:
        """What decides what happens next, SPIs numbered in their order: equal shapes behave alike."""
        numbers: dict[bytes, int] = {}
        nodes = tuple(shape_of(node, numbers) for node in self.told)
        peek = self.pair.initiator.codec.peek
        wire = []
        for datagram in self.pair.wire:
            header = peek(datagram.octets).header
            spis = (_number(numbers, header.spi_i), _number(numbers, header.spi_r))
            wire.append(
                (datagram.source.options.name, header.exchange, header.flags, header.message_id, spis)
            )
        limits = (self.limits.losses, self.limits.copies, self.limits.moments, tuple(self.told.values()))
        return nodes, tuple(sorted(wire)), limits


def shape_of(node: Node, numbers: dict[bytes, int]) -> object:
    """One end, SPIs as numbers."""
    return tuple(_shape_of_sa(sa, numbers) for sa in node.endpoint._sas.values())


def _shape_of_sa(sa: IkeSa, numbers: dict[bytes, int]) -> object:
    children = tuple(
        (_number(numbers, spi), str(o.state), _number(numbers, o.heir or b""), o.silent)
        for spi, o in sa.children.items()
    )
    flight = tuple(sa.window.in_flight)
    asking = _names(sa.agenda.active(object)), _names(sa.agenda.waiting())
    ids = sa.window.next_id, sa.window.expected_id, flight
    heir = _number(numbers, sa.heir.spi_i) if sa.heir else -1
    doubt = None if sa.doubt is None else sa.doubt.ask_at is None
    return _number(numbers, sa.spi_i), sa.is_initiator, str(sa.phase), ids, asking, children, heir, doubt


def _names(tasks: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(type(task).__name__ for task in tasks)


def _number(numbers: dict[bytes, int], spi: bytes) -> int:
    return numbers.setdefault(spi, len(numbers)) if spi else -1


def play(
    codec: str, choices: Sequence[int], limits: Limits, allowed: Sequence[str] = tuple(COMMANDS)
) -> World:
    """Play a schedule; choices beyond what is possible count from the beginning again. Raises Broken."""
    world = World(codec, limits, allowed)
    try:
        for choice in choices:
            steps = world.steps()
            if not steps:
                break
            world.take(steps[choice % len(steps)])
    except Exception as error:
        raise failure(codec, choices, world, error) from error
    return world


def judge(
    codec: str, choices: Sequence[int], limits: Limits, allowed: Sequence[str] = tuple(COMMANDS)
) -> None:
    """Play a schedule to its end. Raises Broken, which draws it."""
    _settle(codec, choices, play(codec, choices, limits, allowed))


def _settle(codec: str, choices: Sequence[int], world: World) -> None:
    try:
        world.settle()
    except Exception as error:
        raise failure(codec, choices, world, error) from error


def failure(codec: str, choices: Sequence[int], world: World, error: Exception) -> Broken:
    """What went wrong, drawn, and how to see it again."""
    again = f"python -m tests.engine.explore {codec} {','.join(map(str, choices))}"
    return Broken("\n".join([f"{type(error).__name__}: {error}", *world.diagram, again]))


@dataclass(slots=True)
class Found:
    """What an exploration has seen."""

    schedules: int = 0
    states: set[object] = field(default_factory=set)


def explore(codec: str, depth: int, limits: Limits, allowed: Sequence[str]) -> Found:
    """Every schedule of up to `depth` steps, a state that was seen before only once. Raises Broken."""
    found = Found()
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        choices = waiting.pop()
        world = play(codec, choices, limits, allowed)
        shape = world.shape()
        if shape in found.states:
            continue
        found.states.add(shape)
        steps = len(world.steps())
        found.schedules += 1
        _settle(codec, choices, world)
        if len(choices) < depth:
            waiting.extend((*choices, choice) for choice in range(steps))
    return found


def wander(codec: str, seed: int, count: int, limits: Limits, depth: int = 40) -> Found:
    """Random schedules. Raises Broken."""
    found, draw = Found(), random.Random(seed)
    for _ in range(count):
        choices = [draw.randrange(1 << 16) for _ in range(draw.randrange(depth))]
        world = play(codec, choices, limits)
        found.states.add(world.shape())
        _settle(codec, choices, world)
        found.schedules += 1
    return found


if __name__ == "__main__":
    played = play(sys.argv[1], [int(text) for text in sys.argv[2].split(",") if text], WIDE)
    played.settle()
    print("\n".join(played.diagram))
