"""A token bucket on virtual time."""


class TokenBucket:
    """Allows `rate` takes a second on average and `burst` at once."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._tokens = float(burst)
        self._updated: float | None = None

    def take(self, now: float) -> bool:
        """True where another one is allowed at `now` (monotonic seconds)."""
        if self._updated is not None:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
