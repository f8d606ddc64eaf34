"""Messages in the stages of their reading: cleartext envelope, then authenticated message.

Rules:

1. A parsed message travels with its exact octets; signatures and hashes read only octets, never a
   re-encoding.
2. The type says the stage: an `Envelope` is not authenticated and enough to route; a `Message` is what was
   opened.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from node.model.payloads import Payload
from node.model.registry import ExchangeType
from node.model.selectors import IPAddress

#: Major version 2, minor version 0, as the header's octet (RFC 7296 3.1).
IKE_VERSION = 0x20

#: Octets of an IKE SPI (RFC 7296 3.1).
SPI_SIZE = 8
NO_SPI = bytes(SPI_SIZE)

#: Hosts whose address is remembered; each comes eight times in a handshake.
MAX_REMEMBERED = 128


class HeaderFlags:
    """Bits of the header's flags octet (RFC 7296 3.1). Other bits are ignored on receipt and survive."""

    INITIATOR: Final = 0x08
    VERSION: Final = 0x10
    RESPONSE: Final = 0x20


@dataclass(frozen=True, slots=True)
class Header:
    """The IKE header without the fields that only serve framing (RFC 7296 3.1)."""

    spi_i: bytes
    spi_r: bytes
    exchange: ExchangeType
    message_id: int
    flags: int
    version: int = IKE_VERSION

    @property
    def is_response(self) -> bool:
        """The R bit: this message answers the request of the same message ID."""
        return bool(self.flags & HeaderFlags.RESPONSE)

    @property
    def from_original_initiator(self) -> bool:
        """The I bit: sent by the original initiator of the IKE SA; it decides key direction."""
        return bool(self.flags & HeaderFlags.INITIATOR)

    @property
    def major_version(self) -> int:
        """The major version, 2 for IKEv2."""
        return self.version >> 4


@lru_cache(MAX_REMEMBERED)
def outer_address(host: str) -> IPAddress:
    """The address of a path's host; that of its interface, as in `fe80::1%eth0`, is left out."""
    return ip_address(host.partition("%")[0])


def host_port(host: str, port: int) -> str:
    """`192.0.2.1:500`, of IPv6 `[2001:db8::1]:500` (RFC 5952 6)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Path:
    """Where a datagram came from or goes to: our address and port, the peer's address and port.

    `carries_esp` is false on a port for IKE alone (RFC 7296 2.23: port 500).
    """

    local_host: str
    local_port: int
    peer_host: str
    peer_port: int
    carries_esp: bool = True

    @property
    def peer(self) -> str:
        """The peer's address and port, as `host_port` writes them."""
        return host_port(self.peer_host, self.peer_port)

    def __str__(self) -> str:
        return f"{self.local_host}[{self.local_port}]...{self.peer_host}[{self.peer_port}]"


@dataclass(frozen=True, slots=True)
class Envelope:
    """Stage 1: the header only, unauthenticated, enough to route. `octets` is exactly the message."""

    header: Header
    octets: bytes
    protected: bool


@dataclass(frozen=True, slots=True)
class Glance:
    """What a cookie is checked with (RFC 7296 2.6), read before anything else of a cleartext request is.

    `nonce` is empty where there is none, `cookie` where N(COOKIE) is not the first payload.
    """

    nonce: bytes
    cookie: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """Stage 2: the payloads as sent.

    `bodies[i]` are the raw body octets of `payloads[i]` (the MACed ID is computed over them), `octets` the
    whole message (empty when it was reassembled from fragments), `inner` the plaintext of the protected part.
    `pieces` are the octets of each datagram of a message that came in fragments.
    """

    header: Header
    payloads: tuple[Payload, ...]
    bodies: tuple[bytes, ...]
    octets: bytes
    inner: bytes = field(default=b"", repr=False)
    protected: bool = False
    pieces: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fragment:
    """An authenticated fragment (RFC 7383), not yet meaningful: number 1 to total."""

    header: Header
    number: int
    total: int
    first_payload: int
    inner: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sealed:
    """What goes out: the datagrams, and the logical message (equals datagrams[0].

    Empty if it was fragmented).
    """

    datagrams: tuple[bytes, ...]
    octets: bytes
