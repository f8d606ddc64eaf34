"""What the supervisor of a lab without an engine is told to start: configuration files and command lines."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.backends.addresses import Address
from lab.backends.state import State
from lab.labels import Role
from lab.library import project_directory
from lab.plan import Config, NodePlan, Place, Plan, WirePlace, WirePlan, document

#: Variables that would change what nodes and the CA do behind the scenario's back.
_FOREIGN = ("NODE_", "CA_", "IPSECLAB_", "PYTHONPATH")


def clean_environment() -> dict[str, str]:
    """Our environment without what configures nodes, with the project on the import path."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
    # `python` at a node must be the one that has what the node needs.
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return kept | {"PATH": path, "PYTHONPATH": str(project_directory()), "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Files:
    """Where a node finds what the CA issued, and where it puts its control socket and its keys.

    `keylog` is empty where it does not write them down.
    """

    certificates: Path
    key_directory: Path
    socket: Path
    keylog: str


def node_place(
    plan: Plan, node: NodePlan, addresses: dict[str, Address], files: Files, *, tun: bool
) -> Place:
    """The place of a node on this host."""
    between = plan.wire is not None and node.role is Role.INITIATOR
    own, peer = addresses[node.name], addresses[plan.wire.name if plan.wire and between else node.peers[0]]
    return Place(
        listen_address=own.host,
        port=own.port,
        peer_address=peer.host,
        peer_port=peer.port or own.port,
        ca=str(files.certificates / "ca-cert.pem"),
        certificate=str(files.certificates / f"{node.name}-cert.pem"),
        key=str(files.key_directory / f"{node.name}-key.pem"),
        socket=str(files.socket),
        tun=tun,
        keylog=files.keylog,
        nat_port=own.nat_port,
        peer_nat_port=peer.nat_port or own.nat_port,
    )


def start_order(place: State, node: NodePlan, config: Config, *options: str) -> dict[str, Any]:
    """Write the node's configuration; its command line and environment."""
    place.write(f"nodes/{node.name}.yaml", document(config))
    path = place.nodes / f"{node.name}.yaml"
    argv = [sys.executable, "-m", "node", "--config", str(path), *options]
    order = {"argv": argv, "env": clean_environment()}
    # What finds nobody is sent again after half a second: waiting for the responder is faster.
    return order | ({"ready": "udp_bound"} if node.role is Role.RESPONDER else {})


def wire_order(
    place: State, wire: WirePlan, addresses: dict[str, Address], capture: str, sources: str = ""
) -> dict[str, Any]:
    """Write the configuration of the wire node; its command line and environment."""
    where = WirePlace(
        listen_address=addresses[wire.name].host,
        target_address=addresses[wire.target].host,
        ports=_ports(addresses[wire.target]),
        nodes={name: addresses[name].host for name in wire.nodes},
        capture=capture,
        socket=str(place.socket(wire.name)),
        sources=sources,
    )
    place.write(f"nodes/{wire.name}.json", json.dumps(wire.configuration(where)))
    config = str(place.nodes / f"{wire.name}.json")
    argv = [sys.executable, "-m", "lab.wire", "relay", "--config", config]
    return {"argv": argv, "env": clean_environment(), "ready": "wire_ready", "last": True}


def _ports(address: Address) -> tuple[int, ...]:
    return tuple(dict.fromkeys(port for port in (address.port, address.nat_port) if port))
