"""What a responder spends on an IKE SA: our node beside strongSwan's charon, asked by the same initiator.

    sudo python -m bench.responders [--suite NAME] [--rounds N] [--sas N] [--json FILE]

Both are in a network namespace and a mount namespace made for this run, on 127.0.0.1, and are asked in turns
for IKE SAs with a Child SA, eight at once, by our node (`bench.driven`); those are deleted again, unmeasured.
What counts is the CPU time, user and system, of the responder's process, and the ratio inside the round.

charon has the plugins of the lab's strongSwan (OpenSSL, ESP in user space) and writes nothing to any log; our
node writes JSON events to one file and prose to another, as for a user. With --quiet both go to /dev/null.
"""

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.dataplane.peers import StrongSwan, first_version, strongswan_conf
from bench.driven import SECRET, Initiator, Place, Responder, Suite, end, wait_for
from bench.pair import Credentials, credentials
from bench.primitives import PSK, write
from bench.setup_rate import GOALS, cpu_time
from lab.peers import settings
from lab.peers.strongswan import Auth, Connection, swanctl_conf

ROUNDS, SAS = 11, 100
#: charon's: at any other than 500 it takes every message for one with a non-ESP marker.
PORTS = (500, 4500)
#: The initiator is one source of many IKE SAs, which charon would refuse.
FLOOD: settings.Section = {"dos_protection": False}


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds of CPU of one IKE SA, medians over the rounds; `ratio`, of ours to theirs, is lower
    quartile, median, upper.
    """

    suite: str
    rounds: int
    ours: float
    theirs: float
    ratio: tuple[float, float, float]


class Charon:
    """charon in the place of `bench.driven.Responder`. Raises RuntimeError where it does not start."""

    def __init__(self, place: Place, directory: Path, suite: Suite, shown: Credentials | None) -> None:
        """`place` has the credentials and the ports, `directory` is for what strongSwan wants of its own."""
        self._directory, conf = directory, directory / "strongswan.conf"
        for name in ("x509", "x509ca", "private"):
            (directory / name).mkdir(parents=True)
        if shown is not None:
            shutil.copy(place.file("responder-cert", "pem"), directory / "x509")
            shutil.copy(place.file("ca", "pem"), directory / "x509ca")
            shutil.copy(place.file("responder-key", "pem"), directory / "private")
        (directory / "swanctl.conf").write_text(swanctl_conf([_connection(suite, shown)]))
        conf.write_text(strongswan_conf(directory / "vici", FLOOD))
        self._environment = {**os.environ, "STRONGSWAN_CONF": str(conf), "SWANCTL_DIR": str(directory)}
        with (directory / "charon.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["charon-systemd"], env=self._environment, stdout=log, stderr=log
            )
        self.pid = self._process.pid
        try:
            wait_for((directory / "vici").exists, self._process)
            self.ask("--load-all", "--noprompt")
        except (RuntimeError, subprocess.SubprocessError):
            self.close()
            raise

    def ask(self, *arguments: str) -> str:
        """Ask the daemon; what it answers."""
        order = ["swanctl", *arguments, "--uri", f"unix://{self._directory / 'vici'}"]
        done = subprocess.run(
            order, env=self._environment, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def close(self) -> None:
        """End it."""
        end(self._process)


def _connection(suite: Suite, shown: Credentials | None) -> Connection:
    return Connection(
        name="bench",
        local_identity="fqdn:responder",
        remote_identity="fqdn:initiator",
        local_ts=("10.2.0.0/24",),
        remote_ts=("10.1.0.0/24",),
        ike=(suite.ike,),
        esp=("aes256gcm16",),
        auth=Auth.PSK if shown is None else Auth.PUBKEY,
        secret=SECRET if shown is None else b"",
        certificate="" if shown is None else "responder-cert.pem",
        local_address="127.0.0.1",
    )


def spent(initiator: Initiator, pid: int, sas: int) -> float:
    """Seconds of CPU that the responder `pid` spends on one of so many IKE SAs.

    Raises RuntimeError where one is missing.
    """
    before = cpu_time(pid)
    up = initiator.up(sas)
    took = cpu_time(pid) - before
    if up["ike_sas"] != sas:
        raise RuntimeError(f"{up['ike_sas']} IKE SAs are up instead of {sas}")
    initiator.down()
    return took / sas


def measure(suite: Suite, rounds: int, sas: int, quiet: bool) -> Result:
    """Interleaved rounds, each the other way round than the one before; the first only warms up."""
    shown = None if suite.key == PSK else credentials(suite.key)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in ("ours", "theirs"):
            (root / name).mkdir()
        ours = Place(root / "ours", suite, shown, quiet)
        theirs = Place(root / "theirs", suite, shown, quiet, PORTS)
        node = stack.enter_context(closing(Responder(ours)))
        charon = stack.enter_context(closing(Charon(theirs, root / "swanctl", suite, shown)))
        asking = [stack.enter_context(closing(Initiator(place))) for place in (ours, theirs)]
        found: list[tuple[float, float]] = []
        for number in range(rounds + 1):
            took = dict.fromkeys((0, 1), 0.0)
            for one in (0, 1) if number % 2 else (1, 0):
                took[one] = spent(asking[one], (node.pid, charon.pid)[one], sas)
            found.append((took[0], took[1]))
    return summary(suite, found[1:])


def summary(suite: Suite, samples: Sequence[tuple[float, float]]) -> Result:
    """Medians, and quartiles of the ratio."""
    lower, middle, upper = statistics.quantiles([ours / theirs for ours, theirs in samples], n=4)
    return Result(
        suite=suite.name,
        rounds=len(samples),
        ours=round(1e3 * statistics.median(ours for ours, _ in samples), 3),
        theirs=round(1e3 * statistics.median(theirs for _, theirs in samples), 3),
        ratio=(round(lower, 3), round(middle, 3), round(upper, 3)),
    )


def apart() -> None:
    """Go into a network namespace and a mount namespace of our own, with our own /run. Raises OSError."""
    if os.geteuid():
        raise PermissionError("charon and a network namespace of its own need root: use sudo")
    libc = ctypes.CDLL(None, use_errno=True)
    # CLONE_NEWNET and CLONE_NEWNS: Python 3.12 has os.unshare.
    if libc.unshare(0x40000000 | 0x00020000):
        raise OSError(ctypes.get_errno(), "no namespaces of our own")
    for order in (
        ("ip", "link", "set", "lo", "up"),
        # charon wants an address of the inner network, for its route.
        ("ip", "addr", "add", "10.2.0.1/32", "dev", "lo"),
        ("mount", "--make-rprivate", "/"),
        ("mount", "-t", "tmpfs", "tmpfs", "/run"),
    ):
        subprocess.run(order, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 also where strongSwan is not there, which is told."""
    names = {suite.name.replace(" ", "-"): suite for suite in GOALS}
    parser = argparse.ArgumentParser(description="CPU of a responder for an IKE SA: our node beside charon")
    parser.add_argument("--suite", choices=names, action="append", help="repeat for several (default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sas", type=int, default=SAS, help="IKE SAs that come up in a round")
    parser.add_argument("--quiet", action="store_true", help="events of our node go to /dev/null")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    missing = StrongSwan("charon", "strongSwan", None).missing()
    if missing:
        print(f"left out, strongSwan is not there: {missing}")
        return 0
    version = first_version(("swanctl", "--help"))
    try:
        apart()
    except OSError as error:
        print(f"left out: {error.strerror or error}")
        return 0
    print(f"load {os.getloadavg()[0]:.1f}; {version}; milliseconds of CPU of one IKE SA at the responder")
    print(f"{'suite':28} {'ours':>7} {'charon':>7} {'ratio':>6} {'quartiles':>14}")
    results = []
    for name in chosen.suite or names:
        results.append(found := measure(names[name], chosen.rounds, chosen.sas, chosen.quiet))
        lower, middle, upper = found.ratio
        spread = f"{middle:6.2f} [{lower:.2f} .. {upper:.2f}]"
        print(f"{found.suite:28} {found.ours:7.3f} {found.theirs:7.3f} {spread}", flush=True)
    write(
        chosen.json,
        {"strongswan": version, "quiet": chosen.quiet, "results": [asdict(one) for one in results]},
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
