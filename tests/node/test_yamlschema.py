"""YAML with positions, the schema subset against the `jsonschema` library, and messages."""

import contextlib
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yamlschema import Document, DocumentError, SchemaError, check, load, parse, parse_scalar
from yamlschema.document import MAX_DEPTH, MAX_OCTETS, MAX_VALUES

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 1, "maxLength": 5},
        "role": {"enum": ["initiator", "responder"]},
        "listen": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"port": {"type": "integer", "minimum": 0, "maximum": 65535}},
        },
        "faults": {"type": "array", "items": {"$ref": "#/$defs/fault"}, "maxItems": 3, "uniqueItems": True},
        "peer": {
            "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
        },
        "extra": {
            "type": "object",
            "propertyNames": {"pattern": "^x-"},
            "additionalProperties": {"const": 1},
        },
    },
    "$defs": {"fault": {"type": "object", "properties": {"loss": {"type": "number", "exclusiveMinimum": 0}}}},
}

MESSAGES = [
    ("name: 'a'\nlisten:\n  prot: 3\n", "f:3:3: listen.prot: is unknown (did you mean 'port'?)"),
    ("name: 'a'\nlisten:\n  port: 70000\n", "f:3:9: listen.port: 70000 is greater than the maximum of 65535"),
    ("name: 'a'\nlisten: {port: -1}\n", "f:2:16: listen.port: -1 is less than the minimum of 0"),
    ("name: 'a'\nrole: initator\n", "f:2:7: role: \"initator\" is not one of initiator, responder "
     "(did you mean 'initiator'?)"),
    ("{}", "f:1:1: 'name' is missing"),
    ("", "f: null is not a mapping"),
    ("name: 7", "f:1:7: name: 7 is not a string"),
    ("name: yes1", 'f:1:7: name: "yes1" does not match ^[a-z]+$'),
    ("name: ''", "f:1:7: name: must not be empty"),
    ("name: abcdef", "f:1:7: name: is longer than 5 characters"),
    ("name: a\nlisten: []", "f:2:9: listen: [] is not a mapping"),
    ("name: a\nlisten: {port: true}", "f:2:16: listen.port: true is not an integer"),
    ("name: a\nlisten: {port: 010}", 'f:2:16: listen.port: "010" is not an integer'),
    ("name: a\nfaults: [{loss: 0}]", "f:2:17: faults[0].loss: 0 is not greater than 0"),
    ("name: a\nfaults: [{}, {}]", "f:2:9: faults: has the same entry twice"),
    ("name: a\nfaults: [{}, {a: 1}, {b: 1}, {c: 1}]", "f:2:9: faults: has 4 entries, at most 3 are allowed"),
    ("name: a\npeer: [x, 3]", "f:2:11: peer[1]: 3 is not a string"),
    ("name: a\nextra: {y: 1}", 'f:2:9: extra.y: the name "y" does not match ^x-'),
    ("name: a\nextra: {x-y: 2}", "f:2:14: extra.x-y: 2 is not 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MESSAGES, ids=[m for _, m in MESSAGES])
def test_a_problem_says_where_and_what(text: str, message: str) -> None:
    problems = [str(p) for p in check(parse(text.encode(), "f"), SCHEMA)]
    assert message in problems


def test_problems_come_in_the_order_of_the_text() -> None:
    text = "faults: [{loss: 0}]\nlisten:\n  prot: 1\nname: 7\n"
    lines = [p.mark.line for p in check(parse(text.encode(), "f"), SCHEMA) if p.mark]
    assert lines == [1, 3, 4]


BAD_DOCUMENTS = [
    ("duplicate key", b"a: 1\nb: 2\na: 3", "f:3:1: a: stands here again, first in line 1"),
    ("syntax", b"a: [", "f:1:5: while parsing a flow node"),
    ("two documents", b"--- 1\n--- 2", "f:2:1: expected a single document"),
    ("python object", b"a: !!python/object/apply:os.system ['x']", "f:1:4: a: has the tag"),
    ("unknown tag", b"a: !secret x", "f:1:4: a: has the tag !secret"),
    ("timestamp by tag", b"a: !!timestamp 2026-01-01", "f:1:4: a: has the tag"),
    ("key that is a list", b"? [a]\n: 1", "f:1:3: a key must be a string"),
    ("not UTF-8", b"a: b\nc: \xff", "f:2:4: is not UTF-8"),
    ("control character", b"a: \x07", "f: is not YAML"),
    ("recursive alias", b"a: &a [*a]", "aliases make the document too large"),
    ("undefined alias", b"a: *b", "f:1:4: found undefined alias"),
    ("too deep", b"[" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
    ("far too deep", b"[" * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
    ("too large", b"#" * (MAX_OCTETS + 1), f"is larger than {MAX_OCTETS} octets"),
    ("number too long to read", b"a: " + b"9" * 6000, "f:1:4: a: is not a number"),
    ("no number for its tag", b"a: !!int x", "f:1:4: a: is not a number: 'x'"),
]


@pytest.mark.parametrize(
    ("octets", "message"), [(o, m) for _, o, m in BAD_DOCUMENTS], ids=[n for n, _, _ in BAD_DOCUMENTS]
)
def test_a_bad_document_is_refused_with_its_place(octets: bytes, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(octets, "f")
    assert message in str(caught.value)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    levels = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(DocumentError, match="aliases make the document too large"):
        parse("\n".join(levels).encode(), "f")


def test_aliases_within_bounds_are_expanded() -> None:
    assert parse(b"a: &x {b: 1}\nc: *x", "f").value == {"a": {"b": 1}, "c": {"b": 1}}
    assert MAX_VALUES > 20


SCALARS = [
    ("yes", "yes"), ("on", "on"), ("12:30", "12:30"), ("2026-11-23", "2026-11-23"), ("010", "010"),
    ("1_000", "1_000"), ("true", True), ("False", False), ("~", None), ("", None), ("0x1f", 31), ("0o17", 15),
    ("-3", -3), ("1.5", 1.5), ("2e3", 2000.0), ("::1", "::1"), ("10.1.0.0/24", "10.1.0.0/24"),
    ("dn:CN=a, O=b", "dn:CN=a, O=b"), ('"7"', "7"), ("[a, 1]", ["a", 1]), ("<<", "<<"), (".inf", ".inf"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_read_as_in_yaml_1_2(text: str, value: object) -> None:
    read = parse_scalar(text, "X").value
    assert read == value
    assert type(read) is type(value)


def test_a_problem_without_a_file_has_no_line() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_scalar("[", "NODE_X")
    assert str(caught.value).startswith("NODE_X: while parsing")


def test_a_missing_file_is_a_problem_of_the_document(tmp_path: Any) -> None:
    with pytest.raises(DocumentError, match=r"nothing\.yaml: cannot be read: No such file"):
        load(str(tmp_path / "nothing.yaml"), SCHEMA)
    with pytest.raises(DocumentError, match="cannot be read: Is a directory"):
        load(str(tmp_path), SCHEMA)


def test_a_format_completes_the_message() -> None:
    def even(text: str) -> None:
        if len(text) % 2:
            raise ValueError(f"{text!r} is odd")

    schema = {"type": "string", "format": "even"}
    assert [str(p) for p in check(parse(b"abc", "f"), schema, {"even": even})] == ["f:1:1: 'abc' is odd"]
    assert check(parse(b"ab", "f"), schema, {"even": even}) == ()
    with pytest.raises(SchemaError, match="unknown format"):
        check(parse(b"ab", "f"), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {}},
        {"properties": {"a": {"if": {}}}},
        {"items": {"oneOf": [{"dependentRequired": {}}]}},
        {"type": "float"},
        {"$ref": "#/$defs/none"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$ref": "other.json"},
        [],
    ],
)
def test_a_schema_beyond_the_known_part_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        check(Document("f", 1), schema)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 2.0, "", "a", "bb", "x-1"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "b", "x-1"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_leaf = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
        | st.just(["string", "null"]),
        "enum": st.lists(_json, min_size=1, max_size=3),
        "const": _json,
        "minimum": st.integers(-2, 2),
        "maximum": st.integers(-2, 2),
        "exclusiveMinimum": st.integers(-2, 2),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "pattern": st.sampled_from(["^a", "b$", "^x-"]),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "minProperties": st.integers(0, 2),
        "required": st.lists(st.sampled_from(["a", "b"]), unique=True),
        "propertyNames": st.just({"pattern": "^[ab]"}),
    },
)
_schema = st.recursive(
    _leaf | st.booleans(),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "items": inner,
            "additionalProperties": inner,
            "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(_schema.filter(lambda s: isinstance(s, dict)), _json)
def test_verdicts_are_those_of_the_jsonschema_library(schema: dict[str, Any], value: Any) -> None:
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (check(Document("f", value), schema) == ()) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet="ab:-[]{},&*!#'\"\n |>?%@~0", max_size=40).map(str.encode))
def test_any_octets_give_a_document_or_a_document_error(octets: bytes) -> None:
    with contextlib.suppress(DocumentError):
        assert isinstance(check(parse(octets, "f"), SCHEMA), tuple)
