"""Floods over UDP on loopback, against real node processes."""

import asyncio
from pathlib import Path
from statistics import median

import pytest

from tests.long.conftest import Figure
from tests.node.conftest import make_credentials
from tests.property import flood
from tests.property.honest import name_of
from tests.property.junk import junk

pytestmark = pytest.mark.long

#: Half-open IKE SAs from which on cookies are wanted.
THRESHOLD = 30
#: Octets by which the responder may have grown: RSS growth of R12 is 20 MiB.
GROWTH = 20 * 2**20
MIB = 2**20
JUNK = 10_000


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Credentials of a responder and of a hundred initiators."""
    root = tmp_path_factory.mktemp("crowd")
    make_credentials(root / "ipsec" / "certs", ["responder", *map(name_of, range(100))])
    return root


@pytest.mark.parametrize(("requests", "seconds", "honest"), [(20_000, 20.0, 20), (100_000, 60.0, 100)])
def test_forged_requests(crowd: Path, figure: Figure, requests: int, seconds: float, honest: int) -> None:
    """All honest initiators complete, hardly slower than without it, and everything is given back."""
    result = flood.measure(crowd, requests, seconds, honest)
    completed = [time for time in result.flooded if time is not None]
    idle = [time for time in result.idle if time is not None]
    figure("honest handshakes", f"{len(completed)} of {honest}")
    figure("median ms idle, flooded", f"{median(idle):.1f} {median(completed):.1f}")
    figure("slowest ms idle, flooded", f"{max(idle):.1f} {max(completed):.1f}")
    figure("requests a second", f"{result.spoofed['sent'] / result.spoofed['seconds']:.0f}")
    figure("answers", result.spoofed["kinds"])
    figure(
        "octets back for each sent, largest answer", f"{result.amplification:.3f} {result.spoofed['largest']}"
    )
    figure("most half-open", result.peak.half_open)
    figure("key pairs, shared secrets", f"{result.key_pairs} {result.secrets}")
    figure("dropped", result.dropped)
    memory = (result.resident_before, result.peak.resident, result.resident_after)
    figure("RSS before, at most, after, MiB", " ".join(f"{octets / MIB:.1f}" for octets in memory))
    figure("seconds until cookies were lifted", result.lifted)
    assert len(completed) == honest
    assert result.slower <= 3
    assert result.peak.half_open <= THRESHOLD + honest
    assert result.key_pairs <= THRESHOLD + honest
    assert result.secrets == honest
    assert result.amplification <= 1.0
    assert result.spoofed["received"] <= result.spoofed["sent"]
    assert max(memory) - result.resident_before < GROWTH
    assert result.lifted is not None
    assert result.lifted < 10


def test_junk_ike_auth(crowd: Path, figure: Figure) -> None:
    responder = flood.Responder(crowd, 1, NODE_IKE__HALF_OPEN__LIFETIME="300")
    try:
        before = responder.resident
        asyncio.run(junk(crowd, responder, JUNK))
        found = responder.counters()
        figure("dropped", found["dropped"])
        figure("key derivations", found["events"]["shared_secret_derived"])
        figure("IKE SAs established", found["events"]["ike_sa_established"])
        figure("RSS before, after, MiB", f"{before / MIB:.1f} {responder.resident / MIB:.1f}")
        assert sum(found["dropped"].values()) == JUNK
        assert found["events"]["shared_secret_derived"] == found["events"]["ike_sa_established"] == 1
    finally:
        responder.close()
