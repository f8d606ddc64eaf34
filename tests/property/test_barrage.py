"""Mutants by the seven strategies of OpenBSD, of every message and of ESP packets, with and without keys.

This is a small part; `make test-long` does 100,000 of each kind.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from node.crypto import aead
from tests.property import barrage, packets
from tests.property.hostile import Stage, play
from tests.property.scenes import SCENES, established
from tests.property.snapshot import Snapshot
from tests.property.strategies import BASE64, STRATEGIES

#: What every run meets.
MESSAGES = {
    f"{exchange} {kind}"
    for exchange in ("IKE_SA_INIT", "IKE_AUTH", "INFORMATIONAL", "CREATE_CHILD_SA")
    for kind in ("request", "response")
}


def test_the_strategies_make_every_mutant_once() -> None:
    octets = b"\x00\xff\x41"
    made = {
        name: [strategy.mutant(octets, number) for number in range(strategy.count(3))]
        for name, strategy in STRATEGIES.items()
    }
    counts = {name: len(set(mutants)) for name, mutants in made.items()}
    # One octet is a base64 character already.
    assert counts == {
        "1 bit": 24,
        "2 bits": 276,
        "1 octet": 3,
        "2 octets": 3,
        "cut in front": 3,
        "cut behind": 3,
        "base64": 3 * len(BASE64),
    }
    assert made["1 octet"] == [b"\x00\xff\xbe", b"\x00\x00\x41", b"\xff\xff\x41"]
    assert made["2 octets"] == [b"\x00\x00\xbe", b"\xff\xff\xbe", b"\xff\x00\x41"]
    assert made["cut in front"] == [b"\xff\x41", b"\x41", b""]
    assert made["cut behind"] == [b"", b"\x00", b"\x00\xff"]


def test_the_counts_are_those_of_openbsd() -> None:
    """All but the pairs: 189,750 of the 46,149,560 inputs that its 18 seeds give."""
    names = ("1 bit", "1 octet", "cut in front", "cut behind", "base64")
    assert sum(STRATEGIES[name].count(2530) for name in names) == 189_750


@pytest.mark.parametrize("kind", [barrage.Outer, barrage.Inner])
def test_mutants_of_every_message(directory: Path, kind: type[barrage.Barrage]) -> None:
    tally = barrage.run(kind, directory, 1, 10, 20_261)
    assert set(tally.messages) == MESSAGES
    assert min(tally.mutants.values()) > 150
    if kind is barrage.Outer:
        assert tally.outcomes["dropped"] > tally.outcomes["another IKE_SA_INIT"] > 0
    else:
        assert tally.protected == tally.mutants
        assert tally.outcomes["refused"] > tally.outcomes["up"]


def test_mutants_of_esp_packets(directory: Path) -> None:
    tally = packets.run("forged", directory, 1, 5, 20_262)
    assert min(tally.mutants.values()) > 500
    assert {"esp_bad_icv", "esp_unknown_spi", "esp_truncated", "truncated"} <= {*map(str, tally.dropped)}


def test_mutants_of_what_is_in_esp_packets(directory: Path) -> None:
    tally = packets.run("authentic", directory, 1, 5, 20_263)
    assert min(tally.mutants.values()) > 500
    assert 0 < tally.delivered < tally.mutants.total()
    wrong = {"inner_selector_mismatch", "inner_malformed", "esp_bad_padding", "esp_bad_next_header"}
    assert wrong <= {*map(str, tally.dropped)}


# -- what watches can see -----------------------------------------------------------------------------------


def _window(stage: Stage) -> None:
    (sa,) = stage.responder.established()
    sa.window.expected_id += 1


def _phase(stage: Stage) -> None:
    (sa,) = stage.responder.established()
    sa.data = replace(sa.data, since=1.0)  # type: ignore[type-var]


def _path(stage: Stage) -> None:
    (sa,) = stage.responder.established()
    sa.path = replace(sa.path, peer_port=1)


def _timer(stage: Stage) -> None:
    stage.responder.node.endpoint._timers.set(bytes(8), 5.0)


def _replay(stage: Stage) -> None:
    (sa,) = stage.responder.plane._sad.by_spi.values()
    sa.window.mark(7)


def _sequence(stage: Stage) -> None:
    (entry,) = stage.responder.plane._sad._entries.values()
    assert entry.outbound is not None
    entry.outbound.sequence += 1


def _removed(stage: Stage) -> None:
    (sa,) = stage.responder.established()
    for spi in tuple(sa.children):
        sa.remove_child(spi)
    stage.responder.node._pump()


def _initiated(stage: Stage) -> None:
    stage.responder.node._initiated.add(bytes(8))


def _half_open(stage: Stage) -> None:
    stage.initiate()
    ((octets, _),) = stage.initiator.wire.sent
    stage.initiator.wire.sent.clear()
    stage.hand(stage.responder, octets, stage.initiator.address)
    stage.responder.wire.sent.clear()


@pytest.mark.parametrize(
    "change", [_window, _phase, _path, _timer, _replay, _sequence, _removed, _initiated, _half_open]
)
def test_a_change_is_seen_and_taken_back(directory: Path, change: Callable[[Stage], None]) -> None:
    def scene(stage: Stage) -> None:
        established(stage)
        snapshot = Snapshot(stage.responder.node)
        assert snapshot.changes() == []
        change(stage)
        assert snapshot.changes() != []
        snapshot.restore()
        assert snapshot.changes() == []
        stage.initiator.node.endpoint.delete_all(stage.time())
        stage.initiator.node._pump()
        stage.drive()
        assert not stage.responder.node.endpoint.sas()

    play(directory, scene, 1)


def _unchecked(mac: aead._Mac, aad: bytes, blob: bytes) -> bytes:
    return blob[: -mac.size]


def test_a_node_that_checks_no_icv_is_found_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aead._Mac, "check", _unchecked)
    scene, tally, draw = SCENES["liveness"], barrage.Tally(), random.Random(1)
    with pytest.raises(AssertionError):
        play(
            directory,
            lambda stage: scene.play(stage, barrage.Outer(stage, tally, draw, 50)),
            1,
            scene.configuration(0),
        )
    with pytest.raises(AssertionError):
        packets.flip_bits(directory, "aes256-sha256", 100, 100, 1)
