"""The pace of a flood: so many shots over so many seconds, evenly, then the count of what was answered."""

from collections.abc import Callable
from typing import Protocol

from lab.wire.holding import Timer

#: Seconds between two volleys, and shots in one at most: the relay has other work to do in between.
_TICK, _VOLLEY = 0.005, 64
#: Seconds that answers to the last shots are waited for.
_GRACE = 0.5


class Range(Protocol):
    """Where shots are fired: a clock, and what came back."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""

    def later(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Do something after some seconds."""

    def answers(self) -> int | None:
        """How many answers came; None where nobody can know."""

    def tell(self, event: str, /, **fields: object) -> None:
        """Write an event."""


class Flood:
    """One flood. `shoot` is called with 1, 2, ... count; where it falls behind it makes up for it."""

    def __init__(self, count: int, seconds: float, shoot: Callable[[int], None], outside: Range) -> None:
        self._count, self._seconds, self._shoot, self._outside = count, seconds, shoot, outside
        self._began = 0.0
        self._lasted = 0.0
        self._shots = 0
        self._timer: Timer | None = None
        self.running = False

    def begin(self) -> None:
        """Let the first volley follow at once, and the others by themselves."""
        self._began = self._outside.now()
        self.running = True
        self._timer = self._outside.later(0, self._volley)

    def stop(self) -> None:
        """Fire no more, and tell what there was."""
        if self.running:
            if self._timer is not None:
                self._timer.cancel()
            self._lasted = self._lasted or self._outside.now() - self._began
            self._finish()

    def _volley(self) -> None:
        passed = self._outside.now() - self._began
        share = passed / self._seconds if passed < self._seconds else 1.0
        # The first shot is due at once, the last one when the seconds are over.
        due = min(self._count, 1 + int(share * (self._count - 1)))
        stop = min(due, self._shots + _VOLLEY)
        while self._shots < stop:
            self._shots += 1
            self._shoot(self._shots)
        if self._shots == self._count:
            self._lasted = self._outside.now() - self._began
            self._timer = self._outside.later(_GRACE, self._finish)
        else:
            self._timer = self._outside.later(_TICK if stop == due else 0, self._volley)

    def _finish(self) -> None:
        self.running = False
        self._outside.tell(
            "wire_flood_done",
            count=self._shots,
            seconds=round(self._lasted, 3),
            answers=self._outside.answers(),
        )
