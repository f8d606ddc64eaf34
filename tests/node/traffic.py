"""Packets in both directions at a steady rate while SAs are replaced: which of them arrive, and how often."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from node.daemon.dataplane import DataPlane
from node.daemon.node import Node
from node.esp.ip import pack_udp, udp_payload
from node.esp.tunnel import Incoming
from node.model.message import Path
from tests.node.loopback import Ends, agree

INITIATOR, RESPONDER = IPv4Address("10.1.0.1"), IPv4Address("10.2.0.1")
#: The inner UDP port, and octets behind the number in a packet.
PORT, FILL = 4_000, bytes(92)
#: Seconds between two bursts, and packets of one: what a stalled machine owes is sent in small portions, so
#: that no socket buffer is ever full and what is lost was lost by the nodes.
TICK, BURST = 0.002, 32
#: Seconds that the last packets may take.
UNDER_WAY = 5.0
#: Every so many rekeys both ends begin one at once.
COLLIDE = 5


@dataclass(slots=True)
class Stream:
    """One direction: how many packets left, and how often the number of each arrived."""

    sender: Node
    source: IPv4Address
    target: IPv4Address
    sent: int = 0
    arrived: Counter[int] = field(default_factory=Counter)

    def send(self) -> None:
        """The next packet through the tunnel."""
        payload = self.sent.to_bytes(8) + FILL
        self.sender.plane.packet(pack_udp(self.source, self.target, PORT, PORT, payload))
        self.sent += 1

    def take(self, incoming: Incoming, path: Path) -> None:
        """One packet that came out of it."""
        payload = udp_payload(incoming.packet, PORT)
        self.arrived[int.from_bytes(payload[:8]) if payload else -1] += 1

    def whole(self) -> bool:
        """Whether everything arrived, each once."""
        return self.arrived == Counter(range(self.sent))

    def missing(self) -> int:
        """How many did not arrive."""
        return len(set(range(self.sent)) - set(self.arrived))

    def doubled(self) -> int:
        """How many came more than once, or were never sent."""
        return sum(self.arrived.values()) - len(set(range(self.sent)) & set(self.arrived))


class Traffic:
    """Both directions; `rate` packets a second together."""

    def __init__(self, ends: Ends, rate: float) -> None:
        there = Stream(ends.initiator, INITIATOR, RESPONDER)
        back = Stream(ends.responder, RESPONDER, INITIATOR)
        for node, stream in ((ends.responder, there), (ends.initiator, back)):
            assert isinstance(node.plane, DataPlane)
            node.plane.deliver = stream.take
        self.streams, self._rate = (there, back), rate / 2
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Traffic":
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        begun = time.monotonic()
        while True:
            for stream in self.streams:
                owed = int((time.monotonic() - begun) * self._rate) - stream.sent
                for _ in range(min(owed, BURST)):
                    stream.send()
            await asyncio.sleep(TICK)

    def whole(self) -> bool:
        """Whether all packets arrived, each once."""
        return all(stream.whole() for stream in self.streams)


async def replace_often(ends: Ends, children: int, ikes: int, seconds: float) -> None:
    """Replace Child SA and IKE SA so often, by either end and now and then by both, spread over `seconds`.

    Fails where one of them was not replaced, or the ends do not agree.
    """
    begun = time.monotonic()
    total = children + ikes
    every = total // ikes
    for number in range(total):
        both = number % COLLIDE == COLLIDE - 1
        nodes = ends.both if both else (ends.both[number % 2],)
        old = _spis(ends)
        for node in nodes:
            (sa,) = node.endpoint.sas()
            if number % every == every - 1 and number // every < ikes:
                node.rekey_ike(bytes.fromhex(sa.spi_i if sa.is_initiator else sa.spi_r))
            else:
                node.rekey_child(bytes.fromhex(sa.children[0].inbound_spi))
        await ends.until(lambda old=old: _spis(ends) != old and agree(ends, 1))  # type: ignore[misc]
        await asyncio.sleep(max(0.0, begun + (number + 1) * seconds / total - time.monotonic()))


def _spis(ends: Ends) -> list[tuple[str, str]]:
    """What the initiator holds: SPIs of IKE SA and Child SA."""
    return [(sa.spi_i, child.inbound_spi) for sa in ends.initiator.endpoint.sas() for child in sa.children]


async def measure(ends: Ends, rate: float, children: int, ikes: int, seconds: float) -> tuple[Stream, ...]:
    """Bring up an IKE SA and replace everything under traffic; the two directions, when all has arrived."""
    ends.initiator.initiate()
    await ends.until(lambda: agree(ends, 1))
    async with Traffic(ends, rate) as traffic:
        await replace_often(ends, children, ikes, seconds)
    end = time.monotonic() + UNDER_WAY
    while not traffic.whole() and time.monotonic() < end:
        await asyncio.sleep(TICK)
    return traffic.streams
