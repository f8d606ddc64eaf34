"""Two node processes, and an initiator that goes on from another address of loopback (RFC 4555)."""

import signal
from pathlib import Path
from typing import Any

import pytest

from node.control import client
from tests.node.conftest import Process, Spawn
from tests.node.test_rekey import PINGS, ask, nodes

#: Loopback has all of 127.0.0.0/8.
ANYWHERE = {"NODE_LISTEN__ADDRESS": "0.0.0.0"}
THERE, ELSEWHERE = "127.0.0.7", "127.0.0.8"
PROFILES = {"asn1": {}, "rfc7296": {"NODE_PROFILE": "rfc7296", "NODE_LISTEN__NAT_PORT": "0"}}


@pytest.fixture(params=sorted(PROFILES))
def profile(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of a wire profile."""
    return PROFILES[str(request.param)]


def move(path: Path, *address: str) -> dict[str, Any]:
    arguments = {"local": address[0]} if address else {}
    return client.ask(str(path / "initiator"), {"command": "move", **arguments})


def hosts(node: Process, event: str, field: str) -> list[str]:
    return [e[field].rpartition(":")[0] for e in node.events if e["event"] == event]


def test_by_hand_while_packets_go_on(spawn: Spawn, tmp_path: Path, profile: dict[str, str]) -> None:
    responder, initiator = nodes(spawn, tmp_path, profile, **ANYWHERE)
    initiator.wait_for("esp_ack_received")
    for number, address in enumerate((THERE, ELSEWHERE), 1):
        assert move(tmp_path, address) == {"ok": True, "moved": 1}
        responder.wait_for_count("peer_moved", number)
        (sa,) = ask(tmp_path, "initiator", "status")["ike_sas"]
        assert sa["local"].startswith(f"{address}:")
        assert sa["mobike"] is True
        assert ask(tmp_path, "responder", "status")["ike_sas"][0]["peer"] == sa["local"]
    assert ask(tmp_path, "responder", "rekey-ike")["rekeyed"] == 1
    initiator.wait_for("ike_sa_deleted")
    # Back to what the routes choose.
    assert move(tmp_path)["moved"] == 1
    responder.wait_for_count("peer_moved", 3)
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"]) == (PINGS, PINGS)
    assert hosts(responder, "peer_moved", "new") == [THERE, ELSEWHERE, "127.0.0.1"]
    assert hosts(initiator, "address_changed", "new") == [THERE, ELSEWHERE, "127.0.0.1"]
    for node in (initiator, responder):
        assert node.names().count("ike_sa_established") == 1
        assert not {"packet_dropped", "datagram_dropped", "route_check_failed"} & set(node.names())
        assert node.stop(signal.SIGTERM) == 0


def test_what_is_no_address_of_ours_changes_nothing(spawn: Spawn, tmp_path: Path) -> None:
    _, initiator = nodes(spawn, tmp_path, {}, **ANYWHERE)
    initiator.wait_for("esp_ack_received")
    for address in ("192.0.2.1", "::1", "0.0.0.0", "localhost", "x" * 300, "127.0.0.1%lo"):
        answer = move(tmp_path, address)
        assert answer["ok"] is False
        assert "is no address of this host" in answer["error"]
    assert "address_changed" not in initiator.names()


def test_who_cannot_move_says_why(spawn: Spawn, tmp_path: Path) -> None:
    """One that listens at one address, one whose peer began, one whose peer does not speak it."""
    responder, initiator = nodes(spawn, tmp_path, {})
    initiator.wait_for("esp_ack_received")
    assert "listen.address is 127.0.0.1" in move(tmp_path, THERE)["error"]
    for node in (initiator, responder):
        assert node.stop(signal.SIGTERM) == 0
    responder, initiator = nodes(spawn, tmp_path, {}, **ANYWHERE, NODE_IKE__MOBIKE="false")
    initiator.wait_for("esp_ack_received")
    for side in ("initiator", "responder"):
        answer = client.ask(str(tmp_path / side), {"command": "move", "local": THERE})
        assert "no IKE SA that we opened has a peer that speaks MOBIKE" in answer["error"]
    assert "mobike_agreed" not in initiator.names() + responder.names()


def test_further_addresses_are_shown_and_the_client_takes_one(
    spawn: Spawn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    further = {"NODE_IKE__ADDITIONAL_ADDRESSES": "[192.0.2.7, '2001:db8::7']"}
    responder, initiator = nodes(spawn, tmp_path, {}, **ANYWHERE, **further)
    initiator.wait_for("esp_ack_received")
    assert responder.wait_for("mobike_agreed")["addresses"] == ["192.0.2.7", "2001:db8::7"]
    for side in ("initiator", "responder"):
        (sa,) = ask(tmp_path, side, "status")["ike_sas"]
        assert sa["peer_outer_addresses"] == ["192.0.2.7", "2001:db8::7"]
    assert client.main(["move", THERE, "-s", str(tmp_path / "initiator")]) == 0
    assert capsys.readouterr().out == "moved: 1\n"
    assert responder.wait_for("peer_moved")["new"].startswith(THERE)
