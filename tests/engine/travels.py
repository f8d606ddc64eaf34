"""As `explore.py`, with endpoints that speak MOBIKE and an initiator that changes its address under way.

An address that it has left is gone: whatever comes from there, or goes there, is lost.

    python -m tests.engine.travels rfc7296 3,0,0,4,1,0      play a schedule and draw it
"""

import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.engine.explore import PATIENCE, Broken, Limits, Step, World, failure
from tests.engine.harness import Node, Pair
from tests.engine.mobile import HOME, at, gone, mobile_pair, move


class Travels(World):
    """The initiator is at the last one of `left` and `host`."""

    def __init__(self, codec: str, limits: Limits) -> None:
        self.left: list[str] = []
        self.host = HOME
        super().__init__(codec, limits)

    def made(self, codec: str) -> Pair:
        return mobile_pair(codec)

    def _commands(self) -> Iterator[Step]:
        yield from super()._commands()
        node = self.pair.initiator
        if self.told[node] < self.limits.commands and node.endpoint.mobile() and not self._begins(node):
            yield Step("initiator: another address", self._travel)

    def _begins(self, node: Node) -> bool:
        """An IKE SA that is being made has no MOBIKE yet: it is given up where its address is gone."""
        return any(sa.phase in ("INIT_SENT", "AUTH_SENT") for sa in node.endpoint._sas.values())

    def _travel(self) -> None:
        self.told[self.pair.initiator] += 1
        self.left.append(self.host)
        self.host = f"192.0.2.{100 + len(self.left)}"
        move(self.pair, self.host)
        for datagram in tuple(self.pair.wire):
            if not gone(*self.left)(datagram):
                self.pair.wire.remove(datagram)

    def _deliver(self, place: int, *, keep: bool) -> None:
        super()._deliver(place, keep=keep)
        for datagram in tuple(self.pair.wire):
            if not gone(*self.left)(datagram):
                self.pair.wire.remove(datagram)

    def settle(self) -> None:
        """Raises Broken where the ends do not agree on the address, too."""
        self.pair.pass_time(PATIENCE, gone(*self.left))
        super().settle()
        if "delete IKE SA" not in self.asked and not at(self.pair, self.host):
            raise Broken(f"the ends do not agree on {self.host}: {self.describe()}")


def play(codec: str, choices: Sequence[int], limits: Limits) -> Travels:
    """Play a schedule to its end. Raises Broken, which draws it."""
    world = Travels(codec, limits)
    try:
        for choice in choices:
            steps = world.steps()
            if not steps:
                break
            world.take(steps[choice % len(steps)])
        world.settle()
    except Exception as error:
        raise failure(codec, choices, world, error) from error
    return world


def wander(codec: str, seed: int, count: int, limits: Limits, depth: int = 40) -> int:
    """Random schedules; how many of them had the initiator travel. Raises Broken."""
    draw, travelled = random.Random(seed), 0
    for _ in range(count):
        choices = [draw.randrange(1 << 16) for _ in range(draw.randrange(depth))]
        travelled += bool(play(codec, choices, replace(limits)).left)
    return travelled


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[2].split(",") if text]
    print("\n".join(play(sys.argv[1], numbers, Limits(2, 2, 2)).diagram))
