"""Every packet of the capture as a tree that can be opened, with its octets."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from lab.decode.values import Decoded, Item, Kind
from lab.ladder.values import since
from lab.report.links import Owners, anchor
from lab.report.markup import Html, details, element, join, scrolling, section, size, text
from lab.report.run import Run

#: Packets in the page, and packets of one shape: the first ones and the last ones.
MAX_PACKETS = 400
_FIRST, _LAST = 40, 20
#: Characters of HTML after which packets are a line each.
_MAX_HTML = 6_000_000
#: Octets and lines of the tree of one packet, and how deep that is.
_MAX_OCTETS = 2048
_MAX_ITEMS = 600
_MAX_DEPTH = 24
_MAX_VALUE = 400
_LINE = 16
_NUMBERS = re.compile(r"(?:0x)?[0-9a-f]*\d[0-9a-f]*")
#: What carries a message; who reads of IKE and ESP seldom opens it.
_CARRIERS = ("IPv4", "IPv6", "UDP", "Ethernet", "Linux cooked")


def packets(run: Run, zero: float, whose: Owners) -> Html:
    """The section."""
    body: list[Html] = []
    if run.problem:
        body.append(element("p", text(f"The capture is not decoded: {run.problem}"), class_="fail"))
    elif not run.packets:
        body.append(element("p", text("The run left no capture.")))
    else:
        shown = chosen(run.packets)
        body.append(element("p", text(_introduction(run, len(shown)))))
        body += _packets(shown, zero, whose)
    return section("packets", "What was on the wire", *body)


def _introduction(run: Run, shown: int) -> str:
    total = len(run.packets)
    some = "" if shown == total else f" Shown are {shown:,} of them; `ipseclab decode --all` has every one."
    sealed = sum(p.kind in (Kind.IKE, Kind.ESP) and bool(p.problem) for p in run.packets)
    why = "could not be opened or read" if run.has_keys else "stay sealed: the run logged no keys"
    closed = f" {sealed:,} {why}." if sealed else ""
    return f"{total:,} packets were captured.{some}{closed} Open one to see what is in it."


def chosen(found: Sequence[Decoded]) -> list[Decoded]:
    """What is shown: not the network's own talk; of packets of one shape the first and the last ones; not too
    many in all.
    """
    ours = [packet for packet in found if packet.kind is not Kind.OTHER or packet.problem or packet.remark]
    shapes = [_shape(packet) for packet in ours]
    count, seen = Counter(shapes), Counter[tuple[str, ...]]()
    kept = []
    for packet, shape in zip(ours, shapes, strict=True):
        seen[shape] += 1
        if seen[shape] <= _FIRST or seen[shape] > count[shape] - _LAST:
            kept.append(packet)
    if len(kept) > MAX_PACKETS:
        kept = kept[: MAX_PACKETS // 2] + kept[-MAX_PACKETS // 2 :]
    return kept


def _shape(packet: Decoded) -> tuple[str, ...]:
    return packet.kind.value, *(_NUMBERS.sub("#", said[:200]) for said in (packet.title, packet.remark))


def _packets(shown: Sequence[Decoded], zero: float, whose: Owners) -> Iterator[Html]:
    written = 0
    for packet in shown:
        if written < _MAX_HTML:
            inside = join([tree(packet.tree), octets(packet.octets)])
        else:
            command = f"`ipseclab decode --packet {packet.number}`"
            inside = element(
                "p", text(f"The page is long enough: {command} has what is in it."), class_="dim"
            )
        made = _packet(packet, zero, whose, inside)
        written += len(made)
        yield made


def _packet(packet: Decoded, zero: float, whose: Owners, inside: Html) -> Html:
    kind = packet.kind.value if packet.kind in (Kind.IKE, Kind.ESP) else "dim"
    ends = f"{whose.name(packet.source)} → {whose.name(packet.target)}"
    summary = join(
        [
            element("span", text(f"#{packet.number}"), class_="dim number"),
            element("span", text(since(packet.moment_ns / 1e9 - zero)), class_="dim number"),
            element("span", text(ends)),
            element("span", text(packet.title, 300), *_badges(packet), class_=f"title {kind}"),
        ]
    )
    said = [("Not opened: ", packet.problem, "sealed"), ("The wire: ", packet.remark, "wire")]
    notes = [element("p", text(label + value), class_=colour) for label, value, colour in said if value]
    where = f"{packet.source} > {packet.target}, captured at {packet.vantage or 'an unnamed place'}"
    inner = [*notes, element("p", text(where), class_="dim mono"), inside]
    return details(summary, *inner, class_="packet", id=anchor(packet))


def _badges(packet: Decoded) -> Iterator[Html]:
    if packet.opened:
        yield element("span", text("opened"), class_="badge opened")
    elif packet.problem:
        yield element("span", text("not opened"), class_="badge sealed")
    if packet.remark:
        yield element("span", text(packet.remark, 60), class_="badge wire")


def tree(item: Item) -> Html:
    """What is in it: what has parts can be opened, the rest is a line."""
    budget = [_MAX_ITEMS]
    lines = [_item(child, 1, budget) for child in item.children]
    return element("div", join(lines), class_="tree")


def _item(item: Item, depth: int, budget: list[int]) -> Html:
    """`budget` counts down over the whole tree."""
    budget[0] -= 1
    value = f": {item.value}" if item.value else ""
    line = join([element("b", text(item.name, _MAX_VALUE)), text(value, _MAX_VALUE)], Html(""))
    if budget[0] < 0:
        return element("div", text("... more is left out"), class_="leaf") if budget[0] == -1 else Html("")
    if not item.children or depth >= _MAX_DEPTH:
        return element("div", line, class_="leaf")
    opened = depth <= 2 and not item.name.startswith(_CARRIERS)
    return details(line, *(_item(child, depth + 1, budget) for child in item.children), opened=opened)


def octets(found: bytes) -> Html:
    """A dump of octets: offset, hexadecimal, ASCII."""
    lines = []
    for at in range(0, min(len(found), _MAX_OCTETS), _LINE):
        part = found[at : at + _LINE]
        letters = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in part)
        lines.append(text(f"{at:04x}  {part.hex(' '):<{3 * _LINE}} {letters}"))
    if len(found) > _MAX_OCTETS:
        lines.append(text(f"... {size(len(found) - _MAX_OCTETS)} more"))
    return details(text(size(len(found))), scrolling("Octets", element("pre", join(lines))))
