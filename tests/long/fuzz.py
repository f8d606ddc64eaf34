"""Coverage-guided fuzzing of one target, by atheris, which is not locked: `.venv/bin/pip install atheris`.

    python -m tests.long.fuzz TARGET CORPUS [options of libFuzzer, as -max_total_time=60]
    python -m tests.long.fuzz TARGET CORPUS --replay

CORPUS is a directory: seeds are put into it, and what reaches new code is kept there. `--replay` runs all of
it once, without instrumentation, and ends with 1 where one input takes more than the bound for a datagram.
"""

import gc
import random
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from tests.property.grammar import mutated

#: Octets of an input: more than any message of these sizes has, less than what makes a fuzzer slow.
MAX_LENGTH = 4096
#: Seconds of one input under instrumentation before it counts as endless.
ENDLESS = 5


def fuzz(name: str, corpus: Path, options: Sequence[str]) -> None:
    """Fuzz, until libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["node"]):
        from tests.property.targets import TARGETS
    target = TARGETS[name]
    seeds = list(target.seeds())
    for octets in seeds:
        (corpus / sha256(octets).hexdigest()).write_bytes(octets)
    arguments = [
        sys.argv[0],
        str(corpus),
        f"-max_len={MAX_LENGTH}",
        f"-timeout={ENDLESS}",
        f"-artifact_prefix={corpus.parent}/{name}-",
        *options,
    ]
    start = target.der_at

    def mutate(octets: bytes, most: int, seed: int) -> bytes:
        """Now by its own means, now with DER that keeps its lengths right."""
        draw = random.Random(seed)
        if start is None or draw.random() < 0.3:
            return bytes(atheris.Mutate(octets, most))
        other = draw.choice(seeds)[start:]
        changed = mutated(draw, octets[start:], other, lambda inside: bytes(atheris.Mutate(inside, most)))
        return (octets[:start] + changed)[:most]

    atheris.Setup(arguments, target.run, custom_mutator=mutate)
    atheris.Fuzz()


def replay(name: str, corpus: Path) -> int:
    """Run everything in the corpus once; 1 where one input is too slow."""
    from tests.property.hostile import SLOWEST
    from tests.property.stopwatch import Stopwatch
    from tests.property.targets import TARGETS

    watch, slowest, which, inputs = Stopwatch(), 0.0, "", sorted(corpus.iterdir())
    TARGETS[name].run(b"")
    gc.collect()
    gc.freeze()
    for path in inputs:
        octets = path.read_bytes()
        with watch:
            TARGETS[name].run(octets)
        if watch.own > slowest:
            slowest, which = watch.own, path.name
    print(f"{len(inputs)} inputs, slowest {1e3 * slowest:.1f} ms: {which}")
    return int(slowest >= SLOWEST)


def main(arguments: Sequence[str]) -> int:
    """Fuzz or replay; returns the exit code."""
    name, corpus, *options = arguments
    directory = Path(corpus)
    directory.mkdir(parents=True, exist_ok=True)
    if options == ["--replay"]:
        return replay(name, directory)
    fuzz(name, directory, options)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
