"""The sockets of a node as one, keepalives, and ESP from a new address (RFC 3948 4, RFC 7296 2.23)."""

import errno
import json
import os
import select
import signal
import socket
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.control import client
from node.daemon import start
from node.daemon.dataplane import DataPlane
from node.daemon.failure import StartError
from node.daemon.keepalive import Keepalives
from node.errors import DropReason
from node.esp.tunnel import Outgoing
from node.eventlog import EventLog
from node.model.message import Path
from node.net.steer import IKE_ALONE, NON_ESP_MARKER, Port
from node.net.transport import Line, Transport
from node.net.udp import UdpSocket
from node.prose import Palette
from tests.node.conftest import Spawn, nat_port
from tests.unit.esp.support import LOCAL, OURS, PATH, PEER, Octets, child, end, ipv4, mirrored

SHARED = Port(NON_ESP_MARKER, NON_ESP_MARKER)


def receive(udp: UdpSocket) -> tuple[bytes, Path]:
    select.select([udp], [], [], 10)
    found = udp.receive()
    assert found is not None
    return found


@pytest.fixture
def two() -> Iterator[Transport]:
    nat = Line(UdpSocket("127.0.0.1", 0), SHARED)
    ike = Line(UdpSocket("127.0.0.1", 0, carries_esp=False), IKE_ALONE)
    made = Transport(nat, ike)
    yield made
    made.close()


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(10)
        yield made


# -- sockets -------------------------------------------------------------------------------------------------


def test_a_path_says_which_socket_and_what_a_message_looks_like(two: Transport, peer: socket.socket) -> None:
    ike, nat = (line.udp for line in two)
    assert (two.port, two.nat_port) == (ike.port, nat.port)
    for udp, looks, carries in ((ike, b"message", False), (nat, b"\0\0\0\0message", True)):
        peer.sendto(b"request", ("127.0.0.1", udp.port))
        _, path = receive(udp)
        assert (path.local_port, path.carries_esp) == (udp.port, carries)
        assert two.send_message(b"message", path)
        assert peer.recvfrom(100) == (looks, ("127.0.0.1", udp.port))
        assert two.send(b"as it is", path)
        assert peer.recvfrom(100) == (b"as it is", ("127.0.0.1", udp.port))


def test_where_an_ike_sa_begins_and_goes_on(two: Transport) -> None:
    path = two.starting(shared=False).path_to("127.0.0.1", 500)
    assert path == Path("127.0.0.1", two.port, "127.0.0.1", 500, carries_esp=False)
    assert two.nat_path(path, 4500) == Path("127.0.0.1", two.nat_port, "127.0.0.1", 4500)
    shared = two.starting(shared=True).path_to("127.0.0.1", 4500)
    assert (shared.local_port, shared.carries_esp) == (two.nat_port, True)
    assert two.nat_path(shared, 4500) is None, "it is there already"


def test_one_socket_for_both() -> None:
    one = Transport(Line(UdpSocket("127.0.0.1", 0), SHARED))
    assert len(list(one)) == 1
    assert one.port == one.nat_port
    assert one.starting(shared=False) is one.starting(shared=True)
    assert one.nat_path(one.starting(shared=False).path_to("127.0.0.1", 9), 9) is None
    one.close()


def test_errors_of_all_sockets_are_counted_together(two: Transport) -> None:
    for line in two:
        assert not two.send(bytes(65_508), Path("127.0.0.1", line.udp.port, "127.0.0.1", 9))
    assert two.errors == {"EMSGSIZE": 2}


def test_somebody_may_hear_of_all_that_leaves(two: Transport) -> None:
    heard: list[Path] = []
    two.on_send = heard.append
    paths = [Path("127.0.0.1", line.udp.port, "127.0.0.1", 9) for line in two]
    two.send_message(b"message", paths[0])
    two.send(b"packet", paths[1])
    assert heard == paths


def link_local() -> tuple[str, str]:
    """A link-local address of this host and its interface. Skips the test where there is none."""
    try:
        lines = FilePath("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        octets, _, _, scope, flags, name = line.split()
        usable = scope == "20" and not int(flags, 16) & 0x48
        if usable and FilePath("/sys/class/net", name, "operstate").read_text().strip() != "down":
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(octets)), name
    pytest.skip("no interface with a link-local address is up")


@pytest.mark.parametrize("listen", ["::", "{address}%{name}"])
def test_link_local_addresses_keep_their_interface(listen: str) -> None:
    address, name = link_local()
    udp = UdpSocket(listen.format(address=address, name=name), 0)
    whom = f"{address}%{name}"
    path = udp.path_to(whom, udp.port)
    assert (path.local_host, path.peer_host) == (address, whom)
    assert udp.send(b"to myself", path), udp.errors
    datagram, back = receive(udp)
    assert (datagram, back) == (b"to myself", path)
    assert udp.send(b"and again", back), udp.errors
    assert receive(udp)[0] == b"and again"
    assert not udp.send(b"nowhere", Path(address, udp.port, f"{address}%no-such-link", 9))
    assert sum(udp.errors.values()) == 1
    udp.close()


# -- keepalives ----------------------------------------------------------------------------------------------

A, B = Path("192.0.2.1", 4500, "192.0.2.2", 4500), Path("192.0.2.1", 4500, "192.0.2.3", 4500)


class Wire:
    """Keeps what is sent, as the transport tells of it."""

    def __init__(self, interval: float = 20.0) -> None:
        self.now, self.sent = 0.0, list[tuple[bytes, Path]]()
        self.alive = Keepalives(interval, self.send)

    def send(self, datagram: bytes, path: Path) -> bool:
        self.sent.append((datagram, path))
        self.alive.note(path, self.now)
        return True

    def until(self, end: float) -> list[float]:
        """When something was sent up to then."""
        times = []
        while (deadline := self.alive.deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            before = len(self.sent)
            self.alive.send_due(self.now)
            times += [self.now] * (len(self.sent) - before)
        self.now = end
        return times


def test_one_octet_each_interval_of_silence() -> None:
    wire = Wire()
    wire.alive.begin(b"1", A, 0.0)
    assert wire.until(65.0) == [20.0, 40.0, 60.0]
    assert wire.sent == [(b"\xff", A)] * 3
    assert wire.alive.sent == 3


def test_other_traffic_on_the_path_is_enough() -> None:
    wire = Wire()
    wire.alive.begin(b"1", A, 0.0)
    wire.until(15.0)
    wire.send(b"packet", A)
    wire.alive.note(B, 15.0)
    assert wire.until(40.0) == [35.0]


def test_two_ike_sas_on_one_path_need_one() -> None:
    wire = Wire()
    wire.alive.begin(b"1", A, 0.0)
    wire.alive.begin(b"2", A, 5.0)
    assert wire.until(21.0) == [20.0]
    wire.alive.end(b"1")
    assert wire.until(41.0) == [40.0]
    wire.alive.end(b"2")
    assert not wire.alive
    assert wire.alive.deadline() is None
    assert wire.until(100.0) == []


def test_an_ike_sa_takes_its_keepalives_along() -> None:
    wire = Wire()
    wire.alive.begin(b"1", A, 0.0)
    wire.alive.moved(b"1", B, True, 10.0)
    wire.alive.moved(b"2", A, False, 10.0)
    assert wire.until(31.0) == [30.0]
    assert wire.sent == [(b"\xff", B)]


def test_none_where_they_are_off() -> None:
    wire = Wire(0.0)
    wire.alive.begin(b"1", A, 0.0)
    wire.alive.moved(b"1", B, True, 0.0)
    assert not wire.alive
    assert wire.alive.deadline() is None


@given(st.lists(st.floats(0.1, 50.0), max_size=12))
def test_no_path_is_silent_for_longer_than_the_interval(pauses: list[float]) -> None:
    wire = Wire()
    wire.alive.begin(b"1", A, 0.0)
    busy = [0.0]
    for pause in pauses:
        busy += wire.until(wire.now + pause)
        wire.send(b"packet", A)
        busy.append(wire.now)
    assert all(later - sooner <= 20.0 + 1e-6 for sooner, later in pairwise(busy))


# -- ESP from a new address ----------------------------------------------------------------------------------

NEW = Path("192.0.2.1", 4500, "203.0.113.9", 40_000)


class Plane:
    """A data path with one Child SA, its peer, and what it told of strayed packets."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.sent: list[tuple[bytes, Path]] = []
        self.log = EventLog("n", lambda line: self.told.append(json.loads(line)), None, Palette(False))
        self.plane = DataPlane(self, self.log, Octets(3))
        self.plane.add_inbound(child())
        self.plane.add_outbound(child())
        self.strayed: list[tuple[bytes, Path]] = []
        self.plane.strayed = lambda spi, path: self.strayed.append((spi, path))
        self.peer = end(mirrored(child()))

    def send(self, datagram: bytes, path: Path, tos: int) -> bool:
        self.sent.append((datagram, path))
        return True

    def send_many(self, parts: Sequence[bytes | memoryview], size: int, path: Path, tos: int) -> bool:
        return all([self.send(bytes(part), path, tos) for part in parts])

    send_pieces = send

    def path_mtu(self, path: Path) -> int:
        return 1500

    narrowed = path_mtu

    def packet(self) -> bytes:
        found = self.peer.tunnel.encapsulate(ipv4(PEER, LOCAL, b"hello"))
        assert isinstance(found, Outgoing)
        return found.datagram


def test_a_new_packet_from_a_new_address_is_told_and_moves_nothing_by_itself() -> None:
    one = Plane()
    one.plane.datagram(one.packet(), PATH)
    assert one.strayed == []
    one.plane.datagram(one.packet(), NEW)
    assert one.strayed == [(child().ike_spi, NEW)]
    one.plane.packet(ipv4(LOCAL, PEER, b"answer"))
    assert [path for _, path in one.sent] == [PATH]
    one.plane.move(OURS, NEW)
    one.plane.packet(ipv4(LOCAL, PEER, b"answer"))
    assert [path for _, path in one.sent] == [PATH, NEW]
    one.plane.datagram(one.packet(), NEW)
    assert len(one.strayed) == 1


def test_it_is_told_before_the_packet_is_delivered() -> None:
    one = Plane()
    order: list[str] = []
    one.plane.strayed = lambda spi, path: order.append("strayed")
    one.plane.deliver = lambda packet, origin: order.append("delivered")
    one.plane.datagram(one.packet(), NEW)
    assert order == ["strayed", "delivered"]


def test_nothing_forged_replayed_or_late_is_told() -> None:
    one = Plane()
    early, late, newest = one.packet(), one.packet(), one.packet()
    one.plane.datagram(newest, PATH)
    forged = newest[:8] + bytes([newest[8] ^ 1]) + newest[9:]
    ahead = newest[:4] + (1000).to_bytes(4) + newest[8:]
    for octets in (newest, forged, ahead, newest[:20], bytes(40)):
        one.plane.datagram(octets, NEW)
    assert one.log.dropped[DropReason.ESP_REPLAYED] >= 1
    assert one.log.dropped[DropReason.ESP_BAD_ICV] == 1
    one.plane.datagram(late, NEW)
    one.plane.datagram(early, PATH)
    assert one.strayed == [], "what was overtaken says where the peer was"


# -- processes -----------------------------------------------------------------------------------------------


def test_two_ports_on_loopback(spawn: Spawn, tmp_path: FilePath) -> None:
    socket_path = str(tmp_path / "s")
    both = {"NODE_PROFILE": "rfc7296", "NODE_LISTEN__NAT_PORT": "0"}
    responder = spawn("--mode=ipsec-responder", "--port=0", NODE_CONTROL__SOCKET=socket_path, **both)
    shared, alone = nat_port(responder), responder.wait_for("udp_bound", carries=["ike"])["port"]
    ports = {"NODE_PEER__PORT": str(alone), "NODE_PEER__NAT_PORT": str(shared)}
    initiator = spawn("--mode=ipsec-initiator", **both, **ports)
    assert initiator.wait_for("pings_completed")["received"] == 10
    listening = client.ask(socket_path, {"command": "status"})["listening"]
    assert (listening["port"], listening["nat_port"]) == (alone, shared)
    peers = [initiator.wait_for(f"{name}_sent")["peer"] for name in ("ike_sa_init", "ike_auth")]
    assert peers == [f"127.0.0.1:{alone}", f"127.0.0.1:{shared}"]
    ours = [initiator.wait_for("udp_bound", carries=list(c))["port"] for c in (["ike"], ["ike", "esp"])]
    seen = [responder.wait_for(f"{name}_received")["peer"] for name in ("ike_sa_init", "ike_auth")]
    assert seen == [f"127.0.0.1:{port}" for port in ours]
    assert initiator.stop(signal.SIGTERM) == 0
    responder.wait_for("ike_sa_deleted")
    assert not {"datagram_dropped", "nat_detected", "peer_moved"} & {*responder.names(), *initiator.names()}


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        (
            {"NODE_LISTEN__NAT_PORT": "{taken}"},
            "listen.nat_port: UDP 127.0.0.1[{taken}]: Address already in use",
        ),
        ({"NODE_LISTEN__PORT": "{taken}"}, "listen.port: UDP 127.0.0.1[{taken}]: Address already in use"),
        ({"NODE_LISTEN__ADDRESS": "192.0.2.77"}, "listen.address: UDP 192.0.2.77[0]: Cannot assign"),
    ],
)
def test_a_port_that_cannot_be_had_is_named(
    spawn: Spawn, settings: dict[str, str], detail: str, peer: socket.socket
) -> None:
    taken = peer.getsockname()[1]
    base = {"NODE_PROFILE": "rfc7296", "NODE_LISTEN__PORT": "0", "NODE_LISTEN__NAT_PORT": "0"}
    node = spawn("--mode=ipsec-responder", **base | {k: v.format(taken=taken) for k, v in settings.items()})
    assert node.wait() == 4
    assert detail.format(taken=taken) in node.wait_for("node_failed")["detail"]


@pytest.mark.parametrize(
    ("number", "setting", "remedy"),
    [
        (errno.EACCES, "listen.nat_port", "ip_unprivileged_port_start=0"),
        (errno.EADDRINUSE, "listen.nat_port", "stop the process that has the port"),
        (errno.EADDRNOTAVAIL, "listen.address", "set an address of this host"),
        (errno.EAFNOSUPPORT, "listen", "set another address or port"),
    ],
)
def test_the_remedy_follows_from_the_error(
    monkeypatch: pytest.MonkeyPatch, number: int, setting: str, remedy: str
) -> None:
    def refuse(*_: object, **__: object) -> UdpSocket:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(start, "UdpSocket", refuse)
    with pytest.raises(StartError) as caught:
        start._open("listen.nat_port", "192.0.2.1", 450, SHARED)
    expected = f"{setting}: UDP 192.0.2.1[450]: {os.strerror(number)}; "
    assert str(caught.value).startswith(expected)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"NODE_LISTEN__NAT_PORT": "4500"},
            "listen.nat_port: 4500: profile asn1 has one port for everything",
        ),
        ({"NODE_PEER__NAT_PORT": "4501"}, "peer.nat_port: 4501: profile asn1 has one port for everything"),
        ({"NODE_PROFILE": "rfc7296", "NODE_PEER__NAT_PORT": "0"}, "peer.nat_port: 0: a peer listens at some"),
    ],
)
def test_ports_that_a_profile_does_not_have(spawn: Spawn, given: dict[str, str], told: str) -> None:
    node = spawn("--mode=ipsec-responder", "--port=0", **given)
    assert node.wait() == 2
    assert told in node.errors


def test_keepalives_of_a_node_behind_a_nat(spawn: Spawn, tmp_path: FilePath, peer: socket.socket) -> None:
    """`peer` is the NAT: another address and port on either side, all others' mappings."""
    paths = [str(tmp_path / name) for name in ("i", "r")]
    one = {"NODE_PROFILE": "rfc7296", "NODE_LISTEN__NAT_PORT": "0", "NODE_IKE__KEEPALIVE": "0.05"}
    responder = spawn("--mode=ipsec-responder", "--port=0", NODE_CONTROL__SOCKET=paths[1], **one)
    target = ("127.0.0.1", nat_port(responder))
    outside = str(peer.getsockname()[1])
    ports = {"NODE_PEER__PORT": outside, "NODE_PEER__NAT_PORT": outside}
    spawn("--mode=ipsec-initiator", NODE_CONTROL__SOCKET=paths[0], **one, **ports)
    near, keepalives = ("", 0), 0
    while keepalives < 3:
        octets, source = peer.recvfrom(65_535)
        if source != target:
            near, keepalives = source, keepalives + (octets == b"\xff")
        peer.sendto(octets, near if source == target else target)
    counters = client.ask(paths[0], {"command": "counters"})
    assert counters["keepalives_sent"] >= 3
    responder.wait_for("nat_detected", remote=True)
    assert "datagram_dropped" not in responder.names()
