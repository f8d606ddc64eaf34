"""The IKE header (RFC 7296 3.1).

 0                   1                   2                   3
 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|                 IKE SA Initiator's SPI (8 octets)             |
|                 IKE SA Responder's SPI (8 octets)             |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
|  Next Payload | MjVer | MnVer | Exchange Type |     Flags     |
|                          Message ID                           |
|                            Length                             |
+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
"""

import struct

from node.errors import DecodeError, DropReason
from node.model.message import SPI_SIZE, Header
from node.model.registry import ExchangeType
from node.wire.rfc7296.misfit import Misfit

_HEADER = struct.Struct(">8s8sBBBBII")
HEADER_SIZE = _HEADER.size
#: Where the header says the type of the first payload.
_NEXT_PAYLOAD = 2 * SPI_SIZE


def read(datagram: bytes) -> Header:
    """The header of a datagram that is one message. Raises DecodeError.

    Flags and versions that nobody defined are kept; what they mean is for others to judge.
    """
    if len(datagram) < HEADER_SIZE:
        raise DecodeError(DropReason.TRUNCATED, "header", f"{len(datagram)} octets instead of {HEADER_SIZE}")
    spi_i, spi_r, _, version, exchange, flags, message_id, length = _HEADER.unpack_from(datagram)
    if length != len(datagram):
        reason = DropReason.TRUNCATED if length > len(datagram) else DropReason.MALFORMED
        raise DecodeError(reason, "header/length", f"{length}, in a datagram of {len(datagram)} octets")
    return Header(spi_i, spi_r, ExchangeType.of(exchange), message_id, flags, version)


def next_payload(octets: bytes) -> int:
    """The type of the first payload, in octets that `read` has passed."""
    return octets[_NEXT_PAYLOAD]


def write(header: Header, first: int, size: int) -> bytes:
    """The header of a message whose first payload is of type `first`, with `size` octets behind the header.

    Raises Misfit.
    """
    if not len(header.spi_i) == len(header.spi_r) == SPI_SIZE:
        raise Misfit("header", f"an SPI that is not of {SPI_SIZE} octets")
    length = HEADER_SIZE + size
    fields = (first, header.version, header.exchange, header.flags, header.message_id, length)
    try:
        return _HEADER.pack(header.spi_i, header.spi_r, *fields)
    except struct.error as error:
        raise Misfit("header", str(error)) from error
