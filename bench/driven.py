"""The two nodes of `bench.setup_rate`, each in its own process, as users run them.

The responder is `python -m node --config FILE`. The initiator is the same node (`Started`, `Node`, the event
loop) with a line to the benchmark that says how many IKE SAs to bring up. Both write their events: JSON
lines to one file, prose to another, as a container's log driver or the `process` lab keep them.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from cProfile import Profile
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.pair import NAMES, Credentials
from bench.primitives import PSK
from node.config import Config, Sources, load
from node.config.model import Listen, Local
from node.daemon.node import Node
from node.daemon.start import Started, begin, prepare
from node.eventlog import EventLog, standard
from node.ike.outputs import SaDown, SaUp
from node.model.child import ChildSa
from node.model.events import EventName

#: Seconds for a node to start, and for any number of IKE SAs to come up or go.
START_TIMEOUT, PATIENCE = 20.0, 120.0
#: IKE SAs that are on their way at once: below what one source may have half-open (settings of a user).
AT_ONCE = 8
#: The key that nodes share where they have no certificates.
SECRET = bytes([0x2A] * 32)
#: What may happen once in a while on a busy machine, and is told with the results.
_REPEATED = (EventName.RETRANSMITTED, EventName.RESPONSE_REPEATED)

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Suite:
    """What is measured: a key of `bench.primitives`, keywords of the configuration."""

    key: str
    ke: str
    cipher: str = "aes256"

    @property
    def ike(self) -> str:
        """The IKE proposal; an AEAD cipher leaves no hash to take the PRF from."""
        prf = "prfsha256" if "gcm" in self.cipher else "sha256"
        return f"{self.cipher}-{prf}-{self.ke}"

    @property
    def name(self) -> str:
        """As it is printed."""
        return f"{self.key} {self.ke} {self.cipher}"

    @property
    def configurable(self) -> bool:
        """Whether the node's configuration knows it."""
        return self.key != PSK or "auth" in {one.name for one in fields(Local)}


class Place:
    """A directory with the files of both nodes."""

    def __init__(
        self,
        directory: Path,
        suite: Suite,
        shown: Credentials | None,
        quiet: bool = False,
        ports: Sequence[int] = (),
    ) -> None:
        """`shown` is None where the nodes have a shared key; `quiet`: events are written to nowhere; without
        `ports` they are free ones.
        """
        self._directory, self._quiet = directory, quiet
        settings = [one.name for one in fields(Listen) if one.name.endswith("port")]
        #: Where the responder listens, by setting: IKE, and both IKE and ESP where NAT is met.
        self.ports = dict(zip(settings, ports or [_free_port() for _ in settings], strict=True))
        for name in NAMES:
            self._write(name, suite, shown)

    def file(self, name: str, ending: str) -> Path:
        """A file of a node: yaml, jsonl, log, profile."""
        return self._directory / f"{name}.{ending}"

    def stream(self, name: str, ending: str) -> int:
        """A descriptor for what a node writes there."""
        path = os.devnull if self._quiet else self.file(name, ending)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _write(self, name: str, suite: Suite, shown: Credentials | None) -> None:
        other = next(one for one in NAMES if one != name)
        listen = self.ports if name == "responder" else dict.fromkeys(self.ports, 0)
        config: dict[str, Any] = {
            "role": name,
            "profile": "rfc7296",
            "listen": {"address": "127.0.0.1", **listen},
            "peer": {"address": "127.0.0.1", **self.ports, "identity": f"fqdn:{other}"},
            "local": {"identity": f"fqdn:{name}"},
            "ike": {"proposals": [suite.ike]},
            "child": {"proposals": ["aes256gcm16"]},
            "tun": {"enabled": False},
            "demo": {"message": "", "pings": 0},
            "control": {"socket": str(self.file(name, "sock"))},
        }
        if shown is None:
            config["local"]["auth"] = config["peer"]["auth"] = "psk"
            config["credentials"] = {"psk": self._secret("shared.psk", b"0x" + SECRET.hex().encode())}
        else:
            config["credentials"] = self._certificates(name, shown)
        self.file(name, "yaml").write_text(yaml.safe_dump(config))

    def _certificates(self, name: str, shown: Credentials) -> dict[str, str]:
        ca, certificate = self._directory / "ca.pem", self._directory / f"{name}-cert.pem"
        ca.write_bytes(shown.authority.public_bytes(Encoding.PEM))
        certificate.write_bytes(shown.certificates[name].public_bytes(Encoding.PEM))
        pem = shown.keys[name].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return {"ca": str(ca), "certificate": str(certificate), "key": self._secret(f"{name}-key.pem", pem)}

    def _secret(self, name: str, octets: bytes) -> str:
        path = self._directory / name
        path.touch(0o600)
        path.write_bytes(octets)
        return str(path)


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Responder:
    """`python -m node`. Raises RuntimeError where it does not start."""

    def __init__(self, place: Place, profiled: bool = False) -> None:
        recorder = ["-m", "cProfile", "-o", str(place.file("responder", "profile"))] if profiled else []
        order = [sys.executable, *recorder, "-m", "node", "--config", str(place.file("responder", "yaml"))]
        out, prose = place.stream("responder", "jsonl"), place.stream("responder", "log")
        self._process = subprocess.Popen(order, stdout=out, stderr=prose)
        os.close(out)
        os.close(prose)
        self._socket = place.file("responder", "sock")
        try:
            wait_for(self._socket.exists, self._process)
        except RuntimeError:
            self.close()
            raise
        self.pid = self._process.pid

    def counters(self) -> Answer:
        """What it has counted."""
        done = subprocess.run(
            [sys.executable, "-m", "node", "ctl", "counters", "-o", "json"],
            env={**os.environ, "NODE_CONTROL__SOCKET": str(self._socket)},
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
        found: Answer = json.loads(done.stdout)
        return found

    def close(self) -> None:
        """End it."""
        end(self._process)


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Until a responder is ready. Raises RuntimeError where it ends, or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the responder did not start: exit code {process.poll()}")
        time.sleep(0.02)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a responder, and wait for that."""
    process.terminate()
    try:
        process.wait(START_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Initiator:
    """The other node, in a process of ours, and the line to it."""

    def __init__(self, place: Place, profiled: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, place, profiled), daemon=True)
        self._process.start()
        theirs.close()
        self.pid = self._process.pid or 0
        self._answer()

    def up(self, count: int) -> Answer:
        """Bring up that many IKE SAs, each with a Child SA, `AT_ONCE` at a time; what it has counted."""
        self._line.send(("up", count))
        return self._answer()

    def down(self) -> Answer:
        """Delete them all; what it has counted."""
        self._line.send(("down", 0))
        return self._answer()

    def close(self) -> None:
        """End it."""
        try:
            self._line.send(("close", 0))
        except OSError:
            self._process.terminate()
        self._process.join(START_TIMEOUT)
        if self._process.is_alive():
            self._process.kill()

    def _answer(self) -> Answer:
        if not self._line.poll(PATIENCE):
            raise RuntimeError("the initiator has not brought up or down in time what it was asked for")
        found: Answer = self._line.recv()
        return found


class Driven(Node):
    """A node that is told over a line how many IKE SAs to bring up."""

    def __init__(self, started: Started, line: Connection) -> None:
        super().__init__(started, os.urandom)
        self._line = line
        self._to_begin = self._awaited = 0
        asyncio.get_running_loop().add_reader(line.fileno(), self._on_line)

    async def run(self) -> int:
        """Until the line says so; no IKE SA is opened at once."""
        return await self._done

    def _on_line(self) -> None:
        command, count = self._line.recv()
        if command == "up":
            self._to_begin = self._awaited = count
            for _ in range(min(count, AT_ONCE)):
                self._begin()
        elif command == "down":
            self._awaited = len(self.endpoint.sas())
            for sa in self.endpoint.sas():
                self.terminate(bytes.fromhex(sa.spi_i))
        else:
            self.stop("the benchmark is over")

    def _begin(self) -> None:
        if self._to_begin:
            self._to_begin -= 1
            self.initiate()

    def _child_up(self, child: ChildSa) -> None:
        super()._child_up(child)
        self._begin()
        self._one_less()

    def _sa_changed(self, change: SaUp | SaDown) -> None:
        super()._sa_changed(change)
        if isinstance(change, SaDown):
            if not change.established:
                raise RuntimeError(f"an IKE SA did not come up: {change.reason}")
            self._one_less()

    def _one_less(self) -> None:
        self._awaited -= 1
        if not self._awaited:
            self._line.send(counted(self))


def counted(node: Node) -> Answer:
    """IKE SAs that are up, events that ought not to happen, and datagrams that were dropped."""
    found = {str(name): node.log.emitted[name] for name in _REPEATED}
    return {"ike_sas": len(node.endpoint.sas()), "dropped": sum(node.log.dropped.values()), **found}


def _serve(line: Connection, place: Place, profiled: bool) -> None:
    config = load(Sources(str(place.file("initiator", "yaml")), {}))
    for descriptor, ending in ((1, "jsonl"), (2, "log")):
        os.dup2(place.stream("initiator", ending), descriptor)
    recorder = Profile()
    if profiled:
        recorder.enable()
    asyncio.run(_run(config, standard(config.name, json_wanted=True), line))
    if profiled:
        recorder.disable()
        recorder.dump_stats(place.file("initiator", "profile"))


async def _run(config: Config, log: EventLog, line: Connection) -> None:
    node = Driven(begin(prepare(config, log)), line)
    # As the daemon does it.
    gc.collect()
    gc.freeze()
    line.send({})
    try:
        await node.run()
    finally:
        node.close()
