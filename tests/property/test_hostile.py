"""Whatever is written to a node, it drops or answers: nothing is raised, nothing is kept, nothing is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from node.model.events import EventName
from tests.property import hostile
from tests.property.hostile import STRANGER, Insider, Outsider, Stage
from tests.property.liar import Liar

Play = Callable[[Callable[[Stage], None], int], None]


@pytest.fixture
def play(directory: Path) -> Play:
    """Run a scene on a stage of its own, then look at what is left of it."""

    def run(scene: Callable[[Stage], None], seed: int) -> None:
        hostile.play(directory, scene, seed)

    return run


@pytest.mark.parametrize("seed", range(6))
def test_an_outsider_during_and_after_a_handshake(play: Play, seed: int) -> None:
    def scene(stage: Stage) -> None:
        outsider = Outsider(stage, seed)
        stage.initiate()
        stage.drive(outsider.meddle(10))
        up = [len(side.established()) for side in stage.sides]
        for _ in range(400):
            outsider.once()
        assert [len(side.established()) for side in stage.sides] == up
        assert stage.measured.inputs > 400

    play(scene, seed)


def test_an_outsider_cannot_disturb_who_is_up(play: Play) -> None:
    def scene(stage: Stage) -> None:
        stage.initiate()
        stage.drive()
        outsider = Outsider(stage, 7)
        for _ in range(1000):
            outsider.once()
        assert [len(side.established()) for side in stage.sides] == [1, 1]
        assert stage.secrets

    play(scene, 7)


@pytest.mark.parametrize("seed", range(12))
def test_a_peer_with_the_keys_writes_a_wrong_ike_auth(play: Play, seed: int) -> None:
    def scene(stage: Stage) -> None:
        stage.initiate()
        stage.drive(Insider(stage, seed).auth_instead(is_response=bool(seed % 2)))

    play(scene, seed)


@pytest.mark.parametrize("seed", range(4))
def test_an_authenticated_peer_writes_what_it_likes(play: Play, seed: int) -> None:
    def scene(stage: Stage) -> None:
        stage.initiate()
        stage.drive()
        insider = Insider(stage, seed)
        for number in range(1, 200):
            assert insider.esp(stage.sides[number % 2], number)
        for number in range(8):
            insider.request(stage.sides[number % 2])

    play(scene, seed)


def test_a_repeated_request_does_not_fill_the_log(play: Play) -> None:
    def scene(stage: Stage) -> None:
        stage.initiate()
        ((octets, _),) = stage.initiator.wire.sent
        for _ in range(1000):
            stage.hand(stage.responder, octets, STRANGER)
        told = sum('"response_repeated"' in line for line in stage.responder.lines)
        assert stage.responder.node.log.emitted[EventName.RESPONSE_REPEATED] == 999
        assert 0 < told <= 110
        assert len(stage.responder.wire.sent) == 1000
        sizes = {len(sent) for sent, _ in stage.responder.wire.sent}
        assert max(sizes) <= len(octets) + 16

    play(scene, 0)


@pytest.mark.parametrize("seed", range(20))
def test_a_peer_that_lies(play: Play, seed: int) -> None:
    def scene(stage: Stage) -> None:
        Liar(stage.sides[seed % 2], seed, share=0.5)
        for _ in range(4):
            stage.initiate()
            stage.drive()
            stage.pass_time(1)
        for side in stage.sides:
            side.node.endpoint.delete_all(stage.time())
            side.node._pump()
        stage.drive()

    play(scene, seed)
