"""Consecutive segments of one TCP flow as one super-packet for the kernel: the inverse of `segment`.

What is joined (as Linux GRO does): headers are equal but for what counts up by itself and for checksums; the
data follow each other; only the last may be shorter, or carry PSH or FIN; flags are ACK, and ECE, alone; no
IP options, no fragments. Identification (IPv4) counts up, or says nothing (DF, RFC 6864).

Rules:

1. The kernel believes a super-packet's checksum, so both checksums of each segment are verified here. What is
   wrong is not joined: it goes on as it came, and the kernel refuses it and counts it.
2. Whatever is not joined goes on by itself, in order.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from node.esp import tos
from node.esp.checksum import MODULUS, Numbers, Octets, total, totals
from node.esp.inner import IPV4_HEADER, IPV6_HEADER, TCP
from node.esp.segment import CHECKSUM_AT, PSH_FIN, TCP_HEADER, Layout
from node.esp.vnet import Gso, Offload, pack

_ACK, _ECE = 0x10, 0x40
_DONT_FRAGMENT: Final = 0x40
#: Octets of the largest IP packet.
_LARGEST: Final = 65_535

#: Layouts whose masks are remembered.
MAX_LAYOUTS: Final = 64

Part = bytes | bytearray | memoryview
Mask = npt.NDArray[np.bool_]


class Run(NamedTuple):
    """Rows `first` to before `end`; one that is alone is a packet like any other."""

    first: int
    end: int


def tcp_layout(packet: Part) -> Layout | None:
    """How a packet with TCP data is laid out that others may be joined to; None for any other."""
    size = len(packet)
    if size <= IPV4_HEADER + TCP_HEADER:
        return None
    version = packet[0] >> 4
    if version == 4:
        plain = packet[0] == 0x45 and packet[9] == TCP and not (packet[6] & ~_DONT_FRAGMENT or packet[7])
        start, length = IPV4_HEADER, packet[2] << 8 | packet[3]
    else:
        plain = version == 6 and size > IPV6_HEADER + TCP_HEADER and packet[6] == TCP
        start, length = IPV6_HEADER, IPV6_HEADER + (packet[4] << 8 | packet[5])
    if not plain or length != size:
        return None
    header = start + ((packet[start + 12] >> 4) << 2)
    flags = packet[start + 13] & ~(PSH_FIN | _ECE)
    if flags != _ACK or header < start + TCP_HEADER or header >= size:
        return None
    return Layout(version, start, header, TCP, size - header)


def intact(packet: Part, layout: Layout) -> bool:
    """True where the checksums of a packet of this layout are right."""
    view, start = memoryview(packet), layout.start
    if layout.version == 4 and total(view[:start]) % MODULUS:
        return False
    return (total(view[_ends(layout)]) + TCP + len(view) - start + total(view[start:])) % MODULUS == 0


def _ends(layout: Layout) -> slice:
    """Where the two addresses stand."""
    return slice(12, 20) if layout.version == 4 else slice(8, 40)


def _counting(layout: Layout) -> tuple[slice, ...]:
    """The octets of the headers that may differ between segments."""
    start = layout.start
    check = start + CHECKSUM_AT[TCP]
    own = (slice(4, 6), slice(10, 12)) if layout.version == 4 else ()
    return *own, slice(start + 4, start + 8), slice(check, check + 2)


class Joined:
    """A super-packet in the making, of several packets, the first of which had `head`.

    `follow` is the number of octets of data in it.
    """

    def __init__(self, layout: Layout, head: bytes, last_flags: int, parts: list[Part], follow: int) -> None:
        self.layout, self._parts = layout, parts
        self._head, self._mask = bytearray(head), _mask(layout)
        self._same = int.from_bytes(head) & self._mask
        start = layout.start
        self._first = int.from_bytes(head[start + 4 : start + 8])
        self._number = int.from_bytes(head[4:6])
        self._flags, self._data = last_flags, follow
        self.count = -(-follow // layout.segment)

    @property
    def closed(self) -> bool:
        """Nothing may follow."""
        return bool(self._flags & PSH_FIN) or self._data != self.count * self.layout.segment

    def arrived(self, outer: int, dscp: bool) -> bool | None:
        """Let all of them hear of the outer TOS (`tos.arrived`): whether they are other ones now; None where
        they must be dropped.
        """
        before = bytes(self._head)
        head = tos.arrived(before, outer, dscp)
        if head is None:
            return None
        self._head = bytearray(head)
        self._same = int.from_bytes(head) & self._mask
        return head != before

    def add(self, packet: bytes, layout: Layout) -> bool:
        """Join a packet of that layout. False where it does not follow; then nothing is changed."""
        mine, start = self.layout, self.layout.start
        if self.closed or layout[:4] != mine[:4] or layout.segment > mine.segment:
            return False
        if self._data + mine.header + layout.segment > _LARGEST or not self._follows(packet, layout):
            return False
        self._parts.append(packet[layout.header :])
        self._flags = packet[start + 13]
        self._data += layout.segment
        self.count += 1
        return True

    def _follows(self, packet: bytes, layout: Layout) -> bool:
        start = layout.start
        head = bytearray(packet[: layout.header])
        # Lengths may differ in the last one; that they are right is known.
        place = slice(2, 4) if layout.version == 4 else slice(4, 6)
        head[place] = self._head[place]
        sequence = int.from_bytes(packet[start + 4 : start + 8])
        if (
            int.from_bytes(head) & self._mask != self._same
            or sequence != self._first + self._data & 0xFFFFFFFF
        ):
            return False
        number = int.from_bytes(packet[4:6])
        counts = layout.version == 6 or packet[6] or number == self._number + self.count & 0xFFFF
        return bool(counts) and intact(packet, layout)

    def packet(self) -> list[Part]:
        """What is written to the TUN device: its header, and the parts of the packet."""
        layout, head = self.layout, self._head
        start, size = layout.start, layout.header + self._data
        check = start + CHECKSUM_AT[TCP]
        head[start + 13] = self._flags
        if layout.version == 4:
            head[2:4], head[10:12] = size.to_bytes(2), bytes(2)
            head[10:12] = (-total(head[:start]) % MODULUS).to_bytes(2)
        else:
            head[4:6] = (size - start).to_bytes(2)
        # As the kernel leaves it: the sum over the pseudo-header, not inverted.
        head[check : check + 2] = ((total(head[_ends(layout)]) + TCP + size - start) % MODULUS).to_bytes(2)
        kind = Gso.TCPV4 if layout.version == 4 else Gso.TCPV6
        offload = Offload(True, kind, layout.segment, start, CHECKSUM_AT[TCP])
        return [pack(offload, layout.header), head, *self._parts]


@lru_cache(MAX_LAYOUTS)
def _mask(layout: Layout) -> int:
    """The bits of the headers that are the same in all segments, as one number."""
    mask = bytearray(b"\xff" * layout.header)
    for place in _counting(layout):
        mask[place] = bytes(place.stop - place.start)
    mask[layout.start + 13] = 0xFF & ~PSH_FIN
    return int.from_bytes(mask)


class Table:
    """Packets of one size, one a row of `plain`, the first of which is laid out in this way."""

    def __init__(self, plain: Octets, layout: Layout) -> None:
        start = layout.start
        self.layout = layout
        self._rows = plain[:, : layout.size]
        self._words = plain[:, : layout.header].view("<u4")
        mask = _mask(layout).to_bytes(layout.header)
        self._mask = np.frombuffer(mask, "<u4")
        # The same, and all of IPv4's header: with DF even the identification says nothing, so it may stay.
        self._alike = (
            np.frombuffer(b"\xff" * start + mask[start:], "<u4") if layout.version == 4 else self._mask
        )
        self._laid = np.frombuffer(_laid(layout), "<u4")
        self._number = plain[:, 4:6].view(">u2")[:, 0]
        self._sequence = plain[:, start + 4 : start + 8].view(">u4")[:, 0]
        self._flags = plain[:, start + 13]
        self._steps = np.arange(len(plain), dtype=np.uint32) * np.uint32(layout.segment)
        self._data = plain[:, layout.header : layout.size]
        self._together = np.empty_like(self._data, order="C")

    def fill(self, packets: Sequence[bytes]) -> None:
        """Write packets of this layout into the first rows."""
        self._rows[: len(packets)] = np.frombuffer(b"".join(packets), np.uint8).reshape(len(packets), -1)

    def runs(self, count: int) -> Iterator[Run]:
        """The first `count` rows in runs that may be joined, none larger than an IP packet may be."""
        most, first = (_LARGEST - self.layout.header) // self.layout.segment, 0
        ends = [] if self._one(count) else np.flatnonzero(~self._joins(count)).tolist()
        for last in (*ends, count - 1):
            for begin in range(first, last + 1, most):
                yield Run(begin, min(begin + most, last + 1))
            first = last + 1

    def joined(self, run: Run) -> Joined:
        """The rows of a run of several."""
        first, end = run
        data = self._together[first:end]
        data[:] = self._data[first:end]
        parts: list[Part] = [data.data.cast("B")]
        head = self._words[first].tobytes()
        return Joined(self.layout, head, int(self._flags[end - 1]), parts, data.size)

    def _one(self, count: int) -> bool:
        """Whether all rows are one run, as the segments of one super-packet mostly are.

        A quick look: where IPv4's identifications count, it leaves the answer to `_joins`.
        """
        layout, words, row = self.layout, self._words[:count], self._rows[0].tobytes()
        if np.count_nonzero((words ^ words[0]) & self._alike):
            return False
        if layout.version == 4 and (not row[6] or total(row[: layout.start]) % MODULUS):
            return False
        sequences = self._sequence[:count] - self._steps[:count]
        if np.count_nonzero(sequences != sequences[0]) or np.count_nonzero(
            self._flags[: count - 1] & PSH_FIN
        ):
            return False
        pseudo = (total(row[_ends(layout)]) + TCP + layout.size - layout.start) % MODULUS
        sums = totals(self._rows[:count, layout.start :])
        return not np.count_nonzero((sums + pseudo) % MODULUS)

    def _joins(self, count: int) -> Mask:
        """For each row but the last whether the next one may be joined to it."""
        words, layout = self._words[:count], self.layout
        fit = self._intact(count)
        differ = (words ^ words[0]) & self._mask
        same: Mask | bool = True
        if differ.any():
            # Another flow, or this one with another acknowledgement: it may go on from there.
            fit &= ~(((words ^ words[0]) & self._laid).any(axis=1))
            same = ~(((words[1:] ^ words[:-1]) & self._mask).any(axis=1))
        follows = _steps(self._sequence[:count]) & 0xFFFFFFFF == layout.segment
        goes_on = self._flags[: count - 1] & PSH_FIN == 0
        joins: Mask = fit[1:] & fit[:-1] & same & follows & goes_on
        if layout.version == 4 and not self._rows[0, 6]:
            joins &= _steps(self._number[:count]) & 0xFFFF == 1
        return joins

    def _intact(self, count: int) -> Mask:
        """Whose checksums are right."""
        rows, layout = self._rows[:count], self.layout
        pseudo: Numbers = totals(rows[:, _ends(layout)]) + (TCP + layout.size - layout.start)
        good: Mask = (pseudo + totals(rows[:, layout.start :])) % MODULUS == 0
        if layout.version == 4:
            good &= totals(rows[:, : layout.start]) % MODULUS == 0
        return good


def _laid(layout: Layout) -> bytes:
    """The octets of the headers that say how they are laid out: those that `tcp_layout` judges."""
    mask = bytearray(layout.header)
    places = (0, 2, 3, 6, 7, 9) if layout.version == 4 else (0, 4, 5, 6)
    for place in (*places, layout.start + 12):
        mask[place] = 0xFF
    mask[layout.start + 13] = 0xFF & ~(PSH_FIN | _ECE)
    return bytes(mask)


def _steps(numbers: npt.NDArray[np.unsignedinteger]) -> Numbers:
    """What each number is greater than the one before it."""
    wide: Numbers = numbers.astype(np.int64)
    return wide[1:] - wide[:-1]
