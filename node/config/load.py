"""From the sources of settings to a checked `Config`.

Rules:

1. Each source is checked against the schema by itself, so that an error names the file and line, the
   variable or the option.
2. What no schema can say (the initiator needs a peer, the inner address lies in our own network) is
   checked on the result.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from typing import Any

from node.config.defaults import role_defaults
from node.config.environment import documents
from node.config.model import DEFAULT_PROFILE, MIN_FRAGMENT, Auth, Config, Role, Switch
from node.config.schema import FORMATS, Place, build, schema
from node.model.child import Mode
from node.model.selectors import is_host, network
from yamlschema import Document, DocumentError, Problem, check, read

Tree = dict[str, Any]

#: Octets around the demo's message, by IP version: inner IP and UDP header, and `ACK ` in front of it.
_AROUND_MESSAGE = {4: 32, 6: 52}


class ConfigError(Exception):
    """The configuration cannot be used; the text has one line for each problem, naming source, setting
    and remedy.
    """


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings come from: a file (or None), the environment, and the command line as (place, value,
    option).

    `fallback` holds defaults that the command line implies; they yield to every other source.
    """

    file: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    options: tuple[tuple[Place, Any, str], ...] = ()
    fallback: tuple[tuple[Place, Any], ...] = ()


def load(sources: Sources) -> Config:
    """Read, merge and check. Raises ConfigError with every problem of the first source that has any."""
    try:
        layers = [_from_file(sources.file), *_from_environment(sources.environment)]
        layers += [_at(place, value, option) for place, value, option in sources.options]
        role = _role(layers)
        tree = role_defaults(role, _profile(layers))
        if _virtual_ips(layers):
            tree["tun"]["address"] = ""
        for place, value in sources.fallback:
            _merge(tree, _nest(place, value))
        for layer in layers:
            _merge(tree, layer)
    except DocumentError as error:
        raise ConfigError(str(error)) from error
    config: Config = build(Config, tree)
    if wrong := list(_contradictions(config)):
        raise ConfigError("\n".join(wrong))
    return config


def _from_file(path: str | None) -> Tree:
    if path is None:
        return {}
    document = read(path)
    if document.value is None:
        return {}
    return _checked(document)


def _from_environment(environment: Mapping[str, str]) -> list[Tree]:
    found = documents(environment)
    return [_at(place, document.value, document.source) for place, document in found]


def _at(place: Place, value: Any, source: str) -> Tree:
    """One setting from outside a file, checked under its own name."""
    return _checked(Document(source, _nest(place, value)))


def _checked(document: Document) -> Tree:
    if problems := check(document, schema(), FORMATS):
        raise DocumentError(problems)
    tree: Tree = document.value
    return tree


def _nest(place: Place, value: Any) -> Tree:
    for step in reversed(place):
        value = {step: value}
    tree: Tree = value
    return tree


def _merge(tree: Tree, layer: Tree) -> None:
    for name, value in layer.items():
        if isinstance(value, dict):
            _merge(tree.setdefault(name, {}), value)
        else:
            tree[name] = value


def _role(layers: list[Tree]) -> Role:
    named = [layer["role"] for layer in layers if "role" in layer]
    if not named:
        detail = (
            "is not set: choose --mode=ipsec-responder, --mode=ipsec-initiator, NODE_ROLE or role in the file"
        )
        raise DocumentError([Problem("configuration", None, ("role",), detail)])
    return Role(named[-1])


def _profile(layers: list[Tree]) -> str:
    named = [layer["profile"] for layer in layers if "profile" in layer]
    profile: str = named[-1] if named else DEFAULT_PROFILE
    return profile


def _virtual_ips(layers: list[Tree]) -> list[str]:
    named = [layer["child"]["virtual_ip"] for layer in layers if "virtual_ip" in layer.get("child", {})]
    asked: list[str] = named[-1] if named else []
    return asked


def _contradictions(config: Config) -> list[str]:
    wrong = []
    if config.role is Role.INITIATOR and not config.peer.address:
        wrong.append("peer.address: is empty; an initiator needs the name or address of its responder")
    wrong += _of_virtual_ips(config) if config.child.virtual_ip else _of_address(config)
    wrong += _of_pool(config)
    wrong += _of_mode(config)
    room = config.tun.mtu - _AROUND_MESSAGE[max(_inner_versions(config))]
    if len(config.demo.message.encode("utf-8", "replace")) > room:
        detail = f"is longer than the {room} octets that tun.mtu ({config.tun.mtu}) leaves; shorten it"
        wrong.append(f"demo.message: {detail}")
    if 0 < config.ike.fragment_size < MIN_FRAGMENT:
        detail = f"every path carries {MIN_FRAGMENT} octets; set that or more, or 0 for no fragments"
        wrong.append(f"ike.fragment_size: {config.ike.fragment_size}: {detail}")
    wrong += _of_ports(config)
    wrong += _of_credentials(config)
    if config.ike.half_open.per_source > config.ike.half_open.total:
        wrong.append("ike.half_open.per_source: is greater than ike.half_open.total")
    return wrong


def _of_ports(config: Config) -> list[str]:
    if config.profile != "asn1":
        detail = "a peer listens at some port; set its own, or leave this one unset for 4500"
        return [] if config.peer.nat_port else [f"peer.nat_port: 0: {detail}"]
    given = {"listen": config.listen.nat_port, "peer": config.peer.nat_port}
    detail = "profile asn1 has one port for everything, {}.port; leave this one unset"
    return [f"{end}.nat_port: {port}: {detail.format(end)}" for end, port in given.items() if port]


def _inner_versions(config: Config) -> list[int]:
    """The IP versions of our inner addresses."""
    texts = config.child.virtual_ip or (config.tun.address,)
    return [6 if text == "any6" or ":" in text else 4 for text in texts]


def _of_address(config: Config) -> list[str]:
    if not config.tun.address:
        detail = "is empty, and child.virtual_ip asks nobody for one; set one such as 10.1.0.1"
        return [f"tun.address: {detail}"]
    wrong = []
    inner = ip_interface(config.tun.address).ip
    if not any(network(text).covers(inner) for text in config.child.local_ts):
        listed = ", ".join(config.child.local_ts)
        detail = f"is outside child.local_ts ({listed}), so nothing it sends could enter the tunnel"
        wrong.append(f"tun.address: {inner} {detail}")
    if not is_host(inner):
        wrong.append(f"tun.address: {inner} is not the address of one host; set one such as 10.1.0.1")
    return wrong


def _of_virtual_ips(config: Config) -> list[str]:
    wrong = []
    asked = config.child.virtual_ip
    versions = _inner_versions(config)
    if len(set(versions)) < len(versions):
        wrong.append(f"child.virtual_ip: {', '.join(asked)}: more than one of a family; leave one of each")
    if config.role is not Role.INITIATOR:
        wrong.append(
            "child.virtual_ip: only an initiator asks its peer for an address; set child.pool, or unset it"
        )
    if config.tun.address:
        detail = "child.virtual_ip asks the peer for our inner address; leave one of the two unset"
        wrong.append(f"tun.address: {config.tun.address}: {detail}")
    return wrong


def _of_pool(config: Config) -> list[str]:
    wrong = []
    prefixes = [ip_network(text) for text in config.child.pool]
    for index, prefix in enumerate(prefixes):
        if not is_host(prefix.network_address) or not is_host(prefix.broadcast_address):
            wrong.append(f"child.pool: {prefix} has no addresses of hosts; set one such as 10.9.0.0/24")
        for other in prefixes[:index]:
            if prefix.version == other.version and prefix.overlaps(other):
                wrong.append(f"child.pool: {prefix} overlaps {other}; leave one of them out")
    return wrong


def _of_mode(config: Config) -> list[str]:
    child = config.child
    wrong = []
    if child.tfc.multiple > config.tun.mtu:
        detail = f"is more than tun.mtu ({config.tun.mtu}), so nothing would be padded; set less, or 0"
        wrong.append(f"child.tfc.multiple: {child.tfc.multiple} {detail}")
    if child.mode is Mode.TUNNEL:
        if child.tunnel_fallback:
            wrong.append("child.tunnel_fallback: child.mode is tunnel; set transport, or leave it out")
        return wrong
    if config.tun.enabled is Switch.TRUE:
        detail = "a TUN device carries whole packets between networks; set tun.enabled to false"
        wrong.append(f"child.mode: transport: {detail}")
    if child.virtual_ip or child.pool:
        place = "child.virtual_ip" if child.virtual_ip else "child.pool"
        wrong.append(f"child.mode: transport: the hosts have their outer addresses; leave {place} out")
    if child.tfc.multiple and not child.tunnel_fallback:
        detail = "transport mode cannot pad, since nothing inside says where the payload ends; leave it out"
        wrong.append(f"child.tfc.multiple: {child.tfc.multiple}: {detail}")
    return wrong


def _of_credentials(config: Config) -> list[str]:
    ours, theirs = config.local.auth is Auth.PSK, config.peer.auth is Auth.PSK
    wrong = []
    if (ours or theirs) and not config.credentials.psk:
        place = "local.auth" if ours else "peer.auth"
        wrong.append(f"credentials.psk: is empty, but {place} is psk; name the file with the shared secret")
    if config.credentials.psk and not (ours or theirs):
        wrong.append("credentials.psk: is not used; set local.auth or peer.auth to psk, or leave it out")
    if ours and not config.local.identity:
        wrong.append("local.identity: is empty; with local.auth psk no certificate says who we are, set it")
    return wrong
