"""The anti-replay window (RFC 4303 3.4.3, A2) against tables and against a naive model."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import DropReason, LocalMisuse
from node.esp.replay import LAST_SEQUENCE, MAX_WINDOW, MIN_WINDOW, SUBSPACE, ReplayWindow
from tests.property.stopwatch import Stopwatch

STALE, REPLAYED = DropReason.ESP_STALE, DropReason.ESP_REPLAYED


class Naive:
    """Every number ever seen, and the rule in one line."""

    def __init__(self, size: int) -> None:
        self.size, self.top = size, 0
        self.seen: set[int] = set()

    def check(self, sequence: int) -> DropReason | None:
        if sequence < 1 or sequence <= self.top - self.size:
            return STALE
        return REPLAYED if sequence in self.seen else None

    def mark(self, sequence: int) -> None:
        self.seen.add(sequence)
        self.top = max(self.top, sequence)


def offer(window: ReplayWindow, sequence: int) -> DropReason | None:
    """Check, then mark where accepted, as for a packet whose ICV passes."""
    reason = window.check(sequence)
    if reason is None:
        window.mark(sequence)
    return reason


# sequence numbers that pass, then one number and what becomes of it
TABLE = [
    ([], 0, STALE),
    ([], 1, None),
    ([], 0xFFFFFFFF, None),
    ([1], 0, STALE),
    ([1], 1, REPLAYED),
    ([1], 2, None),
    ([64], 1, None),
    ([65], 1, STALE),
    ([65], 2, None),
    ([65, 2], 2, REPLAYED),
    ([2, 65], 2, REPLAYED),
    ([1, 65], 1, STALE),
    ([100, 99, 98], 99, REPLAYED),
    ([100], 37, None),
    ([100], 36, STALE),
    ([5, 69], 5, STALE),
    ([5, 68], 5, REPLAYED),
    ([1, 1000], 999, None),
    ([1, 0xFFFFFFFF], 0xFFFFFFFE, None),
    ([0xFFFFFFFF], 0xFFFFFFFF, REPLAYED),
    ([0xFFFFFFFF], 1, STALE),
]


@pytest.mark.parametrize(("passed", "sequence", "expected"), TABLE)
def test_table(passed: list[int], sequence: int, expected: DropReason | None) -> None:
    window = ReplayWindow(64)
    for number in passed:
        assert offer(window, number) is None
    assert window.check(sequence) == expected


@pytest.mark.parametrize("size", [MIN_WINDOW - 1, 0, -1, MAX_WINDOW + 1])
def test_sizes_out_of_bounds_are_refused(size: int) -> None:
    with pytest.raises(LocalMisuse, match="replay window"):
        ReplayWindow(size)


def test_checking_never_moves_the_window() -> None:
    window = ReplayWindow(64)
    for number in (1, 2, 3):
        window.mark(number)
    for forged in (4, 1 << 20, 0xFFFFFFFF, 0, 2):
        window.check(forged)
    assert window.top == 3
    assert [window.check(n) for n in (1, 3, 4)] == [REPLAYED, REPLAYED, None]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(MIN_WINDOW, 300),
    st.lists(st.one_of(st.integers(0, 700), st.integers(0xFFFFFF00, 0xFFFFFFFF)), max_size=80),
    st.lists(st.booleans(), min_size=80, max_size=80),
)
def test_equals_the_naive_model(size: int, numbers: list[int], passes: list[bool]) -> None:
    window, naive = ReplayWindow(size), Naive(size)
    for number, icv_passes in zip(numbers, passes, strict=False):
        reason = window.check(number)
        assert reason == naive.check(number)
        if reason is None and icv_passes:
            window.mark(number)
            naive.mark(number)
        assert window.top == naive.top


@pytest.mark.parametrize("size", [64, 8192])
def test_a_million_packets_reordered_and_duplicated(size: int) -> None:
    """Reordering below the window and one duplicate in ten: each number is accepted exactly once."""
    chosen, total = random.Random(size), 1_000_000
    arriving = list(range(1, total + 1))
    for start in range(0, total, size):
        # Within a block of the window's size every order is allowed.
        block = arriving[start : start + size]
        chosen.shuffle(block)
        arriving[start : start + size] = block
    window = ReplayWindow(size)
    accepted = bytearray(total + 1)
    for index, number in enumerate(arriving):
        if window.check(number) is None:
            window.mark(number)
            accepted[number] += 1
        if index % 10 == 0:
            again = arriving[chosen.randrange(max(0, index - size), index + 1)]
            if window.check(again) is None:
                window.mark(again)
                accepted[again] += 1
    assert accepted.count(1) == total


def test_an_authenticated_jump_over_billions_is_cheap() -> None:
    window = ReplayWindow(64)
    window.mark(1)
    with Stopwatch() as watch:
        window.mark(1 << 63)
    assert watch.own < 0.05
    assert window.check((1 << 63) - 63) is None
    assert window.check((1 << 63) - 64) == STALE


# highest number so far, low 32 bits received, what they stand for (RFC 4303 A2.2, window of 64)
ESN_TABLE = [
    (0, 1, 1),
    (100, 99, 99),
    (100, 37, 37),
    (100, 36, SUBSPACE + 36),  # case A, left of the window: the next subspace
    (0xFFFFFFFF, 0, SUBSPACE),
    (0xFFFFFFFF, 0xFFFFFFC0, 0xFFFFFFC0),
    (0xFFFFFFFF, 0xFFFFFFBF, SUBSPACE + 0xFFFFFFBF),
    (SUBSPACE, 0xFFFFFFFF, 0xFFFFFFFF),  # case B: the window reaches back into the last subspace
    (SUBSPACE, 0xFFFFFFC1, 0xFFFFFFC1),
    (SUBSPACE, 0xFFFFFFC0, SUBSPACE + 0xFFFFFFC0),
    (SUBSPACE + 62, 0xFFFFFFFF, 0xFFFFFFFF),
    (SUBSPACE + 63, 0xFFFFFFFF, SUBSPACE + 0xFFFFFFFF),
    (5 * SUBSPACE + 7, 9, 5 * SUBSPACE + 9),
    (10, 0xFFFFFFFF, -1),  # before the first packet: never valid
]


@pytest.mark.parametrize(("top", "low", "expected"), ESN_TABLE)
def test_extended_sequence_numbers(top: int, low: int, expected: int) -> None:
    window = ReplayWindow(64)
    window.top = top
    assert window.extend(low) == expected


def test_a_number_before_the_first_is_stale() -> None:
    window = ReplayWindow(64)
    assert window.check(window.extend(0xFFFFFFFF)) == STALE
    assert window.check(window.extend(0)) == STALE


@settings(max_examples=300, deadline=None)
@given(st.integers(MIN_WINDOW, MAX_WINDOW), st.integers(1, 1 << 40), st.data())
def test_extension_finds_every_number_near_the_window(size: int, top: int, data: st.DataObject) -> None:
    window = ReplayWindow(size)
    window.top = top
    number = data.draw(st.integers(max(1, top - size + 1), top + SUBSPACE - size))
    assert window.extend(number & 0xFFFFFFFF) == number


@settings(max_examples=100, deadline=None)
@given(
    st.integers(MIN_WINDOW, 100),
    st.lists(st.lists(st.integers(1, 90), min_size=1, max_size=150), min_size=1, max_size=4),
    st.integers(0, 1 << 40),
)
def test_marking_many_at_once_is_marking_each(size: int, steps: list[list[int]], start: int) -> None:
    window, singly = ReplayWindow(size), ReplayWindow(size)
    at = start
    for run in steps:
        numbers = [at := at + step for step in run]
        window.mark_rising(np.array(numbers, np.uint64))
        for number in numbers:
            singly.mark(number)
        around = range(at - 2 * size, at + 3)
        assert [window.check(n) for n in around] == [singly.check(n) for n in around]
        assert window.top == singly.top == at


def test_a_number_beyond_the_last_is_refused() -> None:
    window = ReplayWindow(64)
    window.mark(LAST_SEQUENCE)
    assert window.check(window.extend(0)) == STALE
    assert window.check(LAST_SEQUENCE + 1) == STALE


def test_the_cost_does_not_grow_with_the_window() -> None:
    spent = {}
    for size in (MIN_WINDOW, MAX_WINDOW):
        window = ReplayWindow(size)
        with Stopwatch() as watch:
            for number in range(1, 200_000, 7):
                window.check(number)
                window.mark(number)
        spent[size] = watch.own
    assert spent[MAX_WINDOW] < 3 * spent[MIN_WINDOW]
