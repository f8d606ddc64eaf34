"""What a node can be told, as frozen values.

Rules:

1. This is the only list of settings. Schema, environment variables, help and `--print-config` are derived
   from it.
2. A field's metadata holds its JSON schema; the docstring of a setting is its `description`.
3. Defaults here hold for both roles; those that differ are in `node.config.defaults`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from node.esp.replay import MAX_WINDOW, MIN_WINDOW
from node.esp.tos import CopyDscp
from node.model.child import REPLAY_WINDOW, Mode

#: RFC 791 wants every link to carry 576 octets; a UDP datagram cannot carry more than 65,535.
MIN_MTU, MAX_MTU = 576, 65_000
#: Octets of an IP packet with a fragment of an IKE message in it. RFC 7383 2.5.1 goes down to 576, which
#: every IPv4 host takes: 32 fragments then still hold 14 kB. A jumbo frame has 9,000; without any fragments a
#: peer takes a message of 10,000.
MIN_FRAGMENT, MAX_FRAGMENT = 576, 9_000
#: A message must fit in one inner packet with its headers.
MAX_MESSAGE = 500
#: Pings of the demo: enough for a long look, few enough to end.
MAX_PINGS = 10_000
#: Bound on the packets of a Child SA: beyond it the sequence numbers are the bound (RFC 4303 3.3.3).
MAX_PACKETS = 2**32 - 1
#: Dummies that a Child SA sends in a second: enough for a steady stream of a call.
MAX_DUMMIES = 100
#: Bounds on the life of an SA: a year, and more octets than its sequence numbers allow.
MAX_LIFETIME, MAX_OCTETS = 31_536_000.0, 2**48
#: What AUTH_LIFETIME can say (RFC 4478 3); more requests at once than any IKE SA has.
MAX_AUTH_LIFETIME, MAX_REQUESTS = 2**32 - 1, 16
#: The founding profile.
DEFAULT_PROFILE = "asn1"
#: A name, a uid, uid:gid, or nothing.
_USER = r"^([a-z_][a-z0-9_-]*|[0-9]+(:[0-9]+)?|)$"
#: Octets of a Unix socket's path without the final zero (unix(7)).
MAX_SOCKET_PATH = 107


class Role(StrEnum):
    """Who starts: the initiator opens the IKE SA and runs the demo. An endpoint of either role answers."""

    RESPONDER = "responder"
    INITIATOR = "initiator"


class Auth(StrEnum):
    """How a party proves who it is (RFC 7296 2.15)."""

    CERTIFICATE = "certificate"
    PSK = "psk"


class Switch(StrEnum):
    """On, off, or on where it works."""

    AUTO = "auto"
    TRUE = "true"
    FALSE = "false"


def _setting(default: Any, description: str, **schema: Any) -> Any:
    metadata = {"schema": {"description": description, **schema}}
    return field(default=default, metadata=metadata)


def _port(default: int, description: str, least: int = 1) -> Any:
    return _setting(default, description, type="integer", minimum=least, maximum=65_535)


def _text(default: str, description: str, **schema: Any) -> Any:
    return _setting(default, description, type="string", **schema)


def _seconds(default: float, description: str, maximum: float = 3600.0) -> Any:
    return _setting(default, description, type="number", exclusiveMinimum=0, maximum=maximum)


def _count(default: int, description: str, minimum: int, maximum: int) -> Any:
    return _setting(default, description, type="integer", minimum=minimum, maximum=maximum)


def _list(default: tuple[str, ...], description: str, form: str, least: int = 1) -> Any:
    items = {"type": "string", "format": form}
    return _setting(default, description, type="array", items=items, minItems=least, maxItems=32)


@dataclass(frozen=True, slots=True)
class Listen:
    """Where datagrams arrive."""

    address: str = _text("127.0.0.1", "address to bind; 0.0.0.0 for every one", format="address")
    port: int = _port(
        0,
        "UDP port to bind; 0 for an ephemeral one (default of a responder: 8000, with profile rfc7296 500, "
        "where IKE begins)",
        least=0,
    )
    nat_port: int = _port(
        0,
        "rfc7296: UDP port that IKE, behind the non-ESP marker, shares with ESP; 0 for an ephemeral one; "
        "equal to port: there is only this one (default of a responder: 4500)",
        least=0,
    )


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end."""

    address: str = _text("", "name or address of the peer; the initiator needs it", maxLength=253)
    port: int = _port(8000, "UDP port of the peer (default with profile rfc7296: 500)")
    nat_port: int = _port(
        0,
        "rfc7296: UDP port of the peer that ESP shares with IKE behind the non-ESP marker (default: 4500); "
        "equal to port: IKE begins there",
        least=0,
    )
    identity: tuple[str, ...] = _setting(
        (),
        "identities accepted from the peer, as fqdn:responder or dn:CN=ipsec-responder",
        oneOf=[
            {"type": "string", "format": "identity"},
            {"type": "array", "items": {"type": "string", "format": "identity"}, "minItems": 1},
        ],
    )
    auth: Auth = _setting(  # noqa: RUF009
        Auth.CERTIFICATE,
        "how the peer proves its identity: certificate, or psk (the secret of credentials.psk)",
        enum=[auth.value for auth in Auth],
    )


@dataclass(frozen=True, slots=True)
class Local:
    """Who we are."""

    identity: str = _text(
        "", "our identity (default: taken from the certificate)", format="identity-or-empty"
    )
    auth: Auth = _setting(  # noqa: RUF009
        Auth.CERTIFICATE,
        "how we prove our identity: certificate, or psk (the secret of credentials.psk)",
        enum=[auth.value for auth in Auth],
    )
    rsa_pss: bool = _setting(
        False, "sign by RSASSA-PSS instead of PKCS#1 v1.5; needs an RSA key", type="boolean"
    )
    sha1: bool = _setting(
        False,
        "accept and make signatures of method 1, RSA with SHA-1, with peers that know nothing better: "
        "whoever can compute collisions of SHA-1 can stand in the middle",
        type="boolean",
    )


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files, relative to the working directory."""

    ca: str = _text("ipsec/certs/ca-cert.pem", "PEM file with the trusted CA certificates", minLength=1)
    certificate: str = _text("", "PEM file with our certificate, intermediate CAs behind it", minLength=1)
    key: str = _text("", "PEM file with our PKCS#8 private key, mode 0600", minLength=1)
    psk: str = _text(
        "",
        "file with the secret that we share with the peer, mode 0600: one line of text, or 0x and "
        "hexadecimal, or 0s and base64; 16 octets at least, random ones; empty for none",
    )
    allow_mismatch: bool = _setting(
        False,
        "start although the key is not that of the certificate; its peer must refuse it (for lessons)",
        type="boolean",
    )


@dataclass(frozen=True, slots=True)
class Retransmit:
    """When a request without an answer is sent again (RFC 7296 2.4)."""

    timeout: float = _seconds(0.5, "seconds before the first repetition")
    factor: float = _setting(1.6, "each wait is this many times longer", type="number", minimum=1, maximum=10)
    cap: float = _seconds(30.0, "longest wait in seconds")
    tries: int = _count(13, "sendings before giving up", 1, 100)


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """Bounds on IKE SAs that are not authenticated yet."""

    total: int = _count(100, "half-open IKE SAs in all", 1, 100_000)
    per_source: int = _count(10, "half-open IKE SAs of one source address", 1, 100_000)
    lifetime: float = _seconds(30.0, "seconds before a half-open IKE SA is dropped")
    cookie_threshold: int = _count(
        30, "half-open IKE SAs that make us ask for cookies, total at the latest; 0: always", 0, 100_000
    )


def _share(default: float, description: str) -> Any:
    return _setting(default, description, type="number", minimum=0, maximum=1)


def _rekey(default: float) -> Any:
    return _setting(
        default,
        "seconds after which it is replaced; 0: never, whatever it has sent",
        type="number",
        minimum=0,
        maximum=MAX_LIFETIME,
    )


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When an IKE SA is replaced by a new one, and when it ends (RFC 7296 2.8)."""

    rekey: float = _rekey(14_400.0)
    jitter: float = _share(
        0.1, "share of that by which it happens earlier, at random, so that both ends do not do it at once"
    )
    margin: float = _share(0.1, "share of that after which it ends, where it could not be replaced; 0: never")


@dataclass(frozen=True, slots=True)
class IkeLifetime(Lifetime):
    """When an IKE SA is replaced: by new keys, and by a new authentication besides."""

    reauth: float = _setting(
        0.0,
        "seconds after which one that we opened is authenticated anew: a whole new IKE SA with its Child SA, "
        "then the old one is deleted (RFC 7296 2.8.3); jitter and margin are shares of this, too; 0: never",
        type="number",
        minimum=0,
        maximum=MAX_LIFETIME,
    )


@dataclass(frozen=True, slots=True)
class ChildLifetime(Lifetime):
    """When a Child SA is replaced: by time, and by what it has sent."""

    rekey: float = _rekey(3600.0)
    octets: int = _count(0, "octets of inner packets that it sends before that; 0: any number", 0, MAX_OCTETS)
    packets: int = _count(0, "packets that it sends before that; 0: any number", 0, MAX_PACKETS)


@dataclass(frozen=True, slots=True)
class Liveness:
    """Asking a silent peer whether it is still there (RFC 7296 2.4)."""

    interval: float = _setting(
        0.0,
        "seconds without anything authentic from the peer, IKE or ESP, after which it is asked whether it is "
        "there; its IKE SA ends where no answer comes; 0: never",
        type="number",
        minimum=0,
        maximum=86_400,
    )


@dataclass(frozen=True, slots=True)
class Ike:
    """The IKE SA."""

    proposals: tuple[str, ...] = _list(
        ("aes256-sha256-modp2048",), "cipher suites of the IKE SA, the best first", "ike-proposal"
    )
    fragment_size: int = _count(
        1280,
        "rfc7296: octets of an IP packet above which an IKE message goes in fragments, where the peer takes "
        "them (RFC 7383); 0: fragments are neither sent nor taken. The profile asn1 has none",
        0,
        MAX_FRAGMENT,
    )
    initial_contact: bool = _setting(
        True,
        "tell a peer that this is our only IKE SA with it, so that it closes older ones (INITIAL_CONTACT); "
        "false where several nodes have our identity",
        type="boolean",
    )
    keepalive: float = _setting(
        20.0,
        "seconds without a datagram to the peer after which one octet keeps our mapping in a NAT alive, "
        "where we are behind one (RFC 3948 4); 0: never",
        type="number",
        minimum=0,
        maximum=3600,
    )
    mobike: bool = _setting(
        True,
        "let outer addresses change while IKE SA and Child SA stay (MOBIKE, RFC 4555), where the peer does, "
        "too: who opened the IKE SA decides, and moves by itself where it listens on every address",
        type="boolean",
    )
    additional_addresses: tuple[str, ...] = _list(
        (),
        "further outer addresses of ours that a peer which speaks MOBIKE is told, the first 16",
        "address",
        0,
    )
    lifetime: IkeLifetime = field(default_factory=IkeLifetime)
    auth_lifetime: int = _count(
        0,
        "seconds within which a peer that opened the IKE SA has to authenticate anew: it is told "
        "(AUTH_LIFETIME, RFC 4478), and its IKE SA ends where it does not; 0: never",
        0,
        MAX_AUTH_LIFETIME,
    )
    window: int = _count(
        1,
        "requests that we accept at once, in any order, and send at once where the peer accepts as many "
        "(SET_WINDOW_SIZE, RFC 7296 2.3); one answer is kept for each",
        1,
        MAX_REQUESTS,
    )
    retransmit: Retransmit = field(default_factory=Retransmit)
    liveness: Liveness = field(default_factory=Liveness)
    half_open: HalfOpen = field(default_factory=HalfOpen)


@dataclass(frozen=True, slots=True)
class Tfc:
    """Traffic flow confidentiality (RFC 4303 2.6, 2.7): what we do about sizes and times of ESP packets."""

    multiple: int = _count(
        0,
        "tunnel mode: octets that the length of an inner packet becomes a multiple of, up to tun.mtu, where "
        "the peer takes that; 0: packets show their length",
        0,
        MAX_MTU,
    )
    dummies: int = _count(
        0,
        "dummies that each Child SA sends in a second, whatever else it sends",
        0,
        MAX_DUMMIES,
    )


@dataclass(frozen=True, slots=True)
class Child:
    """The Child SA."""

    proposals: tuple[str, ...] = _list(
        ("aes256-sha256",), "cipher suites of the Child SA, the best first", "esp-proposal"
    )
    local_ts: tuple[str, ...] = _list((), "our inner networks", "network")
    remote_ts: tuple[str, ...] = _list(
        (), "the peer's inner networks; those of child.pool take their place", "network"
    )
    pool: tuple[str, ...] = _list(
        (),
        "prefixes of inner addresses that peers must ask us for, such as 10.9.0.0/24; each gets one of a "
        "family and has no other",
        "network",
        0,
    )
    virtual_ip: tuple[str, ...] = _list(
        (),
        "inner addresses that we ask the peer for when we initiate, at most one of each family: any4, any6, "
        "or one that we would like; they take the place of tun.address and child.local_ts; empty: none",
        "virtual-ip",
        0,
    )
    replay_window: int = _count(REPLAY_WINDOW, "packets of the anti-replay window", MIN_WINDOW, MAX_WINDOW)
    max_packets: int = _count(
        0,
        "packets that a Child SA may send before it stops for good; 0: all its sequence numbers",
        0,
        MAX_PACKETS,
    )
    mode: Mode = _setting(  # noqa: RUF009
        Mode.TUNNEL,
        "tunnel, or transport: between the two nodes themselves, at their outer addresses (RFC 4301 3.2), "
        "which take the place of child.local_ts and child.remote_ts; needs tun.enabled false or auto",
        enum=[mode.value for mode in Mode],
    )
    tunnel_fallback: bool = _setting(
        False,
        "with child.mode transport: tunnel mode between the same addresses where the peer does not agree",
        type="boolean",
    )
    tfc: Tfc = field(default_factory=Tfc)
    copy_dscp: CopyDscp = _setting(  # noqa: RUF009
        CopyDscp.OUT,
        "copy DSCP from the inner to the outer header (out), from the outer to the inner one (in), both, or "
        "none (RFC 4301 5.1.2); ECN is always handed on (RFC 6040)",
        enum=[c.value for c in CopyDscp],
    )
    lifetime: ChildLifetime = field(default_factory=ChildLifetime)


@dataclass(frozen=True, slots=True)
class Tun:
    """The inner side: a TUN device, or the endpoint in user space."""

    enabled: Switch = _setting(  # noqa: RUF009
        Switch.AUTO, "use a TUN device: true, false, or auto", enum=["auto", True, False]
    )
    name: str = _text("ipsec0", "name of the TUN device", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$")
    address: str = _text(
        "",
        "our inner address, as 10.1.0.1 or 10.1.0.1/24; empty, or left out, where child.virtual_ip asks the "
        "peer for one",
        format="interface-or-empty",
    )
    mtu: int = _count(1400, "octets of an inner packet", MIN_MTU, MAX_MTU)


@dataclass(frozen=True, slots=True)
class Esp:
    """The data path: in a process of its own, which has the TUN device and the keys of Child SAs alone."""

    process: Switch = _setting(  # noqa: RUF009
        Switch.AUTO,
        "a process of its own for ESP: true, false, or auto (wherever there is a TUN device and the kernel "
        "can share a UDP port between two processes)",
        enum=["auto", True, False],
    )
    user: str = _text(
        "auto",
        "user of that process, as run.user; auto for the user ipsec-esp where there is one, else that of "
        "run.user",
        pattern=_USER,
    )


@dataclass(frozen=True, slots=True)
class Demo:
    """What the initiator does with the tunnel once it is up."""

    message: str = _text("Hello from IPSec Initiator!", "text to send; empty for none", maxLength=MAX_MESSAGE)
    pings: int = _count(10, "ICMP echo requests to send; 0 for none", 0, MAX_PINGS)
    interval: float = _seconds(0.02, "seconds between them", 60.0)
    port: int = _port(7000, "inner UDP port of the message")
    target: str = _text(
        "", "inner address of the peer (default: the first of its selectors)", format="address-or-empty"
    )


@dataclass(frozen=True, slots=True)
class Control:
    """The control socket."""

    socket: str = _text("", "path of the Unix socket; empty for none", maxLength=MAX_SOCKET_PATH)


@dataclass(frozen=True, slots=True)
class Keylog:
    """The key log, for the lab and for lessons: whoever can read it can read, and forge, all traffic."""

    file: str = _text("", "file that gets the keys of every SA as JSON lines, mode 0600; empty for none")


@dataclass(frozen=True, slots=True)
class Run:
    """The process."""

    user: str = _text(
        "auto",
        "user to become when started as root: a name, a uid, uid:gid; "
        "auto for the user ipsec where there is one, empty to stay",
        pattern=_USER,
    )
    once: bool = _setting(False, "initiator: exit after the demo, 0 or 1", type="boolean")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration of one node."""

    name: str = _text(
        "", "name of this node in its events (default: the role)", pattern=r"^[A-Za-z0-9._-]{1,63}$"
    )
    role: Role = _setting(  # noqa: RUF009
        Role.RESPONDER, "responder or initiator", enum=[r.value for r in Role]
    )
    profile: str = _setting(
        DEFAULT_PROFILE,
        "wire profile: asn1 (DER, the default) or rfc7296 (the binary encoding of RFC 7296, with the non-ESP "
        "marker of RFC 3948); both ends need the same",
        enum=["asn1", "rfc7296"],
    )
    listen: Listen = field(default_factory=Listen)
    peer: Peer = field(default_factory=Peer)
    local: Local = field(default_factory=Local)
    credentials: Credentials = field(default_factory=Credentials)
    ike: Ike = field(default_factory=Ike)
    child: Child = field(default_factory=Child)
    tun: Tun = field(default_factory=Tun)
    esp: Esp = field(default_factory=Esp)
    demo: Demo = field(default_factory=Demo)
    control: Control = field(default_factory=Control)
    keylog: Keylog = field(default_factory=Keylog)
    run: Run = field(default_factory=Run)
