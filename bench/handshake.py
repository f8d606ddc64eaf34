"""What one handshake costs in the engine, as a ratio to the bare primitives of the same handshake.

    python -m bench.handshake [--key KIND] [--rounds N] [--first] [--profile] [--json FILE]

Two endpoints in one process, founding profile and suite, real certificates of one CA: IKE_SA_INIT and
IKE_AUTH, both sides, until both have an IKE SA and a Child SA. Each round measures the bare primitives
(`bench.primitives`) and the engine in turn, and takes the ratio inside the round, so that a machine that
changes its pace does not change it. The SA is deleted between rounds, unmeasured. No I/O is measured.

Peers come back: what a node remembers of certificates that it has read before is there from the second round
on. With --first every round has new endpoints and certificates that nobody has seen.
"""

import argparse
import cProfile
import pstats
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.pair import KEYS, Credentials, carry, credentials, endpoint, handshake, reissued
from bench.primitives import bare, clocked, write

ROUNDS = 60

#: What the project promises for the founding suite.
GOALS = {"rsa2048": 1.6, "rsa4096": 1.2}


@dataclass(frozen=True, slots=True)
class Result:
    """Medians in milliseconds, the ratio inside the rounds (with quartiles), that of the best times.

    The best times are those that other work on the machine disturbed least.
    """

    key: str
    rounds: int
    bare: float
    engine: float
    ratio: float
    lower: float
    upper: float
    best: float
    goal: float | None


class Engines:
    """An initiator and a responder that bring an IKE SA up, and take it down again."""

    def __init__(self, shown: Credentials) -> None:
        self.initiator, self.responder = endpoint("initiator", shown), endpoint("responder", shown)
        self.now = 0.0

    def up(self) -> None:
        """One handshake."""
        handshake(self.initiator, self.responder, self.now)

    def down(self) -> None:
        """Delete what is up. Raises RuntimeError where the handshake left anything but one SA and child."""
        for side in (self.initiator, self.responder):
            sas = side.sas()
            if [len(sa.children) for sa in sas] != [1]:
                raise RuntimeError(f"the handshake left {sas}")
        self.initiator.delete_all(self.now)
        carry(self.initiator, self.responder, self.now)
        self.now += 60


def measure(key: str, rounds: int = ROUNDS, first: bool = False) -> Result:
    """Interleaved rounds; the first only warms up. `first`: the peers have never met, in every round."""
    shown = credentials(key)
    floor, lasting = bare(key, shown), Engines(shown)
    pairs = [_round(floor, Engines(reissued(shown)) if first else lasting) for _ in range(rounds + 1)][1:]
    ratios = [engine / least for least, engine in pairs]
    lower, middle, upper = statistics.quantiles(ratios, n=4)
    return Result(
        key,
        rounds,
        round(statistics.median(least for least, _ in pairs) * 1e3, 3),
        round(statistics.median(engine for _, engine in pairs) * 1e3, 3),
        round(middle, 3),
        round(lower, 3),
        round(upper, 3),
        round(min(engine for _, engine in pairs) / min(least for least, _ in pairs), 3),
        GOALS.get(key),
    )


def _round(floor: Callable[[], None], engines: Engines) -> tuple[float, float]:
    least, engine = clocked(floor), clocked(engines.up)
    engines.down()
    return least, engine


def profile(key: str, rounds: int) -> pstats.Stats:
    """Where the engine spends its time."""
    engines = Engines(credentials(key))
    recorder = cProfile.Profile()
    for _ in range(rounds):
        recorder.enable()
        engines.up()
        recorder.disable()
        engines.down()
    return pstats.Stats(recorder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="cost of a handshake in the engine")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--key", choices=KEYS, action="append", help="kind of key; repeat for several")
    parser.add_argument("--first", action="store_true", help="certificates are new in every round")
    parser.add_argument("--profile", action="store_true", help="print where the time goes, instead")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    keys = chosen.key or list(KEYS)
    if chosen.profile:
        for key in keys:
            profile(key, chosen.rounds).sort_stats("tottime").print_stats(30)
        return 0
    results = []
    print(f"{'key':12} {'bare ms':>8} {'engine ms':>9} {'ratio':>6}  quartiles          best goal")
    for key in keys:
        found = measure(key, chosen.rounds, chosen.first)
        results.append(found)
        spread = f"[{found.lower:.3f} .. {found.upper:.3f}] {found.best:5.3f}"
        goal = f"{found.goal}" if found.goal else "-"
        print(
            f"{key:12} {found.bare:8.3f} {found.engine:9.3f} {found.ratio:6.3f}  {spread} {goal}", flush=True
        )
    write(chosen.json, {"first": chosen.first, "results": [asdict(result) for result in results]})
    return int(any(result.goal is not None and result.ratio > result.goal for result in results))


if __name__ == "__main__":
    sys.exit(main())
