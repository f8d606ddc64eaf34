"""struct virtio_net_hdr, which a TUN device with IFF_VNET_HDR puts in front of a packet (virtio 1.2, 5.1.6).

    flags (1) | gso_type (1) | hdr_len (2) | gso_size (2) | csum_start (2) | csum_offset (2), host byte order

It says what is still to be done: a checksum to finish, a packet to be cut into segments. `hdr_len` is a hint,
and is not believed.
"""

import struct
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from node.errors import DecodeError, DropReason

_HEADER: Final = struct.Struct("=BBHHHH")
VNET_SIZE: Final = _HEADER.size
#: What a packet that is complete has in front.
NOTHING_TO_DO: Final = bytes(VNET_SIZE)


class Flag(IntFlag):
    """What is said about the checksum."""

    NEEDS_CSUM = 1
    DATA_VALID = 2


class Gso(IntEnum):
    """Of what kind the segments are."""

    NONE = 0
    TCPV4 = 1
    TCPV6 = 4
    UDP_L4 = 5


# An enumeration takes ten times as long to tell.
_KINDS: Final = {int(kind): kind for kind in Gso}
_NEEDS_CSUM: Final = int(Flag.NEEDS_CSUM)

#: Set in addition where the segments carry ECN's CWR, which we treat as it is treated without.
_ECN: Final = 0x80


class Offload(NamedTuple):
    """What is left to do with a packet: the segments' kind and octets of data, where the checksum covers from
    and where it stands after that (both 0 where it is finished).
    """

    needs_checksum: bool
    gso: Gso
    segment: int = 0
    start: int = 0
    offset: int = 0


COMPLETE: Final = Offload(False, Gso.NONE)


def read(octets: bytes | bytearray | memoryview) -> Offload:
    """What the header in front of a packet says. Raises DecodeError (INNER_MALFORMED) for kinds that were not
    asked for, and where the octets are too few.
    """
    if len(octets) < VNET_SIZE:
        raise DecodeError(DropReason.INNER_MALFORMED, "vnet", f"{len(octets)} octets")
    flags, kind, _, segment, start, offset = _HEADER.unpack_from(octets)
    if not flags and not kind:
        return COMPLETE
    gso = _KINDS.get(kind & ~_ECN)
    if gso is None:
        raise DecodeError(DropReason.INNER_MALFORMED, "vnet", f"segments of kind {kind}")
    return Offload(bool(flags & _NEEDS_CSUM), gso, segment, start, offset)


def pack(offload: Offload, header: int) -> bytes:
    """The header in front of a packet whose own headers take `header` octets."""
    flags = Flag.NEEDS_CSUM if offload.needs_checksum else 0
    return _HEADER.pack(flags, offload.gso, header, offload.segment, offload.start, offload.offset)
