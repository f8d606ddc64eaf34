"""No octets make decoding raise, and none cost much: whatever stands in a message, protected or not."""

import os
import random
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest
from cryptography import x509

from lab.decode import certificates, der
from lab.decode.keylog import Keys
from lab.decode.run import decode
from lab.decode.values import Decoded
from lab.wire import pcapng
from node.esp.ip import pack_udp
from node.model.payloads import (
    Authentication,
    Certificate,
    CertificateRequest,
    Delete,
    Identification,
    Notify,
    Payload,
    TrafficSelectors,
    Unknown,
    VendorId,
)
from node.model.registry import AuthMethod, CertEncoding, IdType, NotifyType, PayloadType, ProtocolId
from node.model.selectors import network
from tests.codec.samples import AUTH, CLEARTEXT, FOUNDING_SA, IKE_AUTH, INIT, SUITES, sealed, sealer_of
from tests.codec.test_mutations import BOMBS, HEADER, mutated, tlv
from tests.decode.support import ZERO, capture, ike
from tests.decode.test_messages import keys_of
from tests.engine.harness import authority, credentials

#: Seconds of processor time for a message of 64 KB.
LIMIT = 0.100
X509 = CertEncoding.X509_SIGNATURE
CERTIFICATE = credentials("initiator").certificate


def cost(octets: bytes, keys: Keys | None = None) -> float:
    """Seconds of processor time to decode a datagram; the least of five, other load apart."""
    found = []
    for _ in range(5):
        started = time.process_time()
        ike(octets, keys)
        found.append(time.process_time() - started)
    return min(found)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_once(name: str) -> None:
    for octets in (BOMBS[name], tlv(b"\x30", BOMBS[name]), tlv(b"\x30", HEADER + BOMBS[name])):
        assert ike(octets).problem or octets[0] != 0x30
        assert cost(octets) < LIMIT


def many(payload: Payload, count: int) -> tuple[Payload, ...]:
    return (payload,) * count


FIRST = FOUNDING_SA.proposals[0]
NAME = tlv(b"\x31", tlv(b"\x30", b"\x06\x03\x55\x04\x03\x0c\x01a"))
LARGE: dict[str, tuple[Payload, ...]] = {
    "selectors": (TrafficSelectors(PayloadType.TSI, (network("10.1.0.0/24"),) * 335),),
    "SPIs": (Delete(ProtocolId.ESP, (b"abcd",) * 2_030),),
    "transforms": (
        replace(
            FOUNDING_SA,
            proposals=tuple(replace(FIRST, number=n, transforms=FIRST.transforms * 60) for n in (1, 2)),
        ),
    ),
    "payloads": many(Unknown(PayloadType(200), False, b"x" * 200), 256),
    "notifications": many(Notify(NotifyType.COOKIE, b"x" * 200), 256),
    "one certificate 150 times": many(Certificate(X509, CERTIFICATE), 150),
    "a certificate of 60 kB": (Certificate(X509, CERTIFICATE + bytes(60_000)),),
    "authorities": (CertificateRequest(X509, bytes(60_000)),),
    "a name of 60 kB": (Identification(PayloadType.IDI, IdType.ID_DER_ASN1_DN, tlv(b"\x30", NAME * 4_000)),),
    "an ID of control characters": (Identification(PayloadType.IDI, IdType.ID_FQDN, b"\x1b" * 65_000),),
    "a vendor ID of text": (VendorId("\u202e".encode() * 20_000),),
    "a signature of 60 kB": (Authentication(AuthMethod.DIGITAL_SIGNATURE, b"\xff" + b"\x06\x82" * 30_000),),
}


@pytest.mark.parametrize("name", LARGE)
def test_the_largest_messages_cost_little(name: str) -> None:
    clear = sealed(INIT, LARGE[name])
    closed = sealed(AUTH, LARGE[name], sealer_of("AES-CBC with HMAC"))
    assert cost(clear) < LIMIT
    assert cost(closed, keys_of("AES-CBC with HMAC")) < LIMIT
    assert ike(clear).problem == ike(closed, keys_of("AES-CBC with HMAC")).problem == ""


def test_more_elements_than_it_reads_are_refused() -> None:
    octets = sealed(INIT, (Delete(ProtocolId.ESP, (b"abcd",) * 3_000),))
    assert "more than 2048 elements" in ike(octets).problem
    assert cost(octets) < LIMIT


def test_a_large_esp_packet_costs_little() -> None:
    octets = bytes.fromhex("c0000001 00000001") + os.urandom(65_000)
    assert cost(octets) < LIMIT


def check(found: Decoded) -> None:
    """What every decoded packet keeps: printable text, and a reason where it is not opened."""
    texts = [found.title, found.problem]
    waiting = [found.tree]
    while waiting:
        item = waiting.pop()
        texts += [item.name, item.value]
        waiting += item.children
    assert all(text.isprintable() for text in texts)
    assert not (found.opened and found.problem)


def test_random_messages_raise_nothing() -> None:
    chance = random.Random(5)
    samples = [sealed(INIT, payloads) for payloads in CLEARTEXT.values()]
    samples += [sealed(AUTH, IKE_AUTH, sealer_of(suite)) for suite in SUITES]
    keys = keys_of("AES-GCM")
    for number in range(2_000):
        octets = chance.randbytes(chance.randint(0, 99))
        if number % 4:
            octets = mutated(chance.choice(samples), chance)
        check(ike(octets, keys))


def test_random_certificates_raise_nothing() -> None:
    chance = random.Random(6)
    samples = [CERTIFICATE, authority().der]
    for _ in range(2_000):
        for item in certificates.tree(mutated(chance.choice(samples), chance)):
            assert (item.name + item.value).isprintable()


@pytest.mark.parametrize("octets", ["", "30", "3000", "3100", "30023100", "3003310130", "300631043002aa00"])
def test_what_is_no_name_reads_as_none(octets: str) -> None:
    assert certificates.distinguished_name(bytes.fromhex(octets)) == ""


@pytest.mark.parametrize("text", ["CN=a b,OU=lab,DC=example,C=DE", r"CN=a\,O=b\+c\\,C=DE", "CN=\u00e9"])
def test_a_name_reads_as_the_library_reads_it(text: str) -> None:
    name = x509.Name.from_rfc4514_string(text)
    assert certificates.distinguished_name(name.public_bytes()) == name.rfc4514_string()


def test_a_name_of_several_parts_in_one() -> None:
    name = x509.Name.from_rfc4514_string("OU=lab+O=x,C=DE")
    assert certificates.distinguished_name(name.public_bytes()) == "O=x+OU=lab,C=DE"


@pytest.mark.parametrize(
    ("contents", "dotted"),
    [
        ("2a864886f70d0101", "1.2.840.113549.1.1"),
        ("0992268993f22c640119", "0.9.2342.19200300.100.1.25"),
        ("551d0f", "2.5.29.15"),
        ("883703", "2.999.3"),
        ("00", "0.0"),
    ],
)
def test_an_object_identifier_as_text(contents: str, dotted: str) -> None:
    assert der.dotted(bytes.fromhex(contents)) == dotted


def test_a_capture_of_many_packets_is_decoded_in_order() -> None:
    ends = ip_address("192.0.2.1"), ip_address("192.0.2.2")
    esp = [bytes.fromhex("c0000001") + number.to_bytes(4) + bytes(24) for number in range(2_000)]
    packets = [pcapng.Packet(ZERO, pack_udp(*ends, 8000, 8000, octets)) for octets in esp]
    found = decode(capture(packets), Keys(), "")
    assert [one.number for one in found] == list(range(1, 2_001))
    assert [one.title for one in found] == [f"ESP 0xc0000001 sequence {n}: 32 octets" for n in range(2_000)]
