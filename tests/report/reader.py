"""Reads a page as a browser would, strictly: every element that opens is closed, in order."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "br"})
#: Inside an SVG these close themselves.
_SVG = frozenset({"line", "rect", "circle", "path", "polygon"})


@dataclass(slots=True)
class Node:
    """An element: its attributes, the elements and the text in it."""

    name: str
    attributes: dict[str, str]
    inner: list["Node | str"] = field(default_factory=list)

    @property
    def children(self) -> list["Node"]:
        """The elements right in it."""
        return [part for part in self.inner if isinstance(part, Node)]

    def all(self, name: str = "", **wanted: str) -> list["Node"]:
        """Every element below of this name with these attributes (`_` for `-`), in order."""
        found = []
        for child in self.children:
            named = not name or child.name == name
            have = {key.replace("-", "_"): value for key, value in child.attributes.items()}
            if named and all(have.get(key.rstrip("_")) == value for key, value in wanted.items()):
                found.append(child)
            found += child.all(name, **wanted)
        return found

    def one(self, name: str = "", **wanted: str) -> "Node":
        """The only such element."""
        found = self.all(name, **wanted)
        assert len(found) == 1, (name, wanted, len(found))
        return found[0]

    @property
    def text(self) -> str:
        """All text in it, style sheets aside."""
        if self.name == "style":
            return ""
        return " ".join(part if isinstance(part, str) else part.text for part in self.inner)


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice: {names}"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inner.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _SVG, f"<{tag}/> closes itself"
        self.open[-1].inner.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().name == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        self.open[-1].inner.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(page: str) -> Node:
    """The page's elements."""
    parser = _Parser()
    parser.feed(page)
    parser.close()
    assert parser.open == [parser.root], "something is not closed"
    return parser.root
