"""charon's log, one JSON object a line, as the events of a node of the lab.

1. What the lab judges by is told under the names and with the fields of docs/events.md, at charon's own time.
2. A line in which charon works on an IKE SA has the SA's number; its SPIs come when the SA's manager takes it
   back. Until then what the lines mean is held, some thousandths of a second.
3. What has no meaning for the lab stays prose: it is shown and never judged.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lab.events import MAX_LINE, NodeEvent, NodeProse, Told
from lab.peers import charon_rules
from lab.peers.charon_rules import Line, Sa
from lab.text import parse_time

#: Lines of a higher level are there to be read by this module, not by people.
PROSE_LEVEL = 1
#: More IKE SAs than these at once are not followed: the oldest are forgotten.
MAX_SAS = 10_000


@dataclass(frozen=True, slots=True)
class _Spis:
    initiator: str
    responder: str


def parse(text: str) -> Line | None:
    """One line of the log; None where it is none."""
    if len(text) > MAX_LINE:
        return None
    try:
        # charon escapes quotes and line ends; other control characters stand as they are.
        found = json.loads(text, strict=False)
        if not isinstance(found, dict):
            return None
        return Line(
            moment=_moment(str(found["time"])),
            thread=int(found["thread"]),
            group=str(found["group"]),
            level=int(found["level"]),
            sa=int(found["ikesa-uniqueid"]) if "ikesa-uniqueid" in found else None,
            text=str(found["msg"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _moment(text: str) -> datetime:
    """The clock of the containers is UTC, and charon leaves that away."""
    return parse_time(text + "+00:00")


def prose(text: str) -> str:
    """A line of the log for people; a line that is none as it is."""
    line = parse(text)
    return text if line is None else f"[{line.group}] {line.text}"


def is_ready(text: str) -> bool:
    """Whether this line says that charon has done with its configuration: a responder is ready now."""
    line = parse(text)
    return line is not None and bool(
        charon_rules.LOADED.fullmatch(line.text) or charon_rules.NOT_LOADED.fullmatch(line.text)
    )


class Reader:
    """Reads the log of one daemon, from its start on. `role` is the node's in the lab."""

    def __init__(self, node: str, role: str) -> None:
        self._node, self._role = node, role
        self._sas: dict[int, Sa] = {}
        #: The SPIs of the message that a thread works on, until it turns to another.
        self._spis: dict[int, _Spis] = {}
        #: The SA that a thread is removing.
        self._ending: dict[int, int] = {}

    def read(self, text: str) -> list[Told]:
        """What this line tells, together with what was held until it came."""
        line = parse(text)
        if line is None:
            return [NodeProse(self._node, text)]
        if line.group == "MGR" and (told := self._manager(line)) is not None:
            return told
        if line.sa is None:
            return self._shown(line, charon_rules.alone(line, self._role))
        sa = self._sa(line.sa, line.thread)
        sa.pending += self._shown(line, sa.read(line))
        if sa.heir:
            self._sa(sa.heir, line.thread).inherit(sa)
        if sa.redundant:
            self._sa(sa.redundant, line.thread).accompany(sa)
            sa.redundant = 0
        return []

    def rest(self) -> list[Told]:
        """What is still held: the log ended in the middle of something."""
        return [told for sa in self._sas.values() for told in self._release(sa)]

    def _shown(self, line: Line, events: list[tuple[str, Mapping[str, object]]] | None) -> list[Told]:
        if events is not None:
            return [NodeEvent(line.moment, self._node, name, dict(fields)) for name, fields in events]
        shown = line.level <= PROSE_LEVEL
        return [NodeProse(self._node, f"[{line.group}] {line.text}")] if shown else []

    def _sa(self, number: int, thread: int) -> Sa:
        if number not in self._sas:
            if len(self._sas) >= MAX_SAS:
                del self._sas[next(iter(self._sas))]
            self._sas[number] = sa = Sa(number)
            if spis := self._spis.get(thread):
                sa.spi_i, sa.spi_r = spis.initiator, spis.responder
        return self._sas[number]

    def _manager(self, line: Line) -> list[Told] | None:
        """What the manager of IKE SAs says: which SPIs an SA has, and that it is done for now."""
        if found := charon_rules.CHECKOUT.match(line.text):
            self._spis[line.thread] = _Spis(found[1], found[2])
            return []
        if found := charon_rules.CHECKIN.match(line.text):
            sa = self._sas.get(int(found[1]))
            if sa is None:
                return []
            sa.spi_i, sa.spi_r = found[2], found[3]
            return self._release(sa)
        if found := charon_rules.DESTROYING.match(line.text):
            self._ending[line.thread] = int(found[1])
            return []
        if charon_rules.DESTROYED.match(line.text):
            sa = self._sas.pop(self._ending.pop(line.thread, 0), None)
            return self._release(sa) if sa else []
        return None

    def _release(self, sa: Sa) -> list[Told]:
        held, sa.pending = sa.pending, []
        return [sa.completed(told) if isinstance(told, NodeEvent) else told for told in held]
