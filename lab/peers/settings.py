"""strongSwan's settings files (strongswan.conf(5)) written out of values.

    connections {
      lab {
        version = 2
        remote_addrs = "a b"
      }
    }

Every value that is more than a word is quoted, so no value can become a section or another setting.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

Section = Mapping[str, "Value"]
#: None leaves the setting out; a sequence is joined by commas.
Value = str | int | float | bool | Sequence[str] | Section | None

_NAME = re.compile(r"[A-Za-z0-9_%-]+")
_WORD = re.compile(r"[A-Za-z0-9_.:/%@+-]+")


def render(section: Section) -> str:
    """The text of a file. Raises ValueError for a name or a value that the format has no way to say."""
    return "".join(f"{line}\n" for line in _lines(section, ""))


def _lines(section: Section, indent: str) -> Iterator[str]:
    for name, value in section.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a setting: use letters, digits, '_' and '-'")
        if isinstance(value, Mapping):
            yield f"{indent}{name} {{"
            yield from _lines(value, indent + "  ")
            yield f"{indent}}}"
        elif value is not None:
            yield f"{indent}{name} = {_text(name, value)}"


def _text(name: str, value: str | int | float | bool | Sequence[str]) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case str():
            return _quoted(name, value)
    return _quoted(name, ", ".join(value))


def _quoted(name: str, value: str) -> str:
    if _WORD.fullmatch(value):
        return value
    if not value.isprintable():
        raise ValueError(f"{name}: {value!r} has control characters: leave them out")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
