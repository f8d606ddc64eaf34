"""The docker backend, through the Docker SDK (contexts and DOCKER_HOST honoured).

1. Everything it makes carries the lab's labels; it finds and removes by them and by nothing else. So it also
   works on what plain compose made.
2. Whatever can be done at once is done at once: creating, starting, stopping.
3. Output is followed as a stream; nothing is polled.
4. What captures a node shares its network, so it can start only when the node runs: responders first, then
   their sniffers, then whoever sends the first packet.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from secrets import randbits
from typing import Any, TypeVar

import docker
from docker.errors import APIError
from docker.types import IPAMConfig, IPAMPool, LogConfig

from lab import home, images, labels
from lab.backends import ca, containers, echo, evidence, strongswan, terminal
from lab.backends.base import (
    ADDRESS_TIMEOUT,
    GRACE,
    Answer,
    Certificate,
    LabInfo,
    NodeInfo,
    Removed,
    Tell,
    change_address,
    event_lines,
)
from lab.backends.containers import Container
from lab.backends.engine import end_stream, engine_errors, gone_is_fine, run, write
from lab.backends.process import parse_control
from lab.backends.queue import QueueFollower, Source
from lab.errors import CheckFailed, EnvironmentNotReady, ExitCode, NoSuchLab
from lab.events import NodeExit, Told, parse_line
from lab.labels import Kind, Marks, Role
from lab.peers import charon, commands
from lab.peers import image as peer_image
from lab.plan import Plan
from lab.text import listing, parse_time

#: Requests at once; more only queue up in the engine.
WORKERS = 8
#: Seconds for one request. Creating a container on a slow disk takes a while; hanging for ever helps nobody.
REQUEST_TIMEOUT = 60

#: Roles that are no nodes of the lab.
_HELPERS = (Role.CA, Role.SNIFFER)
#: Roles whose presence makes the order of starting matter.
_WATCHERS = (Role.SNIFFER, Role.WIRE)
#: The event with which a container of this role is ready.
_READY = {Role.WIRE: "wire_ready", Role.RESPONDER: "udp_bound", Role.SNIFFER: "capture_started"}
#: What starts together: roles, and the role of the node beside which they are (None: beside none).
_STAGES: tuple[tuple[tuple[Role, ...], Role | None], ...] = (
    ((Role.WIRE, Role.RESPONDER), None),
    ((Role.SNIFFER,), Role.RESPONDER),
    ((Role.INITIATOR,), None),
    ((Role.SNIFFER,), Role.INITIATOR),
)

T = TypeVar("T")
R = TypeVar("R")


def at_once(action: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """`action` on all items in parallel; the first error is raised after all have ended."""
    if len(items) < 2:
        return [action(item) for item in items]
    with ThreadPoolExecutor(min(WORKERS, len(items))) as pool:
        return list(pool.map(action, items))


class Engine:
    """The engine's client, made when first needed."""

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None

    @property
    def client(self) -> docker.DockerClient:
        """Raises EnvironmentNotReady where no engine answers."""
        if self._client is None:
            try:
                self._client = images.connect()
            except images.ImageError as error:
                raise EnvironmentNotReady(str(error)) from error
            self._client.api.timeout = REQUEST_TIMEOUT
        return self._client

    def close(self) -> None:
        """Close its connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def api(self) -> Any:
        """The low-level client: one request per call."""
        return self.client.api

    def containers(self, lab: str | None) -> list[dict[str, Any]]:
        """Containers of one lab, or of all labs: what the engine's list says."""
        found: list[dict[str, Any]] = self.api.containers(all=True, filters=_filter(lab))
        return found


def _filter(lab: str | None) -> dict[str, str]:
    return {"label": labels.LAB if lab is None else f"{labels.LAB}={lab}"}


def _node_of(summary: dict[str, Any]) -> str:
    return str(summary["Labels"].get(labels.NODE, ""))


def _role_of(summary: dict[str, Any]) -> Role:
    return Role(summary["Labels"].get(labels.ROLE, Role.CA))


def _kind_of(summary: dict[str, Any]) -> Kind:
    return Kind(summary["Labels"].get(labels.KIND, Kind.NODE))


def _is_ready(summary: dict[str, Any], event: str, line: str) -> bool:
    return charon.is_ready(line) if _kind_of(summary) is Kind.STRONGSWAN else f'"{event}"' in line


def _beside(summary: dict[str, Any], every: Sequence[dict[str, Any]]) -> Role | None:
    """The role of the node whose network this one shares; None where it has its own."""
    node = summary["Labels"].get(labels.BESIDE)
    return next((_role_of(other) for other in every if node and _node_of(other) == node), None)


#: Verbs of `ctl` that need a container and not the node in it.
_FROM_OUTSIDE = (commands.PING, commands.STRAY)


class DockerLab:
    """One lab of this backend."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def info(self) -> LabInfo:
        """How it is now. Raises NoSuchLab."""
        with engine_errors(f"cannot look at lab {self._name!r}"):
            found = self._engine.containers(self._name)
            if not found:
                others = {str(c["Labels"][labels.LAB]) for c in self._engine.containers(None)}
                raise NoSuchLab(
                    f"no lab {self._name!r} here: there are {listing(others)}: start one with `ipseclab up`"
                )
            details = at_once(lambda summary: self._engine.api.inspect_container(summary["Id"]), found)
        return _lab_info(self._name, found, details)

    def container(self, node: str) -> str:
        """The id of the node's container. Raises NoSuchLab."""
        return str(self._summary(node)["Id"])

    def _summary(self, node: str) -> dict[str, Any]:
        with engine_errors(f"cannot look at lab {self._name!r}"):
            found = self._engine.containers(self._name)
        for summary in found:
            if _node_of(summary) == node:
                return summary
        if not found:
            raise NoSuchLab(f"no lab {self._name!r} here: start one with `ipseclab up`")
        raise NoSuchLab(f"lab {self._name!r} has no node {node!r}: it has {listing(map(_node_of, found))}")

    def follow(self, nodes: Sequence[str], *, live: bool) -> QueueFollower:
        """Everything these nodes have told; with `live` also what they will."""
        with engine_errors(f"cannot look at lab {self._name!r}"):
            found = {_node_of(summary): summary for summary in self._engine.containers(self._name)}
        streams: list[Any] = []
        sources = {node: self._source(node, found[node], streams, live) for node in nodes if node in found}
        return QueueFollower(sources, lambda: _close_all(streams))

    def _source(self, node: str, summary: dict[str, Any], streams: list[Any], live: bool) -> Source:
        container, stranger = str(summary["Id"]), _kind_of(summary) is Kind.STRONGSWAN
        # The engine keeps the output of a container over restarts: what was read is passed over then.
        seen = 0

        def read() -> Iterator[Told]:
            nonlocal seen
            api = self._engine.api
            stream = api.logs(container, stdout=not stranger, stderr=stranger, stream=True, follow=live)
            streams.append(stream)
            log = charon.Reader(node, _role_of(summary).value) if stranger else None
            try:
                for line in islice(event_lines(iter(stream)), seen, None):
                    seen += 1
                    if line.strip():
                        yield from log.read(line) if log else (parse_line(node, line),)
                yield from log.rest() if log else ()
            finally:
                end_stream(stream)
            if live:
                yield NodeExit(node, int(api.wait(container)["StatusCode"]))
                return
            state = api.inspect_container(container)["State"]
            if state["Status"] == "exited":
                yield NodeExit(node, int(state["ExitCode"]))

        return read

    def prose(self, node: str, lines: int) -> tuple[str, ...]:
        """The last lines of the node's stderr."""
        summary = self._summary(node)
        with engine_errors(f"cannot read the log of {node}"):
            text = self._engine.api.logs(summary["Id"], stdout=False, stderr=True, tail=lines)
        found = text.decode("utf-8", "replace").splitlines()
        return tuple(map(charon.prose, found) if _kind_of(summary) is Kind.STRONGSWAN else found)

    def control(self, node: str, command: Sequence[str], timeout: float) -> Any:
        """`python -m node ctl` in the container, as parsed JSON, or what does the same at a node of another
        kind. Raises CheckFailed.
        """
        if _kind_of(self._summary(node)) is Kind.STRONGSWAN:
            return strongswan.control(lambda words: self.ask(node, words, timeout), node, command)
        if command[0] in _FROM_OUTSIDE:
            return self._from_outside(node, command, timeout)
        done = self.ask(node, ["python", "-m", "node", "ctl", *command, "-o", "json"], timeout)
        return parse_control(node, command, done.code, done.out, done.err)

    def _from_outside(self, node: str, command: Sequence[str], timeout: float) -> dict[str, Any]:
        """What a strongSwan's container can be asked for and our node has no part in. Raises CheckFailed."""
        doing = f"{node}: ctl {' '.join(command)}"
        try:
            argv = commands.of(command).argv
            if command[0] == commands.PING:
                argv = echo.argv(*commands.ping(command[1:]))
        except ValueError as error:
            raise CheckFailed(f"{doing}: {error}") from None
        done = self.ask(node, argv, timeout)
        said = done.err.strip().splitlines()
        if done.code:
            raise CheckFailed(f"{doing}: {said[-1] if said else f'exit code {done.code}'}")
        return {"ok": True, "said": said}

    def put(self, node: str, files: Mapping[str, bytes]) -> None:
        """Write files into what a strongSwan reads, by their paths under /etc/swanctl."""
        container = self.container(node)
        with engine_errors(f"cannot write the configuration of {node}"):
            strongswan.put(self._engine.api, container, files)

    def execute(self, node: str, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command in the container; its exit code, or 125 to 127 as docker."""
        container = self.container(node)
        with engine_errors(f"cannot run {command[0]} in {node}"):
            if not self._engine.api.inspect_container(container)["State"]["Running"]:
                raise EnvironmentNotReady(f"{node} is not running: bring the lab up again with `ipseclab up`")
            return terminal_attach(self._engine.api, container, list(command), terminal)

    def ask(self, node: str, command: Sequence[str], timeout: float) -> Answer:
        """Run a command in the container and collect what it writes."""
        container = self.container(node)
        # Whoever is asked may hang: the container's own `timeout` ends it, with 124.
        argv = ["timeout", "-k", "1", f"{timeout:g}", *command]
        with engine_errors(f"cannot run {command[0]} in {node}"):
            done = run(self._engine.api, container, argv)
        if done.code == ExitCode.TIMEOUT:
            raise CheckFailed(f"{node}: {' '.join(command)} did not end within {timeout:g} s")
        out, err = (text.decode("utf-8", "replace") for text in (done.out, done.err))
        return Answer(done.code, out, err)

    def stop(self, node: str) -> None:
        """SIGTERM, and SIGKILL after the grace period."""
        container = self.container(node)
        with engine_errors(f"cannot stop {node}"):
            self._engine.api.stop(container, timeout=GRACE)

    def kill(self, node: str) -> None:
        """SIGKILL."""
        container = self.container(node)
        with engine_errors(f"cannot kill {node}"):
            self._engine.api.kill(container)

    def start(self, node: str) -> None:
        """Start a container again, and what captured in its network: a started container gets a new one."""
        container = self.container(node)
        with engine_errors(f"cannot start {node}"):
            self._engine.api.start(container)
            for summary in self._engine.containers(self._name):
                if summary["Labels"].get(labels.BESIDE) == node:
                    self._engine.api.restart(summary["Id"], timeout=GRACE)

    def readdress(self, node: str) -> None:
        """Another address on the container's link. Raises CheckFailed."""
        if _kind_of(self._summary(node)) is Kind.STRONGSWAN:
            strongswan.readdress(lambda words: self.ask(node, words, ADDRESS_TIMEOUT), node)
        else:
            change_address(self, node, strongswan.LINK)

    def collect(self, directory: Path) -> None:
        """Copy captures and key logs out of the lab's volume."""
        with engine_errors(f"cannot collect the evidence of lab {self._name!r}"):
            evidence.collect(self._engine.api, self._engine.containers(self._name), directory)


def _close_all(streams: list[Any]) -> None:
    for stream in streams:
        stream.close()


def terminal_attach(api: Any, container: str, command: list[str], wanted: bool) -> int:
    """An exec with a terminal (and input) where one is wanted, else output only."""
    return terminal.attach(api, container, command, terminal=wanted, forward_input=wanted)


def _lab_info(name: str, found: list[dict[str, Any]], details: list[dict[str, Any]]) -> LabInfo:
    marks = found[0]["Labels"]
    nodes = [_node_info(detail) for detail in details if _label(detail, labels.ROLE) not in _HELPERS]
    return LabInfo(
        name=name,
        backend=DockerBackend.name,
        scenario=str(marks.get(labels.SCENARIO, "")),
        owner=str(marks.get(labels.OWNER, "")),
        created=min(datetime.fromtimestamp(summary["Created"], UTC) for summary in found),
        nodes=tuple(sorted(nodes, key=lambda node: (node.role is not Role.RESPONDER, node.name))),
    )


def _label(detail: dict[str, Any], name: str) -> str:
    return str(detail["Config"]["Labels"].get(name, ""))


def _node_info(detail: dict[str, Any]) -> NodeInfo:
    state = detail["State"]
    networks = detail["NetworkSettings"]["Networks"].values()
    exited = state["Status"] == "exited"
    return NodeInfo(
        name=_label(detail, labels.NODE),
        role=Role(_label(detail, labels.ROLE)),
        running=state["Status"] == "running",
        exit_code=int(state["ExitCode"]) if exited else None,
        address=next((str(network["IPAddress"]) for network in networks if network["IPAddress"]), ""),
        started=None if state["Status"] == "created" else parse_time(state["StartedAt"]),
        paused=bool(state["Paused"]),
    )


class DockerBackend:
    """Labs of containers."""

    name = "docker"
    vantage = "eth0 of the responder"

    def __init__(self, waiting: Callable[[str], None], subnet: str | None = None) -> None:
        self._waiting, self._subnet = waiting, subnet
        self._engine = Engine()
        self._image: images.NodeImage | None = None
        self._strongswan: images.NodeImage | None = None

    def close(self) -> None:
        """Let go of the engine."""
        self._engine.close()

    def check(self) -> str:
        """The engine's version and platform."""
        with engine_errors("Docker does not answer"):
            version = self._engine.api.version()
        return f"Docker {version['Version']}, {version['Os']}/{version['Arch']}"

    def prepare(self, tell: Tell) -> None:
        """Make the node image where it is not there for these sources."""
        try:
            self._image = images.ensure_image(lambda line: tell("image", line), self._engine.client)
        except images.ImageError as error:
            raise EnvironmentNotReady(f"{error} (or run without Docker: --backend process)") from error
        tell("image", f"{self._image.reference} {'built' if self._image.built else 'up to date'}")

    def _prepare_strongswan(self, tell: Tell) -> None:
        try:
            self._strongswan = peer_image.ensure_image(lambda line: tell("image", line), self._engine.client)
        except images.ImageError as error:
            raise EnvironmentNotReady(str(error)) from error
        tell("image", f"{self._strongswan.reference} {'built' if self._strongswan.built else 'up to date'}")

    def labs(self) -> tuple[LabInfo, ...]:
        """Every lab that has a container."""
        with engine_errors("cannot list the labs"):
            found = {str(summary["Labels"][labels.LAB]) for summary in self._engine.containers(None)}
        return tuple(self.lab(name).info() for name in sorted(found))

    def owned(self, who: str) -> tuple[str, ...]:
        """Labs that `who` may remove without naming them, also those of which only leftovers are there."""
        api = self._engine.api
        with engine_errors("cannot list the labs"):
            found = [*self._engine.containers(None), *api.networks(filters=_filter(None))]
            found += api.volumes(filters=_filter(None))["Volumes"] or ()
        marks: list[dict[str, str]] = [thing["Labels"] for thing in found]
        return tuple(sorted({mark[labels.LAB] for mark in marks if labels.may_remove(mark, who)}))

    def lab(self, name: str) -> DockerLab:
        """A handle for the lab of that name."""
        return DockerLab(self._engine, name)

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Held while a lab is being made or removed."""
        return home.locked(name, self._waiting)

    def create(self, plan: Plan, tell: Tell) -> tuple[Certificate, ...]:
        """Make network, volumes and containers, and run the CA."""
        if self._image is None:
            raise EnvironmentNotReady("the node image was not prepared: run `ipseclab image`")
        if plan.strangers:
            self._prepare_strongswan(tell)
        marks = Marks(plan.lab, plan.scenario.name, labels.owner(), labels.new_session())
        api = self._engine.api
        with engine_errors(f"cannot make lab {plan.lab!r}"):
            v6 = plan.scenario.outer == 6
            jobs: list[Callable[[], object]] = [partial(self._make_network, marks, v6)]
            jobs += [partial(self._make_volume, marks, short) for short in containers.volumes(plan)]
            network = at_once(lambda job: job(), jobs)[0]
            subnet = self._subnet_of(str(network)) if plan.wire else ""
            every = containers.containers(plan, marks, subnet)
            alone = [container for container in every if not container.beside]
            ids = at_once(lambda container: self._make_container(container, marks), alone)
            at_once(lambda c: self._make_container(c, marks), [c for c in every if c.beside])
            made = _run_ca(api, ids[0], tell)
            for node in plan.nodes:
                if node.psk_file:
                    place = f"/pki/keys/{node.name}"
                    write(api, ids[0], place, {node.psk_file: node.psk.encode()}, containers.OWNER)
            places = {container.node: place for container, place in zip(alone, ids, strict=True)}
            for name in plan.strangers:
                strongswan.furnish(api, ids[0], places[name], plan, plan.node(name))
            return made

    def completed(self, plan: Plan) -> Plan:
        """A container can capture in another's network: no wire node is needed for that."""
        return plan

    def _subnet_of(self, network: str) -> str:
        pools = self._engine.api.inspect_network(network)["IPAM"]["Config"] or []
        return next((str(pool["Subnet"]) for pool in pools if "." in pool.get("Subnet", "")), "")

    def _make_network(self, marks: Marks, v6: bool) -> str:
        subnets = [self._subnet] if self._subnet else []
        # Engines before 27 choose no IPv6 subnet by themselves; this is one of RFC 4193, made by dice.
        subnets += [f"fd{randbits(8):02x}:{randbits(16):x}:{randbits(16):x}::/64"] if v6 else []
        pools = [IPAMPool(subnet=subnet) for subnet in subnets]
        # Names of networks need not be unique in Docker; the container names are what keeps two labs apart.
        made = self._engine.api.create_network(
            containers.network_name(marks.lab),
            driver="bridge",
            internal=True,
            ipam=IPAMConfig(pool_configs=pools) if pools else None,
            enable_ipv6=v6,
            labels=marks.labels(),
        )
        return str(made["Id"])

    def _make_volume(self, marks: Marks, short: str) -> None:
        self._engine.api.create_volume(containers.full_name(marks.lab, short), labels=marks.labels())

    def _make_container(self, container: Container, marks: Marks) -> str:
        api = self._engine.api
        image = self._strongswan if container.kind is Kind.STRONGSWAN else self._image
        if image is None:
            raise EnvironmentNotReady("the node image was not prepared: run `ipseclab image`")
        network = containers.network_name(marks.lab)
        binds = {
            containers.full_name(marks.lab, mount.volume): {
                "bind": mount.target,
                "mode": "ro" if mount.read_only else "rw",
            }
            for mount in container.mounts
        }
        mode = network if container.networked else "none"
        if container.beside:
            mode = f"container:{containers.full_name(marks.lab, container.beside)}"
        host = api.create_host_config(
            network_mode=mode,
            binds=binds,
            cap_drop=["ALL"],
            cap_add=list(container.capabilities) or None,
            devices=[f"{device}:{device}:rwm" for device in container.devices] or None,
            security_opt=["no-new-privileges:true"],
            read_only=True,
            tmpfs=dict(container.tmpfs),
            mem_limit=containers.MEMORY,
            pids_limit=container.pids,
            sysctls=dict(container.sysctls) or None,
            log_config=LogConfig(type=LogConfig.types.JSON, config=dict(containers.LOG_OPTIONS)),
            restart_policy={"Name": "no"},
        )
        endpoint = api.create_endpoint_config(aliases=[container.node])
        made = api.create_container(
            image.image_id,
            command=list(container.command) or None,
            name=containers.full_name(marks.lab, container.node),
            hostname=None if container.beside else container.node,
            user=container.user or None,
            environment=dict(container.environment),
            labels=dict(container.labels),
            host_config=host,
            networking_config=api.create_networking_config({network: endpoint})
            if container.networked
            else None,
            stop_timeout=GRACE,
        )
        return str(made["Id"])

    def start(self, name: str) -> None:
        """Start every node: all at once, or one after the other where somebody watches or relays, or where a
        responder refuses who comes before it has read its configuration, as strongSwan does.
        """
        api = self._engine.api
        with engine_errors(f"cannot start lab {name!r}"):
            every = self._engine.containers(name)
            if not any(_role_of(s) in _WATCHERS or _kind_of(s) is not Kind.NODE for s in every):
                nodes = [summary for summary in every if _role_of(summary) not in _HELPERS]
                at_once(lambda summary: api.start(summary["Id"]), nodes)
                return
            for roles, beside in _STAGES:
                stage = [s for s in every if _role_of(s) in roles and _beside(s, every) is beside]
                at_once(lambda summary: self._start_and_wait(summary), stage)

    def _start_and_wait(self, summary: dict[str, Any]) -> None:
        """Start a container and wait until it is ready, or has ended."""
        api, container = self._engine.api, summary["Id"]
        try:
            api.start(container)
        except APIError:
            if self._beside_has_ended(container):
                return
            raise
        if (event := _READY.get(_role_of(summary))) is None:
            return
        stranger = _kind_of(summary) is Kind.STRONGSWAN
        stream = api.logs(container, stdout=not stranger, stderr=stranger, stream=True, follow=True)
        try:
            ready = any(_is_ready(summary, event, line) for line in event_lines(iter(stream)))
        finally:
            end_stream(stream)
        # A node that fails is judged; without its watcher a lab would look fine and prove nothing.
        if not ready and _role_of(summary) in _WATCHERS and not self._beside_has_ended(container):
            said = api.logs(container, stdout=False, stderr=True, tail=1).decode("utf-8", "replace").strip()
            raise EnvironmentNotReady(f"{_node_of(summary)} did not start: {said or 'it said nothing'}")

    def _beside_has_ended(self, container: str) -> bool:
        """Whether this container shares the network of a node that does not run any more."""
        mode = self._engine.api.inspect_container(container)["HostConfig"]["NetworkMode"]
        node = mode.removeprefix("container:")
        return node != mode and not self._engine.api.inspect_container(node)["State"]["Running"]

    def remove(self, name: str, *, keep_pki: bool) -> Removed:
        """Stop the nodes gracefully and remove everything that carries this lab's label."""
        api = self._engine.api
        removed: list[tuple[str, str]] = []
        with engine_errors(f"cannot remove lab {name!r}"):
            found = self._engine.containers(name)
            running = [
                summary for summary in found if summary["State"] in ("running", "restarting", "paused")
            ]
            # Whoever relays or watches goes last: nodes still have something to say to each other.
            for watching in (False, True):
                stage = [s for s in running if (_role_of(s) in _WATCHERS) is watching]
                at_once(lambda s: gone_is_fine(partial(api.stop, s["Id"], timeout=GRACE)), stage)
            at_once(lambda s: gone_is_fine(partial(api.remove_container, s["Id"], force=True)), found)
            removed += [("container", str(summary["Names"][0]).lstrip("/")) for summary in found]
            for network in api.networks(filters=_filter(name)):
                gone_is_fine(partial(api.remove_network, network["Id"]))
                removed.append(("network", str(network["Name"])))
            volumes = [str(volume["Name"]) for volume in api.volumes(filters=_filter(name))["Volumes"] or ()]
            if keep_pki:
                # Captures and key logs go on where they ended: the next lab must not find this one's.
                volumes = [
                    volume for volume in volumes if volume == containers.full_name(name, containers.EVIDENCE)
                ]
            at_once(lambda volume: gone_is_fine(partial(api.remove_volume, volume)), volumes)
            removed += [("volume", volume) for volume in volumes]
        return Removed(tuple(removed))


def _run_ca(api: Any, container: str, tell: Tell) -> tuple[Certificate, ...]:
    """Start the CA, pass on what it says while it works, and read its report."""
    api.start(container)
    stream = api.logs(container, stdout=False, stderr=True, stream=True, follow=True)
    prose = []
    for line in event_lines(iter(stream)):
        prose.append(line)
        tell("ca", line.strip().removeprefix("ca: "))
    end_stream(stream)
    code = int(api.wait(container)["StatusCode"])
    if code:
        raise ca.failure(code, "\n".join(prose))
    report = api.logs(container, stdout=True, stderr=False)
    return ca.read_report(report.decode("utf-8", "replace"))
