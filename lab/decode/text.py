"""Decoded packets for a terminal (a tree, a line, octets) and as values for JSON."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from lab.console import Style
from lab.decode.values import Decoded, Item, Kind
from lab.output import table
from lab.text import printable

#: Layers around a message: one line each, unless all of it is wanted.
_OUTER = frozenset({"Ethernet", "IPv4", "IPv6", "UDP"})
_COLOURS = {Kind.IKE: "cyan", Kind.ESP: "magenta", Kind.KEEPALIVE: "dim", Kind.OTHER: "dim"}
#: Octets in a line of --hex.
_IN_LINE = 16
_BILLION = 1_000_000_000


def lines(one: Decoded, zero_ns: int, style: Style, *, everything: bool, octets: bool) -> Iterator[str]:
    """A packet as a tree. `zero_ns` is when the capture begins; with `everything` outer layers are opened,
    with `octets` the message follows in hexadecimal.
    """
    when, number = _since(one, zero_ns), style.paint(f"#{one.number}", "bold")
    place = f"{one.vantage}  " if one.vantage else ""
    ends = f"{one.source} > {one.target}" if one.source else ""
    yield f"{number}  {style.paint(f'{when}  {printable(place)}{ends}', 'dim')}"
    yield f"  {style.paint(one.title, 'bold', _colour(one))}"
    if one.remark:
        yield f"  {style.paint(f'remark: {printable(one.remark)}', 'yellow')}"
    if one.problem:
        yield f"  {style.paint(f'problem: {one.problem}', 'red')}"
    for item in one.tree.children:
        yield from _tree(item, 1, style, everything)
    if octets:
        yield from (f"  {style.paint(line, 'dim')}" for line in hexadecimal(one.octets))


def brief(found: Sequence[Decoded], zero_ns: int, style: Style) -> str:
    """All packets, a line each."""
    rows = [
        (str(one.number), _since(one, zero_ns), one.source, one.target, one.title + _remarks(one))
        for one in found
    ]
    return table(("no", "time", "from", "to", "message"), rows, style)


def hexadecimal(octets: bytes) -> Iterator[str]:
    """Offset, sixteen octets, and the same as ASCII."""
    for at in range(0, len(octets), _IN_LINE):
        part = octets[at : at + _IN_LINE]
        shown = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in part)
        yield f"{at:04x}  {part.hex(' '):<{3 * _IN_LINE - 1}}  {shown}"


def as_json(one: Decoded, *, octets: bool) -> dict[str, object]:
    """The values of a packet; with `octets` the message too."""
    found: dict[str, object] = {
        "number": one.number,
        "time": stamp(one.moment_ns),
        "vantage": one.vantage,
        "from": one.source,
        "to": one.target,
        "kind": str(one.kind),
        "title": one.title,
        "octets": len(one.octets),
        "opened": one.opened,
        "problem": one.problem or None,
        "remark": one.remark or None,
        "tree": _item_json(one.tree),
    }
    return {**found, "hex": one.octets.hex()} if octets else found


def stamp(moment_ns: int) -> str:
    """RFC 3339 with nanoseconds."""
    seconds, rest = divmod(moment_ns, _BILLION)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _item_json(item: Item) -> dict[str, object]:
    return {"name": item.name, "value": item.value, "children": [_item_json(one) for one in item.children]}


def _tree(item: Item, depth: int, style: Style, everything: bool) -> Iterator[str]:
    name = style.paint(item.name, "bold") if item.children else item.name
    yield f"{'  ' * depth}{name}{f'  {item.value}' if item.value else ''}"
    if depth > 1 or everything or item.name not in _OUTER:
        for child in item.children:
            yield from _tree(child, depth + 1, style, everything)


def _since(one: Decoded, zero_ns: int) -> str:
    return f"{(one.moment_ns - zero_ns) / 1_000_000:+.1f} ms"


def _colour(one: Decoded) -> str:
    return "red" if one.problem and one.kind is Kind.OTHER else _COLOURS[one.kind]


def _remarks(one: Decoded) -> str:
    said = [f"({one.remark})"] if one.remark else []
    return "".join(f"  {text}" for text in [*said, *([f"[{one.problem}]"] if one.problem else [])])
