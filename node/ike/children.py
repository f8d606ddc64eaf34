"""The Child SAs of one IKE SA, and where each stands in its life (RFC 7296 2.8).

    INSTALLED   carries traffic, may be rekeyed and deleted by either end
    REKEYED     has an heir, and whoever made the heir deletes it; still receives
    DELETING    our DELETE waits its turn or is on its way

Rules:

1. A Child SA that the peer made to replace another one receives at once and sends from the peer's DELETE of
   the other one on: by then the peer surely has it. Until then the old one sends.
2. Until then we do not rekey it, and a DELETE of ours waits: the peer may not know yet that it has it.
3. What was replaced still receives for `LINGER` after its end: packets may be under way.
4. A Child SA that the peer asked for, while another one carries all of its traffic, is held back: it sends
   from the first evidence that the peer has our answer, or when nothing else carries the traffic any more.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from node.ike.settings import Lifetime
from node.model.child import ChildSa
from node.ports import Entropy

#: Seconds for which a replaced Child SA still receives: more than any packet is late.
LINGER = 5.0
#: Seconds for which those of an IKE SA receive that we delete because another one took its place: the peer
#: may send through them until our DELETE reaches it.
LONG_LINGER = 10.0
#: Seconds after which a peer is asked whether it has the IKE SA whose Child SA is held back, less than those
#: above.
ASK = 4.0
#: Seconds before the first look whether packets come through what is held back; and after that, as a share of
#: the time since then, and the most.
LOOK, LOOK_SHARE, MOST_LOOK = 0.1, 0.25, 10.0


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
class Held:
    """Why a Child SA does not send yet: another one carries the traffic, and the peer may lack our answer.

    `replaces` is the inbound SPI of the other one. A request of the peer with the message ID `known_from`, or
    a later one, shows that it has the answer: 0 for the answer to IKE_AUTH, without which the peer makes
    no message at all.
    """

    replaces: bytes
    known_from: int


@dataclass(frozen=True, slots=True)
class Doubt:
    """Whether the peer has what we answered, in monotonic seconds: since when that is open, when to look
    whether packets came, and when to ask; None: it need not be asked.
    """

    since: float
    look_at: float
    ask_at: float | None

    def looked(self, now: float) -> "Doubt":
        """The same after a look."""
        wait = min(max(LOOK_SHARE * (now - self.since), LOOK), MOST_LOOK)
        return replace(self, look_at=now + wait)


@dataclass(frozen=True, slots=True)
class OwnedChild:
    """A Child SA of an IKE SA.

    `heir` is the inbound SPI of what replaces it. `silent`: it only receives yet, as an heir (rule 1) or
    because it is `held` back (rule 4).
    """

    child: ChildSa
    state: ChildState = ChildState.INSTALLED
    heir: bytes | None = None
    silent: bool = False
    held: Held | None = None
    times: Times = Times()
