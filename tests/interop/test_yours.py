"""The two files of `peers/yours`, as docs/interop.md tells people to use them: they belong together.

Two containers that the lab knows nothing of, on a network of their own: a strongSwan that reads these
files and nothing else, and our node with no capability at all.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from ca.cli import main as ca
from lab import images
from lab.backends.engine import write
from lab.library import project_directory
from lab.peers import image
from node.config import Sources, load
from tests.lab.conftest import unique

HERE = project_directory() / "peers" / "yours"
#: Our node's user in its container.
OWNER = 10001
CONFIG = str(HERE / "node.yaml")


def test_both_files_say_the_same() -> None:
    config = load(Sources(CONFIG, {}, ((("peer", "address"), "192.0.2.1", "--peer"),)))
    theirs = (HERE / "swanctl.conf").read_text("utf-8")
    for line in (
        f"proposals = {config.ike.proposals[0]}",
        f"esp_proposals = {config.child.proposals[0]}",
        f"local_ts = {config.child.remote_ts[0]}",
        f"remote_ts = {config.child.local_ts[0]}",
        f"id = {config.local.identity.removeprefix('fqdn:')}",
        f"id = {config.peer.identity[0].removeprefix('fqdn:')}",
    ):
        assert f" {line}\n" in theirs


@pytest.fixture
def issued(tmp_path: Path) -> dict[str, bytes]:
    """Certificates as the document makes them, but with fast keys."""
    assert ca(["--dir", str(tmp_path), "--key-type", "ecdsa-p256", "lab", "yours"]) == 0
    return {path.name: path.read_bytes() for path in tmp_path.glob("*.pem")}


@dataclass(frozen=True)
class Engine:
    """A client of the engine, and the names of the images of both sides."""

    client: Any
    ours: str
    theirs: str


@pytest.fixture
def engine() -> Iterator[Engine]:
    with closing(docker.from_env()) as client:
        ours = images.ensure_image(print)
        try:
            theirs = image.ensure_image(print)
        except images.ImageError as error:
            pytest.skip(f"no image of strongSwan: {error}")
        yield Engine(client, ours.image_id, theirs.image_id)


@contextmanager
def network(engine: Engine, name: str) -> Iterator[str]:
    made = engine.client.networks.create(name, internal=True)
    try:
        yield name
    finally:
        made.remove()


@contextmanager
def container(
    engine: Engine, name: str, directory: str, files: dict[str, bytes], **more: Any
) -> Iterator[Any]:
    made = engine.client.containers.create(name=name, cap_drop=["ALL"], **more)
    try:
        write(engine.client.api, made.id, directory, files, int(more.get("user", 0)))
        made.start()
        yield made
    finally:
        made.remove(force=True)


@pytest.mark.docker
def test_our_node_talks_to_a_strongswan_that_the_lab_did_not_set_up(
    engine: Engine, issued: dict[str, bytes]
) -> None:
    name = unique("yours")
    swanctl = {path.name: path.read_bytes() for path in HERE.glob("*.conf")}
    swanctl |= {f"x509ca/{n}": issued[n] for n in ("ca-cert.pem",)}
    swanctl |= {"x509/yours-cert.pem": issued["yours-cert.pem"], "private/k.pem": issued["yours-key.pem"]}
    ours = {f"ipsec/yours/{n}": issued[n] for n in ("ca-cert.pem", "lab-cert.pem", "lab-key.pem")}
    ours |= {"node.yaml": (HERE / "node.yaml").read_bytes()}
    rights = {
        "cap_add": ["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE"],
        "devices": ["/dev/net/tun"],
        "environment": {"INNER_ADDRESSES": "10.2.0.1/32"},
    }
    command = ["python", "-m", "node", "--config", "node.yaml", "--peer", f"{name}-theirs", "--once"]
    own = {"command": command, "user": str(OWNER), "working_dir": "/tmp"}
    with (
        network(engine, name) as between,
        container(
            engine, f"{name}-theirs", "/etc/swanctl", swanctl, image=engine.theirs, network=between, **rights
        ),
        container(engine, f"{name}-ours", "/tmp", ours, image=engine.ours, network=between, **own) as node,
    ):
        code = node.wait(timeout=30)["StatusCode"]
        told = node.logs().decode()
    assert code == 0, told
    assert '"event":"pings_completed"' in told
    assert '"sent":10,"received":10' in told
