"""What the outer header tells of the inner one, and the inner one hears of the outer: DSCP and ECN.

    outgoing    the outer octet is the inner one's: DSCP (RFC 4301 5.1.2.1), ECN in normal mode (RFC 6040 4.1)
    incoming    the inner DSCP stays; ECN by this table (RFC 6040 4.2), outer codepoint across:

                            Not-ECT    ECT(0)     ECT(1)     CE
                 Not-ECT    Not-ECT    Not-ECT    Not-ECT    drop
                 ECT(0)     ECT(0)     ECT(0)     ECT(1)     CE
                 ECT(1)     ECT(1)     ECT(1)     ECT(1)     CE
                 CE         CE         CE         CE         CE

Packets are such that `inner.total_length` accepted. The data path does not call this yet.
"""

from typing import Final

NOT_ECT, ECT_1, ECT_0, CE = range(4)
ECN: Final = 3

#: By inner, then outer codepoint; None: the packet is dropped.
_ARRIVING: Final[tuple[tuple[int | None, ...], ...]] = (
    (NOT_ECT, NOT_ECT, NOT_ECT, None),
    (ECT_1, ECT_1, ECT_1, CE),
    (ECT_0, ECT_1, ECT_0, CE),
    (CE, CE, CE, CE),
)


def octet(packet: bytes) -> int:
    """The packet's DSCP and ECN: TOS of IPv4, traffic class of IPv6."""
    if packet[0] >> 4 == 4:
        return packet[1]
    return (packet[0] & 15) << 4 | packet[1] >> 4


def arrived(packet: bytes, outer: int) -> bytes | None:
    """The packet as it leaves the tunnel, given the `outer` octet; None where it must be dropped."""
    inner = octet(packet) & ECN
    ecn = _ARRIVING[inner][outer & ECN]
    if ecn is None or ecn == inner:
        return None if ecn is None else packet
    if packet[0] >> 4 == 6:
        return packet[:1] + bytes([packet[1] & ~(ECN << 4) | ecn << 4]) + packet[2:]
    changed = packet[1] & ~ECN | ecn
    return packet[:1] + bytes([changed]) + packet[2:10] + _summed(packet, changed) + packet[12:]


def _summed(packet: bytes, changed: int) -> bytes:
    """The header checksum with another TOS (RFC 1624 eqn. 3)."""
    total = 0xFFFF - int.from_bytes(packet[10:12]) + (0xFFFF - packet[1]) + changed
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return (0xFFFF - total).to_bytes(2)
