"""Which faults have their turn at a datagram: matches, skips, limits and chance, the same for the same seed.

Every fault has a generator of its own for each direction, seeded from the seed and its number, and no clock
is looked at: the same datagrams in the same order meet the same faults.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from lab.wire.faults import Fault
from lab.wire.patterns import Seen


@dataclass(frozen=True, slots=True)
class Turn:
    """A fault that acts now: its place in the list and how often it has acted, both from 1, and its dice."""

    fault: Fault
    place: int
    number: int
    random: Random


@dataclass(slots=True)
class Tally:
    """What one fault has seen: matches (skipped and spared ones too) and acts."""

    matched: int = 0
    acted: int = 0


@dataclass(slots=True)
class _Armed:
    fault: Fault
    place: int
    seed: int
    tally: Tally = field(default_factory=Tally)
    generators: dict[bool, Random] = field(default_factory=dict)

    def decide(self, *, forward: bool) -> Turn | None:
        """Count a match; the turn, where the fault has one."""
        self.tally.matched += 1
        limit = self.fault.times
        if self.tally.matched <= self.fault.skip or (limit is not None and self.tally.acted >= limit):
            return None
        generator = self.generator(forward=forward)
        if self.fault.chance < 100 and generator.random() * 100 >= self.fault.chance:
            return None
        self.tally.acted += 1
        return Turn(self.fault, self.place, self.tally.acted, generator)

    def generator(self, *, forward: bool) -> Random:
        if forward not in self.generators:
            direction = "forward" if forward else "back"
            self.generators[forward] = Random(f"{self.seed}/{self.place}/{direction}")
        return self.generators[forward]


class Dice:
    """The faults that are in force."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._armed = [_Armed(fault, place, seed) for place, fault in enumerate(faults, 1)]

    def turns(self, seen: Seen) -> Iterator[Turn]:
        """The faults that act on a datagram, in order; a fault behind the last one taken has not seen it."""
        for armed in self._armed:
            if armed.fault.match.matches(seen) and (turn := armed.decide(forward=seen.forward)):
                yield turn

    def at_start(self) -> list[Turn]:
        """The faults that act when the relay is ready, or when they are set on one that is."""
        starting = [armed for armed in self._armed if armed.fault.match.start]
        return [turn for armed in starting if (turn := armed.decide(forward=True))]

    def tallies(self) -> list[tuple[Fault, Tally]]:
        """Every fault and what it has seen."""
        return [(armed.fault, armed.tally) for armed in self._armed]
