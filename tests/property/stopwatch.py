"""CPU time of one call in this thread, with what the garbage collector took of it told apart.

Any allocation can start a collection of everything that is alive in the process. Which datagram it hits is
chance, and how long it takes says how much this process holds, not what the datagram cost. So both are kept:
`own` is judged for each datagram, `collected` on its own.
"""

import gc
from collections.abc import Callable
from time import thread_time


class Stopwatch:
    """Measures calls; use it as a context, so that the collector is watched."""

    def __init__(self) -> None:
        #: Seconds of the last call, without the collector; and what the collector took of it.
        self.own = 0.0
        self.collected = 0.0
        self._begun = 0.0

    def __enter__(self) -> "Stopwatch":
        gc.callbacks.append(self._on_collection)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self._on_collection)

    def run(self, work: Callable[[], object]) -> None:
        """Call `work` and set `own` and `collected`, also where it raises."""
        self.collected = 0.0
        begun = thread_time()
        try:
            work()
        finally:
            self.own = thread_time() - begun - self.collected

    def _on_collection(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._begun = thread_time()
        else:
            self.collected += thread_time() - self._begun
