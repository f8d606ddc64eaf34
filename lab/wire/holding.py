"""Datagrams that are held back: for a time, behind others, or until something is done. Bounded.

Time comes from outside, so tests run on a clock of their own.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

#: What is held at one time at most: datagrams, and octets of them.
MAX_HELD, MAX_OCTETS = 4096, 16 << 20
#: Seconds after which a datagram that waits for others goes all the same.
REORDER_PATIENCE = 0.3


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """It will not."""


#: Seconds from now, and what to do then.
Later = Callable[[float, Callable[[], None]], Timer]


@dataclass(slots=True)
class _Held:
    size: int
    release: Callable[[], None]
    #: An original is let go at a flush; a copy is not.
    original: bool
    #: Waits for so many datagrams of `lane` behind `order`.
    lane: Hashable = None
    order: int = 0
    left: int = 0
    timer: Timer | None = None


class Holding:
    """Everything that is held back. Each `release` is called once, or never where a flush discards it."""

    def __init__(self, later: Later) -> None:
        self._later = later
        self._held: dict[int, _Held] = {}
        #: Of these, what waits for others, by lane: most datagrams pass without looking further.
        self._lanes: dict[Hashable, dict[int, _Held]] = {}
        self._octets = 0
        self._next = 0

    def __len__(self) -> int:
        return len(self._held)

    def room(self, size: int, count: int = 1) -> bool:
        """Whether so many more of this size may be held."""
        return len(self._held) + count <= MAX_HELD and self._octets + size * count <= MAX_OCTETS

    def keep(self, size: int, release: Callable[[], None], *, original: bool = True) -> Callable[[], None]:
        """Hold until the returned function is called."""
        return self._add(_Held(size, release, original))

    def wait(self, size: int, seconds: float, release: Callable[[], None], *, original: bool = True) -> None:
        """Hold for so many seconds."""
        held = _Held(size, release, original)
        held.timer = self._later(seconds, self._add(held))

    def behind(self, size: int, lane: Hashable, order: int, count: int, release: Callable[[], None]) -> None:
        """Hold until `count` datagrams of the lane with a higher order have passed, or time is up."""
        held = _Held(size, release, True, lane, order, count)
        self._lanes.setdefault(lane, {})[self._next] = held
        held.timer = self._later(REORDER_PATIENCE, self._add(held))

    def passed(self, lane: Hashable, order: int) -> None:
        """Tell that a datagram of this lane and order was sent on."""
        due = []
        for key, held in self._lanes.get(lane, {}).items():
            if held.order < order:
                held.left -= 1
                if not held.left:
                    due.append(key)
        for key in due:
            self._release(key)

    def flush(self) -> None:
        """Let go of every original at once, in the order they were held; copies are discarded.

        What a release holds again is let go as well.
        """
        while self._held:
            key, held = next(iter(self._held.items()))
            if held.original:
                self._release(key)
            else:
                self._forget(key)

    def _add(self, held: _Held) -> Callable[[], None]:
        key = self._next
        self._next += 1
        self._held[key] = held
        self._octets += held.size
        return lambda: self._release(key)

    def _release(self, key: int) -> None:
        held = self._forget(key)
        if held is not None:
            held.release()

    def _forget(self, key: int) -> _Held | None:
        held = self._held.pop(key, None)
        if held is not None:
            self._octets -= held.size
            if held.lane is not None:
                self._leave(key, held.lane)
            if held.timer is not None:
                held.timer.cancel()
        return held

    def _leave(self, key: int, lane: Hashable) -> None:
        waiting = self._lanes.get(lane, {})
        waiting.pop(key, None)
        if not waiting:
            self._lanes.pop(lane, None)
