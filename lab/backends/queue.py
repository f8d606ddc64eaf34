"""A follower that collects from one thread per node."""

import queue
from collections.abc import Callable, Iterator
from threading import Thread

from lab.events import Told

Source = Callable[[], Iterator[Told]]


class QueueFollower:
    """Runs every source in a thread of its own and hands out what they yield, in the order of arrival."""

    def __init__(self, sources: dict[str, Source], close: Callable[[], None]) -> None:
        self._queue: queue.SimpleQueue[Told | BaseException | None] = queue.SimpleQueue()
        self._sources, self._close = sources, close
        self._open = 0
        self._closed = False
        for name in sources:
            self.reopen(name)

    def reopen(self, node: str) -> None:
        """Run the source of this node (again); it must not yield anything twice."""
        self._open += 1
        Thread(target=self._pump, args=(self._sources[node],), name=f"follow {node}", daemon=True).start()

    def _pump(self, source: Source) -> None:
        try:
            for told in source():
                self._queue.put(told)
        except Exception as error:
            # A stream that breaks because we closed it is no news; any other failure is the caller's to hear.
            if not self._closed:
                self._queue.put(error)
        finally:
            self._queue.put(None)

    @property
    def ended(self) -> bool:
        """Whether every stream has ended and everything was handed out."""
        return self._open == 0

    def next(self, timeout: float | None) -> Told | None:
        """The next thing told; None after `timeout` seconds, or when every stream has ended."""
        while self._open:
            try:
                item = self._queue.get(timeout=timeout)
            except queue.Empty:
                return None
            if isinstance(item, BaseException):
                raise item
            if item is not None:
                return item
            self._open -= 1
        return None

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        self._close()
