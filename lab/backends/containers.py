"""What containers of the lab are made of, as values: the same settings as in docker-compose.yml, which a
test compares.

    CA         no network, uid of the key files, all volumes
    node       NET_ADMIN for the TUN device, SETUID and SETGID to run IKE and ESP as two users, its own key,
    certificates

The compose file adds a health check, which compose needs to know when to start the initiator. Here it would
only cost: the lab reads the event stream, and `status` asks the control socket.

Certificates are in a volume that everybody mounts; each key in a volume of the CA and its node; the CA's key
in one that only the CA mounts.

    strongswan NET_ADMIN, NET_RAW and NET_BIND_SERVICE for charon, which stays root; a volume of its own

    wire       between the initiators and the responder, NET_RAW for floods with borrowed addresses
    sniffer    in the network namespace of a node, NET_RAW alone; no node of the lab

What they capture, and keys where the scenario wants them logged, is in one volume more.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lab.backends.base import CAPTURE
from lab.labels import BESIDE, KIND, Kind, Marks, Role
from lab.peers.strongswan import DIRECTORY
from lab.plan import PORTS, Config, NodePlan, Place, Plan, WirePlace, WirePlan, environment, nat_port

CA_NODE = "ca"
#: The user of the CA, who owns every key, and of the nodes once they have dropped their privileges.
OWNER = 10001
#: An engine switches IPv6 off in a container whose network has none; a TUN device may need it all the same.
IPV6 = {"net.ipv6.conf.all.disable_ipv6": "0"}
CERTIFICATES, CA_KEY, EVIDENCE = "pki-certs", "ca-key", "evidence"
#: Where EVIDENCE is mounted.
EVIDENCE_PLACE = "/evidence"
#: Where the wire node's control socket is.
WIRE_SOCKET = "/run/wire.sock"
#: More nodes than these are captured at the responders only.
MAX_SNIFFED = 4
TUN_DEVICE = "/dev/net/tun"
_MIB = 1 << 20
#: One value of mem_limit for both: RSA-4096 key generation and a node with 1,000 SAs stay below half of it.
MEMORY = 256 * _MIB
#: Logs of a lab that is left running for a week must not fill the disk.
LOG_OPTIONS = {"max-size": "10m", "max-file": "2"}


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume at a place."""

    volume: str
    target: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as `docker run` would be told."""

    node: str
    role: Role
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]
    tmpfs: Mapping[str, str]
    pids: int
    user: str = ""
    capabilities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    networked: bool = False
    #: The node whose network it shares.
    beside: str = ""
    #: Whose image it runs.
    kind: Kind = Kind.NODE
    sysctls: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def ca(plan: Plan, marks: Marks) -> Container:
    """The CA: runs once, needs no network and no capability."""
    keys = tuple(Mount(key_volume(node.name), f"/pki/keys/{node.name}", False) for node in plan.nodes)
    places = {
        "CA_CERTS_DIR": "/pki/certs",
        "CA_AUTHORITY_KEYS_DIR": "/pki/ca-key",
        "CA_KEYS_DIR": "/pki/keys/{name}",
    }
    return Container(
        node=CA_NODE,
        role=Role.CA,
        command=("python", "-m", "ca"),
        # Compose users read the CA's report, the lab parses it.
        environment=plan.ca.environment() | places | {"CA_OUTPUT": "json"},
        mounts=(Mount(CERTIFICATES, "/pki/certs", False), Mount(CA_KEY, "/pki/ca-key", False), *keys),
        tmpfs={"/tmp": "mode=1777,size=16m"},
        pids=32,
        # The owner of every key file. Without capabilities nobody can chown.
        user=f"{OWNER}:{OWNER}",
        labels=marks.labels(CA_NODE, Role.CA),
    )


def node(whole: Plan, plan: NodePlan, marks: Marks) -> Container:
    """A responder or an initiator."""
    between = whole.wire is not None and plan.role is Role.INITIATOR
    ports = PORTS[plan.profile]
    shared = nat_port(ports, plan.profile)
    place = Place(
        listen_address="::" if whole.scenario.outer == 6 else "0.0.0.0",
        port=ports.ike,
        peer_address=whole.wire.name if whole.wire and between else plan.peers[0],
        peer_port=ports.ike,
        ca="/pki/certs/ca-cert.pem",
        certificate=f"/pki/certs/{plan.name}-cert.pem",
        key=f"/pki/key/{plan.name}-key.pem",
        socket="/run/node.sock",
        tun=True,
        keylog=f"{EVIDENCE_PLACE}/{plan.name}.keys" if whole.keylog else "",
        nat_port=shared,
        peer_nat_port=shared,
    )
    mounts = [Mount(CERTIFICATES, "/pki/certs", True), Mount(key_volume(plan.name), "/pki/key", True)]
    config = plan.configuration(place)
    if whole.keylog:
        mounts.append(Mount(EVIDENCE, EVIDENCE_PLACE, False))
    return Container(
        node=plan.name,
        role=plan.role,
        command=("python", "-m", "node"),
        environment=environment(config),
        mounts=tuple(mounts),
        # runc before 1.2 gives a tmpfs the mode of the image's directory, whatever mode= says: the owner
        # must do.
        tmpfs={"/run": "uid=10001,gid=10001,mode=0755,size=4m", "/tmp": "mode=1777,size=16m"},
        pids=64,
        capabilities=("NET_ADMIN", "SETUID", "SETGID"),
        devices=(TUN_DEVICE,),
        networked=True,
        sysctls=IPV6 if _inner_ipv6(config) else {},
        labels=marks.labels(plan.name, plan.role),
    )


def _inner_ipv6(config: Config) -> bool:
    """Whether the node has, asks for, or reaches through the tunnel an IPv6 address."""
    child = config["child"]
    texts = [config["tun"].get("address", ""), *child.get("virtual_ip", ())]
    texts += child.get("pool") or child["remote_ts"]
    return any(text == "any6" or ":" in text for text in texts)


def strongswan(plan: NodePlan, marks: Marks) -> Container:
    """A strongSwan. Its configuration is put into its volume, see `backends/strongswan`."""
    own = plan.inner_address.partition("/")[0]
    inner = plan.config.get("inner", [f"{own}/32"])
    return Container(
        node=plan.name,
        role=plan.role,
        command=(),
        environment={"INNER_ADDRESSES": " ".join(inner)},
        # The key's volume is not read here, but gets its owner from this image (peers/strongswan/Dockerfile).
        mounts=(
            Mount(swanctl_volume(plan.name), DIRECTORY, False),
            Mount(key_volume(plan.name), "/pki/key", True),
        ),
        tmpfs={"/run": "mode=0755,size=4m", "/tmp": "mode=1777,size=16m"},
        pids=64,
        capabilities=("NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE"),
        devices=(TUN_DEVICE,),
        networked=True,
        kind=plan.kind,
        sysctls=IPV6,
        labels=marks.labels(plan.name, plan.role) | {KIND: plan.kind.value},
    )


def wire(plan: Plan, between: WirePlan, marks: Marks, subnet: str) -> Container:
    """The relay. Names are looked up when they are needed: addresses are the engine's to give."""
    where = WirePlace(
        listen_address="0.0.0.0",
        target_address=between.target,
        ports=PORTS[between.profile].all,
        nodes=dict.fromkeys(between.nodes),
        capture=f"{EVIDENCE_PLACE}/capture-wire.pcapng" if plan.capture else "",
        socket=WIRE_SOCKET,
        sources=subnet,
    )
    return Container(
        node=between.name,
        role=Role.WIRE,
        command=("python", "-m", "lab.wire", "relay"),
        environment={"WIRE_CONFIG": json.dumps(between.configuration(where)), "WIRE_SOCKET": WIRE_SOCKET},
        mounts=(Mount(EVIDENCE, EVIDENCE_PLACE, False),),
        tmpfs={"/run": "mode=0755,size=4m", "/tmp": "mode=1777,size=16m"},
        pids=64,
        capabilities=("NET_RAW",),
        networked=True,
        labels=marks.labels(between.name, Role.WIRE),
    )


def sniffer(name: str, capture: str, marks: Marks) -> Container:
    """What captures at a node, in the node's network and with the right to capture alone."""
    command = ("python", "-m", "lab.wire", "sniff", "--interface", "eth0")
    return Container(
        node=f"sniffer-{name}",
        role=Role.SNIFFER,
        command=(*command, "--out", f"{EVIDENCE_PLACE}/{capture}", "--vantage", f"eth0 of {name}"),
        environment={},
        mounts=(Mount(EVIDENCE, EVIDENCE_PLACE, False),),
        tmpfs={"/tmp": "mode=1777,size=16m"},
        pids=16,
        capabilities=("NET_RAW",),
        beside=name,
        labels=marks.labels(f"sniffer-{name}", Role.SNIFFER) | {BESIDE: name},
    )


def containers(plan: Plan, marks: Marks, subnet: str = "") -> tuple[Container, ...]:
    """Every container of the lab, the CA first, sniffers behind the nodes that they share a network with.

    `subnet` is that of the network: the wire borrows addresses of it for floods.
    """
    between = (wire(plan, plan.wire, marks, subnet),) if plan.wire else ()
    nodes = (
        node(plan, item, marks) if item.kind is Kind.NODE else strongswan(item, marks) for item in plan.nodes
    )
    return (ca(plan, marks), *between, *nodes, *_sniffers(plan, marks))


def _sniffers(plan: Plan, marks: Marks) -> Iterator[Container]:
    if not plan.capture:
        return
    few = len(plan.nodes) <= MAX_SNIFFED
    main = next(item.name for item in plan.nodes if item.role is Role.RESPONDER)
    for item in plan.nodes:
        if few or item.role is Role.RESPONDER:
            name = CAPTURE if item.name == main else f"capture-{item.name}.pcapng"
            yield sniffer(item.name, name, marks)


def volumes(plan: Plan) -> tuple[str, ...]:
    """Every volume of the lab, by its short name."""
    evidence = (EVIDENCE,) if plan.capture or plan.keylog or plan.wire else ()
    keys = (key_volume(item.name) for item in plan.nodes)
    strangers = (swanctl_volume(name) for name in plan.strangers)
    return (CERTIFICATES, CA_KEY, *keys, *strangers, *evidence)


def key_volume(name: str) -> str:
    """The volume of one node's key."""
    return f"{name}-key"


def swanctl_volume(name: str) -> str:
    """The volume of what a strongSwan reads."""
    return f"{name}-swanctl"


def full_name(lab: str, short: str) -> str:
    """The engine-wide name of a container or volume of a lab."""
    return f"ipseclab-{lab}-{short}"


def network_name(lab: str) -> str:
    """The engine-wide name of the lab's network."""
    return full_name(lab, "wire")
