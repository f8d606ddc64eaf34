"""How the nodes stood in the end, the certificates they had, and the files that the run left."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lab.report.markup import Html, details, element, scrolling, section, size, table, text
from lab.report.run import File, Run, items, nodes, words

#: Nodes in the table, and nodes whose whole status can be opened.
_MAX_ROWS, _MAX_WHOLE = 400, 40
#: Characters of one node's status.
_MAX_STATUS = 20_000
_FILES = (
    ("events.jsonl", "every event of every node, by time"),
    ("status.json", "what the nodes said of themselves in the end"),
    ("results.json", "the verdict, check by check"),
    ("summary.txt", "the verdict for people"),
    ("ladder.", "who sent what to whom"),
    ("capture", "what was captured; opens in Wireshark"),
    ("keys/", "SECRET: keys of a node"),
    ("wireshark/", "SECRET: tables of keys that Wireshark reads"),
    ("report.html", "this page"),
)


def status(run: Run) -> Html:
    """The section on nodes and certificates."""
    found = nodes(run) or [{"name": name, "status": status} for name, status in run.statuses.items()]
    if not found:
        return Html("")
    head = ("Node", "Role", "State", "Address", "IKE SAs", "Child SAs", "Packets in / out", "Dropped")
    rows = [tuple(map(text, _node(node))) for node in found[:_MAX_ROWS]]
    more = len(found) - len(rows)
    left_out = [element("p", text(f"{more:,} more nodes are in results.json."), class_="dim")] if more else []
    parts = [table("The nodes in the end", head, rows), *left_out, *_whole(found), *_certificates(run)]
    return section("status", "How it stood in the end", *parts)


def _node(node: Mapping[str, Any]) -> tuple[str, ...]:
    told = node.get("status")
    code = words(node, "exit_code")
    state = words(node, "state") + (f", code {code}" if code else "")
    about = (words(node, "name"), words(node, "role"), state, words(node, "address"))
    if not isinstance(told, Mapping):
        return *about, "", "", "", ""
    children = items(told, "child_sas")
    sent = [sum(_number(child, f"{way}_packets") for child in children) for way in ("inbound", "outbound")]
    sas = ", ".join(words(sa, "phase") for sa in items(told, "ike_sas")[:4])
    more = len(items(told, "ike_sas")) - 4
    phases = f"{sas} and {more} more" if more > 0 else sas or "none"
    packets = f"{sent[0]:,} / {sent[1]:,}" if children else ""
    return *about, phases, str(len(children)), packets, _dropped(told, children)


def _number(document: Mapping[str, Any], key: str) -> int:
    found = document.get(key)
    return found if isinstance(found, int) else 0


def _dropped(told: Mapping[str, Any], children: Sequence[Mapping[str, Any]]) -> str:
    found: dict[str, int] = {}
    for counters in (told.get("dropped"), *(child.get("dropped") for child in children)):
        for reason, count in counters.items() if isinstance(counters, Mapping) else ():
            found[str(reason)] = found.get(str(reason), 0) + (count if isinstance(count, int) else 0)
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(found.items())[:12]) or "none"


def _whole(found: Sequence[Mapping[str, Any]]) -> list[Html]:
    """What each node said, word for word."""
    told = [node for node in found if isinstance(node.get("status"), Mapping)]
    return [
        details(
            text(f"Everything that {words(node, 'name')} said of itself"),
            scrolling("Status", element("pre", _lines(json.dumps(node["status"], indent=2)))),
        )
        for node in told[:_MAX_WHOLE]
    ]


def _lines(document: str) -> Html:
    shown = document[:_MAX_STATUS]
    rest = "\n... the rest is in status.json" if len(document) > _MAX_STATUS else ""
    return Html("\n".join(text(line) for line in (shown + rest).split("\n")))


def _certificates(run: Run) -> list[Html]:
    found = items(run.results, "certificates")[:_MAX_ROWS]
    if not found:
        return []
    keys = ("name", "subject", "key_type", "not_after", "action")
    rows = [tuple(text(words(certificate, key)) for key in keys) for certificate in found]
    head = ("Certificate", "Subject", "Key", "Not after", "What the CA did")
    return [details(text("Certificates"), table("Certificates", head, rows))]


def files(run: Run, place: Path) -> Html:
    """The section on files. They are linked where the page lies among them."""
    beside = place.resolve().parent == run.directory.resolve()
    rows = [(_name(file, beside), text(size(file.octets)), text(_what(file.name))) for file in run.files]
    where = element("p", text(str(run.directory)), class_="mono dim")
    return section("files", "Files of the run", where, table("Files", ("File", "Size", "What it is"), rows))


def _name(file: File, beside: bool) -> Html:
    shown = element("code", text(file.name))
    # `./` keeps a name with a colon from being read as a scheme.
    return element("a", shown, href="./" + quote(file.name, errors="surrogatepass")) if beside else shown


def _what(name: str) -> str:
    return next((what for start, what in _FILES if name.startswith(start)), "")
