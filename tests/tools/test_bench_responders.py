"""bench/responders: charon is asked for what our node is asked for; ratios are those inside a round."""

from pathlib import Path

import pytest

from bench import responders
from bench.dataplane.peers import StrongSwan, strongswan_conf
from bench.driven import SECRET, Place
from bench.pair import credentials
from bench.primitives import PSK
from bench.responders import FLOOD, PORTS, Result, main, summary
from bench.setup_rate import GOALS
from node.config import Sources, load


def test_ratios_are_taken_inside_the_rounds() -> None:
    found = summary(next(iter(GOALS)), [(0.001, 0.002), (0.002, 0.001), (0.003, 0.003)])
    assert found == Result("rsa2048 modp2048 aes256", 3, 2.0, 2.0, (0.5, 1.0, 2.0))


@pytest.mark.parametrize("suite", GOALS, ids=lambda s: s.name)
def test_charon_is_configured_for_every_suite(tmp_path: Path, suite: object) -> None:
    (chosen,) = (one for one in GOALS if one == suite)
    shown = None if chosen.key == PSK else credentials("ecdsa-p256")
    connection = responders._connection(chosen, shown)
    place = Place(tmp_path, chosen, shown, ports=PORTS)
    config = load(Sources(str(place.file("initiator", "yaml")), {}))
    assert connection.ike == config.ike.proposals
    assert connection.esp == config.child.proposals
    assert connection.remote_ts == config.child.local_ts
    assert connection.local_ts == config.child.remote_ts
    assert (config.peer.port, config.peer.nat_port) == PORTS
    assert bool(shown) == bool(connection.certificate)


def test_the_secret_is_that_of_our_node(tmp_path: Path) -> None:
    (chosen,) = (one for one in GOALS if one.key == PSK)
    place = Place(tmp_path, chosen, None)
    assert place.file("shared", "psk").read_text() == f"0x{SECRET.hex()}"


def test_the_daemon_writes_nothing_and_refuses_nobody(tmp_path: Path) -> None:
    text = strongswan_conf(tmp_path / "vici", FLOOD)
    assert "dos_protection = no" in text
    assert "default = -1" in text
    assert "kernel-libipsec" in text


def test_without_strongswan_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StrongSwan, "missing", lambda self: "packages charon-systemd")
    assert main([]) == 0
    assert capsys.readouterr().out == "left out, strongSwan is not there: packages charon-systemd\n"


def test_without_privileges_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StrongSwan, "missing", lambda self: "")
    monkeypatch.setattr("bench.responders.first_version", lambda order: "6.0.1")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main([]) == 0
    assert "need root: use sudo" in capsys.readouterr().out
