"""Each of the 43 pieces of bad DER, 254 times, at a node: each copy is counted under one reason, and no more.

alone       as the whole datagram, as anybody can send it
in clear    behind the header of an IKE_SA_INIT request
protected   as the plaintext of an INFORMATIONAL request, as a peer with the keys can send it
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from node.ike.sa import IkeSa
from node.model.message import NO_SPI, Header, HeaderFlags
from node.model.registry import ExchangeType, PayloadType
from node.wire.asn1 import codec, der
from node.wire.asn1.limits import MAX_DATAGRAM
from tests.property.hostile import STRANGER, Stage, play, sealed_with
from tests.property.resident import resident
from tests.property.scenes import established

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "der_bad.json"
BAD = {case["id"]: bytes.fromhex(case["hex"]) for case in json.loads(VECTORS.read_text())["cases"]}
#: As many as VPP sends of each of its malformed messages.
COPIES = 254
#: Octets by which the process may have grown after all of it.
GROWTH = 2**20

HEADER = Header(bytes(range(1, 9)), NO_SPI, ExchangeType.IKE_SA_INIT, 0, int(HeaderFlags.INITIATOR))
#: Larger ones do not fit in a datagram once there is something around them.
FITTING = sorted(name for name, octets in BAD.items() if len(octets) < MAX_DATAGRAM - 200)


def test_there_are_43() -> None:
    assert len(BAD) == 43


def dropped(stage: Stage, octets: bytes) -> Counter[str]:
    """What that many copies are counted under; nothing is sent and no IKE SA made."""
    node, before = stage.responder.node, Counter(stage.responder.node.log.dropped)
    for _ in range(COPIES):
        stage.hand(stage.responder, octets, STRANGER)
    assert stage.responder.wire.sent == []
    assert not node.endpoint.sas()
    return Counter(node.log.dropped) - before


@pytest.mark.parametrize("name", sorted(BAD))
def test_alone(directory: Path, name: str) -> None:
    def scene(stage: Stage) -> None:
        found = dropped(stage, BAD[name])
        assert list(found.values()) == [COPIES], found
        told = sum('"datagram_dropped"' in line for line in stage.responder.lines)
        assert told == 7  # the first five, the tenth and the hundredth

    play(directory, scene, 1)


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("first", [PayloadType.SA, PayloadType.NOTIFY])
def test_in_clear(directory: Path, name: str, first: PayloadType) -> None:
    octets = der.sequence(codec._write_header(HEADER, first) + BAD[name])

    def scene(stage: Stage) -> None:
        found = dropped(stage, octets)
        assert list(found.values()) == [COPIES], found

    play(directory, scene, 1)


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("wrapped", [False, True])
def test_protected(directory: Path, name: str, wrapped: bool) -> None:
    """The first one ends the IKE SA, and its author is told; the others are that request once more."""
    plain = der.sequence(BAD[name]) if wrapped else BAD[name]
    pad = -(len(plain) + 1) % 16

    def scene(stage: Stage) -> None:
        octets = _request(established(stage), plain + bytes(pad) + bytes((pad,)))
        node = stage.responder.node
        before = Counter(node.log.dropped)
        for _ in range(COPIES):
            stage.hand(stage.responder, octets, stage.initiator.address)
        found = Counter(node.log.dropped) - before
        if wrapped and name == "empty":
            # That is a liveness check, and a good one.
            assert (dict(found), len(stage.responder.established())) == ({}, 1)
        else:
            assert list(found.values()) == [1], found
            assert not node.endpoint.sas()
        assert node.log.emitted["response_repeated"] == COPIES - 1
        assert len({sent for sent, _ in stage.responder.wire.sent}) == 1
        stage.responder.wire.sent.clear()

    play(directory, scene, 1)


def _request(sa: IkeSa, plain: bytes) -> bytes:
    flags = HeaderFlags.INITIATOR if sa.is_initiator else 0
    header = Header(sa.spi_i, sa.spi_r, ExchangeType.INFORMATIONAL, sa.window.next_id, flags)
    assert sa.protection is not None
    return sealed_with(sa.protection.outbound, header, plain)


def test_nothing_of_it_stays_in_memory(directory: Path) -> None:
    def scene(stage: Stage) -> None:
        for octets in BAD.values():
            dropped(stage, octets)
        before = resident()
        for octets in BAD.values():
            dropped(stage, octets)
        assert resident() - before < GROWTH

    play(directory, scene, 1)
