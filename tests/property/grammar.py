"""Mutants of DER whose lengths are right: they get past the framing, to whatever reads what is in it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Contents worth trying anywhere.
EDGES = (b"", b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\0\0", b"\0\x80", b"\xff\xff", bytes(8), b"\x7f" * 9)
#: Deeper than any message; what lies deeper is taken as octets.
DEPTH = 12


@dataclass(slots=True)
class Element:
    """Identifier octets, and contents: octets, or the elements that they are."""

    identifier: bytes
    contents: "bytes | list[Element]"

    def octets(self) -> bytes:
        """With the shortest length."""
        inside = self.contents if isinstance(self.contents, bytes) else written(self.contents)
        size = len(inside)
        if size < 0x80:
            return self.identifier + bytes((size,)) + inside
        length = size.to_bytes((size.bit_length() + 7) // 8)
        return self.identifier + bytes((0x80 | len(length),)) + length + inside


def written(elements: "Sequence[Element]") -> bytes:
    """A run of elements."""
    return b"".join(element.octets() for element in elements)


def parsed(octets: bytes, depth: int = 0) -> list[Element] | None:
    """The elements that octets are, or None. A constructed one is looked into."""
    found, at = [], 0
    while at < len(octets):
        start = at
        at += 1
        if octets[start] & 0x1F == 0x1F:
            while at < len(octets) and octets[at] & 0x80:
                at += 1
            at += 1
        identifier = octets[start:at]
        size, at = _length(octets, at)
        if size is None or at + size > len(octets):
            return None
        inside = octets[at : at + size]
        at += size
        below = parsed(inside, depth + 1) if identifier[0] & 0x20 and depth < DEPTH else None
        found.append(Element(identifier, inside if below is None else below))
    return found


def _length(octets: bytes, at: int) -> tuple[int | None, int]:
    if at >= len(octets):
        return None, at
    first = octets[at]
    if first < 0x80:
        return first, at + 1
    stop = at + 1 + (first & 0x7F)
    return (int.from_bytes(octets[at + 1 : stop]) if stop <= len(octets) else None), stop


def _lists(elements: list[Element]) -> list[list[Element]]:
    """Every run of elements, at any depth."""
    found = [elements]
    for element in elements:
        if isinstance(element.contents, list):
            found += _lists(element.contents)
    return found


def mutated(draw: random.Random, octets: bytes, other: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """One to three elements removed, repeated, moved, exchanged with one of `other`, or with contents that
    `change` makes; the octets themselves through `change` where they are no DER.
    """
    tree = parsed(octets)
    if not tree:
        return change(octets)
    for _ in range(draw.choice((1, 1, 2, 3))):
        run = draw.choice([one for one in _lists(tree) if one] or [tree])
        at = draw.randrange(len(run)) if run else 0
        match draw.randrange(7):
            case 0:
                run[at : at + 1] = []
            case 1:
                run[at:at] = run[at : at + 1] * draw.choice((1, 2, 300))
            case 2:
                draw.shuffle(run)
            case 3:
                donors = _lists(parsed(other) or [])
                donor = draw.choice([one for one in donors if one] or [run])
                run[at:at] = donor[:1] if draw.random() < 0.5 else donor[-1:]
            case 4 if run:
                run[at] = Element(bytes((run[at].identifier[0] ^ 1 << draw.randrange(8),)), run[at].contents)
            case _ if run:
                inside = run[at].contents
                whole = inside if isinstance(inside, bytes) else written(inside)
                contents = draw.choice(EDGES) if draw.random() < 0.3 else change(whole)
                run[at] = Element(run[at].identifier, contents)
            case _:
                pass
    return written(tree)
