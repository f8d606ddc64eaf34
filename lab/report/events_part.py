"""What the nodes told, side by side on one axis of time, with the wire between them.

With more nodes than fit side by side the same is a list of who told what.
"""

from collections.abc import Iterator, Mapping, Sequence

from lab.console import Style
from lab.events import NodeEvent
from lab.ladder.compose import wires_of
from lab.ladder.values import Ladder, since
from lab.render import Weight, clock, sentence, weight
from lab.report.markup import Html, element, join, scrolling, section, text
from lab.report.run import Run

#: Events in the page. What is above loses its details first, then its middle.
MAX_EVENTS = 1500
#: Nodes that have columns of their own, the wire aside.
_MAX_COLUMNS = 3
_PLAIN = Style(False)
_CLASSES: Mapping[Weight, str] = {
    Weight.DETAIL: "detail",
    Weight.STEP: "step",
    Weight.MILESTONE: "milestone",
    Weight.TROUBLE: "trouble",
}


def events(run: Run, ladder: Ladder) -> Html:
    """The section."""
    shown = chosen(run.events)
    wires = wires_of(run.events)
    nodes = list(dict.fromkeys(event.node for event in run.events if event.node not in wires))
    side_by_side = len(nodes) <= _MAX_COLUMNS
    columns = _columns(ladder, nodes, wires)
    head = ["Time", *columns] if side_by_side else ["Time", "Node", "What it told"]
    rows = _side_by_side(shown, columns, ladder.zero) if side_by_side else _listed(shown, ladder.zero)
    grid = element(
        "table",
        element("caption", text("Every node's events, by time")),
        element("thead", element("tr", *(element("th", text(name), scope="col") for name in head))),
        element("tbody", join(rows)),
        class_="events side" if side_by_side else "events",
    )
    about = element("p", text(_introduction(run.events, shown)))
    return section("events", "What the nodes told", about, scrolling("What the nodes told", grid))


def _introduction(every: Sequence[NodeEvent], shown: Sequence[NodeEvent]) -> str:
    said = f"{len(every):,} events."
    if len(shown) < len(every):
        said += f" Shown are {len(shown):,} of them, those that matter most; all are in events.jsonl."
    return f"{said} Green: something was reached. Red: something went wrong, or was made to."


def chosen(every: Sequence[NodeEvent]) -> list[NodeEvent]:
    """The events that are shown, by time."""
    kept = list(every)
    for least in (Weight.STEP, Weight.MILESTONE):
        if len(kept) > MAX_EVENTS:
            kept = [event for event in kept if weight(event).value >= least.value]
    if len(kept) > MAX_EVENTS:
        kept = kept[: MAX_EVENTS // 2] + kept[-MAX_EVENTS // 2 :]
    return kept


def _columns(ladder: Ladder, nodes: Sequence[str], wires: set[str]) -> list[str]:
    """Lanes as in the ladder, what has none, and the wire where it stands."""
    lanes = [*ladder.lanes, *(node for node in nodes if node not in ladder.lanes)]
    at = ladder.wire_after + 1
    return [*lanes[:at], *sorted(wires), *lanes[at:]]


def _side_by_side(shown: Sequence[NodeEvent], columns: Sequence[str], zero: float) -> Iterator[Html]:
    for event in shown:
        cells = [
            element("td", _told(event), class_="lane", data_node=node)
            if node == event.node
            else element("td", class_="lane")
            for node in columns
        ]
        yield element("tr", _time(event, zero), *cells)


def _listed(shown: Sequence[NodeEvent], zero: float) -> Iterator[Html]:
    for event in shown:
        yield element("tr", _time(event, zero), *(element("td", c) for c in (text(event.node), _told(event))))


def _time(event: NodeEvent, zero: float) -> Html:
    told = since(event.moment.timestamp() - zero)
    return element("th", text(told), scope="row", title=f"{clock(event.moment)} UTC")


def _told(event: NodeEvent) -> Html:
    """The words of the event, and its fields."""
    words, _, fields = sentence(event, _PLAIN).partition("  ")
    kind = "wire" if event.name.startswith("wire_") else _CLASSES[weight(event)]
    said = element("span", text(words), class_=kind)
    return join([said, element("code", text(fields))], Html(" ")) if fields else said
