"""Which datagram is whose, on a UDP port of a profile.

    profile    port              an IKE datagram begins with                     our ESP SPIs never begin with
    asn1       the one (8000)    0x30, a DER SEQUENCE, which is the message      0x30
    rfc7296    IKE's (500)       anything: there is no ESP, and no keepalive
               for both (4500)   the non-ESP marker, then it (RFC 3948 2.2)      0x00

Nothing else is looked at, so that a classic BPF program can decide the same.
"""

from dataclasses import dataclass
from enum import StrEnum

#: Shorter datagrams are no IKE message and no ESP packet (RFC 3948 2.2, 2.3).
LEAST_OCTETS = 4
#: The NAT keepalive (RFC 3948 2.3).
KEEPALIVE = b"\xff"
#: In front of an IKE message where an ESP packet has its SPI, which is never zero (RFC 3948 2.2).
NON_ESP_MARKER = bytes(4)


class Steer(StrEnum):
    """Where a datagram goes."""

    KEEPALIVE = "keepalive"
    TRUNCATED = "truncated"
    IKE = "ike"
    ESP = "esp"


@dataclass(frozen=True, slots=True)
class Port:
    """What may come on a port.

    An IKE datagram begins with `first`, of at most `LEAST_OCTETS` octets (empty: there is nothing else);
    `marker` are those octets of it that only the transport knows of: no part of the message.
    """

    first: bytes
    marker: bytes = b""

    @property
    def carries_esp(self) -> bool:
        """Whether ESP shares the port with IKE."""
        return bool(self.first)

    def steer(self, datagram: bytes) -> Steer:
        """Decide by length and first octets."""
        if len(datagram) < LEAST_OCTETS:
            return Steer.KEEPALIVE if datagram == KEEPALIVE and self.carries_esp else Steer.TRUNCATED
        return Steer.IKE if datagram.startswith(self.first) else Steer.ESP

    def message(self, datagram: bytes) -> bytes:
        """The message in a datagram that was steered to IKE."""
        return datagram[len(self.marker) :]

    def datagram(self, message: bytes) -> bytes:
        """The datagram of a message."""
        return self.marker + message


#: Port 500 of RFC 7296: IKE messages as they are.
IKE_ALONE = Port(b"")
