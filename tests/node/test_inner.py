"""The user-space inner side: whatever a peer asks of it, it loses at most that packet."""

from ipaddress import ip_address

import pytest

from node.daemon.dataplane import DataPlane
from node.daemon.inner import Listener, UserSpaceInner
from node.errors import DropReason
from node.esp.host import Host
from node.eventlog import EventLog
from node.net.udp import UdpSocket
from node.prose import Palette

HERE, THERE = ip_address("10.2.0.1"), ip_address("10.1.0.1")


@pytest.mark.parametrize(
    ("target", "port", "payload"),
    [
        (THERE, 0, b"ACK x"),  # a peer's message came from port 0
        (THERE, 7000, bytes(577)),  # an acknowledgement larger than our MTU
        (ip_address("fd00::1"), 7000, b"x"),  # a target of a family we have no address of
    ],
)
def test_what_cannot_be_sent_is_lost(target: object, port: int, payload: bytes) -> None:
    udp = UdpSocket("127.0.0.1", 0)
    log = EventLog("node", None, None, Palette(False))
    plane = DataPlane(udp, log, bytes)
    listener = Listener(lambda *_: None, lambda *_: None, lambda *_: None)
    inner = UserSpaceInner(Host([HERE], 1, 576), plane, listener, 7000)
    inner.send_message(target, port, payload)  # type: ignore[arg-type]
    udp.close()
    assert log.dropped == {DropReason.INNER_MALFORMED: 1}


def test_a_ping_to_the_other_family_is_lost() -> None:
    udp = UdpSocket("127.0.0.1", 0)
    log = EventLog("node", None, None, Palette(False))
    plane = DataPlane(udp, log, bytes)
    listener = Listener(lambda *_: None, lambda *_: None, lambda *_: None)
    UserSpaceInner(Host([HERE], 1), plane, listener, 7000).ping(ip_address("fd00::1"), 1)
    udp.close()
    assert log.dropped == {DropReason.INNER_MALFORMED: 1}
