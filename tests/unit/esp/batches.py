"""What the tests of batches share: super-packets as the kernel makes them, and a bulk path with its peer."""

import struct
from dataclasses import dataclass

from node.esp.bulk import Bulk, Burst
from node.esp.coalesce import Joined
from node.esp.tunnel import Incoming, Outgoing, Refused
from node.esp.vnet import VNET_SIZE, Gso, Offload
from node.model.child import ChildSa
from tests.unit.esp.support import LOCAL, PEER, End, ipv4, ipv6, pair

A6 = bytes.fromhex("fd00" + "00" * 13 + "01")
B6 = bytes.fromhex("fd00" + "00" * 13 + "02")
ACK, PSH, FIN, CWR, ECE = 0x10, 0x08, 0x01, 0x80, 0x40


def words(octets: bytes | bytearray) -> int:
    """The sum of the words, folded as RFC 1071 says; not inverted."""
    total: int = sum(struct.unpack(f"!{(len(octets) + 1) // 2}H", octets + bytes(len(octets) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(packet: bytes | bytearray, start: int, protocol: int) -> int:
    """The folded sum over the pseudo-header of a packet whose transport header begins at `start`."""
    ends = packet[12:20] if packet[0] >> 4 == 4 else packet[8:40]
    return words(ends + struct.pack("!IHBB", len(packet) - start, 0, 0, protocol))


def right(packet: bytes) -> bool:
    """True where IPv4's and the transport's checksum hold."""
    version = packet[0] >> 4
    start, protocol = (20, packet[9]) if version == 4 else (40, packet[6])
    header = version == 6 or words(packet[:20]) == 0xFFFF
    return header and words(pseudo(packet, start, protocol).to_bytes(2) + packet[start:]) == 0xFFFF


def tcp(
    data: bytes,
    *,
    version: int = 4,
    sequence: int = 1000,
    flags: int = ACK,
    options: bytes = b"",
    number: int = 7,
    fragment: int = 0x4000,
    ack: int = 2000,
) -> bytes:
    """A TCP packet from us to the peer; only the sum over the pseudo-header is in its checksum."""
    size = 20 + len(options)
    body = struct.pack("!HHIIBBHHH", 40000, 5201, sequence & 0xFFFFFFFF, ack, size << 2, flags, 500, 0, 0)
    body += options + data
    if version == 4:
        packet = bytearray(ipv4(LOCAL, PEER, body, 6, fragment=fragment))
        packet[4:6] = number.to_bytes(2)
        packet[10:12] = bytes(2)
        packet[10:12] = (0xFFFF - words(packet[:20])).to_bytes(2)
    else:
        packet = bytearray(ipv6(A6, B6, body, 6))
    start = len(packet) - len(body)
    packet[start + 16 : start + 18] = pseudo(packet, start, 6).to_bytes(2)
    return bytes(packet)


def udp(data: bytes, *, version: int = 4) -> bytes:
    """The same of UDP."""
    body = struct.pack("!HHHH", 4000, 5000, 8 + len(data), 0) + data
    packet = bytearray(ipv4(LOCAL, PEER, body, 17) if version == 4 else ipv6(A6, B6, body, 17))
    start = len(packet) - len(body)
    packet[start + 6 : start + 8] = pseudo(packet, start, 17).to_bytes(2)
    return bytes(packet)


def finished(packet: bytes) -> bytes:
    """A packet with its checksum made."""
    version = packet[0] >> 4
    start, protocol = (20, packet[9]) if version == 4 else (40, packet[6])
    at = start + (16 if protocol == 6 else 6)
    check = 0xFFFF - words(packet[start:]) or 0xFFFF
    return packet[:at] + check.to_bytes(2) + packet[at + 2 :]


def offload(packet: bytes, segment: int) -> Offload:
    """What the kernel says of a super-packet."""
    version = packet[0] >> 4
    start, protocol = (20, packet[9]) if version == 4 else (40, packet[6])
    kind = Gso.UDP_L4 if protocol == 17 else Gso.TCPV4 if version == 4 else Gso.TCPV6
    return Offload(True, kind, segment, start, 16 if protocol == 6 else 6)


@dataclass(frozen=True, slots=True)
class BulkEnd:
    """A data path and its batches."""

    end: End
    bulk: Bulk


def bulk_pair(one: ChildSa) -> tuple[BulkEnd, BulkEnd]:
    """Two of them that share a Child SA."""
    ours, peers = pair(one)
    return BulkEnd(ours, Bulk(ours.sad, ours.tunnel)), BulkEnd(peers, Bulk(peers.sad, peers.tunnel))


def datagrams(one: BulkEnd, packet: bytes, segment: int) -> list[bytes]:
    """The ESP packets of a super-packet."""
    found: list[bytes] = []
    for result in one.bulk.encapsulate(memoryview(bytearray(packet)), offload(packet, segment)):
        if isinstance(result, Burst):
            octets = bytes(result.octets)
            ones = [octets[at : at + result.size] for at in range(0, len(octets), result.size)]
            found += ones + ([result.tail] if result.tail else [])
            assert len(ones) + bool(result.tail) == result.packets
        else:
            assert isinstance(result, Outgoing), result
            found.append(result.datagram)
    return found


def received(one: BulkEnd, arriving: list[bytes]) -> list[Incoming | Refused | Joined | bytes]:
    """What the peer makes of datagrams of one size that come together; joined packets as octets.

    One by one where they are no batch, as the pump does it.
    """
    octets = b"".join(arriving)
    one.bulk.inbox[: len(octets)] = octets
    opened = one.bulk.decapsulate(len(arriving), len(arriving[0])) if len(arriving) > 1 else None
    if opened is None:
        return [one.end.tunnel.decapsulate(datagram) for datagram in arriving]
    assert opened.taken == len(arriving)
    return [whole(c) if isinstance(c, Joined) else c for c in opened.contents]


def whole(joined: Joined) -> bytes:
    """The octets of a joined packet, without the header in front."""
    return b"".join(joined.packet())[VNET_SIZE:]
