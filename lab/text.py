"""Text for terminals: what came from a peer never reaches one unescaped; closest words; times and sizes."""

import difflib
import re
from collections.abc import Iterable
from datetime import datetime

# C0, DEL, C1, line separators, and the marks that reorder or hide text (bidirectional controls, zero width).
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def printable(text: str) -> str:
    """`text` with everything escaped that a terminal could take for a command or a new line."""
    return _UNSAFE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean x?)`, or nothing where no known word is close."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def listing(words: Iterable[str]) -> str:
    """The words, sorted and joined for a sentence; `none` where there are none."""
    return ", ".join(sorted(words)) or "none"


def span(seconds: float) -> str:
    """A duration for people: `0.42 s`, `42 s`, `3 min 5 s`, `2 h 7 min`, `3 d 4 h`."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.2f} s"
    whole = round(seconds)
    for size, unit, smaller, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def parse_time(text: str) -> datetime:
    """An RFC 3339 time with its offset; raises ValueError. Docker writes nanoseconds, which datetime cannot
    hold.
    """
    moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return moment
