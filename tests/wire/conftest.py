"""A relay as a process on loopback, with plain sockets at both ends."""

import json
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.wire.client import MAX_ANSWER
from lab.wire.pcapng import Capture, read
from linetalk import client
from tests.node.conftest import PATIENCE, Process

PORT = 8000


class Peer:
    """A socket that sends and receives; `address` is its own."""

    def __init__(self, host: str, port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self.socket.bind((host, port))
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(PATIENCE)
        self.address: tuple[str, int] = self.socket.getsockname()[:2]

    def send(self, octets: bytes, target: tuple[str, int]) -> None:
        self.socket.sendto(octets, target)

    def receive(self) -> tuple[bytes, tuple[str, int]]:
        """The next datagram and where it came from."""
        octets, source = self.socket.recvfrom(65_535)
        return octets, source[:2]

    def octets(self, number: int) -> list[bytes]:
        """The next datagrams, without their sources."""
        return [self.receive()[0] for _ in range(number)]

    def silent(self) -> bool:
        """Whether nothing has come. Only behind something that would have come later."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1)
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def close(self) -> None:
        self.socket.close()


class Rig:
    """A relay between `target`, `alice` and `bob`, each on a loopback address of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._peers: list[Peer] = []
        self._processes: list[Process] = []
        self.prefix, self.target = self._place()
        self.wire = (f"{self.prefix}.1", PORT)
        self.alice, self.bob = self.peer(3), self.peer(4)
        self.control, self.capture = str(directory / "wire.sock"), directory / "capture.pcapng"

    def _place(self) -> tuple[str, Peer]:
        for _ in range(100):
            # Not of `random`, which other tests seed: the workers would draw the same ones.
            prefix = f"127.{32 + secrets.randbelow(32)}.{secrets.randbelow(256)}"
            try:
                target = Peer(f"{prefix}.2", PORT)
            except OSError:
                continue
            self._peers.append(target)
            return prefix, target
        pytest.fail(f"no loopback address with port {PORT} free")

    def peer(self, number: int) -> Peer:
        """One more socket, at this host number."""
        self._peers.append(Peer(f"{self.prefix}.{number}"))
        return self._peers[-1]

    def config(self, *faults: dict[str, object], **more: Any) -> dict[str, Any]:
        """The configuration, with faults and other changes."""
        return {
            "seed": 1,
            "listen": {"address": self.wire[0]},
            "ports": [PORT],
            "target": {"name": "server", "address": self.target.address[0]},
            "nodes": {"alice": self.alice.address[0], "bob": self.bob.address[0]},
            "faults": list(faults),
            "capture": str(self.capture),
            "control": self.control,
            **more,
        }

    def spawn(self, *arguments: str, **environment: str) -> Process:
        """`python -m lab.wire`."""
        command = [sys.executable, "-m", "lab.wire", *arguments]
        self._processes.append(Process(command, self.directory, environment))
        return self._processes[-1]

    def start(self, *faults: dict[str, object], **more: Any) -> Process:
        """A relay that is ready."""
        process = self.spawn("relay", WIRE_CONFIG=json.dumps(self.config(*faults, **more)))
        process.wait_for("wire_ready")
        return process

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        """Ask the relay over its control socket."""
        return client.ask(self.control, {"command": command, **arguments}, PATIENCE, MAX_ANSWER)

    def stop(self, process: Process) -> Capture:
        """Stop the relay; the capture it leaves."""
        assert process.stop(signal.SIGTERM) == 0, process.errors
        return read(self.capture.read_bytes())

    def close(self) -> None:
        for process in self._processes:
            process.close()
        for peer in self._peers:
            peer.close()


MakeRig = Callable[[], Rig]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Everything but a running relay; all is gone after the test."""
    made = Rig(tmp_path)
    yield made
    made.close()
