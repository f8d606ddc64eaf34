"""A way that is narrow in the middle: what is too large is told of or cut, and nothing vanishes.

namespace i       namespace m (forwards)        namespace r
192.0.2.1 -------- 192.0.2.254  203.0.113.254 -------- 203.0.113.2
           1500                  1300
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.control import client
from tests.node.conftest import PATIENCE, Process, Spawn, why_no_tun

OBSTACLE = why_no_tun()
pytestmark = [
    pytest.mark.root,
    pytest.mark.tun,
    pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE)),
]

NARROW = 1300
PING = """
import socket, sys
from ipaddress import ip_address
from node.esp.ip import Echo, Packet, pack_echo, read_echo, unpack
size, df = int(sys.argv[2]), int(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as end:
    end.setsockopt(socket.IPPROTO_IP, 10, 2 if df else 0)
    end.settimeout(0.5)
    end.connect((sys.argv[1], 0))
    request = pack_echo(ip_address("0.0.0.0"), ip_address(sys.argv[1]), Echo(True, 77, 1, bytes(size)))[20:]
    for _ in range(20):
        try:
            end.send(request)
            packet = end.recv(65535)
        except TimeoutError:
            continue
        except OSError as error:
            print("told", error.errno, end.getsockopt(socket.IPPROTO_IP, 14))
            break
        found = unpack(packet)
        echo = read_echo(found) if found else None
        if echo and not echo.is_request and len(echo.data) == size:
            print("answered")
            break
"""
TAKE = """
import hashlib, socket
with socket.create_server(("10.2.0.1", 5001)) as server:
    print("ready", flush=True)
    server.settimeout(20)
    end, _ = server.accept()
    end.settimeout(20)
    total, found = 0, hashlib.sha256()
    while octets := end.recv(65536):
        total += len(octets)
        found.update(octets)
    print(total, found.hexdigest(), flush=True)
"""
GIVE = """
import hashlib, socket
data = bytes(n % 251 for n in range(251)) * 8000
with socket.create_connection(("10.2.0.1", 5001), timeout=20) as end:
    end.sendall(data)
print(len(data), hashlib.sha256(data).hexdigest())
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Three:
    """The namespaces."""

    left: str
    middle: str
    right: str


@pytest.fixture
def narrow() -> Iterator[Three]:
    """Three namespaces in a row, the second link narrower than the first."""
    tag = os.getpid()
    names = Three(*(f"ipseclab-{letter}-{tag}n" for letter in "imr"))
    try:
        for name in (names.left, names.middle, names.right):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        for place, link, address, mtu in (
            (names.left, "a", ("192.0.2.1/24", "192.0.2.254/24"), 1500),
            (names.right, "b", ("203.0.113.2/24", "203.0.113.254/24"), NARROW),
        ):
            ends = f"n{link}{tag}", f"m{link}{tag}"
            _ip(
                "link", "add", ends[0], "netns", place, "type", "veth", "peer", ends[1], "netns", names.middle
            )
            for name, end, own in ((place, ends[0], address[0]), (names.middle, ends[1], address[1])):
                _ip("-n", name, "address", "add", own, "dev", end)
                _ip("-n", name, "link", "set", end, "mtu", str(mtu), "up")
        _ip("-n", names.left, "route", "add", "default", "via", "192.0.2.254")
        _ip("-n", names.right, "route", "add", "default", "via", "203.0.113.254")
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        subprocess.run(["ip", "netns", "exec", names.middle, "sh", "-c", forward], check=True)
        yield names
    finally:
        for name in (names.left, names.middle, names.right):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Two nodes over the narrow way."""

    places: Three
    initiator: Process
    directory: Path

    def python(self, place: str, *words: str) -> list[str]:
        """How to run a program in a namespace."""
        return ["ip", "netns", "exec", place, sys.executable, "-c", *words]

    def run(self, *words: str) -> str:
        """What a program on the initiator's side writes."""
        done = subprocess.run(
            self.python(self.places.left, *words), capture_output=True, text=True, timeout=3 * PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        """The initiator's Child SA."""
        found = client.ask(str(self.directory / "initiator.sock"), {"command": "status"})
        child: dict[str, Any] = found["child_sas"][0]
        return child


@pytest.fixture(params=["true", "false"], ids=["apart", "shared"])
def tunnel(request: pytest.FixtureRequest, spawn: Spawn, narrow: Three, owned: Path) -> Tunnel:
    """Both are up, and the first pings are through."""
    common = {"NODE_TUN__ENABLED": "true", "NODE_LISTEN__ADDRESS": "0.0.0.0", "NODE_RUN__USER": "10001"}
    common |= {"NODE_ESP__PROCESS": request.param, "NODE_PEER__ADDRESS": "203.0.113.2"}

    def start(role: str, place: str) -> Process:
        prefix, own = ("ip", "netns", "exec", place), str(owned / f"{role}.sock")
        return spawn(prefix=prefix, directory=owned, NODE_ROLE=role, NODE_CONTROL__SOCKET=own, **common)

    responder = start("responder", narrow.right)
    responder.wait_for("udp_bound")
    initiator = start("initiator", narrow.left)
    initiator.wait_for("pings_completed")
    return Tunnel(narrow, initiator, owned)


def test_packets_that_are_too_large_are_told_of_or_cut_and_a_stream_gets_through(tunnel: Tunnel) -> None:
    told = tunnel.run(PING, "10.2.0.1", "1300", "1").split()
    changed = tunnel.initiator.wait_for("path_mtu_changed")
    assert (changed["peer"], changed["old"], changed["mtu"]) == ("203.0.113.2", 1500, NARROW)
    inner = tunnel.status()["inner_mtu"]
    assert NARROW - 100 < inner < NARROW - 50
    # The kernel heard of it, and says so itself.
    assert told == ["told", "90", str(inner)]
    dropped = tunnel.initiator.wait_for("packet_dropped", reason="packet_too_big")
    assert str(inner) in dropped["detail"]
    assert tunnel.run(PING, "10.2.0.1", "1340", "0").strip() == "answered"
    taking = subprocess.Popen(tunnel.python(tunnel.places.right, TAKE), stdout=subprocess.PIPE, text=True)
    assert taking.stdout is not None
    with taking:
        assert taking.stdout.readline() == "ready\n"
        sent = tunnel.run(GIVE)
        assert taking.stdout.readline() == sent


def test_a_stream_over_a_way_that_nobody_knows_to_be_narrow_gets_through(tunnel: Tunnel) -> None:
    taking = subprocess.Popen(tunnel.python(tunnel.places.right, TAKE), stdout=subprocess.PIPE, text=True)
    assert taking.stdout is not None
    with taking:
        assert taking.stdout.readline() == "ready\n"
        sent = tunnel.run(GIVE)
        assert taking.stdout.readline() == sent
    assert tunnel.status()["inner_mtu"] < NARROW
