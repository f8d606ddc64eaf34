"""What `up` does with a lab that is there already: a tunnel that is missing is not "already up"."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab import library, plan
from lab.backends.base import LabInfo, NodeInfo
from lab.commands import facts, tunnel
from lab.console import typed
from lab.labels import Role
from tests.lab.conftest import Cli

QUICK = ("--key-type", "ecdsa-p256")
Names = Callable[[str], str]


def status(ike: int, child: int, phase: str = "ESTABLISHED") -> dict[str, Any]:
    """What a node says that has so many SAs."""
    sas = [{"phase": phase, "children": []} for _ in range(ike)]
    return {"ike_sas": sas, "child_sas": [{"outbound_spi": "1"}] * child, "half_open": 0}


GOOD = status(1, 1)
MISSING = [
    ("hello", {"responder": GOOD, "initiator": GOOD}, ()),
    # More than the scenario made is the user's own business.
    ("hello", {"responder": status(2, 2), "initiator": status(2, 2)}, ()),
    ("hello", {"responder": status(0, 0), "initiator": GOOD}, ("responder has 0 of 1 IKE SAs",)),
    ("hello", {"responder": status(1, 0), "initiator": GOOD}, ("responder has 0 of 1 Child SAs",)),
    (
        "hello",
        {"responder": GOOD, "initiator": status(1, 0, "IKE_AUTH_SENT")},
        ("initiator has 0 of 1 IKE SAs",),
    ),
    ("hello", {"responder": GOOD, "initiator": None}, ("initiator does not answer",)),
    # These end without SAs, so there is nothing to miss.
    ("wrong-ca", {"responder": status(0, 0), "initiator": status(0, 0)}, ()),
    ("graceful-stop", {"responder": status(0, 0), "initiator": status(0, 0)}, ()),
]


@pytest.mark.parametrize(("scenario", "statuses", "wanted"), MISSING)
def test_what_is_missing(scenario: str, statuses: dict[str, Any], wanted: tuple[str, ...]) -> None:
    assert tunnel.missing(plan.make("x", library.load(scenario)), statuses) == wanted


NODE = NodeInfo("responder", Role.RESPONDER, True, None, "", None)


def test_a_node_that_is_gone() -> None:
    info = LabInfo("x", "docker", "hello", "", None, (NODE,))
    assert tunnel.absent(plan.make("x", library.load("hello")), info) == ("initiator",)


STATES = [
    (NODE, "running"),
    (replace(NODE, running=False), "created"),
    (replace(NODE, running=False, exit_code=0), "exited"),
    (replace(NODE, running=False, paused=True), "paused"),
]


@pytest.mark.parametrize(("node", "state"), STATES)
def test_states_of_nodes(node: NodeInfo, state: str) -> None:
    assert facts.state(node) == state


def test_up_asks_for_a_tunnel_that_was_closed(cli: Cli, lab_name: Names) -> None:
    name = lab_name("process")
    where = ("-n", name, "-b", "process")
    assert cli("up", *where, *QUICK).returncode == 0
    ctl = ("exec", *where, "initiator", "--", "python", "-m", "node", "ctl")
    assert cli(*ctl, "terminate").returncode == 0
    again = cli("up", *where)
    assert again.returncode == 0, again.stderr
    assert "runs without its tunnel: " in again.stderr
    assert "initiator has 0 of 1 IKE SAs" in again.stderr
    assert "the tunnel is up\n" in again.stderr
    assert "already up" in again.stderr
    (found,) = cli.json("status", *where)["labs"]
    assert [len(node["status"]["child_sas"]) for node in found["nodes"]] == [1, 1]


@pytest.mark.docker
@pytest.mark.parametrize("harm", ["restart", "remove", "pause"])
def test_up_makes_a_lab_again_that_cannot_be_mended(cli: Cli, lab_name: Names, harm: str) -> None:
    """A responder that lost its SAs, that is gone, that is frozen: none of it is `already up`."""
    import docker

    name = lab_name("docker")
    where = ("-n", name, "-b", "docker")
    assert cli("up", *where, *QUICK).returncode == 0
    client = docker.from_env()
    try:
        container = client.containers.get(f"ipseclab-{name}-responder")
        {"restart": _restart, "remove": _remove, "pause": _pause}[harm](container)
    finally:
        client.close()
    if harm == "pause":
        assert "paused" in cli("status", *where).stdout
    again = cli("up", *where, *QUICK)
    assert again.returncode == 0, again.stderr
    assert "making it again" in again.stderr
    (found,) = cli.json("status", *where)["labs"]
    assert [len(node["status"]["child_sas"]) for node in found["nodes"]] == [1, 1]


def _restart(container: Any) -> None:
    container.kill()
    container.wait()
    container.start()


def _remove(container: Any) -> None:
    container.remove(force=True)


def _pause(container: Any) -> None:
    container.pause()


def test_the_commands_that_we_name_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours, other = tmp_path / "bin" / "ipseclab", tmp_path / "other" / "ipseclab"
    for path in (ours, other):
        path.parent.mkdir()
        path.touch()
    assert typed("bin/ipseclab", str(ours)) == "ipseclab"
    assert typed("bin/ipseclab", None) == "bin/ipseclab"
    assert typed("bin/ipseclab", str(other)) == "bin/ipseclab"
    assert typed(str(ours), None) == "bin/ipseclab"
    monkeypatch.chdir(other.parent)
    assert typed(str(ours), None) == str(ours)
    assert typed("/x/lab/__main__.py", None) == "ipseclab"
