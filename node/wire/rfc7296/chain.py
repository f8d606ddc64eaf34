"""A run of payloads: each with a generic header that says its length and the type of the next (RFC 7296 3.2).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    | Next Payload  |C|  RESERVED   |         Payload Length        |
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+

Reserved bits are ignored, and so is the critical bit of a payload that we know (RFC 7296 3.2); what was
signed is octets, so neither is lost on AUTH.
"""

import struct
from collections.abc import Sequence

from node.errors import DecodeError, DropReason
from node.model.message import Glance
from node.model.payloads import Payload, Unknown
from node.model.registry import PayloadType
from node.wire.rfc7296 import payloads
from node.wire.rfc7296.limits import MAX_PAYLOADS
from node.wire.rfc7296.misfit import Misfit

GENERIC = struct.Struct(">BBH")
CRITICAL = 0x80
#: The largest payload, with its header.
MAX_PAYLOAD = 0xFFFF

#: A payload: its type, whether it is critical, its body.
Part = tuple[int, bool, bytes]


def split(first: int, octets: bytes, at: int = 0) -> list[Part]:
    """The payloads that stand from `at` on, of which the first has type `first`, to the very end.

    Raises DecodeError.
    """
    parts: list[Part] = []
    kind, end = first, len(octets)
    while kind:
        if end - at < GENERIC.size:
            raise _malformed(len(parts), at, "ends in its header")
        following, bits, size = GENERIC.unpack_from(octets, at)
        if not GENERIC.size <= size <= end - at:
            raise _malformed(len(parts), at, f"a length of {size} octets with {end - at} left")
        if kind in payloads.FRAMES:
            raise _malformed(len(parts), at, f"{PayloadType(kind)} among other payloads")
        if len(parts) == MAX_PAYLOADS:
            raise _malformed(len(parts), at, f"more than {MAX_PAYLOADS} of them")
        parts.append((kind, bits >= CRITICAL, octets[at + GENERIC.size : at + size]))
        at += size
        kind = following
    if at != end:
        raise _malformed(len(parts), at, f"{end - at} octets behind the last payload")
    return parts


def read(first: int, octets: bytes, at: int = 0) -> tuple[tuple[Payload, ...], tuple[bytes, ...]]:
    """The payloads from `at` on, and their bodies. Raises DecodeError."""
    parts = split(first, octets, at)
    return tuple([payloads.read(*part) for part in parts]), tuple([body for _, _, body in parts])


def glance(first: int, octets: bytes, at: int) -> Glance:
    """Nonce and cookie, whatever the other payloads hold. Raises DecodeError."""
    parts = split(first, octets, at)
    nonce = next((body for kind, _, body in parts if kind == PayloadType.NONCE), b"")
    shown = payloads.cookie(parts[0][2]) if first == PayloadType.NOTIFY else b""
    return Glance(nonce, shown)


def write(items: Sequence[Payload]) -> tuple[int, bytes]:
    """The type of the first payload, and the octets of them all. Raises Misfit."""
    if len(items) > MAX_PAYLOADS:
        raise Misfit("message", f"more than {MAX_PAYLOADS} payloads")
    following: int = PayloadType.NONE
    written = []
    for item in reversed(items):
        body = payloads.write(item)
        size = GENERIC.size + len(body)
        if size > MAX_PAYLOAD:
            raise Misfit(str(item.type), f"{size} octets, a payload has {MAX_PAYLOAD} at most")
        critical = CRITICAL if isinstance(item, Unknown) and item.critical else 0
        written.append(GENERIC.pack(following, critical, size) + body)
        following = item.type
    return following, b"".join(reversed(written))


def _malformed(index: int, at: int, detail: str) -> DecodeError:
    return DecodeError(DropReason.MALFORMED, f"payloads[{index}]", detail, at)
