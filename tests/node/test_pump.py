"""What a pump hands over to the kernel is what came, in its order, whatever was joined."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.daemon.dataplane import DataPlane
from node.daemon.pump import LEAST_JOINED, Pump, Watch
from node.esp import vnet
from node.esp.tunnel import Outgoing
from node.esp.vnet import VNET_SIZE, Gso
from node.eventlog import EventLog
from node.model.message import Path
from node.net import clock
from node.net.steer import NON_ESP_MARKER, Port, Steer
from node.net.transport import Line
from node.net.tun import Tun
from node.net.udp import Received
from node.prose import Palette
from tests.node.test_dataplane import Wire
from tests.unit.esp.batches import ACK, FIN, PSH, finished, right, tcp, udp
from tests.unit.esp.support import GCM, LOCAL, PEER, Octets, child, end, mirrored, selectors

PORT = 4500
PATH = Path("192.0.2.1", PORT, "192.0.2.2", PORT)
CHILD = child(GCM, local=selectors(LOCAL, "fd00::1"), peer=selectors(PEER, "fd00::2"))


class Socket(Wire):
    """Gives datagrams, several of one size at once where they were told to come so."""

    def __init__(self) -> None:
        super().__init__()
        self.port = PORT
        self.waiting: list[list[bytes]] = []

    def gather(self) -> bool:
        return True

    def receive_into(self, buffer: bytearray | memoryview) -> Received | None:
        if not self.waiting:
            return None
        together = self.waiting.pop(0)
        octets = b"".join(together)
        buffer[: len(octets)] = octets
        return Received(len(octets), len(together[0]), PATH, 0)


class Device(Tun):
    """Keeps what is written, and is asked for nothing."""

    def __init__(self) -> None:
        self._take(-1, "tun", vnet_header=True)
        self.written: list[bytes] = []

    def write(self, packet: bytes) -> bool:
        self.written.append(bytes(VNET_SIZE) + packet)
        return True

    def write_super(self, parts: Sequence[bytes | bytearray | memoryview]) -> bool:
        self.written.append(b"".join(parts))
        return True


@dataclass
class Scene:
    """A pump between a socket and a device, and the peer."""

    udp: Socket = field(default_factory=Socket)
    tun: Device = field(default_factory=Device)

    def __post_init__(self) -> None:
        plane = DataPlane(self.udp, EventLog("n", None, None, Palette(False)), Octets(3))
        plane.add_inbound(mirrored(CHILD))
        self.peer = end(CHILD)
        self.others: list[tuple[Steer, bytes]] = []
        port = Port(NON_ESP_MARKER, NON_ESP_MARKER)
        self.pump = Pump(plane, [Line(self.udp, port)], self._other)
        self.pump.attach(self.tun, Watch(9000), lambda _: None)

    def _other(self, kind: Steer, octets: bytes, path: Path) -> None:
        self.others.append((kind, octets))

    def sealed(self, packet: bytes) -> bytes:
        made = self.peer.tunnel.encapsulate(packet)
        assert isinstance(made, Outgoing), made
        return made.datagram

    def pass_on(self, groups: list[list[bytes]]) -> list[bytes]:
        """Let these come, those of a group at once; what the kernel got."""
        self.udp.waiting = groups
        while self.udp.waiting:
            self.pump.on_udp(self.udp)
        return self.tun.written


def _packets(flow: int, version: int, sizes: list[int], flags: int, broken: bool) -> list[bytes]:
    """Segments of a flow: their checksums are right but, where `broken`, that of the second."""
    found, sequence = [], 5000 * flow
    for number, size in enumerate(sizes):
        last = number == len(sizes) - 1
        made = tcp(
            bytes([number]) * size,
            version=version,
            sequence=sequence,
            flags=flags if last else ACK,
            ack=flow,
            number=flow,
        )
        sequence += size
        packet = bytearray(finished(made))
        packet[-1] ^= broken and number == 1
        found.append(bytes(packet))
    return found


FLOWS = st.builds(
    _packets,
    st.integers(1, 3),
    st.sampled_from([4, 6]),
    st.builds(
        lambda count, size, tail: [size] * count + [tail] * bool(tail),
        st.integers(1, 20),
        st.sampled_from([1, 300, 1200]),
        st.sampled_from([0, 1, 200]),
    ),
    st.sampled_from([ACK, ACK | PSH, ACK | FIN]),
    st.booleans(),
)
OTHERS = st.sampled_from([[finished(udp(b"x" * 20))], [finished(tcp(b""))], [finished(udp(b"y", version=6))]])


def _check(written: list[bytes], packets: list[bytes]) -> int:
    """Hold what the kernel got against what came; how many packets were joined."""
    place = joined = 0
    for one in written:
        offload, packet = vnet.read(one), one[VNET_SIZE:]
        if offload.gso is Gso.NONE:
            assert packet == packets[place]
            place += 1
            continue
        start = offload.start
        header = start + (packet[start + 12] >> 4) * 4
        data = packet[header:]
        count = -(-len(data) // offload.segment)
        came = packets[place : place + count]
        assert b"".join(part[header:] for part in came) == data
        assert all(right(part) for part in came)
        assert packet[start : start + 13] == came[0][start : start + 13]
        assert packet[start + 13] == came[-1][start + 13]
        place, joined = place + count, joined + count
    assert place == len(packets)
    return joined


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(FLOWS, FLOWS, OTHERS), min_size=1, max_size=5), st.integers(1, 40))
def test_all_arrives_in_order(flows: list[list[bytes]], together: int) -> None:
    scene, packets = Scene(), [packet for flow in flows for packet in flow]
    groups: list[list[bytes]] = []
    for datagram in map(scene.sealed, packets):
        last = groups[-1] if groups else []
        # As UDP GRO does it: of one size, but for a smaller one at the end.
        if last and len(last) < together and len(last[0]) == len(last[-1]) >= len(datagram):
            last.append(datagram)
        else:
            groups.append([datagram])
    _check(scene.pass_on(groups), packets)


@pytest.mark.parametrize("together", [1, 100])
@pytest.mark.parametrize("tail", [0, 100])
def test_a_flow_is_joined(monkeypatch: pytest.MonkeyPatch, together: int, tail: int) -> None:
    packets = _packets(1, 4, [1200] * (LEAST_JOINED + 1) + [tail] * bool(tail), ACK, False)
    scene = Scene()
    monkeypatch.setattr(clock, "monotonic", lambda: 0.0)
    # A packet that came a moment ago, so that none of these comes alone.
    early = finished(udp(b"early"))
    sealed = [scene.sealed(one) for one in (early, *packets)]
    groups = [sealed[1:]] if together > 1 else [[one] for one in sealed[1:]]
    written = scene.pass_on([[sealed[0]], *groups])
    assert _check(written, [early, *packets]) == len(packets)
    assert len(written) == 2


def test_what_comes_alone_is_handed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    packets, scene = _packets(1, 4, [1200] * 20, ACK, False), Scene()
    now = iter(range(100))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(now)))
    written = scene.pass_on([[scene.sealed(one)] for one in packets])
    assert written == [bytes(VNET_SIZE) + one for one in packets]


def test_what_is_no_esp_goes_to_the_other_one() -> None:
    scene = Scene()
    ike = [NON_ESP_MARKER + b"message", b"\xff", b"x"]
    assert scene.pass_on([[one] for one in ike]) == []
    kinds = [Steer.IKE, Steer.KEEPALIVE, Steer.TRUNCATED]
    assert scene.others == list(zip(kinds, ike, strict=True))
