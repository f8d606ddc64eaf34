"""A super-packet of the kernel and the packets that it stands for (TCP and UDP segmentation offload).

A super-packet has one set of headers and the data of many segments. Of each segment's headers these differ:

    IPv4     total length, identification (counts up; with DF it says nothing and stays, RFC 6864), header
             checksum
    IPv6     payload length
    TCP      sequence number, checksum; CWR on the first only, PSH and FIN on the last only
    UDP      length, checksum

Rules:

1. Nothing the header in front of it says is believed before it agrees with the packet.
2. All segments are of one flow, so that what selectors say of the first holds for all.
3. A checksum is made from the sum over the pseudo-header that the kernel left in its field, so that a routing
   header of IPv6 is its business.
"""

from typing import Final, NamedTuple

import numpy as np

from node.crypto.batch import numbers
from node.errors import DecodeError, DropReason
from node.esp.checksum import MODULUS, Numbers, Octets, field_of, total, totals
from node.esp.inner import IPV6_HEADER, NO_PROTOCOL, TCP, UDP, flow, total_length
from node.esp.vnet import Gso, Offload

#: Octets of a TCP header without options, and of a UDP header.
TCP_HEADER: Final = 20
UDP_HEADER: Final = 8
#: Where the checksum stands in either header.
CHECKSUM_AT: Final = {TCP: 16, UDP: 6}

#: Flags of TCP that belong to the first segment only, and to the last only (RFC 9293 3.1, RFC 3168 6.1.2).
CWR: Final = 0x80
PSH_FIN: Final = 0x09

_MORE_OR_OFFSET: Final = 0x3FFF
#: In the first octet of the fragment offset.
_DONT_FRAGMENT: Final = 0x40

#: The IP versions that each kind of segments may have.
_VERSIONS: Final = {Gso.NONE: (), Gso.TCPV4: (4,), Gso.TCPV6: (6,), Gso.UDP_L4: (4, 6)}


class Layout(NamedTuple):
    """What segments have in common: IP version, where the transport header begins and where it ends, the
    transport protocol, octets of data in each segment but the last.
    """

    version: int
    start: int
    header: int
    protocol: int
    segment: int

    @property
    def size(self) -> int:
        """Octets of a whole segment."""
        return self.header + self.segment


class SuperPacket:
    """A super-packet that agrees with `offload`. Raises DecodeError (INNER_MALFORMED) for any other."""

    __slots__ = ("_packet", "_seed", "count", "layout", "whole")

    def __init__(self, packet: memoryview, offload: Offload) -> None:
        self.layout = _layout(packet, offload)
        self._packet = packet
        data = len(packet) - self.layout.header
        #: Segments, and those of them that are of full size.
        self.whole = data // self.layout.segment
        self.count = -(-data // self.layout.segment)
        field = self.layout.start + CHECKSUM_AT[self.layout.protocol]
        # The pseudo-header without the length, which differs.
        self._seed = int.from_bytes(packet[field : field + 2]) - (len(packet) - self.layout.start)

    @property
    def head(self) -> bytes:
        """The headers as they came, enough for selectors."""
        return bytes(self._packet[: self.layout.header])

    def __getitem__(self, number: int) -> bytes:
        """One segment, counted from 0."""
        layout = self.layout
        begin = layout.header + number * layout.segment
        packet = bytearray(self._packet[: layout.header])
        packet += self._packet[begin : begin + layout.segment]
        self._head(packet, len(packet), number)
        if layout.version == 4:
            packet[10:12] = (-total(packet[: layout.start]) % MODULUS).to_bytes(2)
        field = layout.start + CHECKSUM_AT[layout.protocol]
        packet[field : field + 2] = field_of(total(memoryview(packet)[layout.start :])).to_bytes(2)
        return bytes(packet)

    def template(self, number: int) -> bytearray:
        """The headers of a segment of full size; the checksum is that of the pseudo-header alone."""
        head = bytearray(self._packet[: self.layout.header])
        self._head(head, self.layout.size, number)
        if self.layout.version == 4:
            head[10:12] = (-total(head[: self.layout.start]) % MODULUS).to_bytes(2)
        return head

    @property
    def counts(self) -> bool:
        """Whether identifications count up."""
        return self.layout.version == 4 and not self._packet[6] & _DONT_FRAGMENT

    def flags(self, number: int) -> int:
        """The TCP flags of a segment."""
        flags = self._packet[self.layout.start + 13]
        return flags & ~((CWR if number else 0) | (PSH_FIN if number < self.count - 1 else 0))

    def data(self, first: int, count: int) -> Octets:
        """The data of full segments, one a row."""
        size, begin = self.layout.segment, self.layout.header + first * self.layout.segment
        return np.frombuffer(self._packet, np.uint8, count * size, begin).reshape(count, size)

    def _head(self, packet: bytearray, size: int, number: int) -> None:
        """Write the headers of segment `number`, of `size` octets, with the sum over the pseudo-header."""
        version, start, _, protocol, segment = self.layout
        if version == 4:
            packet[2:4] = size.to_bytes(2)
            if self.counts:
                packet[4:6] = (int.from_bytes(packet[4:6]) + number & 0xFFFF).to_bytes(2)
            packet[10:12] = bytes(2)
        else:
            packet[4:6] = (size - IPV6_HEADER).to_bytes(2)
        length = size - start
        if protocol == TCP:
            sequence = int.from_bytes(packet[start + 4 : start + 8]) + number * segment
            packet[start + 4 : start + 8] = (sequence & 0xFFFFFFFF).to_bytes(4)
            packet[start + 13] = self.flags(number)
        else:
            packet[start + 4 : start + 6] = length.to_bytes(2)
        field = start + CHECKSUM_AT[protocol]
        packet[field : field + 2] = ((self._seed + length) % MODULUS).to_bytes(2)


class Rows:
    """The segments of one layout, one a row of `plain`, which has room for more behind them."""

    def __init__(self, plain: Octets, layout: Layout) -> None:
        start, header = layout.start, layout.header
        self._layout = layout
        self._head, self._data = plain[:, :header], plain[:, header : layout.size]
        self._number, self._header_check = numbers(plain, 4, 2), numbers(plain, 10, 2)
        self._sequence, self._flags = numbers(plain, start + 4, 4), plain[:, start + 13]
        self._check = numbers(plain, start + CHECKSUM_AT[layout.protocol], 2)
        self._covered = plain[:, start : layout.size]
        self._index: Numbers = np.arange(len(plain), dtype=np.int64)
        self._steps = self._index * layout.segment

    def fill(self, packet: SuperPacket, first: int, count: int) -> None:
        """Write `count` segments of full size of a packet of this layout, from number `first` on."""
        layout, head = self._layout, packet.template(first)
        self._head[:count] = np.frombuffer(head, np.uint8)
        self._data[:count] = packet.data(first, count)
        if packet.counts:
            self._count(head, count)
        if layout.protocol == TCP:
            sequence = int.from_bytes(head[layout.start + 4 : layout.start + 8])
            self._sequence[:count] = self._steps[:count] + sequence & 0xFFFFFFFF
            self._flag(packet, first, count)
        # 1 to 65,535: of the two zeros the one that is a checksum in UDP, too.
        self._check[:count] = MODULUS - totals(self._covered[:count]) % MODULUS

    def _count(self, head: bytearray, count: int) -> None:
        """Let identifications count up from that of the first."""
        number = int.from_bytes(head[4:6])
        same = total(head[:4] + bytes(2) + head[6:10] + bytes(2) + head[12 : self._layout.start])
        found = self._index[:count] + number & 0xFFFF
        self._number[:count] = found
        self._header_check[:count] = -(found + same % MODULUS) % MODULUS

    def _flag(self, packet: SuperPacket, first: int, count: int) -> None:
        """Where segments between the first and the last have other flags than the first, write them."""
        own, last = packet.flags(first), packet.flags(first + count - 1)
        if count > 2 and packet.flags(first + 1) != own:
            self._flags[1 : count - 1] = packet.flags(first + 1)
        if last != own:
            self._flags[count - 1] = last


def _layout(packet: memoryview, offload: Offload) -> Layout:
    if total_length(packet) != len(packet):
        raise _malformed(f"{len(packet)} octets, but its header says otherwise")
    version, start = packet[0] >> 4, offload.start
    protocol = UDP if offload.gso is Gso.UDP_L4 else TCP
    if version not in _VERSIONS[offload.gso] or not offload.needs_checksum:
        raise _malformed(f"IP version {version} and segments of kind {offload.gso}")
    if offload.offset != CHECKSUM_AT[protocol] or _protocol(packet, start) != protocol:
        raise _malformed(f"no header of protocol {protocol} at {start}")
    least = TCP_HEADER if protocol == TCP else UDP_HEADER
    if start + least > len(packet):
        raise _malformed(f"a header at {start} of {len(packet)} octets")
    size = (packet[start + 12] >> 4) << 2 if protocol == TCP else UDP_HEADER
    if size < least or start + size >= len(packet) or not offload.segment:
        raise _malformed(f"headers of {start} and {size} octets, segments of {offload.segment}")
    return Layout(version, start, start + size, protocol, offload.segment)


def _protocol(packet: memoryview, start: int) -> int:
    """The protocol of the header at `start`, where it is the one after those of IP."""
    if packet[0] >> 4 == 4:
        fragment = int.from_bytes(packet[6:8]) & _MORE_OR_OFFSET
        return packet[9] if start == (packet[0] & 15) << 2 and not fragment else NO_PROTOCOL
    if start == IPV6_HEADER:
        return packet[6]
    return flow(bytes(packet)).protocol if start > IPV6_HEADER else NO_PROTOCOL


def _malformed(text: str) -> DecodeError:
    return DecodeError(DropReason.INNER_MALFORMED, "super-packet", text)
