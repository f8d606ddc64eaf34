"""The ladder for a terminal: a lane for each node, two lines for a message, one for a note or a fold."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.console import Style
from lab.ladder.values import Fate, Fold, Kind, Ladder, Message, Note, folded, not_shown, since, title
from lab.text import printable

#: Columns of a page where there is no terminal to ask.
WIDTH = 120
#: Columns for the time, and right of the last lane.
_TIME, _MARGIN = 12, 6
#: Columns between two lanes: below the least nothing can be read, above the most eyes get lost.
_LEAST_GAP, _MOST_GAP = 20, 92
#: Columns between two lanes where most texts fit.
_READABLE_GAP = 46


def lanes_in(width: int) -> int:
    """How many lanes can be read in so many columns."""
    return max(2, (width - _TIME - 2 - _MARGIN) // _READABLE_GAP + 1)


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
    wire: str
    fold: str


UNICODE = Signs("│", "─", "▶", "◀", "✖", "●", "…", "┊", "⋮")
ASCII = Signs("|", "-", ">", "<", "X", "*", "~", ":", "=")

_KIND_COLOURS = {Kind.KEYS: "magenta", Kind.STATE: "green", Kind.TROUBLE: "red", Kind.WIRE: "yellow"}
_FATE_COLOURS = {
    Fate.ARRIVED: "cyan",
    Fate.LOST: "yellow",
    Fate.STOPPED: "yellow",
    Fate.PASSED: "yellow",
    Fate.DROPPED: "red",
    Fate.FOREIGN: "yellow",
}


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


def render(ladder: Ladder, style: Style, width: int = WIDTH, signs: Signs = UNICODE) -> list[str]:
    """The lines of the ladder, `width` columns wide where the lanes are not too near for that."""
    count = max(len(ladder.lanes), 2)
    gap = max(_LEAST_GAP, min(_MOST_GAP, (width - _TIME - 2 - _MARGIN) // (count - 1)))
    lanes = {node: _TIME + 2 + index * gap for index, node in enumerate(ladder.lanes)}
    wire = _TIME + 2 + ladder.wire_after * gap + gap // 2
    full = _TIME + 2 + (count - 1) * gap + _MARGIN
    page = _Page(lanes, gap, full, wire, ladder.wire, signs, style)
    lines = [page.heads()]
    for row in ladder.rows:
        match row:
            case Note():
                lines.append(page.note(row))
            case Fold():
                lines.append(page.fold(row))
            case _:
                lines += page.message(row)
    return [*lines, *filter(None, [not_shown(ladder)])]


@dataclass(frozen=True, slots=True)
class _Page:
    """`wire` is the column of the wire, whose name is empty where there is none."""

    lanes: dict[str, int]
    gap: int
    width: int
    wire: int
    wire_name: str
    signs: Signs
    style: Style

    def _line(self, seconds: float | None = None) -> _Line:
        line = _Line(list(self.lanes.values()), self.signs, self.width)
        if self.wire_name:
            line.put(self.wire, self.signs.wire, "dim")
        if seconds is not None:
            line.put(0, since(seconds).rjust(_TIME), "dim")
        return line

    def _cut(self, text: str, room: int) -> str:
        return text if len(text) <= room else text[: max(room - 1, 0)] + self.signs.more

    def heads(self) -> str:
        line = _Line([], self.signs, self.width)
        places = [*self.lanes.items(), *([(self.wire_name, self.wire)] if self.wire_name else [])]
        for node, at in places:
            # A name must not reach the next one; beside the wire that is half as far.
            beside = self.wire_name and abs(at - self.wire) <= self.gap
            name = self._cut(printable(node), self.gap // 2 - 2 if beside else self.gap - 2)
            end = self.width - len(name)
            line.put(max(_TIME - 2, min(at - len(name) // 2, end)), name, "bold")
        return line.text(self.style)

    def note(self, row: Note) -> str:
        line = self._line(row.seconds)
        self._say(line, row, f" {row.text}")
        return line.text(self.style)

    def _say(self, line: _Line, row: Note, text: str) -> None:
        """A dot where it happened, the words on the inner side of it."""
        colour = _KIND_COLOURS[row.kind]
        if row.kind is Kind.WIRE:
            said = self._cut(f"{self.signs.dot}{text}", self.gap - 4)
            line.put(max(_TIME + 4, self.wire - len(said) // 2), said, colour)
            return
        at = self.lanes[row.node]
        said = self._cut(text, self.gap - 3)
        line.put(at, self.signs.dot, colour)
        rightmost = len(self.lanes) > 1 and at == max(self.lanes.values())
        line.put(at - 1 - len(said) if rightmost else at + 1, f"{said[1:]} " if rightmost else said, colour)

    def fold(self, row: Fold) -> str:
        """One line for many rows, in the middle of where they would be."""
        line = self._line(row.seconds)
        if isinstance(row.like, Message):
            left, right = sorted(self._ends(row.like))
        else:
            left, right = min(self.lanes.values()), max(self.lanes.values())
            right = max(right, left + self.gap)
        if isinstance(row.like, Note):
            self._say(line, row.like, f" {folded(row)}")
        else:
            text = self._cut(f"{self.signs.fold} {folded(row)} {self.signs.fold}", right - left - 3)
            line.put(left + 2 + (right - left - 3 - len(text)) // 2, text, "dim")
        return line.text(self.style)

    def message(self, row: Message) -> list[str]:
        """The label over the arrow. What did not arrive ends with a cross and the reason."""
        colour = _FATE_COLOURS[row.fate]
        start, end = self._ends(row)
        left, right = self._label_room(row, start, end)
        room = right - left - 3
        above, arrow = self._line(row.seconds), self._line()
        label = title(row)
        told = row.contents
        contents = f"  {told}" if told and len(label) + len(told) + 2 <= room else ""
        shown = self._cut(label + contents, room)
        above.put(left + 2 + (room - len(shown)) // 2, shown, colour)
        lines = [above.text(self.style)]
        if not contents and told and not (row.again or row.copy):
            second, text = self._line(), self._cut(told, room)
            second.put(left + 2 + (room - len(text)) // 2, text, colour)
            lines.append(second.text(self.style))
        self._arrow(arrow, row, start, end, colour)
        return [*lines, arrow.text(self.style)]

    def _ends(self, row: Message) -> tuple[int, int]:
        """The columns of both ends: of lanes, of the wire, or half way to somewhere unknown."""
        places = sorted(self.lanes.values())
        source = None if row.source is None or row.copy else self.lanes[row.source]
        target = None if row.target is None else self.lanes[row.target]
        if source is None:
            end = places[0] if target is None else target
            half = end - self.gap // 2 if end != places[0] else end + self.gap // 2
            return (self.wire if self.wire_name else half), end
        if target is None and row.fate is Fate.STOPPED:
            return source, self.wire
        if target is None:
            inwards = source <= self.wire if self.wire_name else source == places[0]
            target = source + self.gap if inwards else source - self.gap
        return source, target

    def _label_room(self, row: Message, start: int, end: int) -> tuple[int, int]:
        """The label of half an arrow may use the whole gap."""
        if abs(end - start) < self.gap:
            lane = end if row.source is None or row.copy else start
            other = start if lane == end else end
            end, start = lane, lane + (self.gap if other > lane else -self.gap)
        return min(start, end), max(start, end)

    def _arrow(self, line: _Line, row: Message, start: int, end: int, colour: str) -> None:
        left, right, forward = min(start, end), max(start, end), start < end
        line.put(left + 1, self.signs.line * (right - left - 1), colour)
        if row.fate is Fate.STOPPED:
            line.put(end, self.signs.cross, colour)
            text = self._cut(f" {row.words} ", self.gap // 2 - 3)
            line.put(end + 2 if forward else end - 1 - len(text), text, colour)
            return
        if row.fate in (Fate.ARRIVED, Fate.PASSED, Fate.FOREIGN):
            at, head = (right - 1, self.signs.right) if forward else (left + 1, self.signs.left)
            line.put(at, head, colour)
        if row.fate is Fate.LOST:
            middle = (left + right) // 2
            rest = range(middle, right) if forward else range(left + 1, middle + 1)
            line.put(rest.start, " " * len(rest))
        if row.words:
            sign = f"{self.signs.cross} " if row.fate in (Fate.LOST, Fate.DROPPED) else ""
            room = right - left - 4
            # Details stand in brackets: what is too long loses those first.
            words = row.words if len(row.words) + 4 <= room else row.words.partition(" (")[0]
            text = self._cut(f" {sign}{words} ", room)
            line.put((left + right - len(text)) // 2 + 1, text, colour)
