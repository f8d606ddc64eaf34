"""Many IKE SAs of two nodes over UDP, with a wire that loses, doubles or reorders: how many of them live."""

import random
from pathlib import Path

from tests.node.loopback import MANY, Ends, Wire, agree

#: Repeats fast, as often as by default: what the wire loses costs tenths of seconds instead of seconds. The
#: half-open time of a responder stays what it is.
FAST = {**MANY, "NODE_IKE__RETRANSMIT__TIMEOUT": "0.1", "NODE_IKE__PROPOSALS": "[aes256-sha256-x25519]"}
#: Octets of an IP packet with a fragment: cuts IKE_AUTH with large certificates into three.
FRAGMENT = 680
#: Seconds in which everything has come up or was given up, on a busy machine.
PATIENCE = 120.0


async def handshakes(directory: Path, profile: str, wire: Wire, count: int, **more: str) -> int:
    """Begin so many IKE SAs at once; returns how many came up, each once with one Child SA, at both ends."""
    async with Ends(directory, profile, wire, **{**FAST, **more}) as ends:
        for _ in range(count):
            ends.initiator.initiate()
        await ends.until(lambda: len(ends.initiator.endpoint.sas()) == count)
        await ends.until(lambda: over(ends), PATIENCE)
        up = len(ends.initiator.endpoint.sas())
        return up if agree(ends, up) else 0


def over(ends: Ends) -> bool:
    """Nothing is half-open, and nothing is asked any more."""
    ours, theirs = (node.endpoint.sas() for node in ends.both)
    return all(sa.phase == "ESTABLISHED" for sa in (*ours, *theirs)) and agree(ends, len(ours))


async def rekeys(directory: Path, profile: str, wire: Wire, count: int, seed: int) -> tuple[int, int]:
    """Bring up so many IKE SAs, then replace the Child SA of each, or the IKE SA, by either end at random.

    Returns how many were replaced, and how many IKE SAs with a Child SA are left.
    """
    draw = random.Random(seed)
    async with Ends(directory, profile, wire, **FAST) as ends:
        for _ in range(count):
            ends.initiator.initiate()
        await ends.until(lambda: agree(ends, count), PATIENCE)
        before = _spis(ends)
        held = [{sa.spi_i: sa for sa in node.endpoint.sas()} for node in ends.both]
        for number, spi in enumerate(held[0]):
            side = draw.randrange(2)
            node, sa = ends.both[side], held[side][spi]
            if number % 5 == 4:
                node.rekey_ike(bytes.fromhex(sa.spi_i if sa.is_initiator else sa.spi_r))
            else:
                node.rekey_child(bytes.fromhex(sa.children[0].inbound_spi))
        await ends.until(lambda: agree(ends, count) and not before & _spis(ends), PATIENCE)
        return len(_spis(ends) - before), len(ends.initiator.endpoint.sas())


def _spis(ends: Ends) -> set[tuple[str, str]]:
    """IKE SA and Child SA of the initiator, by their SPIs: another pair once one of them was replaced."""
    return {(sa.spi_i, child.inbound_spi) for sa in ends.initiator.endpoint.sas() for child in sa.children}
