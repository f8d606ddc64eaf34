"""Which inner packets the process with the keys tells the other one of."""

from ipaddress import ip_address

import pytest

from node.daemon.dataplane import Origin
from node.daemon.pump import Watch
from node.esp.ip import Echo, pack_echo, pack_udp
from node.esp.tunnel import Incoming, Outgoing
from node.model.message import Path
from node.model.selectors import IPAddress

PORT, OURS = 9000, 4711
ENDS = {4: ("10.5.0.1", "10.5.0.2"), 6: ("fd00::1", "fd00::2")}
PATH = Path("192.0.2.1", 4500, "192.0.2.2", 4500)


class Heard:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.went: list[bytes] = []

    def arrived(self, packet: bytes, origin: Origin) -> None:
        assert origin == Origin("192.0.2.2:4500", "00000101", 7)
        self.came.append(packet)

    def left(self, packet: bytes, spi: bytes, sequence: int) -> None:
        assert (spi, sequence) == (b"\0\0\2\2", 9)
        self.went.append(packet)


def _ends(version: int) -> tuple[IPAddress, IPAddress]:
    one, other = ENDS[version]
    return ip_address(one), ip_address(other)


def _watched(echoes: int | None, packets: list[bytes]) -> Heard:
    watch, heard = Watch(PORT), Heard()
    watch.tell(heard, echoes=echoes)
    for packet in packets:
        watch.arrived(Incoming(packet, b"\0\0\1\1", 7, True), PATH)
        watch.left(packet, Outgoing(b"", PATH, b"\0\0\2\2", 9))
    return heard


@pytest.mark.parametrize("version", [4, 6])
def test_replies_to_our_own_pings_alone_are_told(version: int) -> None:
    ends = _ends(version)
    ours, others = (pack_echo(*ends, Echo(False, number, 1, b"x")) for number in (OURS, OURS + 1))
    request = pack_echo(*ends, Echo(True, OURS, 1, b"x"))
    heard = _watched(OURS, [others, ours, request])
    assert (heard.came, heard.went) == ([ours], [])
    assert _watched(None, [others, ours, request]).came == []


@pytest.mark.parametrize("version", [4, 6])
def test_messages_of_the_demo_are_told_both_ways(version: int) -> None:
    ends = _ends(version)
    ours, others = (pack_udp(*ends, 1000, port, b"x") for port in (PORT, PORT + 1))
    heard = _watched(None, [others, ours])
    assert (heard.came, heard.went) == ([ours], [ours])


def test_where_nobody_listens_nothing_is_told() -> None:
    Watch(PORT).arrived(Incoming(pack_udp(*_ends(4), 1000, PORT, b"x"), b"\0\0\1\1", 7, True), PATH)
