"""Encapsulation and decapsulation: the data path, one packet at a time, in either mode.

Rules:

1. Inbound, in this order: SPI and sequence number, SAD, replay check, open, replay mark, padding and next
   header, selectors of the inner packet, deliver. Nothing moves before the ICV has passed.
2. Fail closed: whatever does not match an SA is refused, in both directions. Nothing a peer sends raises.
3. Every refusal has its reason and is counted, with its SA where it has one.
4. The plain case (IPv4, addresses decide, nothing is near a limit) is decided in one place each way, and all
   else by the functions behind it. To a processor that was idle every function is news: a call costs it some
   microseconds, be there ever so little in it.

The state is in the SAD; the calls are independent of each other, so that a batch may call them in a row.
"""

from collections.abc import Callable
from ipaddress import ip_address
from typing import Final, NamedTuple

from node.errors import DecodeError, DropReason, IntegrityError
from node.esp.carrier import Hosts, unload
from node.esp.inner import IPV4_ADDRESSES, IPV4_HEADER, MAX_PACKET, Flow, addresses, flow, total_length
from node.esp.packet import (
    ESN_AAD,
    HEADER,
    HEADER_SIZE,
    NEXT_HEADER_IPV4,
    TRAILER_SIZE,
    trailers,
    unpad,
)
from node.esp.replay import LAST_SEQUENCE
from node.esp.sa import InboundSa, OutboundSa
from node.esp.sad import Sad
from node.model.message import Path

#: Version and header length of an IPv4 header without options.
_VERSION_4: Final = 0x45
_TRAILERS4: Final = trailers(NEXT_HEADER_IPV4)
#: Makes a named tuple without the function that it has for that.
_new = tuple.__new__


class Outgoing(NamedTuple):
    """An ESP packet to send on `path`. `spi` is the peer's, 4 octets; `sequence` has 64 bits where ESN is on.

    A named tuple, as are the other results: one is made per packet, and a frozen dataclass costs three
    times as much.
    """

    datagram: bytes
    path: Path
    spi: bytes
    sequence: int


class Incoming(NamedTuple):
    """An inner packet to deliver. `spi` is ours, 4 octets; `newest`: no greater number came before."""

    packet: bytes
    spi: bytes
    sequence: int
    newest: bool


class Refused(NamedTuple):
    """A packet was discarded; `detail` holds numbers and addresses, never octets of the packet as they
    came.
    """

    reason: DropReason
    detail: str


class TooLarge(NamedTuple):
    """An inner packet that does not fit the way of this SA; nothing has happened to it yet."""

    packet: bytes
    sa: OutboundSa


class Tunnel:
    """The data path over the SAs of `sad`. `wider` says what fits before a packet is found too large."""

    __slots__ = ("_candidates", "_found", "_inbound", "_sad", "wider")

    def __init__(self, sad: Sad) -> None:
        self._sad = sad
        self.wider: Callable[[OutboundSa], int] = lambda sa: sa.width
        self._inbound = sad.by_spi.get
        self._candidates = sad.spd.candidates
        self._found = sad.spd.remembered.get

    def encapsulate(self, packet: bytes) -> Outgoing | Refused | TooLarge:
        """Protect an inner IP packet with the newest SA whose selectors cover it."""
        size = len(packet)
        if size >= IPV4_HEADER and packet[0] == _VERSION_4 and packet[2] << 8 | packet[3] == size:
            found = self._found(packet[IPV4_ADDRESSES])
            if found and found[0].plain and size <= found[0].width and found[0].sequence < found[0].alarm:
                return self.protect(found[0], packet)
        return self._encapsulate(packet, size)

    def _encapsulate(self, packet: bytes, size: int) -> Outgoing | Refused | TooLarge:
        """The same of any packet."""
        try:
            if size > MAX_PACKET or total_length(packet) != size:
                return self._unfit(packet)
            sa = self.select(packet)
        except DecodeError as error:
            return self.refuse(error.reason, str(error))
        if sa is None:
            return self.refuse(DropReason.NO_SA, _describe(packet))
        if size > sa.width and size > self.wider(sa):
            return TooLarge(packet, sa)
        return self.number(sa, packet)

    def number(self, sa: OutboundSa, packet: bytes) -> Outgoing | Refused:
        """Protect an inner packet with this SA, if it may still send."""
        try:
            plain = sa.carry(packet, sa.width) if sa.carry is not None else None
        except DecodeError as error:
            return self.refuse(error.reason, str(error), sa)
        if sa.sequence >= sa.alarm and self._sad.near_limit(sa):
            return self.refuse(DropReason.ESP_SEQUENCE_EXHAUSTED, f"outbound SPI {sa.spi.hex()}", sa)
        return self.protect(sa, packet, plain)

    def dummy(self, sa: OutboundSa, plain: bytes) -> Outgoing | None:
        """An ESP packet with a plaintext that means nothing; None where the SA may not send any more."""
        if sa.sequence >= sa.alarm and self._sad.near_limit(sa):
            return None
        return self.protect(sa, b"", plain)

    def protect(self, sa: OutboundSa, packet: bytes, plain: bytes | None = None) -> Outgoing:
        """Make the next ESP packet of an SA that has been looked at (`OutboundSa.alarm`).

        `plain` is what stands for the packet inside, with its trailer, where that is not the packet itself.
        """
        size = len(packet)
        sequence = sa.sequence = sa.sequence + 1
        header = HEADER.pack(sa.spi_number, sequence & 0xFFFFFFFF)
        aad = ESN_AAD.pack(sa.spi_number, sequence) if sa.esn else header
        if plain is None:
            trailers = sa.trailers4 if packet[0] >> 4 == 4 else sa.trailers6
            plain = packet + trailers[-(size + 2) & sa.mask]
        blob = sa.seal(aad, plain)
        sa.octets += size
        return _new(Outgoing, (header + blob, sa.path, sa.spi, sequence))

    def decapsulate(self, datagram: bytes) -> Incoming | Refused:
        """Verify and decrypt an ESP packet, without IP and UDP headers, and check the inner packet."""
        size = len(datagram)
        if size < HEADER_SIZE:
            return self.refuse(DropReason.ESP_TRUNCATED, f"{size} octets")
        spi, sequence = HEADER.unpack_from(datagram)
        sa = self._inbound(spi)
        if sa is None:
            return self.refuse(DropReason.ESP_UNKNOWN_SPI, f"SPI {spi:08x}")
        if size < sa.min_size or (size - sa.min_size) & sa.mask:
            return self.refuse(DropReason.ESP_TRUNCATED, f"SPI {spi:08x}: {size} octets", sa)
        aad = datagram[:HEADER_SIZE]
        if sa.esn:
            sequence = sa.window.extend(sequence)
        # What is right of the window needs no look into it.
        if not sa.window.top < sequence <= LAST_SEQUENCE:
            reason = sa.window.check(sequence)
            if reason is not None:
                return self.refuse(reason, f"SPI {spi:08x}: sequence number {sequence}", sa)
        if sa.esn:
            aad = ESN_AAD.pack(spi, sequence)
        try:
            plain = sa.open(aad, datagram[HEADER_SIZE:])
        except IntegrityError:
            return self.refuse(DropReason.ESP_BAD_ICV, f"SPI {spi:08x}: sequence number {sequence}", sa)
        sa.window.mark(sequence)
        newest = sequence == sa.window.top
        end = len(plain) - TRAILER_SIZE - plain[-2]
        if (
            end >= IPV4_HEADER
            and plain[0] == _VERSION_4
            and plain[2] << 8 | plain[3] == end
            and plain[IPV4_ADDRESSES] == sa.accepted_addresses
            and plain.endswith(_TRAILERS4[plain[-2]])
            and sa.hosts is None
        ):
            sa.packets += 1
            sa.octets += end
            if newest:
                sa.newest = sequence
            return _new(Incoming, (plain[:end], sa.spi, sequence, newest))
        return self.accept(sa, sequence, plain, newest)

    def select(self, packet: bytes) -> OutboundSa | None:
        """The newest SA whose selectors cover a packet; its headers are enough.

        Raises DecodeError (INNER_MALFORMED).
        """
        found: Flow | None = None
        for sa in self._candidates(addresses(packet)):
            if sa.selectors.addresses_only:
                return sa
            found = found or flow(packet)
            if sa.selectors.covers_outbound(found):
                return sa
        return None

    def accept(self, sa: InboundSa, sequence: int, plain: bytes, newest: bool) -> Incoming | Refused:
        """Judge authenticated plaintext with its trailer: padding, next header, inner packet, selectors."""
        if sa.hosts is not None:
            return self._accept_payload(sa, sa.hosts, sequence, plain, newest)
        end = unpad(plain)
        if not isinstance(end, int):
            return self.refuse(end, f"SPI {sa.spi.hex()}: sequence number {sequence}", sa)
        packet = plain[:end]
        try:
            length = total_length(packet)
            if (packet[0] >> 4 == 4) != (plain[-1] == NEXT_HEADER_IPV4):
                detail = f"SPI {sa.spi.hex()}: next header {plain[-1]} holds IP version {packet[0] >> 4}"
                return self.refuse(DropReason.INNER_MALFORMED, detail, sa)
            if not admitted(sa, packet):
                detail = f"SPI {sa.spi.hex()}: {_describe(packet)}"
                return self.refuse(DropReason.INNER_SELECTOR_MISMATCH, detail, sa)
        except DecodeError as error:
            return self.refuse(error.reason, f"SPI {sa.spi.hex()}: {error}", sa)
        if length < end:
            packet = packet[:length]
        return _accepted(sa, sequence, packet, newest)

    def _accept_payload(
        self, sa: InboundSa, hosts: Hosts, sequence: int, plain: bytes, newest: bool
    ) -> Incoming | Refused:
        """The same of transport mode: the packet is made again, between the two hosts of the SA."""
        packet = unload(plain, hosts)
        if isinstance(packet, DropReason):
            return self.refuse(packet, f"SPI {sa.spi.hex()}: sequence number {sequence}", sa)
        try:
            if not admitted(sa, packet):
                detail = f"SPI {sa.spi.hex()}: {_describe(packet)}, protocol {plain[-1]}"
                return self.refuse(DropReason.INNER_SELECTOR_MISMATCH, detail, sa)
        except DecodeError as error:
            return self.refuse(error.reason, f"SPI {sa.spi.hex()}: {error}", sa)
        return _accepted(sa, sequence, packet, newest)

    def _unfit(self, packet: bytes) -> Refused:
        if len(packet) > MAX_PACKET:
            return self.refuse(DropReason.OVERSIZED, f"inner packet of {len(packet)} octets")
        detail = f"{len(packet)} octets, but its header says {total_length(packet)}"
        return self.refuse(DropReason.INNER_MALFORMED, detail)

    def refuse(self, reason: DropReason, detail: str, sa: InboundSa | OutboundSa | None = None) -> Refused:
        """Count a refusal."""
        self._sad.count(reason, sa)
        return Refused(reason, detail)


def _accepted(sa: InboundSa, sequence: int, packet: bytes, newest: bool) -> Incoming:
    sa.packets += 1
    sa.octets += len(packet)
    if newest:
        sa.newest = sequence
    return _new(Incoming, (packet, sa.spi, sequence, newest))


def admitted(sa: InboundSa, packet: bytes) -> bool:
    """Whether the SA's selectors cover the packet; remembers its addresses where they alone decide.

    Raises DecodeError (INNER_MALFORMED).
    """
    if addresses(packet) == sa.accepted_addresses:
        return True
    if not sa.selectors.covers_inbound(flow(packet)):
        return False
    if sa.selectors.addresses_only:
        sa.accepted_addresses = addresses(packet)
    return True


def _describe(packet: bytes) -> str:
    pair = addresses(packet)
    half = len(pair) // 2
    return f"inner packet from {ip_address(pair[:half])} to {ip_address(pair[half:])}"
