"""Junk IKE_AUTH requests for one half-open IKE SA of a responder process, then the honest one. Over UDP.

The initiator is a whole node of which the socket holds back IKE_AUTH until it is asked for.
"""

import asyncio
import random
from pathlib import Path

from node.model.message import Path as Route
from node.model.registry import ExchangeType
from node.wire.asn1.codec import Asn1Codec
from tests.property.flood import Responder
from tests.property.honest import Initiator
from tests.property.hostile import keys_of

#: Junk between two looks at the counters: fewer than fit in the responder's socket buffer.
BATCH = 100
#: Octets at the end of IKE_AUTH: ciphertext and ICV, and two of their framing.
TAIL = 600
#: Seconds to wait for a batch to be counted, or for the handshake.
PATIENCE = 30.0


class Held:
    """IKE_AUTH, from the moment it was to be sent."""

    def __init__(self, initiator: Initiator) -> None:
        self._initiator, self._send = initiator, initiator.udp.send_pieces
        self.sent = asyncio.Event()
        self.octets, self._route = b"", Route("", 0, "", 0)
        self.released = False
        initiator.udp.send_pieces = self._filter  # type: ignore[method-assign, assignment]

    def _filter(self, octets: bytes, route: Route, tos: int = 0) -> bool:
        if self.released or Asn1Codec().peek(octets).header.exchange != ExchangeType.IKE_AUTH:
            return self._send(octets, route)
        self.octets, self._route = octets, route
        self.sent.set()
        return True

    def throw(self, octets: bytes) -> None:
        """Send something else in its place."""
        self._send(octets, self._route)

    def release(self) -> None:
        """Send it, and everything after it."""
        self.released = True
        self._send(self.octets, self._route)


async def junk(directory: Path, responder: Responder, count: int) -> set[bytes]:
    """That many of them, each counted, then the honest one; the keys of the IKE SA that must come up."""
    initiator, draw = Initiator(directory, responder.port, 0), random.Random(14)
    try:
        held = Held(initiator)
        initiator.begin()
        await asyncio.wait_for(held.sent.wait(), PATIENCE)
        for done in range(0, count, BATCH):
            for _ in range(min(BATCH, count - done)):
                changed = bytearray(held.octets)
                changed[-1 - draw.randrange(TAIL)] ^= 1 << draw.randrange(8)
                held.throw(bytes(changed))
            await _counted(responder, min(count, done + BATCH))
        held.release()
        async with asyncio.timeout(PATIENCE):
            while initiator.milliseconds is None:
                await asyncio.sleep(0.02)
        keys = keys_of(initiator.node)
        initiator.node.stop("done")
        await initiator.node._done
        return keys
    finally:
        initiator.node.close()


async def _counted(responder: Responder, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while sum(responder.counters()["dropped"].values()) < count:
            await asyncio.sleep(0.005)
