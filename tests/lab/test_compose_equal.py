"""docker-compose.yml and the `hello` scenario are one lab: the same containers with the same settings."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import library, plan
from lab.backends import containers
from lab.backends.base import GRACE
from lab.backends.containers import Container
from lab.commands.context import DEFAULT_NAME
from lab.labels import LAB, NODE, OWNER, ROLE, SESSION, Marks

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
#: Set in one of the two only, and why.
ONLY_HERE = {
    # The lab parses the CA's report, people read it.
    "CA_OUTPUT",
}
NODES = ("ca", "responder", "initiator")


def _default(text: str) -> str:
    """A value with ${NAME:-default} as it is where nobody sets NAME."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, Container]:
    made = plan.make(DEFAULT_NAME, library.load(library.DEFAULT_SCENARIO))
    marks = Marks(made.lab, made.scenario.name, "me", "s")
    return {container.node: container for container in containers.containers(made, marks)}


def test_the_same_containers(compose: dict[str, Any], ours: dict[str, Container]) -> None:
    assert set(compose["services"]) == set(ours) == set(NODES)


@pytest.mark.parametrize("node", NODES)
def test_same_environment(compose: dict[str, Any], ours: dict[str, Container], node: str) -> None:
    given = compose["services"][node]["environment"]
    theirs = {key: yaml.safe_load(value) for key, value in given.items()}
    found = {k: yaml.safe_load(v) for k, v in ours[node].environment.items() if k not in ONLY_HERE}
    assert found == theirs


@pytest.mark.parametrize("node", NODES)
def test_same_rights(compose: dict[str, Any], ours: dict[str, Container], node: str) -> None:
    service, container = compose["services"][node], ours[node]
    assert service["command"] == list(container.command)
    assert service.get("user", "") == container.user
    assert service["cap_drop"] == ["ALL"]
    assert tuple(service.get("cap_add", ())) == container.capabilities
    assert service.get("devices", []) == [f"{device}:{device}" for device in container.devices]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert dict(entry.split(":", 1) for entry in service["tmpfs"]) == dict(container.tmpfs)
    assert service["mem_limit"] == f"{containers.MEMORY // MIB}m"
    assert service["pids_limit"] == container.pids
    assert service["restart"] == "no"
    assert service["logging"] == {"driver": "json-file", "options": containers.LOG_OPTIONS}


@pytest.mark.parametrize("node", NODES)
def test_the_same_volumes(compose: dict[str, Any], ours: dict[str, Container], node: str) -> None:
    service, container = compose["services"][node], ours[node]
    assert (service.get("networks") == ["wire"]) is container.networked
    assert (service.get("network_mode") == "none") is not container.networked
    mounted = [
        f"{mount.volume}:{mount.target}" + (":ro" if mount.read_only else "") for mount in container.mounts
    ]
    assert sorted(service["volumes"]) == sorted(mounted)


def test_the_same_grace_and_network(compose: dict[str, Any]) -> None:
    for node in ("responder", "initiator"):
        assert compose["services"][node]["stop_grace_period"] == f"{GRACE}s"
    wire = compose["networks"]["wire"]
    assert (wire["driver"], wire["internal"]) == ("bridge", True)
    made = plan.make(DEFAULT_NAME, library.load(library.DEFAULT_SCENARIO))
    assert set(compose["volumes"]) == set(containers.volumes(made))


@pytest.mark.parametrize("node", NODES)
def test_labels_for_finding(compose: dict[str, Any], ours: dict[str, Container], node: str) -> None:
    marks = {key: _default(value) for key, value in compose["services"][node]["labels"].items()}
    assert marks[LAB] == DEFAULT_NAME == ours[node].labels[LAB]
    assert (marks[NODE], marks[ROLE]) == (ours[node].labels[NODE], ours[node].labels[ROLE])
    # Only root has no USER in its environment now and then; the lab calls it root then, too.
    assert marks[OWNER] == "root"
    assert SESSION in marks
