"""ESP against scapy, a second implementation by other people: what one side seals, the other opens.

Every suite that the node offers; those of an AEAD, which alone have them here, with extended sequence numbers
too. scapy keeps no replay window and no policy: it judges the octets alone.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from node.crypto.suites import esp_suite
from node.errors import DropReason
from node.esp.tunnel import Incoming, Outgoing, Refused
from node.model.child import ChildSa, DirectionKeys, Mode
from node.model.proposal import Suite
from node.model.registry import EncrId, EsnId, IntegId
from tests.unit.esp.support import LOCAL, OURS, PEER, THEIRS, child, end, ipv4, ipv6, selectors, udp, v4

# It tells of missing routes and interfaces, which nothing here needs.
logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.layers.inet import IP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation  # noqa: E402

CIPHERS = {
    EncrId.ENCR_NULL: "NULL",
    EncrId.ENCR_AES_CBC: "AES-CBC",
    EncrId.ENCR_AES_GCM_16: "AES-GCM",
    EncrId.ENCR_CHACHA20_POLY1305: "CHACHA20-POLY1305",
}
MACS = {
    IntegId.NONE: None,
    IntegId.AUTH_HMAC_SHA2_256_128: "SHA2-256-128",
    IntegId.AUTH_HMAC_SHA2_384_192: "SHA2-384-192",
    IntegId.AUTH_HMAC_SHA2_512_256: "SHA2-512-256",
}
KEYED = ("null", "aes128", "aes192", "aes256")
AEAD = ("aes128gcm16", "aes192gcm16", "aes256gcm16", "chacha20poly1305")
PLAIN = (*(f"{encr}-sha{bits}" for encr in KEYED for bits in (256, 384, 512)), *AEAD)
SUITES = (*PLAIN, *(f"{text}-esn" for text in AEAD))
every_suite = pytest.mark.parametrize("text", SUITES)

V6_LOCAL, V6_PEER = bytes.fromhex("20010db8" + "00" * 11 + "01"), bytes.fromhex("20010db8" + "00" * 11 + "02")
BOTH = selectors(LOCAL, "2001:db8::1"), selectors(PEER, "2001:db8::2")
#: Sequence numbers: the first, the last of 32 bits, and those behind it.
FIRST, LAST, NEXT = 1, 2**32 - 1, 2**32


def sizes() -> Iterator[bytes]:
    """Payloads that need every amount of padding."""
    return (bytes(range(size)) for size in range(19))


def agreed(text: str) -> ChildSa:
    return child(esp_suite(text), local=BOTH[0], peer=BOTH[1])


def scapy(chosen: Suite, spi: bytes, keys: DirectionKeys, sequence: int = FIRST) -> SecurityAssociation:
    """One direction of the SA in scapy; `sequence` is the one it sends next, and the half it expects."""
    return SecurityAssociation(  # type: ignore[no-untyped-call]
        ESP,
        int.from_bytes(spi),
        seq_num=sequence & 0xFFFFFFFF,
        crypt_algo=CIPHERS[EncrId(chosen.encr.id)],
        crypt_key=keys.encr.reveal() or None,
        auth_algo=MACS[chosen.integ],
        auth_key=keys.integ.reveal() or None,
        tunnel_header=IP(src="192.0.2.2", dst="192.0.2.1"),
        esn_en=chosen.esn == EsnId.ESN,
        esn=sequence >> 32,
    )


def opened(sa: SecurityAssociation, datagram: bytes) -> bytes:
    """The inner packet. Raises IPSecIntegrityError."""
    outer = IP(bytes(IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ESP(datagram)))
    return bytes(sa.decrypt(outer))  # type: ignore[no-untyped-call]


def sealed(sa: SecurityAssociation, packet: bytes) -> bytes:
    """The ESP octets of scapy around an inner packet."""
    kind = IPv6 if packet[0] >> 4 == 6 else IP
    return bytes(sa.encrypt(kind(packet))[ESP])  # type: ignore[no-untyped-call]


def numbers(text: str) -> tuple[int, ...]:
    """Sequence numbers worth a try: without ESN none has more than 32 bits."""
    return (FIRST, LAST, NEXT, 5 * NEXT + 7) if text.endswith("esn") else (FIRST, LAST)


@every_suite
def test_scapy_opens_what_we_seal(text: str) -> None:
    sa, ours = agreed(text), end(agreed(text))
    theirs = scapy(sa.suite, THEIRS, sa.outbound)
    for payload in sizes():
        for packet in (ipv4(LOCAL, PEER, udp(payload)), ipv6(V6_LOCAL, V6_PEER, udp(payload))):
            out = ours.tunnel.encapsulate(packet)
            assert isinstance(out, Outgoing)
            assert opened(theirs, out.datagram) == packet


@every_suite
def test_we_open_what_scapy_seals(text: str) -> None:
    sa, ours = agreed(text), end(agreed(text))
    theirs = scapy(sa.suite, OURS, sa.inbound)
    for number, payload in enumerate(sizes(), start=FIRST):
        packet = ipv4(PEER, LOCAL, udp(payload))
        assert ours.tunnel.decapsulate(sealed(theirs, packet)) == Incoming(packet, OURS, number, True)
    packet = ipv6(V6_PEER, V6_LOCAL, udp(b"six"))
    assert ours.tunnel.decapsulate(sealed(theirs, packet)) == Incoming(packet, OURS, number + 1, True)


@every_suite
def test_sequence_numbers_of_both_halves_are_in_the_icv(text: str) -> None:
    """RFC 4303 2.2.1: the upper half is not sent, and still authenticated."""
    sa = agreed(text)
    there, back = ipv4(LOCAL, PEER, udp(b"there")), ipv4(PEER, LOCAL, udp(b"back"))
    for number in numbers(text):
        ours = end(sa)
        (outbound,) = ours.sad.spd.candidates(v4(LOCAL) + v4(PEER))
        outbound.sequence = number - 1
        out = ours.tunnel.encapsulate(there)
        assert isinstance(out, Outgoing)
        assert opened(scapy(sa.suite, THEIRS, sa.outbound, number), out.datagram) == there
        inbound = ours.sad.by_spi[int.from_bytes(OURS)]
        if number > FIRST:
            inbound.window.mark(number - 1)
        theirs = scapy(sa.suite, OURS, sa.inbound, number)
        assert ours.tunnel.decapsulate(sealed(theirs, back)) == Incoming(back, OURS, number, True)


@every_suite
def test_both_refuse_what_was_changed(text: str) -> None:
    """The oracle does look: a bit anywhere, or another key, and nothing is opened."""
    sa, ours = agreed(text), end(agreed(text))
    out = ours.tunnel.encapsulate(ipv4(LOCAL, PEER, udp(b"hello")))
    assert isinstance(out, Outgoing)
    theirs = sealed(scapy(sa.suite, OURS, sa.inbound), ipv4(PEER, LOCAL, udp(b"hello")))
    for at in (4, 8, len(out.datagram) - 1):
        with pytest.raises(IPSecIntegrityError):
            opened(scapy(sa.suite, THEIRS, sa.outbound), flipped(out.datagram, at))
    with pytest.raises(IPSecIntegrityError):
        opened(scapy(sa.suite, THEIRS, sa.inbound), out.datagram)
    # Not the last octet of the number: it would be 0, and too old before anything is verified.
    for at in (6, 8, len(theirs) - 1):
        found = ours.tunnel.decapsulate(flipped(theirs, at))
        assert isinstance(found, Refused)
        assert found.reason is DropReason.ESP_BAD_ICV


def host_to_host(chosen: Suite, spi: bytes, keys: DirectionKeys) -> SecurityAssociation:
    """One direction of an SA in transport mode in scapy."""
    return SecurityAssociation(  # type: ignore[no-untyped-call]
        ESP,
        int.from_bytes(spi),
        seq_num=FIRST,
        crypt_algo=CIPHERS[EncrId(chosen.encr.id)],
        crypt_key=keys.encr.reveal() or None,
        auth_algo=MACS[chosen.integ],
        auth_key=keys.integ.reveal() or None,
    )


@pytest.mark.parametrize("text", PLAIN)
def test_scapy_opens_what_we_seal_in_transport_mode(text: str) -> None:
    sa = replace(child(esp_suite(text)), mode=Mode.TRANSPORT)
    ours, theirs = end(sa), host_to_host(sa.suite, THEIRS, sa.outbound)
    for payload in sizes():
        packet = ipv4(LOCAL, PEER, udp(payload))
        out = ours.tunnel.encapsulate(packet)
        assert isinstance(out, Outgoing)
        outer = IP(bytes(IP(src=LOCAL, dst=PEER, proto=50) / ESP(out.datagram)))
        inner = theirs.decrypt(outer)  # type: ignore[no-untyped-call]
        assert (inner.src, inner.dst, inner.proto) == (LOCAL, PEER, 17)
        assert bytes(inner.payload) == packet[20:]


@pytest.mark.parametrize("text", PLAIN)
def test_we_open_what_scapy_seals_in_transport_mode(text: str) -> None:
    sa = replace(child(esp_suite(text)), mode=Mode.TRANSPORT)
    ours, theirs = end(sa), host_to_host(sa.suite, OURS, sa.inbound)
    for number, payload in enumerate(sizes(), start=FIRST):
        packet = ipv4(PEER, LOCAL, udp(payload))
        sent = bytes(theirs.encrypt(IP(packet))[ESP])  # type: ignore[no-untyped-call]
        found = ours.tunnel.decapsulate(sent)
        assert isinstance(found, Incoming)
        assert (found.packet[12:], found.sequence) == (packet[12:], number)


def flipped(octets: bytes, at: int) -> bytes:
    changed = bytearray(octets)
    changed[at] ^= 1
    return bytes(changed)
