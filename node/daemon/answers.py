"""What a running node answers on its control socket."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from linetalk.answers import RequestError
from node.config import Role
from node.control.protocol import Request
from node.daemon.node import Node
from node.ike.children import ChildState
from node.ike.status import SaStatus
from node.model.child import Mode
from node.model.message import host_port
from node.net import clock
from node.version import VERSION


def handle(node: Node, request: Request) -> Mapping[str, Any]:
    """Carry out one request. Raises RequestError where it cannot be."""
    told = _TOLD.get(request.command)
    if told is not None:
        return told(node)
    match request.command:
        case "initiate":
            return _initiate(node)
        case "terminate":
            return {"deleted": _each_ike_sa(node, request, node.terminate)}
        case "rekey-ike":
            return {"rekeyed": _each_ike_sa(node, request, node.rekey_ike)}
        case "reauthenticate":
            return {"begun": _each_ike_sa(node, request, node.reauthenticate, opened=True)}
        case "create-child":
            return {"asked": _each_ike_sa(node, request, node.create_child)}
        case "rekey-child":
            return {"rekeyed": _each_child_sa(node, request, node.rekey_child)}
        case "delete-child":
            return {"deleted": _each_child_sa(node, request, node.delete_child)}
        case "move":
            return _move(node, request.arguments.get("local", ""))
    raise RequestError(f"{request.command} is not implemented")


def healthy(node: Node) -> bool:
    """A responder is healthy once its socket is bound, an initiator while a Child SA is up."""
    if node.stopping:
        return False
    return node.config.role is Role.RESPONDER or node.plane.size > 0


def status(node: Node) -> dict[str, Any]:
    """The node, its IKE SAs and its Child SAs with their counters."""
    config, now = node.config, clock.monotonic()
    # What an ESP process has counted is in the log then.
    node.plane.count()
    return {
        "name": config.name,
        "role": str(config.role),
        "profile": config.profile,
        "auth": {"local": str(config.local.auth), "peer": str(config.peer.auth)},
        "version": VERSION,
        "uptime": round(now - node.since, 3),
        "listening": {
            "address": node.transport.address,
            "port": node.transport.port,
            "nat_port": node.transport.nat_port,
        },
        "inner": _inner(node),
        "processes": _processes(node),
        "healthy": healthy(node),
        "half_open": node.endpoint.half_open,
        "ike_sas": [_ike_sa(sa, now) for sa in node.endpoint.sas()],
        "child_sas": [asdict(child) for child in node.plane.query()],
        "dropped": dict(node.log.dropped),
    }


def _inner(node: Node) -> dict[str, Any]:
    """`address` as it is configured, or the first one that a peer gave us, or the outer one in transport
    mode; all of them are in `addresses`.
    """
    addresses = [str(address) for address in node.inner_addresses]
    configured = "" if node.config.child.mode is Mode.TRANSPORT else node.config.tun.address
    first = configured or next(iter(addresses), "")
    return {"address": first, "addresses": addresses, "kind": node.inner_kind}


def _processes(node: Node) -> dict[str, Any]:
    """By what each does; `pid` is 0 while it is being started again."""
    tie = node.tie
    if tie is None:
        return {"node": {"pid": os.getpid(), "restarts": 0}}
    return {
        "supervisor": {"pid": os.getppid(), "restarts": 0},
        "ike": {"pid": os.getpid(), "restarts": tie.instance - 1},
        "esp": {"pid": tie.pid, "restarts": tie.restarts},
    }


def counters(node: Node) -> dict[str, Any]:
    """Everything that is counted, by name; all of it exact since the start."""
    counted = node.plane.count()
    return {
        "dropped": dict(node.log.dropped),
        "events": dict(node.log.emitted),
        "lost": node.log.lost,
        "keepalives": node.keepalives,
        "keepalives_sent": node.alive.sent,
        "udp_errors": dict(node.transport.errors + Counter(counted.errors)),
        "untold": counted.untold,
        "half_open": node.endpoint.half_open,
        "ike_sas": len(node.endpoint.sas()),
        "child_sas": node.plane.size,
    }


def _ike_sa(sa: SaStatus, now: float) -> dict[str, Any]:
    found = asdict(sa)
    since = found.pop("established_at")
    return {**found, "established_for": None if since is None else round(now - since, 3)}


def _initiate(node: Node) -> dict[str, Any]:
    if node.stopping:
        raise RequestError("the node is stopping")
    if not node.config.peer.address:
        raise RequestError("peer.address is not set, so there is nobody to initiate to")
    node.initiate()
    return {"initiated": host_port(node.config.peer.address, node.config.peer.port)}


def _move(node: Node, host: str) -> dict[str, Any]:
    try:
        return {"moved": node.roaming.move(host)}
    except ValueError as error:
        raise RequestError(str(error)) from error


def _each_ike_sa(node: Node, request: Request, act: Callable[[bytes], None], *, opened: bool = False) -> int:
    """Do it to the IKE SA with the given SPI of ours, or to each one; returns to how many.

    With `opened` only those count that we opened and that are up: the others are the peer's to authenticate.
    """
    known = [
        sa.spi_i if sa.is_initiator else sa.spi_r
        for sa in node.endpoint.sas()
        if sa.phase != "DELETING" and (not opened or (sa.opened and sa.phase == "ESTABLISHED"))
    ]
    words = "IKE SA that we opened has our SPI" if opened else "IKE SA has our SPI"
    return _each(known, request.arguments.get("ike_spi"), words, act)


def _each_child_sa(node: Node, request: Request, act: Callable[[bytes], None]) -> int:
    """Do it to the Child SA with the given inbound SPI, or to each one in use; returns to how many."""
    children = (child for sa in node.endpoint.sas() for child in sa.children)
    known = [child.inbound_spi for child in children if child.state == ChildState.INSTALLED]
    return _each(known, request.arguments.get("child_spi"), "Child SA has inbound SPI", act)


def _each(known: Sequence[str], chosen: str | None, words: str, act: Callable[[bytes], None]) -> int:
    if chosen is not None and chosen.lower() not in known:
        raise RequestError(f"no {words} {chosen[:40]!r}; there are {', '.join(known) or 'none'}")
    for spi in known if chosen is None else [chosen]:
        act(bytes.fromhex(spi))
    return len(known) if chosen is None else 1


#: What is told without anything being done.
_TOLD: Mapping[str, Callable[[Node], Mapping[str, Any]]] = {
    "status": status,
    "counters": counters,
    "health": lambda node: {"healthy": healthy(node)},
    "version": lambda node: {"version": VERSION, "profile": node.config.profile},
}
