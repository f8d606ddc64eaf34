"""Which datagram is whose, on the one UDP port of the profile.

An IKE message of the profile begins with 0x30 (a DER SEQUENCE); our inbound ESP SPIs never do. Nothing
else is looked at, so that a classic BPF program can decide the same.
"""

from enum import StrEnum

from node.wire.asn1.codec import IKE_FIRST_OCTET

#: Shorter datagrams are no IKE message and no ESP packet (RFC 3948 2.2, 2.3).
LEAST_OCTETS = 4
#: The NAT keepalive (RFC 3948 2.3).
KEEPALIVE = b"\xff"


class Steer(StrEnum):
    """Where a datagram goes."""

    KEEPALIVE = "keepalive"
    TRUNCATED = "truncated"
    IKE = "ike"
    ESP = "esp"


def steer(datagram: bytes) -> Steer:
    """Decide by length and first octet."""
    if len(datagram) < LEAST_OCTETS:
        return Steer.KEEPALIVE if datagram == KEEPALIVE else Steer.TRUNCATED
    return Steer.IKE if datagram[0] == IKE_FIRST_OCTET else Steer.ESP
