"""Published ESP packets: AES-GCM (draft-mcgrew-gcm-test-01) and ChaCha20-Poly1305 (RFC 7634 appendix A)."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from node.errors import DropReason
from node.esp.inner import total_length
from node.esp.packet import HEADER_SIZE, MIN_SPI, trailer, unpad
from node.esp.tunnel import Incoming, Refused
from node.model.child import ChildSa, DirectionKeys
from node.model.proposal import Suite
from node.model.registry import EncrId
from node.model.secret import Secret
from node.model.selectors import TrafficSelector, address
from tests.unit.esp.support import child, end, esp, suite

VECTORS = Path(__file__).parents[2] / "vectors"


def cases(name: str) -> list[dict[str, Any]]:
    """The ESP packets of a file of vectors."""
    return [
        case
        for path in VECTORS.rglob(name)
        for case in json.loads(path.read_text())["cases"]
        if "esp_packet" in case
    ]


GCM_CASES = cases("esp_aes_gcm_mcgrew.json")
CHACHA_CASES = cases("chacha20poly1305_rfc7634.json")


def described(case: dict[str, Any]) -> tuple[ChildSa, bytes]:
    """An SA that would carry the case's inner packet, whatever its addresses, and the plaintext."""
    plain = bytes.fromhex(case["plaintext_with_trailer"])
    key = bytes.fromhex(case["key"]) + bytes.fromhex(case["salt"])
    if "seq" in case:
        chosen: Suite = suite(EncrId.ENCR_AES_GCM_16, (len(key) - 4) * 8, esn=case["esn"])
    else:
        chosen = suite(EncrId.ENCR_CHACHA20_POLY1305, None)
    v4 = plain[0] >> 4 == 4
    everything = (TrafficSelector(address(bytes(4 if v4 else 16)), address(b"\xff" * (4 if v4 else 16))),)
    one = child(chosen, inbound=bytes.fromhex(case["esp_packet"])[:4], local=everything, peer=everything)
    return dataclasses.replace(one, inbound=DirectionKeys(Secret(key), Secret(b""))), plain


def number(case: dict[str, Any]) -> int:
    return int(case["seq"], 16) if "seq" in case else int(case["aad"][8:], 16)


def usable(case: dict[str, Any]) -> bool:
    """False where the SPI is one that is never on the wire, or the sequence number one that is never sent."""
    return int(case["esp_packet"][:8], 16) >= MIN_SPI and number(case) > 0


USABLE = [c for c in GCM_CASES + CHACHA_CASES if usable(c)]


@pytest.mark.parametrize("case", USABLE, ids=lambda c: str(c.get("case", "chacha20-poly1305")))
def test_published_packets(case: dict[str, Any]) -> None:
    one, plain = described(case)
    ours, datagram, sequence = end(one), bytes.fromhex(case["esp_packet"]), number(case)
    sa = ours.sad.by_spi.get(int.from_bytes(one.inbound_spi))
    assert sa is not None
    # The receiver of a packet far from the start has seen the one before.
    if sequence > 1:
        sa.window.mark(sequence - 1)
    verdict = unpad(plain)
    result = ours.tunnel.decapsulate(datagram)
    if isinstance(verdict, DropReason):
        assert isinstance(result, Refused)
        assert result.reason is verdict
        return
    packet = plain[:verdict]
    assert isinstance(result, Incoming), result
    assert result == Incoming(packet[: total_length(packet)], one.inbound_spi, sequence, True)
    assert isinstance(ours.tunnel.decapsulate(datagram), Refused)


@pytest.mark.parametrize("case", USABLE, ids=lambda c: str(c.get("case", "chacha20-poly1305")))
def test_published_trailers_are_ours(case: dict[str, Any]) -> None:
    plain = bytes.fromhex(case["plaintext_with_trailer"])
    verdict = unpad(plain)
    if not isinstance(verdict, DropReason):
        assert trailer(verdict, 4, plain[-1]) == plain[verdict:]


@pytest.mark.parametrize("case", USABLE, ids=lambda c: str(c.get("case", "chacha20-poly1305")))
def test_the_second_implementation_makes_the_same_octets(case: dict[str, Any]) -> None:
    one, plain = described(case)
    made = esp(one.suite, one.inbound, one.inbound_spi, number(case), plain)
    datagram = bytes.fromhex(case["esp_packet"])
    assert (len(made), made[:HEADER_SIZE]) == (len(datagram), datagram[:HEADER_SIZE])


def test_most_published_packets_are_usable() -> None:
    assert len(USABLE) >= 12
