"""HTML out of values: text is escaped here and control characters made visible; nothing else writes tags."""

import html
from collections.abc import Iterable

from lab.text import printable


def text(value: object) -> str:
    """A value as text."""
    return html.escape(printable(str(value)))


def tag(name: str, content: str = "", /, **attributes: str) -> str:
    """An element. `content` is HTML already; attributes are text (`_class` for class, `_` for `-`)."""
    given = "".join(
        f' {key.removeprefix("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{given}>{content}</{name}>"


def lines(parts: Iterable[str]) -> str:
    """Parts one below the other."""
    return "\n".join(parts)


def table(head: Iterable[str], rows: Iterable[Iterable[str]], caption: str, **attributes: str) -> str:
    """A table with a caption and headings; cells are HTML already."""
    heads = "".join(tag("th", text(one), scope="col") for one in head)
    body = lines(tag("tr", "".join(tag("td", cell) for cell in row)) for row in rows)
    inside = tag("caption", text(caption)) + tag("thead", tag("tr", heads)) + tag("tbody", body)
    # A wide table scrolls by itself, with the keyboard as well; the page never does.
    return tag(
        "div",
        tag("table", inside, **attributes),
        _class="wide",
        tabindex="0",
        role="region",
        aria_label=caption,
    )
