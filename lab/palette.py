"""The colours of pages and pictures: each for light and for dark surroundings, and as CSS.

A test holds every text colour against every background: a contrast of 4.5 to 1 at least (WCAG 2.2, 1.4.3).
"""

from collections.abc import Mapping

#: Name: on light, on dark.
COLOURS: Mapping[str, tuple[str, str]] = {
    "paper": ("#ffffff", "#0f141a"),
    "panel": ("#f4f6f8", "#171e26"),
    "line": ("#d0d7de", "#323c47"),
    "lane": ("#8c959f", "#6b7683"),
    "ink": ("#1b1f24", "#e6ebf0"),
    "dim": ("#57606a", "#9aa6b2"),
    "blue": ("#0b5cad", "#79b8ff"),
    "green": ("#1a6b33", "#5fd07a"),
    "red": ("#b3261e", "#ff8a80"),
    "amber": ("#8a5a00", "#e3b341"),
    "purple": ("#7427a8", "#d2a8ff"),
    "orange": ("#a33d00", "#ffa657"),
}
#: Colours that text is written in, and what it is written on.
TEXTS = ("ink", "dim", "blue", "green", "red", "amber", "purple", "orange")
GROUNDS = ("paper", "panel")


def light(name: str) -> str:
    """The colour on light."""
    return COLOURS[name][0]


def dark(name: str) -> str:
    """The colour on dark."""
    return COLOURS[name][1]
