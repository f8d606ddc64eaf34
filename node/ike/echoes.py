"""The last answers of IKE SAs that are gone.

The answer to a DELETE, or the refusal of an IKE_AUTH, may be lost; the peer then repeats its request. What is
left of the SA is just enough to repeat the answer: a hash and the stored datagrams, for a short while,
bounded in number.
"""

from node.ike.window import Answered

#: How long an answer is kept, in seconds: the first six repetitions of a peer with the usual back-off fall
#: into it.
LIFETIME = 30.0
#: How many are kept, and octets of their datagrams; the oldest give way. An answer has some hundred octets,
#: one with a chain of certificates in fragments up to 40,000.
CAPACITY, MAX_OCTETS = 1_000, 4 * 1024 * 1024


class Echoes:
    """Answers by our SPI, in order of their age."""

    __slots__ = ("_kept", "_octets")

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[Answered, float]] = {}
        self._octets = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, spi: bytes, answered: Answered, now: float) -> None:
        """Keep the last answer of a closed SA."""
        self.expire(now)
        if spi in self._kept:
            self._forget(spi)
        self._kept[spi] = (answered, now + LIFETIME)
        self._octets += _size(answered)
        while len(self._kept) > CAPACITY or self._octets > MAX_OCTETS:
            self._forget(next(iter(self._kept)))

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
            self._forget(spi)

    def _forget(self, spi: bytes) -> None:
        self._octets -= _size(self._kept.pop(spi)[0])


def _size(answered: Answered) -> int:
    return sum(map(len, answered.datagrams))
