"""From a scenario to what each node is configured with and what the CA is asked for. Pure; backends only add
places.

The first initiator speaks for the inner network 10.1.0.0/24 and the first responder for 10.2.0.0/24. Several
nodes of one role get 10.1.1.0/24, 10.1.2.0/24, ... out of 10.1.0.0/16, which is then what the other side
accepts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

import yaml

from lab import editor
from lab.labels import Kind, Role
from lab.scenario import DEFAULT_PROFILE, WIRE, Group, Scenario, Wire

GREETING = "Hello from IPSec Initiator!"
PINGS = 10
_NETWORK = {Role.INITIATOR: 1, Role.RESPONDER: 2}

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ports:
    """UDP ports: where IKE begins, and the one that it shares with ESP; equal where there is only one."""

    ike: int
    nat: int

    @property
    def all(self) -> tuple[int, ...]:
        """Each of them once."""
        return tuple(dict.fromkeys((self.ike, self.nat)))


#: What a profile says (RFC 7296 2.23), where nobody else has these ports.
PORTS = {"asn1": Ports(8000, 8000), "rfc7296": Ports(500, 4500)}
#: On loopback, where a port below 1024 is the host's: one with the non-ESP marker.
LOOPBACK = {"asn1": PORTS["asn1"], "rfc7296": Ports(4500, 4500)}


def nat_port(ports: Ports, profile: str) -> int:
    """The setting `nat_port` of a node: 0 in a profile that has none."""
    return ports.nat if profile == "rfc7296" else 0


@dataclass(frozen=True, slots=True)
class Place:
    """What a backend decides about one node: where it listens, what it connects to, where its files are.

    The ports for NAT are those that IKE shares with ESP; 0: the profile has none, or any will do.
    """

    listen_address: str
    port: int
    peer_address: str
    peer_port: int
    ca: str
    certificate: str
    key: str
    socket: str
    tun: bool
    keylog: str = ""
    nat_port: int = 0
    peer_nat_port: int = 0


@dataclass(frozen=True, slots=True)
class WirePlace:
    """What a backend decides about the wire node: where it listens and relays to, where its files are.

    `ports` are those of the target. `nodes` are the initiators' addresses; None where the name must be looked
    up. `sources` are the addresses
    that a flood may borrow, empty on loopback. `capture` is empty where somebody else captures.
    """

    listen_address: str
    target_address: str
    ports: tuple[int, ...]
    nodes: Mapping[str, str | None]
    capture: str
    socket: str
    sources: str = ""


@dataclass(frozen=True, slots=True)
class WirePlan:
    """The wire node: between every initiator and the responder that they talk to."""

    name: str
    wire: Wire
    target: str
    nodes: tuple[str, ...]
    profile: str = DEFAULT_PROFILE

    def configuration(self, place: WirePlace) -> dict[str, Any]:
        """The configuration of `python -m lab.wire relay`."""
        flood = {"flood": {"sources": place.sources}} if place.sources else {}
        return {
            "name": self.name,
            "seed": self.wire.seed,
            "profile": self.profile,
            "listen": {"address": place.listen_address},
            "ports": list(place.ports),
            "target": {"name": self.target, "address": place.target_address},
            "nodes": dict(place.nodes),
            "faults": [dict(fault) for fault in self.wire.faults],
            "capture": place.capture,
            "control": place.socket,
            **flood,
        }


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node. `number` counts the nodes of its role from 1; `peers` are those it may meet; `config` is what
    the scenario says to a node of its kind.
    """

    name: str
    role: Role
    number: int
    alone: bool
    peers: tuple[str, ...]
    peer_range: str
    config: Config
    profile: str = DEFAULT_PROFILE
    kind: Kind = Kind.NODE
    #: Its pre-shared key, empty for none: never a part of what is printed or handed over in an environment.
    psk: str = field(default="", repr=False)

    @property
    def inner_network(self) -> str:
        """The network behind this node, as CIDR."""
        return f"10.{_NETWORK[self.role]}.{0 if self.alone else self.number}.0/24"

    @property
    def inner_address(self) -> str:
        """The node's own address in it, with the prefix length."""
        return self.inner_network.replace(".0/24", ".1/24")

    @property
    def psk_file(self) -> str:
        """The name of the file with the pre-shared key, beside the private key; empty where there is none."""
        return f"{self.name}-psk" if self.psk else ""

    def configuration(self, place: Place) -> dict[str, Any]:
        """The whole configuration: the lab's defaults, the place, and what the scenario says."""
        return merge(_defaults(self, place), self.config)


@dataclass(frozen=True, slots=True)
class Plan:
    """A lab to be made. `wire` is None where the nodes talk to each other directly; `capture`: what passes is
    captured from the first packet on.
    """

    lab: str
    scenario: Scenario
    nodes: tuple[NodePlan, ...]
    ca: "CaPlan"
    wire: WirePlan | None = None
    capture: bool = False

    @property
    def keylog(self) -> bool:
        """Whether the nodes write their keys down: the scenario says so, and there is a capture to open."""
        return self.capture and self.scenario.keylog

    @property
    def strangers(self) -> tuple[str, ...]:
        """The nodes that are none of the lab's own."""
        return tuple(node.name for node in self.nodes if node.kind is not Kind.NODE)

    @property
    def names(self) -> tuple[str, ...]:
        """Everybody who tells events: the nodes, then the wire."""
        return (*(node.name for node in self.nodes), *((self.wire.name,) if self.wire else ()))

    def node(self, name: str) -> NodePlan:
        """The node of that name, which is there."""
        return next(node for node in self.nodes if node.name == name)

    def members(self, group: str) -> tuple[str, ...]:
        """The names of the nodes of a group of the scenario; the wire is a group of its own."""
        if self.wire is not None and group == self.wire.name:
            return (group,)
        return self.scenario.group(group).members()


@dataclass(frozen=True, slots=True)
class CaPlan:
    """What the CA is asked for: names with the defaults, and a request for everything else (None: nothing
    else).
    """

    names: tuple[str, ...]
    key_type: str | None = None
    root_key_type: str | None = None
    request: str | None = None

    def environment(self) -> dict[str, str]:
        """As the environment of `python -m ca`."""
        values = {
            "CA_NAMES": " ".join(self.names),
            "CA_KEY_TYPE": self.key_type,
            "CA_ROOT_KEY_TYPE": self.root_key_type,
            "CA_REQUEST": self.request,
        }
        return {key: value for key, value in values.items() if value}


def make(
    lab: str,
    scenario: Scenario,
    key_type: str | None = None,
    *,
    wire: bool = False,
    capture: bool = False,
) -> Plan:
    """Plan the lab `lab`. `key_type` overrides the key type of every certificate that does not name its
    own; `wire` puts the wire node in the path where the scenario does not.
    """
    groups = sorted(scenario.groups, key=lambda group: group.role is not Role.RESPONDER)
    nodes: list[NodePlan] = []
    for role in (Role.RESPONDER, Role.INITIATOR):
        nodes += _nodes([group for group in groups if group.role is role], role)
    named = tuple(replace(_with_peers(node, nodes), profile=scenario.profile) for node in nodes)
    made = Plan(lab, scenario, named, _ca(scenario, named, key_type), None, capture)
    return with_wire(made) if wire or scenario.wire else made


def with_wire(plan: Plan) -> Plan:
    """The same plan with a wire node between the initiators and the responder."""
    initiators = [node.name for node in plan.nodes if node.role is Role.INITIATOR]
    responder = next(node.name for node in plan.nodes if node.role is Role.RESPONDER)
    wire = plan.scenario.wire or Wire()
    between = WirePlan(WIRE, wire, responder, tuple(initiators), plan.scenario.profile)
    return replace(plan, wire=between)


def _nodes(groups: list[Group], role: Role) -> list[NodePlan]:
    members = [(name, group) for group in groups for name in group.members()]
    alone = len(members) == 1
    return [
        NodePlan(name, role, number, alone, (), "", group.config, kind=group.kind, psk=group.psk)
        for number, (name, group) in enumerate(members, 1)
    ]


def _with_peers(node: NodePlan, nodes: list[NodePlan]) -> NodePlan:
    others = [other for other in nodes if other.role is not node.role]
    if node.role is Role.INITIATOR:
        others = others[:1]
    wide = f"10.{_NETWORK[Role.INITIATOR if node.role is Role.RESPONDER else Role.RESPONDER]}.0.0/16"
    return replace(
        node,
        peers=tuple(other.name for other in others),
        peer_range=others[0].inner_network if len(others) == 1 else wide,
    )


def _ca(scenario: Scenario, nodes: tuple[NodePlan, ...], key_type: str | None) -> CaPlan:
    given = scenario.credentials
    sections = {key: given[key] for key in ("authorities", "certificates") if given.get(key)}
    return CaPlan(
        names=tuple(node.name for node in nodes),
        key_type=key_type or given.get("key_type"),
        root_key_type=key_type or given.get("root_key_type"),
        request=json.dumps(sections) if sections else None,
    )


def _defaults(node: NodePlan, place: Place) -> dict[str, Any]:
    identities = [f"fqdn:{name}" for name in node.peers]
    peer: dict[str, Any] = {
        "port": place.peer_port,
        "identity": identities[0] if len(identities) == 1 else identities,
    }
    listen: dict[str, Any] = {"address": place.listen_address, "port": place.port}
    if place.nat_port:
        listen["nat_port"] = place.nat_port
    if place.peer_nat_port:
        peer["nat_port"] = place.peer_nat_port
    if node.role is Role.INITIATOR:
        peer["address"] = place.peer_address
    config: dict[str, Any] = {
        "name": node.name,
        "role": node.role.value,
        "profile": node.profile,
        "listen": listen,
        "peer": peer,
        "local": {"identity": f"fqdn:{node.name}"},
        "credentials": {"ca": place.ca, "certificate": place.certificate, "key": place.key},
        "child": {"local_ts": [node.inner_network], "remote_ts": [node.peer_range]},
        "tun": {"enabled": place.tun, **_inner_address(node)},
        "control": {"socket": place.socket},
    }
    if node.psk_file:
        config["credentials"]["psk"] = str(PurePosixPath(place.key).with_name(node.psk_file))
    if place.keylog:
        config["keylog"] = {"file": place.keylog}
    if node.role is Role.INITIATOR:
        config["demo"] = {"message": GREETING, "pings": PINGS}
    return config


def _inner_address(node: NodePlan) -> dict[str, str]:
    """Nothing for a node that asks its peer for one."""
    child = node.config.get("child")
    asks = isinstance(child, Mapping) and child.get("virtual_ip")
    return {} if asks else {"address": node.inner_address}


def merge(base: Config, over: Config) -> dict[str, Any]:
    """`base` with what `over` says; mappings are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def environment(config: Config, prefix: str = "NODE") -> dict[str, str]:
    """The configuration as environment variables: NODE_<PATH joined by __>, every value as YAML."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        name = f"{prefix}{'_' if prefix == 'NODE' else '__'}{key.upper()}"
        if isinstance(value, Mapping):
            flat |= environment(value, name)
        else:
            flat[name] = _scalar(value)
    return flat


def _scalar(value: object) -> str:
    if isinstance(value, str) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)


def document(config: Config) -> str:
    """The configuration as a YAML file, for editors as well."""
    return editor.comment(editor.NODE) + yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=False)
