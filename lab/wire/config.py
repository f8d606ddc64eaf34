"""The configuration of a relay: JSON from WIRE_CONFIG or a file, strictly read.

    {"name": "wire", "seed": 1, "profile": "asn1", "listen": {"address": "0.0.0.0"}, "ports": [8000],
     "target": {"name": "responder", "address": "172.28.0.2"}, "nodes": {"initiator": "172.28.0.3"},
     "faults": [], "capture": "", "control": "/run/wire.sock", "flood": {"sources": "172.28.0.0/16"}}

Only `target` must be there. An address of a node that is null is looked up by its name, and so is a target's
that is no literal. `flood.sources` are the addresses that a flood may come from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from lab.wire import faults
from lab.wire.faults import Fault
from lab.wire.problems import ConfigError, suggestion
from lab.wire.profiles import PROFILES

Network = IPv4Network | IPv6Network

_DEFAULTS: Mapping[str, Any] = {
    "name": "wire",
    "seed": 1,
    "profile": "asn1",
    "listen": {},
    "ports": [8000],
    "target": None,
    "nodes": {},
    "faults": [],
    "capture": "",
    "control": "",
    "flood": {},
}
_MAX_PORTS = 16
_MAX_NODES = 1024
#: As in the schema of scenarios.
MAX_SEED = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration. `nodes` are initiators: literal addresses, None to look the name up."""

    name: str
    seed: int
    profile: str
    listen: str
    ports: tuple[int, ...]
    target_name: str
    target_address: str
    nodes: Mapping[str, str | None]
    faults: tuple[Fault, ...]
    capture: str
    control: str
    sources: Network | None

    @property
    def names(self) -> frozenset[str]:
        """Names that a fault may use."""
        return frozenset({self.target_name, *self.nodes})

    @property
    def version(self) -> int:
        """4 or 6: every address of a relay is of one family."""
        return ip_address(self.listen).version


def parse(text: str) -> Config:
    """Read JSON. Raises ConfigError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError((), f"no JSON: {error}") from None
    return read(document)


def read(document: object) -> Config:
    """Read a decoded document. Raises ConfigError."""
    given = _mapping(document, (), frozenset(_DEFAULTS))
    value = {**_DEFAULTS, **given}
    listen = _listen(value["listen"])
    version = ip_address(listen).version
    name, address = _target(value["target"], version)
    nodes = _nodes(value["nodes"], version)
    if name in nodes:
        raise ConfigError(("nodes", name), "is the target, which is no initiator")
    try:
        read_faults = faults.read_all(value["faults"], {name, *nodes})
    except ConfigError as error:
        raise error.below("faults") from None
    return Config(
        _text(value["name"], ("name",)),
        _whole(value["seed"], ("seed",), 0, MAX_SEED),
        _one_of(value["profile"], ("profile",), tuple(PROFILES)),
        listen,
        _ports(value["ports"]),
        name,
        address,
        nodes,
        read_faults,
        _text(value["capture"], ("capture",), empty=True),
        _text(value["control"], ("control",), empty=True),
        _sources(value["flood"], version),
    )


def _mapping(value: object, path: tuple[str, ...], known: frozenset[str] | None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(path, f"{value!r:.80} is no object")
    for key in value:
        if known is not None and key not in known:
            raise ConfigError((*path, key), f"unknown key{suggestion(key, sorted(known))}")
    return value


def _text(value: object, path: tuple[str, ...], *, empty: bool = False) -> str:
    if not isinstance(value, str) or "\0" in value or not (value or empty):
        raise ConfigError(
            path, f"{value!r:.80} is no {'text' if empty else 'text of at least one character'}"
        )
    return value


def _whole(value: object, path: tuple[str | int, ...], low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(path, f"{value!r:.80} is not a whole number from {low} to {high}")
    return value


def _one_of(value: object, path: tuple[str, ...], allowed: tuple[str, ...]) -> str:
    word = _text(value, path)
    if word not in allowed:
        raise ConfigError(path, f"{word!r:.80} is unknown{suggestion(word, allowed)}")
    return word


def _address(value: object, path: tuple[str, ...], version: int | None = None) -> str:
    """A literal address in its usual spelling."""
    text = _text(value, path)
    try:
        address = ip_address(text)
    except ValueError:
        raise ConfigError(path, f"{text!r:.80} is no IP address") from None
    if version not in (None, address.version):
        raise ConfigError(path, f"{text} is no IPv{version} address, as `listen.address` is")
    return str(address)


def _listen(value: object) -> str:
    given = _mapping(value, ("listen",), frozenset({"address"}))
    return _address(given.get("address", "0.0.0.0"), ("listen", "address"))


def _target(value: object, version: int) -> tuple[str, str]:
    if value is None:
        raise ConfigError(("target",), "is missing: the name and the address of the responder")
    given = _mapping(value, ("target",), frozenset({"name", "address"}))
    address = _text(given.get("address"), ("target", "address"))
    if is_literal(address):
        address = _address(address, ("target", "address"), version)
    return _text(given.get("name", "responder"), ("target", "name")), address


def is_literal(address: str) -> bool:
    """Whether it is an IP address, not a name."""
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def _ports(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_PORTS:
        raise ConfigError(("ports",), f"{value!r:.80} is no list of 1 to {_MAX_PORTS} ports")
    found = tuple(_whole(port, ("ports", index), 1, 65_535) for index, port in enumerate(value))
    if len(set(found)) < len(found):
        raise ConfigError(("ports",), "one of them stands there twice")
    return found


def _nodes(value: object, version: int) -> dict[str, str | None]:
    given = _mapping(value, ("nodes",), None)
    if len(given) > _MAX_NODES:
        raise ConfigError(("nodes",), f"{len(given)} nodes; at most {_MAX_NODES} are allowed")
    return {
        name: None if address is None else _address(address, ("nodes", name), version)
        for name, address in given.items()
    }


def _sources(value: object, version: int) -> Network | None:
    given = _mapping(value, ("flood",), frozenset({"sources"}))
    if given.get("sources") is None:
        return None
    text = _text(given["sources"], ("flood", "sources"))
    try:
        network = ip_network(text)
    except ValueError as error:
        raise ConfigError(("flood", "sources"), f"{text!r:.80} is no network: {error}") from None
    if network.version != version:
        raise ConfigError(("flood", "sources"), f"{text} is no IPv{version} network, as `listen.address` is")
    return network
