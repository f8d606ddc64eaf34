"""What an IKE SA wants of its peer: as many requests at a time as the window takes, the others wait in line
(RFC 7296 2.3, 2.25).

    asked for  ->  waiting  ->  active (its request is in flight)  ->  done
                      ^                     |
                      '----- put off <------'    the peer answered TEMPORARY_FAILURE

Rules:

1. A task is built when its turn comes, not when it is asked for; what has lost its point by then sends
   nothing.
2. Equal tasks wait once.
3. A task that the peer puts off for longer than `PATIENCE` says that both ends see different states: the IKE
   SA ends (RFC 7296 2.25).
4. A task that wants to be alone is begun when no other is active, and no other one beside it: what changes
   the IKE SA itself would change what the others are about. Nobody overtakes it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from node.model.message import Message
from node.model.payloads import Payload
from node.model.registry import ExchangeType
from node.ports import Entropy

#: Seconds before a task that was put off is tried again: the peer needs time for what keeps it busy. A random
#: part keeps both ends from meeting again.
PAUSE, PAUSE_JITTER = 5.0, 5.0
#: Where what the task is about ends before that, it is tried again after a quarter to a half of the time that
#: is left, but not earlier than after this, or up to twice as long.
LEAST_PAUSE = 0.1
#: Seconds for which a task may be put off again and again: "several minutes" (RFC 7296 2.25).
PATIENCE = 180.0


T = TypeVar("T")


class Task(Protocol):
    """One request of ours: what it asks, and what the answer means."""

    exchange: ClassVar[ExchangeType]
    #: No other request of ours is under way with it.
    alone: ClassVar[bool]

    def key(self) -> object:
        """What the task is about: of equal ones only one waits."""
        ...

    def move(self, sa: Any, /) -> bool:
        """Another IKE SA takes over what is asked; False where that leaves nothing to ask."""
        ...

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """The payloads of the request; None where there is nothing to ask any more."""
        ...

    def process(self, message: Message, now: float) -> None:
        """Take the authenticated answer. Raises IkeError where it makes no sense."""
        ...


@dataclass(frozen=True, slots=True)
class _Delayed:
    task: Task
    until: float


class Agenda:
    """The tasks of one IKE SA."""

    __slots__ = ("_active", "_delayed", "_entropy", "_since", "_waiting")

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._waiting: deque[Task] = deque()
        self._delayed: list[_Delayed] = []
        # When a task was put off for the first time since one came through.
        self._since: float | None = None
        # By the message ID of the request.
        self._active: dict[int, Task] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._delayed) + len(self._active)

    def active(self, kind: type[T]) -> tuple[T, ...]:
        """The tasks of this kind whose requests are in flight."""
        return tuple(task for task in self._active.values() if isinstance(task, kind))

    def add(self, task: Task) -> None:
        """Let it wait its turn, unless an equal one waits already."""
        if all(task.key() != other.key() for other in self.all()):
            self._waiting.append(task)

    def add_first(self, task: Task) -> None:
        """As `add`, at the head of the line."""
        if all(task.key() != other.key() for other in self.all()):
            self._waiting.appendleft(task)

    def next(self, now: float, message_id: int) -> tuple[Task, tuple[Payload, ...]] | None:
        """The next task and its payloads, which is active from now on, in the request with this ID; None
        where nobody may go.
        """
        due = [delayed for delayed in self._delayed if delayed.until <= now]
        self._delayed = [delayed for delayed in self._delayed if delayed.until > now]
        self._waiting.extend(delayed.task for delayed in due)
        while self._waiting and not self._is_blocked(self._waiting[0]):
            task = self._waiting.popleft()
            payloads = task.build(now)
            if payloads is not None:
                self._active[message_id] = task
                return task, payloads
        if not len(self):
            # What was put off has lost its point: nobody is out of step.
            self._since = None
        return None

    def finish(self, message_id: int) -> Task | None:
        """The answer to this request is here: its task is not active any more."""
        return self._active.pop(message_id, None)

    def put_off(self, task: Task, now: float, left: float | None = None) -> bool:
        """Try it again later. False where that has gone on for too long.

        `left` are the seconds until the end of the SA that the task replaces; None: it has none.
        """
        self._since = now if self._since is None else self._since
        if now - self._since > PATIENCE:
            return False
        chance = int.from_bytes(self._entropy(2)) / 2**16
        wait = PAUSE + PAUSE_JITTER * chance
        if left is not None:
            wait = min(wait, (1 + chance) * max(left / 4, LEAST_PAUSE))
        self._delayed.append(_Delayed(task, now + wait))
        return True

    def came_through(self) -> None:
        """The peer did what a task asked for: it is not out of step."""
        self._since = None

    def clear(self) -> None:
        """Nothing is wanted any more."""
        self._waiting.clear()
        self._delayed.clear()
        self._active.clear()
        self._since = None

    def drop(self, pointless: Callable[[Task], bool]) -> None:
        """Forget waiting tasks."""
        self._waiting = deque(task for task in self._waiting if not pointless(task))
        self._delayed = [delayed for delayed in self._delayed if not pointless(delayed.task)]

    def waiting(self) -> tuple[Task, ...]:
        """All that is not active, in order."""
        return (*self._waiting, *(delayed.task for delayed in self._delayed))

    def deadline(self) -> float | None:
        """When a delayed task is due, or None."""
        return min((delayed.until for delayed in self._delayed), default=None)

    def all(self) -> tuple[Task, ...]:
        """The active ones and all that waits."""
        return (*self._active.values(), *self.waiting())

    def _is_blocked(self, task: Task) -> bool:
        return bool(self._active) and (task.alone or any(other.alone for other in self._active.values()))
