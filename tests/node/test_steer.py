"""The one port: IKE, ESP, keepalives and scraps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.steer import Steer, steer

TABLE = [
    (b"\xff", Steer.KEEPALIVE, "NAT keepalive"),
    (b"", Steer.TRUNCATED, "empty"),
    (b"\xff\xff", Steer.TRUNCATED, "two octets are no keepalive"),
    (b"\x30\x82\x01", Steer.TRUNCATED, "too short even for IKE"),
    (b"\x30\x03\x02\x01\x00", Steer.IKE, "a DER SEQUENCE"),
    (b"\x30\x00\x00\x00", Steer.IKE, "four octets suffice; the codec judges them"),
    (b"\x31\x00\x00\x00", Steer.ESP, "any other first octet"),
    (b"\x00\x00\x00\x00", Steer.ESP, "no marker in this profile; the SAD knows no such SPI"),
    (b"\xff\xff\xff\xff" + bytes(20), Steer.ESP, "an SPI may begin with 0xff"),
]


@pytest.mark.parametrize(("datagram", "where", "why"), TABLE, ids=[why for *_, why in TABLE])
def test_table(datagram: bytes, where: Steer, why: str) -> None:
    assert steer(datagram) is where, why


@given(st.binary(max_size=64))
def test_every_datagram_goes_to_one_place_by_length_and_first_octet(datagram: bytes) -> None:
    expected = {True: Steer.IKE, False: Steer.ESP}
    if len(datagram) >= 4:
        assert steer(datagram) is expected[datagram[0] == 0x30]
    else:
        assert steer(datagram) in (Steer.KEEPALIVE, Steer.TRUNCATED)
