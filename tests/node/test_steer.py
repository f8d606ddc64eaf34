"""The ports of each profile: IKE, ESP, keepalives and scraps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config.schema import schema
from node.daemon.assembly import PROFILES
from node.net.steer import IKE_ALONE, Port, Steer

ASN1, RFC7296 = PROFILES["asn1"].port, PROFILES["rfc7296"].port

BOTH = [
    (b"\xff", Steer.KEEPALIVE, "NAT keepalive"),
    (b"", Steer.TRUNCATED, "empty"),
    (b"\xff\xff", Steer.TRUNCATED, "two octets are no keepalive"),
    (b"\x30\x82\x01", Steer.TRUNCATED, "too short even for IKE"),
    (b"\x00\x00\x00", Steer.TRUNCATED, "too short for a marker"),
    (b"\x31\x00\x00\x00", Steer.ESP, "any other first octet"),
    (b"\xff\xff\xff\xff" + bytes(20), Steer.ESP, "an SPI may begin with 0xff"),
]
TABLE = [
    *((port, *row) for row in BOTH for port in (ASN1, RFC7296)),
    (ASN1, b"\x30\x03\x02\x01\x00", Steer.IKE, "a DER SEQUENCE"),
    (ASN1, b"\x30\x00\x00\x00", Steer.IKE, "four octets suffice; the codec judges them"),
    (ASN1, b"\x00\x00\x00\x00", Steer.ESP, "no marker in this profile; the SAD knows no such SPI"),
    (RFC7296, b"\x00\x00\x00\x00" + bytes(28), Steer.IKE, "the non-ESP marker"),
    (RFC7296, b"\x00\x00\x00\x00", Steer.IKE, "nothing behind the marker; the codec judges it"),
    (RFC7296, b"\x00\x00\x00\x01" + bytes(28), Steer.ESP, "an SPI that is not zero; the SAD has none such"),
    (RFC7296, b"\x30\x82\x01\x00" + bytes(28), Steer.ESP, "no DER in this profile"),
    (IKE_ALONE, b"\x00\x00\x00\x00" + bytes(28), Steer.IKE, "no marker here: the codec refuses such an SPI"),
    (IKE_ALONE, b"\xc1\xa2\xb3\xc4" + bytes(28), Steer.IKE, "and no ESP either"),
    (IKE_ALONE, b"\xff\xff\xff\xff", Steer.IKE, "four octets suffice; the codec judges them"),
    (IKE_ALONE, b"\xff", Steer.TRUNCATED, "a keepalive is for mappings that ESP uses"),
    (IKE_ALONE, b"", Steer.TRUNCATED, "empty"),
]


@pytest.mark.parametrize(("port", "datagram", "where", "why"), TABLE, ids=lambda value: str(value)[:40])
def test_table(port: Port, datagram: bytes, where: Steer, why: str) -> None:
    assert port.steer(datagram) is where, why


@pytest.mark.parametrize("name", PROFILES)
@given(datagram=st.binary(max_size=64))
def test_every_datagram_goes_to_one_place_by_length_and_first_octets(name: str, datagram: bytes) -> None:
    port = PROFILES[name].port
    if len(datagram) < 4:
        assert port.steer(datagram) in (Steer.KEEPALIVE, Steer.TRUNCATED)
    else:
        ike = datagram[: len(port.first)] == port.first
        assert port.steer(datagram) is (Steer.IKE if ike else Steer.ESP)


@pytest.mark.parametrize("name", PROFILES)
@given(message=st.binary(max_size=64), spi=st.binary(min_size=4, max_size=4))
def test_what_a_profile_sends_comes_back_and_no_spi_of_ours_is_taken_for_it(
    name: str, message: bytes, spi: bytes
) -> None:
    profile = PROFILES[name]
    datagram = profile.port.datagram(message)
    assert profile.port.message(datagram) == message
    if profile.port.marker or message[:1] == profile.port.first:
        assert profile.port.steer(datagram.ljust(4, b"\0")) is Steer.IKE
    if spi[0] not in profile.reserved_spi_octets:
        assert profile.port.steer(spi + bytes(20)) is Steer.ESP


def test_the_marker_is_no_part_of_a_message() -> None:
    assert RFC7296.datagram(b"message") == b"\0\0\0\0message"
    assert RFC7296.message(b"\0\0\0\0message") == b"message"
    assert ASN1.datagram(b"message") == ASN1.message(b"message") == b"message"


def test_the_port_of_ike_alone() -> None:
    assert PROFILES["rfc7296"].ike_port is IKE_ALONE
    assert PROFILES["asn1"].ike_port is None, "one port for everything"
    assert IKE_ALONE.datagram(b"message") == IKE_ALONE.message(b"message") == b"message"
    assert [port.carries_esp for port in (ASN1, RFC7296, IKE_ALONE)] == [True, True, False]


def test_every_profile_of_the_configuration_is_there() -> None:
    assert list(PROFILES) == schema()["properties"]["profile"]["enum"]
