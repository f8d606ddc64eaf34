"""The ladder as a picture: one self-contained SVG without scripts or fonts; `title` has the details."""

import html
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from lab.ladder import Fate, Kind, Ladder, Message, Note, since, title

#: Pixels. Text is monospace, so that its width is known: characters of 12 px are 7.3 px wide at most.
_TIME, _GAP, _MARGIN, _HEAD = 100, 620, 90, 56
_LINE, _SPACE, _NOTE = 16, 20, 22
_CHARACTER = 7.3
_COLOURS = {
    Fate.ARRIVED: "#0b62a4",
    Fate.LOST: "#9a6700",
    Fate.DROPPED: "#b3261e",
    Fate.FOREIGN: "#9a6700",
    Kind.KEYS: "#7b1fa2",
    Kind.STATE: "#1b6e2f",
    Kind.TROUBLE: "#b3261e",
}
_STYLE = (
    "text{font:12px ui-monospace,'DejaVu Sans Mono',monospace;fill:#1f2328}"
    "text{paint-order:stroke;stroke:#fff;stroke-width:3px}.head{stroke:none}"
    ".head{font-weight:bold;font-size:14px}.time{fill:#57606a;font-size:11px}.name{font-weight:bold}"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the lanes are."""

    lanes: dict[str, int]
    width: int

    def rightmost(self, node: str) -> bool:
        return len(self.lanes) > 1 and self.lanes[node] == max(self.lanes.values())


def render(ladder: Ladder, heading: str) -> str:
    """The picture, with a heading and the time of the first message as zero."""
    lanes = {node: _TIME + _MARGIN + index * _GAP for index, node in enumerate(ladder.lanes)}
    place = _Place(lanes, _TIME + 2 * _MARGIN + max(len(lanes) - 1, 1) * _GAP)
    y, body = _HEAD + 34, []
    for row in ladder.rows:
        drawn, height = _note(row, place, y) if isinstance(row, Note) else _message(row, place, y)
        body.append(drawn)
        y += height
    if ladder.hidden:
        body.append(_text(_TIME, y + 10, f"not shown: {', '.join(ladder.hidden)}", "time"))
        y += 20
    return "\n".join([*_frame(place, y + 16, heading), *body, "</svg>", ""])


def _frame(place: _Place, height: int, heading: str) -> Iterator[str]:
    size = f'width="{place.width}" height="{height}" viewBox="0 0 {place.width} {height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{html.escape(heading)}">'
    yield f"<style>{_STYLE}</style>"
    yield f'<rect width="{place.width}" height="{height}" fill="#ffffff"/>'
    yield _text(16, 24, heading, "head")
    for node, x in place.lanes.items():
        ends = f'x1="{x}" y1="{_HEAD + 12}" x2="{x}" y2="{height - 8}"'
        yield f'<line {ends} stroke="#8c959f" stroke-width="1.5"/>'
        half = max(len(node) * 4.3 + 10, 40)
        yield (
            f'<rect x="{x - half:.1f}" y="{_HEAD - 16}" width="{2 * half:.1f}" height="28" rx="5" '
            'fill="#eaeef2" stroke="#8c959f"/>'
        )
        yield _text(x, _HEAD + 3, node, "head", "middle")


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start", colour: str = "") -> str:
    style = f' style="fill:{colour}"' if colour else ""
    where = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text {where} class="{kind}"{style} xml:space="preserve">{html.escape(text)}</text>'


def _wrapped(text: str, room: float) -> list[str]:
    return textwrap.wrap(text, max(int(room / _CHARACTER), 20)) if text else []


def _note(row: Note, place: _Place, y: int) -> tuple[str, int]:
    """A dot on the node's lane and the words on the inner side of it."""
    x, colour, right = place.lanes[row.node], _COLOURS[row.kind], place.rightmost(row.node)
    lines = _wrapped(row.text, _GAP - 40)
    parts = [_text(8, y + 4, since(row.seconds), "time")]
    parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>')
    at, anchor = (x - 12, "end") if right else (x + 12, "start")
    parts += [_text(at, y + 4 + n * _LINE, line, "", anchor, colour) for n, line in enumerate(lines)]
    return _group(parts, f"{row.node}: {row.text}"), _NOTE + (len(lines) - 1) * _LINE


def _message(row: Message, place: _Place, y: int) -> tuple[str, int]:
    """Name and contents over the arrow; what did not arrive ends half way with a cross and the reason."""
    start, end = _ends(row, place)
    middle, room, colour = (start + end) / 2, abs(end - start) - 40, _COLOURS[row.fate]
    words = [] if row.again else _wrapped(row.contents, room)
    parts = [_text(8, y + 4, since(row.seconds), "time")]
    parts.append(_text(middle, y + 4, title(row), "name", "middle", colour))
    for number, line in enumerate(words, 1):
        parts.append(_text(middle, y + 4 + number * _LINE, line, "", "middle"))
    line_y = y + 4 + len(words) * _LINE + 9
    parts += _arrow(row, start, end, line_y, colour)
    height = line_y - y + _SPACE
    if row.reason:
        told = _wrapped(row.reason, room)
        for number, line in enumerate(told):
            parts.append(_text(middle, line_y + 17 + number * _LINE, line, "", "middle", colour))
        height += 4 + len(told) * _LINE
    told_of = f"{title(row)}\n{row.contents}\n{row.source or '?'} to {row.target or '?'}: {row.fate.value}"
    return _group(parts, told_of), height


def _ends(row: Message, place: _Place) -> tuple[int, int]:
    if row.source is None:
        end = place.lanes[row.target or ""]
        # It comes out of nowhere: half way, so that no lane seems to have sent it.
        return (end - _GAP // 2 if place.rightmost(row.target or "") else end + _GAP // 2), end
    start = place.lanes[row.source]
    if row.target is not None:
        return start, place.lanes[row.target]
    return start, start - _GAP if place.rightmost(row.source) else start + _GAP


def _arrow(row: Message, start: int, end: int, y: int, colour: str) -> list[str]:
    step = 1 if end > start else -1
    dashes = ' stroke-dasharray="6 4"' if row.again or row.fate is Fate.FOREIGN else ""
    arrived = row.fate in (Fate.ARRIVED, Fate.FOREIGN)
    stop = end - 9 * step if arrived else (start + end) // 2 if row.fate is Fate.LOST else end - 30 * step
    line = f'<line x1="{start}" y1="{y}" x2="{stop}" y2="{y}" stroke="{colour}" stroke-width="1.5"{dashes}/>'
    if arrived:
        points = f"{end - 1 * step},{y} {end - 11 * step},{y - 5} {end - 11 * step},{y + 5}"
        return [line, f'<polygon points="{points}" fill="{colour}"/>']
    cross = f"M{stop - 6},{y - 6}L{stop + 6},{y + 6}M{stop - 6},{y + 6}L{stop + 6},{y - 6}"
    return [line, f'<path d="{cross}" stroke="{colour}" stroke-width="2.5"/>']


def _group(parts: list[str], about: str) -> str:
    return f"<g><title>{html.escape(about)}</title>{''.join(parts)}</g>"
