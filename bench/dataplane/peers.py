"""The peers: how each is found on this machine, configured and started.

All have an inner MTU of 1400 octets and certificates (ECDSA P-256) of one CA, where they have certificates at
all. None writes packets to a log, none has a rekey within the run.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.dataplane import readings
from bench.dataplane.place import End, Failed, Place, Running, command
from bench.setup_rate import PLUGINS
from lab.peers import settings
from lab.peers.strongswan import CHILD, Connection, swanctl_conf
from lab.peers.strongswan import PLUGINS as LOADED
from node.config.environment import FOREIGN, PREFIX
from node.crypto import rows
from node.version import VERSION

PROJECT = Path(__file__).resolve().parents[2]
#: Octets of an inner packet, in every tunnel.
MTU = 1400
IKE = "aes256gcm16-prfsha256-x25519"
#: The newest wireguard-go need not be on PATH.
WIREGUARD_VARIABLE = "IPSECLAB_WIREGUARD_GO"


class Cipher(Enum):
    """What protects the packets: its keyword in a proposal, and as strongSwan tells of it."""

    GCM = ("aes256gcm16", "AES_GCM_16-256")
    CHACHA = ("chacha20poly1305", "CHACHA20_POLY1305")
    CBC = ("aes256-sha256", "AES_CBC-256/HMAC_SHA2_256_128")

    @property
    def proposal(self) -> str:
        """The keyword."""
        return self.value[0]

    @property
    def told(self) -> str:
        """The name that charon has for it."""
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer as it is named on the command line and in the table; `cipher` is None where there is none."""

    name: str
    title: str
    cipher: Cipher | None

    def missing(self) -> str:
        """What is not installed, and which package has it; empty where all is there."""
        return ""

    def version(self) -> str:
        """Which one it is."""
        return ""

    def start(self, place: Place, pki: Path) -> None:
        """Start both ends, with the certificates and keys in `pki`. Raises Failed."""

    def target(self, place: Place) -> str:
        """The address of the far end to measure."""
        return place.b.inner

    def check(self, place: Place) -> None:
        """Hold what was negotiated against what is to be measured. Raises Failed."""


@dataclass(frozen=True, slots=True)
class Veth(Peer):
    """No tunnel at all: the ceiling of the machine."""

    def version(self) -> str:
        """The kernel's."""
        return f"Linux {os.uname().release}"

    def target(self, place: Place) -> str:
        """The veth pair itself."""
        return place.b.outer


@dataclass(frozen=True, slots=True)
class Node(Peer):
    """Our node as users run it, out of a tree of this project."""

    tree: Path = PROJECT

    def version(self) -> str:
        """Version and revision of the tree, and whether it has compiled loops."""
        words = [VERSION]
        if shutil.which("git") is not None:
            argv = ("git", "-C", str(self.tree), "describe", "--always", "--dirty", "--exclude=*")
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            words += done.stdout.split()
        if (self.tree / "node" / "crypto" / rows.FILE.name).exists():
            words.append("with compiled loops")
        return " ".join(words)

    def start(self, place: Place, pki: Path) -> None:
        """The responder first: who finds nobody tries again half a second later."""
        for end in (place.b, place.a):
            self.begin(place, end, pki)

    def begin(self, place: Place, end: End, pki: Path) -> None:
        """One end, as responder (`b`) or initiator. Raises Failed."""
        role = "initiator" if end is place.a else "responder"
        path = end.directory / "node.yaml"
        path.write_text(yaml.safe_dump(self.config(role, end, place.other(end), pki)))
        argv = (sys.executable, "-m", "node", "--config", str(path), "--name", f"{self.name}-{end.name}")
        clean = ("env", *self.unset(), "-C", str(self.tree), *argv)
        running = place.start(end, "node", clean, {"PYTHONPATH": str(self.tree)})
        place.wait(partial(_listens, running), f"{role} listens")

    def unset(self) -> tuple[str, ...]:
        """What `env` is to forget: settings in the environment are for our own tree, others may not have
        them.
        """
        return () if self in OURS else tuple(word for name in settings_given() for word in ("-u", name))

    def config(self, role: str, end: End, far: End, pki: Path) -> dict[str, object]:
        """The settings of one node."""
        assert self.cipher is not None
        ports = {"port": 500, "nat_port": 4500}
        return {
            "role": role,
            "profile": "rfc7296",
            "listen": {"address": end.outer, **ports},
            "peer": {"address": far.outer, **ports, "identity": f"fqdn:{far.name}"},
            "local": {"identity": f"fqdn:{end.name}"},
            "credentials": {
                "ca": str(pki / "ca-cert.pem"),
                "certificate": str(pki / f"{end.name}-cert.pem"),
                "key": str(pki / f"{end.name}-key.pem"),
            },
            "ike": {"proposals": [IKE]},
            "child": {
                "proposals": [self.cipher.proposal],
                "local_ts": [f"{end.inner}/32"],
                "remote_ts": [f"{far.inner}/32"],
            },
            "tun": {"enabled": True, "address": f"{end.inner}/32", "mtu": MTU},
            "demo": {"message": "", "pings": 0},
            "run": {"user": ""},
        }


def settings_given() -> dict[str, str]:
    """The node's settings in our environment."""
    every = sorted(os.environ.items())
    return {name: text for name, text in every if name.startswith(PREFIX) and name not in FOREIGN}


def _listens(node: Running) -> bool:
    return '"udp_bound"' in node.log.read_text()


@dataclass(frozen=True, slots=True)
class StrongSwan(Peer):
    """charon with kernel-libipsec: ESP in user space, with a TUN device, in UDP."""

    def missing(self) -> str:
        """The daemon, its control program and its plugins."""
        wanted = {"charon-systemd": "charon-systemd", "swanctl": "strongswan-swanctl"}
        packages = [package for program, package in wanted.items() if shutil.which(program) is None]
        for plugin, package in (
            ("kernel-libipsec", "libcharon-extra-plugins"),
            ("openssl", "libstrongswan-standard-plugins"),
        ):
            file = f"libstrongswan-{plugin}.so"
            if not any(Path(folder, file).exists() for folder in PLUGINS):
                packages.append(package)
        return f"packages {' '.join(packages)}" if packages else ""

    def version(self) -> str:
        """strongSwan's."""
        return first_version(("swanctl", "--help"))

    def start(self, place: Place, pki: Path) -> None:
        """Both daemons."""
        for end in (place.b, place.a):
            self.begin(place, end, pki)

    def begin(self, place: Place, end: End, pki: Path) -> None:
        """One daemon with a /run of its own, and the configuration by vici; `a` initiates. Raises Failed."""
        directory = end.directory / "swanctl"
        for name in ("x509", "x509ca", "private"):
            (directory / name).mkdir(parents=True)
        shutil.copy(pki / "ca-cert.pem", directory / "x509ca")
        shutil.copy(pki / f"{end.name}-cert.pem", directory / "x509")
        shutil.copy(pki / f"{end.name}-key.pem", directory / "private")
        connection = self.connection(end, place.other(end))
        (directory / "swanctl.conf").write_text(swanctl_conf([connection]))
        (end.directory / "strongswan.conf").write_text(strongswan_conf(end.directory / "vici"))
        command(("ip", "-n", end.namespace, "addr", "add", f"{end.inner}/32", "dev", "lo"))
        alone = 'mount -t tmpfs tmpfs /run && exec "$@"'
        place.start(
            end,
            "charon",
            ("unshare", "--mount", "sh", "-c", alone, "sh", "charon-systemd"),
            {"STRONGSWAN_CONF": str(end.directory / "strongswan.conf")},
        )
        place.wait((end.directory / "vici").exists, f"charon at {end.name} listens")
        self.swanctl(place, end, "--load-all", "--noprompt")
        if end is place.a:
            self.swanctl(place, end, "--initiate", "--child", CHILD, "--timeout", "10")

    def check(self, place: Place) -> None:
        """One Child SA, with our algorithms."""
        self.check_end(place, place.a)

    def check_end(self, place: Place, end: End) -> None:
        """As `check`, by what the daemon at this end says."""
        assert self.cipher is not None
        told = readings.child_suite(self.swanctl(place, end, "--list-sas"))
        if told != self.cipher.told:
            raise Failed(f"{self.name}: the Child SA has {told}, not {self.cipher.told}")

    def connection(self, end: End, far: End) -> Connection:
        """What swanctl.conf says."""
        assert self.cipher is not None
        return Connection(
            name="bench",
            local_identity=f"fqdn:{end.name}",
            remote_identity=f"fqdn:{far.name}",
            local_ts=(f"{end.inner}/32",),
            remote_ts=(f"{far.inner}/32",),
            ike=(IKE,),
            esp=(self.cipher.proposal,),
            certificate=f"{end.name}-cert.pem",
            local_address=end.outer,
            remote_address=far.outer,
        )

    def swanctl(self, place: Place, end: End, *arguments: str) -> str:
        """Ask the daemon at this end."""
        environment = {
            "SWANCTL_DIR": str(end.directory / "swanctl"),
            "STRONGSWAN_CONF": str(end.directory / "strongswan.conf"),
        }
        uri = ("--uri", f"unix://{end.directory / 'vici'}")
        return place.run(end, ("swanctl", *arguments, *uri), environment=environment)


@dataclass(frozen=True, slots=True)
class Mixed(Peer):
    """Our node at one end, `a` or `b`, and charon at the other."""

    ours: str

    @property
    def node(self) -> Node:
        """Our end."""
        return Node(self.name, self.title, self.cipher)

    @property
    def charon(self) -> StrongSwan:
        """The other one."""
        return StrongSwan(self.name, self.title, self.cipher)

    def missing(self) -> str:
        """What charon needs."""
        return self.charon.missing()

    def version(self) -> str:
        """Of both."""
        return f"{self.node.version()}, {self.charon.version()}"

    def start(self, place: Place, pki: Path) -> None:
        """The responder, `b`, first."""
        for end in (place.b, place.a):
            (self.node if end.name == self.ours else self.charon).begin(place, end, pki)

    def check(self, place: Place) -> None:
        """As charon tells it."""
        self.charon.check_end(place, place.b if self.ours == "a" else place.a)


def strongswan_conf(vici: Path, more: settings.Section | None = None) -> str:
    """The daemon's own settings: what it needs, no more to log than what goes wrong, and `more`."""
    charon: settings.Section = {
        "load_modular": False,
        # Before 6.0 the key derivation is a plugin of its own.
        "load": " ".join(("kdf", *LOADED)),
        "plugins": {"vici": {"socket": f"unix://{vici}"}},
        "filelog": {"stderr": {"default": 0}},
        "journal": {"default": -1},
        "syslog": {"daemon": {"default": -1}},
        **(more or {}),
    }
    readers = {"load": "pem pkcs1 pkcs8 x509 pubkey openssl"}
    return settings.render({"charon-systemd": charon, "charon": charon, "swanctl": readers})


@dataclass(frozen=True, slots=True)
class WireGuardGo(Peer):
    """WireGuard in user space."""

    def program(self) -> str:
        """The one that was named, or that of PATH."""
        return os.environ.get(WIREGUARD_VARIABLE) or "wireguard-go"

    def missing(self) -> str:
        """The program."""
        if shutil.which(self.program()):
            return ""
        return f"package wireguard-go, or {WIREGUARD_VARIABLE}=/path/to/wireguard-go"

    def version(self) -> str:
        """Its own."""
        return first_version((self.program(), "--version"))

    def start(self, place: Place, pki: Path) -> None:
        """Both ends; their keys go over the sockets that wireguard-go makes in /run."""
        keys = {end.name: X25519PrivateKey.generate() for end in place.ends}
        for end in place.ends:
            device = f"wg{end.name}"
            environment = {"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "error"}
            place.start(end, "wireguard-go", (self.program(), device), environment)
            path = Path("/run/wireguard", f"{device}.sock")
            place.wait(path.exists, f"wireguard-go at {end.name} listens")
            far = place.other(end)
            peer = keys[far.name].public_key().public_bytes_raw()
            configure_wireguard(path, keys[end.name].private_bytes_raw(), peer, far)
            ip = ("ip", "-n", end.namespace)
            command((*ip, "addr", "add", f"{end.inner}/24", "dev", device))
            command((*ip, "link", "set", device, "mtu", str(MTU), "up"))


def configure_wireguard(path: Path, key: bytes, peer: bytes, far: End) -> None:
    """Say over the configuration socket (wireguard.com/xplatform) who we are and who the peer is."""
    lines = (
        "set=1",
        f"private_key={key.hex()}",
        "listen_port=51820",
        f"public_key={peer.hex()}",
        f"endpoint={far.outer}:51820",
        f"allowed_ip={far.inner}/32",
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(5)
        asked.connect(str(path))
        asked.sendall("\n".join((*lines, "", "")).encode())
        answer = asked.recv(4096).decode(errors="replace")
    if "errno=0\n" not in answer:
        raise Failed(f"wireguard-go at the other end of {far.name}: {answer.strip()}")


@dataclass(frozen=True, slots=True)
class OpenVpn(Peer):
    """OpenVPN over UDP, in user space: without its kernel module (DCO)."""

    def missing(self) -> str:
        """The program."""
        return "" if shutil.which("openvpn") else "package openvpn"

    def version(self) -> str:
        """Its own."""
        return first_version(("openvpn", "--version"))

    def start(self, place: Place, pki: Path) -> None:
        """TLS between two, without a server's pool; both at once."""
        for end in place.ends:
            far = place.other(end)
            words = f"--dev tun0 --dev-type tun --proto udp --port 1194 --tun-mtu {MTU} --mssfix 0 --verb 1"
            words += f" --local {end.outer} --remote {far.outer} --ifconfig {end.inner} {far.inner}"
            words += " --data-ciphers AES-256-GCM --cipher AES-256-GCM --reneg-sec 0"
            words += " --tls-client" if end is place.a else " --tls-server --dh none"
            files = ("--ca", str(pki / "ca-cert.pem"), "--cert", str(pki / f"{end.name}-cert.pem"))
            without = ("--disable-dco",) if self.knows_dco() else ()
            key = str(pki / f"{end.name}-key.pem")
            place.start(end, "openvpn", ("openvpn", *words.split(), *files, "--key", key, *without))

    def knows_dco(self) -> bool:
        """Whether it has the option: from 2.6 on."""
        done = subprocess.run(("openvpn", "--help"), capture_output=True, text=True, check=False)
        return "--disable-dco" in done.stdout


def first_version(argv: tuple[str, ...]) -> str:
    """The first version number that a program tells; it may call that a failure."""
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    found = re.search(r"(?<![\d.])\d+\.\d+[\w.-]*", done.stdout + done.stderr)
    return found[0] if found else "of an unknown version"


def nodes(label: str, title: str, tree: Path) -> tuple[Node, ...]:
    """Our node out of a tree, with each cipher."""
    names = {Cipher.GCM: "AES-256-GCM", Cipher.CHACHA: "ChaCha20-Poly1305", Cipher.CBC: "AES-256-CBC+HMAC"}
    return tuple(
        Node(f"{label}-{cipher.name.lower()}", f"{title}, {name}", cipher, tree)
        for cipher, name in names.items()
    )


OURS = nodes("node", "our node", PROJECT)
PEERS: tuple[Peer, ...] = (
    *OURS,
    StrongSwan("strongswan-gcm", "strongSwan libipsec, AES-256-GCM", Cipher.GCM),
    StrongSwan("strongswan-chacha", "strongSwan libipsec, ChaCha20-Poly1305", Cipher.CHACHA),
    StrongSwan("strongswan-cbc", "strongSwan libipsec, AES-256-CBC+HMAC", Cipher.CBC),
    Mixed("mixed-to", "our node to strongSwan, AES-256-GCM", Cipher.GCM, "a"),
    Mixed("mixed-from", "strongSwan to our node, AES-256-GCM", Cipher.GCM, "b"),
    WireGuardGo("wireguard-go", "wireguard-go", Cipher.CHACHA),
    OpenVpn("openvpn", "OpenVPN UDP, AES-256-GCM, no DCO", Cipher.GCM),
    Veth("veth", "bare veth", None),
)


def compared(peers: tuple[Peer, ...]) -> list[tuple[Peer, Peer]]:
    """Which of ours is held against which other: the same cipher, and AES-256-GCM against all but strongSwan
    with another one; our node with strongSwan against strongSwan alone.
    """
    ours = [peer for peer in peers if peer in OURS]
    pairs = [
        (our, other)
        for our in ours
        for other in peers
        if other not in ours
        and not isinstance(other, Mixed)
        and (
            other.cipher is our.cipher
            or (our.cipher is Cipher.GCM and not isinstance(other, StrongSwan | Node))
        )
    ]
    mixed = [peer for peer in peers if isinstance(peer, Mixed)]
    alone = [peer for peer in peers if isinstance(peer, StrongSwan)]
    return pairs + [(one, other) for one in mixed for other in alone if one.cipher is other.cipher]


def chosen(names: tuple[str, ...], trees: tuple[tuple[str, str], ...] = ()) -> tuple[Peer, ...]:
    """The peers of these names, or whose names begin so (`node`, `strongswan`); without names all of them.

    `trees` are further nodes: label and directory of another tree of this project, each with the ciphers that
    our own node has been chosen with. Raises ValueError for a name that there is none of.
    """
    every = {peer.name: peer for peer in PEERS}
    found: dict[str, Peer] = {}
    for name in names or tuple(every):
        several = {key: one for key, one in every.items() if key == name or key.startswith(f"{name}-")}
        if not several:
            raise ValueError(f"no peer {name}; there are {', '.join(every)}")
        found |= several
    ciphers = {peer.cipher for peer in found.values() if isinstance(peer, Node)}
    for label, tree in trees:
        further = nodes(label, f"node of {label}", Path(tree))
        found |= {one.name: one for one in further if one.cipher in ciphers}
    # In the order of the table, whatever the order of the names.
    return tuple(
        sorted(found.values(), key=lambda one: list(every).index(one.name) if one.name in every else 2)
    )
