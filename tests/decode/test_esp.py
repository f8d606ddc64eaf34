"""ESP packets of every suite: opened, with the packet inside as it went in, or closed with the reason."""

import struct
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from lab.decode.ciphers import algorithms
from lab.decode.keylog import EspKeys, Keys
from lab.decode.run import decode
from lab.decode.values import Decoded, Kind
from node.esp.ip import Echo, pack, pack_echo, pack_udp
from node.model.child import DirectionKeys
from node.model.proposal import Suite
from node.model.registry import EncrId, EsnId, IntegId
from tests.decode.support import ESP_SUITES, HELLO, find, ike, make_run, values
from tests.unit.esp import support as esp

SPI = esp.OURS
FIRST, SECOND = ip_address("10.1.0.1"), ip_address("10.2.0.1")
FIRST6, SECOND6 = ip_address("2001:db8:1::1"), ip_address("2001:db8:2::1")


def keys_of(suite: Suite, secrets: DirectionKeys) -> Keys:
    integ = "" if suite.integ == IntegId.NONE else str(suite.integ)
    used = algorithms(str(EncrId(suite.encr.id)), suite.encr.key_length, integ)
    pair = (secrets.encr.reveal(), secrets.integ.reveal())
    esn = suite.esn == EsnId.ESN
    return Keys(esp=(EspKeys(SPI, "192.0.2.1", "192.0.2.2", used, esn, bytes(8), *pair),))


def packet(plain: bytes, suite: Suite = esp.GCM, sequence: int = 1) -> Decoded:
    """A packet of the second implementation of ESP in the tests, decoded."""
    secrets = esp.keys(suite, 1)
    return ike(esp.esp(suite, secrets, SPI, sequence, plain), keys_of(suite, secrets))


@pytest.mark.parametrize("suite", ESP_SUITES)
def test_a_run_of_every_suite_is_opened(suite: str, tmp_path: Path) -> None:
    run = make_run(esp_suite=suite)
    found = [one for one in decode(run.capture, run.keys(tmp_path), "") if one.kind is Kind.ESP]
    assert len(found) == len(run.inner) == 8
    assert all(one.opened and not one.problem for one in found)
    spis = {one.spi.hex() for one in run.keys(tmp_path).esp}
    assert {one.title.split()[1][2:] for one in found} == spis
    inside = [one.title.partition(": ")[2] for one in found]
    assert inside[0] == f'UDP 10.1.0.1:7000 > 10.2.0.1:7000 "{HELLO.decode()}"'
    assert inside[1].endswith(f'"ACK {HELLO.decode()}"')
    assert inside[2:4] == ["ICMP echo request 10.1.0.1 > 10.2.0.1", "ICMP echo reply 10.2.0.1 > 10.1.0.1"]
    assert [one.title.split()[3].rstrip(":") for one in found] == list("11223344")
    ping = find(found[4].tree, "Inner packet")
    assert values(ping, "Sequence Number") == ["1"]
    assert values(ping, "Data")[0].startswith("56 octets: 101112")
    assert [value.endswith("good") for value in values(found[4].tree, "Checksum")] == [True, True]


def test_without_keys_it_stays_closed() -> None:
    run = make_run()
    found = decode(run.capture, Keys(), "")[4]
    size = len(found.octets)
    assert found.title == f"ESP 0x{found.octets[:4].hex()} sequence 1: {size} octets"
    assert (found.opened, found.problem) == (False, f"no keys of ESP SA {found.octets[:4].hex()}")


@pytest.mark.parametrize("suite", esp.SUITES, ids=str)
@pytest.mark.parametrize("place", [0, 4, 8, -1])
def test_any_changed_octet_keeps_it_closed(suite: Suite, place: int) -> None:
    secrets = esp.keys(suite, 1)
    octets = bytearray(esp.esp(suite, secrets, SPI, 7, esp.pad(esp.hello())))
    octets[place] ^= 1
    found = ike(bytes(octets), keys_of(suite, secrets))
    assert (found.kind, found.opened) == (Kind.ESP, False)
    wanted = "no keys of" if place == 0 else "the ICV is not that of"
    assert found.problem.startswith(wanted)
    assert "hello" not in str(found.tree)


@pytest.mark.parametrize("suite", esp.SUITES, ids=str)
@pytest.mark.parametrize("size", range(4, 60, 7))
def test_what_is_cut_off_stays_closed(suite: Suite, size: int) -> None:
    secrets = esp.keys(suite, 1)
    found = ike(esp.esp(suite, secrets, SPI, 7, esp.pad(esp.hello()))[:size], keys_of(suite, secrets))
    assert (found.kind, found.opened, bool(found.problem)) == (Kind.ESP, False, True)


ESN = [replace(one, esn=EsnId.ESN) for one in (esp.CBC, esp.GCM, esp.SUITES[6])]


@pytest.mark.parametrize("suite", ESN, ids=str)
def test_the_high_half_of_a_sequence_number_comes_from_the_neighbours(suite: Suite, tmp_path: Path) -> None:
    """Over the wrap and a little back: what came before tells the high half."""
    secrets = esp.keys(suite, 1)
    wrap = 1 << 32
    numbers = [
        wrap - 2,
        wrap - 1,
        wrap,
        wrap + 1,
        wrap - 3,
        wrap + 2,
        2 * wrap - 5,
        2 * wrap + 1,
        3 * wrap - 9,
    ]
    run = make_run()
    run.packets.clear()
    for number in numbers:
        run.add(esp.esp(suite, secrets, SPI, number, esp.pad(esp.hello())), "192.0.2.1", "192.0.2.2")
    found = decode(run.capture, keys_of(suite, secrets), "")
    assert all(one.opened for one in found), [one.problem for one in found]
    shown = [int(one.title.split()[3].rstrip(":")) for one in found]
    assert shown == numbers


@pytest.mark.parametrize("suite", ["aes256gcm16-esn", "chacha20poly1305-esn"])
def test_the_nodes_own_extended_numbers(suite: str, tmp_path: Path) -> None:
    run = make_run(esp_suite=suite, high=1)
    found = [one for one in decode(run.capture, run.keys(tmp_path), "") if one.kind is Kind.ESP]
    assert all(one.opened for one in found)
    assert values(found[0].tree, "Sequence Number")[0] == f"{(1 << 32) + 1} (extended)"


INSIDE = (
    (
        pack_echo(FIRST6, SECOND6, Echo(True, 1, 2, b"abc")),
        41,
        "ICMPv6 echo request 2001:db8:1::1 > 2001:db8:2::1",
    ),
    (
        pack_udp(FIRST6, SECOND6, 7000, 53, b"caf\xc3\xa9"),
        41,
        'UDP [2001:db8:1::1]:7000 > [2001:db8:2::1]:53 "caf\u00e9"',
    ),
    (pack_udp(FIRST, SECOND, 1, 2, b"\x00\x01"), 4, "UDP 10.1.0.1:1 > 10.2.0.1:2, 2 octets"),
    (pack_udp(FIRST, SECOND, 1, 2, b"a\x1b[31m"), 4, "UDP 10.1.0.1:1 > 10.2.0.1:2, 6 octets"),
    (pack_udp(FIRST, SECOND, 1, 2, b"x" * 90), 4, f'UDP 10.1.0.1:1 > 10.2.0.1:2 "{"x" * 40}..."'),
    (
        pack(FIRST, SECOND, 6, struct.pack("!HHIIBBHHH", 80, 99, 1, 2, 0x50, 0x12, 0, 0, 0)),
        4,
        "TCP 10.1.0.1:80 > 10.2.0.1:99 SYN ACK",
    ),
    (pack(FIRST, SECOND, 47, b"gre"), 4, "GRE 10.1.0.1 > 10.2.0.1"),
    (pack(FIRST, SECOND, 200, b""), 4, "protocol_200 10.1.0.1 > 10.2.0.1"),
    (
        pack(FIRST, SECOND, 1, b"\x03\x01\x00\x00\x00\x00\x00\x00"),
        4,
        "ICMP destination unreachable 10.1.0.1 > 10.2.0.1",
    ),
    (b"", 59, "dummy packet"),
    (b"anything", 59, "dummy packet"),
)


@pytest.mark.parametrize(
    ("inner", "following", "title"), INSIDE, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_is_inside(inner: bytes, following: int, title: str) -> None:
    found = packet(esp.pad(inner, following, 4))
    assert (found.opened, found.problem) == (True, "")
    assert found.title == f"ESP 0x{SPI.hex()} sequence 1: {title}"


BAD_INSIDE = (
    ("nothing", b"\x04", "a plaintext of 1 octet"),
    ("other padding", esp.hello() + b"\x01\x01\x02\x04", "padding of 2 octets that is not 1, 2, 3 ..."),
    ("too much padding", b"\x01\x02\xff\x04", "padding of 255 octets"),
    ("no packet", esp.pad(b"", 4, 4), "no IP packet: version 0"),
    ("another version", esp.pad(esp.hello(), 41, 4), "next header 41 holds IP version 4"),
    ("another protocol", esp.pad(esp.hello(), 17, 4), "next header 17 holds IP version 4"),
    ("a packet cut off", esp.pad(esp.hello()[:24], 4, 4), "an IPv4 packet of 20 and 33 octets in 24"),
    ("UDP cut off", esp.pad(esp.ipv4("10.0.0.1", "10.0.0.2", b"abc"), 4, 4), "a UDP datagram of 3 octets"),
)


@pytest.mark.parametrize(
    ("plain", "says"), [bad[1:] for bad in BAD_INSIDE], ids=[bad[0] for bad in BAD_INSIDE]
)
def test_what_is_malformed_inside_is_said(plain: bytes, says: str) -> None:
    found = packet(plain)
    assert not found.opened
    assert found.problem.startswith("opened, but malformed inside: ")
    assert says in found.problem


def test_the_wrong_key_is_said() -> None:
    octets = esp.esp(esp.CBC, esp.keys(esp.CBC, 1), SPI, 1, esp.pad(esp.hello()))
    found = ike(octets, keys_of(esp.CBC, esp.keys(esp.CBC, 2)))
    assert found.problem == (
        f"the ICV is not that of the keys of ESP SA {SPI.hex()} (ENCR_AES_CBC_256/AUTH_HMAC_SHA2_256_128)"
    )
