"""IKE SA setups per second: two nodes on loopback, beside the bare primitives of the same handshakes.

    python -m bench.setup_rate [--suite NAME] [--rounds N] [--sas N] [--quiet] [--profile DIR] [--json FILE]

Profile rfc7296, real certificates of one CA (or a shared key), one process for each node (`bench.driven`),
UDP over 127.0.0.1, both on the same cores. A setup is IKE_SA_INIT and IKE_AUTH with a Child SA, until the
initiator has installed it. Eight are on their way at once, within the limits that a responder has by default.

In each round two processes do the primitives of `bench.primitives` at the same time, then the nodes bring up
`--sas` IKE SAs, then delete them, unmeasured. What counts is CPU time, user and system, of both processes
together, and the ratio inside the round; the rate is that of the wall clock. Nodes do all that they do for a
user: JSON events to one file and prose to another. With --quiet both go to /dev/null.

strongSwan's load-tester plugin would be the peer to compare with. Where it is not installed the comparison is
left out, and the output says so.
"""

import argparse
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.driven import Initiator, Place, Responder, Suite
from bench.pair import Credentials, credentials
from bench.primitives import PSK, bare, clocked, write

ROUNDS, SAS = 15, 100

#: What the project promises: CPU time of both nodes as a multiple of the primitives'.
GOALS = {
    Suite("rsa2048", "modp2048"): 1.4,
    Suite("rsa2048", "x25519"): 1.6,
    Suite("rsa2048", "x25519", "aes256gcm16"): 1.6,
    Suite(PSK, "x25519", "aes256gcm16"): 4.0,
}

#: Where distributions and builds from source keep strongSwan's plugins.
PLUGINS = ("/usr/lib/ipsec/plugins", "/usr/libexec/ipsec/plugins", "/usr/local/lib/ipsec/plugins")
LOAD_TESTER = "libstrongswan-load-tester.so"


@dataclass(frozen=True, slots=True)
class Sample:
    """One round: seconds of CPU of one setup (primitives, initiator, responder), setups per second."""

    bare: float
    initiator: float
    responder: float
    rate: float

    @property
    def ratio(self) -> float:
        """Both nodes, as a multiple of the primitives."""
        return (self.initiator + self.responder) / self.bare


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over the rounds; milliseconds of CPU of one setup. `ratio` is lower quartile, median, upper.

    `allowed` is what the primitives would allow per second and core. `untoward` counts retransmissions,
    repeated answers and drops of all rounds.
    """

    suite: str
    rounds: int
    bare: float
    initiator: float
    responder: float
    ratio: tuple[float, float, float]
    rate: float
    allowed: float
    untoward: int
    goal: float


class Floor:
    """The primitives, half of the handshakes in each of two processes, as the nodes are two."""

    def __init__(self, suite: Suite, shown: Credentials | None) -> None:
        self._pools = [
            ProcessPoolExecutor(1, initializer=_prepare, initargs=(suite, shown)) for _ in range(2)
        ]
        self.spent(2)

    def spent(self, handshakes: int) -> float:
        """Seconds of CPU of one handshake, both sides."""
        half = handshakes // 2
        running = [pool.submit(_primitives, half) for pool in self._pools]
        return sum(one.result() for one in running) / (2 * half)

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown()


_floor: list[Callable[[], None]] = []


def _prepare(suite: Suite, shown: Credentials | None) -> None:
    _floor.append(bare(suite.key, shown, suite.ke, suite.cipher))


def _primitives(handshakes: int) -> float:
    return sum(clocked(_floor[0]) for _ in range(handshakes))


def cpu_time(pid: int) -> float:
    """Seconds of CPU that a process has used, user and system: its clock by clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def sample(floor: Floor, initiator: Initiator, responder: Responder, sas: int) -> tuple[Sample, int]:
    """One round, and how much happened that ought not to. Raises RuntimeError where an IKE SA is missing."""
    least = floor.spent(sas)
    sides = (initiator.pid, responder.pid)
    before, began = [cpu_time(pid) for pid in sides], time.perf_counter()
    up = initiator.up(sas)
    took = time.perf_counter() - began
    ours, theirs = (cpu_time(pid) - then for pid, then in zip(sides, before, strict=True))
    if up["ike_sas"] != sas:
        raise RuntimeError(f"{up['ike_sas']} IKE SAs are up instead of {sas}")
    down = initiator.down()
    return Sample(least, ours / sas, theirs / sas, sas / took), sum(down.values()) - down["ike_sas"]


def measure(suite: Suite, rounds: int, sas: int, quiet: bool) -> Result:
    """Interleaved rounds; the first only warms up."""
    shown = None if suite.key == PSK else credentials(suite.key)
    with ExitStack() as stack:
        place = Place(Path(stack.enter_context(tempfile.TemporaryDirectory())), suite, shown, quiet)
        floor = stack.enter_context(closing(Floor(suite, shown)))
        responder = stack.enter_context(closing(Responder(place)))
        initiator = stack.enter_context(closing(Initiator(place)))
        sample(floor, initiator, responder, sas)
        found = [sample(floor, initiator, responder, sas) for _ in range(rounds)]
        dropped = responder.counters()["dropped"]
    return summary(suite, [one for one, _ in found], found[-1][1] + sum(dropped.values()))


def summary(suite: Suite, samples: Sequence[Sample], untoward: int) -> Result:
    """Medians and quartiles."""
    lower, middle, upper = statistics.quantiles([one.ratio for one in samples], n=4)
    least = statistics.median(one.bare for one in samples)
    return Result(
        suite=suite.name,
        rounds=len(samples),
        bare=round(least * 1e3, 3),
        initiator=round(statistics.median(one.initiator for one in samples) * 1e3, 3),
        responder=round(statistics.median(one.responder for one in samples) * 1e3, 3),
        ratio=(round(lower, 3), round(middle, 3), round(upper, 3)),
        rate=round(statistics.median(one.rate for one in samples), 1),
        allowed=round(1 / least, 1),
        untoward=untoward,
        goal=GOALS[suite],
    )


def profile(suite: Suite, rounds: int, sas: int, directory: Path) -> None:
    """Where both nodes spend their time: pstats files, and the first lines of both together."""
    shown = None if suite.key == PSK else credentials(suite.key)
    directory.mkdir(parents=True, exist_ok=True)
    place = Place(directory, suite, shown)
    with closing(Responder(place, profiled=True)), closing(Initiator(place, profiled=True)) as initiator:
        for _ in range(rounds):
            initiator.up(sas)
            initiator.down()
    files = [str(place.file(name, "profile")) for name in ("initiator", "responder")]
    pstats.Stats(*files).sort_stats("tottime").print_stats(40)


def load_tester(folders: Sequence[str] = PLUGINS) -> Path | None:
    """strongSwan's load-tester plugin, where there is one."""
    found = (Path(folder) / LOAD_TESTER for folder in folders)
    return next((path for path in found if path.exists()), None)


def _told(found: Result) -> str:
    lower, middle, upper = found.ratio
    return (
        f"{found.suite:28} {found.bare:7.3f} {found.initiator:7.3f} {found.responder:7.3f} "
        f"{middle:6.2f} [{lower:.2f} .. {upper:.2f}] {found.goal:4} {found.rate:7.0f} {found.allowed:7.0f} "
        f"{found.untoward:4}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a goal is missed."""
    names = {suite.name.replace(" ", "-"): suite for suite in GOALS}
    parser = argparse.ArgumentParser(description="IKE SA setups per second, beside the bare primitives")
    parser.add_argument("--suite", choices=names, action="append", help="repeat for several (default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sas", type=int, default=SAS, help="IKE SAs that come up in a round")
    parser.add_argument("--quiet", action="store_true", help="events go to /dev/null")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="profile both nodes into here, instead")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    suites = [names[name] for name in chosen.suite or names]
    for suite in [one for one in suites if not one.configurable]:
        print(f"{suite.name}: left out, the configuration has no local.auth: psk")
        suites.remove(suite)
    if chosen.profile:
        for suite in suites:
            profile(suite, chosen.rounds, chosen.sas, chosen.profile / suite.name.replace(" ", "-"))
        return 0
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds of CPU of one setup, setups per second")
    print(
        f"{'suite':28} {'bare':>7} {'init':>7} {'resp':>7} {'ratio':>6} {'quartiles':>14} "
        f"{'goal':>4} {'rate':>7} {'allowed':>7} {'odd':>4}"
    )
    results = []
    for suite in suites:
        results.append(measure(suite, chosen.rounds, chosen.sas, chosen.quiet))
        print(_told(results[-1]), flush=True)
    if load_tester() is None:
        print(f"strongSwan's load-tester: left out, no {LOAD_TESTER} in {', '.join(PLUGINS)}")
    write(chosen.json, {"quiet": chosen.quiet, "results": [asdict(result) for result in results]})
    return int(any(result.ratio[1] > result.goal for result in results))


if __name__ == "__main__":
    sys.exit(main())
