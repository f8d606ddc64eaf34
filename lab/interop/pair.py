"""One pair of containers for the whole matrix: a cell is a new configuration in daemons that stay.

1. Before a cell nothing is up. What the two sides tell is followed from the first cell on; waiting is for
   events, never for time.
2. A cell that fails may leave anything behind, so both daemons are started again after it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab import plan as planning
from lab.backends.base import Follower
from lab.backends.docker import DockerLab
from lab.backends.strongswan import configuration
from lab.errors import CheckFailed, LabError
from lab.events import NodeEvent, NodeExit
from lab.interop import documents
from lab.interop.cells import Cell
from lab.interop.documents import ADDRESSES, OTHER, PEER, PINGS, SUBJECT
from lab.interop.pki import Pki
from lab.interop.results import CellResult
from lab.peers import planned

#: Seconds for one thing to happen: an exchange takes milliseconds, a repetition half a second.
PATIENCE = 15.0
#: Events of each side that a failed cell keeps.
SHOWN = 30
#: What ends the waiting for a Child SA: nothing good comes after it.
_ENDS = frozenset({"authentication_failed", "ike_sa_failed", "child_sa_failed", "retransmission_gave_up"})


class Pair:
    """The subject and its peer, both up and without SAs."""

    def __init__(self, lab: DockerLab, pki: Pki) -> None:
        self._lab, self._pki = lab, pki
        self._follower: Follower = lab.follow((SUBJECT, PEER), live=True)
        self._told: dict[str, list[NodeEvent]] = {side: [] for side in OTHER}
        self.versions: dict[str, str] = {}
        self._await("udp_bound", (SUBJECT, PEER))

    def close(self) -> None:
        """Stop following."""
        self._follower.close()

    def run(self, cell: Cell) -> CellResult:
        """Carry out one cell."""
        began = time.monotonic()
        self._forget()
        try:
            facts = self._carry_out(cell)
        except LabError as error:
            saw = self._saw()
            self._start_again()
            facts = {"problems": (str(error),), "saw": saw}
        return CellResult(cell, time.monotonic() - began, versions=dict(self.versions), **facts)

    def _carry_out(self, cell: Cell) -> dict[str, Any]:
        given = documents.roles(cell.role)
        first = next(side for side, role in given.items() if role == "initiator")
        self._configure(cell)
        self._ask(first, "initiate")
        self._await("child_sa_installed", (SUBJECT, PEER))
        before = self._statuses()
        for side, other in OTHER.items():
            self._ask(side, "ping", ADDRESSES[other], str(PINGS))
        facts = judge(cell, before, self._statuses(), methods(self._told))
        self._ask(SUBJECT, "terminate")
        self._await("ike_sa_deleted", (SUBJECT, PEER))
        return facts

    def _configure(self, cell: Cell) -> None:
        scenario = documents.scenario(cell.name, documents.of_cell(cell))
        plan = planning.make("interop", scenario)

        def one(side: str) -> None:
            files = configuration(planned.files(plan, plan.node(side)))
            if cell.method.key_type:
                files |= self._pki.files(side, cell.method.key_type)
            self._lab.put(side, files)
            self._ask(side, "reload")

        self._both(one)

    def _ask(self, side: str, *words: str) -> Any:
        return self._lab.control(side, words, PATIENCE + 5)

    def _both(self, action: Callable[[str], Any]) -> dict[str, Any]:
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(OTHER, pool.map(action, OTHER), strict=True))

    def _statuses(self) -> dict[str, Any]:
        return self._both(lambda side: self._ask(side, "status"))

    def _forget(self) -> None:
        while self._follower.next(0.0) is not None:
            continue
        self._told = {side: [] for side in OTHER}

    def _await(self, name: str, sides: Sequence[str]) -> None:
        """Wait until these sides have told of this event. Raises CheckFailed."""
        deadline = time.monotonic() + PATIENCE
        while missing := [side for side in sides if name not in {event.name for event in self._told[side]}]:
            told = self._follower.next(max(0.0, deadline - time.monotonic()))
            if told is None:
                raise CheckFailed(f"{', '.join(missing)}: no {name} within {PATIENCE:g} s")
            if isinstance(told, NodeExit):
                raise CheckFailed(f"{told.node} ended with code {told.code}")
            if isinstance(told, NodeEvent):
                self._note(told)
                if told.name in _ENDS and name == "child_sa_installed":
                    raise CheckFailed(f"{told.node}: {told.name}: {_why(told.fields)}")

    def _await_ends(self, sides: set[str]) -> None:
        """Wait until these sides are known to have ended: an end that is told later would be taken for one of
        the daemon that was started after it. Raises CheckFailed.
        """
        deadline = time.monotonic() + PATIENCE
        while sides:
            told = self._follower.next(max(0.0, deadline - time.monotonic()))
            if told is None:
                raise CheckFailed(f"{', '.join(sorted(sides))}: no end within {PATIENCE:g} s after SIGKILL")
            if isinstance(told, NodeExit):
                sides.discard(told.node)

    def _note(self, told: NodeEvent) -> None:
        self._told[told.node].append(told)
        if told.name == "node_started":
            self.versions[told.node] = str(told.fields.get("version", ""))

    def _saw(self) -> tuple[str, ...]:
        while (told := self._follower.next(0.0)) is not None:
            if isinstance(told, NodeEvent):
                self._note(told)
        return tuple(
            f"{side}: {event.name} {_why(event.fields)}"
            for side, events in self._told.items()
            for event in events[-SHOWN:]
        )

    def _start_again(self) -> None:
        running = [node.name for node in self._lab.info().nodes if node.running]
        self._both(lambda side: self._lab.kill(side) if side in running else None)
        self._await_ends(set(running))
        self._forget()
        self._both(self._lab.start)
        for side in OTHER:
            self._follower.reopen(side)
        self._await("udp_bound", (SUBJECT, PEER))


def methods(told: Mapping[str, Sequence[NodeEvent]]) -> dict[str, str]:
    """By which method each side verified the other."""
    found = {side: [event for event in told[side] if event.name == "peer_auth_verified"] for side in OTHER}
    return {side: _method(events[-1].fields) for side, events in found.items() if events}


def _method(fields: Mapping[str, object]) -> str:
    return " ".join(str(fields[name]) for name in ("method", "scheme") if name in fields)


def _why(fields: Mapping[str, object]) -> str:
    shown = ("reason", "detail", "notify", "suite", "method", "payloads")
    return " ".join(f"{name}={fields[name]}" for name in shown if fields.get(name))


def judge(
    cell: Cell, before: Mapping[str, Any] | None, after: Mapping[str, Any], methods: Mapping[str, str]
) -> dict[str, Any]:
    """What both sides say of their SAs, against the cell and against one another; pure.

    `before` and `after` the pings; None: the SAs had carried nothing. `problems`, and the facts that go into
    the results.
    """
    problems = [*_alone(after), *_unlike(cell, after, methods)]
    if not problems:
        problems = [*crossed(after), *_counted(before, after)]
    ours = after[SUBJECT]
    return {
        "problems": tuple(problems),
        "ike": str(ours["ike_sas"][0]["suite"]) if ours["ike_sas"] else "",
        "esp": str(ours["child_sas"][0]["suite"]) if ours["child_sas"] else "",
        "methods": dict(methods),
    }


def _alone(after: Mapping[str, Any]) -> list[str]:
    found = {side: (len(told["ike_sas"]), len(told["child_sas"])) for side, told in after.items()}
    return [
        f"{side} has {ike} IKE SAs and {child} Child SAs"
        for side, (ike, child) in found.items()
        if (ike, child) != (1, 1)
    ]


def _unlike(cell: Cell, after: Mapping[str, Any], methods: Mapping[str, str]) -> list[str]:
    wanted = tuple(suite.iana for suite in cell.suites)
    problems = []
    for side, told in after.items():
        suites = tuple(str(sa["suite"]) for kind in ("ike_sas", "child_sas") for sa in told[kind][:1])
        if suites != wanted:
            problems.append(f"{side} has {' and '.join(suites) or 'no suites'}, not {' and '.join(wanted)}")
        if not cell.method.names(methods.get(side, "")):
            problems.append(f"{side} verified {methods.get(side)!r}, not {cell.method.verified}")
    return problems


def crossed(after: Mapping[str, Any]) -> list[str]:
    """The SPIs of one side are those of the other, of one IKE SA and one Child SA that sends; pure."""
    (one,), (other,) = (after[side]["ike_sas"] for side in (SUBJECT, PEER))
    (out,), (back,) = (
        [child for child in after[side]["child_sas"] if child["outbound_spi"]] for side in (SUBJECT, PEER)
    )
    same = [one[name] == other[name] for name in ("spi_i", "spi_r")]
    same += [out["inbound_spi"] == back["outbound_spi"], out["outbound_spi"] == back["inbound_spi"]]
    return [] if all(same) else ["the two sides do not have the same SPIs"]


def _counted(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """Every echo request and reply went through the Child SA: nothing took another way."""
    problems = []
    for side, told in after.items():
        for way in ("inbound_packets", "outbound_packets"):
            more = int(told["child_sas"][0][way])
            more -= int(before[side]["child_sas"][0][way]) if before else 0
            if more != 2 * PINGS:
                problems.append(f"{side}: {more} {way} for {2 * PINGS} pings")
    return problems
