"""Our node beside named peers through a tunnel between two network namespaces, in one run. Needs root.

    python -m bench.dataplane [--peers NAME ...] [--figures NAME ...] [--rounds N] [--seconds N]
                              [--node LABEL=DIRECTORY] [--json FILE] [--svg FILE] [--limit SECONDS]

The table goes to stdout as Markdown, what happens meanwhile to stderr. docs/measurements.md says what each
column means.

All that is started lives in PID, mount and network namespaces of its own, whose first process
(`bench.dataplane.inside`) dies with this one, however that ends; the kernel ends the rest with it.

Exit codes: 0 all was measured; 1 something failed, or the time was over; 2 usage; 4 no root, or a tool is
missing; 130 Ctrl-C, after a report of what there was until then.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from bench.dataplane import plot, report
from bench.dataplane.figures import MEASUREMENTS, PINGS, PROBES, USUAL, lengths
from bench.dataplane.inside import Order
from bench.dataplane.peers import MTU, PEERS, PROJECT, Peer, chosen, compared, first_version, settings_given

ROUNDS, SECONDS, LIMIT = 3, 1, 400
#: Seconds for a peer to come up, and for all the rest before the first round.
_START, _BEFORE = 1.2, 4
OK, MISSED, USAGE, ENVIRONMENT, INTERRUPTED = 0, 1, 2, 4, 130
#: What the benchmark itself runs, and the Debian package of each.
_TOOLS = {
    "iperf3": "iperf3",
    "ip": "iproute2",
    "ping": "iputils-ping",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}


def estimate(peers: int, order: Order) -> float:
    """Seconds that it will take, about."""
    each = lengths(order.seconds)
    return _BEFORE + peers * (_START + order.rounds * sum(each[name] for name in order.figures))


def environment() -> str:
    """Why it cannot be done here; empty where it can."""
    if os.geteuid() != 0:
        return "network namespaces and TUN devices need root: sudo .venv/bin/python -m bench.dataplane"
    if missing := [package for tool, package in _TOOLS.items() if shutil.which(tool) is None]:
        return f"not installed: packages {' '.join(dict.fromkeys(missing))}"
    return "" if Path("/dev/net/tun").exists() else "there is no /dev/net/tun: modprobe tun"


@contextmanager
def leashed(order: Order) -> Iterator[subprocess.Popen[str]]:
    """`inside`, whose end is the end of all that it started; it has none of our terminal's signals."""
    # The first ends with us, and with it, by --kill-child, the first process of the namespaces.
    apart = (
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
    )
    argv = (*apart, "--mount-proc", "--", sys.executable, "-m", "bench.dataplane.inside", order.text())
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    process = subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        # The end of the file comes when the last process that could write to it is gone.
        process.communicate()


def collect(order: Order, limit: float, found: report.Found) -> int:
    """Run it and keep what it tells; the exit code."""
    late = threading.Event()
    with leashed(order) as process:
        assert process.stdout is not None

        def end() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit, end)
        timer.daemon = True
        timer.start()
        try:
            for line in process.stdout:
                if word := found.take(json.loads(line)):
                    print(word, file=sys.stderr, flush=True)
            code = process.wait()
        except KeyboardInterrupt:
            print("interrupted: what there is until now:", file=sys.stderr)
            return INTERRUPTED
        finally:
            timer.cancel()
    if late.is_set():
        print(f"the {limit:g} s of --limit are over: what there is until now:", file=sys.stderr)
    return MISSED if code or late.is_set() or found.failed else OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.dataplane",
        description="Our node beside named peers, through a tunnel between two network namespaces.",
    )
    names = " ".join(peer.name for peer in PEERS)
    parser.add_argument("--peers", nargs="+", default=[], metavar="NAME", help=f"of {names} (all)")
    parser.add_argument("--figures", nargs="+", choices=MEASUREMENTS, default=USUAL, help="(all but content)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"({ROUNDS})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"of each measurement ({SECONDS})")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"seconds after which it ends ({LIMIT})")
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="LABEL=DIRECTORY",
        help="measure the node of another tree of this project as well; repeat for several",
    )
    parser.add_argument("--congestion", default="", metavar="NAME", help="of TCP (the system's)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as well")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw it there as well")
    return parser


def _trees(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for word in words:
        label, _, directory = word.partition("=")
        tree = Path(directory).resolve()
        if not label.isalnum() or any(peer.name.startswith(label) for peer in PEERS):
            raise ValueError(f"--node {word}: a label of letters and digits that no peer's name begins with")
        if not (tree / "node" / "__main__.py").exists():
            raise ValueError(f"--node {word}: no tree of this project: there is no {tree}/node")
        found.append((label, str(tree)))
    return tuple(found)


def _order(options: argparse.Namespace, directory: str) -> tuple[Order, tuple[Peer, ...]]:
    """What is to be measured. Raises ValueError."""
    if min(options.rounds, options.seconds, options.limit) < 1:
        raise ValueError("--rounds, --seconds and --limit are 1 at least")
    for path in (options.json, options.svg):
        if path and not path.parent.is_dir():
            raise ValueError(f"{path}: there is no directory {path.parent}")
    trees = _trees(options.node)
    peers = chosen(tuple(options.peers), trees)
    figures = tuple(name for name in MEASUREMENTS if name in options.figures)
    names = tuple(options.peers)
    order = Order(names, figures, options.rounds, options.seconds, directory, trees, options.congestion)
    if (needed := estimate(len(peers), order)) > options.limit:
        raise ValueError(f"that takes about {needed:.0f} s: say --limit {needed * 1.2:.0f}, or less of it")
    return order, peers


def _terminated(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    with tempfile.TemporaryDirectory(prefix="ipseclab-dataplane-") as directory:
        try:
            order, peers = _order(options, directory)
        except ValueError as error:
            print(f"bench.dataplane: {error}", file=sys.stderr)
            return USAGE
        if problem := environment():
            print(f"bench.dataplane: {problem}", file=sys.stderr)
            return ENVIRONMENT
        print(f"about {estimate(len(peers), order):.0f} s", file=sys.stderr, flush=True)
        facts, found = report.machine(order.congestion), report.Found()
        code = collect(order, options.limit, found)
    if found.samples:
        _tell(options, order, peers, found, facts)
    elif code == OK:
        print("bench.dataplane: none of these peers is installed", file=sys.stderr)
        return ENVIRONMENT
    return code


def _tell(
    options: argparse.Namespace,
    order: Order,
    peers: tuple[Peer, ...],
    found: report.Found,
    facts: dict[str, str],
) -> None:
    pairs = [(ours.name, other.name) for ours, other in compared(peers)]
    facts = {**facts, "iperf3": first_version(("iperf3", "--version"))}
    if given := settings_given():
        facts["settings of our node"] = ", ".join(f"{name}={text}" for name, text in given.items())
    of = (
        f"rounds: {order.rounds}, in turns; {order.seconds} s each, small packets {PROBES} times that, "
        f"{PINGS} pings; inner MTU {MTU}; both ends on this machine"
    )
    print(report.markdown(found, pairs, facts, of), end="")
    if options.json:
        chosen_by = {
            name: getattr(order, name) for name in ("peers", "figures", "rounds", "seconds", "trees")
        }
        text = json.dumps(report.document(found, pairs, facts, chosen_by), indent=1)
        options.json.write_text(text + "\n")
    if options.svg:
        notes = (f"{facts['processor']}, {facts['kernel']}, {facts['date']}; {of}",)
        options.svg.write_text(plot.render(found, "Our node beside named peers", notes))


if __name__ == "__main__":
    sys.exit(main())
