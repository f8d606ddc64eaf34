"""bench/memory: what counts as met, and what as growing."""

import pytest

from bench.memory import CASES, Case, Result

OBJECTS = Case("asn1", "objects", 10, 2, 1_000)
RESIDENT = Case("rfc7296", "resident", 10, 2, 1_000)


@pytest.mark.parametrize(
    ("case", "held", "left", "good"),
    [
        (OBJECTS, (900, 1_000), (5, 5), True),
        (OBJECTS, (900, 1_001), (5, 5), False),
        (OBJECTS, (900, 900), (5, 22), False),
        (RESIDENT, (400, 900), (5, 5_000), True),
        (RESIDENT, (400, 913), (5, 5), False),
        (RESIDENT, (900, 1_001), (5, 5), False),
    ],
    ids=["met", "too much", "objects stay", "pages stay", "pages grow", "too many pages"],
)
def test_verdict(case: Case, held: tuple[float, ...], left: tuple[float, ...], good: bool) -> None:
    assert Result(case, held, left).good is good


def test_the_largest_case_is_as_many_as_one_node_may_have() -> None:
    assert max(case.sas for case in CASES if case.profile == "rfc7296" and case.data_path) == 10_000
