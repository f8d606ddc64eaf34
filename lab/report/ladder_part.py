"""The message ladder as a picture, wide and (for two lanes) narrow, and the same as a table."""

from collections.abc import Mapping

from lab.ladder import as_svg
from lab.ladder.place import NARROW
from lab.ladder.values import Fold, Ladder, Message, Note, Row, folded, not_shown, since, title
from lab.report.markup import Html, details, element, scrolling, section, table, text

#: Lanes that a narrow picture has room for.
_NARROW_LANES = 2
_LEGEND = (
    "Time is counted from the first message. An arrow goes from who sent a message to who told of "
    "getting it; a cross is where one ended. Dashed: sent again, or made by the wire. SK{...}: encrypted; "
    "what is in it is what the nodes told."
)


def ladder(made: Ladder, links: Mapping[int, str]) -> Html:
    """The section."""
    if not made.rows:
        return section("ladder", "Who sent what to whom", element("p", text("No node told of any message.")))
    linked = " An arrow's name leads to its packet below." if links else ""
    return section(
        "ladder",
        "Who sent what to whom",
        element("figure", element("figcaption", text(_LEGEND + linked)), _pictures(made, links)),
        _as_table(made),
    )


def _pictures(made: Ladder, links: Mapping[int, str]) -> Html:
    # `as_svg` escapes all of its text itself, as a picture in a file must.
    wide = Html(as_svg.render(made, "", links=links))
    if len(made.lanes) > _NARROW_LANES:
        return scrolling("The message ladder", wide)
    narrow = Html(as_svg.render(made, "", NARROW, links))
    return element(
        "div",
        element("div", scrolling("The message ladder", wide), class_="wide"),
        element("div", scrolling("The message ladder", narrow), class_="narrow"),
        class_="has-narrow",
    )


def _as_table(made: Ladder) -> Html:
    rows = [(element("span", text(since(row.seconds)), class_="number"), *_cells(row)) for row in made.rows]
    below = element("p", text(not_shown(made)), class_="dim")
    head = ("Time", "From", "To", "What", "Contents", "What became of it")
    return details(text("The same as a table"), table("The message ladder", head, rows), below)


def _cells(row: Row) -> tuple[Html, ...]:
    match row:
        case Message():
            source = f"the wire, for {row.source}" if row.copy else row.source or "unknown"
            fate = f"{row.fate.value}: {row.words}" if row.words else row.fate.value
            return tuple(map(text, (source, row.target or "", title(row), row.contents, fate)))
        case Note():
            return tuple(map(text, (row.node, "", row.text, "", "")))
        case Fold():
            return tuple(map(text, ("", "", folded(row), "", "")))
