"""Loopback addresses for the process backend: every node has its own, so that labs run side by side.

Linux answers on all of 127.0.0.0/8: a lab takes a /24 of it and every node listens on the same port. Where
only 127.0.0.1 answers, the responder takes a port that is free now, and initiators any.
"""

import random
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lab.errors import EnvironmentNotReady
from lab.plan import LOOPBACK, Ports, nat_port
from lab.scenario import DEFAULT_PROFILE

#: 127.64.0.0/10: far from 127.0.0.1 and from 127.0.1.1, which distributions use for the host's name.
_FIRST, _LAST = 64, 127
#: A lab never has more nodes than host numbers.
MAX_NODES = 254
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens; port 0 for any. `nat_port` is 0 in a profile that has none, too."""

    host: str
    port: int
    nat_port: int = 0


def allocate(
    nodes: Sequence[str], taken: Collection[str], *, one_port: bool = False, profile: str = DEFAULT_PROFILE
) -> dict[str, Address]:
    """An address for each node, responder first. `taken` are hosts of other labs; `one_port`: all must have
    the same port. Raises EnvironmentNotReady.
    """
    port = LOOPBACK[profile].ike
    if len(nodes) > MAX_NODES:
        raise EnvironmentNotReady(
            f"{len(nodes)} nodes: the process backend has room for {MAX_NODES}: use --backend docker"
        )
    if not _free("127.64.0.1", 0):
        if one_port:
            raise EnvironmentNotReady(
                "127.0.0.1 is the only loopback address here, and a lab with a wire node needs one for each "
                "node: use --backend docker"
            )
        return _ports(nodes, profile)
    used = {host.rpartition(".")[0] for host in taken}
    for _ in range(_TRIES):
        prefix = f"127.{random.randint(_FIRST, _LAST)}.{random.randint(0, 255)}"
        hosts = [f"{prefix}.{number}" for number in range(1, len(nodes) + 1)]
        if prefix not in used and all(_free(host, port) for host in hosts):
            return {node: _at(host, port, profile) for node, host in zip(nodes, hosts, strict=True)}
    raise EnvironmentNotReady(
        f"UDP port {port} is taken on every loopback address that was tried: a program listens on "
        f"0.0.0.0:{port}: stop it"
    )


def _free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _at(host: str, port: int, profile: str) -> Address:
    return Address(host, port, nat_port(Ports(port, port), profile))


def _ports(nodes: Sequence[str], profile: str) -> dict[str, Address]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    return {node: _at("127.0.0.1", 0 if index else port, profile) for index, node in enumerate(nodes)}
