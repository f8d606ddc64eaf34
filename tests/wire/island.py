"""Scenes in network namespaces of their own, as a program: python -m tests.wire.island SCENE DIRECTORY

A bridge joins `wire`, `target` and `alice`. A scene prints one JSON object, which the tests judge. It ends
with code 4 and one line where the kernel allows no namespaces.
"""

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

from lab.backends import netns_kernel as kernel
from lab.backends.netns_supervisor import build, separate

REFUSED = 4
PORT = 8000
HOSTS = {"wire": "172.28.9.2", "target": "172.28.9.3", "alice": "172.28.9.4"}
SOURCES = "172.28.9.0/24"
PATIENCE = 30.0

# linux/capability.h, linux/prctl.h, linux/sockios.h, linux/if.h
_NET_RAW, _LAST_CAPABILITY, _CAPBSET_DROP = 13, 40, 24
_SIOCSIFADDR, _SIOCSIFFLAGS = 0x8916, 0x8914

Result = dict[str, Any]


class Island:
    """Sockets and processes in the namespaces of HOSTS."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        separate()
        self._places = build({name: f"{address}/24" for name, address in HOSTS.items()})
        self._running: list[subprocess.Popen[str]] = []

    def enter(self, place: str) -> None:
        kernel.enter(self._places[place], kernel.CLONE_NEWNET)

    def udp(self, place: str, host: str, port: int = 0) -> socket.socket:
        """A bound socket in a namespace."""
        self.enter(place)
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE)
        made.bind((host, port))
        return made

    def spawn(self, place: str, *arguments: str, keep: set[int] | None = None, **environment: str) -> "Child":
        """`python -m lab.wire` in a namespace; `keep` are the only capabilities it can have."""
        self.enter(place)
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.wire", *arguments],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=None if keep is None else _dropper(keep),
        )
        self._running.append(process)
        return Child(process)

    def relay(self, *faults: Result, host: str, target: str, **more: Any) -> "Child":
        """A relay in `wire`."""
        config = {
            "listen": {"address": host},
            "target": {"name": "target", "address": target},
            "faults": faults,
        }
        return self.spawn("wire", "relay", WIRE_CONFIG=json.dumps({**config, "ports": [PORT], **more}))

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()


class Child:
    """A wire process and what it told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[Result] = []

    def wait_for(self, name: str) -> Result:
        stream: IO[str] | None = self.process.stdout
        assert stream is not None
        for line in stream:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == name:
                return self.events[-1]
        raise SystemExit(f"no {name}: {self.events}")

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.finish()

    def finish(self) -> int:
        out, _ = self.process.communicate(timeout=PATIENCE)
        self.events += map(json.loads, out.splitlines())
        return self.process.returncode


def _dropper(keep: set[int]) -> Callable[[], None]:
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def drop() -> None:
        for capability in range(_LAST_CAPABILITY + 1):
            if capability not in keep and prctl(_CAPBSET_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "PR_CAPBSET_DROP")

    return drop


def _add_ipv6(*addresses: str) -> None:
    """Give the loopback of this namespace addresses (struct in6_ifreq), and wait until they can be used."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ask:
        for address in addresses:
            packed = ip_address(address).packed
            fcntl.ioctl(ask, _SIOCSIFADDR, struct.pack("16sIi", packed, 128, socket.if_nametoindex("lo")))
    deadline = time.monotonic() + PATIENCE
    while not all(map(_usable, addresses)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _usable(address: str) -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _down(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
        fcntl.ioctl(ask, _SIOCSIFFLAGS, struct.pack("16sh", interface.encode(), 0))


def _receive(from_: socket.socket, count: int) -> list[tuple[str, str]]:
    """Octets and source addresses of the next datagrams."""
    found = []
    for _ in range(count):
        octets, source = from_.recvfrom(65_535)
        found.append((octets.hex(), str(source[0])))
    return found


def ipv6(island: Island) -> Result:
    """A relay between IPv6 addresses, and a flood from spoofed ones."""
    island.enter("wire")
    _add_ipv6("fd00::1", "fd00::2", "fd00::3")
    target = island.udp("wire", "fd00::2", PORT)
    alice = island.udp("wire", "fd00::3")
    flood = {"act": "flood", "match": "ESP sequence 2", "count": 20, "seconds": 0}
    capture = str(island.directory / "capture.pcapng")
    relay = island.relay(
        flood,
        host="fd00::1",
        target="fd00::2",
        nodes={"alice": "fd00::3"},
        flood={"sources": "fd00:1::/64"},
        capture=capture,
    )
    relay.wait_for("wire_ready")
    alice.sendto(b"\1\2\3\4\0\0\0\1", ("fd00::1", PORT))
    octets, outside = target.recvfrom(100)
    target.sendto(b"back", outside)
    back, seen = alice.recvfrom(100)
    alice.sendto(b"\1\2\3\4\0\0\0\2", ("fd00::1", PORT))
    flooded = _receive(target, 21)
    relay.wait_for("wire_flood_done")
    return {
        "there": octets.hex(),
        "back": [back.hex(), *seen[:2]],
        "outside": outside[0],
        "alice": alice.getsockname()[:2],
        "flooded": flooded,
        "code": relay.end(),
        "events": relay.events,
        "capture": capture,
    }


def flood(island: Island) -> Result:
    """A flood over a link, from addresses of its network that are nobody's."""
    target = island.udp("target", HOSTS["target"], PORT)
    nodes = {"alice": HOSTS["alice"]}
    settings = {"count": 200, "seconds": 0.3}
    relay = island.relay(
        {"act": "flood", "match": "start", **settings},
        host="0.0.0.0",
        target=HOSTS["target"],
        nodes=nodes,
        flood={"sources": SOURCES},
    )
    relay.wait_for("wire_ready")
    flooded = _receive(target, 200)
    done = relay.wait_for("wire_flood_done")
    return {"flooded": flooded, "done": done, "code": relay.end()}


def no_right(island: Island) -> Result:
    """The same, and a sniffer, without NET_RAW."""
    config = {
        "target": {"name": "target", "address": HOSTS["target"]},
        "flood": {"sources": SOURCES},
        "faults": [{"act": "flood", "match": "IKE"}],
    }
    relay = island.spawn("wire", "relay", keep=set(), WIRE_CONFIG=json.dumps(config))
    out = str(island.directory / "x.pcapng")
    sniff = island.spawn("wire", "sniff", "--interface", "eth0", "--out", out, "--vantage", "x", keep=set())
    return {
        "codes": [relay.finish(), sniff.finish()],
        "events": relay.events + sniff.events,
        "exists": os.path.exists(out),
    }


def _sniffer(island: Island, place: str, interface: str) -> tuple[Child, str]:
    out = str(island.directory / f"{interface}.pcapng")
    arguments = ("sniff", "--interface", interface, "--out", out, "--vantage", f"{place}'s {interface}")
    child = island.spawn(place, *arguments, "--name", place, keep={_NET_RAW})
    child.wait_for("capture_started")
    return child, out


def sniff(island: Island) -> Result:
    """Two sniffers of one namespace, and traffic on each interface; NET_RAW is all they have."""
    target = island.udp("target", HOSTS["target"], PORT)
    local = island.udp("target", "127.0.0.1", PORT)
    alice = island.udp("alice", HOSTS["alice"])
    link, link_file = _sniffer(island, "target", "eth0")
    loop, loop_file = _sniffer(island, "target", "lo")
    before = time.time_ns()
    for number in range(50):
        alice.sendto(b"to target %d" % number, (HOSTS["target"], PORT))
        target.sendto(b"to alice %d" % number, target.recvfrom(100)[1])
        alice.recvfrom(100)
    local.sendto(b"inside", ("127.0.0.1", PORT))
    local.recvfrom(100)
    after = time.time_ns()
    return {
        "codes": [link.end(), loop.end()],
        "events": [link.events, loop.events],
        "files": [link_file, loop_file],
        "between": [before, after],
        "port": alice.getsockname()[1],
    }


def again(island: Island) -> Result:
    """A sniffer that ends, one whose last block is cut off, and one that goes on with their file."""
    target = island.udp("target", HOSTS["target"], PORT)
    alice = island.udp("alice", HOSTS["alice"])
    path, events = "", []
    for number in range(3):
        child, path = _sniffer(island, "target", "eth0")
        alice.sendto(b"life %d" % number, (HOSTS["target"], PORT))
        target.recvfrom(100)
        child.end()
        events.append(child.events)
        if number == 1:
            os.truncate(path, os.path.getsize(path) - 1)
    return {"events": events, "file": path}


def gone(island: Island) -> Result:
    """An interface that goes down under a sniffer."""
    child, _ = _sniffer(island, "target", "eth0")
    island.enter("target")
    _down("eth0")
    return {"code": child.finish(), "events": child.events}


def overrun(island: Island) -> Result:
    """More than the sniffer's buffer holds while it is stopped."""
    child, path = _sniffer(island, "target", "eth0")
    target = island.udp("target", HOSTS["target"], PORT)
    alice = island.udp("alice", HOSTS["alice"])
    alice.sendto(b"first", (HOSTS["target"], PORT))
    target.recvfrom(10)
    child.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.process.pid, os.WSTOPPED)
    for _ in range(20_000):
        alice.sendto(bytes(1400), (HOSTS["target"], PORT))
    child.process.send_signal(signal.SIGCONT)
    return {"code": child.end(), "events": child.events, "file": path}


SCENES = {scene.__name__: scene for scene in (ipv6, flood, no_right, sniff, again, gone, overrun)}


@contextmanager
def _island(directory: Path) -> Iterator[Island]:
    made = Island(directory)
    try:
        yield made
    finally:
        made.close()


def main() -> int:
    try:
        with _island(Path(sys.argv[2])) as island:
            print(json.dumps(SCENES[sys.argv[1]](island)))
    except PermissionError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
