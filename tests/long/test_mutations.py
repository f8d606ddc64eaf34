"""100,000 mutants by each of the seven strategies: of messages and ESP packets, with and without the keys."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.long.conftest import Figure
from tests.property import barrage, packets
from tests.property.hostile import Measured
from tests.property.resident import resident

pytestmark = pytest.mark.long

#: Mutants of one strategy that a message or packet gets, before the next one has its turn.
SHARE = 400
#: Octets by which the process may have grown after a warm-up: pages wander, tables do not.
GROWTH = 4 * 2**20
MIB = 2**20


class Memory:
    """RSS of this process, from the end of a warm-up to now."""

    def __init__(self, warm_up: Callable[[], object]) -> None:
        warm_up()
        self._before = resident()

    def check(self, figure: Figure) -> None:
        """Tell how it grew. Raises AssertionError where that is too much."""
        after = resident()
        figure("RSS before and after, MiB", f"{self._before / MIB:.1f} {after / MIB:.1f}")
        assert after - self._before < GROWTH


def told(figure: Figure, cost: Measured) -> None:
    """What the inputs cost."""
    figure("inputs", cost.inputs)
    figure("mean and slowest, ms of CPU", f"{1e3 * cost.seconds / cost.inputs:.3f} {1e3 * cost.slowest:.1f}")
    figure("longest garbage collection, ms", f"{1e3 * cost.collection:.1f}")


@pytest.mark.parametrize("kind", [barrage.Outer, barrage.Inner])
def test_messages(kind: type[barrage.Barrage], directory: Path, goal: int, figure: Figure) -> None:
    memory = Memory(lambda: barrage.run(kind, directory, 1, 20, 1))
    tally = barrage.run(kind, directory, goal, SHARE, 2)
    assert min(tally.mutants.values()) >= goal
    figure("mutants", dict(tally.mutants))
    figure("of protected messages", tally.protected.total())
    figure("protected, with one or two bits inverted", tally.protected["1 bit"] + tally.protected["2 bits"])
    figure("messages", dict(tally.messages))
    figure("outcomes", dict(tally.outcomes))
    told(figure, tally.cost)
    memory.check(figure)


@pytest.mark.parametrize("scene", ["forged", "authentic"])
def test_esp_packets(scene: str, directory: Path, goal: int, figure: Figure) -> None:
    memory = Memory(lambda: packets.run(scene, directory, 1, 5, 3))
    tally = packets.run(scene, directory, goal, SHARE, 4)
    assert min(tally.mutants.values()) >= goal
    figure("mutants", dict(tally.mutants))
    figure("dropped", {str(reason): count for reason, count in tally.dropped.items()})
    figure("passed on", tally.delivered)
    told(figure, tally.cost)
    memory.check(figure)


@pytest.mark.parametrize("suite", packets.SUITES)
def test_flipped_bits(suite: str, directory: Path, goal: int, figure: Figure) -> None:
    """None accepted and no window moved, whatever the suite; the good packets in between all pass."""
    tally = packets.flip_bits(directory, suite, goal, 4 * SHARE, 5)
    assert tally.mutants.total() >= goal
    figure("packets", tally.mutants.total())
