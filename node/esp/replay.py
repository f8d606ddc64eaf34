"""The anti-replay window of one inbound SA (RFC 4303 3.4.3 and appendix A2).

Rules:

1. Checking never changes anything; only `mark` moves the window, and it is called after the ICV has passed. A
   forged sequence number therefore costs one failed integrity check and nothing else.
2. Sequence number 0 is never valid.
3. What lies left of the window is stale: it cannot be told from a replay.

The window is one integer used as a bit mask, bit 0 standing for the highest number seen. Up to 1,024
packets that is as fast as the ring of words of RFC 6479 or faster; above that the
ring would win.
"""

from typing import Final

from node.errors import DropReason, LocalMisuse

#: RFC 4303 3.4.3: a minimum window size of 32 packets must be supported.
MIN_WINDOW: Final = 32

#: Above this a packet would pay for shifting more than half a kilobyte of mask.
MAX_WINDOW: Final = 4096

#: Sequence numbers in one subspace of the 64-bit extended sequence number (RFC 4303 A1).
SUBSPACE: Final = 1 << 32


class ReplayWindow:
    """A sliding window of `size` packets, 32 to 4,096. Raises LocalMisuse for other sizes."""

    __slots__ = ("_full", "_seen", "size", "top")

    def __init__(self, size: int) -> None:
        if not MIN_WINDOW <= size <= MAX_WINDOW:
            raise LocalMisuse(f"replay window of {size} packets: it must be {MIN_WINDOW} to {MAX_WINDOW}")
        self.size = size
        #: The highest sequence number that was authenticated, 0 before the first.
        self.top = 0
        self._seen = 0
        self._full = (1 << size) - 1

    def check(self, sequence: int) -> DropReason | None:
        """Why a packet with this (64-bit, where ESN is on) sequence number is refused, or None. Changes
        nothing.
        """
        behind = self.top - sequence
        if behind < 0:
            return None
        if behind >= self.size or sequence <= 0:
            return DropReason.ESP_STALE
        return DropReason.ESP_REPLAYED if self._seen >> behind & 1 else None

    def mark(self, sequence: int) -> None:
        """Record an authenticated sequence number that `check` accepted."""
        ahead = sequence - self.top
        if ahead <= 0:
            self._seen |= 1 << -ahead
            return
        # An authenticated peer may skip billions of numbers: never shift by more than the window.
        self._seen = (self._seen << ahead | 1) & self._full if ahead < self.size else 1
        self.top = sequence

    def extend(self, low: int) -> int:
        """The 64-bit sequence number that the transmitted low 32 bits most likely stand for (RFC 4303 A2.2).

        The result may be negative or in no valid subspace; `check` refuses those.
        """
        high, top_low = self.top & ~(SUBSPACE - 1), self.top & (SUBSPACE - 1)
        bottom = top_low - self.size + 1
        if bottom >= 0:
            return high + low if low >= bottom else high + SUBSPACE + low
        return high - SUBSPACE + low if low >= bottom + SUBSPACE else high + low
