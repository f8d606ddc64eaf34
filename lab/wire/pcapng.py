"""pcapng files, written and read: sections, interfaces, packets with comments, secrets.

    block   type (4) | total length (4) | body, padded to 4 | total length (4)      little-endian
    option  code (2) | length (2) | value, padded to 4

IETF draft-ietf-opsawg-pcapng. Times are nanoseconds of the epoch (if_tsresol 9). Every packet is on its way
to the disk when `packet` returns: whoever captures may be killed at any moment.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

#: Link types (LINKTYPE_): a raw IPv4 or IPv6 packet, or an Ethernet frame.
LINK_ETHERNET, LINK_RAW = 1, 101
#: Wireshark's secrets type for lines of its table `esp_sa`: version 5.0 reads it, older ones pass over it.
SECRETS_ESP = 0x45535053

_SECTION, _INTERFACE, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 6, 0x0A
_BYTE_ORDER = 0x1A2B3C4D
_NO_LENGTH = 0xFFFFFFFFFFFFFFFF
# Options: end, comment, shb_userappl, if_name, if_tsresol.
_END, _COMMENT, _APPLICATION, _NAME, _RESOLUTION = 0, 1, 4, 2, 9
_NANOSECONDS = 9
#: Octets of a block around its body.
_AROUND = 12
#: A block is never longer than a packet with its comment; what claims to be is no capture of ours.
_MAX_BLOCK = 1 << 20
_APPLICATION_NAME = "ipseclab"


class CaptureError(Exception):
    """Octets that are no capture of ours."""


@dataclass(frozen=True, slots=True)
class Interface:
    """Where packets were taken: its name is the vantage point."""

    name: str
    link: int


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: nanoseconds of the epoch, index of the interface, octets from the link layer on."""

    moment_ns: int
    octets: bytes = field(repr=False)
    interface: int = 0
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Capture:
    """A whole file. `secrets` are (type, data)."""

    comment: str
    interfaces: tuple[Interface, ...]
    packets: tuple[Packet, ...]
    secrets: tuple[tuple[int, bytes], ...] = ()


class Writer:
    """Writes one section to a stream: section and interfaces at once, secrets and packets as they come."""

    def __init__(
        self, stream: BinaryIO, interfaces: Sequence[Interface], comment: str = "", *, begun: bool = False
    ) -> None:
        """`begun`: the stream stands behind section, interfaces and what followed them (see `resume`)."""
        self._stream = stream
        if not begun:
            stream.write(_header(interfaces, comment))
            stream.flush()

    def packet(self, packet: Packet) -> None:
        """Append a packet; it is on its way to the disk when this returns."""
        self._stream.write(_packet(packet))
        self._stream.flush()

    def secrets(self, kind: int, data: bytes) -> None:
        """Append a secrets block; readers want it before the packets that it opens."""
        self._stream.write(_block(_SECRETS, struct.pack("<II", kind, len(data)) + _padded(data)))
        self._stream.flush()


def resume(stream: BinaryIO, interfaces: Sequence[Interface], comment: str = "") -> Writer:
    """Go on with what the same writer began in a stream that can be read; begin it where there is nothing.

    A last block that is cut off gives way. Raises CaptureError, and changes nothing, where the stream holds
    another capture.
    """
    header = _header(interfaces, comment)
    stream.seek(0)
    found = stream.read(len(header))
    if not header.startswith(found):
        raise CaptureError("another capture: it begins otherwise")
    end = 0
    if found == header:
        end = len(header)
        for kind, body in _blocks(stream):
            if kind == _SECTION:
                raise CaptureError("not one section: no pcapng file of ours")
            end += len(body) + _AROUND
    stream.seek(end)
    stream.truncate()
    return Writer(stream, interfaces, comment, begun=end > 0)


def write(stream: BinaryIO, capture: Capture) -> None:
    """Write a whole file, secrets before packets."""
    writer = Writer(stream, capture.interfaces, capture.comment)
    for kind, data in capture.secrets:
        writer.secrets(kind, data)
    for packet in capture.packets:
        writer.packet(packet)


def read(octets: bytes) -> Capture:
    """Read a file of one section as written here. Raises CaptureError for anything else.

    A last block that is cut off is left out: its writer was killed.
    """
    found = _Found()
    for number, (kind, body) in enumerate(_blocks(io.BytesIO(octets))):
        if (kind == _SECTION) != (number == 0):
            raise CaptureError("not one section: no pcapng file of ours")
        try:
            found.add(kind, body)
        except struct.error as error:
            raise CaptureError(f"a block of type {kind} is too short") from error
    if not found.sections:
        raise CaptureError("no section header: no pcapng file")
    return Capture(found.comment, tuple(found.interfaces), tuple(found.packets), tuple(found.secrets))


@dataclass(slots=True)
class _Found:
    """What was read so far. Blocks of other kinds are passed over, as the format asks."""

    sections: int = 0
    comment: str = ""
    interfaces: list[Interface] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    secrets: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, kind: int, body: bytes) -> None:
        """Take in one block. Raises struct.error or CaptureError."""
        if kind == _SECTION:
            self.sections += 1
            self.comment = _options(body[16:]).get(_COMMENT, b"").decode("utf-8", "replace")
        elif kind == _INTERFACE:
            name = _options(body[8:]).get(_NAME, b"").decode("utf-8", "replace")
            self.interfaces.append(Interface(name, struct.unpack_from("<H", body)[0]))
        elif kind == _PACKET:
            self.packets.append(_read_packet(body, len(self.interfaces)))
        elif kind == _SECRETS:
            secret, length = struct.unpack_from("<II", body)
            self.secrets.append((secret, _exactly(body, 8, length)))


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _text(code: int, text: str) -> bytes:
    # An option's length has two octets; half a character at the cut is left out.
    cut = text.encode("utf-8", "replace")[:65_000].decode("utf-8", "ignore")
    return _option(code, cut.encode("utf-8")) if text else b""


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + _AROUND)
    return struct.pack("<I", kind) + length + body + length


def _section(comment: str) -> bytes:
    options = _text(_COMMENT, comment) + _text(_APPLICATION, _APPLICATION_NAME) + _option(_END, b"")
    return _block(_SECTION, struct.pack("<IHHQ", _BYTE_ORDER, 1, 0, _NO_LENGTH) + options)


def _header(interfaces: Sequence[Interface], comment: str) -> bytes:
    return _section(comment) + b"".join(map(_interface, interfaces))


def _interface(interface: Interface) -> bytes:
    options = _text(_NAME, interface.name) + _option(_RESOLUTION, bytes([_NANOSECONDS])) + _option(_END, b"")
    return _block(_INTERFACE, struct.pack("<HHI", interface.link, 0, 0) + options)


def _packet(packet: Packet) -> bytes:
    high, low = divmod(packet.moment_ns, 1 << 32)
    size = len(packet.octets)
    options = _text(_COMMENT, packet.comment) + _option(_END, b"") if packet.comment else b""
    return _block(
        _PACKET,
        struct.pack("<IIIII", packet.interface, high, low, size, size) + _padded(packet.octets) + options,
    )


def _read_packet(body: bytes, interfaces: int) -> Packet:
    interface, high, low, size, _ = struct.unpack_from("<IIIII", body)
    if interface >= interfaces:
        raise CaptureError(f"a packet of interface {interface}, and there are {interfaces}")
    octets = _exactly(body, 20, size)
    comment = _options(body[20 + len(_padded(octets)) :]).get(_COMMENT, b"").decode("utf-8", "replace")
    return Packet((high << 32) + low, octets, interface, comment)


def _exactly(body: bytes, start: int, size: int) -> bytes:
    if start + size > len(body):
        raise CaptureError(f"{size} octets do not fit in their block")
    return body[start : start + size]


def _options(octets: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(octets):
        code, size = struct.unpack_from("<HH", octets, at)
        if code == _END:
            break
        found.setdefault(code, _exactly(octets, at + 4, size))
        at += 4 + size + -size % 4
    return found


def _blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Types and bodies of the blocks that follow, the last one only if it is whole. Raises CaptureError."""
    while len(start := stream.read(8)) == 8:
        kind, length = struct.unpack("<II", start)
        if length < _AROUND or length % 4 or length > _MAX_BLOCK:
            at = stream.tell() - 8
            raise CaptureError(f"a block of {length} octets at {at}: not a little-endian pcapng file")
        rest = stream.read(length - 8)
        if len(rest) < length - 8:
            return
        if rest[-4:] != start[4:]:
            at = stream.tell() - length
            raise CaptureError(f"the block at {at} ends with another length than it begins with")
        yield kind, rest[:-4]
