"""What decoding a capture gives: one value for each datagram, with a tree of what is in it."""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a datagram is."""

    IKE = "ike"
    ESP = "esp"
    KEEPALIVE = "keepalive"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the tree: a name, what it says, and what is in it."""

    name: str
    value: str = ""
    children: tuple["Item", ...] = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    """One captured packet.

    `number` counts the packets of its capture from 1, `moment_ns` is nanoseconds of the epoch, `source` and
    `target` are `address:port`. `title` names it in one line ("IKE_AUTH request 1, SK{IDi CERT AUTH}").
    `opened` says that its protected part could be read, `problem` why not (empty where there is none);
    `remark` is what the capture says of it ("dropped by the wire").
    """

    number: int
    moment_ns: int
    vantage: str
    source: str
    target: str
    kind: Kind
    title: str
    tree: Item
    octets: bytes = field(repr=False)
    opened: bool = False
    problem: str = ""
    remark: str = ""
