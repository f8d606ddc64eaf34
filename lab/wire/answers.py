"""What a relay answers on its control socket: show, set, reset, rebind.

{"command": "set", "faults": [{"act": "drop", "match": "ESP", "times": 3}]}
{"ok": true, "faults": ["drop ESP, times 3"]}
{"ok": false, "error": "fault 1: act: unknown act 'drp' (did you mean drop?)"}
"""

from collections.abc import Callable, Mapping
from typing import Any

from lab.wire import faults
from lab.wire.acts import NoEffect
from lab.wire.problems import ConfigError, suggestion
from lab.wire.relay import Relay
from linetalk.answers import RequestError, read

#: Octets of a request line: MAX_FAULTS faults with every setting fit.
MAX_REQUEST = 1 << 16

#: Commands, and the argument that each may have.
COMMANDS: Mapping[str, frozenset[str]] = {
    "show": frozenset(),
    "set": frozenset({"faults"}),
    "reset": frozenset(),
    "rebind": frozenset({"node"}),
}


def handler(relay: Relay) -> Callable[[bytes], Mapping[str, Any]]:
    """Carries out request lines on a relay. Raises RequestError."""

    def handle(line: bytes) -> Mapping[str, Any]:
        request = read(line)
        if not isinstance(request, dict):
            raise RequestError("the request is no object")
        command = str(request.get("command"))
        if command not in COMMANDS:
            raise RequestError(f"unknown command {command[:40]!r}{suggestion(command, COMMANDS)}")
        for key in request:
            if key not in ("command", *COMMANDS[command]):
                raise RequestError(f"{command} takes no argument {key[:40]!r}")
        match command:
            case "set":
                return _set(relay, request.get("faults"))
            case "reset":
                relay.change((), "reset")
                return {"faults": []}
            case "rebind":
                return _rebind(relay, request.get("node"))
        return _show(relay)

    return handle


def _set(relay: Relay, values: object) -> dict[str, Any]:
    """One fault stands for a list of it."""
    try:
        found = faults.read_all([values] if isinstance(values, dict) else values, relay.config.names)
    except ConfigError as error:
        raise RequestError(str(error.below("faults"))) from None
    if why := relay.why_not(found):
        raise RequestError(why)
    relay.change(found, "set")
    return {"faults": [str(fault) for fault in found]}


def _rebind(relay: Relay, node: object) -> dict[str, Any]:
    wanted = [mapping for mapping in relay.nat if node is None or relay.node(mapping) == node]
    if not wanted:
        known = sorted({relay.node(mapping) for mapping in relay.nat})
        there = f"; there are those of {', '.join(known)}" if known else ""
        raise RequestError(f"no mapping of {'any initiator' if node is None else repr(node)}{there}")
    try:
        return {"rebound": [f"{relay.node(mapping)}: {relay.rebind_mapping(mapping)}" for mapping in wanted]}
    except NoEffect as error:
        raise RequestError(str(error)) from None


def _show(relay: Relay) -> dict[str, Any]:
    config, engine = relay.config, relay.engine
    return {
        "name": config.name,
        "profile": config.profile,
        "seed": config.seed,
        "target": {"name": config.target_name, "address": relay.nat.target or None},
        "faults": [
            {"fault": str(fault), "matched": tally.matched, "acted": tally.acted}
            for fault, tally in engine.tallies()
        ],
        "mappings": [
            {
                "node": relay.node(mapping),
                "source": str(mapping.initiator),
                "port": mapping.listener.port,
                "outside": str(mapping.outside),
            }
            for mapping in relay.nat
        ],
        "relayed": engine.relayed,
        "acted": engine.acted,
        "held": engine.held,
        "lost": relay.lost,
        "evicted": relay.nat.evicted,
        "errors": dict(relay.errors),
    }
