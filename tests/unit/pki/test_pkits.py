"""NIST PKITS: every verdict that needs neither CRLs nor policies, with the reason that must be reported."""

from datetime import UTC, datetime

import pytest

from node.errors import AuthError, AuthFailure
from node.pki.certificate import Certificate, read
from node.pki.keys import KeyPolicy
from node.pki.path import anchor, find_path
from tests.unit.pki import pkits

#: PKITS 1.0.1 certificates are valid from 2010 to 2030.
MOMENT = datetime(2020, 1, 1, tzinfo=UTC)


def _judge(end_entity: str, path: tuple[str, ...]) -> AuthFailure | None:
    try:
        others = [certificate for certificate in map(_read, path) if certificate is not None]
        anchors = [anchor(pkits.der(pkits.ANCHOR), KeyPolicy())]
        find_path(read(pkits.der(end_entity)), others, anchors, MOMENT, KeyPolicy())
    except AuthError as error:
        return error.failure
    return None


def _read(name: str) -> Certificate | None:
    """As the verifier does it: an intermediate that cannot be read is ignored."""
    try:
        return read(pkits.der(name))
    except AuthError:
        return None


@pytest.mark.parametrize("case", pkits.CASES, ids=lambda case: f"{case.section}-{case.end_entity}")
def test_verdict(case: pkits.Case) -> None:
    assert _judge(case.end_entity, case.path) == case.failure


@pytest.mark.parametrize("case", pkits.CASES, ids=lambda case: case.section)
def test_table_agrees_with_the_names_of_the_suite(case: pkits.Case) -> None:
    """PKITS writes its own verdict into each file name: the table cannot drift from it."""
    valid = case.end_entity.startswith("Valid")
    assert (case.failure is None) == (valid and case.end_entity not in pkits.NOT_SUPPORTED)


def test_every_end_entity_of_the_suite_is_judged_or_excluded() -> None:
    judged = {case.end_entity for case in pkits.CASES}
    assert judged.isdisjoint(pkits.EXCLUDED)
    assert judged | set(pkits.EXCLUDED) == set(pkits.names("EE"))


@pytest.mark.parametrize("name", [name for name in pkits.NEEDS_POLICIES if name.startswith("Invalid")])
def test_what_policies_forbid_is_refused(name: str) -> None:
    """Without support for policies we may refuse too much, never too little."""
    others = tuple(other for other in pkits.names("Cert") if other != pkits.ANCHOR)
    assert _judge(name, others) is not None


def test_the_order_of_intermediates_does_not_matter() -> None:
    case = next(case for case in pkits.CASES if case.section == "4.6.17")
    assert _judge(case.end_entity, case.path[::-1]) is None
