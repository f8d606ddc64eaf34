"""The only way from text to HTML: what came from a peer, a capture or a file is always escaped.

`Html` is text that may stand in a page as it is. Type checking keeps it apart from other text: `text` and
`element` make it, and what else does is the style sheet and the picture of the ladder.
"""

import html
from collections.abc import Iterable, Sequence
from typing import NewType

from lab.text import printable

Html = NewType("Html", str)

#: Characters of one text: what is longer is cut, for somebody else may have written it.
MAX_TEXT = 1000
#: Elements without an end.
_VOID = frozenset({"meta", "br"})


def text(value: str, most: int = MAX_TEXT) -> Html:
    """Text, with every control character visible."""
    cut = value if len(value) <= most else f"{value[:most]} ... ({len(value) - most:,} more characters)"
    return Html(html.escape(printable(cut)))


def element(name: str, /, *inner: Html, **attributes: str | bool) -> Html:
    """`<name attribute="...">inner</name>`.

    In attributes `_` stands for `-`, a trailing one is left out; True is one without a value, False and the
    empty text are none.
    """
    shown = "".join(_attribute(key, value) for key, value in attributes.items() if value is not False)
    end = "" if name in _VOID else f"</{name}>"
    return Html(f"<{name}{shown}>{''.join(inner)}{end}")


def _attribute(key: str, value: str | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{text(str(value))}"' if value else ""


def join(parts: Iterable[Html], between: Html = Html("\n")) -> Html:
    """One after the other."""
    return Html(between.join(parts))


def paragraphs(value: str) -> Html:
    """Prose with empty lines between its paragraphs."""
    blocks = [" ".join(block.split()) for block in value.split("\n\n")]
    return join(element("p", text(block)) for block in blocks if block)


def section(name: str, heading: str, *inner: Html) -> Html:
    """A part of the page with its heading."""
    head = element("h2", text(heading), id=f"{name}-heading")
    return element("section", head, *inner, id=name, aria_labelledby=f"{name}-heading")


def details(summary: Html, *inner: Html, opened: bool = False, **attributes: str | bool) -> Html:
    """What can be opened."""
    return element("details", element("summary", summary), *inner, open=opened, **attributes)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Html]], **attributes: str) -> Html:
    """A table that scrolls where the page is narrow; its first column names its rows."""
    heads = join((element("th", text(name), scope="col") for name in head), Html(""))
    body = join(_row(row) for row in rows)
    whole = element(
        "table",
        element("caption", text(caption)),
        element("thead", element("tr", heads)),
        element("tbody", body),
        **attributes,
    )
    return scrolling(caption, whole)


def _row(cells: Sequence[Html]) -> Html:
    first = element("th", cells[0], scope="row")
    return element("tr", first, *(element("td", cell) for cell in cells[1:]))


def scrolling(name: str, inner: Html) -> Html:
    """What may be wider than the page: it scrolls by itself, with the keyboard too."""
    return element("div", inner, class_="scroll", role="region", aria_label=name, tabindex="0")


def size(octets: int) -> str:
    """`12,345 octets`, `1 octet`."""
    return f"{octets:,} octet{'' if octets == 1 else 's'}"
