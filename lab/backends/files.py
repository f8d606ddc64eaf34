"""Following the event files of a lab of the process backend."""

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from lab.backends.state import State
from lab.backends.watch import watch
from lab.events import NodeEvent, NodeExit, Told, parse_line

_CHUNK = 1 << 16


class _Tail:
    """Complete lines of a file that grows."""

    def __init__(self, node: str, path: Path) -> None:
        self.node, self._path = node, path
        self._offset, self._rest = 0, b""

    def read(self, *, last: bool) -> list[Told]:
        """What is new; with `last` a line without its end counts too."""
        octets = self._rest + self._new()
        *lines, self._rest = octets.split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        return [parse_line(self.node, line.decode("utf-8", "replace")) for line in lines if line.strip()]

    def _new(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                octets = file.read()
        except FileNotFoundError:
            return b""
        self._offset += len(octets)
        return octets


class FileFollower:
    """Reads the files of these nodes, and with `live` waits for more until the last node has ended."""

    def __init__(self, state: State, nodes: Sequence[str], *, live: bool) -> None:
        self._state, self._live = state, live
        self._every = {node: _Tail(node, state.nodes / f"{node}.jsonl") for node in nodes}
        self._tails = dict(self._every)
        self._ready: deque[Told] = deque()
        self._watch = watch(state.directory, state.nodes) if live else None

    @property
    def ended(self) -> bool:
        """Whether every stream has ended and everything was handed out."""
        return not self._ready and not self._tails

    def next(self, timeout: float | None) -> Told | None:
        """The next thing told; None after `timeout` seconds, or when every stream has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ready and self._tails:
            self._collect()
            if self._ready or not self._tails or self._watch is None:
                break
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._watch.wait(left)
        return self._ready.popleft() if self._ready else None

    def _collect(self) -> None:
        # Exit codes are read first: what a node wrote before it ended is then certainly in its file.
        exits = self._state.exits()
        found: list[Told] = []
        for node, tail in self._tails.items():
            found += tail.read(last=node in exits)
        # Only events have a time; prose keeps its place behind the event before it.
        found.sort(key=lambda told: told.moment.timestamp() if isinstance(told, NodeEvent) else 0.0)
        self._ready.extend(found)
        for node in [name for name in self._tails if name in exits]:
            del self._tails[node]
            self._ready.append(NodeExit(node, exits[node]))
        if self._watch is None:
            self._tails.clear()

    def reopen(self, node: str) -> None:
        """Go on with a node that was started again, where its file was left."""
        self._tails[node] = self._every[node]

    def close(self) -> None:
        """Stop following."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
