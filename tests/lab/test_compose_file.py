"""docker-compose.yml: what both Compose generations accept, least privilege, and who sees which key."""

import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NODES = ("responder", "initiator")
MARKS = {"org.ipseclab.lab", "org.ipseclab.owner", "org.ipseclab.session"}
# docker-compose 1.29.2 refuses these anywhere in a service.
NOT_IN_1_29 = {"annotations", "attach", "develop", "post_start", "pre_stop"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found = compose["services"]
    assert isinstance(found, dict)
    return found


def test_top_level_is_what_both_generations_accept(compose: dict[str, Any]) -> None:
    keys = {key for key in compose if not key.startswith("x-")}
    assert keys == {"services", "networks", "volumes"}


def test_services_use_nothing_that_one_generation_refuses(services: dict[str, Any]) -> None:
    for service in services.values():
        assert NOT_IN_1_29.isdisjoint(service)
        assert "container_name" not in service
        assert "start_interval" not in service.get("healthcheck", {})
        for dependency in service.get("depends_on", {}).values():
            assert set(dependency) == {"condition"}


def test_everything_carries_the_marks(compose: dict[str, Any], services: dict[str, Any]) -> None:
    for thing in (*services.values(), *compose["networks"].values(), *compose["volumes"].values()):
        assert set(thing["labels"]) >= MARKS
    for name, service in services.items():
        assert service["labels"]["org.ipseclab.node"] == name
        assert service["labels"]["org.ipseclab.role"] == name


def test_least_privilege(services: dict[str, Any]) -> None:
    for service in services.values():
        assert "privileged" not in service
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["mem_limit"]
        assert service["pids_limit"]
        assert "ports" not in service
    for node in NODES:
        assert set(services[node]["cap_add"]) == {"NET_ADMIN", "SETUID", "SETGID"}
        assert services[node]["devices"] == ["/dev/net/tun:/dev/net/tun"]
    assert "cap_add" not in services["ca"]
    assert services["ca"]["user"] == "10001:10001"
    assert services["ca"]["network_mode"] == "none"


def test_network_has_no_way_out(compose: dict[str, Any], services: dict[str, Any]) -> None:
    assert compose["networks"]["wire"]["internal"] is True
    assert all(services[node]["networks"] == ["wire"] for node in NODES)


def test_each_key_is_seen_by_the_ca_and_its_node_only(services: dict[str, Any]) -> None:
    assert set(services["ca"]["volumes"]) == {
        "pki-certs:/pki/certs",
        "ca-key:/pki/ca-key",
        "responder-key:/pki/keys/responder",
        "initiator-key:/pki/keys/initiator",
    }
    for node in NODES:
        assert set(services[node]["volumes"]) == {"pki-certs:/pki/certs:ro", f"{node}-key:/pki/key:ro"}


def test_volumes_have_a_directory_with_an_owner_in_the_image(services: dict[str, Any]) -> None:
    owned = next(
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if "chown 10001:10001" in line
    )
    targets = {mount.split(":")[1] for service in services.values() for mount in service["volumes"]}
    assert targets <= set(owned.split())


def test_order_of_start(services: dict[str, Any]) -> None:
    done, healthy = {"condition": "service_completed_successfully"}, {"condition": "service_healthy"}
    assert services["ca"]["restart"] == "no"
    assert services["responder"]["depends_on"] == {"ca": done}
    assert services["initiator"]["depends_on"] == {"ca": done, "responder": healthy}


def test_the_two_nodes_mirror_each_other(services: dict[str, Any]) -> None:
    responder, initiator = (services[node]["environment"] for node in NODES)
    for one, other in ((responder, initiator), (initiator, responder)):
        assert one["NODE_LOCAL__IDENTITY"] == other["NODE_PEER__IDENTITY"]
        assert one["NODE_CHILD__LOCAL_TS"] == other["NODE_CHILD__REMOTE_TS"]
    assert initiator["NODE_PEER__ADDRESS"] == "responder"


def test_one_image_of_the_projects_version(services: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {service["image"] for service in services.values()} == {f"ipseclab/node:{project['version']}"}
    assert f"ARG VERSION={project['version']}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert [name for name, service in services.items() if "build" in service] == ["ca"]


@pytest.mark.parametrize("command", [["docker-compose"], ["docker", "compose"]], ids=["v1", "v2"])
def test_compose_itself_accepts_it(command: list[str]) -> None:
    if (
        shutil.which(command[0]) is None
        or subprocess.run([*command, "version"], capture_output=True).returncode
    ):
        pytest.skip(f"{' '.join(command)} is not installed")
    done = subprocess.run(
        [*command, "-f", str(ROOT / "docker-compose.yml"), "config", "-q"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "obsolete" not in done.stderr
