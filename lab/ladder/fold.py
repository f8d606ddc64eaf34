"""A ladder stays readable although somebody sent ten thousand messages: rows of a crowd are folded into one.

1. A crowd is more than MANY rows of one shape: the same but for numbers, addresses and SPIs.
2. The first SHOWN rows of it stay; the others are folded, one fold for each stretch between rows of no crowd,
   so that the order of what is shown stays true.
3. What is still too long loses its middle: how it began and how it ended tell most.
"""

import re
from collections import Counter
from collections.abc import Sequence

from lab.ladder.values import Fold, Message, Note, Row

#: More rows of one shape than these are a crowd.
MANY = 12
#: Rows of a crowd that are shown as they are.
SHOWN = 3
#: Rows of a ladder.
MAX_ROWS = 600

_NUMBERS = re.compile(r"\b(?:0x)?[0-9a-f]*\d[0-9a-f]*\b")

Shape = tuple[object, ...]
Shaped = tuple[Message | Note, bool]


def fold(rows: Sequence[Shaped]) -> tuple[Row, ...]:
    """What is shown of these rows, which are by time, each with whether its SA is known to two nodes."""
    shapes = [_shape(row, known) for row, known in rows]
    crowds = {shape for shape, count in Counter(shapes).items() if count > MANY}
    seen: Counter[Shape] = Counter()
    shown: list[Row] = []
    stretch: dict[Shape, list[Message | Note]] = {}
    for (row, _), shape in zip(rows, shapes, strict=True):
        seen[shape] += 1
        if shape in crowds and seen[shape] > SHOWN:
            stretch.setdefault(shape, []).append(row)
            continue
        shown += _folds(stretch)
        stretch.clear()
        shown.append(row)
    shown += _folds(stretch)
    return _cut(shown)


def _shape(row: Message | Note, known: bool) -> Shape:
    if isinstance(row, Note):
        return known, row.node, _NUMBERS.sub("#", row.text), row.kind
    about = (row.name, row.contents, row.words, row.wire)
    texts = tuple(_NUMBERS.sub("#", text) for text in about)
    return known, row.source, row.target, texts, row.fate, row.copy, bool(row.again)


def _folds(stretch: dict[Shape, list[Message | Note]]) -> list[Row]:
    made = [rows[0] if len(rows) == 1 else _fold(rows) for rows in stretch.values()]
    return sorted(made, key=lambda row: row.seconds)


def _fold(rows: Sequence[Message | Note]) -> Fold:
    return Fold(rows[0].seconds, rows[-1].seconds, len(rows), rows[0])


def _cut(rows: list[Row]) -> tuple[Row, ...]:
    if len(rows) <= MAX_ROWS:
        return tuple(rows)
    tail = MAX_ROWS // 3
    cut = rows[MAX_ROWS - tail - 1 : -tail]
    count = sum(row.count if isinstance(row, Fold) else 1 for row in cut)
    gap = Fold(cut[0].seconds, cut[-1].seconds, count, None)
    return (*rows[: MAX_ROWS - tail - 1], gap, *rows[-tail:])
