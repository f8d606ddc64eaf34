"""Two real nodes with the relay between them: what breaks on the wire, and what becomes of the tunnel."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.node.conftest import Process, Spawn
from tests.node.conftest import credentials as credentials
from tests.node.conftest import spawn as spawn
from tests.wire.conftest import PORT, Rig

Bring = Callable[..., tuple[Process, Process, Process]]


@pytest.fixture
def bring(rig: Rig, spawn: Spawn) -> Bring:
    """Bring up responder, relay with these faults, and initiator; the three of them."""
    host = rig.target.address[0]
    rig.target.close()

    def up(*faults: dict[str, object], **more: Any) -> tuple[Process, Process, Process]:
        responder = spawn("--mode=ipsec-responder", f"--listen-address={host}", f"--port={PORT}")
        responder.wait_for("udp_bound")
        wire = rig.start(*faults, nodes={"initiator": rig.alice.address[0]}, **more)
        initiator = spawn(
            "--mode=ipsec-initiator",
            f"--listen-address={rig.alice.address[0]}",
            f"--peer={rig.wire[0]}",
            NODE_PEER__PORT=str(PORT),
        )
        return responder, wire, initiator

    return up


def test_a_lost_ike_auth_response_costs_one_repetition_and_no_more(rig: Rig, bring: Bring) -> None:
    responder, wire, initiator = bring({"act": "drop", "match": "IKE_AUTH response 1", "times": 1})
    initiator.wait_for("pings_completed", received=10)
    assert wire.wait_for("wire_fault")["source"] == "server"
    assert initiator.wait_for("retransmitted")["message_id"] == 1
    responder.wait_for("response_repeated", message_id=1)
    assert responder.names().count("ike_sa_established") == 1
    assert initiator.stop(signal.SIGTERM) == 0
    capture = rig.stop(wire)
    comments = [packet.comment for packet in capture.packets if packet.comment]
    assert comments == ["dropped by fault 1: IKE_AUTH response 1"]
    # the repeated response is the very same octets
    responses = [
        p.octets[28:] for p in capture.packets if p.octets[28] == 0x30 and p.octets[20:22] == b"\x1f\x40"
    ]
    auth = [octets for octets in responses if octets == responses[1]]
    assert len(auth) == 2


def test_a_corrupted_ike_auth_request_has_no_effect(bring: Bring) -> None:
    responder, _, initiator = bring(
        {"act": "corrupt", "match": "IKE_AUTH request 1", "octet": -1, "times": 1}
    )
    initiator.wait_for("pings_completed", received=10)
    assert responder.wait_for("datagram_dropped")["reason"] == "bad_icv"
    assert responder.names().count("ike_sa_established") == 1


def test_junk_before_the_honest_ike_auth_does_not_keep_it_out(bring: Bring) -> None:
    responder, wire, initiator = bring({"act": "junk", "match": "IKE_AUTH request 1", "count": 20})
    initiator.wait_for("pings_completed", received=10)
    wire.wait_for("wire_junk_done", count=20)
    assert responder.wait_for("datagram_dropped")["reason"] == "bad_icv"


def test_a_replayed_esp_packet_is_refused(bring: Bring) -> None:
    responder, _, initiator = bring(
        {"act": "replay", "match": "ESP sequence 2 from initiator", "seconds": 0.05}
    )
    initiator.wait_for("pings_completed", received=10)
    assert responder.wait_for("datagram_dropped", reason="esp_replayed")


def test_a_reflected_request_is_known_as_ones_own(bring: Bring) -> None:
    _, _, initiator = bring({"act": "reflect", "match": "IKE_SA_INIT request", "times": 1})
    initiator.wait_for("pings_completed", received=10)
    assert initiator.wait_for("datagram_dropped")["reason"] in ("reflected", "wrong_direction")


def test_a_flood_from_nobody_leaves_half_open_sas_bounded(rig: Rig, bring: Bring) -> None:
    responder, wire, initiator = bring(
        {"act": "flood", "match": "IKE_AUTH request", "count": 40, "seconds": 0}
    )
    initiator.wait_for("pings_completed", received=10)
    done = wire.wait_for("wire_flood_done")
    # each is whole: the responder answers it, as it answers an honest one
    assert done["answers"] > 0
    assert responder.wait_for("ike_sa_init_received", octets=done_octets(rig, wire))


def done_octets(rig: Rig, wire: Process) -> int:
    """Octets of the first request of the flood, by the capture."""
    capture = rig.stop(wire)
    first = next(p for p in capture.packets if p.comment == "flood by fault 1: 1 of 40")
    return len(first.octets) - 28
