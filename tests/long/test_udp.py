"""A hundred of each over UDP on loopback, two whole nodes with a wire that loses, doubles and reorders."""

import asyncio
from pathlib import Path

import pytest

from tests.long.conftest import Figure
from tests.node.conftest import make_credentials
from tests.node.loopback import Wire
from tests.node.lossy import FRAGMENT, handshakes, rekeys

pytestmark = pytest.mark.long

COUNT = 100
every_profile = pytest.mark.parametrize("profile", ["asn1", "rfc7296"])


@every_profile
@pytest.mark.parametrize(("loss", "least"), [(0.2, 100), (0.3, 99)])
def test_handshakes(directory: Path, profile: str, loss: float, least: int, figure: Figure) -> None:
    wire = Wire(loss=loss)
    up = asyncio.run(handshakes(directory, profile, wire, COUNT))
    figure(f"UDP handshakes of {COUNT} at a loss of {loss:.0%} each way", up)
    figure("UDP datagrams, lost ones", f"{wire.seen} {wire.lost}")
    assert up >= least


def test_handshakes_in_fragments(tmp_path: Path, figure: Figure) -> None:
    """IKE_AUTH in three pieces each way."""
    make_credentials(tmp_path / "ipsec" / "certs", large=True)
    sizes = {"NODE_IKE__FRAGMENT_SIZE": str(FRAGMENT)}
    up = asyncio.run(handshakes(tmp_path, "rfc7296", Wire(loss=0.2), COUNT, **sizes))
    figure(f"UDP handshakes of {COUNT} with IKE_AUTH in 3 + 3 fragments at a loss of 20 %", up)
    assert up >= COUNT - 1


@every_profile
def test_everything_twice_and_in_another_order(directory: Path, profile: str, figure: Figure) -> None:
    up = asyncio.run(handshakes(directory, profile, Wire(copies=2, within=10), COUNT))
    figure(f"UDP, exactly one IKE SA and one Child SA, of {COUNT}", up)
    assert up == COUNT


@every_profile
def test_rekeys(directory: Path, profile: str, figure: Figure) -> None:
    replaced, left = asyncio.run(rekeys(directory, profile, Wire(loss=0.2), COUNT, seed=7))
    figure(f"UDP, SAs replaced of {COUNT} at a loss of 20 % each way, IKE SAs left", f"{replaced} {left}")
    assert (replaced, left) == (COUNT, COUNT)
