"""What every backend can do, and the values it speaks in.

A backend finds, makes and removes labs; a `Lab` is one of them. Everything a lab tells arrives through
`follow`; nothing here sleeps or reads prose.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from lab.errors import CheckFailed, EnvironmentNotReady
from lab.events import Told
from lab.labels import Role
from lab.plan import Plan
from lab.text import listing

#: Seconds between SIGTERM and SIGKILL; `stop_grace_period` of the compose file.
GRACE = 10
#: Seconds to give a host another address: starting Python there takes the time.
ADDRESS_TIMEOUT = 20.0

#: Files that hold packets, and the directory of key logs, in what `collect` copies.
CAPTURE, CAPTURES, KEYS = "capture.pcapng", "capture*.pcapng", "keys"

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node as the backend sees it. `exit_code` is None while the process runs, was never started, or where
    nobody saw it end; `paused`: frozen from outside, neither running nor ended."""

    name: str
    role: Role
    running: bool
    exit_code: int | None
    address: str
    started: datetime | None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class LabInfo:
    """A lab that exists. `scenario` is empty where plain compose started it."""

    name: str
    backend: str
    scenario: str
    owner: str
    created: datetime | None
    nodes: tuple[NodeInfo, ...]

    @property
    def running(self) -> bool:
        """Whether every node runs."""
        return bool(self.nodes) and all(node.running for node in self.nodes)

    @property
    def endpoints(self) -> tuple[NodeInfo, ...]:
        """The nodes that speak IKE: all but the wire."""
        return tuple(node for node in self.nodes if node.role is not Role.WIRE)


@dataclass(frozen=True, slots=True)
class Certificate:
    """One line of the CA's report."""

    name: str
    action: str
    subject: str
    key_type: str
    not_after: str
    authority: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A command at a node that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Removed:
    """What `down` removed, by kind and name."""

    things: tuple[tuple[str, str], ...]


class Follower(Protocol):
    """What the nodes tell, merged as it arrives."""

    def next(self, timeout: float | None) -> Told | None:
        """The next thing told; None after `timeout` seconds without one, or when every stream has ended."""
        ...

    @property
    def ended(self) -> bool:
        """Whether every stream has ended and everything was handed out."""
        ...

    def reopen(self, node: str) -> None:
        """Go on with a node that ended and was started again; what it told before is not told twice."""
        ...

    def close(self) -> None:
        """Stop following."""
        ...


class Lab(Protocol):
    """One lab."""

    def info(self) -> LabInfo:
        """How it is now. Raises NoSuchLab where it is gone."""
        ...

    def follow(self, nodes: Sequence[str], *, live: bool) -> Follower:
        """Everything these nodes have told from their start; with `live` also what they will tell."""
        ...

    def prose(self, node: str, lines: int) -> tuple[str, ...]:
        """The last lines of the node's stderr."""
        ...

    def control(self, node: str, command: Sequence[str], timeout: float) -> Any:
        """`python -m node ctl COMMAND -o json` at the node, as parsed JSON. Raises CheckFailed with what it
        said.
        """
        ...

    def execute(self, node: str, command: Sequence[str], *, terminal: bool) -> int:
        """Run a command at the node with our stdin, stdout and stderr; its exit code, 125 to 127 as
        docker.
        """
        ...

    def ask(self, node: str, command: Sequence[str], timeout: float) -> Answer:
        """Run a command at the node without input and collect what it writes. `python` is the node's.

        Raises CheckFailed where it does not end in time.
        """
        ...

    def stop(self, node: str) -> None:
        """SIGTERM, and SIGKILL after the grace period."""
        ...

    def kill(self, node: str) -> None:
        """SIGKILL."""
        ...

    def start(self, node: str) -> None:
        """Start a node again that has ended."""
        ...

    def readdress(self, node: str) -> None:
        """Give a node another outer address in place of the one that it has. Raises CheckFailed."""
        ...

    def collect(self, directory: Path) -> None:
        """Copy captures (`capture.pcapng`, `capture-NAME.pcapng`) and key logs (`keys/NAME.keys`) there.

        Nothing is copied where nothing was captured or logged.
        """
        ...


def change_address(lab: Lab, node: str, link: str) -> None:
    """Have a node's host give `link` another address, beside the node. Raises CheckFailed."""
    argv = ["python", "-m", "lab.wire", "readdress", "--interface", link]
    done = lab.ask(node, argv, ADDRESS_TIMEOUT)
    if done.code:
        said = (done.out.strip() or done.err.strip() or f"exit code {done.code}").splitlines()[-1]
        raise CheckFailed(f"{node}: its address cannot be changed: {said}")


class Backend(Protocol):
    """Where labs run."""

    name: str
    #: Where `capture.pcapng` is taken, for the summary.
    vantage: str

    def close(self) -> None:
        """Let go of what is held between calls."""
        ...

    def check(self) -> str:
        """Whether labs can run here: a line of facts. Raises EnvironmentNotReady with the remedy."""
        ...

    def prepare(self, tell: Tell) -> None:
        """Make what every lab needs (the image). Raises EnvironmentNotReady."""
        ...

    def labs(self) -> tuple[LabInfo, ...]:
        """Every lab there is."""
        ...

    def owned(self, who: str) -> tuple[str, ...]:
        """Labs that `who` may remove without naming them, also those of which only leftovers are there."""
        ...

    def lab(self, name: str) -> Lab:
        """A handle for the lab of that name, whether it exists or not."""
        ...

    def completed(self, plan: Plan) -> Plan:
        """The plan as it is carried out here."""
        ...

    def create(self, plan: Plan, tell: Tell) -> tuple[Certificate, ...]:
        """Make everything and run the CA; nodes are made but not started. What the CA issued."""
        ...

    def start(self, name: str) -> None:
        """Start every node, all at once."""
        ...

    def remove(self, name: str, *, keep_pki: bool) -> Removed:
        """Stop the nodes gracefully and remove everything that carries this lab's label."""
        ...

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Held while a lab is being made or removed."""
        ...


def without_containers(plan: Plan, backend: str) -> None:
    """Raises EnvironmentNotReady where the plan has what only containers can do."""
    if plan.scenario.outer == 6:
        raise EnvironmentNotReady(
            f"outer: ipv6: only the docker backend has it, and the backend is {backend}: use --backend docker"
        )
    if plan.strangers:
        raise EnvironmentNotReady(
            f"{listing(plan.strangers)}: only a container can be a strongSwan, and the backend is {backend}: "
            "use --backend docker"
        )


def event_lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Whole lines out of chunks of octets; a last line without its end counts too."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")
