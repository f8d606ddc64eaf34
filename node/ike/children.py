"""The Child SAs of one IKE SA, and where each stands in its life (RFC 7296 2.8).

    INSTALLED   carries traffic, may be rekeyed and deleted by either end
    REKEYED     has an heir, and whoever made the heir deletes it; still receives
    DELETING    our DELETE waits its turn or is on its way

Rules:

1. A Child SA that the peer made to replace another one receives at once and sends from the peer's DELETE of
   the other one on: by then the peer surely has it. Until then the old one sends.
2. Until then we do not rekey it, and a DELETE of ours waits: the peer may not know yet that it has it.
3. What was replaced still receives for `LINGER` after its end: packets may be under way.
"""

from dataclasses import dataclass
from enum import StrEnum

from node.ike.settings import Lifetime
from node.model.child import ChildSa
from node.ports import Entropy

#: Seconds for which a replaced Child SA still receives: more than any packet is late.
LINGER = 5.0
#: Seconds for which those of an IKE SA receive that we delete because another one took its place: the peer
#: may send through them until our DELETE reaches it.
LONG_LINGER = 10.0
#: Seconds for which an older IKE SA with the same peer carries the traffic at most, less than those above;
#: and seconds between two looks whether packets come through the new one.
MUTE, LOOK = 4.0, 0.1


class ChildState(StrEnum):
    """Where a Child SA stands."""

    INSTALLED = "INSTALLED"
    REKEYED = "REKEYED"
    DELETING = "DELETING"


@dataclass(frozen=True, slots=True)
class Times:
    """When an SA is to be rekeyed and when it ends for good, in monotonic seconds; None: never."""

    rekey_at: float | None = None
    expires_at: float | None = None

    def deadline(self) -> float | None:
        """When something is to be done about it, or None."""
        return min((time for time in (self.rekey_at, self.expires_at) if time is not None), default=None)


def times(lifetime: Lifetime, now: float, entropy: Entropy) -> Times:
    """The times of an SA that begins now: those of `lifetime`, with its jitter."""
    if not lifetime.rekey:
        return Times()
    early = lifetime.jitter * int.from_bytes(entropy(2)) / 2**16
    end = now + lifetime.rekey + lifetime.margin
    return Times(now + lifetime.rekey - early, end if lifetime.margin else None)


@dataclass(frozen=True, slots=True)
class Mute:
    """A Child SA that does not send yet: one of an older IKE SA with the same peer still carries the traffic.

    `spi` is its inbound SPI, `replaces` that of the older one. It sends from the first sign that the peer has
    it, or `until`, in monotonic seconds; whether packets came is looked up at `look_at`.
    """

    spi: bytes
    replaces: bytes
    until: float
    look_at: float


@dataclass(frozen=True, slots=True)
class OwnedChild:
    """A Child SA of an IKE SA.

    `heir` is the inbound SPI of what replaces it. `silent`: it only receives yet.
    """

    child: ChildSa
    state: ChildState = ChildState.INSTALLED
    heir: bytes | None = None
    silent: bool = False
    times: Times = Times()
