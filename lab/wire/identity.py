"""What a datagram is, read from its cleartext header alone: no keys, no decoding of what is behind it.

    IKE    exchange, request or response, message ID, both SPIs (RFC 7296 3.1)
    ESP    SPI and sequence number (RFC 4303 2)
    else   a keepalive (RFC 3948 2.3), or too short to be anything

One function for each profile; neither raises, whatever the octets are. What begins like an IKE message and
has no readable header is IKE without an exchange.
"""

import struct
from dataclasses import dataclass
from enum import StrEnum

from lab.wire import der

#: Exchange types of the registry "IKEv2 Parameters" that travel over UDP between two parties.
EXCHANGES = {
    34: "IKE_SA_INIT",
    35: "IKE_AUTH",
    36: "CREATE_CHILD_SA",
    37: "INFORMATIONAL",
    38: "IKE_SESSION_RESUME",
    43: "IKE_INTERMEDIATE",
    44: "IKE_FOLLOWUP_KE",
}
IKE_SA_INIT = 34

#: The response flag of RFC 7296 3.1.
RESPONSE = 0x20
#: What stands before an IKE message on port 4500 (RFC 3948 2.2).
MARKER = bytes(4)
#: Octets of the binary header (RFC 7296 3.1): SPIs, next payload, version, exchange, flags, ID, length.
HEADER = struct.Struct(">QQBBBBII")

_LEAST_OCTETS = 4
_ESP = struct.Struct(">II")
_IKE_PORT, _NAT_PORT = 500, 4500
_MAJOR_VERSION = 2


class Kind(StrEnum):
    """What a datagram carries."""

    IKE = "IKE"
    ESP = "ESP"
    KEEPALIVE = "keepalive"


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of a datagram. Numbers that it does not have, or that cannot be read, are None."""

    kind: Kind
    exchange: int | None = None
    response: bool = False
    message_id: int | None = None
    spi_i: int = 0
    spi_r: int = 0
    spi: int | None = None
    sequence: int | None = None

    def __str__(self) -> str:
        """Text that is a pattern, too: `IKE_AUTH request 1`, `ESP spi 0xc1a2b3c4 sequence 7`."""
        if self.exchange is not None:
            name = EXCHANGES.get(self.exchange, f"exchange {self.exchange}")
            return f"{name} {'response' if self.response else 'request'} {self.message_id}"
        if self.spi is None:
            return str(self.kind)
        return f"ESP spi 0x{self.spi:08x}" + ("" if self.sequence is None else f" sequence {self.sequence}")

    @property
    def opens(self) -> bool:
        """Whether it is an IKE_SA_INIT request."""
        return self.exchange == IKE_SA_INIT and not self.response


_UNREADABLE, _KEEPALIVE = Identity(Kind.IKE), Identity(Kind.KEEPALIVE)


def read_asn1(octets: bytes, port: int) -> Identity:
    """Read a datagram of docs/ipseclab.asn1: the one port carries it all, and 0x30 begins a message."""
    if len(octets) < _LEAST_OCTETS:
        return _KEEPALIVE
    if octets[0] != der.SEQUENCE:
        return _esp(octets)
    numbers = _asn1_header(octets)
    if numbers is None:
        return _UNREADABLE
    spi_i, spi_r, _, _, exchange, flags, message_id, _ = numbers
    return Identity(Kind.IKE, exchange, bool(flags & RESPONSE), message_id, spi_i, spi_r)


def _asn1_header(octets: bytes) -> list[int] | None:
    """The eight numbers of an IKEHeader, in its order."""
    outer = der.element(octets, 0)
    header = der.element(octets, outer[1]) if outer else None
    if header is None or header[0] != der.SEQUENCE or header[2] > len(octets):
        return None
    fields = der.elements(octets, header[1], header[2])
    if fields is None or [f[0] for f in fields] != list(range(0x80, 0x88)):
        return None
    numbers = [int.from_bytes(octets[start:end]) for _, _, start, end in fields]
    spi_i, spi_r, *small = numbers
    if max(spi_i, spi_r) >= 1 << 64 or max(small) >= 1 << 32:
        return None
    return numbers


def read_rfc7296(octets: bytes, port: int) -> Identity:
    """Read a datagram of RFC 7296 and RFC 3948.

    Port 500 carries IKE alone, on port 4500 a marker of four zero octets stands before it. On other ports
    what has no marker is IKE where its header fits it, and ESP elsewhere.
    """
    if len(octets) < _LEAST_OCTETS:
        return _KEEPALIVE
    if port == _IKE_PORT:
        return _binary(octets)
    if octets.startswith(MARKER):
        return _binary(octets[len(MARKER) :])
    if port != _NAT_PORT and looks_like_ike(octets):
        return _binary(octets)
    return _esp(octets)


def marker(port: int) -> bytes:
    """What stands before an IKE message on a port of RFC 7296: nothing on 500, the marker on all others."""
    return b"" if port == _IKE_PORT else MARKER


def looks_like_ike(octets: bytes) -> bool:
    """Whether version and length are those of an IKE message without a marker."""
    if len(octets) < HEADER.size:
        return False
    version, length = octets[17], int.from_bytes(octets[24:28])
    return version >> 4 == _MAJOR_VERSION and length == len(octets)


def _binary(octets: bytes) -> Identity:
    if len(octets) < HEADER.size:
        return _UNREADABLE
    spi_i, spi_r, _, _, exchange, flags, message_id, _ = HEADER.unpack_from(octets)
    return Identity(Kind.IKE, exchange, bool(flags & RESPONSE), message_id, spi_i, spi_r)


def _esp(octets: bytes) -> Identity:
    if len(octets) < _ESP.size:
        return Identity(Kind.ESP, spi=int.from_bytes(octets[:4]))
    spi, sequence = _ESP.unpack_from(octets)
    return Identity(Kind.ESP, spi=spi, sequence=sequence)
