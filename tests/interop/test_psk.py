"""The pre-shared key of one of the lab's own nodes: a file beside its private key, and nowhere else."""

import io
import stat
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lab import plan as planning
from lab.backends import containers
from lab.backends.docker import DockerBackend
from lab.backends.process import ProcessBackend
from lab.errors import UsageError
from lab.interop import documents
from lab.labels import Marks
from lab.plan import Plan
from lab.scenario import from_document
from tests.lab.conftest import unique

SECRET = "known to both sides"
DOCUMENT: documents.Document = {
    "title": "x",
    "description": "x",
    "credentials": {"key_type": "ecdsa-p256", "root_key_type": "ecdsa-p256"},
    "nodes": {"responder": {"psk": SECRET}, "initiator": {}},
    "expect": {"responder": {}, "initiator": {}},
}


@pytest.fixture
def plan() -> Plan:
    return planning.make(unique(), from_document("x", "x", DOCUMENT))


def test_the_configuration_names_the_file_and_does_not_hold_the_key(plan: Plan) -> None:
    made = {c.node: c for c in containers.containers(plan, Marks(plan.lab, "x", "me", "s"))}
    assert made["responder"].environment["NODE_CREDENTIALS__PSK"] == "/pki/key/responder-psk"
    assert "NODE_CREDENTIALS__PSK" not in made["initiator"].environment
    assert SECRET not in str(made)
    assert SECRET not in str(plan.nodes)


def test_a_strongswan_has_its_key_among_its_settings() -> None:
    document = {**DOCUMENT, "nodes": {"responder": {"kind": "strongswan", "psk": SECRET}, "initiator": {}}}
    with pytest.raises(UsageError, match=r"psk: is for the lab's own nodes: write `strongswan: \{auth: psk"):
        documents.scenario("x", document)


def test_plain_processes_get_a_file_that_nobody_else_can_read(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IPSECLAB_HOME", str(tmp_path))
    backend = ProcessBackend(print)
    backend.create(plan, lambda _topic, _text: None)
    (path,) = tmp_path.rglob("*-psk")
    assert path.parent == next(tmp_path.rglob("responder-key.pem")).parent
    assert path.read_text() == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.fixture
def engine() -> Iterator[DockerBackend]:
    with closing(DockerBackend(print)) as backend:
        yield backend


@pytest.mark.docker
def test_a_container_gets_a_file_that_is_its_nodes_alone(plan: Plan, engine: DockerBackend) -> None:
    engine.prepare(lambda _topic, _text: None)
    try:
        engine.create(plan, lambda _topic, _text: None)
        api = engine._engine.api
        chunks, _ = api.get_archive(f"ipseclab-{plan.lab}-responder", "/pki/key/responder-psk")
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            (member,) = archive.getmembers()
            file = archive.extractfile(member)
            assert file is not None
            assert file.read().decode() == SECRET
        assert (member.uid, member.gid, member.mode & 0o777) == (containers.OWNER, containers.OWNER, 0o600)
    finally:
        engine.remove(plan.lab, keep_pki=False)
