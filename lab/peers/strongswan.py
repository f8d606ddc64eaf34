"""What a strongSwan is configured with, as values, and the two files that say so. Pure.

`Daemon` becomes strongswan.conf, `Connection`s become swanctl.conf. Certificates and keys lie in the
directories where swanctl looks for them; a connection names the certificate that it shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lab.peers import settings
from lab.peers.algorithms import Kind, by_keyword
from lab.peers.identities import to_charon
from lab.peers.settings import Section, Value

#: Where swanctl looks, and where the lab puts both files and the directories of certificates and keys.
DIRECTORY = "/etc/swanctl"
#: kernel-libipsec is ESP in user space and must come before kernel-netlink, which has addresses and routes.
PLUGINS = (
    *("nonce", "pem", "pkcs1", "pkcs8", "x509", "pubkey", "constraints", "revocation", "random", "openssl"),
    *("kernel-libipsec", "kernel-netlink", "socket-default", "vici", "updown"),
)
#: What swanctl needs to read certificates and keys.
_READERS = ("pem", "pkcs1", "pkcs8", "x509", "pubkey", "openssl")
#: The name of every connection's first Child SA.
CHILD = "net"
#: The script by which charon reads swanctl.conf once it runs; it logs each line with this word before it.
LOADER = "load"


#: The kinds of algorithms without which a proposal is none.
IKE, ESP = (Kind.ENCR, Kind.KE), (Kind.ENCR,)


class Auth(StrEnum):
    """How both sides authenticate. PUBKEY: by whatever signature the certificates allow."""

    PUBKEY = "pubkey"
    RSA = "rsa"
    PSS = "pss"
    ECDSA = "ecdsa"
    ED25519 = "ed25519"
    PSK = "psk"


_PSS = "ike:rsa/pss-sha256-sha384-sha512"
#: What charon demands of its peer in IKE_AUTH, and in IKE_AUTH alone: `ike:` keeps it from certificates. The
#: hashes belong to it: without one named nothing is demanded.
_DEMANDED: Mapping[Auth, str] = {
    Auth.PUBKEY: "pubkey",
    Auth.RSA: "ike:rsa-sha256-sha384-sha512",
    Auth.PSS: _PSS,
    Auth.ECDSA: "ike:ecdsa-sha256-sha384-sha512",
    Auth.ED25519: "ike:ed25519-identity",
    Auth.PSK: "psk",
}
#: What it does itself: by its key, with the hash that goes with it; only PSS must be asked for.
_DONE: Mapping[Auth, str] = {Auth.PSS: _PSS, Auth.PSK: "psk"}


@dataclass(frozen=True, slots=True)
class Connection:
    """One peer of a strongSwan. Identities are in the lab's form; times in seconds, 0 for never.

    `remote_address` is an address or a name, empty for anybody; `certificate` a file in x509/, empty for
    none. `pool` is the network that virtual addresses are lent from, `vips` are those that are asked for
    (0.0.0.0 for any). `reauth`: when who opened the IKE SA authenticates anew; who did not asks for it by
    AUTH_LIFETIME (RFC 4478). `over`: how long before the end of an IKE SA that is due; left out: a tenth.
    """

    name: str
    local_identity: str
    remote_identity: str
    local_ts: tuple[str, ...]
    remote_ts: tuple[str, ...]
    ike: tuple[str, ...]
    esp: tuple[str, ...]
    auth: Auth = Auth.PUBKEY
    secret: bytes = field(default=b"", repr=False)
    certificate: str = ""
    local_address: str = ""
    remote_address: str = ""
    port: int = 500
    remote_port: int = 500
    start: bool = False
    fragmentation: str = "yes"
    mobike: bool = False
    dpd: float = 0
    rekey_ike: float = 0
    rekey_child: float = 0
    reauth: float = 0
    over: float | None = None
    pool: str = ""
    vips: tuple[str, ...] = ()
    childless: str = "allow"
    mode: str = "tunnel"

    def __post_init__(self) -> None:
        """Raises ValueError for what charon would refuse or misunderstand."""
        for text in self.ike:
            check_proposal(text, IKE)
        for text in self.esp:
            check_proposal(text, ESP)
        if not (self.ike and self.esp):
            example = "as aes256-sha256-modp2048 and aes256-sha256"
            raise ValueError(f"no proposal: name one for IKE and one for ESP, {example}")
        if (self.auth is Auth.PSK) != bool(self.secret):
            raise ValueError("a pre-shared key is there exactly with `auth: psk`: add it, or leave it out")


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon itself. Requests are sent again after `retransmit` seconds, then after `backoff` times as
    long, `tries` times; half-open IKE SAs live for `half_open` seconds.

    `cookie_threshold` counts half-open IKE SAs of one source (0: no cookies at all), `block_threshold` those
    from which on requests of that source are dropped. `fragment` are octets of an IP packet.
    """

    retransmit: float = 0.5
    backoff: float = 2.0
    tries: int = 4
    half_open: int = 30
    dos_protection: bool = True
    cookie_threshold: int = 3
    block_threshold: int = 5
    fragment: int = 1280
    signature_authentication: bool = True
    make_before_break: bool = False
    port: int = 500
    nat_port: int = 4500


def check_proposal(text: str, needed: Sequence[Kind]) -> None:
    """A proposal may name several algorithms of a kind. Raises ValueError that names what is wrong."""
    words = text.split("-")
    kinds = set()
    for word in words:
        additional = word[:2] == "ke" and word[2:3].isdecimal() and word[3:4] == "_"
        found = by_keyword(word[4:] if additional else word)
        if not additional:
            kinds.add(found.kind)
    missing = [kind for kind in needed if kind not in kinds]
    if missing:
        raise ValueError(f"{text!r} names no {missing[0]}: add one, as in aes256-sha256-modp2048")


def swanctl_conf(connections: Sequence[Connection]) -> str:
    """The text of swanctl.conf. Raises ValueError."""
    lent = [connection for connection in connections if connection.pool]
    shared = [connection for connection in connections if connection.auth is Auth.PSK]
    sections: dict[str, Value] = {
        "connections": {connection.name: _connection(connection) for connection in connections},
        "secrets": {f"ike-{connection.name}": _secret(connection) for connection in shared},
        "pools": {f"pool-{connection.name}": {"addrs": connection.pool} for connection in lent},
    }
    return settings.render({name: section for name, section in sections.items() if section})


def _connection(of: Connection) -> Section:
    return {
        "version": 2,
        "local_addrs": of.local_address or None,
        "remote_addrs": of.remote_address or "%any",
        "local_port": of.port,
        "remote_port": of.remote_port,
        "proposals": of.ike,
        "mobike": of.mobike,
        "fragmentation": of.fragmentation,
        "childless": of.childless,
        "send_cert": "always",
        "dpd_delay": _seconds(of.dpd),
        "rekey_time": _seconds(of.rekey_ike),
        "reauth_time": _seconds(of.reauth) if of.reauth else None,
        "over_time": None if of.over is None else _seconds(of.over),
        "rand_time": "0s",
        "pools": f"pool-{of.name}" if of.pool else None,
        "vips": of.vips or None,
        "local": {
            "auth": _DONE.get(of.auth, "pubkey"),
            "id": to_charon(of.local_identity),
            "certs": of.certificate or None,
        },
        "remote": {"auth": _DEMANDED[of.auth], "id": to_charon(of.remote_identity)},
        "children": {CHILD: _child(of)},
    }


def _child(of: Connection) -> Section:
    return {
        "local_ts": of.local_ts,
        "remote_ts": of.remote_ts,
        "esp_proposals": of.esp,
        "mode": of.mode,
        "start_action": "start" if of.start else "none",
        "dpd_action": "clear",
        "close_action": "none",
        "rekey_time": _seconds(of.rekey_child),
        "rand_time": "0s",
    }


def _secret(of: Connection) -> Section:
    ids = {"id-1": to_charon(of.local_identity), "id-2": to_charon(of.remote_identity)}
    return {**ids, "secret": f"0x{of.secret.hex()}"}


def _seconds(value: float) -> str:
    """Times of swanctl.conf are whole seconds."""
    return f"{round(value)}s"


def strongswan_conf(daemon: Daemon) -> str:
    """The text of strongswan.conf. Raises ValueError."""
    charon: dict[str, Value] = {
        "load_modular": False,
        "load": " ".join(PLUGINS),
        "install_virtual_ip": True,
        "port": daemon.port,
        "port_nat_t": daemon.nat_port,
        # A name that is not known yet is that of a node that is starting.
        "retry_initiate_interval": "1s",
        "retransmit_timeout": daemon.retransmit,
        "retransmit_base": daemon.backoff,
        "retransmit_tries": daemon.tries,
        "half_open_timeout": daemon.half_open,
        "dos_protection": daemon.dos_protection,
        "cookie_threshold_ip": daemon.cookie_threshold,
        "block_threshold": daemon.block_threshold,
        "fragment_size": daemon.fragment,
        "signature_authentication": daemon.signature_authentication,
        "make_before_break": daemon.make_before_break,
        "start-scripts": {LOADER: "swanctl --load-all --noprompt"},
        "filelog": {"stderr": _LOG},
    }
    # The daemon reads the section that is called as it is: one of the two.
    return settings.render(
        {"charon-systemd": charon, "charon": charon, "swanctl": {"load": " ".join(_READERS)}}
    )


#: One JSON object a line, which lab/peers/charon.py reads: SPIs are told by the manager of IKE SAs.
_LOG: Section = {
    "json": True,
    "time_format": "%Y-%m-%dT%H:%M:%S",
    "time_precision": "us",
    "ike_name": True,
    "flush_line": True,
    "default": 1,
    "mgr": 2,
    "ike": 2,
    "net": 2,
}
