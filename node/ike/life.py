"""When a peer was heard last."""


class Life:
    """Signs of life of one peer; `interval` seconds without any are silence, 0: none is."""

    __slots__ = ("_interval", "_last", "_numbers")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: float | None = None
        self._numbers: dict[bytes, int] = {}

    def heard(self, now: float) -> None:
        """The peer gave a sign of life."""
        self._last = now

    def moved(self, numbers: dict[bytes, int]) -> bool:
        """Whether ESP packets came since the last call: highest sequence numbers by inbound SPI."""
        before, self._numbers = self._numbers, numbers
        return any(number > before.get(spi, 0) for spi, number in numbers.items())

    def deadline(self) -> float | None:
        """When it will have been silent for long enough to be asked; None: never."""
        return self._last + self._interval if self._interval and self._last is not None else None
