"""Two nodes in this process, over UDP on loopback: directly, or with a wire that loses, doubles and reorders.

    async with Ends(directory, "asn1", Wire(loss=0.2)) as ends:
        ends.initiator.initiate()
        await ends.until(lambda: agree(ends, 1))

Everything is that of a node in user space: sockets, event loop, timers, data path. Only the start is shorter:
it drops no privileges, since the process is that of the tests.
"""

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from node.config import Sources, load
from node.daemon import credentials
from node.daemon.assembly import endpoint
from node.daemon.node import Node
from node.daemon.start import Started, _bind
from node.eventlog import EventLog
from node.ike.status import SaStatus
from node.prose import Palette

HOST = "127.0.0.1"
#: Seconds that anything may take on a loaded machine; nothing waits for it to pass.
PATIENCE = 60.0
#: Seconds between two looks at a condition, and between two datagrams of a wire that holds some back.
LOOK, RELEASE = 0.01, 0.002
#: Many IKE SAs of one pair of nodes: neither says that it has only one, and all may be half-open at once.
MANY = {
    "NODE_IKE__INITIAL_CONTACT": "false",
    "NODE_IKE__HALF_OPEN__PER_SOURCE": "1000",
    "NODE_IKE__HALF_OPEN__TOTAL": "1000",
    "NODE_IKE__HALF_OPEN__COOKIE_THRESHOLD": "1000",
}

Address = tuple[str, int]


class Wire(asyncio.DatagramProtocol):
    """A relay between an initiator and a responder; the same seed decides the same.

    Of each datagram `loss` is the chance that it is lost, `copies` how many go on; with `within` the next to
    go on is any of so many that are held.
    """

    def __init__(self, *, loss: float = 0.0, copies: int = 1, within: int = 1, seed: int = 1) -> None:
        self._loss, self._copies, self._within = loss, copies, within
        self._draw = random.Random(seed)
        self._target: Address = ("", 0)
        self._initiator: Address = ("", 0)
        self._held: list[tuple[bytes, Address]] = []
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        #: Datagrams that came, and those of them that were lost.
        self.seen = self.lost = 0

    async def open(self, target: Address) -> int:
        """Relay to the responder at `target`; returns the port to send to."""
        self._target = target
        loop = asyncio.get_running_loop()
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        end.bind((HOST, 0))
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=end)
        port: int = end.getsockname()[1]
        return port

    def datagram_received(self, octets: bytes, source: Address) -> None:
        """One datagram from either side."""
        self.seen += 1
        if source != self._target:
            self._initiator = source
        if self._draw.random() < self._loss:
            self.lost += 1
            return
        there = self._initiator if source == self._target else self._target
        self._held += [(octets, there)] * self._copies
        while len(self._held) >= self._within:
            self._send()
        if self._held and self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(RELEASE, self._release)

    def _release(self) -> None:
        self._timer = None
        if self._held:
            self._send()
            self._wait()

    def _send(self) -> None:
        octets, there = self._held.pop(self._draw.randrange(len(self._held)))
        if self._transport is not None:
            self._transport.sendto(octets, there)

    def close(self) -> None:
        """Lose what is held."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.close()


class Ends:
    """An initiator and a responder, with a wire between them or without; `more` are settings of both."""

    initiator: Node
    responder: Node

    def __init__(self, directory: Path, profile: str, wire: Wire | None = None, **more: str) -> None:
        """`directory` has `ipsec/certs/` in it (`tests.node.conftest.make_credentials`)."""
        self._directory, self._profile, self._more, self.wire = directory, profile, more, wire

    async def __aenter__(self) -> "Ends":
        self.responder = self._made("responder")
        target = self.responder.transport.nat_port
        port = target if self.wire is None else await self.wire.open((HOST, target))
        self.initiator = self._made("initiator", port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for node in (self.initiator, self.responder):
            node.close()
        if self.wire is not None:
            self.wire.close()

    @property
    def both(self) -> tuple[Node, Node]:
        """Initiator and responder."""
        return self.initiator, self.responder

    def _made(self, role: str, port: int = 0) -> Node:
        certificates = self._directory / "ipsec" / "certs"
        variables = {
            "NODE_ROLE": role,
            "NODE_PROFILE": self._profile,
            "NODE_LISTEN__PORT": "0",
            "NODE_LISTEN__NAT_PORT": "0",
            "NODE_PEER__PORT": str(port or 1),
            **({"NODE_PEER__NAT_PORT": str(port or 1)} if self._profile == "rfc7296" else {}),
            "NODE_CREDENTIALS__CA": str(certificates / "ca-cert.pem"),
            "NODE_CREDENTIALS__CERTIFICATE": str(certificates / f"{role}-cert.pem"),
            "NODE_CREDENTIALS__KEY": str(certificates / f"{role}-key.pem"),
            "NODE_TUN__ENABLED": "false",
            "NODE_DEMO__MESSAGE": "''",
            "NODE_DEMO__PINGS": "0",
            **self._more,
        }
        config = load(Sources(None, variables))
        log = EventLog(role, None, None, Palette(False))
        shown = credentials.load(config, log)
        started = Started(config, log, None, shown, endpoint(config, shown), _bind(config))
        return Node(started, os.urandom)

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait for it. Fails with what both ends hold where it does not come."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                held = [[(sa.phase, len(sa.children)) for sa in node.endpoint.sas()] for node in self.both]
                pytest.fail(f"it did not come; the ends hold {held}, events {self.told()}")
            await asyncio.sleep(LOOK)

    def told(self) -> list[dict[str, int]]:
        """How often each end told of what."""
        return [dict(node.log.emitted) for node in self.both]


def agree(ends: Ends, count: int) -> bool:
    """Both ends hold the same `count` IKE SAs, each with one Child SA, and nothing is under way."""
    ours, theirs = (node.endpoint.sas() for node in ends.both)
    at_rest = all(_at_rest(node) for node in ends.both)
    same = {_spis(sa, False) for sa in ours} == {_spis(sa, True) for sa in theirs}
    whole = all(sa.phase == "ESTABLISHED" and len(sa.children) == 1 for sa in (*ours, *theirs))
    return at_rest and same and whole and len(ours) == len(theirs) == count


def _at_rest(node: Node) -> bool:
    return all(not sa.window.in_flight and not len(sa.agenda) for sa in node.endpoint._sas.values())


def _spis(sa: SaStatus, mirrored: bool) -> tuple[Any, ...]:
    ends = [(child.inbound_spi, child.outbound_spi) for child in sa.children]
    return sa.spi_i, sa.spi_r, *(tuple(reversed(pair)) if mirrored else pair for pair in ends)
