"""Dummies (RFC 4303 2.6): packets that mean nothing, at a steady rate, through every Child SA that sends.

They hide when there is something to say, not that there is a tunnel. A receiver drops them once they are
verified; nobody takes them for a sign of life.
"""

import asyncio
from collections.abc import Callable


class Chaff:
    """Calls `send` so many times a second; 0: never. The times are those of a monotonic clock, in seconds."""

    def __init__(self, send: Callable[[], None], rate: int) -> None:
        self._send, self._period = send, 1 / rate if rate else 0.0
        self._due: float | None = None

    def wait(self, now: float) -> float | None:
        """Seconds until it is time to send again; None: never. The first time is a period after the first
        call.
        """
        if not self._period:
            return None
        if self._due is None:
            self._due = now + self._period
        return max(0.0, self._due - now)

    def send_due(self, now: float) -> None:
        """Send where it is time; what was missed is not made up for."""
        if self.wait(now) == 0.0:
            self._due = now + self._period
            self._send()

    def run(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Send by the loop's clock from now on; returns how to end that."""
        timer: asyncio.TimerHandle | None = None

        def again() -> None:
            nonlocal timer
            self.send_due(loop.time())
            left = self.wait(loop.time())
            timer = None if left is None else loop.call_later(left, again)

        def end() -> None:
            if timer is not None:
                timer.cancel()

        again()
        return end
