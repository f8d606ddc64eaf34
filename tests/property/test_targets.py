"""What the fuzzer calls, with its seeds and some mutants of them; `make test-long` lets it find its own."""

import random
from collections.abc import Iterator

import pytest

from tests.property.hostile import SLOWEST
from tests.property.stopwatch import Stopwatch
from tests.property.strategies import STRATEGIES
from tests.property.targets import TARGETS, close

#: Mutants of each seed by each strategy.
SHARE = 12

#: What fuzzing found, by target; each was a failure once.
FOUND: dict[str, list[bytes]] = {name: [] for name in TARGETS}


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """What targets keep is given back."""
    yield
    close()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_mutants(name: str) -> None:
    target, draw = TARGETS[name], random.Random(3)
    seeds = [*target.seeds(), *FOUND[name], b""]
    target.run(seeds[0])  # what is made once, on first use
    with Stopwatch() as watch:
        for seed in seeds:
            mutants = (m for s in STRATEGIES.values() for m in s.some(seed, SHARE, draw))
            for octets in (seed, *mutants):
                watch.run(lambda octets=octets: target.run(octets))  # type: ignore[misc]
                assert watch.own < SLOWEST, octets.hex()
