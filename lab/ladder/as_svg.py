"""The ladder as a picture: one self-contained SVG without scripts or fonts, for light and dark surroundings.

`title` has the details. Text is monospace, so that its width is known before it is drawn.
"""

import html
import re
import textwrap
from collections.abc import Iterator, Mapping

from lab.ladder.place import Place, Size, place, wide
from lab.ladder.values import Fate, Fold, Kind, Ladder, Message, Note, Row, folded, not_shown, since, title
from lab.palette import dark, light
from lab.text import printable

#: Characters of 12 px are 7.3 px wide at most.
_CHARACTER = 7.3
#: What is left of it after `printable` (XML 1.0, 2.2).
_NOT_XML = re.compile("[\ufffe\uffff]")
#: Pixels: from one line of text to the next, below an arrow, from one note to the next.
_LINE, _SPACE, _NOTE = 16, 20, 22
_HEAD = 56
_COLOURS = {
    Fate.ARRIVED: "blue",
    Fate.LOST: "amber",
    Fate.STOPPED: "orange",
    Fate.PASSED: "orange",
    Fate.DROPPED: "red",
    Fate.FOREIGN: "amber",
    Kind.KEYS: "purple",
    Kind.STATE: "green",
    Kind.TROUBLE: "red",
    Kind.WIRE: "orange",
}
_INKS = ("ink", "dim", *dict.fromkeys(_COLOURS.values()))
#: A link of a row, by its place among the rows.
Links = Mapping[int, str]


def _style() -> str:
    """Everything is said of `.ladder`: in a page the style is everybody's."""
    shape = (
        ".ladder text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre;"
        "paint-order:stroke;stroke-width:5px;stroke-linejoin:round}"
        ".ladder .head{font-weight:bold;font-size:14px;stroke:none}.ladder .name{font-weight:bold}"
        ".ladder .time{font-size:11px}.ladder a:focus text,.ladder a:hover text{text-decoration:underline}"
    )
    return f"{shape}{_inks(0)}@media screen and (prefers-color-scheme:dark){{{_inks(1)}}}"


def _inks(theme: int) -> str:
    colour = (light, dark)[theme]
    rules = [f".ladder .{name}{{fill:{colour(name)};stroke:{colour(name)}}}" for name in _INKS]
    rules.append(f".ladder .paper,.ladder .hollow{{fill:{colour('paper')}}}")
    rules.append(f".ladder .lane{{stroke:{colour('lane')};fill:{colour('panel')}}}")
    rules.append(f".ladder text{{stroke:{colour('paper')}}}")
    rules += [f".ladder text.{name}{{fill:{colour(name)};stroke:{colour('paper')}}}" for name in _INKS]
    return "".join(rules)


def render(ladder: Ladder, heading: str, size: Size | None = None, links: Links | None = None) -> str:
    """The picture, with a heading and the time of the first message as zero."""
    where = place(ladder, size or wide(len(ladder.lanes)))
    y, body = (_HEAD if heading else _HEAD - 28) + 34, []
    for number, row in enumerate(ladder.rows):
        drawn, height = _row(row, where, y)
        link = (links or {}).get(number)
        body.append(f'<a href="{_safe(link)}">{drawn}</a>' if link else drawn)
        y += height
    for line in _wrapped(not_shown(ladder), where.width - where.size.time - 20):
        body.append(_text(where.size.time + 10, y + 10, line, "time dim"))
        y += _LINE
    return "\n".join([*_frame(where, y + 16, heading, bool(links)), *body, "</svg>", ""])


def _row(row: Row, where: Place, y: int) -> tuple[str, int]:
    match row:
        case Note():
            return _note(row, where, y, row.seconds, row.text)
        case Fold(like=Note() as like):
            return _note(like, where, y, row.seconds, folded(row))
        case Fold():
            return _fold(row, where, y)
        case _:
            return _message(row, where, y)


def _frame(where: Place, height: int, heading: str, has_links: bool) -> Iterator[str]:
    size = f'width="{where.width}" height="{height}" viewBox="0 0 {where.width} {height}"'
    label = _safe(heading or "message ladder")
    role = f'role="{"group" if has_links else "img"}" aria-label="{label}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" class="ladder" {size} {role}>'
    yield f"<title>{label}</title><style>{_style()}</style>"
    yield f'<rect class="paper" width="{where.width}" height="{height}"/>'
    top = _HEAD if heading else _HEAD - 28
    if heading:
        yield _text(16, 24, heading, "head ink")
    if where.wire_name:
        yield _vertical(where.wire, top, height, ' stroke-dasharray="2 5"')
    for node, x in where.lanes.items():
        yield _vertical(x, top, height, "")
        yield _head(node, x, where, top, ' rx="5"')
    if where.wire_name:
        yield _head(where.wire_name, where.wire, where, top, ' rx="14" stroke-dasharray="2 3"')


def _vertical(x: int, top: int, height: int, dashes: str) -> str:
    ends = f'x1="{x}" y1="{top + 12}" x2="{x}" y2="{height - 8}"'
    return f'<line class="lane" {ends} stroke-width="1.5"{dashes}/>'


def _head(node: str, x: int, where: Place, top: int, corners: str) -> str:
    half = max(len(node) * 4.3 + 10, 30)
    middle = min(max(x, half + 1), where.width - half - 1)
    box = f'x="{middle - half:.1f}" y="{top - 16}" width="{2 * half:.1f}" height="28"'
    return f'<rect class="lane" {box}{corners}/>{_text(middle, top + 3, node, "head ink", "middle")}'


def _safe(text: str) -> str:
    """Text as it may stand in XML, with every control character visible."""
    return html.escape(_NOT_XML.sub("\ufffd", printable(text)))


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    where = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text {where} class="{kind}">{_safe(text)}</text>'


def _wrapped(text: str, room: float) -> list[str]:
    """Lines that fit; the long names of suites may be broken behind a slash."""
    most = max(int(room / _CHARACTER), 20)
    broken = (word if len(word) <= most else word.replace("/", "/ ") for word in text.split(" "))
    return textwrap.wrap(" ".join(broken), most) if text else []


def _time(seconds: float, where: Place, y: int) -> list[str]:
    """The time in its column, where there is one."""
    return [_text(8, y + 4, since(seconds), "time dim")] if where.size.time else []


def _timed(text: str, seconds: float, where: Place) -> str:
    return text if where.size.time else f"{since(seconds)}  {text}"


def _note(row: Note, where: Place, y: int, seconds: float, said: str) -> tuple[str, int]:
    """A dot where it happened and the words on the inner side of it."""
    colour = _COLOURS[row.kind]
    at_wire = row.kind is Kind.WIRE
    x = where.wire if at_wire else where.lanes[row.node]
    lines = _wrapped(_timed(said, seconds, where), where.size.gap - 40)
    parts = _time(seconds, where, y)
    if at_wire:
        # The words are written over the thin line, below its dot.
        parts.append(f'<circle class="{colour}" cx="{x}" cy="{y}" r="4"/>')
        parts += [_text(x, y + 4 + n * _LINE, line, colour, "middle") for n, line in enumerate(lines, 1)]
        return _group(parts, f"{row.node}: {said}"), _NOTE + len(lines) * _LINE
    right = where.rightmost(row.node)
    parts.append(f'<circle class="{colour}" cx="{x}" cy="{y}" r="4"/>')
    at, anchor = (x - 12, "end") if right else (x + 12, "start")
    parts += [_text(at, y + 4 + n * _LINE, line, colour, anchor) for n, line in enumerate(lines)]
    return _group(parts, f"{row.node}: {said}"), _NOTE + (len(lines) - 1) * _LINE


def _fold(row: Fold, where: Place, y: int) -> tuple[str, int]:
    """Many rows as one line of words between two dotted lines."""
    if isinstance(row.like, Message):
        left, right = sorted(where.room(row.like))
    else:
        left, right = min(where.lanes.values(), default=0), max(where.lanes.values(), default=0)
        right = max(right, left + where.size.gap)
    words = _wrapped(_timed(folded(row), row.seconds, where), right - left - 40)
    parts = _time(row.seconds, where, y)
    parts += [_text((left + right) / 2, y + 4 + n * _LINE, t, "dim", "middle") for n, t in enumerate(words)]
    bottom = y + 4 + (len(words) - 1) * _LINE + 9
    ends = f'x1="{left + 8}" y1="{bottom}" x2="{right - 8}" y2="{bottom}"'
    parts.append(f'<line class="dim" {ends} stroke-width="1.5" stroke-dasharray="1 5"/>')
    return _group(parts, folded(row)), bottom - y + _SPACE


def _message(row: Message, where: Place, y: int) -> tuple[str, int]:
    """Name and contents over the arrow; what did not arrive ends with a cross and the reason."""
    colour = _COLOURS[row.fate]
    start, end = where.ends(row)
    left, right = where.room(row)
    middle, room = (left + right) / 2, right - left - 40
    parts = _time(row.seconds, where, y)
    said = [] if where.size.time else [(since(row.seconds), "time dim")]
    said += [(line, f"name {colour}") for line in _wrapped(title(row), room)]
    said += [(line, "ink") for line in (() if row.again else _wrapped(row.contents, room))]
    parts += [_text(middle, y + 4 + n * _LINE, line, kind, "middle") for n, (line, kind) in enumerate(said)]
    line_y = y + 4 + (len(said) - 1) * _LINE + 9
    parts += _arrow(row, start, end, line_y, colour)
    height = line_y - y + _SPACE
    if row.words:
        told = _wrapped(row.words, room)
        parts += [_text(middle, line_y + 17 + n * _LINE, t, colour, "middle") for n, t in enumerate(told)]
        height += 4 + len(told) * _LINE
    about = f"{title(row)}\n{row.contents}\n{row.source or '?'} to {row.target or '?'}: {row.fate.value}"
    return _group(parts, about), height


def _arrow(row: Message, start: int, end: int, y: int, colour: str) -> list[str]:
    step = 1 if end > start else -1
    dashed = row.again or row.copy or row.fate in (Fate.FOREIGN, Fate.PASSED)
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    arrived = row.fate in (Fate.ARRIVED, Fate.FOREIGN, Fate.PASSED)
    stop = {Fate.LOST: (start + end) // 2, Fate.STOPPED: end, Fate.DROPPED: end - 30 * step}.get(
        row.fate, end - 9 * step
    )
    line = f'<line class="{colour}" x1="{start}" y1="{y}" x2="{stop}" y2="{y}" stroke-width="1.5"{dashes}/>'
    if arrived:
        points = f"{end - 1 * step},{y} {end - 11 * step},{y - 5} {end - 11 * step},{y + 5}"
        hollow = " hollow" if row.fate is Fate.PASSED else ""
        return [line, f'<polygon class="{colour}{hollow}" points="{points}"/>']
    cross = f"M{stop - 6},{y - 6}L{stop + 6},{y + 6}M{stop - 6},{y + 6}L{stop + 6},{y - 6}"
    return [line, f'<path class="{colour}" d="{cross}" stroke-width="2.5"/>']


def _group(parts: list[str], about: str) -> str:
    lines = "\n".join(_safe(line) for line in about.split("\n"))
    return f"<g><title>{lines}</title>{''.join(parts)}</g>"
