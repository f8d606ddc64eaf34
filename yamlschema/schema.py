"""The part of JSON Schema (draft 2020-12) that this package understands.

A schema that uses anything else is refused when it is first used: no keyword is ever silently ignored. A test
runs the same schemas and documents through the `jsonschema` library and wants the same verdicts.
"""

from collections.abc import Iterator
from typing import Any

#: Keywords that check something.
CHECKED = frozenset(
    {"type", "enum", "const", "oneOf", "anyOf", "$ref"}
    | {"properties", "required", "additionalProperties", "propertyNames", "minProperties"}
    | {"items", "minItems", "maxItems", "uniqueItems"}
    | {"minimum", "maximum", "exclusiveMinimum", "multipleOf"}
    | {"minLength", "maxLength", "pattern", "format"}
)
#: Keywords that only tell.
TOLD = frozenset({"$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples"})

TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


class SchemaError(Exception):
    """The schema itself is wrong: our bug, not the document's."""


def resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow `$ref: '#/$defs/NAME'`. Raises SchemaError where there is no such definition."""
    seen = 0
    while "$ref" in schema:
        prefix, _, name = str(schema["$ref"]).rpartition("/")
        found = root.get("$defs", {}).get(name)
        seen += 1
        if prefix != "#/$defs" or found is None or seen > len(root["$defs"]):
            raise SchemaError(f"cannot follow $ref {schema['$ref']!r}")
        schema = found
    return schema


def verify_schema(schema: Any) -> None:
    """Refuse keywords and types outside the known part. Raises SchemaError."""
    for part in _parts(schema):
        unknown = set(part) - CHECKED - TOLD
        if unknown:
            raise SchemaError(f"the schema uses {sorted(unknown)}, which is not implemented")
        names = part.get("type", [])
        for name in [names] if isinstance(names, str) else names:
            if name not in TYPES:
                raise SchemaError(f"the schema names an unknown type {name!r}")


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise SchemaError(f"a schema is a mapping, not {schema!r}")
    yield schema
    inner = [schema[key] for key in ("items", "additionalProperties", "propertyNames") if key in schema]
    for key in ("oneOf", "anyOf"):
        inner += schema.get(key, [])
    for key in ("properties", "$defs"):
        inner += schema.get(key, {}).values()
    for part in inner:
        yield from _parts(part)
