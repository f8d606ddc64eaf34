"""Certificates made once, and nodes as processes."""

import datetime
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
#: Seconds that anything a node does may take on a loaded machine; nothing waits for it to pass.
PATIENCE = 30.0


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def make_credentials(
    directory: Path, names: Iterable[str] = ("initiator", "responder"), *, large: bool = False
) -> None:
    """The files of the founding document, with cheap keys: a CA, and each name's certificate and key.

    `large`: RSA keys of 4,096 bits, for messages that are cut into fragments.
    """
    directory.mkdir(parents=True)
    authority = ec.generate_private_key(ec.SECP256R1())
    (directory / "ca-cert.pem").write_bytes(
        _certificate("MyRootCA", "MyRootCA", authority, authority, ca=True)
    )
    for name in names:
        key = rsa.generate_private_key(65_537, 4_096) if large else ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(f"ipsec-{name}", "MyRootCA", key, authority, ca=False)
        (directory / f"{name}-cert.pem").write_bytes(certificate)
        octets = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / f"{name}-key.pem").write_bytes(octets)
        (directory / f"{name}-key.pem").chmod(0o600)


@pytest.fixture(scope="session")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `ipsec/certs/` in it."""
    root = tmp_path_factory.mktemp("credentials")
    make_credentials(root / "ipsec" / "certs")
    return root


class Process:
    """A node as a process; its events are collected while it runs."""

    def __init__(self, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("NODE_")}
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**clean, "PYTHONPATH": str(ROOT), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.events: list[dict[str, Any]] = []
        self.errors = ""
        self._changed = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read_events),
            threading.Thread(target=self._read_errors),
        ]
        for reader in self._readers:
            reader.start()

    def _read_events(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors += line.decode()

    def wait_for(self, name: str, **fields: object) -> dict[str, Any]:
        """The first event of this name with these fields.

        Fails with all that was seen where it does not come.
        """
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while True:
                for event in self.events:
                    if event["event"] == name and fields.items() <= event.items():
                        return event
                alive = self._readers[0].is_alive()
                left = deadline - time.monotonic()
                if left <= 0 or not alive:
                    seen = "\n".join(map(json.dumps, self.events))
                    pytest.fail(f"no {name} {fields}; seen:\n{seen}\nstderr:\n{self.errors}")
                self._changed.wait(min(left, 1.0))

    def wait_for_count(self, name: str, count: int) -> None:
        """Wait until so many events of this name were told. Fails where they do not come."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while sum(event["event"] == name for event in self.events) < count:
                left = deadline - time.monotonic()
                if left <= 0 or not self._readers[0].is_alive():
                    pytest.fail(
                        f"not {count} x {name}; seen: {[e['event'] for e in self.events]}\n{self.errors}"
                    )
                self._changed.wait(min(left, 1.0))

    def names(self) -> list[str]:
        """The names of all events so far."""
        with self._changed:
            return [event["event"] for event in self.events]

    def stop(self, number: int) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; returns the exit code."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join()
        return code

    def close(self) -> None:
        """Kill what is left."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


Spawn = Callable[..., Process]


@pytest.fixture
def spawn(credentials: Path) -> Iterator[Spawn]:
    """Start `python -m node` with arguments and NODE_ variables (keywords); all are gone after the test."""
    started: list[Process] = []

    def start(
        *arguments: str, prefix: tuple[str, ...] = (), directory: Path = credentials, **variables: str
    ) -> Process:
        command = [*prefix, sys.executable, "-m", "node", *arguments]
        started.append(Process(command, directory, variables))
        return started[-1]

    yield start
    for process in started:
        process.close()


def nat_port(node: Process) -> int:
    """The port that IKE and ESP of a node share."""
    port: int = node.wait_for("udp_bound", carries=["ike", "esp"])["port"]
    return port


def why_no_tun() -> str | None:
    """What is missing for nodes with TUN devices in network namespaces, None where nothing is."""
    if os.geteuid() != 0:
        return "needs uid 0"
    if not Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "needs ip and unshare to make namespaces"
    probe = "from node.net.tun import Tun; Tun('probe0').close()"
    command = ["unshare", "-n", sys.executable, "-c", probe]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    return (
        None if done.returncode == 0 else f"cannot make a TUN device: {done.stderr.strip().splitlines()[-1:]}"
    )


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces, joined by a veth pair."""
    left, right = f"ipseclab-i-{os.getpid()}", f"ipseclab-r-{os.getpid()}"
    ends = (f"vi{os.getpid()}", f"vr{os.getpid()}")
    try:
        for name in (left, right):
            _ip("netns", "add", name)
        _ip("link", "add", ends[0], "netns", left, "type", "veth", "peer", ends[1], "netns", right)
        for name, end, address in ((left, ends[0], "192.0.2.1/24"), (right, ends[1], "192.0.2.2/24")):
            _ip("-n", name, "address", "add", address, "dev", end)
            _ip("-n", name, "link", "set", end, "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield left, right
    finally:
        for name in (left, right):
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Credentials that belong to the user the nodes become, in a directory that it can reach."""
    root = Path(
        subprocess.run(
            ["mktemp", "-d", "/tmp/ipseclab-XXXXXX"], capture_output=True, text=True
        ).stdout.strip()
    )
    try:
        make_credentials(root / "ipsec" / "certs")
        for path in (root, *root.rglob("*")):
            os.chown(path, 10001, 10001)
        yield root
    finally:
        shutil.rmtree(root)
