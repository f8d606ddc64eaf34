"""A container has IPv6 exactly where something inside the tunnel is IPv6: there are kernels without it."""

from typing import Any

import pytest

from lab import plan as planning
from lab.backends import containers
from lab.labels import Marks
from lab.scenario import from_document


def _sysctls(config: dict[str, Any]) -> dict[str, str]:
    document = {
        "title": "x",
        "description": "x",
        "nodes": {"responder": {}, "initiator": {"config": config}},
        "expect": {"responder": {}, "initiator": {}},
    }
    plan = planning.make("x", from_document("x", "x", document))
    made = containers.containers(plan, Marks("x", "x", "me", "s"))
    return dict(next(container.sysctls for container in made if container.node == "initiator"))


@pytest.mark.parametrize(
    "config",
    [
        {"tun": {"address": "fd01::1/64"}, "child": {"local_ts": ["fd01::/64"]}},
        {"child": {"virtual_ip": ["any6"]}, "tun": {"address": ""}},
        {"child": {"virtual_ip": ["any4", "fd09::7"]}},
        {"child": {"remote_ts": ["10.2.0.0/24", "fd02::/64"]}},
        {"child": {"pool": ["fd09::/64"]}},
    ],
)
def test_an_inner_ipv6_address_needs_ipv6(config: dict[str, Any]) -> None:
    assert _sysctls(config) == containers.IPV6


@pytest.mark.parametrize(
    "config", [{}, {"child": {"virtual_ip": ["any4"]}}, {"child": {"virtual_ip": [], "pool": []}}]
)
def test_nothing_else_does(config: dict[str, Any]) -> None:
    assert _sysctls(config) == {}
