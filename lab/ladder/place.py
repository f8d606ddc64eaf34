"""Where things stand in the picture of a ladder: lanes, the wire, both ends of an arrow."""

from collections.abc import Mapping
from dataclasses import dataclass

from lab.ladder.values import Fate, Ladder, Message

#: Pixels between the outermost lanes, and the least between two.
_SPAN, _LEAST_GAP = 960, 300


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels. `time` is the column of times, 0 puts them to the words; `margin` is outside of the lanes."""

    time: int
    margin: int
    gap: int


#: For a telephone: two lanes only.
NARROW = Size(time=0, margin=12, gap=304)


def wide(lanes: int) -> Size:
    """For a screen or a sheet."""
    gap = max(_LEAST_GAP, min(620, _SPAN // max(lanes - 1, 1)))
    return Size(time=100, margin=90, gap=gap)


@dataclass(frozen=True, slots=True)
class Place:
    """Lanes and the wire, whose name is empty where there is none."""

    lanes: Mapping[str, int]
    wire: int
    wire_name: str
    size: Size
    width: int

    def rightmost(self, node: str) -> bool:
        """Whether there is nothing right of this lane."""
        return len(self.lanes) > 1 and self.lanes[node] == max(self.lanes.values())

    def ends(self, row: Message) -> tuple[int, int]:
        """Where its arrow begins and ends: at lanes, at the wire, or half way to somewhere unknown."""
        source = None if row.source is None or row.copy else self.lanes[row.source]
        target = None if row.target is None else self.lanes[row.target]
        if source is None:
            end = min(self.lanes.values()) if target is None else target
            return (self.wire if self.wire_name else end + self._inwards(end) // 2), end
        if target is None:
            return source, self.wire if row.fate is Fate.STOPPED else source + self._inwards(source)
        return source, target

    def _inwards(self, lane: int) -> int:
        """One gap in the direction of the other side."""
        left = lane <= self.wire if self.wire_name else lane != max(self.lanes.values())
        return self.size.gap if left or len(self.lanes) == 1 else -self.size.gap

    def room(self, row: Message) -> tuple[int, int]:
        """From where to where its words may reach: those of half an arrow have the whole gap."""
        start, end = self.ends(row)
        if abs(end - start) < self.size.gap:
            lane, other = (end, start) if row.source is None or row.copy else (start, end)
            start, end = lane, lane + (self.size.gap if other > lane else -self.size.gap)
        return min(start, end), max(start, end)


def place(ladder: Ladder, size: Size) -> Place:
    """Where the lanes of a ladder are."""
    first = size.time + size.margin
    lanes = {node: first + index * size.gap for index, node in enumerate(ladder.lanes)}
    wire = first + ladder.wire_after * size.gap + size.gap // 2
    width = first + max(len(lanes) - 1, 1) * size.gap + size.margin
    return Place(lanes, wire, ladder.wire, size, width)
