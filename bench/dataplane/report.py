"""Medians over the rounds, ratios inside a round, and how they are told: Markdown and JSON."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cryptography
from cryptography.hazmat.backends.openssl import backend

from bench.dataplane.figures import FIGURES, Figure

#: What is held against another peer; the rest is a ratio already, or said twice.
COMPARED = ("tcp1", "tcp8", "bidir", "pps", "ping_median", "cpu_a", "cpu_b")


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one round."""

    round: int
    peer: str
    figure: str
    value: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, lowest and highest of so many rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def told(self, digits: int) -> str:
        """As it stands in the table, with so many digits behind the point, more where the median is small."""
        while 0 < abs(self.median) < 10.0 ** (1 - digits) and digits < 4:
            digits += 1
        median, low, high = (f"{value:.{digits}f}" for value in (self.median, self.low, self.high))
        return f"{median} [{low} .. {high}]"


@dataclass(slots=True)
class Found:
    """What `inside` told, line by line."""

    peers: dict[str, dict[str, str]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)

    def take(self, line: Mapping[str, dict[str, Any]]) -> str:
        """Keep one line; a word about it for who waits, where there is one."""
        ((kind, fields),) = line.items()
        match kind:
            case "sample":
                self.samples.append(Sample(**fields))
                return ""
            case "peer":
                self.peers[fields["name"]] = fields
                return f"{fields['name']} {fields['version']}: up"
            case "skipped":
                self.skipped.append(fields)
                return f"{fields['peer']}: left out, {fields['why']}"
            case "failed":
                self.failed.append(fields)
                return f"{fields['peer']}: {fields['figure']} failed: {fields['why']}"
            case "load":
                self.loads.append(fields["load"])
                return f"round {fields['round']}, load {fields['load']}"
            case _:
                raise ValueError(f"what is {kind!r}?")

    def values(self, peer: str, figure: str) -> dict[int, float]:
        """By round."""
        return {one.round: one.value for one in self.samples if (one.peer, one.figure) == (peer, figure)}

    def spread(self, peer: str, figure: str) -> Spread | None:
        """Over the rounds; None where nothing was measured."""
        values = list(self.values(peer, figure).values())
        return Spread.of(values) if values else None

    def ratio(self, ours: str, other: str, figure: str) -> Spread | None:
        """Ours over the other's, in the rounds that have both."""
        mine, theirs = self.values(ours, figure), self.values(other, figure)
        ratios = [mine[number] / theirs[number] for number in mine if theirs.get(number)]
        return Spread.of(ratios) if ratios else None

    def figures(self) -> dict[str, Figure]:
        """Those that were measured, in the order of the table."""
        there = {one.figure for one in self.samples}
        return {name: figure for name, figure in FIGURES.items() if name in there}


Pairs = Iterable[tuple[str, str]]


def machine(congestion: str = "") -> dict[str, str]:
    """What the numbers depend on, besides the peers."""
    words = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition("\n")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} x {words.strip(' :	') or platform.machine()}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "python": platform.python_version(),
        "cryptography": f"{cryptography.__version__} with {backend.openssl_version_text()}",
        "tcp": congestion or system,
    }


def markdown(found: Found, pairs: Pairs, facts: Mapping[str, str], of: str) -> str:
    """The whole report for people. `of` says how it was measured."""
    figures = found.figures()
    lines = [*(f"* {name}: {text}" for name, text in facts.items()), f"* {of}"]
    if found.loads:
        lines.append(f"* load when the rounds began: {', '.join(f'{load:.1f}' for load in found.loads)}")
    lines += [f"* {one['title']}: {one['version']}" for one in found.peers.values()]
    lines += [f"* left out: {one['peer']}, {one['why']}" for one in found.skipped]
    lines += [
        f"* failed: {one['peer']}, {one['figure']}, round {one['round']}: {one['why']}"
        for one in found.failed
    ]
    heads = [f"{figure.title}, {figure.unit}" for figure in figures.values()]
    rows = [
        [peer["title"], *(_cell(found.spread(name, key), one.digits) for key, one in figures.items())]
        for name, peer in found.peers.items()
    ]
    lines += ["", "Median [lowest .. highest] of the rounds:", "", *_table(["peer", *heads], rows)]
    held = [name for name in COMPARED if name in figures]
    ratios = [
        [f"{ours} / {other}", *(_cell(found.ratio(ours, other, name), 2) for name in held)]
        for ours, other in pairs
        if ours in found.peers and other in found.peers
    ]
    if ratios:
        heads = [
            f"{figures[name].title} ({'more' if figures[name].more else 'less'} is better)" for name in held
        ]
        lines += ["", "Ratios inside a round:", "", *_table(["ours / the other", *heads], ratios)]
    return "\n".join(lines) + "\n"


def _cell(spread: Spread | None, digits: int) -> str:
    return spread.told(digits) if spread else "-"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines]


def document(
    found: Found, pairs: Pairs, facts: Mapping[str, str], order: Mapping[str, Any]
) -> dict[str, Any]:
    """The same for programs, with every sample."""
    keys = {(one.peer, one.figure): None for one in found.samples}
    return {
        "machine": dict(facts),
        "order": dict(order),
        "loads": found.loads,
        "peers": list(found.peers.values()),
        "skipped": found.skipped,
        "failed": found.failed,
        "samples": [asdict(one) for one in found.samples],
        "medians": [
            {"peer": peer, "figure": figure, **asdict(spread)}
            for peer, figure in keys
            if (spread := found.spread(peer, figure))
        ],
        "ratios": [
            {"ours": ours, "other": other, "figure": figure, **asdict(spread)}
            for ours, other in pairs
            for figure in COMPARED
            if (spread := found.ratio(ours, other, figure))
        ],
    }
