"""What an established IKE SA keeps in memory, and that nothing of it is left when it is gone.

    python -m bench.memory [--case NAME] [--sas N] [--rounds N] [--json FILE]

One responder endpoint with many IKE SAs, each with its Child SA; the initiators live in another process and
only datagrams come across, so that their memory is not counted. In each round all SAs come up, the initiators
delete them, and the last answers expire. Counted are Python objects (tracemalloc) and the pages of the
process (RSS, which has the contexts of OpenSSL as well), each in a fresh process, as tracing costs memory
itself. What is free is given back first (malloc_trim), where the C library can. ECDSA and x25519 because they
are quick; keys and protection are those of the default suite.

The case `asn1` is the engine alone; `rfc7296` has both directions of each Child SA in the SAD as well, as a
node does, and as many IKE SAs as one may have.
"""

import argparse
import ctypes
import gc
import multiprocessing
import os
import resource
import sys
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from bench.pair import PATHS, Credentials, credentials, endpoint, take
from bench.primitives import write
from node.esp.sad import Sad

SUITE = "aes256-sha256-x25519"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured; `goal` is what the project promises for one established IKE SA, in octets."""

    profile: str
    counted: str
    sas: int
    rounds: int
    goal: int
    data_path: bool = False


CASES = (
    Case("asn1", "objects", 1_000, 3, 32 * 1024),
    Case("asn1", "resident", 1_000, 3, 32 * 1024),
    Case("rfc7296", "objects", 1_000, 3, 27_000, data_path=True),
    Case("rfc7296", "resident", 10_000, 3, 27_000, data_path=True),
)
#: Octets for each SA by which a later round may be above the first.
GROWTH = {"objects": 16.0, "resident": 512.0}
#: Seconds after which an endpoint has forgotten the last answers of SAs that are gone.
FORGOTTEN = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """Octets for each SA: held while it is up, by round, and left over after it is gone, by round."""

    case: Case
    held: tuple[float, ...]
    left: tuple[float, ...]

    @property
    def growth(self) -> float:
        """What later rounds hold beyond the first, or left: which free pages malloc gives back wanders."""
        found = self.left if self.case.counted == "objects" else self.held
        return max(found) - found[0]

    @property
    def good(self) -> bool:
        """Within the goal, and not growing."""
        return max(self.held) <= self.case.goal and self.growth <= GROWTH[self.case.counted]


def initiators(connection: Connection, shown: Credentials, profile: str) -> None:
    """The other process: takes `up`, `down` or a datagram, and answers with the datagrams that it sends."""
    one = endpoint("initiator", shown, SUITE, profile)
    while (command := connection.recv()) is not None:
        if command == "up":
            one.initiate(PATHS["initiator"], 0.0)
        elif command == "down":
            one.delete_all(0.0)
        else:
            one.handle_datagram(command, PATHS["initiator"], 0.0)
        connection.send(take(one))


class Lab:
    """The responder, and the line to the initiators."""

    def __init__(self, connection: Connection, shown: Credentials, case: Case) -> None:
        self.responder = endpoint("responder", shown, SUITE, case.profile)
        self._sad = Sad(os.urandom) if case.data_path else None
        self._connection = connection
        self._now = 0.0
        self._last = b""

    def _ask(self, command: str | bytes) -> list[bytes]:
        self._connection.send(command)
        found: list[bytes] = self._connection.recv()
        return found

    def _exchange(self, command: str) -> None:
        pending = self._ask(command)
        while pending:
            for octets in pending:
                self.responder.handle_datagram(octets, PATHS["responder"], self._now)
                self._last = octets
            pending = [sent for octets in take(self.responder, self._sad) for sent in self._ask(octets)]

    def up(self, count: int) -> None:
        """Bring up that many SAs, one after the other. Raises RuntimeError where one is missing."""
        for _ in range(count):
            self._exchange("up")
        complete = sum(len(sa.children) == 1 for sa in self.responder.sas())
        if complete != count:
            raise RuntimeError(f"{complete} of {count} SAs are up")

    def down(self) -> None:
        """Delete them all and let time pass. Raises RuntimeError where one stays."""
        self._exchange("down")
        if self.responder.sas():
            raise RuntimeError(f"{len(self.responder.sas())} SAs stay")
        self._now += FORGOTTEN
        # What has expired goes when the next datagram comes: the last one once more, to nobody by now.
        self.responder.handle_datagram(self._last, PATHS["responder"], self._now)
        while self.responder.poll() is not None:
            pass


def _objects() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int:
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(case: Case) -> Result:
    """All rounds, counting `objects` or `resident` pages of this process. Run it in a fresh one."""
    shown = credentials("ecdsa-p256")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    other = context.Process(target=initiators, args=(theirs, shown, case.profile))
    other.start()
    lab = Lab(ours, shown, case)
    try:
        # Whatever is made once, on first use, is no part of an SA.
        lab.up(20)
        lab.down()
        return _rounds(lab, case)
    finally:
        ours.send(None)
        other.join()


def _rounds(lab: Lab, case: Case) -> Result:
    if case.counted == "objects":
        tracemalloc.start()
    now = _objects if case.counted == "objects" else _resident
    start = now()
    held, left = [], []
    for _ in range(case.rounds):
        lab.up(case.sas)
        held.append(round((now() - start) / case.sas, 1))
        lab.down()
        left.append(round((now() - start) / case.sas, 1))
    return Result(case, tuple(held), tuple(left))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the goal is missed or memory grows."""
    parser = argparse.ArgumentParser(description="memory of an established IKE SA")
    parser.add_argument("--case", choices=("asn1", "rfc7296"), help="one profile (default: both)")
    parser.add_argument("--sas", type=int, help="IKE SAs, instead of those of the case")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    results = []
    for case in [one for one in CASES if chosen.case in (None, one.profile)]:
        asked = replace(case, sas=chosen.sas or case.sas, rounds=chosen.rounds or case.rounds)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(measure, asked).result()
        results.append(found)
        verdict = "good" if found.good else "MISSED"
        what = f"{asked.counted} octets for each of {asked.sas} SAs"
        print(f"{asked.profile:9} {what}, goal {asked.goal}: {verdict}")
        for number, (held, left) in enumerate(zip(found.held, found.left, strict=True), start=1):
            print(f"          round {number}: held {held:8.1f}, left over {left:8.1f}", flush=True)
    write(chosen.json, {"results": [asdict(result) for result in results]})
    return int(not all(result.good for result in results))


if __name__ == "__main__":
    sys.exit(main())
