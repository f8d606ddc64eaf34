"""YAML text to plain values that remember where they stood.

Rules:

1. Only null, booleans, numbers, strings, lists and mappings with string keys come out; no tag makes more.
2. Scalars are read as in JSON and YAML 1.2: `yes`, `on`, `010` and `12:30` are strings, dates too.
3. A key may stand once in a mapping. Size, depth and the number of values (aliases expanded) are bounded.
4. Whatever is wrong is a DocumentError with line and column, never another exception.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import yaml

#: Octets of a document: a hundred times the largest configuration or scenario we know.
MAX_OCTETS = 256 * 1024
#: Nesting; below what the recursive composer needs of the interpreter's stack.
MAX_DEPTH = 32
#: Values in a document after aliases are expanded: bounds the cost of an alias bomb.
MAX_VALUES = 20_000

#: Where a value stands: keys and indexes from the root.
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in the text, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document. `mark` is None where the source has no lines."""

    source: str
    mark: Mark | None
    place: Place
    message: str

    def __str__(self) -> str:
        where = self.source if self.mark is None else f"{self.source}:{self.mark.line}:{self.mark.column}"
        path = dotted(self.place)
        return f"{where}: {path}: {self.message}" if path else f"{where}: {self.message}"


class DocumentError(Exception):
    """A document cannot be used; `problems` say why, in the order of the text."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document. `marks` has the position of every value, `key_marks` that of every mapping key."""

    source: str
    value: Any
    marks: Mapping[Place, Mark] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    key_marks: Mapping[Place, Mark] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    def problem(self, place: Place, message: str, *, at_key: bool = False) -> Problem:
        """A problem with the value (or key) at `place`, or with the nearest value around it."""
        if at_key and place in self.key_marks:
            return Problem(self.source, self.key_marks[place], place, message)
        around = (place[:n] for n in range(len(place), -1, -1))
        mark = next((self.marks[p] for p in around if p in self.marks), None)
        return Problem(self.source, mark, place, message)


def dotted(place: Place) -> str:
    """`("nodes", 0, "name")` as people write it: `nodes[0].name`."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read(path: str) -> Document:
    """Read and parse a file. Raises DocumentError, also where the file is missing or unreadable."""
    try:
        with Path(path).open("rb") as file:
            octets = file.read(MAX_OCTETS + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DocumentError([Problem(path, None, (), f"cannot be read: {reason}")]) from error
    return parse(octets, path)


def parse(octets: bytes, source: str) -> Document:
    """Parse UTF-8 YAML. An empty document has the value None. Raises DocumentError."""
    if len(octets) > MAX_OCTETS:
        raise DocumentError([Problem(source, None, (), f"is larger than {MAX_OCTETS} octets")])
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        column = error.start - octets.rfind(b"\n", 0, error.start)
        raise DocumentError([Problem(source, Mark(line, column), (), "is not UTF-8")]) from error
    return _parse_text(text, source)


def parse_scalar(text: str, source: str) -> Document:
    """Parse one value given outside a file (an environment variable): problems then name only the source."""
    parsed = _without_marks(text, source)
    return Document(source, parsed.value)


def _without_marks(text: str, source: str) -> Document:
    try:
        return parse(text.encode("utf-8", "surrogateescape"), source)
    except DocumentError as error:
        raise DocumentError(Problem(source, None, p.place, p.message) for p in error.problems) from error


class _Loader(yaml.SafeLoader):
    """The composer of PyYAML with a bound on depth and the scalar rules of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Hashable) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"is nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        node = super().compose_node(parent, cast(Any, index))
        self.depth -= 1
        return node


_SCALARS = (
    ("null", r"|~|null|Null|NULL", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+",
        "-+.0123456789",
    ),
)
for _name, _pattern, _first in _SCALARS:
    _firsts = ["" if c == "\0" else c for c in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"^(?:{_pattern})$"), _firsts)


def _parse_text(text: str, source: str) -> Document:
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError([Problem(source, _mark(mark), (), _syntax(error))]) from error
    except yaml.YAMLError as error:
        raise DocumentError(
            [Problem(source, None, (), f"is not YAML: {' '.join(str(error).split())}")]
        ) from error
    if node is None:
        return Document(source, None)
    return _Reader(source).document(node)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(parts) or "is not YAML"


def _mark(mark: "yaml.Mark | None") -> Mark | None:
    return None if mark is None else Mark(mark.line + 1, mark.column + 1)


class _Reader:
    """Turns composed nodes into values and remembers where they stood."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._marks: dict[Place, Mark] = {}
        self._key_marks: dict[Place, Mark] = {}

    def document(self, node: yaml.Node) -> Document:
        value = self._value(node, ())
        return Document(self._source, value, MappingProxyType(self._marks), MappingProxyType(self._key_marks))

    def _value(self, node: yaml.Node, place: Place) -> Any:
        # A recursive alias ends here too: it is deeper than any document may be.
        if len(self._marks) >= MAX_VALUES or len(place) > MAX_DEPTH:
            raise self._fail(node, place[:4], "aliases make the document too large")
        self._marks[place] = self._position(node)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return dict(self._items(node, place))
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self._value(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        raise self._fail(node, place, f"has the tag {node.tag}, which is not allowed")

    def _items(self, node: yaml.MappingNode, place: Place) -> Iterator[tuple[str, Any]]:
        seen: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._fail(key_node, place, "a key must be a string")
            key = str(key_node.value)
            here = (*place, key)
            if key in seen:
                first = self._position(seen[key]).line
                raise self._fail(key_node, here, f"stands here again, first in line {first}")
            seen[key] = key_node
            self._key_marks[here] = self._position(key_node)
            yield key, self._value(value_node, here)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text = str(node.value)
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int" | "float" as kind:
                return self._number(node, place, kind)
        raise self._fail(node, place, f"has the tag {node.tag}, which is not allowed")

    def _number(self, node: yaml.ScalarNode, place: Place, kind: str) -> int | float:
        text = str(node.value)
        try:
            if kind == "float":
                return float(text)
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        except ValueError as error:
            raise self._fail(node, place, f"is not a number: {text[:40]!r}") from error

    def _position(self, node: yaml.Node) -> Mark:
        return _mark(node.start_mark) or Mark(1, 1)

    def _fail(self, node: yaml.Node, place: Place, message: str) -> DocumentError:
        return DocumentError([Problem(self._source, self._position(node), place, message)])
