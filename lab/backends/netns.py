"""The netns backend: every node in a Linux network namespace of its own, with a TUN device, as root or as
anybody whom the kernel allows user namespaces.

1. All as in the process backend, but for the supervisor (`netns_supervisor`), which makes the namespaces.
2. Outer addresses are the same in every lab: nobody outside a lab can see them.
3. As root each node becomes a user of its own before it reads a key, as in a container. What it must reach
   then is in a directory of its own under /run: our home may be closed to it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lab.backends import netns_kernel as kernel
from lab.backends.addresses import Address
from lab.backends.base import CAPTURE, change_address, without_containers
from lab.backends.netns_supervisor import BRIDGE, LINK, PROBE, SNIFFER, Way
from lab.backends.orders import Files, clean_environment, node_place, start_order, wire_order
from lab.backends.process import ProcessBackend, ProcessLab, default_interrupt
from lab.backends.state import State
from lab.errors import EnvironmentNotReady, UsageError
from lab.home import make_directory
from lab.plan import PORTS, NodePlan, Plan, merge, nat_port

DEFAULT_SUBNET = "172.28.0.0/16"
#: The networks behind the nodes (lab.plan): the wire must not be in them.
_INNER = (IPv4Network("10.1.0.0/16"), IPv4Network("10.2.0.0/16"))
#: Ports of one bridge of the kernel (BR_MAX_PORTS).
MAX_NODES = 1023
#: The user of the first node, that of the image; the next node has the next.
FIRST_USER = 10001
#: Seconds for the probe: it starts Python and makes two namespaces.
_PROBE_TIMEOUT = 20.0
_TURN_TO = "or use --backend process"


@dataclass(frozen=True, slots=True)
class NetnsState(State):
    """The files of a lab of this backend."""

    def short_directory(self) -> Path:
        """As root under /run, where others may not write but look for their own."""
        directory = State.short_directory(self)
        return Path("/run", directory.name) if os.geteuid() == 0 else directory

    def socket(self, node: str) -> Path:
        """The node's control socket; as root in the node's own directory."""
        if os.geteuid() == 0:
            return self.short_directory() / node / "node.sock"
        return State.socket(self, node)

    def keylog(self, node: str) -> Path:
        """Where the node logs its keys; as root in the node's own directory."""
        if os.geteuid() == 0:
            return self.short_directory() / node / f"{node}.keys"
        return State.keylog(self, node)


class NetnsLab(ProcessLab):
    """One lab of this backend."""

    backend = "netns"

    @contextmanager
    def entrance(self, node: str) -> Iterator[Callable[[], None]]:
        """Into the node's namespaces. Raises EnvironmentNotReady where it does not run."""
        process = self._state.processes().get(self._node(node).name)
        gone = EnvironmentNotReady(f"{node} is not running: start the lab again with ipseclab down and up")
        if process is None:
            raise gone
        with ExitStack() as held:
            try:
                spaces = _namespaces(process.pid, held)
            except FileNotFoundError:
                raise gone from None
            except OSError as error:
                raise EnvironmentNotReady(f"{node}: {error}: only who made the lab can enter it") from error
            # Until here the process id might have been another's.
            if not process.alive():
                raise gone
            try:
                yield partial(_step_in, spaces)
            except subprocess.SubprocessError as error:
                raise EnvironmentNotReady(f"{node}: its namespaces cannot be entered: {error}") from error

    def readdress(self, node: str) -> None:
        """Another address on the node's end of the wire. Raises CheckFailed."""
        change_address(self, node, LINK)


def _namespaces(pid: int, held: ExitStack) -> list[tuple[int, int]]:
    """Descriptors and kinds of the namespaces of a process that are not ours, in the order of entering."""
    found = []
    for name, kind in (("user", kernel.CLONE_NEWUSER), ("net", kernel.CLONE_NEWNET)):
        descriptor = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        held.callback(os.close, descriptor)
        if os.fstat(descriptor).st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
            found.append((descriptor, kind))
    return found


def _step_in(spaces: list[tuple[int, int]]) -> None:
    for descriptor, kind in spaces:
        kernel.enter(descriptor, kind)
    default_interrupt()


class NetnsBackend(ProcessBackend):
    """Labs in network namespaces."""

    name = "netns"
    vantage = "the bridge that joins the nodes"
    folder = "netns"
    supervisor = "lab.backends.netns_supervisor"

    def __init__(self, waiting: Callable[[str], None], subnet: str | None = None) -> None:
        super().__init__(waiting)
        self._subnet = check_subnet(subnet or DEFAULT_SUBNET)
        self._found: Way | None = None

    def check(self) -> str:
        """How namespaces are made here. Raises EnvironmentNotReady with what forbids it."""
        make_directory(self.state("x").directory.parent)
        how = "as root" if self._way() is Way.ROOT else "in a user namespace, without root"
        return f"network namespaces {how}, Linux {os.uname().release}"

    def _way(self) -> Way:
        if self._found is None:
            self._found = _probe()
        return self._found

    def lab(self, name: str) -> NetnsLab:
        """A handle for the lab of that name."""
        return NetnsLab(self.state(name))

    def state(self, name: str) -> NetnsState:
        """The files of the lab of that name."""
        return NetnsState(name, self.folder)

    def completed(self, plan: Plan) -> Plan:
        """The bridge is where packets are captured: no wire node is needed for that."""
        without_containers(plan, self.name)
        return plan

    def addresses(self, plan: Plan) -> dict[str, Address]:
        """Addresses of the wire in the order of the nodes; the first is left out, as Docker does."""
        room = min(self._subnet.num_addresses - 3, MAX_NODES)
        if len(plan.names) > room:
            raise EnvironmentNotReady(
                f"{len(plan.names)} nodes: a netns lab has room for {room} in {self._subnet}: choose a "
                f"larger --subnet, up to {MAX_NODES} nodes"
            )
        hosts = [self._subnet[number] for number in range(2, len(plan.names) + 2)]
        profile, ports = plan.scenario.profile, PORTS[plan.scenario.profile]
        shared = nat_port(ports, profile)
        return {
            name: Address(str(host), ports.ike, shared) for name, host in zip(plan.names, hosts, strict=True)
        }

    def orders(self, place: State, plan: Plan, addresses: dict[str, Address]) -> dict[str, dict[str, Any]]:
        """What the supervisor starts, in this order: what others depend on comes first."""
        found = {}
        if plan.capture:
            found[SNIFFER] = self._sniffer(place)
        if plan.wire is not None:
            capture = str(place.evidence / "capture-wire.pcapng") if plan.capture else ""
            order = wire_order(place, plan.wire, addresses, capture, str(self._subnet))
            found[plan.wire.name] = order | self._address(addresses[plan.wire.name])
        for node in plan.nodes:
            found[node.name] = self.order(place, plan, node, addresses)
        return found

    def _address(self, address: Address) -> dict[str, str]:
        return {"address": f"{address.host}/{self._subnet.prefixlen}"}

    def _sniffer(self, place: State) -> dict[str, Any]:
        """The capture on the bridge: it sees every frame once, whoever sends it."""
        argv = [sys.executable, "-m", "lab.wire", "sniff", "--interface", BRIDGE]
        argv += ["--out", str(place.evidence / CAPTURE), "--vantage", self.vantage]
        return {"argv": argv, "env": clean_environment(), "ready": "capture_started", "last": True}

    def order(
        self, place: State, plan: Plan, node: NodePlan, addresses: dict[str, Address]
    ) -> dict[str, Any]:
        """Write the node's configuration; what the supervisor starts, and its address."""
        keys = str(place.keylog(node.name)) if plan.keylog else ""
        files = Files(place.pki / "certs", place.pki / "keys" / node.name, place.socket(node.name), keys)
        user = ""
        if self._way() is Way.ROOT:
            number = FIRST_USER + list(addresses).index(node.name)
            files, user = furnish(files, number), f"{number}:{number}"
        config = node.configuration(node_place(plan, node, addresses, files, tun=True))
        started = start_order(place, node, merge({"run": {"user": user}}, config))
        return started | self._address(addresses[node.name])


def check_subnet(text: str) -> IPv4Network:
    """The network of the wire. Raises UsageError."""
    try:
        subnet = IPv4Network(text)
    except ValueError as error:
        raise UsageError(f"--subnet: {error}: write {DEFAULT_SUBNET}") from error
    for inner in _INNER:
        if subnet.overlaps(inner):
            raise UsageError(
                f"--subnet: {subnet} overlaps {inner}, a network inside the tunnel: write {DEFAULT_SUBNET}"
            )
    return subnet


def furnish(files: Files, user: int) -> Files:
    """Copy what a node needs to where user number `user` can reach it, and give it the key and the directory
    of its socket. Raises EnvironmentNotReady.
    """
    own = files.socket.parent
    certificates, key = own.parent / "certs", own / "key"
    try:
        own.mkdir(parents=True, exist_ok=True)
        own.parent.chmod(0o711)
        own.chmod(0o700)
        shutil.copytree(files.certificates, certificates, dirs_exist_ok=True)
        shutil.copytree(files.key_directory, key, dirs_exist_ok=True)
        for path in (certificates, *certificates.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        # The directory goes last: until then nobody but root is in it.
        for path in (*key.iterdir(), key, own):
            os.chown(path, user, user)
    except OSError as error:
        raise EnvironmentNotReady(
            f"{own}: cannot be furnished: {error.strerror}: make room in /run, {_TURN_TO}"
        ) from error
    return Files(certificates, key, files.socket, files.keylog)


def _probe() -> Way:
    if sys.platform != "linux":
        raise EnvironmentNotReady(f"network namespaces are Linux's, this is {sys.platform}: {_TURN_TO[3:]}")
    argv = [sys.executable, "-m", NetnsBackend.supervisor, PROBE]
    try:
        done = subprocess.run(
            argv,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentNotReady(
            f"network namespaces: the kernel did not make one in {_PROBE_TIMEOUT:g} s: {_TURN_TO[3:]}"
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EnvironmentNotReady(f"no network namespaces here: {lines[-1]}, {_TURN_TO}")
    return Way(json.loads(done.stdout)["way"])
