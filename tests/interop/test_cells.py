"""The matrix: how many cells, the same every time, and every combination in one of them."""

from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.interop import cells
from lab.interop.cells import FACTORS, KES, METHODS, ROLES, SUITES, Cell


def values(cell: Cell) -> tuple[str, ...]:
    return (cell.role, cell.auth, cell.ke, cell.suite)


def test_the_matrix_has_at_least_sixty_cells_and_none_twice() -> None:
    matrix = cells.matrix()
    assert len(matrix) >= 60
    assert len({cell.name for cell in matrix}) == len(matrix)


def test_it_is_the_same_every_time() -> None:
    assert cells.matrix() == cells.matrix()
    assert cells.matrix(2) == cells.matrix(2)


@pytest.mark.parametrize("strength", [2, 3])
def test_every_combination_of_values_is_in_a_cell(strength: int) -> None:
    matrix = cells.matrix(strength)
    for chosen in combinations(range(len(FACTORS)), strength):
        wanted = set(product(*(FACTORS[factor] for factor in chosen)))
        found = {tuple(values(cell)[factor] for factor in chosen) for cell in matrix}
        assert found == wanted


def test_every_pair_is_in_the_whole_matrix_too() -> None:
    matrix = cells.matrix()
    for one, other in combinations(range(len(FACTORS)), 2):
        found = {(values(cell)[one], values(cell)[other]) for cell in matrix}
        assert found == set(product(FACTORS[one], FACTORS[other]))


def test_the_factors_are_those_that_were_asked_for() -> None:
    assert set(ROLES) == {"initiator", "responder"}
    assert set(METHODS) == {"rsa", "pss", "ecdsa-p256", "ecdsa-p384", "ed25519", "psk"}
    assert set(KES) == {"modp2048", "ecp256", "ecp384", "x25519"}
    assert set(SUITES) == {"cbc", "gcm128", "gcm256", "chacha"}


def test_every_cell_is_within_what_the_node_can_do() -> None:
    for cell in cells.matrix():
        ike, esp = cell.suites
        assert ike.node
        assert esp.node
        assert ike.keywords == cell.ike
        assert esp.keywords == cell.esp


factors = st.lists(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True), min_size=2, max_size=4
)


@given(factors, st.integers(2, 3))
def test_covering_rows_cover_and_none_is_for_nothing(given_factors: list[list[str]], strength: int) -> None:
    strength = min(strength, len(given_factors))
    rows = list(cells.covering(given_factors, strength))
    wanted = {mix for row in product(*given_factors) for mix in cells.mixes(row, strength)}
    seen: set[object] = set()
    for row in rows:
        mixes = set(cells.mixes(row, strength))
        assert mixes - seen
        seen |= mixes
    assert seen == wanted
