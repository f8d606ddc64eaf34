"""The Internet checksum (RFC 1071), over one string of octets and over many of one length.

A sum of 16-bit words in ones' complement is the sum of the words modulo 65,535, and since 2**16 is 1 modulo
65,535, so is that of words of any multiple of 16 bits. `(-sum) % 65535` is the checksum.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from node.crypto import rows as compiled
from node.errors import DecodeError, DropReason

Octets = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

MODULUS: Final = 65535

#: Octets from which on NumPy is quicker than a division of a long number.
_MANY: Final = 512


def total(octets: bytes | bytearray | memoryview) -> int:
    """A number that is the sum of the 16-bit words modulo 65,535; an odd octet at the end is a high one."""
    size = len(octets)
    if size < _MANY:
        return int.from_bytes(octets) << 8 * (size & 1)
    return int(totals(np.frombuffer(octets, np.uint8).reshape(1, size))[0])


def totals(rows: Octets) -> Numbers:
    """`total` of each row. Rows need not lie next to each other, and hold at most 64 KiB."""
    found = compiled.totals(rows)
    if found is not None:
        return found
    size = rows.shape[1]
    whole = size & ~3
    # Little-endian words: the sum has its octets the other way round, which 256 times it puts right.
    sums: Numbers = np.add.reduce(rows[:, :whole].view("<u4"), axis=1, dtype=np.uint64).view(np.int64)
    for place in range(whole, size):
        sums += rows[:, place].astype(np.int64) << 8 * (place & 1)
    sums *= 256
    return sums


def complete(packet: memoryview, start: int, offset: int) -> None:
    """Finish a checksum that covers `packet` from `start` on and stands `offset` octets after that.

    The field holds the sum of what else it covers: the pseudo-header. Raises DecodeError (INNER_MALFORMED)
    where the field is not inside.
    """
    field = start + offset
    if not 0 <= start <= field <= len(packet) - 2:
        text = f"a checksum at {start} and {offset} in {len(packet)} octets"
        raise DecodeError(DropReason.INNER_MALFORMED, "vnet", text)
    packet[field : field + 2] = field_of(total(packet[start:])).to_bytes(2)


def field_of(covered: int) -> int:
    """What a checksum field must hold beside what it covers. Never 0: that is no checksum, in UDP."""
    return -covered % MODULUS or MODULUS
