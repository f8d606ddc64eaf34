"""The message ladder as values: lanes, and rows that are messages, notes, or many rows folded into one."""

from dataclasses import dataclass
from enum import StrEnum

from lab.text import printable


class Fate(StrEnum):
    """What became of a transmission.

    `STOPPED`: the wire dropped it. `PASSED`: the wire passed it on, and then it was not seen. `DROPPED`: its
    receiver dropped it. `FOREIGN`: no node tells of having sent it.
    """

    ARRIVED = "arrived"
    LOST = "lost"
    STOPPED = "stopped"
    PASSED = "passed"
    DROPPED = "dropped"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Message:
    """One transmission. `source` is None where no node tells of sending it, `target` where none got it.

    `wire` is what the wire did to it in words. A `copy` was made by the wire and begins there;
    its `source` is who sent what was copied.
    """

    seconds: float
    source: str | None
    target: str | None
    name: str
    contents: str
    fate: Fate
    octets: int = 0
    again: int = 0
    reason: str = ""
    wire: str = ""
    copy: bool = False

    @property
    def words(self) -> str:
        """What became of it, where that needs words."""
        wire = "" if self.copy else self.wire
        return "; ".join(text for text in (wire, self.reason) if text)


class Kind(StrEnum):
    """What a note is about."""

    KEYS = "keys"
    STATE = "state"
    TROUBLE = "trouble"
    WIRE = "wire"


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened at one node, or at the wire (`Kind.WIRE`)."""

    seconds: float
    node: str
    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Fold:
    """`count` more rows like `like` (None: rows of any kind), the last of them at `until`."""

    seconds: float
    until: float
    count: int
    like: Message | Note | None


Row = Message | Note | Fold


@dataclass(frozen=True, slots=True)
class Ladder:
    """`lanes` from left to right; `hidden` are nodes that have no lane.

    `wire` is the name of the wire, which stands between the lanes `wire_after` and `wire_after + 1`; empty
    where there is none. `zero` is the time of the first message, seconds of the epoch.
    """

    lanes: tuple[str, ...]
    hidden: tuple[str, ...]
    rows: tuple[Row, ...]
    wire: str = ""
    wire_after: int = 0
    zero: float = 0.0


def since(seconds: float) -> str:
    """A time relative to the first message: `+12.3 ms`, `+1.234 s`."""
    return f"{seconds * 1000:+.1f} ms" if abs(seconds) < 1 else f"{seconds:+.3f} s"


def title(message: Message) -> str:
    """Name, size, and whether it is a repetition or a copy."""
    if message.copy:
        return f"{message.name}, {message.wire}"
    size = f", {message.octets} octets" if message.octets else ""
    return f"{message.name}{f', sent again ({message.again})' if message.again else size}"


def folded(fold: Fold) -> str:
    """`... and 9,995 more, until +3.200 s: IKE_SA_INIT request 0 (not seen to arrive)`."""
    until = f", until {since(fold.until)}" if fold.until > fold.seconds else ""
    more = f"... and {fold.count:,} more{until}"
    match fold.like:
        case None:
            return f"{more}: left out"
        case Note(text=text):
            return f"{more}: {text}"
        case like:
            said = f"{title(like)} ({like.words})" if like.words else title(like)
            return f"{more}: {said}"


def not_shown(ladder: Ladder) -> str:
    """What stands below a ladder that has no lanes for some nodes; empty where all have one."""
    shown, rest = ladder.hidden[:12], len(ladder.hidden) - 12
    more = f" and {rest} more" if rest > 0 else ""
    return printable(f"not shown: {', '.join(shown)}{more}") if shown else ""


def as_json(ladder: Ladder) -> dict[str, object]:
    """The ladder as values of the output schema."""
    return {
        "nodes": list(ladder.lanes),
        "wire": ladder.wire or None,
        "hidden": list(ladder.hidden),
        "rows": [_row_json(row) for row in ladder.rows],
    }


def _row_json(row: Row) -> dict[str, object]:
    if isinstance(row, Fold):
        times = {"seconds": round(row.seconds, 6), "until": round(row.until, 6)}
        return {**times, "folded": row.count, "like": _row_json(row.like) if row.like else None}
    if isinstance(row, Note):
        return {"seconds": round(row.seconds, 6), "node": row.node, "note": row.text, "kind": row.kind.value}
    return {
        "seconds": round(row.seconds, 6),
        "from": row.source,
        "to": row.target,
        "message": row.name,
        "contents": row.contents,
        "octets": row.octets or None,
        "again": row.again,
        "fate": row.fate.value,
        "reason": row.reason or None,
        "wire": row.wire or None,
        "copy": row.copy,
    }
