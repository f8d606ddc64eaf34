"""The message ladder of a run: who sent what to whom, what the wire did to it, what each node concluded.

1. A message and its arrival are events of two nodes, joined by what identifies the message (`join`).
2. A transmission that no event shows to arrive is `LOST`; a drop that follows one explains it.
3. Nodes tell what they do after doing it: a row stands at the earlier of its two times.
4. Rows of a crowd are folded into one (`fold`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.events import NodeEvent
from lab.ladder.fold import Shaped, fold
from lab.ladder.join import Joined, Key, Owners, answer, explain, join, owners, spis, text
from lab.ladder.notes import NOTES, drop_note, is_wire_note, note, wire_note
from lab.ladder.rows import Names, foreign, row_of
from lab.ladder.values import Ladder, Message

#: More lanes than these are too narrow to read: the first initiators and the responders stay.
MAX_LANES = 4


def build(events: Iterable[NodeEvent], only: Sequence[str] = (), most: int = MAX_LANES) -> Ladder:
    """The ladder of these events; `only` names the nodes that get a lane, in their order, else `most` do."""
    every = sorted(events, key=lambda event: event.moment)
    wires = wires_of(every)
    told = [event for event in every if event.node not in wires]
    wired = [event for event in every if event.node in wires]
    lanes, after, hidden = _lanes(told, [node for node in only if node not in wires], most)
    # Joined over all nodes: what went to a node without a lane is not lost, it is not shown.
    joined = join(told, [act for act in wired if act.name == "wire_fault" and not is_wire_note(act)])
    known = owners(joined.values(), told)
    answer(joined, known, told)
    unexplained = explain(joined.values(), [e for e in told if e.name == "datagram_dropped"], known)
    zero = min((sent.seconds for message in joined.values() for sent in message.sent), default=_first(every))
    elsewhere = spis(event for event in told if event.node in hidden)
    scene = _Scene(told, Names(lanes, hidden), joined, known, elsewhere, _tellers(told), zero)
    rows: list[Shaped] = [*scene.messages(), *scene.notes(), *scene.drops(unexplained)]
    rows += [(wire_note(event, zero), True) for event in wired if is_wire_note(event)]
    rows.sort(key=lambda row: row[0].seconds)
    return Ladder(lanes, hidden, fold(rows), min(wires, default=""), after, zero)


def wires_of(events: Iterable[NodeEvent]) -> set[str]:
    """The nodes that are no nodes but what lies between them."""
    return {event.node for event in events if event.name.startswith("wire_") or text(event, "role") == "wire"}


def _first(told: Sequence[NodeEvent]) -> float:
    return told[0].moment.timestamp() if told else 0.0


def _lanes(
    told: Sequence[NodeEvent], only: Sequence[str], most: int
) -> tuple[tuple[str, ...], int, tuple[str, ...]]:
    """The lanes, the one after which initiators end, and the nodes that have none."""
    roles = {event.node: text(event, "role") for event in reversed(told)}
    roles |= {event.node: text(event, "role") for event in told if event.name == "node_started"}
    ordered = sorted(roles, key=lambda node: (roles[node] == "responder", node))
    lanes = tuple(only or ordered)
    if not only and len(ordered) > most:
        responders = [node for node in ordered if roles[node] == "responder"][: most - 1]
        initiators = [node for node in ordered if node not in responders][: most - len(responders)]
        lanes = (*initiators, *responders)
    shown = set(lanes)
    borders = [index for index, node in enumerate(lanes) if index and roles.get(node) == "responder"]
    return lanes, min(borders, default=1) - 1, tuple(node for node in ordered if node not in shown)


def _tellers(told: Iterable[NodeEvent]) -> Mapping[str, set[str]]:
    """Who tells of an IKE SA: one that only one side knows belongs to no other node of the lab."""
    tellers: defaultdict[str, set[str]] = defaultdict(set)
    for event in told:
        tellers[text(event, "spi_i")].add(event.node)
    return tellers


@dataclass(frozen=True, slots=True)
class _Scene:
    """Everything that rows are made from. `elsewhere` are the SPIs of SAs with nodes that have no lane."""

    told: Sequence[NodeEvent]
    names: Names
    joined: Mapping[Key, Joined]
    owners: Owners
    elsewhere: set[str]
    tellers: Mapping[str, set[str]]
    zero: float

    def messages(self) -> Iterator[Shaped]:
        """Every transmission between nodes with lanes, and what came from nobody."""
        for key, message in self.joined.items():
            if key[0] in self.elsewhere:
                continue
            known = key[1] in ("ESP", "WIRE") or len(self.tellers[key[0]]) > 1
            for row in self._rows(message):
                # A drop may tie a message to a node without a lane as well.
                if self.names.shows(row):
                    yield row, known

    def _rows(self, message: Joined) -> Iterator[Message]:
        yield from (row_of(sent, self.names, self.zero) for sent in message.sent)
        for arrival in message.unpaired:
            yield foreign(arrival, self.owners.of(arrival) or None, self.zero)

    def notes(self) -> Iterator[Shaped]:
        """What the nodes with lanes concluded."""
        for event in self.told:
            shown = event.name in NOTES and event.node in self.names.lanes
            if shown and not spis([event]) & self.elsewhere:
                yield note(event, self.zero), len(self.tellers[text(event, "spi_i")]) > 1

    def drops(self, unexplained: Iterable[NodeEvent]) -> Iterator[Shaped]:
        """The drops at nodes with lanes that explain no transmission."""
        for drop in unexplained:
            if drop.node in self.names.lanes and self.owners.of(drop) not in self.names.hidden:
                yield drop_note(drop, self.zero), False
