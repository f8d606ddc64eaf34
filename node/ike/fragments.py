"""A message that comes in fragments (RFC 7383 2.6): they are kept until all of it is there, within limits.

    fragment -> kept already? -> ICV -> of the set that is collected? -> within the limits? -> kept

Rules:

1. Only what was authenticated is kept. Before that a fragment costs one hash and one check of its ICV.
2. One message at a time for each direction of an IKE SA: the request or the response that the window expects.
3. Sets are never mixed. One with more fragments takes the place of one with fewer, which is over (2.5.2).
4. What is kept is bounded: octets of a message, octets of all that an endpoint keeps, and the time of a
   request. A response has the time of our request. Time counts from the first fragment of a message, whatever
   comes later. The number of fragments is bounded by the profile (`ports.Codec.open`).
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from node.errors import DropReason, PeerMisbehaved
from node.model.message import Fragment

#: Octets that the fragments of one message hold together: what one SK payload, with a length of two octets,
#: could hold.
MAX_OCTETS = 65_535
#: Octets that an endpoint keeps for all its IKE SAs: twice what the half-open ones can make it keep by the
#: default limits, which are 100 messages of the largest size.
MAX_HELD = 16 * 1024 * 1024
#: Octets that a kept fragment costs beside what it holds: without content it costs something, too.
OVERHEAD = 512
#: Seconds that fragments of a request wait for the others: what a peer with the usual back-off (ours has 13
#: tries) needs until it gives up, as RFC 7383 2.6 wants it. Half-open IKE SAs have less, their own time.
PATIENCE = 180.0


class Budget:
    """What the fragments of one endpoint cost together, in octets."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int = MAX_HELD) -> None:
        self.held, self.limit = 0, limit

    def take(self, octets: int) -> bool:
        """Count these; False, and nothing is counted, where it would be more than the limit."""
        if self.held + octets > self.limit:
            return False
        self.held += octets
        return True

    def give_back(self, octets: int) -> None:
        """They are not kept any more."""
        self.held -= octets


@dataclass(frozen=True, slots=True)
class Kept:
    """A fragment, the hash of its datagram, and the octets of that."""

    fragment: Fragment
    digest: bytes
    size: int


class Reassembly:
    """The fragments of the one message that is collected, by number."""

    __slots__ = ("_budget", "_cost", "_kept", "deadline")

    def __init__(self, budget: Budget) -> None:
        self._budget, self._cost = budget, 0
        self._kept: dict[int, Kept] = {}
        #: When the message is given up, in monotonic seconds; None where nothing is collected.
        self.deadline: float | None = None

    @property
    def kept(self) -> Mapping[int, Kept]:
        """What is kept, by fragment number."""
        return self._kept

    @property
    def total(self) -> int:
        """Of how many fragments the message is, 0 where nothing is collected."""
        return next((kept.fragment.total for kept in self._kept.values()), 0)

    @property
    def complete(self) -> bool:
        """All fragments are there."""
        return bool(self._kept) and len(self._kept) == self.total

    def has(self, digest: bytes) -> bool:
        """A datagram of this hash is kept already."""
        return any(hmac.compare_digest(kept.digest, digest) for kept in self._kept.values())

    def ordered(self) -> tuple[Kept, ...]:
        """What is kept, in the order of the message."""
        return tuple(self._kept[number] for number in sorted(self._kept))

    def add(self, fragment: Fragment, digest: bytes, size: int, now: float) -> str:
        """Keep an authenticated fragment of the message that the window expects.

        Returns what was given up for it, in words: a set of fewer fragments; empty where nothing was. Raises
        PeerMisbehaved where the fragment is dropped: FRAGMENT_REPEATED, FRAGMENT_CONFLICT, OVERSIZED,
        FRAGMENT_LIMIT.
        """
        given_up = self._begin_anew(fragment) if fragment.total > self.total else ""
        self._judge(fragment)
        cost = len(fragment.inner) + OVERHEAD
        if not self._budget.take(cost):
            raise PeerMisbehaved(
                DropReason.FRAGMENT_LIMIT, f"fragments of {self._budget.held} octets are waiting already"
            )
        self._cost += cost
        self._kept[fragment.number] = Kept(fragment, digest, size)
        self.deadline = now + PATIENCE if self.deadline is None else self.deadline
        return given_up

    def clear(self) -> None:
        """The message is answered, or over."""
        self._empty()
        self.deadline = None

    def progress(self) -> str:
        """`2 of 3 fragments of message 1`, empty where nothing is collected."""
        first = next(iter(self._kept.values()), None)
        if first is None:
            return ""
        return f"{len(self._kept)} of {self.total} fragments of message {first.fragment.header.message_id}"

    def _begin_anew(self, fragment: Fragment) -> str:
        progress = self.progress()
        self._empty()
        return f"{progress}, which now comes in {fragment.total}" if progress else ""

    def _judge(self, fragment: Fragment) -> None:
        first = next(iter(self._kept.values()), None)
        if first is None:
            return
        said = f"fragment {fragment.number} of {fragment.total}"
        if fragment.total < first.fragment.total:
            raise PeerMisbehaved(
                DropReason.FRAGMENT_CONFLICT, f"{said}, and {first.fragment.total} are collected"
            )
        if fragment.header != first.fragment.header:
            raise PeerMisbehaved(DropReason.FRAGMENT_CONFLICT, f"{said} has another header than the others")
        if fragment.number in self._kept:
            raise PeerMisbehaved(DropReason.FRAGMENT_REPEATED, f"{said} once more")
        octets = sum(len(kept.fragment.inner) for kept in self._kept.values()) + len(fragment.inner)
        if octets > MAX_OCTETS:
            raise PeerMisbehaved(
                DropReason.OVERSIZED, f"{said}: the message has {octets} octets by now, above {MAX_OCTETS}"
            )

    def _empty(self) -> None:
        self._budget.give_back(self._cost)
        self._cost = 0
        self._kept.clear()
