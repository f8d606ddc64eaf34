"""The seven mutations of OpenBSD's parser tests, so that our counts can be laid beside theirs.

    1 bit, 2 bits         one bit inverted; every two
    1 octet, 2 octets     one octet inverted; every two
    cut in front, behind  1 to all octets missing
    base64                each octet replaced by each of the 64 characters

A strategy numbers its mutants, so that all of them or a sample can be made, and one be made again.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb, isqrt

BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@dataclass(frozen=True, slots=True)
class Strategy:
    """`count` says how many mutants octets of a size have, `mutant` makes one by its number."""

    count: Callable[[int], int]
    mutant: Callable[[bytes, int], bytes]

    def some(self, octets: bytes, wanted: int, draw: random.Random) -> Iterator[bytes]:
        """That many different mutants, or all where there are fewer; never the octets themselves."""
        count = self.count(len(octets))
        for number in range(count) if count <= wanted else draw.sample(range(count), wanted):
            changed = self.mutant(octets, number)
            if changed != octets:
                yield changed


def _inverted(octets: bytes, *masks: int) -> bytes:
    """`masks`: each the place of a bit, or eight bits, counted from the end."""
    whole = int.from_bytes(octets)
    for mask in masks:
        whole ^= mask
    return whole.to_bytes(len(octets))


def _pair(number: int) -> tuple[int, int]:
    """The two of this number in (0, 1), (0, 2), (1, 2), (0, 3), ..."""
    high = (1 + isqrt(8 * number + 1)) // 2
    return number - comb(high, 2), high


def _two_bits(octets: bytes, number: int) -> bytes:
    low, high = _pair(number)
    return _inverted(octets, 1 << low, 1 << high)


def _two_octets(octets: bytes, number: int) -> bytes:
    low, high = _pair(number)
    return _inverted(octets, 0xFF << 8 * low, 0xFF << 8 * high)


def _base64(octets: bytes, number: int) -> bytes:
    at, character = divmod(number, len(BASE64))
    return octets[:at] + BASE64[character : character + 1] + octets[at + 1 :]


STRATEGIES = {
    "1 bit": Strategy(lambda size: 8 * size, lambda octets, number: _inverted(octets, 1 << number)),
    "2 bits": Strategy(lambda size: comb(8 * size, 2), _two_bits),
    "1 octet": Strategy(lambda size: size, lambda octets, number: _inverted(octets, 0xFF << 8 * number)),
    "2 octets": Strategy(lambda size: comb(size, 2), _two_octets),
    "cut in front": Strategy(lambda size: size, lambda octets, number: octets[number + 1 :]),
    "cut behind": Strategy(lambda size: size, lambda octets, number: octets[:number]),
    "base64": Strategy(lambda size: len(BASE64) * size, _base64),
}
