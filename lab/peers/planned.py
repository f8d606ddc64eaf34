"""A strongSwan as a node of a lab: from the plan and the scenario's `config` to what it is configured with.

The defaults are those of the lab's own nodes: identities are the names of the nodes, selectors their inner
networks; the initiator starts by itself. The certificate is the one that the CA made for the node.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from lab.labels import Role
from lab.peers import strongswan
from lab.peers.identities import to_charon
from lab.peers.strongswan import Auth, Connection, Daemon
from lab.plan import NodePlan, Plan

#: Proposals where the scenario names none: the node's own.
IKE, ESP = ("aes256-sha256-modp2048",), ("aes256-sha256",)

Config = Mapping[str, Any]
Place = tuple[str | int, ...]
#: strongSwan's words are booleans in YAML.
_FRAGMENTATION = {"send": "yes", "accept": "accept", "none": "no"}
_DAEMON = frozenset(item.name for item in fields(Daemon))


@dataclass(frozen=True, slots=True)
class Files:
    """The texts of the two files, and whether certificate and key belong beside them."""

    strongswan: str
    swanctl: str
    credentials: bool


def files(plan: Plan, node: NodePlan) -> Files:
    """What the node reads when it starts. Raises ValueError."""
    peers = connections(plan, node)
    return Files(
        strongswan.strongswan_conf(daemon(node.config)),
        strongswan.swanctl_conf(peers),
        any(peer.certificate for peer in peers),
    )


def certificate(node: str) -> str:
    """The file of the node's certificate in x509/, and of its key in private/."""
    return f"{node}.pem"


def connections(plan: Plan, node: NodePlan) -> tuple[Connection, ...]:
    """One connection for each peer of the node. Raises ValueError."""
    return tuple(_connection(plan, node, plan.node(peer)) for peer in node.peers)


def _connection(plan: Plan, node: NodePlan, peer: NodePlan) -> Connection:
    config = node.config
    auth = Auth(config.get("auth", Auth.PUBKEY))
    initiates = node.role is Role.INITIATOR
    rekey = config.get("rekey", {})
    return Connection(
        name=peer.name,
        local_identity=config.get("identity", f"fqdn:{node.name}"),
        remote_identity=config.get("peer_identity", f"fqdn:{peer.name}"),
        local_ts=tuple(config.get("local_ts", [node.inner_network])),
        remote_ts=tuple(config.get("remote_ts", [peer.inner_network])),
        ike=tuple(config.get("ike", IKE)),
        esp=tuple(config.get("esp", ESP)),
        auth=auth,
        secret=config.get("secret", "").encode(),
        certificate="" if auth is Auth.PSK else certificate(node.name),
        remote_address=(plan.wire or peer).name if initiates else "",
        remote_port=config.get("peer_port", 500),
        start=config.get("start", initiates),
        fragmentation=_FRAGMENTATION[config.get("fragmentation", "send")],
        mobike=config.get("mobike", False),
        dpd=config.get("dpd", 0),
        rekey_ike=rekey.get("ike", 0),
        rekey_child=rekey.get("child", 0),
        reauth=rekey.get("reauth", 0),
        over=rekey.get("over"),
        pool=config.get("pool", ""),
        vips=tuple(config.get("vips", ())),
        childless=config.get("childless", "allow"),
        mode=config.get("mode", "tunnel"),
    )


def daemon(config: Config) -> Daemon:
    """The daemon's own settings; the schema has checked their names."""
    given = config.get("daemon", {})
    return Daemon(**{name: value for name, value in given.items() if name in _DAEMON})


def complaints(config: Config) -> Iterator[tuple[Place, str]]:
    """What no schema can say of a `config`: the place in it, and what is wrong."""
    for setting, needed in (("ike", strongswan.IKE), ("esp", strongswan.ESP)):
        for index, text in enumerate(config.get(setting, ())):
            if (problem := _problem(strongswan.check_proposal, text, needed)) is not None:
                yield (setting, index), problem
    for setting in ("identity", "peer_identity"):
        if setting in config and (problem := _problem(to_charon, config[setting])) is not None:
            yield (setting,), problem
    psk = config.get("auth") == Auth.PSK
    if psk and "secret" not in config:
        yield ("auth",), "psk needs a pre-shared key: add `secret: ...`"
    if not psk and "secret" in config:
        yield ("secret",), "is a pre-shared key, which nobody asks for: add `auth: psk`, or leave it out"


def _problem(check: Any, *values: Any) -> str | None:
    try:
        check(*values)
    except ValueError as error:
        return str(error)
    return None
