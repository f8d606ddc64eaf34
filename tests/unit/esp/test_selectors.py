"""Selectors of an SA against packets, and the outbound SPD."""

import random
from ipaddress import ip_address

import pytest

from node.crypto.aead import sealer
from node.errors import LocalMisuse
from node.esp.inner import NO_PORT, NO_PROTOCOL, Flow
from node.esp.sa import OutboundSa
from node.esp.selectors import Selectors
from node.esp.spd import MAX_REMEMBERED, Spd
from node.model.child import Mode, Padding
from node.model.selectors import TrafficSelector
from tests.unit.esp.support import GCM, PATH, Octets, keys, selectors, v4


def narrow(network: str, protocol: int = 0, first: int = 0, last: int = 65535) -> tuple[TrafficSelector, ...]:
    (whole,) = selectors(network)
    return (TrafficSelector(whole.start, whole.end, protocol, first, last),)


def six(text: str) -> bytes:
    return ip_address(text).packed


ANY = Selectors(selectors("10.1.0.0/16"), selectors("10.2.0.0/16"))
UDP53 = Selectors(selectors("10.1.0.0/16"), narrow("10.2.0.0/16", 17, 53, 53))
SPAN = Selectors(
    (TrafficSelector(ip_address("10.1.0.5"), ip_address("10.1.0.9")),), selectors("10.2.0.1", "10.3.0.0/24")
)
ECHO = Selectors(narrow("10.1.0.1", 1, 0x0800, 0x08FF), selectors("10.2.0.1"))
UDP_ANY_PORT = Selectors(narrow("10.1.0.1", 17), narrow("10.2.0.1", 17))
OPAQUE = Selectors(narrow("10.1.0.1", 17, 65535, 0), selectors("10.2.0.1"))
V6 = Selectors(selectors("fd00:1::/32"), selectors("fd00:2::/32"))

MATCHES = [
    (ANY, ("10.1.2.3", "10.2.3.4", 6, 1, 2), True),
    (ANY, ("10.1.2.3", "10.2.3.4", 47, NO_PORT, NO_PORT), True),
    (ANY, ("10.1.2.3", "10.2.3.4", NO_PROTOCOL, NO_PORT, NO_PORT), True),
    (ANY, ("10.2.3.4", "10.1.2.3", 6, 1, 2), False),  # the wrong way round
    (ANY, ("10.1.2.3", "10.3.3.4", 6, 1, 2), False),
    (ANY, ("10.0.255.255", "10.2.3.4", 6, 1, 2), False),
    (ANY, ("10.1.0.0", "10.2.255.255", 6, 1, 2), True),
    (UDP53, ("10.1.0.1", "10.2.0.1", 17, 4000, 53), True),
    (UDP53, ("10.1.0.1", "10.2.0.1", 17, 53, 4000), False),
    (UDP53, ("10.1.0.1", "10.2.0.1", 6, 4000, 53), False),
    (UDP53, ("10.1.0.1", "10.2.0.1", 17, NO_PORT, NO_PORT), False),  # a later fragment
    (UDP53, ("10.1.0.1", "10.2.0.1", NO_PROTOCOL, NO_PORT, NO_PORT), False),
    (SPAN, ("10.1.0.5", "10.2.0.1", 17, 1, 1), True),
    (SPAN, ("10.1.0.9", "10.3.0.77", 17, 1, 1), True),
    (SPAN, ("10.1.0.4", "10.2.0.1", 17, 1, 1), False),
    (SPAN, ("10.1.0.10", "10.2.0.1", 17, 1, 1), False),
    (SPAN, ("10.1.0.5", "10.2.0.2", 17, 1, 1), False),
    (ECHO, ("10.1.0.1", "10.2.0.1", 1, 0x0800, 0x0800), True),
    (ECHO, ("10.1.0.1", "10.2.0.1", 1, 0x0000, 0x0000), False),
    (UDP_ANY_PORT, ("10.1.0.1", "10.2.0.1", 17, NO_PORT, NO_PORT), True),
    (UDP_ANY_PORT, ("10.1.0.1", "10.2.0.1", 6, 1, 1), False),
    (OPAQUE, ("10.1.0.1", "10.2.0.1", 17, 1, 1), False),
    (V6, ("fd00:1::1", "fd00:2::1", 17, 1, 1), True),
    (V6, ("fd00:1::1", "fd00:3::1", 17, 1, 1), False),
    (V6, ("10.1.0.1", "10.2.0.1", 17, 1, 1), False),
    (ANY, ("fd00:1::1", "fd00:2::1", 17, 1, 1), False),
]


@pytest.mark.parametrize(("policy", "ends", "expected"), MATCHES)
def test_matching_both_ways(policy: Selectors, ends: tuple[str, str, int, int, int], expected: bool) -> None:
    source, destination, protocol, first, second = ends
    near, far = six(source), six(destination)
    assert policy.covers_outbound(Flow(near, far, protocol, first, second)) is expected
    assert policy.covers_inbound(Flow(far, near, protocol, second, first)) is expected


def test_addresses_decide_alone_only_where_nothing_else_is_asked() -> None:
    assert [s.addresses_only for s in (ANY, SPAN, V6)] == [True] * 3
    assert [s.addresses_only for s in (UDP53, ECHO, UDP_ANY_PORT, OPAQUE)] == [False] * 4


def test_both_sides_need_selectors() -> None:
    for local, peer in (((), selectors("10.0.0.1")), (selectors("10.0.0.1"), ())):
        with pytest.raises(LocalMisuse, match="traffic selectors"):
            Selectors(local, peer)


def outbound(serial: int, *peer: str, local: str = "10.0.0.0/8") -> OutboundSa:
    policy = Selectors(selectors(local), selectors(*peer))
    protection = sealer(GCM.encr, GCM.integ, keys(GCM, 1), Octets())
    return OutboundSa(
        serial.to_bytes(4), protection, PATH, policy, False, serial, 1 << 31, Mode.TUNNEL, Padding()
    )


def serials(spd: Spd, destination: str, source: str = "10.0.0.1") -> list[int]:
    return [sa.serial for sa in spd.candidates(v4(source) + v4(destination))]


def test_the_newest_sa_comes_first_however_it_is_filed() -> None:
    spd = Spd()
    for sa in (
        outbound(1, "192.168.1.7"),
        outbound(2, "192.168.0.0/16"),
        outbound(3, "192.168.1.7", "192.168.1.0/24"),
        outbound(4, "0.0.0.0/0"),
        outbound(5, "192.168.1.8"),
    ):
        spd.add(sa)
    assert serials(spd, "192.168.1.7") == [4, 3, 2, 1]
    assert serials(spd, "192.168.1.8") == [5, 4, 3, 2]
    assert serials(spd, "192.168.2.1") == [4, 2]
    assert serials(spd, "8.8.8.8") == [4]
    assert serials(spd, "192.168.1.7", source="11.0.0.1") == []


def test_removing_uncovers_the_older_sa() -> None:
    spd = Spd()
    old, new = outbound(1, "192.168.1.7"), outbound(2, "192.168.1.7")
    spd.add(old)
    spd.add(new)
    assert serials(spd, "192.168.1.7") == [2, 1]
    spd.remove(new)
    assert serials(spd, "192.168.1.7") == [1]
    spd.remove(old)
    assert serials(spd, "192.168.1.7") == []
    assert spd._tables == {4: {}, 16: {}}


def test_families_do_not_mix() -> None:
    spd = Spd()
    spd.add(outbound(1, "0.0.0.0/0"))
    assert spd.candidates(bytes(32)) == ()


def test_equals_a_linear_search() -> None:
    chosen = random.Random(2)
    spd, all_of_them = Spd(), []
    for serial in range(1, 201):
        bits = chosen.choice([8, 16, 20, 24, 30, 32])
        start = (chosen.randrange(64) << 26 | chosen.getrandbits(26)) >> (32 - bits) << (32 - bits)
        sa = outbound(serial, f"{ip_address(start)}/{bits}", local="0.0.0.0/0")
        spd.add(sa)
        all_of_them.append(sa)
        if chosen.random() < 0.3:
            gone = all_of_them.pop(chosen.randrange(len(all_of_them)))
            spd.remove(gone)
    for _ in range(2000):
        destination = chosen.choice(all_of_them).selectors.peer[0].start[:3] + bytes([chosen.randrange(256)])
        source = v4("10.0.0.1")
        expected = [s for s in reversed(all_of_them) if s.selectors.covers_addresses(source, destination)]
        assert list(spd.candidates(source + destination)) == expected


def test_what_is_remembered_is_bounded() -> None:
    spd = Spd()
    spd.add(outbound(1, "10.9.0.0/16"))
    for number in range(MAX_REMEMBERED * 2 + 10):
        spd.candidates(v4("10.0.0.1") + number.to_bytes(4))
    assert len(spd.remembered) <= MAX_REMEMBERED
