"""A thousand of each over a wire that loses, doubles and reorders, in virtual time."""

import pytest

from tests.engine.harness import CODECS
from tests.engine.losses import fragmented, handshake, jumbled, rekeyed
from tests.engine.test_lossy_wire import EARLY, GROWTH, held_after
from tests.long.conftest import Figure

pytestmark = pytest.mark.long
every_codec = pytest.mark.parametrize("codec", sorted(CODECS))

COUNT = 1_000


@every_codec
@pytest.mark.parametrize(("share", "least"), [(0.2, 999), (0.3, 990)])
def test_handshakes(codec: str, share: float, least: int, figure: Figure) -> None:
    up = sum(handshake(codec, seed, share) for seed in range(COUNT))
    figure(f"handshakes of {COUNT} at a loss of {share:.0%} each way", up)
    assert up >= least


def test_handshakes_in_fragments(figure: Figure) -> None:
    """IKE_AUTH in three pieces each way, which rfc7296 alone has."""
    up = sum(fragmented(seed, 0.2) for seed in range(COUNT))
    figure(f"handshakes of {COUNT} with IKE_AUTH in 3 + 3 fragments at a loss of 20 % each way", up)
    assert up >= 995


@every_codec
def test_everything_twice_and_in_another_order(codec: str, figure: Figure) -> None:
    up = sum(jumbled(codec, seed) for seed in range(COUNT))
    figure(f"exactly one IKE SA and one Child SA, of {COUNT}", up)
    assert up == COUNT


@every_codec
def test_rekeys(codec: str, figure: Figure) -> None:
    done = sum(rekeyed(codec, 5_000 + seed, 0.2, 10) for seed in range(COUNT // 10))
    figure("rekeys at a loss of 20 % each way, none of them lost an SA", done)
    assert done == COUNT


@every_codec
def test_memory(codec: str, figure: Figure) -> None:
    early, late = held_after(codec, EARLY, COUNT)
    figure(f"octets after {EARLY} and {COUNT} rekeys", f"{early} {late}")
    assert late <= GROWTH * early
