"""Many packets of one shape side by side, so that protecting them costs one call for each and nothing else.

    a row of `wire`    lead (8) | IV | ciphertext | ICV
    a row of `plain`   plaintext

Rules:

1. The lead belongs to the packet, not to us: it is the AAD, or `aads` holds one that is longer.
2. Everything a packet needs is made with the batch: the views of its parts, and the nonces.
3. Rows of `wire` touch, so that the first so many of them are one string of octets; it may be the buffer that
   they were received in.
"""

import struct
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from node.ports import Sealer

#: Octets of a packet in front of the IV.
LEAD: Final = 8
#: Octets of a nonce: a salt, and a counter that is the IV.
NONCE: Final = 12
COUNTER: Final = 8

#: Three addresses and four sizes, as C lays them out here.
_ROWS: Final = struct.Struct("@3P4N")

Octets = npt.NDArray[np.uint8]
Column = npt.NDArray[np.unsignedinteger]
Views = list[memoryview]


class Shape(NamedTuple):
    """Octets of the parts of every packet of a batch. `aad` is `LEAD` where the lead is all of it."""

    plain: int
    iv: int
    icv: int
    aad: int = LEAD

    @property
    def size(self) -> int:
        """Octets of a packet."""
        return LEAD + self.iv + self.plain + self.icv


class Batch:
    """Room for `count` packets; `wire` holds at least as many, and lives as long as this."""

    def __init__(self, shape: Shape, count: int, wire: bytearray) -> None:
        size, body = shape.size, LEAD + shape.iv
        self.shape, self.count = shape, count
        self.octets = memoryview(wire)
        self.wire: Octets = np.frombuffer(wire, np.uint8, count * size).reshape(count, size)
        self.plain: Octets = np.zeros((count, shape.plain), np.uint8)
        #: The AAD of each packet where that is not its lead.
        self.aad: Octets = np.zeros((count, shape.aad), np.uint8)
        self.nonce: Octets = np.zeros((count, NONCE), np.uint8)
        #: Of AEAD transforms, one number for each packet: the IV in the packet, and the same in the nonce.
        self.ivs, self.counters = numbers(self.wire, LEAD), numbers(self.nonce, NONCE - COUNTER)
        #: The salt that all nonces begin with: whoever has another one writes it there, and here.
        self.salt = b""
        self.plains, self.nonces = views(self.plain), views(self.nonce)
        self.aads = views(self.aad) if shape.aad != LEAD else self._parts(0, LEAD)
        #: Ciphertext and ICV; all that an ICV covers, with the lead; the ICV.
        self.sealed = self._parts(body, size)
        self.covered = self._parts(0, size - shape.icv)
        self.icvs: Octets = self.wire[:, size - shape.icv :]
        self._scratch: tuple[Octets, Octets] | None = None
        #: Where all that is, and octets of a row: `rows_batch` of rows.c.
        aad = self.aad if shape.aad != LEAD else self.wire
        places = (rows.ctypes.data for rows in (self.wire, self.plain, aad))
        self.rows = _ROWS.pack(*places, size, shape.plain, shape.aad, aad.shape[1])

    def scratch(self, block: int) -> tuple[Octets, Octets]:
        """Two arrays whose rows have room for IV and plaintext, and which have another row behind."""
        if self._scratch is None:
            rows, width = self.count + 1, self.shape.iv + self.shape.plain
            self._scratch = np.zeros((rows, width), np.uint8), np.zeros((rows, max(width, block)), np.uint8)
        return self._scratch

    def _parts(self, begin: int, end: int) -> Views:
        size = self.shape.size
        return [self.octets[at + begin : at + end] for at in range(0, self.count * size, size)]


class BatchSealer(Sealer, Protocol):
    """A Sealer that takes a batch at once; the packets are as `seal` makes them one by one."""

    def seal_batch(self, batch: Batch, count: int, /) -> None:
        """Fill IV, ciphertext and ICV of the first `count` packets; lead and AAD are there.

        Raises LocalMisuse where the IVs are used up; then nothing was made.
        """
        ...

    def open_batch(self, batch: Batch, count: int, /) -> None:
        """Fill the plaintext of the first `count` packets.

        Raises IntegrityError where one of them is not right: then no plaintext is to be looked at.
        """
        ...


def numbers(rows: Octets, place: int, size: int = COUNTER) -> Column:
    """The numbers that stand at one place of every row, in network order."""
    return rows[:, place : place + size].view(f">u{size}")[:, 0]


def views(rows: Octets) -> Views:
    """The rows, as the cipher takes them."""
    octets = rows.reshape(-1).data
    width = rows.shape[1]
    return [octets[at : at + width] for at in range(0, len(octets), width)]
