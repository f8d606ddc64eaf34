"""YAML documents checked against a JSON schema, with errors that point at the line and column.

A neutral piece that the node (its configuration) and the lab (its scenarios) share; it imports neither.

    document = read(path)                      parse, bounded and safe
    problems = check(document, schema)         () or what is wrong, in the order of the file
    load(path, schema)                         both; raises DocumentError with every problem

A problem prints as `file:line:col: path: message (did you mean 'x'?)`.
"""

from yamlschema.check import Format, check, validate
from yamlschema.document import Document, DocumentError, Problem, parse, parse_scalar, read
from yamlschema.schema import SchemaError

__all__ = [
    "Document",
    "DocumentError",
    "Format",
    "Problem",
    "SchemaError",
    "check",
    "load",
    "parse",
    "parse_scalar",
    "read",
    "validate",
]


def load(path: str, schema: dict[str, object], formats: "dict[str, Format] | None" = None) -> Document:
    """Read the file at `path` and check it. Raises DocumentError; its text has one line for each problem."""
    document = read(path)
    validate(document, schema, formats)
    return document
