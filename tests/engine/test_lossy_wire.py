"""What gets through a bad wire: short forms; `make test-long` does a thousand of each."""

import gc
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType

import pytest

from node.ike.timers import Timers
from tests.engine.harness import Pair
from tests.engine.lives import rekey_child, rekey_ike
from tests.engine.losses import fast, fragmented, handshake, jumbled, rekeyed

#: Rekeys after which memory is compared, and by which share it may have grown.
EARLY, LATE, GROWTH = 10, 200, 1.05


@pytest.mark.parametrize("share", [0.2, 0.3])
def test_handshakes(codec: str, share: float) -> None:
    assert sum(handshake(codec, seed, share) for seed in range(40)) == 40


def test_handshakes_in_fragments() -> None:
    assert sum(fragmented(seed, 0.2) for seed in range(40)) == 40


def test_everything_twice_and_in_another_order(codec: str) -> None:
    assert sum(jumbled(codec, seed) for seed in range(40)) == 40


@pytest.mark.parametrize("seed", range(4))
def test_rekeys(codec: str, seed: int) -> None:
    assert rekeyed(codec, seed, 0.2, 10) == 10


def weight(*roots: object) -> int:
    """Octets of all objects that can be reached, but for code: what the endpoints hold.

    Counted so because the free lists of the interpreter make `tracemalloc` grow for hundreds of rekeys.
    """
    code = (type, ModuleType, FunctionType, BuiltinFunctionType)
    seen: dict[int, object] = {}
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, code):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return sum(map(sys.getsizeof, seen.values()))


def rekey_often(pair: Pair, numbers: range) -> int:
    """Rekeys from both ends in turn, every fifth one of the IKE SA; returns the octets that are held then."""
    for number in numbers:
        node = (pair.initiator, pair.responder)[number % 2]
        (rekey_ike if number % 5 == 0 else rekey_child)(pair, node)
        pair.drive()
        # An answer stays for half a minute when its IKE SA is gone (`node.ike.echoes`).
        pair.pass_time(40.0)
        pair.sent.clear()
        for one in (pair.initiator, pair.responder):
            one.outputs.clear()
    return weight(pair.initiator.endpoint, pair.responder.endpoint)


def held_after(codec: str, early: int, late: int) -> tuple[int, int]:
    """Octets that both endpoints hold after so many rekeys."""
    pair = fast(codec).establish()
    found = rekey_often(pair, range(1, early + 1)), rekey_often(pair, range(early + 1, late + 1))
    assert pair.up()
    return found


def test_memory_does_not_grow(codec: str) -> None:
    early, late = held_after(codec, EARLY, LATE)
    assert late <= GROWTH * early


def test_a_leak_is_noticed(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure can fail: timers of IKE SAs that are gone make it grow."""
    honest = Timers.set
    monkeypatch.setattr(Timers, "set", lambda timers, key, when: honest(timers, key, when or 1e9))
    early, late = held_after(codec, EARLY, LATE)
    assert late > GROWTH * early


def test_a_cut_wire_is_noticed(codec: str) -> None:
    """The measures can fail: nothing comes up over a cut wire, and no IKE SA outlives a rekey over it."""
    assert not handshake(codec, 1, 1.0)
    with pytest.raises(ValueError, match="not enough values"):
        rekeyed(codec, 1, 1.0, 1)
