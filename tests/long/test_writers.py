"""Who writes what he likes: outsiders, peers with the keys, liars; stage after stage until it is enough."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.long.conftest import Figure
from tests.long.test_mutations import Memory, told
from tests.property.hostile import Insider, Measured, Outsider, Stage, play
from tests.property.liar import Liar

pytestmark = pytest.mark.long

Scene = Callable[[Stage, int], None]


def outsider(stage: Stage, seed: int) -> None:
    """Junk during and after a handshake, at both nodes."""
    writer = Outsider(stage, seed)
    stage.initiate()
    stage.drive(writer.meddle(10))
    for _ in range(400):
        writer.once()


def insider(stage: Stage, seed: int) -> None:
    """ESP packets and requests of any content, under the right keys."""
    stage.initiate()
    stage.drive()
    writer = Insider(stage, seed)
    for number in range(1, 200):
        writer.esp(stage.sides[number % 2], number)
    for number in range(8):
        writer.request(stage.sides[number % 2])


def wrong_ike_auth(stage: Stage, seed: int) -> None:
    """A changed IKE_AUTH ahead of the real one."""
    stage.initiate()
    stage.drive(Insider(stage, seed).auth_instead(is_response=bool(seed % 2)))


def liar(stage: Stage, seed: int) -> None:
    """Well-formed payloads that do not belong there."""
    Liar(stage.sides[seed % 2], seed, share=0.5)
    for _ in range(4):
        stage.initiate()
        stage.drive()
        stage.pass_time(1)
    for side in stage.sides:
        side.node.endpoint.delete_all(stage.time())
        side.node._pump()
    stage.drive()


def run(scene: Scene, directory: Path, goal: int, seed: int) -> Measured:
    """Stages with one scene each, until there were that many datagrams."""
    cost, draw = Measured(), random.Random(seed)
    while cost.inputs < goal:
        number = draw.randrange(2**32)
        cost.merge(play(directory, lambda stage, number=number: scene(stage, number), number))  # type: ignore[misc]
    return cost


#: Scenes, and which part of the goal is enough for the costly ones.
SCENES = ((outsider, 1), (insider, 1), (wrong_ike_auth, 10), (liar, 2))


@pytest.mark.parametrize(("scene", "part"), SCENES)
def test_writers(scene: Scene, part: int, directory: Path, goal: int, figure: Figure) -> None:
    memory = Memory(lambda: run(scene, directory, 500, 6))
    cost = run(scene, directory, goal // part, 7)
    told(figure, cost)
    memory.check(figure)
