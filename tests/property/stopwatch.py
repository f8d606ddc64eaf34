"""CPU time of a block in this thread, with what the garbage collector took of it told apart.

Any allocation can start a collection of everything that is alive in the process. Which datagram it hits is
chance, and how long it takes says how much this process holds, not what the datagram cost. So both are kept:
`own` is judged for each datagram, `collected` on its own.
"""

import gc
from time import thread_time


class Stopwatch:
    """Measures what is done inside it, as a context; it can be used again, not inside itself."""

    def __init__(self) -> None:
        #: Seconds of the last block, without the collector; and what the collector took of it.
        self.own = 0.0
        self.collected = 0.0
        self._begun = self._collecting = 0.0

    def __enter__(self) -> "Stopwatch":
        gc.callbacks.append(self._on_collection)
        self.collected, self._begun = 0.0, thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.own = thread_time() - self._begun - self.collected
        gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = thread_time()
        else:
            self.collected += thread_time() - self._collecting
