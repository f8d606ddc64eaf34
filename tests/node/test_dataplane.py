"""The end of a Child SA: it is announced, it is for good, and nothing leaves in clear (child.max_packets)."""

import signal
from pathlib import Path

import pytest

from node.control import client
from node.daemon.dataplane import DataPlane
from node.errors import DropReason
from node.esp.sad import RekeyNeeded
from node.esp.tunnel import Incoming
from node.eventlog import EventLog
from node.model.message import Path as NetPath
from node.net.udp import UdpSocket
from node.prose import Palette
from tests.node.conftest import Spawn
from tests.unit.esp.support import LOCAL, PEER, Octets, child, end, ipv4, mirrored


class Wire(UdpSocket):
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, datagram: bytes, path: NetPath, tos: int = 0) -> bool:
        self.sent.append(datagram)
        return True

    def path_mtu(self, path: NetPath) -> int:
        return 0


def _plane(max_packets: int) -> tuple[DataPlane, Wire, list[RekeyNeeded], EventLog]:
    expired: list[RekeyNeeded] = []
    log = EventLog("n", None, None, Palette(False))
    wire = Wire()
    plane = DataPlane(wire, log, Octets(3), max_packets)
    plane.expired = expired.append
    plane.add_inbound(child())
    plane.add_outbound(child())
    return plane, wire, expired, log


@pytest.mark.parametrize("limit", [1, 2, 8, 100])
def test_a_child_sa_ends_for_good(limit: int) -> None:
    plane, wire, expired, log = _plane(limit)
    peer = end(mirrored(child()))
    for number in range(limit + 50):
        plane.packet(ipv4(LOCAL, PEER, f"packet {number}".encode()))
    assert len(wire.sent) == limit
    opened = [peer.tunnel.decapsulate(datagram) for datagram in wire.sent]
    assert all(isinstance(found, Incoming) for found in opened)
    assert b"packet" not in b"".join(wire.sent)
    assert log.dropped == {DropReason.ESP_SEQUENCE_EXHAUSTED: 50}
    spis = bytes.fromhex("c0000001"), bytes.fromhex("d0000002")
    at_the_end = RekeyNeeded(*spis, True)
    assert expired == ([at_the_end] if limit < 8 else [RekeyNeeded(*spis, False), at_the_end])


def test_without_a_limit_the_sequence_numbers_are_the_limit() -> None:
    plane, wire, expired, log = _plane(0)
    for _ in range(300):
        plane.packet(ipv4(LOCAL, PEER, b"x"))
    assert len(wire.sent) == 300
    assert (expired, log.dropped) == ([], {})


def test_an_expired_child_sa_still_receives() -> None:
    plane, _, _, _ = _plane(1)
    delivered: list[bytes] = []
    plane.deliver = lambda packet, _: delivered.append(packet)
    for _ in range(3):
        plane.packet(ipv4(LOCAL, PEER, b"x"))
    peer = end(mirrored(child()))
    packet = ipv4(PEER, LOCAL, b"still here")
    answer = peer.tunnel.encapsulate(packet)
    plane.datagram(getattr(answer, "datagram", b""), NetPath("192.0.2.1", 4500, "192.0.2.2", 4500))
    assert delivered == [packet]


def test_a_node_whose_child_sa_ends(spawn: Spawn, tmp_path: Path) -> None:
    responder = spawn("--mode=ipsec-responder", "--port=0")
    port = str(responder.wait_for("udp_bound")["port"])
    path = str(tmp_path / "s")
    variables = {
        "NODE_PEER__PORT": port,
        "NODE_CHILD__MAX_PACKETS": "8",
        "NODE_CHILD__LIFETIME__REKEY": "0",
        "NODE_CONTROL__SOCKET": path,
    }
    initiator = spawn("--mode=ipsec-initiator", **variables)
    done = initiator.wait_for("pings_completed")
    assert (done["sent"], done["received"]) == (10, 7)
    expired = initiator.wait_for("child_sa_expired")
    installed = initiator.wait_for("child_sa_installed")
    assert expired["outbound_spi"] == installed["outbound_spi"]
    initiator.wait_for("packet_dropped", reason="esp_sequence_exhausted")
    [sa] = client.ask(path, {"command": "status"})["child_sas"]
    assert sa["outbound_packets"] == 8
    assert initiator.stop(signal.SIGTERM) == 0
