"""Two nodes over UDP with a bad wire between them: a few of each; `make test-long` does a hundred."""

import asyncio
from pathlib import Path

import pytest

from tests.node.conftest import make_credentials
from tests.node.loopback import Wire
from tests.node.lossy import FRAGMENT, handshakes, rekeys

COUNT = 20
PROFILES = ["asn1", "rfc7296"]


@pytest.mark.parametrize("profile", PROFILES)
def test_handshakes(credentials: Path, profile: str) -> None:
    wire = Wire(loss=0.2)
    assert asyncio.run(handshakes(credentials, profile, wire, COUNT)) == COUNT
    assert wire.lost > 0


@pytest.mark.parametrize("profile", PROFILES)
def test_everything_twice_and_in_another_order(credentials: Path, profile: str) -> None:
    wire = Wire(copies=2, within=10)
    assert asyncio.run(handshakes(credentials, profile, wire, COUNT)) == COUNT


@pytest.mark.parametrize("profile", PROFILES)
def test_rekeys(credentials: Path, profile: str) -> None:
    assert asyncio.run(rekeys(credentials, profile, Wire(loss=0.2), COUNT, seed=1)) == (COUNT, COUNT)


def test_what_is_lost_does_not_come_up(credentials: Path) -> None:
    """The measure can fail: of a wire that loses everything nothing comes up."""
    lost = Wire(loss=1.0)
    few = {"NODE_IKE__RETRANSMIT__TRIES": "2"}
    assert asyncio.run(handshakes(credentials, "asn1", lost, 3, **few)) == 0
    assert lost.seen == lost.lost == 6


def test_three_fragments_each_way(tmp_path: Path) -> None:
    """What the long form counts is IKE_AUTH in three pieces both ways."""
    make_credentials(tmp_path / "ipsec" / "certs", large=True)

    wire = Wire()
    sizes = {"NODE_IKE__FRAGMENT_SIZE": str(FRAGMENT)}
    assert asyncio.run(handshakes(tmp_path, "rfc7296", wire, 1, **sizes)) == 1
    assert wire.seen == 2 + 3 + 3
