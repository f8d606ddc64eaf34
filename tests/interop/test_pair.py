"""The pair of containers after a cell that failed: its daemons end before others are started."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from lab.backends.docker import DockerLab
from lab.errors import CheckFailed
from lab.events import NodeEvent, NodeExit, Told
from lab.interop.cells import Cell
from lab.interop.documents import OTHER, PEER, SUBJECT
from lab.interop.pair import Pair
from lab.interop.pki import Pki

CELL = Cell("initiator", "psk", "x25519", "gcm128")


@dataclass(frozen=True)
class Node:
    name: str
    running: bool


@dataclass(frozen=True)
class Info:
    nodes: tuple[Node, ...]


@dataclass
class Lab:
    """Two daemons that refuse whatever they are asked. The end of one is told later than it happens: only to
    whoever waits.
    """

    dead: set[str]
    log: list[str] = field(default_factory=list)
    told: deque[Told] = field(default_factory=deque)
    late: deque[Told] = field(default_factory=deque)

    def follow(self, nodes: Sequence[str], *, live: bool) -> "Lab":
        assert live
        for node in nodes:
            self.reopen(node)
        return self

    def next(self, timeout: float) -> Told | None:
        if self.told:
            return self.told.popleft()
        return self.late.popleft() if timeout and self.late else None

    def reopen(self, node: str) -> None:
        self.told.append(NodeEvent(datetime.now(UTC), node, "udp_bound", {}))

    def close(self) -> None:
        self.log.append("close")

    def info(self) -> Info:
        return Info(tuple(Node(side, side not in self.dead) for side in OTHER))

    def put(self, side: str, files: dict[str, bytes]) -> None:
        assert "swanctl.conf" in files

    def control(self, side: str, words: Sequence[str], timeout: float) -> Any:
        raise CheckFailed(f"{side}: ctl {' '.join(words)}: no")

    def kill(self, side: str) -> None:
        assert side not in self.dead
        self.log.append(f"kill {side}")
        self.late.append(NodeExit(side, 137))

    def start(self, side: str) -> None:
        self.log.append(f"start {side}")


@pytest.mark.parametrize("dead", [set[str](), {PEER}, {SUBJECT, PEER}])
def test_the_end_of_the_old_daemons_is_not_taken_for_that_of_the_new_ones(dead: set[str]) -> None:
    lab = Lab(dead)
    pair = Pair(cast(DockerLab, lab), Pki(Path()))
    result = pair.run(CELL)
    assert "reload: no" in result.problems[0]
    killed = [word for word in lab.log if word.startswith("kill")]
    assert set(killed) == {f"kill {side}" for side in OTHER if side not in dead}
    assert set(lab.log[len(killed) :]) == {f"start {side}" for side in OTHER}
    assert not lab.late
