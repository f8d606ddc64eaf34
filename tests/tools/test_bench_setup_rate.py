"""bench/setup_rate: what it measures is what it says, and a goal that is missed is told."""

import os
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bench.driven import Initiator, Place, Responder, Suite
from bench.pair import credentials
from bench.primitives import PSK, bare, operations
from bench.setup_rate import GOALS, LOAD_TESTER, Floor, Sample, cpu_time, load_tester, sample, summary
from node.config import Sources, load

QUICK = Suite("ecdsa-p256", "x25519", "aes256gcm16")


def test_two_nodes_bring_up_what_is_asked_for_and_take_it_down(tmp_path: Path) -> None:
    shown = credentials(QUICK.key)
    place = Place(tmp_path, QUICK, shown)
    with ExitStack() as stack:
        floor = stack.enter_context(closing(Floor(QUICK, shown)))
        responder = stack.enter_context(closing(Responder(place)))
        initiator = stack.enter_context(closing(Initiator(place)))
        found = [sample(floor, initiator, responder, 20)[0] for _ in range(2)]
        counted = responder.counters()
    assert counted["events"]["child_sa_installed"] == counted["events"]["ike_sa_deleted"] == 40
    assert counted["ike_sas"] == counted["child_sas"] == 0
    for one in found:
        assert min(one.bare, one.initiator, one.responder, one.rate) > 0
        # A node does all that the primitives do, for its half, and more.
        assert one.ratio > 1
    told = (tmp_path / "initiator.jsonl").read_text()
    assert told.count('"event":"child_sa_installed"') == 40


def test_a_responder_that_does_not_start_is_told(tmp_path: Path) -> None:
    place = Place(tmp_path, QUICK, credentials(QUICK.key))
    place.file("responder", "yaml").write_text("role: nobody\n")
    with pytest.raises(RuntimeError, match="did not start: exit code 2"):
        Responder(place)


@pytest.mark.parametrize("suite", [suite for suite in GOALS if suite.configurable], ids=lambda s: s.name)
def test_every_suite_is_one_that_a_node_takes(tmp_path: Path, suite: Suite) -> None:
    place = Place(tmp_path, suite, None if suite.key == PSK else credentials(suite.key))
    for name in ("initiator", "responder"):
        config = load(Sources(str(place.file(name, "yaml")), {}))
        assert config.profile == "rfc7296"
        assert config.ike.proposals == (suite.ike,)


@pytest.mark.parametrize("suite", GOALS, ids=lambda s: s.name)
def test_the_primitives_of_a_suite_are_its_own(suite: Suite) -> None:
    names = {one.name for one in operations(suite.key, None, suite.ke, suite.cipher)}
    assert ("MODP-2048: exchange" in names) == (suite.ke == "modp2048")
    assert ("X25519: exchange" in names) == (suite.ke == "x25519")
    assert ("AUTH: sign" in names) == (suite.key != PSK)
    bare(suite.key, None, suite.ke, suite.cipher)()


def test_medians_and_the_ratio_inside_the_rounds() -> None:
    suite = next(iter(GOALS))
    rounds = [
        Sample(0.001, 0.001, 0.001, 300),
        Sample(0.002, 0.003, 0.003, 100),
        Sample(0.001, 0.002, 0.002, 200),
    ]
    found = summary(suite, rounds, 3)
    assert (found.bare, found.initiator, found.responder) == (1, 2, 2)
    assert list(found.ratio) == [2, 3, 4]
    assert (found.rate, found.allowed, found.untoward) == (200, 1000, 3)


def test_the_clock_of_a_process_is_the_time_that_it_used() -> None:
    ours, known = cpu_time(os.getpid()), time.process_time()
    sum(range(3_000_000))
    assert cpu_time(os.getpid()) - ours == pytest.approx(time.process_time() - known, abs=0.02)
    assert cpu_time(os.getpid()) - ours > 0.001


def test_the_load_tester_is_found_where_it_is(tmp_path: Path) -> None:
    assert load_tester([str(tmp_path)]) is None
    (tmp_path / LOAD_TESTER).touch()
    assert load_tester(["/nonexistent", str(tmp_path)]) == tmp_path / LOAD_TESTER
