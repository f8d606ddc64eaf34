"""Two network namespaces and the veth pair between them; what runs there, and the CPU time that it takes.

Namespaces and processes are not taken away here: all of them live in the PID and mount namespaces of
`inside`, and go with them.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.dataplane import readings

#: Seconds for a command, and for a daemon or a tunnel to come up.
PATIENCE, START = 15.0, 20.0
_POLL = 0.02
#: What is no inner device.
_OUTSIDE = frozenset({"lo", "eth0"})


class Failed(Exception):
    """A peer, or a tool that measures it, did not do what it was asked for; one line for people."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a tunnel: a namespace, its outer and its inner address, and a directory for its files."""

    name: str
    namespace: str
    outer: str
    inner: str
    directory: Path

    def log(self, name: str) -> Path:
        """Where a process here writes what it says."""
        return self.directory / f"{name}.log"


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started at an end, and the file with all that it says."""

    name: str
    end: End
    popen: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raises Failed where it has ended."""
        if (code := self.popen.poll()) is not None:
            raise Failed(f"{self.name} at {self.end.name} ended with {code}: {self.said()}")

    def said(self) -> str:
        """The last of what it said, on one line."""
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-3:])[-400:]


@dataclass(slots=True)
class Place:
    """Where one peer is measured: data goes from `a` to `b`."""

    a: End
    b: End
    running: list[Running] = field(default_factory=list)

    @classmethod
    def made(cls, name: str, directory: Path) -> "Place":
        """Make the namespaces and the pair. Raises Failed."""
        ends = []
        for number, letter in enumerate("ab", 1):
            end = End(
                letter,
                f"{name}.{letter}",
                f"10.99.0.{number}",
                f"10.5.0.{number}",
                directory / name / letter,
            )
            end.directory.mkdir(parents=True)
            command(("ip", "netns", "add", end.namespace))
            ends.append(end)
        a, b = ends
        pair = ("ip", "link", "add", "eth0", "netns", a.namespace, "type", "veth")
        command((*pair, "peer", "name", "eth0", "netns", b.namespace))
        for end in ends:
            ip = ("ip", "-n", end.namespace)
            command((*ip, "addr", "add", f"{end.outer}/24", "dev", "eth0"))
            command((*ip, "link", "set", "lo", "up"))
            command((*ip, "link", "set", "eth0", "up"))
        return cls(a, b)

    @property
    def ends(self) -> tuple[End, End]:
        """Both."""
        return self.a, self.b

    def other(self, end: End) -> End:
        """The one at the far end."""
        return self.b if end is self.a else self.a

    def run(
        self,
        end: End,
        argv: Sequence[str],
        patience: float = PATIENCE,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """What a command at this end prints. Raises Failed."""
        return command(inside(end, argv), patience, environment, f"{argv[0]} at {end.name}")

    def start(
        self, end: End, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Running:
        """Start a process of the peer at this end."""
        started = launch(end, name, argv, environment)
        self.running.append(started)
        return started

    def check(self) -> None:
        """Raises Failed where a process of the peer has ended."""
        for one in self.running:
            one.check()

    def wait(self, ready: Callable[[], bool], what: str, patience: float = START) -> None:
        """Until it is so. Raises Failed where a process ends, or it takes too long."""
        deadline = time.monotonic() + patience
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise Failed(f"{what}: not after {patience:g} s")
            time.sleep(_POLL)

    def said(self) -> str:
        """The last that every process of the peer said."""
        return "; ".join(f"{one.name} at {one.end.name}: {one.said()}" for one in self.running)

    def answers(self, address: str) -> bool:
        """Whether a ping from `a` comes back."""
        argv = inside(self.a, ("ping", "-c", "1", "-W", "0.3", address))
        return subprocess.run(argv, capture_output=True, timeout=PATIENCE, check=False).returncode == 0

    def cpu(self, end: End) -> float:
        """Seconds of CPU, user and system, that the peer's processes at this end and all that descend from
        them have used so far.
        """
        return sum(one.ticks for one in self._processes(end)) / os.sysconf("SC_CLK_TCK")

    def memory(self, end: End) -> int:
        """Octets that the same processes have in memory."""
        found = 0
        for one in self._processes(end):
            try:
                found += readings.memory(Path(f"/proc/{one.pid}/smaps_rollup").read_text())
            except (FileNotFoundError, ProcessLookupError):
                # It has ended meanwhile.
                continue
        return found

    def _processes(self, end: End) -> list[readings.Process]:
        every = processes()
        ours: set[int] = set()
        for one in self.running:
            if one.end is end:
                ours |= readings.family(every, one.popen.pid)
        return [one for one in every if one.pid in ours]

    def inner_packets(self, end: End) -> int:
        """Packets that have left this end by an inner device so far."""
        text = self.run(end, ("cat", "/proc/net/dev"))
        return readings.sent_packets(text, _OUTSIDE)


def inside(end: End, argv: Sequence[str]) -> tuple[str, ...]:
    """The same command line in the namespace of this end; the process id stays."""
    return ("ip", "netns", "exec", end.namespace, *argv)


def launch(end: End, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Running:
    """Start a process in the namespace of this end, in a session of its own."""
    log = end.log(name)
    with log.open("ab") as stream:
        popen = subprocess.Popen(
            inside(end, argv),
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    return Running(name, end, popen, log)


def command(
    argv: Sequence[str],
    patience: float = PATIENCE,
    environment: Mapping[str, str] | None = None,
    called: str = "",
) -> str:
    """What it prints. Raises Failed where it fails or takes longer than `patience` seconds; `called` is its
    name there.
    """
    called = called or " ".join(argv)
    try:
        done = subprocess.run(
            argv,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{called}: no end after {patience:g} s") from error
    out = done.stdout.decode(errors="replace")
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip() or out.strip()).splitlines()[-3:]
        told = " / ".join(line.strip() for line in said)
        raise Failed(f"{called}: exit code {done.returncode}: {told}")
    return out


def processes() -> list[readings.Process]:
    """Every process that we see now."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            text = (entry / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            # It has ended meanwhile: its time is with its parent now.
            continue
        found.append(readings.process(text))
    return found
