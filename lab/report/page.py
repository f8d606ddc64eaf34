"""The page: its sections in their order, out of a `Run`; pure."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.resources import files

from lab import __version__
from lab.console import Style
from lab.decode.values import Decoded, Item
from lab.events import NodeEvent
from lab.render import Weight, clock, sentence, weight
from lab.report.markup import lines, table, tag, text
from lab.report.run import Run

#: More of them make a page that no browser likes; a sentence says how many are left out.
MAX_EVENTS, MAX_PACKETS = 3000, 500
#: Columns of the nodes' events; the nodes beyond share the last one.
MAX_COLUMNS = 4
_HEX_LINE = 16
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SECTIONS = {
    "checks": "Checks",
    "ladder": "Who sent what to whom",
    "messages": "Messages on the wire",
    "events": "What each side did",
    "state": "What the nodes said in the end",
    "files": "Files of this run",
}


def render(run: Run) -> str:
    """The whole page."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"{tag('title', text(_title(run)))}<style>{_style()}</style>"
    )
    sections = (_checks(run), _ladder(run), _messages(run), _events(run), _state(run), _files(run))
    parts = [section(name, body) for name, body in zip(_SECTIONS, sections, strict=True)]
    body = tag("header", _header(run)) + tag("main", lines(parts)) + tag("footer", _footer(), _class="dim")
    return f'<!doctype html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n</body>\n</html>\n'


def _style() -> str:
    return (files("lab.report") / "style.css").read_text("utf-8")


def section(name: str, body: str) -> str:
    """A section under its heading."""
    return tag("section", tag("h2", text(_SECTIONS[name]), id=name) + body, aria_labelledby=name)


def _title(run: Run) -> str:
    verdict = "PASS" if run.results["passed"] else "FAIL"
    return f"{verdict} {run.results['scenario']}: {run.results.get('title', '')}"


def _header(run: Run) -> str:
    results, lab = run.results, run.results["lab"]
    passed = bool(results["passed"])
    badge = tag("span", "PASS" if passed else "FAIL", _class=f"badge {'pass' if passed else 'fail'}")
    facts = {
        "Scenario": results["scenario"],
        "Lab": f"{lab['name']} ({lab['backend']})",
        "Made": lab["created"] or "",
        "Took": f"{results['seconds']:.2f} s",
        "Captured at": results.get("vantage") or "nowhere",
        "Cipher suite": _suite(run) or "none agreed",
    }
    about = tag("dl", "".join(tag("dt", text(key)) + tag("dd", text(value)) for key, value in facts.items()))
    links = "".join(tag("li", tag("a", text(words), href=f"#{name}")) for name, words in _SECTIONS.items())
    warning = (
        tag(
            "p",
            tag("strong", "The keys of this run were logged.")
            + " Whoever has this page or the files beside it can read everything that was sent.",
            _class="warning",
            role="note",
        )
        if results.get("keylog")
        else ""
    )
    description = tag("p", text(" ".join(str(results.get("description", "")).split())))
    nav = tag("nav", tag("ul", links), aria_label="Sections")
    return (
        badge
        + tag("h1", text(results.get("title", results["scenario"])))
        + description
        + about
        + warning
        + nav
    )


def _suite(run: Run) -> str:
    return next((str(e.fields.get("suite", "")) for e in run.events if e.name == "ike_sa_established"), "")


def _checks(run: Run) -> str:
    checks = sorted(run.results["checks"], key=lambda check: bool(check["passed"]))
    failed = sum(not check["passed"] for check in checks)
    words = f"{len(checks)} checks, {failed} failed" if failed else f"{len(checks)} checks, all passed"
    rows = [
        (
            tag("span", "ok" if c["passed"] else "FAILED", _class="pass" if c["passed"] else "fail"),
            text(c["node"]),
            text(c["check"]) + (f"<br>{tag('strong', text(c['reason']))}" if c["reason"] else ""),
        )
        for c in checks
    ]
    shown = table(("Verdict", "Node", "What must hold"), rows, words)
    return shown if failed else tag("details", tag("summary", text(words)) + shown)


def _ladder(run: Run) -> str:
    return tag("div", run.picture, _class="ladder", tabindex="0", role="region", aria_label="Message ladder")


# --- messages ---


def _messages(run: Run) -> str:
    shown = [packet for packet in run.packets if packet.kind.value != "other"]
    if not shown:
        return tag("p", "Nothing was captured.")
    # Without a key log it is no trouble that nothing opens.
    closed = "fail" if run.results.get("keylog") else "dim"
    parts = [_packet(packet, closed) for packet in shown[:MAX_PACKETS]]
    return lines(
        [*parts, *_left_out(len(shown), MAX_PACKETS, "messages", "`ipseclab decode` shows them all")]
    )


def _packet(packet: Decoded, closed: str) -> str:
    moment = datetime.fromtimestamp(packet.moment_ns / 1e9, UTC).strftime("%H:%M:%S.%f")
    place = f"{packet.number}  {moment}  {packet.source} → {packet.target}  "
    head = tag("span", text(place), _class="dim mono") + tag("strong", text(packet.title))
    notes = ((packet.problem, closed, "not opened: "), (packet.remark, "wire", "the wire: "))
    head += "".join(
        f" {tag('span', text(before + said), _class=kind)}" for said, kind, before in notes if said
    )
    octets = tag(
        "details", tag("summary", f"{len(packet.octets)} octets") + tag("pre", text_of(packet.octets))
    )
    return tag("details", tag("summary", head) + _tree(packet.tree.children) + octets)


def _tree(items: Sequence[Item]) -> str:
    return tag("ul", lines(_item(item) for item in items), _class="tree") if items else ""


def _item(item: Item) -> str:
    value = f": {tag('span', text(item.value), _class='mono')}" if item.value else ""
    return tag("li", tag("strong", text(item.name)) + value + _tree(item.children))


def text_of(octets: bytes) -> str:
    """Octets in hexadecimal, sixteen a line, as HTML."""
    starts = range(0, len(octets), _HEX_LINE)
    return "\n".join(f"{at:04x}  {octets[at : at + _HEX_LINE].hex(' ')}" for at in starts)


# --- events ---


def _events(run: Run) -> str:
    columns = _columns(run)
    shown = run.events[:MAX_EVENTS]
    rows = [_event(event, columns) for event in shown]
    made = table(("Time (UTC)", *columns), rows, f"{len(run.events)} events, by time", _class="events")
    return lines([made, *_left_out(len(run.events), MAX_EVENTS, "events", "events.jsonl has them all")])


def _columns(run: Run) -> tuple[str, ...]:
    names = list(dict.fromkeys(event.node for event in run.events))
    roles = {node["name"]: node["role"] for node in run.results["lab"]["nodes"]}
    order = {"initiator": 0, "wire": 1, "responder": 2}
    names.sort(key=lambda name: (order.get(roles.get(name, ""), 3), name))
    if len(names) <= MAX_COLUMNS:
        return tuple(names)
    return (*names[: MAX_COLUMNS - 2], "others", names[-1])


def _event(event: NodeEvent, columns: Sequence[str]) -> tuple[str, ...]:
    own = event.node if event.node in columns else "others"
    before = f"{tag('em', text(event.node))} " if own == "others" else ""
    kinds = {Weight.MILESTONE: "pass", Weight.TROUBLE: "fail", Weight.DETAIL: "dim"}
    said = tag("span", text(sentence(event, Style(False))), _class=kinds.get(weight(event), "said"))
    cells = (before + said if column == own else "" for column in columns)
    return (tag("span", text(clock(event.moment)), _class="mono dim"), *cells)


# --- the rest ---


def _state(run: Run) -> str:
    parts = [_node_state(name, status) for name, status in run.statuses.items()]
    return lines(parts) or tag("p", "No node was asked.")


def _node_state(name: str, status: object) -> str:
    if not isinstance(status, dict):
        return tag("p", f"{tag('strong', text(name))} did not answer.")
    words = f"{len(status.get('ike_sas', ()))} IKE SAs, {len(status.get('child_sas', ()))} Child SAs"
    document = tag("pre", text_lines(json.dumps(status, indent=2)))
    return tag("details", tag("summary", f"{tag('strong', text(name))}: {text(words)}") + document)


def text_lines(document: str) -> str:
    """Several lines of text as HTML; each line is escaped by itself, so that line ends stay."""
    return "\n".join(map(text, document.split("\n")))


def _files(run: Run) -> str:
    rows = [(tag("a", text(name), href=name), f"{size:,}") for name, size in run.files]
    return table(("File", "Octets"), rows, "In the directory of this page")


def _footer() -> str:
    return tag(
        "p",
        text(f"ipseclab {__version__}. This page is complete by itself: it loads nothing and runs nothing."),
    )


def _left_out(number: int, limit: int, what: str, where: str) -> Iterator[str]:
    if number > limit:
        yield tag("p", text(f"{number - limit:,} more {what} are left out here: {where}."), _class="warning")
