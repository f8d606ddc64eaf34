"""VICI messages out of text: what is none is refused with its line, and no value looks like an element."""

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.peers import vici
from lab.peers.vici import Section, ViciError

GOOD = """\
list-sa event {
  lab {
    version = 2
    local-id = C=CH, O=a {b} = c
    local-vips = [
      10.3.0.1
      fd00::1
    ]
    empty {
    }
    nothing =\x20
  }
}
list-sas reply {
}
"""


def test_sections_lists_and_values() -> None:
    first, last = vici.parse(GOOD)
    assert (first.name, first.event, last.name, last.event) == ("list-sa", True, "list-sas", False)
    assert first.content == {
        "lab": {
            "version": "2",
            "local-id": "C=CH, O=a {b} = c",
            "local-vips": ("10.3.0.1", "fd00::1"),
            "empty": {},
            "nothing": "",
        }
    }
    assert last.content == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hello\n", "line 1 .*'hello' is no head of a message"),
        ("list-sa event {\n", "line 2 .*does not end"),
        ("list-sa event {\n  a = 1\n", "line 3 .*does not end"),
        ("list-sa event {\n a = 1\n}\n", "line 2 .*neither indented by 2"),
        ("list-sa event {\n   a = 1\n}\n", "line 2 .*is no element"),
        ("list-sa event {\n  a = 1\n  a = 2\n}\n", "line 3 .*'a' is there twice"),
        ("list-sa event {\n  a = [\n    1\n  }\n}\n", "line 4 .*nor the end with ']'"),
        ("list-sa event {\n  a {\n  ]\n}\n", "line 3 .*nor the end with '}'"),
        ("list-sa event {\n}\n}\n", "line 3 .*is no head"),
        ("list-sa event {\n\n}\n", "line 2 .*neither indented"),
        ("x event {\n" + "".join(f"{'  ' * n}a {{\n" for n in range(1, 30)), "more than 16 levels"),
    ],
)
def test_what_is_no_message_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ViciError, match=says):
        vici.parse(text)


def rendered(section: Section, depth: int = 1) -> str:
    """As swanctl writes it."""
    blanks, lines = "  " * depth, []
    for name, element in section.items():
        if isinstance(element, str):
            lines.append(f"{blanks}{name} = {element}\n")
        elif isinstance(element, Mapping):
            lines.append(f"{blanks}{name} {{\n{rendered(element, depth + 1)}{blanks}}}\n")
        else:
            items = "".join(f"{blanks}  {item}\n" for item in element)
            lines.append(f"{blanks}{name} = [\n{items}{blanks}]\n")
    return "".join(lines)


names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
#: charon writes what is not printable as hexadecimal; a lone [ as a value would open a list.
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).filter(
    lambda v: v != "["
)
sections = st.recursive(
    st.dictionaries(names, values | st.lists(values, max_size=3).map(tuple), max_size=4),
    lambda inner: st.dictionaries(names, inner | values, max_size=3),
    max_leaves=8,
)


@given(sections)
def test_whatever_values_hold_the_message_is_read_as_it_was_written(content: Section) -> None:
    text = f"list-sa event {{\n{rendered(content)}}}\n"
    (message,) = vici.parse(text)
    assert message.content == content


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ViciError):
        assert vici.parse(text) == () or text
