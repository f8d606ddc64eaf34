"""A responder as a process, what floods it, and what honest initiators see of that. Over UDP on loopback."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from node.control import client
from tests.node.conftest import ROOT, Process
from tests.property.honest import name_of
from tests.property.resident import resident

#: Seconds between two looks at the responder.
LOOK = 0.25
#: Seconds after which the last half-open IKE SA must be gone.
SETTLED = 60.0


class Responder:
    """`python -m node` as responder, with its counters."""

    def __init__(self, directory: Path, honest: int, **variables: str) -> None:
        self._socket = str(directory / "control")
        identities = ", ".join(f"dn:CN=ipsec-{name_of(number)}" for number in range(honest))
        more = {
            "NODE_CONTROL__SOCKET": self._socket,
            "NODE_PEER__IDENTITY": f"[{identities}, dn:CN=ipsec-initiator]",
            "NODE_CHILD__REMOTE_TS": "[10.1.0.0/16]",
            **variables,
        }
        command = [sys.executable, "-m", "node", "--mode=ipsec-responder", "--port=0", "--no-tun"]
        self.process = Process(command, directory, more)
        self.port: int = self.process.wait_for("udp_bound")["port"]
        self.process.wait_for("control_ready")

    def counters(self) -> dict[str, Any]:
        """What the node counts."""
        return client.ask(self._socket, {"command": "counters"}, patience=30.0)

    @property
    def resident(self) -> int:
        """Octets of its process in memory."""
        return resident(self.process.process.pid)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its events of this name so far."""
        return [event for event in self.process.events if event["event"] == name]

    def close(self) -> None:
        """Stop it. Raises AssertionError where it does not end as it should."""
        try:
            assert self.process.process.poll() is None, f"it ended: {self.process.errors}"
            self.process.process.terminate()
            assert self.process.wait() == 0, self.process.errors
        finally:
            self.process.close()


@dataclass(slots=True)
class Peak:
    """The most of what was seen while somebody looked."""

    half_open: int = 0
    resident: int = 0


@contextmanager
def watched(responder: Responder) -> Iterator[Peak]:
    """Look at the responder every now and then."""
    peak, over = Peak(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            peak.half_open = max(peak.half_open, responder.counters()["half_open"])
            peak.resident = max(peak.resident, responder.resident)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


@dataclass(slots=True)
class Result:
    """What a flood did. Times are in milliseconds, memory in octets."""

    idle: list[float | None] = field(default_factory=list)
    flooded: list[float | None] = field(default_factory=list)
    spoofed: dict[str, Any] = field(default_factory=dict)
    peak: Peak = field(default_factory=Peak)
    resident_before: int = 0
    resident_after: int = 0
    #: Key pairs and shared secrets while the flood went on, and what was dropped for which reason.
    key_pairs: int = 0
    secrets: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    #: Seconds from the last request of the flood until the alarm was over; None where it never was.
    lifted: float | None = None

    @property
    def slower(self) -> float:
        """How many times as long a handshake took, by the medians."""
        return median(filter(None, self.flooded)) / median(filter(None, self.idle))

    @property
    def amplification(self) -> float:
        """Octets that came back for each that was sent in a forged name."""
        return float(self.spoofed["octets_received"] / self.spoofed["octets_sent"])


def measure(directory: Path, requests: int, seconds: float, honest: int, **variables: str) -> Result:
    """Idle handshakes, then as many again evenly spread over a flood."""
    result = Result()
    responder = Responder(directory, honest, **variables)
    try:
        result.idle = _handshakes(directory, responder, honest, 0.1)
        result.resident_before = responder.resident
        before = responder.counters()
        with watched(responder) as result.peak:
            spoofer = _start("spoofer", str(responder.port), str(requests), str(seconds), "1")
            result.flooded = _handshakes(directory, responder, honest, seconds / honest)
            result.spoofed = json.loads(spoofer.communicate(timeout=seconds + 60)[0])
        _count(result, before, responder.counters())
        result.lifted = _lifted(responder, result.spoofed["ended"])
        _settled(responder)
        result.resident_after = responder.resident
    finally:
        responder.close()
    return result


def _start(module: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"tests.property.{module}", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def _handshakes(directory: Path, responder: Responder, count: int, interval: float) -> list[float | None]:
    """How long each took; None for one that failed. All of them are gone again when this returns."""
    process = _start("honest", str(directory), str(responder.port), str(count), str(interval))
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        found: list[float | None] = json.loads(process.stdout.readline())
        process.stdin.close()
    assert process.returncode == 0
    return found


def _count(result: Result, before: dict[str, Any], after: dict[str, Any]) -> None:
    events = Counter(after["events"]) - Counter(before["events"])
    result.key_pairs = events["dh_key_pair_generated"]
    result.secrets = events["shared_secret_derived"]
    result.dropped = dict(Counter(after["dropped"]) - Counter(before["dropped"]))


def _lifted(responder: Responder, ended: float) -> float | None:
    """Seconds from `ended` until cookies were wanted no more; None where they never were."""
    if not responder.events("cookies_required"):
        return None
    over = datetime.fromisoformat(responder.process.wait_for("cookies_lifted")["ts"])
    return over.timestamp() - ended


def _settled(responder: Responder) -> None:
    """Wait until no IKE SA is left, not even a half-open one."""
    end = time.monotonic() + SETTLED
    while (found := responder.counters())["ike_sas"]:
        assert time.monotonic() < end, f"{found['ike_sas']} IKE SAs stay"
        time.sleep(LOOK)
