"""What the outer header tells of the inner one, and the inner one hears of the outer: DSCP and ECN.

    outgoing    the outer octet is the inner one's: DSCP, where it is to be copied (RFC 4301 5.1.2.1), ECN
                always, in normal mode (RFC 6040 4.1)
    incoming    the inner DSCP stays, or is the outer one, where that is to be copied (RFC 2983 3);
                ECN by this table (RFC 6040 4.2), outer codepoint across:

                            Not-ECT    ECT(0)     ECT(1)     CE
                 Not-ECT    Not-ECT    Not-ECT    Not-ECT    drop
                 ECT(0)     ECT(0)     ECT(0)     ECT(1)     CE
                 ECT(1)     ECT(1)     ECT(1)     ECT(1)     CE
                 CE         CE         CE         CE         CE

Where the outer codepoint is Not-ECT or ECT(0), nothing of the inner one changes.

Packets are such that `inner.total_length` accepted.
"""

from enum import StrEnum
from typing import Final

NOT_ECT, ECT_1, ECT_0, CE = range(4)
ECN: Final = 3
DSCP: Final = 0xFC


class CopyDscp(StrEnum):
    """Between which headers DSCP is copied: from the inner to the outer one (`out`), back (`in`)."""

    OUT = "out"
    IN = "in"
    BOTH = "both"
    NONE = "none"

    @property
    def sent(self) -> int:
        """The bits of the inner octet that the outer one has."""
        return DSCP | ECN if self in (CopyDscp.OUT, CopyDscp.BOTH) else ECN

    @property
    def taken(self) -> bool:
        """Whether the inner DSCP becomes the outer one."""
        return self in (CopyDscp.IN, CopyDscp.BOTH)


#: By inner, then outer codepoint; None: the packet is dropped.
_ARRIVING: Final[tuple[tuple[int | None, ...], ...]] = (
    (NOT_ECT, NOT_ECT, NOT_ECT, None),
    (ECT_1, ECT_1, ECT_1, CE),
    (ECT_0, ECT_1, ECT_0, CE),
    (CE, CE, CE, CE),
)


def octet(packet: bytes | memoryview) -> int:
    """The packet's DSCP and ECN: TOS of IPv4, traffic class of IPv6."""
    if packet[0] >> 4 == 4:
        return packet[1]
    return (packet[0] & 15) << 4 | packet[1] >> 4


def arrived(packet: bytes, outer: int, dscp: bool = False) -> bytes | None:
    """The packet as it leaves the tunnel, given the `outer` octet, of which `dscp` may be taken as well; None
    where it must be dropped. Its headers are enough.
    """
    before = octet(packet)
    ecn = _ARRIVING[before & ECN][outer & ECN]
    if ecn is None:
        return None
    changed = ((outer if dscp else before) & DSCP) | ecn
    if changed == before:
        return packet
    if packet[0] >> 4 == 6:
        return bytes([0x60 | changed >> 4, (changed & 15) << 4 | packet[1] & 15]) + packet[2:]
    return packet[:1] + bytes([changed]) + packet[2:10] + _summed(packet, changed) + packet[12:]


def _summed(packet: bytes, changed: int) -> bytes:
    """The header checksum with another TOS (RFC 1624 eqn. 3)."""
    total = 0xFFFF - int.from_bytes(packet[10:12]) + (0xFFFF - packet[1]) + changed
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - total).to_bytes(2)
