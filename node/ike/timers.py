"""Deadlines of many IKE SAs, the earliest first."""

import heapq


class Timers:
    """One deadline for each key. Setting, clearing and reading the earliest cost O(log n)."""

    __slots__ = ("_heap", "_when")

    def __init__(self) -> None:
        self._when: dict[bytes, float] = {}
        self._heap: list[tuple[float, bytes]] = []

    def set(self, key: bytes, when: float | None) -> None:
        """Let `key` be due at `when`, or never."""
        if when is None:
            self._when.pop(key, None)
        elif self._when.get(key) != when:
            self._when[key] = when
            heapq.heappush(self._heap, (when, key))
        # Replaced and cleared entries stay in the heap until they surface; keep them from outnumbering the
        # live ones.
        if len(self._heap) > 2 * len(self._when) + 64:
            self._heap = [(w, k) for k, w in self._when.items()]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """The earliest deadline, or None."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[bytes]:
        """Take out the keys whose deadline has come, in order."""
        keys = []
        while (when := self.next()) is not None and when <= now:
            _, key = heapq.heappop(self._heap)
            del self._when[key]
            keys.append(key)
        return keys
