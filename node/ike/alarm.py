"""Whether a responder is under load, so that strangers must show a cookie first (RFC 7296 2.6, RFC 8019 4.5).

Load is half-open IKE SAs, or so many requests put off by a cookie that they would have been as many.
"""

#: Seconds that cookies stay wanted after the load fell.
CALM = 4.0


class Alarm:
    """On from the moment that `threshold` half-open IKE SAs are there; 0: always."""

    __slots__ = ("_put_off", "_since", "_threshold", "_until")

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._until: float | None = None
        self._since: float | None = None
        self._put_off = 0

    def on(self, half_open: int, now: float) -> bool:
        """Look at the load: True where cookies are wanted now."""
        if half_open >= self._threshold:
            self._until = now + CALM
        return self._until is not None and now < self._until

    def put_off(self, now: float) -> None:
        """A request was answered with a cookie."""
        if self._since is None or now - self._since >= CALM:
            self._since, self._put_off = now, 0
        self._put_off += 1
        if self._put_off >= self._threshold:
            self._until = now + CALM

    def deadline(self) -> float | None:
        """When to look again whether the load is over; None where it never is, or never was."""
        return self._until if self._threshold else None
