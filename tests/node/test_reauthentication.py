"""Two node processes that authenticate anew while the pings go on: none is lost."""

import signal
from pathlib import Path

import pytest

from tests.node.conftest import Spawn
from tests.node.test_rekey import PINGS, PROFILES, ask, nodes


@pytest.fixture(params=sorted(PROFILES))
def profile(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variables of a wire profile."""
    return PROFILES[str(request.param)]


def test_by_hand_while_packets_go_on(spawn: Spawn, tmp_path: Path, profile: dict[str, str]) -> None:
    responder, initiator = nodes(spawn, tmp_path, profile, NODE_IKE__WINDOW="4")
    initiator.wait_for("esp_ack_received")
    for number in range(1, 4):
        assert ask(tmp_path, "initiator", "reauthenticate") == {"ok": True, "begun": 1}
        initiator.wait_for_count("ike_sa_reauthenticated", number)
        for node in (initiator, responder):
            node.wait_for_count("ike_sa_deleted", number)
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"]) == (PINGS, PINGS)
    (sa,) = ask(tmp_path, "initiator", "status")["ike_sas"]
    assert (sa["phase"], sa["opened"], len(sa["children"])) == ("ESTABLISHED", True, 1)
    for node in (initiator, responder):
        assert node.names().count("peer_auth_verified") == 4
        assert "packet_dropped" not in node.names()
    assert initiator.names().count("pings_completed") == 1, "the demo is not shown again"
    for node in (initiator, responder):
        assert node.stop(signal.SIGTERM) == 0


def test_by_time_and_because_the_responder_wants_it(
    spawn: Spawn, tmp_path: Path, profile: dict[str, str]
) -> None:
    wanted = {"NODE_IKE__AUTH_LIFETIME": "3600", "NODE_IKE__LIFETIME__REAUTH": "1"}
    responder, initiator = nodes(spawn, tmp_path, profile, **wanted)
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"]) == (PINGS, PINGS)
    assert "ike_sa_reauthenticated" in initiator.names()
    assert "ike_sa_reauthenticated" not in responder.names(), "it did not open the IKE SA"
    for node in (initiator, responder):
        assert "packet_dropped" not in node.names()
        assert node.stop(signal.SIGTERM) == 0


def test_who_did_not_open_it_cannot(spawn: Spawn, tmp_path: Path) -> None:
    _, initiator = nodes(spawn, tmp_path, {})
    initiator.wait_for("esp_ack_received")
    assert ask(tmp_path, "responder", "reauthenticate") == {"ok": True, "begun": 0}
    (sa,) = ask(tmp_path, "responder", "status")["ike_sas"]
    answer = ask(tmp_path, "responder", "reauthenticate", ike_spi=sa["spi_r"])
    assert answer["ok"] is False
    assert "no IKE SA that we opened has our SPI" in answer["error"]
    assert ask(tmp_path, "initiator", "reauthenticate", ike_spi="00ff")["ok"] is False
