"""What the fuzzer calls, with its seeds and some mutants of them; `make test-long` lets it find its own."""

import random
from collections.abc import Iterator

import pytest

from tests.property.grammar import mutated, parsed, written
from tests.property.hostile import SLOWEST, mutate
from tests.property.stopwatch import Stopwatch
from tests.property.strategies import STRATEGIES
from tests.property.targets import TARGETS, Target, close

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
    watch = Stopwatch()
    for seed in seeds:
        for octets in (seed, *_mutants(target, seed, seeds, draw)):
            with watch:
                target.run(octets)
            assert watch.own < SLOWEST, octets.hex()


def _mutants(target: Target, seed: bytes, seeds: list[bytes], draw: random.Random) -> Iterator[bytes]:
    for strategy in STRATEGIES.values():
        yield from strategy.some(seed, SHARE, draw)
    if target.der_at is not None:
        head, inside = seed[: target.der_at], seed[target.der_at :]
        for _ in range(10 * SHARE):
            other = draw.choice(seeds)[target.der_at :]
            yield head + mutated(draw, inside, other, lambda octets: mutate(draw, octets, [other]))  # noqa: B023


def test_grammar_keeps_what_it_does_not_change() -> None:
    for octets in TARGETS["codec"].seeds():
        tree = parsed(octets)
        assert tree is not None
        assert written(tree) == octets
