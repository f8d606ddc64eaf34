"""The process backend: nodes are plain processes on loopback, `--no-tun`, without any privilege.

1. A lab is a directory (`state`); it exists from the moment lab.json is there until the directory is gone.
2. Nodes run under a supervisor in a session of its own (`supervisor`).
3. A process is only ever signalled by id and start time.
4. The netns backend is this one with namespaces around the nodes (`netns`): what differs there is a method
   of its own here.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from lab import home, labels
from lab.backends import ca
from lab.backends.addresses import Address, allocate
from lab.backends.base import (
    CAPTURE,
    CAPTURES,
    GRACE,
    KEYS,
    Answer,
    Certificate,
    LabInfo,
    NodeInfo,
    Removed,
    Tell,
    without_containers,
)
from lab.backends.files import FileFollower
from lab.backends.orders import Files, clean_environment, node_place, start_order, wire_order
from lab.backends.state import LAB_FILE, State, names
from lab.backends.supervisor import AGAIN_FILE, EXITS_FILE, PROCESSES_FILE, START_FILE, SUPERVISOR
from lab.backends.watch import watch
from lab.errors import CheckFailed, EnvironmentNotReady, ExitCode, NoSuchLab
from lab.labels import Role
from lab.plan import NodePlan, Plan, with_wire
from lab.text import listing, parse_time
from lab.wire.readdress import mirrored

#: Seconds for the supervisor to start every node: starting 200 processes takes a tenth of it.
START_TIMEOUT = 20.0
#: Seconds for one question to a node.
CONTROL_TIMEOUT = 20.0


class ProcessLab:
    """One lab of this backend."""

    backend = "process"

    def __init__(self, state: State) -> None:
        self._state = state

    def info(self) -> LabInfo:
        """How it is now. Raises NoSuchLab."""
        found = self._state.read()
        if found is None:
            raise NoSuchLab(
                f"no lab {self._state.name!r} here: there are {listing(names(self._state.folder))}: "
                "ipseclab up starts one"
            )
        processes, exits = self._state.processes(), self._state.exits()
        created = parse_time(found["created"])
        return LabInfo(
            name=self._state.name,
            backend=self.backend,
            scenario=found["scenario"],
            owner=found["owner"],
            created=created,
            nodes=tuple(
                NodeInfo(
                    name=node["name"],
                    role=Role(node["role"]),
                    running=node["name"] in processes and processes[node["name"]].alive(),
                    exit_code=exits.get(node["name"]),
                    address=f"{node['host']}:{node['port']}" if node["port"] else node["host"],
                    started=created if node["name"] in processes else None,
                )
                for node in found["nodes"]
            ),
        )

    def _node(self, node: str) -> NodeInfo:
        info = self.info()
        for found in info.nodes:
            if found.name == node:
                return found
        raise NoSuchLab(
            f"lab {info.name!r} has no node {node!r}: it has {listing(n.name for n in info.nodes)}"
        )

    def follow(self, nodes: Sequence[str], *, live: bool) -> FileFollower:
        """Everything these nodes have told; with `live` also what they will."""
        return FileFollower(self._state, nodes, live=live)

    def prose(self, node: str, lines: int) -> tuple[str, ...]:
        """The last lines of the node's stderr."""
        try:
            text = (self._state.nodes / f"{node}.log").read_text("utf-8", "replace")
        except FileNotFoundError:
            return ()
        return tuple(text.splitlines()[-lines:])

    def control(self, node: str, command: Sequence[str], timeout: float) -> Any:
        """`python -m node ctl` at the node, as parsed JSON. Raises CheckFailed."""
        argv = [sys.executable, "-m", "node", "ctl", *command, "-o", "json"]
        try:
            done = subprocess.run(
                argv,
                env=self._environment(node),
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CheckFailed(
                f"{node}: ctl {' '.join(command)} did not answer within {timeout:g} s"
            ) from None
        return parse_control(node, command, done.returncode, done.stdout, done.stderr)

    def _environment(self, node: str) -> dict[str, str]:
        role, socket = self._node(node).role, str(self._state.socket(node))
        if role is Role.WIRE:
            return clean_environment() | {"WIRE_SOCKET": socket}
        own = {"NODE_NAME": node, "NODE_ROLE": role.value, "NODE_CONTROL__SOCKET": socket}
        return clean_environment() | own

    def ask(self, node: str, command: Sequence[str], timeout: float) -> Answer:
        """Run a command with the node's environment. Raises CheckFailed where it does not end in time."""
        try:
            with self.entrance(node) as enter:
                done = subprocess.run(
                    list(command),
                    env=self._environment(node),
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=timeout,
                    check=False,
                    preexec_fn=enter,
                )
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"{node}: {' '.join(command)} did not end within {timeout:g} s") from None
        except FileNotFoundError:
            return Answer(ExitCode.NOT_FOUND, "", f"{command[0]}: not found")
        code = done.returncode
        return Answer(code if code >= 0 else 128 - code, done.stdout, done.stderr)

    def entrance(self, node: str) -> AbstractContextManager[Callable[[], None]]:
        """What a command at the node does before it starts. Raises EnvironmentNotReady."""
        return nullcontext(default_interrupt)

    def execute(self, node: str, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command on this host with the node's environment; its exit code, or 125 to 127 as docker."""
        environment = self._environment(node)
        try:
            # Ctrl-C is the command's to handle; we only wait for it.
            before = signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                with self.entrance(node) as enter:
                    code = subprocess.run(
                        list(command), env=environment, check=False, preexec_fn=enter
                    ).returncode
            finally:
                signal.signal(signal.SIGINT, before)
        except FileNotFoundError:
            print(f"ipseclab exec: {command[0]}: not found", file=sys.stderr)
            return ExitCode.NOT_FOUND
        except OSError as error:
            print(f"ipseclab exec: {command[0]}: {error.strerror}", file=sys.stderr)
            return ExitCode.NOT_EXECUTABLE
        return code if code >= 0 else 128 - code

    def stop(self, node: str) -> None:
        """SIGTERM, and SIGKILL after the grace period."""
        process = self._state.processes().get(self._node(node).name)
        if process is not None and process.send(signal.SIGTERM) and not process.wait(GRACE):
            process.send(signal.SIGKILL)
            process.wait(GRACE)

    def kill(self, node: str) -> None:
        """SIGKILL."""
        process = self._state.processes().get(self._node(node).name)
        if process is not None and process.send(signal.SIGKILL):
            process.wait(GRACE)

    def start(self, node: str) -> None:
        """Have the supervisor start a node again. Raises EnvironmentNotReady where it cannot."""
        before, supervisor = self._state.starts(self._node(node).name), self._state.supervisor()
        changed = watch(self._state.directory)
        try:
            self._state.append(AGAIN_FILE, {"node": node})
            deadline = time.monotonic() + START_TIMEOUT
            asked = supervisor is not None and supervisor.send(signal.SIGUSR1)
            while asked and self._state.starts(node) == before and time.monotonic() < deadline:
                changed.wait(0.5)
        finally:
            changed.close()
        if self._state.starts(node) == before:
            raise EnvironmentNotReady(f"{node} was not started again: bring the lab up anew: ipseclab up")

    def readdress(self, node: str) -> None:
        """Loopback has every address: the node is told to go on from another one. Raises CheckFailed."""
        sas = self.control(node, ["status"], CONTROL_TIMEOUT)["ike_sas"]
        old = next((sa["local"].rpartition(":")[0] for sa in sas), self._node(node).address.partition(":")[0])
        self.control(node, ["move", str(mirrored(IPv4Interface(f"{old}/24")).ip)], CONTROL_TIMEOUT)

    def collect(self, directory: Path) -> None:
        """Copy captures and key logs."""
        for capture in sorted(self._state.evidence.glob(CAPTURES)):
            shutil.copyfile(capture, directory / capture.name)
        logs = [self._state.keylog(node.name) for node in self.info().endpoints]
        for log in filter(Path.is_file, logs):
            (directory / KEYS).mkdir(exist_ok=True)
            (directory / KEYS / log.name).touch(mode=0o600)
            shutil.copyfile(log, directory / KEYS / log.name)


def default_interrupt() -> None:
    """Let Ctrl-C end the command, not us."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def parse_control(node: str, command: Sequence[str], code: int, out: str, err: str) -> Any:
    """The JSON that `ctl` wrote. Raises CheckFailed with its last line where it failed.

    The exit code is no judge: it is 1 as well for a node that answers that it has no tunnel.
    """
    try:
        answer = json.loads(out)
        if answer.get("ok") is True:
            return answer
        err = str(answer.get("error", "it says no"))
    except (ValueError, AttributeError):
        err = err.strip() or f"{out[:200]!r} is not JSON"
    lines = [line for line in err.splitlines() if line.strip()] or [f"exit code {code}"]
    raise CheckFailed(f"{node}: ctl {' '.join(command)}: {lines[-1]}")


class ProcessBackend:
    """Labs of plain processes."""

    name = "process"
    vantage = "the wire node, between initiator and responder"
    folder = "labs"
    supervisor = "lab.backends.supervisor"

    def __init__(self, waiting: Callable[[str], None]) -> None:
        self._waiting = waiting

    def close(self) -> None:
        """Nothing is held."""
        return

    def check(self) -> str:
        """Loopback and this Python are all it takes."""
        home.make_directory(home.home() / self.folder)
        version = ".".join(str(part) for part in sys.version_info[:3])
        return f"plain processes on loopback, Python {version}, no privileges needed"

    def prepare(self, tell: Tell) -> None:
        """Nothing is needed but this Python."""
        tell("python", sys.executable)

    def labs(self) -> tuple[LabInfo, ...]:
        """Every lab that has a directory."""
        return tuple(self.lab(name).info() for name in names(self.folder))

    def owned(self, who: str) -> tuple[str, ...]:
        """Labs that `who` may remove: a home belongs to one user."""
        return names(self.folder)

    def lab(self, name: str) -> ProcessLab:
        """A handle for the lab of that name."""
        return ProcessLab(self.state(name))

    def state(self, name: str) -> State:
        """The files of the lab of that name."""
        return State(name, self.folder)

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Held while a lab is being made or removed."""
        return home.locked(name, self._waiting)

    def completed(self, plan: Plan) -> Plan:
        """Packets are captured where they are relayed: there is no other place without a privilege."""
        without_containers(plan, self.name)
        return with_wire(plan) if plan.capture and plan.wire is None else plan

    def create(self, plan: Plan, tell: Tell) -> tuple[Certificate, ...]:
        """Make the directory, run the CA and write what each node needs."""
        place = self.state(plan.lab)
        addresses = self.addresses(plan)
        for leftover in (PROCESSES_FILE, EXITS_FILE, AGAIN_FILE):
            (place.directory / leftover).unlink(missing_ok=True)
        shutil.rmtree(place.evidence, ignore_errors=True)
        place.write(LAB_FILE, json.dumps(self._about(plan, addresses)))
        sockets = (place.socket(name).parent for name in plan.names)
        for directory in (place.nodes, place.evidence / KEYS, *sockets):
            home.make_directory(directory)
        certificates = _run_ca(place, plan, tell)
        for node in plan.nodes:
            if node.psk_file:
                _write_secret(place.pki / "keys" / node.name / node.psk_file, node.psk)
        start = {"grace": GRACE, "nodes": self.orders(place, plan, addresses)}
        place.write(START_FILE, json.dumps(start))
        return certificates

    def _about(self, plan: Plan, addresses: dict[str, Address]) -> dict[str, Any]:
        roles = {node.name: node.role for node in plan.nodes}
        return {
            "name": plan.lab,
            "scenario": plan.scenario.name,
            "owner": labels.owner(),
            "session": labels.new_session(),
            "created": datetime.now(UTC).isoformat(),
            "nodes": [
                {
                    "name": name,
                    "role": roles.get(name, Role.WIRE).value,
                    "host": addresses[name].host,
                    "port": addresses[name].port,
                }
                for name in plan.names
            ],
        }

    def addresses(self, plan: Plan) -> dict[str, Address]:
        """Where each node listens. Raises EnvironmentNotReady."""
        others = [self.state(name).read() for name in names(self.folder)]
        taken = {node["host"] for other in others if other for node in other["nodes"]}
        one_port, profile = plan.wire is not None, plan.scenario.profile
        return allocate(plan.names, taken, one_port=one_port, profile=profile)

    def orders(self, place: State, plan: Plan, addresses: dict[str, Address]) -> dict[str, dict[str, Any]]:
        """What the supervisor starts, in this order: what others depend on comes first."""
        found = {}
        if plan.wire is not None:
            capture = str(place.evidence / CAPTURE) if plan.capture else ""
            found[plan.wire.name] = wire_order(place, plan.wire, addresses, capture)
        for node in plan.nodes:
            found[node.name] = self.order(place, plan, node, addresses)
        return found

    def order(
        self, place: State, plan: Plan, node: NodePlan, addresses: dict[str, Address]
    ) -> dict[str, Any]:
        """Write the node's configuration; what the supervisor starts."""
        keys = str(place.keylog(node.name)) if plan.keylog else ""
        files = Files(place.pki / "certs", place.pki / "keys" / node.name, place.socket(node.name), keys)
        config = node.configuration(node_place(plan, node, addresses, files, tun=False))
        return start_order(place, node, config, "--no-tun")

    def start(self, name: str) -> None:
        """Start the supervisor and wait until it has started every node."""
        place = self.state(name)
        argv = [sys.executable, "-m", self.supervisor, str(place.directory)]
        with watch_closing(place.directory) as changed:
            log = (place.directory / "supervisor.log").open("ab")
            with log:
                process = subprocess.Popen(
                    argv,
                    env=clean_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            try:
                _await_nodes(place, process, changed)
            except BaseException:
                # It may not have written itself down yet: then nobody but us could stop it and its nodes.
                process.terminate()
                process.wait(GRACE + 2)
                raise
            # It outlives us on purpose; without this Python would warn that nobody waits for it.
            process.returncode = 0

    def remove(self, name: str, *, keep_pki: bool) -> Removed:
        """Stop every node and remove the directory."""
        place = self.state(name)
        removed = [("process", node or "supervisor") for node in _stop_all(place)]
        if not place.directory.exists():
            return Removed(tuple(removed))
        shutil.rmtree(place.short_directory(), ignore_errors=True)
        if keep_pki:
            (place.directory / LAB_FILE).unlink(missing_ok=True)
            for leftover in place.directory.iterdir():
                if leftover != place.pki:
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        else:
            # lab.json goes last: what a kill leaves is still a lab that `down` finds.
            for leftover in sorted(place.directory.iterdir(), key=lambda path: path.name == LAB_FILE):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            place.directory.rmdir()
        return Removed((*removed, ("directory", str(place.directory))))


def watch_closing(directory: Path) -> "_Watching":
    """A watch as a context."""
    return _Watching(directory)


class _Watching:
    def __init__(self, directory: Path) -> None:
        self._watch = watch(directory)

    def __enter__(self) -> "_Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.close()

    def wait(self, timeout: float) -> None:
        self._watch.wait(timeout)


def _await_nodes(place: State, supervisor: subprocess.Popen[bytes], changed: "_Watching") -> None:
    """Wait until every node is started. Raises EnvironmentNotReady with the supervisor's last words."""
    deadline = datetime.now(UTC).timestamp() + START_TIMEOUT
    while not place.all_started():
        if supervisor.poll() is not None or datetime.now(UTC).timestamp() > deadline:
            said = (place.directory / "supervisor.log").read_text("utf-8", "replace").strip()
            detail = said[-300:] or "no output"
            raise EnvironmentNotReady(f"the supervisor of lab {place.name!r} did not start: {detail}")
        changed.wait(0.5)


def _stop_all(place: State) -> list[str]:
    """Stop the supervisor, which stops the nodes; then whatever a killed supervisor left."""
    processes = {node: process for node, process in place.processes().items() if process.alive()}
    supervisor = processes.pop(SUPERVISOR, None)
    asked = supervisor.send(signal.SIGTERM) if supervisor is not None else False
    if supervisor is None or not asked:
        for process in processes.values():
            process.send(signal.SIGTERM)
    for process in processes.values():
        if not process.wait(GRACE + 1):
            process.send(signal.SIGKILL)
            process.wait(GRACE)
    if supervisor is not None and not supervisor.wait(GRACE + 2):
        supervisor.send(signal.SIGKILL)
        supervisor.wait(GRACE)
    return list(processes)


def _write_secret(path: Path, text: str) -> None:
    """For this user alone, from its first octet on."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _run_ca(place: State, plan: Plan, tell: Tell) -> tuple[Certificate, ...]:
    argv = [sys.executable, "-m", "ca", "-o", "json"]
    argv += ["--certs-dir", str(place.pki / "certs"), "--authority-keys-dir", str(place.pki / "ca-key")]
    argv += ["--keys-dir", str(place.pki / "keys" / "{name}")]
    with subprocess.Popen(
        argv,
        env=clean_environment() | plan.ca.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        report, prose = [], []
        for line in process.stdout or ():
            if line.startswith("{"):
                report.append(line)
            else:
                prose.append(line)
                tell("ca", line.strip().removeprefix("ca: "))
    if process.returncode:
        raise ca.failure(process.returncode, "".join(prose))
    return ca.read_report("".join(report))
