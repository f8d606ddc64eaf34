"""Check a document against a schema and say what is wrong as people would.

Rules:

1. Every problem is reported, in the order of the text, and points at the value (or the key) that must change.
2. A message says what was found and what is allowed; a misspelt name gets a suggestion.
3. Verdicts are those of JSON Schema; `format` is checked only with the functions that the caller gives.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from yamlschema.document import Document, DocumentError, Place, Problem
from yamlschema.schema import TYPES, SchemaError, resolve, verify_schema

#: A check of a string format: raises ValueError, whose text completes the message.
Format = Callable[[str], object]

#: Characters of a value that a message quotes.
_QUOTED = 60


def check(
    document: Document, schema: dict[str, Any], formats: Mapping[str, Format] | None = None
) -> tuple[Problem, ...]:
    """What is wrong with `document`, in the order of its text. Raises SchemaError for a wrong schema."""
    verify_schema(schema)
    found = _Checker(document, schema, formats or {}).walk(document.value, schema, ())
    return tuple(sorted(found, key=_position))


def validate(document: Document, schema: dict[str, Any], formats: Mapping[str, Format] | None = None) -> None:
    """Like `check`, but raises DocumentError where anything is wrong."""
    if problems := check(document, schema, formats):
        raise DocumentError(problems)


def suggestion(name: str, known: list[str]) -> str:
    """` (did you mean 'x'?)` where one of `known` is close to `name`, else the empty string."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def quote(value: Any) -> str:
    """A value as it appears in messages: JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= _QUOTED else text[: _QUOTED - 3] + "..."


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    # JSON Schema counts 2.0 among the integers.
    return isinstance(value, TYPES[name]) or (
        name == "integer" and isinstance(value, float) and value.is_integer()
    )


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON: 1 and true differ, 1 and 1.0 do not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    return bool(one == other)


_ARTICLES = {
    "null": "null", "boolean": "true or false", "integer": "an integer", "number": "a number",
    "string": "a string", "array": "a list", "object": "a mapping",
}  # fmt: skip


class _Checker:
    def __init__(self, document: Document, root: dict[str, Any], formats: Mapping[str, Format]) -> None:
        self._document, self._root, self._formats = document, root, formats

    def walk(self, value: Any, schema: Any, place: Place) -> Iterator[Problem]:
        if isinstance(schema, bool):
            if not schema:
                yield self._problem(place, "is not allowed here")
            return
        schema = resolve(schema, self._root)
        wrong = self._type(value, schema)
        if wrong:
            yield self._problem(place, wrong)
            return
        yield from (self._problem(place, text) for text in self._plain(value, schema))
        yield from self._alternatives(value, schema, place)
        if isinstance(value, dict):
            yield from self._mapping(value, schema, place)
        if isinstance(value, list) and "items" in schema:
            for index, item in enumerate(value):
                yield from self.walk(item, schema["items"], (*place, index))

    def _problem(self, place: Place, message: str, *, at_key: bool = False) -> Problem:
        return self._document.problem(place, message, at_key=at_key)

    def _type(self, value: Any, schema: dict[str, Any]) -> str:
        names = schema.get("type")
        if names is None:
            return ""
        allowed = [names] if isinstance(names, str) else names
        if any(_is(value, name) for name in allowed):
            return ""
        return f"{quote(value)} is not {' or '.join(_ARTICLES[n] for n in allowed)}"

    def _plain(self, value: Any, schema: dict[str, Any]) -> Iterator[str]:
        """The keywords that look at one value alone."""
        if "enum" in schema and not any(_same(value, v) for v in schema["enum"]):
            allowed = [str(v) for v in schema["enum"]]
            hint = suggestion(value, allowed) if isinstance(value, str) else ""
            yield f"{quote(value)} is not one of {', '.join(allowed)}{hint}"
        if "const" in schema and not _same(value, schema["const"]):
            yield f"{quote(value)} is not {quote(schema['const'])}"
        if isinstance(value, str):
            yield from self._string(value, schema)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _number(value, schema)
        elif isinstance(value, list):
            yield from _list(value, schema)

    def _string(self, value: str, schema: dict[str, Any]) -> Iterator[str]:
        if len(value) < schema.get("minLength", 0):
            yield "must not be empty" if not value else f"is shorter than {schema['minLength']} characters"
        if len(value) > schema.get("maxLength", len(value)):
            yield f"is longer than {schema['maxLength']} characters"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{quote(value)} does not match {schema['pattern']}"
        if "format" in schema:
            yield from self._format(value, str(schema["format"]))

    def _format(self, value: str, name: str) -> Iterator[str]:
        judge = self._formats.get(name)
        if judge is None:
            raise SchemaError(f"the schema names an unknown format {name!r}")
        try:
            judge(value)
        except ValueError as error:
            yield str(error)

    def _alternatives(self, value: Any, schema: dict[str, Any], place: Place) -> Iterator[Problem]:
        for keyword in ("oneOf", "anyOf"):
            parts = schema.get(keyword, [])
            tried = [list(self.walk(value, part, place)) for part in parts]
            passed = sum(not problems for problems in tried)
            if tried and not passed:
                yield from max(zip(tried, parts, strict=True), key=lambda pair: self._likeness(value, *pair))[
                    0
                ]
            elif keyword == "oneOf" and passed > 1:
                yield self._problem(place, f"fits {passed} alternatives, exactly one must fit")

    def _likeness(self, value: Any, problems: list[Problem], part: Any) -> tuple[int, bool]:
        """How likely an alternative was meant: what went wrong deepest, then what has the right type."""
        right_type = isinstance(part, dict) and not self._type(value, resolve(part, self._root))
        return max(len(p.place) for p in problems), right_type

    def _mapping(self, value: dict[str, Any], schema: dict[str, Any], place: Place) -> Iterator[Problem]:
        for name in schema.get("required", []):
            if name not in value:
                yield self._problem(place, f"{name!r} is missing")
        if len(value) < schema.get("minProperties", 0):
            yield self._problem(place, f"needs at least {schema['minProperties']} entries")
        known = schema.get("properties", {})
        for name, item in value.items():
            here = (*place, name)
            yield from self._name(name, schema, here)
            if name in known:
                yield from self.walk(item, known[name], here)
            else:
                yield from self._extra(item, schema, here)

    def _name(self, name: str, schema: dict[str, Any], place: Place) -> Iterator[Problem]:
        if "propertyNames" in schema:
            for problem in self.walk(name, schema["propertyNames"], place):
                yield self._problem(place, f"the name {problem.message}", at_key=True)

    def _extra(self, item: Any, schema: dict[str, Any], place: Place) -> Iterator[Problem]:
        rest = schema.get("additionalProperties", True)
        if rest is False:
            known = list(schema.get("properties", {}))
            hint = suggestion(str(place[-1]), known) or (f"; known are {', '.join(known)}" if known else "")
            yield self._problem(place, f"is unknown{hint}", at_key=True)
        else:
            yield from self.walk(item, rest, place)


def _number(value: float, schema: dict[str, Any]) -> Iterator[str]:
    if value < schema.get("minimum", value):
        yield f"{quote(value)} is less than the minimum of {schema['minimum']}"
    if value > schema.get("maximum", value):
        yield f"{quote(value)} is greater than the maximum of {schema['maximum']}"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield f"{quote(value)} is not greater than {schema['exclusiveMinimum']}"
    if "multipleOf" in schema and (value / schema["multipleOf"]) % 1:
        yield f"{quote(value)} is not a multiple of {schema['multipleOf']}"


def _list(value: list[Any], schema: dict[str, Any]) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"has {len(value)} entries, at least {schema['minItems']} are needed"
    if len(value) > schema.get("maxItems", len(value)):
        yield f"has {len(value)} entries, at most {schema['maxItems']} are allowed"
    if schema.get("uniqueItems") and any(_same(a, b) for n, a in enumerate(value) for b in value[:n]):
        yield "has the same entry twice"
