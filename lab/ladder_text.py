"""The ladder for a terminal: a lane for each node, two lines for a message, one for a note."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.console import Style
from lab.ladder import Fate, Kind, Ladder, Message, Note, since, title

#: Columns for the time.
_TIME = 12
#: Columns between two lanes: below the least nothing can be read, above the most eyes get lost.
_LEAST_GAP, _MOST_GAP = 40, 92


@dataclass(frozen=True, slots=True)
class Signs:
    """What lines are drawn with."""

    lane: str
    line: str
    right: str
    left: str
    cross: str
    dot: str
    more: str


UNICODE = Signs("│", "─", "▶", "◀", "✖", "●", "…")
ASCII = Signs("|", "-", ">", "<", "X", "*", "~")

_KIND_COLOURS = {Kind.KEYS: "magenta", Kind.STATE: "green", Kind.TROUBLE: "red"}
_FATE_COLOURS = {Fate.ARRIVED: "cyan", Fate.LOST: "yellow", Fate.DROPPED: "red", Fate.FOREIGN: "yellow"}


class _Line:
    """Cells with colours, the lanes drawn already."""

    def __init__(self, lanes: Sequence[int], signs: Signs, width: int) -> None:
        self._cells = [" "] * width
        self._colours = [""] * width
        for lane in lanes:
            self.put(lane, signs.lane, "dim")

    def put(self, at: int, text: str, colour: str = "") -> None:
        for offset, sign in enumerate(text):
            if 0 <= at + offset < len(self._cells):
                self._cells[at + offset] = sign
                self._colours[at + offset] = colour

    def text(self, style: Style) -> str:
        parts, start, end = [], 0, len("".join(self._cells).rstrip())
        for at in range(1, end + 1):
            if at == end or self._colours[at] != self._colours[start]:
                piece = "".join(self._cells[start:at])
                parts.append(style.paint(piece, self._colours[start]) if self._colours[start] else piece)
                start = at
        return "".join(parts)


def render(ladder: Ladder, style: Style, width: int = 120, signs: Signs = UNICODE) -> list[str]:
    """The lines of the ladder, `width` columns wide where the lanes are not too near for that."""
    count = max(len(ladder.lanes), 2)
    gap = max(_LEAST_GAP, min(_MOST_GAP, (width - _TIME - 4) // (count - 1)))
    lanes = {node: _TIME + 2 + index * gap for index, node in enumerate(ladder.lanes)}
    page = _Page(lanes, gap, _TIME + 2 + (count - 1) * gap + gap // 4, signs, style)
    lines = [page.heads()]
    for row in ladder.rows:
        lines += [page.note(row)] if isinstance(row, Note) else page.message(row)
    if ladder.hidden:
        lines.append(f"not shown: {', '.join(ladder.hidden)}")
    return lines


@dataclass(frozen=True, slots=True)
class _Page:
    lanes: dict[str, int]
    gap: int
    width: int
    signs: Signs
    style: Style

    def _line(self, seconds: float | None = None) -> _Line:
        line = _Line(list(self.lanes.values()), self.signs, self.width)
        if seconds is not None:
            line.put(0, since(seconds).rjust(_TIME), "dim")
        return line

    def _cut(self, text: str, room: int) -> str:
        return text if len(text) <= room else text[: max(room - 1, 0)] + self.signs.more

    def heads(self) -> str:
        line = _Line([], self.signs, self.width)
        for node, at in self.lanes.items():
            name = self._cut(node, self.gap - 2)
            line.put(max(_TIME - 2, at - len(name) // 2), name, "bold")
        return line.text(self.style)

    def note(self, row: Note) -> str:
        line, at = self._line(row.seconds), self.lanes[row.node]
        text, colour = self._cut(row.text, self.gap - 4), _KIND_COLOURS[row.kind]
        line.put(at, self.signs.dot, colour)
        rightmost = len(self.lanes) > 1 and at == max(self.lanes.values())
        line.put(at - 2 - len(text) if rightmost else at + 2, text, colour)
        return line.text(self.style)

    def message(self, row: Message) -> list[str]:
        """The label over the arrow. What did not arrive ends in the middle with a cross and the reason."""
        colour = _FATE_COLOURS[row.fate]
        start, end = self._ends(row)
        left, right = min(start, end), max(start, end)
        room = right - left - 3
        above, arrow = self._line(row.seconds), self._line()
        label = title(row)
        contents = f"  {row.contents}" if len(label) + len(row.contents) + 2 <= room else ""
        shown = self._cut(label + contents, room)
        above.put(left + 2 + (room - len(shown)) // 2, shown, colour)
        lines = [above.text(self.style)]
        if not contents and row.contents and not row.again:
            second, text = self._line(), self._cut(row.contents, room)
            second.put(left + 2 + (room - len(text)) // 2, text, colour)
            lines.append(second.text(self.style))
        self._arrow(arrow, row, start, end, colour)
        return [*lines, arrow.text(self.style)]

    def _ends(self, row: Message) -> tuple[int, int]:
        places = sorted(self.lanes.values())
        if row.source is None:
            # It comes out of nowhere: half way, so that no lane seems to have sent it.
            end, half = self.lanes[row.target or ""], self.gap // 2
            return (end - half if end != places[0] else end + half), end
        start = self.lanes[row.source]
        if row.target is not None:
            return start, self.lanes[row.target]
        return start, start + self.gap if start == places[0] else start - self.gap

    def _arrow(self, line: _Line, row: Message, start: int, end: int, colour: str) -> None:
        left, right, forward = min(start, end), max(start, end), start < end
        line.put(left + 1, self.signs.line * (right - left - 1), colour)
        if row.fate in (Fate.ARRIVED, Fate.FOREIGN):
            at, head = (right - 1, self.signs.right) if forward else (left + 1, self.signs.left)
            line.put(at, head, colour)
        if row.fate is Fate.LOST:
            middle = (left + right) // 2
            rest = range(middle, right) if forward else range(left + 1, middle + 1)
            line.put(rest.start, " " * len(rest))
        if row.reason:
            sign = f"{self.signs.cross} " if row.fate is not Fate.FOREIGN else ""
            text = self._cut(f" {sign}{row.reason} ", right - left - 6)
            at = (left + right - len(text)) // 2
            line.put(at, text, colour)
