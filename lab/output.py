"""Data on stdout: tables for people, one JSON envelope for programs (`lab/schemas/output.schema.json`)."""

import json
import sys
from collections.abc import Mapping, Sequence
from unicodedata import east_asian_width

from lab.console import Style
from lab.text import printable


def envelope(kind: str, content: Mapping[str, object]) -> dict[str, object]:
    """The one envelope: a schema id, then the content."""
    return {"schema": f"ipseclab/{kind}/v1", **content}


def print_json(kind: str, content: Mapping[str, object]) -> None:
    """Write the envelope as one document."""
    print(json.dumps(envelope(kind, content), indent=2, sort_keys=False), flush=True)


def print_json_line(content: Mapping[str, object]) -> None:
    """Write one object of a stream."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def width(text: str) -> int:
    """Columns of `text` on a terminal."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], style: Style) -> str:
    """Aligned columns with a heading; control characters in cells are escaped."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(width(cell) for cell in column) for column in zip(head, *cells, strict=True)]
    lines = [style.paint(_aligned(head, widths), "bold"), *(_aligned(row, widths) for row in cells)]
    return "\n".join(lines)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell + " " * (size - width(cell)) for cell, size in zip(cells, widths, strict=True)
    ).rstrip()
