"""Which ports a lab uses: by profile, and on loopback one that no privilege is needed for."""

from dataclasses import replace
from typing import Any

import pytest

from lab import library
from lab.backends import addresses
from lab.backends.containers import containers
from lab.backends.netns import NetnsBackend
from lab.labels import Marks
from lab.plan import Plan, make, with_wire
from lab.scenario import Scenario

TWO = {"port": 500, "nat_port": 4500}


@pytest.fixture(params=["asn1", "rfc7296"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return replace(library.load("hello"), profile=request.param)


def said(config: dict[str, Any]) -> dict[str, Any]:
    """What a node's configuration says of ports."""
    found = {"profile": config["profile"]}
    for end in ("listen", "peer"):
        found[end] = {key: value for key, value in config[end].items() if key.endswith("port")}
    return found


def plan(scenario: Scenario) -> Plan:
    return with_wire(make("ports", scenario))


def test_containers(scenario: Scenario) -> None:
    made = {one.node: one for one in containers(plan(scenario), Marks("ports", "hello", "me", "s"))}
    names = ("LISTEN__PORT", "LISTEN__NAT_PORT", "PEER__PORT", "PEER__NAT_PORT")
    expected = ("500", "4500") * 2 if scenario.profile == "rfc7296" else ("8000", None) * 2
    for node in ("responder", "initiator"):
        environment = made[node].environment
        assert environment["NODE_PROFILE"] == scenario.profile
        assert tuple(environment.get(f"NODE_{name}") for name in names) == expected
    wire = made["wire"].environment["WIRE_CONFIG"]
    ports = "[500, 4500]" if scenario.profile == "rfc7296" else "[8000]"
    assert f'"ports": {ports}' in wire
    assert f'"profile": "{scenario.profile}"' in wire


def test_network_namespaces(scenario: Scenario) -> None:
    found = NetnsBackend(lambda text: None).addresses(plan(scenario))
    ports = {(one.port, one.nat_port) for one in found.values()}
    assert ports == ({(500, 4500)} if scenario.profile == "rfc7296" else {(8000, 0)})


def test_loopback(scenario: Scenario) -> None:
    found = addresses.allocate(("responder", "wire", "initiator"), (), profile=scenario.profile)
    ports = {(one.port, one.nat_port) for one in found.values()}
    assert ports == ({(4500, 4500)} if scenario.profile == "rfc7296" else {(8000, 0)})


def test_loopback_with_one_address(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_free", lambda host, port: False)
    found = addresses.allocate(("responder", "initiator"), (), profile=scenario.profile)
    one, other = found["responder"], found["initiator"]
    assert one.port > 0
    assert one.nat_port == (one.port if scenario.profile == "rfc7296" else 0)
    assert (other.port, other.nat_port) == (0, 0)
