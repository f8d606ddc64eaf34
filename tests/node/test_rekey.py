"""Two node processes whose SAs are replaced, by hand and by time, while the pings go on: none is lost."""

import signal
from pathlib import Path
from typing import Any

import pytest

from node.control import client
from tests.node.conftest import Process, Spawn, nat_port

PROFILES = {"asn1": {}, "rfc7296": {"NODE_PROFILE": "rfc7296", "NODE_LISTEN__NAT_PORT": "0"}}
#: Pings of the demo, and seconds between them: two seconds of traffic and more.
PINGS, INTERVAL = 200, 0.01


@pytest.fixture(params=sorted(PROFILES))
def profile(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of a wire profile."""
    return PROFILES[str(request.param)]


def nodes(spawn: Spawn, path: Path, profile: dict[str, str], **more: str) -> tuple[Process, Process]:
    """A responder and an initiator that pings it; their control sockets are in `path`, by their names."""
    own = {"NODE_CONTROL__SOCKET": str(path / "responder")}
    responder = spawn("--mode=ipsec-responder", "--port=0", **profile, **own, **more)
    ports = {"NODE_PEER__PORT": str(responder.wait_for("udp_bound")["port"])}
    if profile:
        ports = {"NODE_PEER__PORT": str(nat_port(responder)), "NODE_PEER__NAT_PORT": str(nat_port(responder))}
    demo = {"NODE_DEMO__PINGS": str(PINGS), "NODE_DEMO__INTERVAL": str(INTERVAL)}
    own = {"NODE_CONTROL__SOCKET": str(path / "initiator")}
    return responder, spawn("--mode=ipsec-initiator", **profile, **ports, **demo, **own, **more)


def ask(path: Path, side: str, command: str, **arguments: str) -> dict[str, Any]:
    return client.ask(str(path / side), {"command": command, **arguments})


@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_by_hand_while_packets_go_on(
    spawn: Spawn, tmp_path: Path, profile: dict[str, str], side: str
) -> None:
    responder, initiator = nodes(spawn, tmp_path, profile)
    asked = {"initiator": initiator, "responder": responder}[side]
    initiator.wait_for("esp_ack_received")
    for command, told in (("rekey-child", "child_sa_rekeyed"), ("rekey-ike", "ike_sa_rekeyed")):
        before = asked.names().count(told)
        assert ask(tmp_path, side, command) == {"ok": True, "rekeyed": 1}
        for node in (initiator, responder):
            node.wait_for_count(told, before + 1)
        initiator.wait_for_count("ike_sa_deleted", int(command == "rekey-ike"))
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"]) == (PINGS, PINGS)
    (sa,) = ask(tmp_path, "initiator", "status")["ike_sas"]
    assert (sa["phase"], len(sa["children"])) == ("ESTABLISHED", 1)
    for node in (initiator, responder):
        assert node.names().count("ike_sa_established") == 1
        assert "packet_dropped" not in node.names()
        assert node.stop(signal.SIGTERM) == 0


def test_by_time_and_by_packets(spawn: Spawn, tmp_path: Path, profile: dict[str, str]) -> None:
    often = {"NODE_CHILD__LIFETIME__PACKETS": "40", "NODE_IKE__LIFETIME__REKEY": "1"}
    responder, initiator = nodes(spawn, tmp_path, profile, **often)
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"]) == (PINGS, PINGS)
    assert initiator.names().count("child_sa_rekeyed") >= PINGS // 40 - 1
    assert "ike_sa_rekeyed" in initiator.names()
    for node in (initiator, responder):
        assert "packet_dropped" not in node.names()
        assert node.stop(signal.SIGTERM) == 0


def test_a_child_sa_is_deleted_and_made_again(spawn: Spawn, tmp_path: Path, profile: dict[str, str]) -> None:
    responder, initiator = nodes(spawn, tmp_path, profile)
    initiator.wait_for("esp_ack_received")
    assert ask(tmp_path, "responder", "delete-child")["deleted"] == 1
    initiator.wait_for("child_sa_deleted")
    responder.wait_for("child_sa_deleted")
    assert ask(tmp_path, "initiator", "create-child")["asked"] == 1
    responder.wait_for_count("child_sa_installed", 2)
    initiator.wait_for_count("child_sa_installed", 2)


def test_what_is_not_there_cannot_be_replaced(spawn: Spawn, tmp_path: Path) -> None:
    _, initiator = nodes(spawn, tmp_path, {})
    initiator.wait_for("esp_ack_received")
    for command, argument in (("rekey-child", "child_spi"), ("rekey-ike", "ike_spi")):
        answer = ask(tmp_path, "initiator", command, **{argument: "00ff"})
        assert answer["ok"] is False
        assert "'00ff'; there are" in answer["error"]
