"""The octets of an ESP packet (RFC 4303 2), of its plaintext in tunnel mode.

    SPI (4) | sequence number (4) | IV | ciphertext of (inner packet | padding | pad length | next header) |
    ICV

Rules:

1. Padding is 1, 2, 3, ... and the least that aligns; a receiver refuses any other content (RFC 4303 2.4).
2. Nothing of the plaintext is looked at before the ICV has passed.
3. No keys, counters or policy here.
"""

import struct
from typing import Final

from node.errors import DropReason, LocalMisuse
from node.ports import Sealer

#: SPI and sequence number: the octets before the IV, and the AAD of an SA without ESN.
HEADER: Final = struct.Struct("!II")
HEADER_SIZE: Final = 8

#: AAD of an SA with ESN: SPI and the 64-bit sequence number (RFC 4106 5, RFC 7634 2.1).
ESN_AAD: Final = struct.Struct("!IQ")

#: Pad length and next header.
TRAILER_SIZE: Final = 2

#: The ciphertext ends on a 4-octet boundary whatever the cipher (RFC 4303 2.4).
ALIGNMENT: Final = 4

#: No transform here has a larger block.
MAX_BLOCK: Final = 16

#: Octets that a packet is longer than the inner one at most: header, IV, padding and its trailer, ICV.
MAX_OVERHEAD: Final = HEADER_SIZE + 16 + 15 + TRAILER_SIZE + 32

#: What one send of many packets may hold (UDP_SEGMENT): the kernel's limit of datagrams, IPv4's of octets.
MAX_DATAGRAMS: Final = 64
MAX_OCTETS: Final = 65_507

#: Next header values (RFC 4303 2.6).
NEXT_HEADER_IPV4: Final = 4
NEXT_HEADER_IPV6: Final = 41
NEXT_HEADER_NONE: Final = 59

#: SPIs 1 to 255 are reserved and 0 is never sent on the wire (RFC 4303 2.1).
MIN_SPI: Final = 256

#: The whole trailer for every pad length (padding, pad length, next header), by the next headers we take.
_TRAILERS: Final = {
    next_header: tuple(bytes(range(1, n + 1)) + bytes((n, next_header)) for n in range(256))
    for next_header in (NEXT_HEADER_IPV4, NEXT_HEADER_IPV6)
}


def alignment(block: int) -> int:
    """Octets that padded plaintext is a multiple of. Raises LocalMisuse for a block that is no power of two
    up to 16.
    """
    if block not in (1, 2, 4, 8, MAX_BLOCK):
        raise LocalMisuse(f"cipher block of {block} octets")
    return max(ALIGNMENT, block)


def trailers(next_header: int) -> tuple[bytes, ...]:
    """The trailers for pad lengths 0 to 255. Next header is 4 or 41."""
    return _TRAILERS[next_header]


def trailer(plain_len: int, align: int, next_header: int) -> bytes:
    """The shortest trailer that aligns `plain_len` octets to `align` (a power of two)."""
    padding = -(plain_len + TRAILER_SIZE) & (align - 1)
    known = _TRAILERS.get(next_header)
    return known[padding] if known else bytes((*range(1, padding + 1), padding, next_header))


def min_size(sealer: Sealer) -> int:
    """Octets of the shortest packet that can be an ESP packet of this SA."""
    return HEADER_SIZE + sealer.iv_size + alignment(sealer.block) + sealer.icv_size


def overhead(sealer: Sealer, plain_len: int) -> int:
    """Octets that encapsulating `plain_len` octets adds, without outer IP and UDP headers."""
    padded = plain_len + len(trailer(plain_len, alignment(sealer.block), NEXT_HEADER_IPV4))
    return HEADER_SIZE + sealer.sealed_len(padded) - plain_len


def unpad(plain: bytes) -> int | DropReason:
    """Octets of the payload in authenticated plaintext, or why it is refused.

    A dummy packet (next header 59) need not be well-formed (RFC 4303 2.6).
    """
    if len(plain) < TRAILER_SIZE:
        return DropReason.ESP_BAD_PADDING
    padding, next_header = plain[-2], plain[-1]
    known = _TRAILERS.get(next_header)
    if known is None:
        dummy = next_header == NEXT_HEADER_NONE
        return DropReason.ESP_DUMMY if dummy else DropReason.ESP_BAD_NEXT_HEADER
    if not plain.endswith(known[padding]):
        return DropReason.ESP_BAD_PADDING
    return len(plain) - TRAILER_SIZE - padding
