"""The last answers of IKE SAs that are gone.

The answer to a DELETE, or the refusal of an IKE_AUTH, may be lost; the peer then repeats its request. What is
left of the SA is just enough to repeat the answer: a hash and the stored datagrams, for a short while,
bounded in number.
"""

from node.ike.window import Answered

#: How long an answer is kept, in seconds: the first six repetitions of a peer with the usual back-off fall
#: into it.
LIFETIME = 30.0
#: How many are kept; the oldest give way. About a kilobyte each.
CAPACITY = 1_000


class Echoes:
    """Answers by our SPI, in order of their age."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[Answered, float]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, spi: bytes, answered: Answered, now: float) -> None:
        """Keep the last answer of a closed SA."""
        self.expire(now)
        if len(self._kept) >= CAPACITY:
            del self._kept[next(iter(self._kept))]
        self._kept[spi] = (answered, now + LIFETIME)

    def answer(self, spi: bytes, octets: bytes, now: float) -> tuple[bytes, ...] | None:
        """The datagrams that answer this very request, or None."""
        self.expire(now)
        kept = self._kept.get(spi)
        return kept[0].datagrams if kept is not None and kept[0].is_for(octets) else None

    def deadline(self) -> float | None:
        """When the oldest is due to be forgotten, or None."""
        return next((until for _, until in self._kept.values()), None)

    def expire(self, now: float) -> None:
        """Forget what is too old."""
        while self._kept:
            spi, (_, until) = next(iter(self._kept.items()))
            if until > now:
                return
            del self._kept[spi]
