"""Packets that are too large: what fits, what their sender is told, how they are cut. Judged by scapy."""

import logging
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto.aead import sealer
from node.crypto.suites import esp_suite
from node.errors import LocalMisuse
from node.esp import pathmtu
from node.esp.inner import total_length
from node.esp.packet import overhead
from node.ports import Sealer
from tests.unit.esp.support import child

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption  # noqa: E402
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6PacketTooBig, IPv6, IPv6ExtHdrFragment  # noqa: E402
from scapy.packet import Packet, Raw  # noqa: E402

A4, B4, A6, B6 = "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"
SUITES = ("aes256gcm16", "chacha20poly1305", "aes256-sha256", "aes128-sha512", "null-sha256")


def _sealer(text: str) -> Sealer:
    agreed = child(esp_suite(text))
    return sealer(agreed.suite.encr, agreed.suite.integ, agreed.outbound, os.urandom)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("text", SUITES)
@given(path_mtu=st.integers(200, 9000))
def test_the_largest_packet_fits_and_one_octet_more_does_not(text: str, version: int, path_mtu: int) -> None:
    protection = _sealer(text)
    size = pathmtu.inner_mtu(path_mtu, version, protection)
    outer = pathmtu.OUTER[version]
    assert outer + size + overhead(protection, size) <= path_mtu
    assert outer + size + 1 + overhead(protection, size + 1) > path_mtu


def test_nothing_fits_a_path_that_is_smaller_than_the_headers() -> None:
    assert pathmtu.inner_mtu(40, 6, _sealer("aes256gcm16")) == 0


def _v4(upper: Packet, **fields: Any) -> bytes:
    return bytes(IP(src=A4, dst=B4, **fields) / upper)


def test_the_sender_of_an_ipv4_packet_is_told_what_fits() -> None:
    packet = _v4(TCP(sport=1, dport=2) / Raw(bytes(1400)), flags="DF", tos=7)
    octets = pathmtu.too_big(packet, 1300)
    assert octets is not None
    told = IP(octets)
    assert (told.src, told.dst, told.len) == (B4, A4, 576)
    icmp = told[ICMP]
    assert (icmp.type, icmp.code, icmp.nexthopmtu) == (3, 4, 1300)
    assert octets[28:] == packet[: 576 - 28]
    assert bytes(told) == _summed(told)


def test_the_sender_of_an_ipv6_packet_is_told_what_fits() -> None:
    packet = bytes(IPv6(src=A6, dst=B6) / UDP(sport=1, dport=2) / Raw(bytes(1400)))
    told = IPv6(pathmtu.too_big(packet, 1300) or b"")
    assert (told.src, told.dst, len(bytes(told))) == (B6, A6, 1280)
    assert (told[ICMPv6PacketTooBig].code, told[ICMPv6PacketTooBig].mtu) == (0, 1300)
    assert bytes(told[ICMPv6PacketTooBig].payload) == packet[: 1280 - 48]
    assert bytes(told) == _summed(told)


def test_no_size_is_told_that_every_way_must_carry() -> None:
    packet = bytes(IPv6(src=A6, dst=B6) / UDP() / Raw(bytes(1400)))
    assert IPv6(pathmtu.too_big(packet, 900) or b"")[ICMPv6PacketTooBig].mtu == 1280


def _summed(packet: Packet) -> bytes:
    """The packet with checksums of scapy's."""
    again = packet.copy()
    for layer in (IP, ICMP, ICMPv6PacketTooBig):
        if layer in again:
            again[layer].delfieldval("cksum" if layer is ICMPv6PacketTooBig else "chksum")
    return bytes(again)


@pytest.mark.parametrize(
    "packet",
    [
        _v4(ICMP(type=3, code=4) / Raw(bytes(600))),
        _v4(ICMP(type=11) / Raw(bytes(600))),
        _v4(Raw(bytes(600)), proto=1, frag=100),
        _v4(Raw(bytes(600)), proto=17, frag=1),
        bytes(IP(src="224.0.0.1", dst=B4) / UDP() / Raw(bytes(600))),
        bytes(IP(src="0.0.0.0", dst=B4) / UDP() / Raw(bytes(600))),
        bytes(IP(src=A4, dst="224.0.0.5") / UDP() / Raw(bytes(600))),
        bytes(IP(src=A4, dst="255.255.255.255") / UDP() / Raw(bytes(600))),
        bytes(IPv6(src=A6, dst=B6) / ICMPv6PacketTooBig() / Raw(bytes(600))),
        bytes(IPv6(src=A6, dst=B6, nh=58)),
        bytes(IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(offset=1, nh=17) / Raw(bytes(600))),
        bytes(IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(offset=0, nh=58) / Raw(bytes(600))),
        bytes(IPv6(src=A6, dst=B6, nh=44) / Raw(bytes(3))),
        bytes(IPv6(src="ff02::1", dst=B6) / UDP() / Raw(bytes(600))),
    ],
    ids=repr,
)
def test_an_error_answers_no_error_no_later_fragment_and_no_crowd(packet: bytes) -> None:
    assert pathmtu.too_big(packet, 500) is None


@pytest.mark.parametrize(
    "packet",
    [
        _v4(ICMP(type=8) / Raw(bytes(600)), flags="DF"),
        bytes(IPv6(src=A6, dst=B6) / ICMPv6EchoRequest(data=bytes(1400))),
        bytes(IPv6(src=A6, dst=B6) / IPv6ExtHdrFragment(offset=0, nh=17) / Raw(bytes(1400))),
    ],
)
def test_what_is_no_error_is_answered(packet: bytes) -> None:
    assert pathmtu.too_big(packet, 500) is not None


def test_who_may_be_cut() -> None:
    assert pathmtu.may_cut(_v4(UDP()))
    assert not pathmtu.may_cut(_v4(UDP(), flags="DF"))
    assert not pathmtu.may_cut(bytes(IPv6() / UDP()))
    with pytest.raises(LocalMisuse):
        pathmtu.cut(_v4(UDP(), flags="DF"), 576)
    with pytest.raises(LocalMisuse):
        pathmtu.cut(_v4(UDP()), 27)


#: Security (copied to every fragment), record route (not copied), no operation.
OPTIONS = [IPOption(b"\x82\x0b" + bytes(9)), IPOption(b"\x07\x07\x04" + bytes(4)), IPOption(b"\x01")]


@given(
    size=st.integers(0, 4000),
    mtu=st.integers(100, 1500),
    chosen=st.lists(st.sampled_from(range(3)), max_size=3),
    first=st.integers(0, 1000),
    more=st.booleans(),
)
def test_fragments_make_the_packet_again(
    size: int, mtu: int, chosen: list[int], first: int, more: bool
) -> None:
    body = os.urandom(size & ~7 if more else size)
    options = [OPTIONS[n] for n in chosen][:3] if chosen.count(0) + chosen.count(1) < 4 else []
    fields = {"id": 77, "tos": 3, "ttl": 9, "proto": 17, "frag": first, "flags": "MF" if more else 0}
    packet = _v4(Raw(body), options=options, **fields)
    made = pathmtu.cut(packet, mtu)
    assert all(len(one) <= mtu and total_length(one) == len(one) for one in made)
    read = [IP(one) for one in made]
    assert b"".join(one[(one[0] & 15) << 2 :] for one in made) == body
    offset = first
    for number, (one, octets) in enumerate(zip(read, made, strict=True)):
        last = number == len(read) - 1
        assert (one.id, one.tos, one.ttl, one.proto, one.src, one.dst) == (77, 3, 9, 17, A4, B4)
        assert (one.frag, bool(one.flags.MF)) == (offset, more or not last)
        assert octets == _summed(one) or size == 0
        if number:
            assert [option.copy_flag for option in one.options if option.option] == [1] * chosen.count(0)
        offset += (len(octets) - one.ihl * 4) // 8


def test_an_option_that_cannot_be_walked_ends_the_list() -> None:
    header = bytes([0x47]) + _v4(UDP())[1:20]
    for options in (b"\x82\x00" + bytes(6), b"\x82" * 8, b"\x01\x01\x01\x01\x01\x01\x01\x82"):
        packet = header[:2] + (28 + 64).to_bytes(2) + header[4:] + options + bytes(64)
        assert all(IP(one).len <= 68 for one in pathmtu.cut(packet, 68))
