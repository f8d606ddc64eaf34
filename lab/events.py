"""The nodes' event stream as the lab reads it: one JSON object per line, `ts`, `node`, `event` and fields.

A line that is not such an object is kept as prose: it is shown, but never judged.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lab.text import parse_time

# A node's longest event holds a certificate's names and a payload of one datagram: far below this.
MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """Something a node told. `fields` are all but the three that every event has."""

    moment: datetime
    node: str
    name: str
    fields: Mapping[str, object]

    def as_json(self) -> dict[str, object]:
        """The object as the node wrote it."""
        stamp = self.moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"ts": stamp, "node": self.node, "event": self.name, **self.fields}


@dataclass(frozen=True, slots=True)
class NodeExit:
    """A node's process ended with this exit code (128 + signal where a signal ended it)."""

    node: str
    code: int


@dataclass(frozen=True, slots=True)
class NodeProse:
    """A line on a node's stdout that is no event."""

    node: str
    line: str


Told = NodeEvent | NodeExit | NodeProse


def parse_line(node: str, line: str) -> NodeEvent | NodeProse:
    """Read one line of the stdout of `node`. The node's name in the lab counts, whatever the line says."""
    if len(line) > MAX_LINE:
        return NodeProse(node, line[:MAX_LINE])
    try:
        document = json.loads(line)
        if isinstance(document, dict):
            fields = {str(k): v for k, v in document.items() if k not in ("ts", "node", "event")}
            return NodeEvent(parse_time(str(document["ts"])), node, str(document["event"]), fields)
    except (ValueError, KeyError, RecursionError):
        return NodeProse(node, line)
    return NodeProse(node, line)
