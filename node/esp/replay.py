"""The anti-replay window of one inbound SA (RFC 4303 3.4.3 and appendix A2).

Rules:

1. Checking never changes anything; only `mark` moves the window, and it is called after the ICV has passed. A
   forged sequence number therefore costs one failed integrity check and nothing else.
2. Sequence number 0 is never valid.
3. What lies left of the window is stale: it cannot be told from a replay.

As in RFC 6479 the window is a ring that a sequence number finds its place in by itself, so that nothing is
shifted. A place holds the last number that fell there rather than a bit: numbers that the window jumps over
need no clearing, and a packet costs the same whatever the size of the window, and of the jump.
"""

from array import array
from typing import Final

import numpy as np
import numpy.typing as npt

from node.errors import DropReason, LocalMisuse

#: RFC 4303 3.4.3: a minimum window size of 32 packets must be supported.
MIN_WINDOW: Final = 32

#: A place takes eight octets: 64 KiB for each SA.
MAX_WINDOW: Final = 8192

#: Sequence numbers in one subspace of the 64-bit extended sequence number (RFC 4303 A1).
SUBSPACE: Final = 1 << 32

#: The last one there is; an SA without ESN has a smaller one, which its field cannot exceed.
LAST_SEQUENCE: Final = (1 << 64) - 1


class ReplayWindow:
    """A sliding window of `size` packets, 32 to 8,192. Raises LocalMisuse for other sizes."""

    __slots__ = ("_places", "_ring", "size", "top")

    def __init__(self, size: int) -> None:
        if not MIN_WINDOW <= size <= MAX_WINDOW:
            raise LocalMisuse(f"replay window of {size} packets: it must be {MIN_WINDOW} to {MAX_WINDOW}")
        self.size = size
        #: The highest sequence number that was authenticated, 0 before the first.
        self.top = 0
        # One memory, seen by two: an array is quicker for one number, NumPy for many.
        self._ring = array("Q", bytes(8 * size))
        self._places = np.frombuffer(self._ring, np.uint64)

    def check(self, sequence: int) -> DropReason | None:
        """Why a packet with this (64-bit, where ESN is on) sequence number is refused, or None. Changes
        nothing.
        """
        behind = self.top - sequence
        if behind < 0:
            return None if sequence <= LAST_SEQUENCE else DropReason.ESP_STALE
        if behind >= self.size or sequence <= 0:
            return DropReason.ESP_STALE
        return DropReason.ESP_REPLAYED if self._ring[sequence % self.size] == sequence else None

    def mark(self, sequence: int) -> None:
        """Record an authenticated sequence number that `check` accepted."""
        self._ring[sequence % self.size] = sequence
        if sequence > self.top:
            self.top = sequence

    def mark_rising(self, sequences: npt.NDArray[np.uint64]) -> None:
        """Record authenticated numbers, each greater than the one before it and than any that was marked."""
        last = sequences[-self.size :]
        # Of two that fall into one place the later one, which is the greater, stays there.
        self._places[last % np.uint64(self.size)] = last
        self.top = int(last[-1])

    def mark_run(self, first: int, count: int) -> None:
        """Record so many authenticated numbers from `first` on, which is greater than any that was marked."""
        self.top = first + count - 1
        found = np.arange(max(first, first + count - self.size), first + count, dtype=np.uint64)
        place = int(found[0]) % self.size
        fit = min(len(found), self.size - place)
        self._places[place : place + fit] = found[:fit]
        self._places[: len(found) - fit] = found[fit:]

    def extend(self, low: int) -> int:
        """The 64-bit sequence number that the transmitted low 32 bits most likely stand for (RFC 4303 A2.2).

        The result may be negative or in no valid subspace; `check` refuses those.
        """
        high, top_low = self.top & ~(SUBSPACE - 1), self.top & (SUBSPACE - 1)
        bottom = top_low - self.size + 1
        if bottom >= 0:
            return high + low if low >= bottom else high + SUBSPACE + low
        return high - SUBSPACE + low if low >= bottom + SUBSPACE else high + low
