"""Many packets of one SA at once: the same decisions as `node.esp.tunnel` takes one by one, taken together.

    outbound   a super-packet of the kernel -> segments -> ESP packets, one behind the other
    inbound    ESP packets of one size, as UDP GRO brings them -> segments -> super-packets

Rules:

1. A batch is taken where it is plain that every packet of it would pass; what is not plain (transport mode,
   padding that hides lengths) is left to the tunnel, packet by packet, and so are all refusals. A batch with
   one bad packet loses that one.
2. Inbound the order is the tunnel's: replay check, open, replay mark, padding and next header, selectors.
   Nothing moves before all ICVs have passed.
3. An outbound batch ends where the SA has to be looked at (`OutboundSa.alarm`).
4. What is handed out lies in buffers that are used again: it is done with before the next one is asked for.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from node.crypto.batch import LEAD, Batch, Shape, numbers
from node.errors import DecodeError, DropReason, IntegrityError
from node.esp.coalesce import Joined, Table, tcp_layout
from node.esp.inner import TCP
from node.esp.packet import HEADER, MAX_DATAGRAMS, MAX_OCTETS, TRAILER_SIZE, unpad
from node.esp.replay import LAST_SEQUENCE
from node.esp.sa import InboundSa, OutboundSa
from node.esp.sad import Sad
from node.esp.segment import Layout, Rows, SuperPacket
from node.esp.tunnel import Incoming, Outgoing, Refused, TooLarge, Tunnel, admitted
from node.esp.vnet import Offload
from node.model.message import Path

#: Octets of what may be received at once.
INBOX: Final = 65_535

#: Shapes of batches that are kept, each with some 200 KB: sizes of packets times transforms.
MAX_SHAPES: Final = 16

#: A step between two sequence numbers that could as well be one back, where only the low half is seen.
_FAR: Final = 1 << 31

#: The half of a sequence number that a packet has.
_LOW: Final = np.uint64(0xFFFFFFFF)

Numbers = npt.NDArray[np.uint64]
#: Sequence numbers of a batch, each greater than the one before it; a range where none is missing.
Sequences = range | Numbers
K = TypeVar("K")
V = TypeVar("V")


class Burst(NamedTuple):
    """ESP packets of `size` octets, one behind the other, then `tail`, a smaller one (or nothing): `packets`
    in all, with sequence numbers from `sequence` on. `octets` are valid until the next is asked for.
    """

    octets: memoryview
    tail: bytes
    size: int
    packets: int
    path: Path
    spi: bytes
    sequence: int


class Opened(NamedTuple):
    """What a batch held, in order: packets that passed, refusals, and packets that were joined.

    `taken` datagrams of the inbox are dealt with. `spi` is ours; `sequence` is that of the last one.
    """

    taken: int
    spi: bytes
    sequence: int
    contents: tuple[Incoming | Refused | Joined, ...]


class _Sending:
    """A batch to be sealed, whose plaintext is segments of one layout with the same trailer."""

    def __init__(self, layout: Layout, shape: Shape, end: bytes) -> None:
        count = min(MAX_DATAGRAMS, MAX_OCTETS // shape.size)
        self.batch = Batch(shape, count, bytearray(count * shape.size))
        self.rows = Rows(self.batch.plain, layout)
        self.batch.plain[:, layout.size :] = np.frombuffer(end, np.uint8)
        self._spis, self._sequences = numbers(self.batch.wire, 0, 4), numbers(self.batch.wire, 4, 4)
        self._spi = 0

    def lead(self, spi: int, sequences: Numbers) -> None:
        """Write the SPI and the low halves of these numbers."""
        if spi != self._spi:
            self._spis[:] = self._spi = spi
        self._sequences[: len(sequences)] = sequences & _LOW


class _Receiving:
    """A batch to be opened, at the start of the inbox."""

    def __init__(self, shape: Shape, inbox: bytearray) -> None:
        self.batch = Batch(shape, len(inbox) // shape.size, inbox)
        self.table: Table | None = None
        wire = self.batch.wire
        self._leads, self._spis, self._lows = numbers(wire, 0), numbers(wire, 0, 4), numbers(wire, 4, 4)
        self._index = np.arange(self.batch.count, dtype=np.uint64)

    def sequences(self, sa: InboundSa, count: int) -> Sequences | None:
        """The sequence numbers, where all packets are of this SA, and each number is greater than the one
        before it and than any that came before.

        None where they are not. Then they are not wrong yet: the window knows, one by one.
        """
        lead = int(self._leads[0])
        if np.count_nonzero(self._leads[:count] - self._index[:count] != self._leads[0]):
            # With gaps, or beyond the low half.
            return _rising(sa, self._lows[:count]) if (self._spis[:count] == self._spis[0]).all() else None
        first = sa.window.extend(lead & int(_LOW)) if sa.esn else lead & int(_LOW)
        if first <= sa.window.top or first + count - 1 > LAST_SEQUENCE:
            return None
        return range(first, first + count)


class Bulk:
    """Batches over the SAs of `sad`, in the place of `tunnel` where they may. Datagrams are received into
    `inbox`.
    """

    def __init__(self, sad: Sad, tunnel: Tunnel) -> None:
        self._sad, self._tunnel = sad, tunnel
        self.inbox = bytearray(INBOX)
        self._sending: OrderedDict[tuple[Layout, Shape], _Sending] = OrderedDict()
        self._receiving: OrderedDict[Shape, _Receiving] = OrderedDict()

    def encapsulate(
        self, packet: memoryview, offload: Offload
    ) -> Iterator[Burst | Outgoing | Refused | TooLarge]:
        """Protect the segments of a super-packet; all of them are dealt with when it ends.

        Those of TCP are made as small as the way wants them.
        """
        try:
            whole = SuperPacket(packet, offload)
            sa = self._tunnel.select(whole.head)
        except DecodeError as error:
            yield self._tunnel.refuse(error.reason, str(error))
            return
        done = 0
        if sa is not None and sa.carry is None:
            whole = self._narrow(sa, whole, packet, offload)
        if sa is not None and sa.carry is None and whole.layout.size <= sa.width:
            sending = self._sending_for(whole.layout, sa)
            while done < whole.whole:
                if sa.sequence >= sa.alarm and self._sad.near_limit(sa):
                    break
                count = min(whole.whole - done, sending.batch.count, sa.alarm - sa.sequence)
                burst = self._seal(sending, sa, whole, done, count)
                done += burst.packets
                yield burst
        for number in range(done, whole.count):
            yield self._tunnel.encapsulate(whole[number])

    def decapsulate(self, count: int, size: int) -> Opened | None:
        """Open the first `count` datagrams of the inbox, each of `size` octets, where they are a batch.

        None where they are not: nothing has changed then. Only what a TUN device may take is joined.
        """
        spi, _ = HEADER.unpack_from(self.inbox)
        sa = self._sad.by_spi.get(spi)
        if sa is None or sa.hosts is not None or size < sa.min_size or (size - sa.min_size) & sa.mask:
            return None
        receiving = self._receiving_for(sa, size)
        batch, sequences = receiving.batch, receiving.sequences(sa, count)
        if sequences is None:
            return None
        if sa.esn:
            _write_aad(batch, count, spi, sequences)
        try:
            sa.sealer.open_batch(batch, count)
        except IntegrityError:
            return None
        if isinstance(sequences, range):
            sa.window.mark_run(sequences[0], count)
        else:
            sa.window.mark_rising(sequences)
        sa.batches += 1
        sa.batched += count
        contents = tuple(self._contents(sa, receiving, sequences))
        return Opened(count, sa.spi, int(sequences[-1]), contents)

    def _narrow(
        self, sa: OutboundSa, whole: SuperPacket, packet: memoryview, offload: Offload
    ) -> SuperPacket:
        """The same super-packet with segments that fit, where it is of TCP: a stream can be cut anywhere."""
        layout = whole.layout
        if layout.size <= sa.width or layout.size <= self._tunnel.wider(sa) or layout.protocol != TCP:
            return whole
        room = sa.width - layout.header
        if room <= 0:
            return whole
        sa.cut += 1
        return SuperPacket(packet, offload._replace(segment=room))

    def _seal(self, sending: _Sending, sa: OutboundSa, whole: SuperPacket, first: int, count: int) -> Burst:
        batch, layout = sending.batch, whole.layout
        sending.rows.fill(whole, first, count)
        sequence = sa.sequence + 1
        sequences = np.arange(sequence, sequence + count, dtype=np.uint64)
        sending.lead(sa.spi_number, sequences)
        if sa.esn:
            _write_aad(batch, count, sa.spi_number, sequences)
        sa.sealer.seal_batch(batch, count)
        sa.sequence += count
        sa.octets += count * layout.size
        sa.batches += 1
        sa.batched += count
        size = batch.shape.size
        burst = Burst(batch.octets[: count * size], b"", size, count, sa.path, sa.spi, sequence)
        tail = self._tail(burst, sa, whole, first + count)
        return burst._replace(tail=tail, packets=count + 1) if tail else burst

    def _tail(self, burst: Burst, sa: OutboundSa, whole: SuperPacket, number: int) -> bytes:
        """The ESP packet of the last, shorter segment, where it may go with a burst; else nothing."""
        if number != whole.whole or number == whole.count or sa.sequence >= sa.alarm:
            return b""
        if burst.packets == MAX_DATAGRAMS or len(burst.octets) + burst.size > MAX_OCTETS:
            return b""
        return self._tunnel.protect(sa, whole[number]).datagram

    def _contents(
        self, sa: InboundSa, receiving: _Receiving, sequences: Sequences
    ) -> Iterator[Incoming | Refused | Joined]:
        count, plain = len(sequences), receiving.batch.plain
        table = _table(receiving, count)
        if table is None:
            for row in range(count):
                yield self._tunnel.accept(sa, int(sequences[row]), plain[row].tobytes(), True)
            return
        for run in table.runs(count):
            if run.end - run.first > 1 and admitted(sa, plain[run.first, : table.layout.size].tobytes()):
                joined = table.joined(run)
                sa.packets += joined.count
                sa.octets += joined.count * table.layout.size
                sa.newest = int(sequences[run.end - 1])
                yield joined
                continue
            for row in range(run.first, run.end):
                yield self._tunnel.accept(sa, int(sequences[row]), plain[row].tobytes(), True)

    def _sending_for(self, layout: Layout, sa: OutboundSa) -> _Sending:
        trailers = sa.trailers4 if layout.version == 4 else sa.trailers6
        end = trailers[-(layout.size + TRAILER_SIZE) & sa.mask]
        aad = 12 if sa.esn else LEAD
        key = layout, Shape(layout.size + len(end), sa.sealer.iv_size, sa.sealer.icv_size, aad)
        found = self._sending.get(key)
        if found is None:
            found = self._sending[key] = _Sending(*key, end)
            _forget(self._sending)
        return found

    def _receiving_for(self, sa: InboundSa, size: int) -> _Receiving:
        iv, icv = sa.sealer.iv_size, sa.sealer.icv_size
        shape = Shape(size - LEAD - iv - icv, iv, icv, 12 if sa.esn else LEAD)
        found = self._receiving.get(shape)
        if found is None:
            found = self._receiving[shape] = _Receiving(shape, self.inbox)
            _forget(self._receiving)
        return found


def _rising(sa: InboundSa, low: npt.NDArray[np.unsignedinteger]) -> Numbers | None:
    """The sequence found of these low halves, as `_Receiving.sequences`."""
    found = low.astype(np.int64)
    steps = np.diff(found)
    if sa.esn:
        steps &= 0xFFFFFFFF
    first = sa.window.extend(int(found[0])) if sa.esn else int(found[0])
    last = first + int(steps.sum())
    if first <= sa.window.top or last > LAST_SEQUENCE or not ((steps > 0) & (steps < _FAR)).all():
        return None
    found[0] = 0
    np.cumsum(steps, out=found[1:])
    return found.view(np.uint64) + np.uint64(first)


def _write_aad(batch: Batch, count: int, spi: int, sequences: Sequences) -> None:
    """SPI and the 64-bit sequence number (RFC 4106 5, RFC 7634 2.1)."""
    batch.aad[:count, :4] = np.frombuffer(spi.to_bytes(4), np.uint8)
    if isinstance(sequences, range):
        sequences = np.arange(sequences.start, sequences.stop, dtype=np.uint64)
    numbers(batch.aad, 4)[:count] = sequences


def _table(receiving: _Receiving, count: int) -> Table | None:
    """The plaintext as a table of TCP segments, where the first row is one and all trailers are right.

    None where they are not all alike; then they go one by one.
    """
    plain = receiving.batch.plain
    first = plain[0].tobytes()
    end = unpad(first)
    if not isinstance(end, DropReason) and not np.count_nonzero(plain[:count, end:] != plain[0, end:]):
        layout = tcp_layout(first[:end])
        if layout is not None and first[-1] == (4 if layout.version == 4 else 41):
            if receiving.table is None or receiving.table.layout != layout:
                receiving.table = Table(plain, layout)
            return receiving.table
    return None


def _forget(kept: OrderedDict[K, V]) -> None:
    """Keep no more than so many, those made last."""
    if len(kept) > MAX_SHAPES:
        kept.popitem(last=False)
