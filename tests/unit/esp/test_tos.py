"""DSCP and ECN across the tunnel: every pair of codepoints, and checksums that stay right."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.esp import tos

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.packet import Raw  # noqa: E402

#: RFC 6040 4.2, figure 4: (arriving inner, arriving outer) to the outgoing codepoint; None: dropped.
FIGURE_4 = {
    ("Not-ECT", "Not-ECT"): "Not-ECT",
    ("Not-ECT", "ECT(0)"): "Not-ECT",
    ("Not-ECT", "ECT(1)"): "Not-ECT",
    ("Not-ECT", "CE"): None,
    ("ECT(0)", "Not-ECT"): "ECT(0)",
    ("ECT(0)", "ECT(0)"): "ECT(0)",
    ("ECT(0)", "ECT(1)"): "ECT(1)",
    ("ECT(0)", "CE"): "CE",
    ("ECT(1)", "Not-ECT"): "ECT(1)",
    ("ECT(1)", "ECT(0)"): "ECT(1)",
    ("ECT(1)", "ECT(1)"): "ECT(1)",
    ("ECT(1)", "CE"): "CE",
    ("CE", "Not-ECT"): "CE",
    ("CE", "ECT(0)"): "CE",
    ("CE", "ECT(1)"): "CE",
    ("CE", "CE"): "CE",
}
CODES = {"Not-ECT": 0, "ECT(1)": 1, "ECT(0)": 2, "CE": 3}


def _packet(version: int, octet: int, ttl: int = 64) -> bytes:
    payload = UDP(sport=1, dport=2) / Raw(b"what is inside")
    if version == 4:
        return bytes(IP(src="10.0.0.1", dst="10.0.0.2", tos=octet, ttl=ttl) / payload)
    return bytes(IPv6(src="2001:db8::1", dst="2001:db8::2", tc=octet, fl=0xABCDE, hlim=ttl) / payload)


@pytest.mark.parametrize("version", [4, 6])
@given(octet=st.integers(0, 255))
def test_the_octet_of_a_packet_is_found(version: int, octet: int) -> None:
    assert tos.octet(_packet(version, octet)) == octet


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("pair", "left"), FIGURE_4.items(), ids=str)
@settings(max_examples=25, deadline=None)
@given(dscp=st.integers(0, 63), outer_dscp=st.integers(0, 63), ttl=st.integers(1, 255))
def test_congestion_that_was_met_on_the_way_is_handed_on(
    version: int, pair: tuple[str, str], left: str | None, dscp: int, outer_dscp: int, ttl: int
) -> None:
    inner, outer = (CODES[name] for name in pair)
    arrived = tos.arrived(_packet(version, dscp << 2 | inner, ttl), outer_dscp << 2 | outer)
    # What scapy makes with that codepoint has the right header checksum, and nothing else is different.
    assert arrived == (None if left is None else _packet(version, dscp << 2 | CODES[left], ttl))
