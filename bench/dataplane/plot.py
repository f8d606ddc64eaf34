"""The figures as one self-contained SVG, for light and dark surroundings: a panel for each figure, a line for
each peer, with a dot at the median, a bar over all rounds, and a tick for each round.

The axes are logarithmic, for the bare veth pair and the tunnels are far apart: so no bars begin at zero.
"""

import html
import math
from collections.abc import Iterator, Sequence

from bench.dataplane.figures import Figure
from bench.dataplane.report import Found, Spread
from lab.palette import dark, light

#: Pixels: width of a panel, of its names and of its numbers; from one peer to the next; above and below.
_PANEL, _NAMES, _NUMBERS = 620, 142, 84
_LINE, _TOP, _BOTTOM, _MARGIN = 20, 46, 26, 24
_COLUMNS = 2
#: The colour of a peer, by how its name begins.
_COLOURS = {
    "node": "blue",
    "strongswan": "green",
    "mixed": "blue",
    "wireguard": "purple",
    "openvpn": "orange",
    "veth": "dim",
}
#: Further nodes.
_OTHER = "red"
#: Where an axis may have a line, in each power of ten.
_STEPS = (1, 2, 5)


def render(found: Found, heading: str, notes: Sequence[str] = ()) -> str:
    """The picture."""
    figures, peers = found.figures(), list(found.peers)
    height = _TOP + _LINE * len(peers) + _BOTTOM
    rows = -(-len(figures) // _COLUMNS)
    top = 44 + 16 * len(notes)
    width, whole = _COLUMNS * (_PANEL + _MARGIN) + _MARGIN, top + rows * height + _MARGIN
    parts = [*_frame(width, whole, heading), _text(_MARGIN, 28, heading, "head ink")]
    parts += [_text(_MARGIN, 48 + 16 * n, note, "dim") for n, note in enumerate(notes)]
    for number, (name, figure) in enumerate(figures.items()):
        x = _MARGIN + number % _COLUMNS * (_PANEL + _MARGIN)
        y = top + number // _COLUMNS * height
        parts.append(f'<g transform="translate({x} {y})">{"".join(_panel(found, name, figure))}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _frame(width: int, height: int, heading: str) -> Iterator[str]:
    label = html.escape(heading)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" class="dataplane" {size} role="img" aria-label="{label}">'
    yield f"<title>{label}</title><style>{_style()}</style>"
    yield f'<rect class="paper" width="{width}" height="{height}"/>'


def _style() -> str:
    shape = (
        ".dataplane text{font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;"
        "stroke:none!important}"
        ".dataplane .head{font-weight:bold;font-size:14px}.dataplane .title{font-weight:bold}"
    )
    return f"{shape}{_inks(0)}@media screen and (prefers-color-scheme:dark){{{_inks(1)}}}"


def _inks(theme: int) -> str:
    colour = (light, dark)[theme]
    names = ("ink", *dict.fromkeys((*_COLOURS.values(), _OTHER)))
    rules = [f".dataplane .{name}{{fill:{colour(name)};stroke:{colour(name)}}}" for name in names]
    rules.append(f".dataplane .paper{{fill:{colour('paper')}}}.dataplane .line{{stroke:{colour('line')}}}")
    return "".join(rules)


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{kind}">{html.escape(text)}</text>'


class Axis:
    """A logarithmic axis of one panel: from a value to pixels."""

    def __init__(self, values: Sequence[float]) -> None:
        least, most = min(values), max(values)
        steps = [step * 10.0**power for power in range(-6, 13) for step in _STEPS]
        low = max((step for step in steps if step <= least), default=steps[0])
        high = min((step for step in steps if step >= most), default=steps[-1])
        if low == high:
            high = steps[steps.index(low) + 1]
        self._low, self._span = math.log10(low), math.log10(high / low)
        marks = [step for step in steps if low <= step <= high]
        # Over four powers of ten each mark would touch the next one.
        self.marks = marks if len(marks) <= 10 else [mark for mark in marks if math.log10(mark) % 1 < 1e-9]

    def at(self, value: float) -> float:
        """Pixels from the left edge of the panel."""
        room = _PANEL - _NAMES - _NUMBERS
        return round(_NAMES + (math.log10(value) - self._low) / self._span * room, 1)


def _panel(found: Found, name: str, figure: Figure) -> Iterator[str]:
    each = {peer: list(found.values(peer, name).values()) for peer in found.peers}
    rows = {peer: row for peer, row in each.items() if row}
    # Nothing arrived, or nothing was used: a logarithmic axis has no place for it.
    values = [value for row in rows.values() for value in row if value > 0]
    better = "more is better" if figure.more else "less is better"
    yield _text(0, 18, f"{figure.title}, {figure.unit}, {better}", "title ink")
    if not values:
        return
    axis, bottom = Axis(values), _TOP + _LINE * len(rows) - 8
    for mark in axis.marks:
        x = axis.at(mark)
        yield f'<line class="line" x1="{x}" y1="{_TOP - 14}" x2="{x}" y2="{bottom}"/>'
        yield _text(x, bottom + 15, _number(mark), "dim", "middle")
    for number, (peer, row) in enumerate(rows.items()):
        y = _TOP + _LINE * number
        yield _text(_NAMES - 12, y + 4, peer, colour(peer), "end")
        yield from _row(axis, row, y, colour(peer), figure.digits)


def _row(axis: Axis, values: Sequence[float], y: int, ink: str, digits: int) -> Iterator[str]:
    spread = Spread.of(values)
    yield _text(_PANEL, y + 4, f"{spread.median:.{digits}f}", ink, "end")
    if spread.low <= 0:
        return
    low, median, high = (axis.at(value) for value in (spread.low, spread.median, spread.high))
    yield f'<g class="{ink}"><title>{html.escape(spread.told(digits))}</title>'
    yield f'<line x1="{low}" y1="{y}" x2="{high}" y2="{y}" stroke-width="2"/>'
    for value in values:
        x = axis.at(value)
        yield f'<line x1="{x}" y1="{y - 4}" x2="{x}" y2="{y + 4}"/>'
    yield f'<circle cx="{median}" cy="{y}" r="4"/></g>'


def colour(peer: str) -> str:
    """The name of a peer's colour."""
    return next((ink for start, ink in _COLOURS.items() if peer.startswith(start)), _OTHER)


def _number(value: float) -> str:
    for least, sign in ((1e6, "M"), (1e3, "k")):
        if value >= least:
            return f"{value / least:g}{sign}"
    return f"{value:g}"
