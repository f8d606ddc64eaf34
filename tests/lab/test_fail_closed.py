"""Whatever breaks, nothing leaves in clear: the wire is captured while a program inside keeps sending.

1. Each case breaks a lab with TUN devices, then sends the greeting and pings of the demo to the peer's inner
   address from inside the initiator's network, as any program there would.
2. Afterwards every capture is searched for plaintext. That the search and the capture work is a case as well:
   what is sent in clear on purpose is found.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab import leaks, library, plan
from lab.backends.base import Backend
from lab.backends.docker import DockerBackend
from lab.backends.netns import NetnsBackend, NetnsLab
from lab.console import Console, Style
from lab.events import NodeEvent
from lab.lifecycle import Outcome, Runner
from tests.lab.conftest import unique, why_no_namespaces

_WHY = why_no_namespaces()
BACKENDS = [
    pytest.param(DockerBackend, marks=pytest.mark.docker, id="docker"),
    pytest.param(NetnsBackend, marks=pytest.mark.skipif(bool(_WHY), reason=_WHY), id="netns"),
]
Kind = Callable[[Callable[[str], None]], Backend]
INNER, OUTER_PORT = "10.2.0.1", 9999
#: Sends the greeting and something with the data of a ping to the inner address, over and over; prints what
#: the kernel said of each attempt.
SEND = """
import errno, socket, sys
for _ in range(50):
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for payload in (b"Hello from IPSec Initiator!", bytes(range(0x10, 0x10 + 56))):
        try:
            end.sendto(payload, (sys.argv[1], int(sys.argv[2])))
            print("sent", flush=True)
        except OSError as error:
            print(errno.errorcode.get(error.errno, error.errno), flush=True)
    end.close()
"""
#: Deletes the TUN device, as an administrator would by mistake: RTM_DELLINK (rtnetlink(7)).
DELETE_TUN = """
import socket, struct, os
end = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
index = socket.if_nametoindex("ipsec0")
end.send(struct.pack("=IHHIIBxHiII", 32, 17, 5, 1, 0, 0, 0, index, 0, 0))
if code := struct.unpack_from("=i", end.recv(8192), 16)[0]:
    raise SystemExit(os.strerror(-code))
"""
#: Kills a process as its own user does: root in a container has no capability to.
KILL = """
import os, signal, sys
pid = int(sys.argv[1])
status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
group, user = (int(status[name].split()[0]) for name in ("Gid", "Uid"))
os.setresgid(group, group, group)
os.setresuid(user, user, user)
os.kill(pid, signal.SIGKILL)
"""


@dataclass(frozen=True, slots=True)
class Broken:
    """A lab that a case breaks, with what it takes to look at it."""

    runner: Runner
    outcome: Outcome

    @property
    def backend(self) -> Backend:
        return self.runner.backend

    def send(self, node: str, target: str = INNER, port: int = 7000) -> set[str]:
        """Send plaintext for an inner address from inside the node's network; what the kernel said."""
        lab = self.backend.lab(self.outcome.plan.lab)
        answer = lab.ask(node, ["python3", "-c", SEND, target, str(port)], 60)
        assert answer.code == 0, answer.err
        return set(answer.out.split())

    def kill(self, node: str, process: str) -> None:
        """Kill one of the processes of a node."""
        lab = self.backend.lab(self.outcome.plan.lab)
        pid = lab.control(node, ["status"], 20)["processes"][process]["pid"]
        answer = lab.ask(node, ["python3", "-c", KILL, str(pid)], 60)
        assert answer.code == 0, answer.err

    def wait(self, node: str, name: str, **fields: object) -> NodeEvent:
        """Wait until the node tells of it."""
        follower, seen = self.backend.lab(self.outcome.plan.lab).follow([node], live=True), []
        try:
            while (told := follower.next(20.0)) is not None:
                seen.append(told)
                if (
                    isinstance(told, NodeEvent)
                    and told.name == name
                    and fields.items() <= told.fields.items()
                ):
                    return told
        finally:
            follower.close()
        raise AssertionError(f"{node} did not tell {name}: {seen[-12:]}")

    def found(self, directory: Path) -> list[str]:
        """What a search of every capture finds."""
        directory.mkdir()
        self.backend.lab(self.outcome.plan.lab).collect(directory)
        assert list(directory.glob("capture*.pcapng"))
        return [str(finding) for finding in leaks.found(self.outcome.plan, directory)]


@contextmanager
def broken(kind: Kind, config: dict[str, object] | None = None) -> Iterator[Broken]:
    """The default lab with captures, and with these settings of the initiator."""
    backend = kind(print)
    runner = Runner(backend, Console(sys.stderr, Style(False)))
    scenario = library.load("hello")
    groups = tuple(
        replace(group, config=config or {}) if group.name == "initiator" else group
        for group in scenario.groups
    )
    name = unique("closed")
    made = plan.make(name, replace(scenario, groups=groups), "ecdsa-p256", capture=True)
    try:
        backend.check()
        yield Broken(runner, runner.bring_up(made, whole=False))
    finally:
        runner.take_down(name)
        backend.close()


@contextmanager
def from_inside(lab: Broken, node: str) -> Iterator[Callable[[], set[str]]]:
    """A way to send from the node's network that is there even when the node is not.

    A container takes its network along when it ends: then there is nothing to send from.
    """
    handle = lab.backend.lab(lab.outcome.plan.lab)
    if not isinstance(handle, NetnsLab):
        yield set
        return
    with handle.entrance(node) as enter:

        def send() -> set[str]:
            argv = [sys.executable, "-c", SEND, INNER, "7000"]
            done = subprocess.run(argv, capture_output=True, text=True, check=True, preexec_fn=enter)
            return set(done.stdout.split())

        yield send


@pytest.mark.parametrize("kind", BACKENDS)
def test_what_is_sent_in_clear_is_found(kind: Kind, tmp_path: Path) -> None:
    with broken(kind) as lab:
        responder = next(node for node in lab.outcome.info.nodes if node.name == "responder")
        assert lab.send("initiator", responder.address.partition(":")[0], OUTER_PORT) == {"sent"}
        found = lab.found(tmp_path / "run")
    assert any("Hello from IPSec Initiator!" in line for line in found)
    assert any("ping" in line for line in found)


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_process_with_the_keys_is_killed(kind: Kind, tmp_path: Path) -> None:
    with broken(kind) as lab, from_inside(lab, "initiator") as send:
        lab.backend.lab(lab.outcome.plan.lab).kill("initiator")
        assert send() == ({"EHOSTUNREACH"} if kind is NetnsBackend else set())
        assert lab.found(tmp_path / "run") == []


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_esp_process_is_killed(kind: Kind, tmp_path: Path) -> None:
    """The device stays, and nobody reads from it until there is another one, with new keys."""
    with broken(kind) as lab:
        lab.kill("initiator", "esp")
        assert lab.send("initiator") == {"sent"}
        assert lab.wait("initiator", "process_died").fields["signal"] == "SIGKILL"
        renewed = lab.wait("initiator", "child_sa_rekeyed").fields["inbound_spi"]
        assert lab.send("initiator") == {"sent"}
        handle = lab.backend.lab(lab.outcome.plan.lab)
        told = handle.control("initiator", ["status"], 20)
        assert [sa["inbound_spi"] for sa in told["child_sas"]] == [renewed]
        assert told["child_sas"][0]["outbound_packets"] > 0
        assert told["processes"]["esp"]["restarts"] == 1
        assert lab.found(tmp_path / "run") == []


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_ike_process_is_killed(kind: Kind, tmp_path: Path) -> None:
    """The other one goes on with the keys that it has, until a new IKE process has made new ones."""
    with broken(kind) as lab:
        lab.kill("initiator", "ike")
        assert lab.send("initiator") == {"sent"}
        assert lab.wait("initiator", "process_died").fields["process"] == "ike"
        lab.wait("initiator", "process_started", process="ike", restarts=1)
        lab.wait("responder", "ike_sa_deleted")
        assert lab.send("initiator") == {"sent"}
        assert lab.found(tmp_path / "run") == []


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_tun_device_is_removed(kind: Kind, tmp_path: Path) -> None:
    """The route under the TUN route says that there is no way, while the node still tells its peer."""
    with broken(kind) as lab:
        argv = ["python3", "-c", DELETE_TUN + SEND, INNER, "7000"]
        answer = lab.backend.lab(lab.outcome.plan.lab).ask("initiator", argv, 60)
        # A container takes the command along when its node has ended.
        assert answer.code in ((0,) if kind is NetnsBackend else (0, 137)), answer.err
        said = set(answer.out.split())
        assert said == {"EHOSTUNREACH"} if kind is NetnsBackend else said <= {"EHOSTUNREACH"}
        lab.wait("initiator", "tun_gone")
        lab.wait("responder", "ike_sa_deleted")
        assert lab.found(tmp_path / "run") == []


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_peer_is_gone(kind: Kind, tmp_path: Path) -> None:
    with broken(kind) as lab:
        lab.backend.lab(lab.outcome.plan.lab).kill("responder")
        assert lab.send("initiator") == {"sent"}
        assert lab.found(tmp_path / "run") == []


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_sa_is_deleted(kind: Kind, tmp_path: Path) -> None:
    with broken(kind) as lab:
        handle = lab.backend.lab(lab.outcome.plan.lab)
        (sa,) = handle.control("initiator", ["status"], 20)["ike_sas"]
        handle.control("initiator", ["terminate", sa["spi_i"]], 20)
        assert lab.send("initiator") == {"sent"}
        assert lab.wait("initiator", "packet_dropped").fields["reason"] == "no_sa"
        assert lab.found(tmp_path / "run") == []


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_sa_has_expired(kind: Kind, tmp_path: Path) -> None:
    with broken(kind, {"child": {"max_packets": 20, "lifetime": {"rekey": 0}}}) as lab:
        assert lab.send("initiator") == {"sent"}
        lab.wait("initiator", "child_sa_expired")
        assert lab.wait("initiator", "packet_dropped").fields["reason"] == "esp_sequence_exhausted"
        assert lab.found(tmp_path / "run") == []


@pytest.mark.parametrize("kind", BACKENDS)
def test_the_configuration_is_wrong(kind: Kind, tmp_path: Path) -> None:
    with broken(kind, {"tun": {"mtu": 9}}) as lab:
        assert lab.wait("initiator", "node_failed").fields["code"] == 2
        assert not lab.outcome.verdict.passed
        assert lab.found(tmp_path / "run") == []
