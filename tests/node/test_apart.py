"""A node as three processes: what each may, and what happens when one of them dies.

Two network namespaces as in `test_tun`; what is sent inside them goes through TUN devices, ESP processes and
a veth pair.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from node.control import client
from node.daemon.supervisor import MOST_RESTARTS
from tests.node.conftest import PATIENCE, ROOT, Process, Spawn, why_no_tun

OBSTACLE = why_no_tun()
pytestmark = [
    pytest.mark.root,
    pytest.mark.tun,
    pytest.mark.skipif(OBSTACLE is not None, reason=str(OBSTACLE)),
]

SAY = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
    end.sendto(sys.argv[2].encode(), (sys.argv[1], 7000))
"""
#: Capabilities by number (linux/capability.h).
SETGID, SETUID = 6, 7


@dataclass(frozen=True, slots=True)
class Pair:
    """Two nodes with TUN devices, and their namespaces."""

    left: str
    right: str
    directory: Path
    initiator: Process
    responder: Process

    def say(self, text: str) -> None:
        """Send a message to the responder's inner address until it has come through the tunnel."""
        argv = ["ip", "netns", "exec", self.left, sys.executable, "-c", SAY, "10.2.0.1", text]
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            subprocess.run(argv, check=True)
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                if any(event.get("text") == text for event in tuple(self.responder.events)):
                    return
                time.sleep(0.01)
        pytest.fail(f"{text!r} did not arrive: {self.initiator.names()} {self.responder.names()}")

    def ctl(self, node: str, command: str) -> dict[str, Any]:
        """Ask a node."""
        return client.ask(str(self.directory / f"{node}.sock"), {"command": command})


def pid_of(node: Process, process: str, restarts: int = 0) -> int:
    pid: int = node.wait_for("process_started", process=process, restarts=restarts)["pid"]
    return pid


Bring = Callable[..., Pair]


@pytest.fixture
def bring(spawn: Spawn, namespaces: tuple[str, str], owned: Path) -> Bring:
    """Start two nodes, with these NODE_ variables for both, and wait for the tunnel."""
    left, right = namespaces

    def up(**variables: str) -> Pair:
        common = {
            **{"NODE_TUN__ENABLED": "true", "NODE_LISTEN__ADDRESS": "0.0.0.0"},
            **{"NODE_PEER__ADDRESS": "192.0.2.2", "NODE_RUN__USER": "10001", "NODE_ESP__USER": "10002"},
            **variables,
        }

        def start(role: str, place: str) -> Process:
            socket = str(owned / f"{role}.sock")
            prefix = ("ip", "netns", "exec", place)
            return spawn(
                prefix=prefix, directory=owned, NODE_ROLE=role, NODE_CONTROL__SOCKET=socket, **common
            )

        responder = start("responder", right)
        responder.wait_for("udp_bound")
        initiator = start("initiator", left)
        initiator.wait_for("pings_completed")
        return Pair(left, right, owned, initiator, responder)

    return up


def test_each_process_has_what_it_needs_and_no_more(bring: Bring) -> None:
    pair = bring()
    told = pair.ctl("initiator", "status")
    pids = {name: found["pid"] for name, found in told["processes"].items()}
    assert pids["supervisor"] == pair.initiator.process.pid
    assert set(pids) == {"supervisor", "ike", "esp"}
    status = {
        name: dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        for name, pid in pids.items()
    }
    uids = {name: found["Uid"].split() for name, found in status.items()}
    assert uids == {"supervisor": ["0"] * 4, "ike": ["10001"] * 4, "esp": ["10002"] * 4}
    rights = {name: int(found["CapPrm"], 16) for name, found in status.items()}
    assert rights == {"supervisor": 1 << SETGID | 1 << SETUID, "ike": 0, "esp": 0}
    assert {found["NoNewPrivs"].strip() for found in status.values()} == {"1"}
    held = {
        name: [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()] for name, pid in pids.items()
    }
    has_tun = {name: "/dev/net/tun" in found for name, found in held.items()}
    assert has_tun == {"supervisor": True, "ike": False, "esp": True}
    # Standard streams, TUN device, UDP socket, channel, tie, and what waits for them.
    assert len(held["esp"]) == 8
    assert not any(found.startswith("/tmp") for found in held["supervisor"] + held["esp"])
    (sa,) = told["child_sas"]
    assert (sa["inbound_packets"], sa["outbound_packets"]) == (11, 11)


@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_a_killed_esp_process_costs_packets_and_not_the_tunnel(bring: Bring, side: str) -> None:
    pair = bring()
    node: Process = getattr(pair, side)
    before = node.wait_for("child_sa_installed")
    os.kill(pid_of(node, "esp"), signal.SIGKILL)
    died = node.wait_for("process_died")
    assert (died["process"], died["code"], died["signal"]) == ("esp", None, "SIGKILL")
    pid_of(node, "esp", 1)
    renewed = node.wait_for("child_sa_rekeyed")
    assert renewed["old_spi"] == before["inbound_spi"]
    pair.say("after the ESP process")
    (sa,) = pair.ctl(side, "status")["child_sas"]
    assert sa["inbound_spi"] == renewed["inbound_spi"] != before["inbound_spi"]
    assert sa["outbound_spi"] != before["outbound_spi"]
    assert [one["phase"] for one in pair.ctl(side, "status")["ike_sas"]] == ["ESTABLISHED"]
    installed = [e["inbound_spi"] for e in node.events if e["event"] == "child_sa_installed"]
    assert len(installed) == len(set(installed)), "no Child SA is installed a second time"
    assert pair.ctl(side, "status")["processes"]["esp"]["restarts"] == 1


def test_a_killed_ike_process_begins_anew(bring: Bring) -> None:
    pair = bring()
    before = pair.initiator.wait_for("ike_sa_established")
    os.kill(pid_of(pair.initiator, "ike"), signal.SIGKILL)
    assert pair.initiator.wait_for("process_died")["process"] == "ike"
    assert pid_of(pair.initiator, "ike", 1) != pid_of(pair.initiator, "ike")
    pair.initiator.wait_for_count("ike_sa_established", 2)
    pair.say("after the IKE process")
    pair.initiator.wait_for_count("pings_completed", 2)
    (ike,) = pair.ctl("initiator", "status")["ike_sas"]
    assert ike["spi_i"] != before["spi_i"]
    assert len(pair.ctl("initiator", "status")["child_sas"]) == 1, "the Child SAs of before are forgotten"
    assert pair.initiator.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("process", ["ike", "esp"])
def test_a_process_that_will_not_live_ends_the_node(bring: Bring, process: str) -> None:
    pair = bring()
    for restarts in range(MOST_RESTARTS + 1):
        os.kill(pid_of(pair.initiator, process, restarts), signal.SIGKILL)
    assert pair.initiator.wait() == 4
    failed = pair.initiator.wait_for("node_failed")
    assert failed["detail"] == f"the {process.upper()} process died more than 5 times in 60 s"
    assert pair.initiator.names().count("process_died") == MOST_RESTARTS + 1
    if process == "esp":
        pair.responder.wait_for("ike_sa_deleted")
    assert_nothing_leaves(pair)


def assert_nothing_leaves(pair: Pair) -> None:
    """The device is gone, and the routes under it say that there is no way."""
    links = subprocess.run(["ip", "-n", pair.left, "link"], capture_output=True, text=True, check=True)
    assert "ipsec0" not in links.stdout
    route = subprocess.run(
        ["ip", "-n", pair.left, "route", "get", "10.2.0.1"], capture_output=True, text=True
    )
    assert route.returncode != 0


def wait_for_end(*pids: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, f"of {pids} some are still there"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_supervisor_is_the_end_of_all(bring: Bring, number: signal.Signals) -> None:
    pair = bring()
    pids = [pid_of(pair.initiator, process) for process in ("ike", "esp")]
    code = pair.initiator.stop(number)
    assert code == (-9 if number is signal.SIGKILL else 0)
    wait_for_end(*pids)
    assert_nothing_leaves(pair)
    if number is not signal.SIGKILL:
        assert pair.initiator.names()[-1] == "node_stopped"
        pair.responder.wait_for("ike_sa_deleted")


def test_a_signal_for_every_process_of_a_terminal_is_one_signal(bring: Bring) -> None:
    pair = bring()
    for pid in (pid_of(pair.initiator, "ike"), pid_of(pair.initiator, "esp"), pair.initiator.process.pid):
        os.kill(pid, signal.SIGINT)
    assert pair.initiator.wait() == 0
    assert "process_died" not in pair.initiator.names()


def test_a_stopped_esp_process_is_not_waited_for(bring: Bring) -> None:
    """It hangs: the IKE process says so and has it killed, across users and without a capability for it."""
    pair = bring()
    pid = pid_of(pair.initiator, "esp")
    os.kill(pid, signal.SIGSTOP)
    pair.ctl("initiator", "counters")
    assert pair.initiator.wait_for("process_distrusted")["reason"] == "does not answer in time"
    assert pair.initiator.wait_for("process_died")["signal"] == "SIGKILL"
    wait_for_end(pid)
    pair.say("after the one that hung")


def test_rekeying_across_the_border_loses_nothing(bring: Bring) -> None:
    pair = bring(NODE_DEMO__PINGS="10")
    ping = shutil.which("ping")
    if ping is None:
        pytest.skip("needs ping")
    argv = ["ip", "netns", "exec", pair.left, ping, "-q", "-i", "0.01", "-c", "400", "10.2.0.1"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as pings:
        for count in range(1, 4):
            pair.ctl("initiator", "rekey-child")
            pair.initiator.wait_for_count("child_sa_rekeyed", count)
        pair.ctl("responder", "rekey-ike")
        pair.responder.wait_for("ike_sa_rekeyed")
        pair.ctl("responder", "rekey-child")
        pair.responder.wait_for_count("child_sa_rekeyed", 4)
        said = pings.communicate(timeout=PATIENCE)[0]
    assert " 0% packet loss" in said


def test_without_a_process_of_its_own_it_is_as_before(bring: Bring) -> None:
    pair = bring(NODE_ESP__PROCESS="false", NODE_ESP__USER="auto")
    pair.say("through one process")
    assert set(pair.ctl("initiator", "status")["processes"]) == {"node"}
    assert "process_started" not in pair.initiator.names()
    assert pair.initiator.stop(signal.SIGTERM) == 0


#: Read by Python as it starts: a kernel that takes no program.
REFUSE = """
import errno
from node.net import reuseport
def attach(member, instructions):
    raise OSError(errno.ENOPROTOOPT, "Protocol not available")
reuseport.attach = attach
"""


def test_a_kernel_that_takes_no_program_is_told_of(bring: Bring, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(REFUSE)
    pair = bring(PYTHONPATH=f"{tmp_path}:{ROOT}")
    told = pair.initiator.wait_for("esp_process_unavailable")
    assert told["reason"] == "the kernel does not share a UDP port by a program: Protocol not available"
    pair.say("through one process")
    assert set(pair.ctl("initiator", "status")["processes"]) == {"node"}


@pytest.mark.parametrize("missing", ["device", "program"])
def test_a_process_that_is_asked_for_and_cannot_be_is_an_error(
    spawn: Spawn, tmp_path: Path, missing: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(REFUSE)
    variables = {"NODE_ESP__PROCESS": "true", "NODE_LISTEN__ADDRESS": "0.0.0.0"}
    variables["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    variables["NODE_TUN__ENABLED"] = "false" if missing == "device" else "true"
    node = spawn(prefix=("unshare", "-n"), NODE_ROLE="responder", **variables)
    assert node.wait() == 4
    detail = node.wait_for("node_failed")["detail"]
    assert detail.startswith("esp.process: ")
    assert detail.endswith("; set it to auto")
