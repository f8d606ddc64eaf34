"""Cells and special cases as scenarios: good ones, every one of them."""

import json

import pytest

from lab import plan
from lab.errors import UsageError
from lab.interop import cells, documents, lives, special
from lab.interop.documents import OTHER, PEER, SUBJECT
from lab.labels import Kind, Role
from lab.peers import planned
from lab.scenario import ControlStep

CASES = special.cases()
WANTED = {
    *("fragmentation", "cookie", "invalid-ke", "narrowing", "wrong-psk", "wrong-identity", "wrong-ca"),
    *("expired-certificate", "proposal-mismatch", "virtual-ip", "delete", "liveness", "another-child"),
    *("rekey-child", "rekey-child-pfs", "rekey-ike", "collide-child", "collide-ike", "short-lives"),
    *("reauthenticate", "short-authentications", "auth-lifetime"),
}


@pytest.mark.parametrize("cell", cells.matrix(), ids=lambda cell: cell.name)
def test_a_cell_is_a_good_scenario(cell: cells.Cell) -> None:
    scenario = documents.scenario(cell.name, documents.of_cell(cell))
    made = plan.make("x", scenario)
    assert made.node(SUBJECT).role is Role(cell.role)
    for side in OTHER:
        (connection,) = planned.connections(made, made.node(side))
        assert connection.ike == (cell.ike,)
        assert connection.esp == (cell.esp,)
        assert connection.auth is cell.method.auth
        assert bool(connection.certificate) == bool(cell.method.key_type)
        assert connection.local_ts == (documents.NETWORKS[side],)
        assert not connection.start


@pytest.mark.parametrize("name", CASES)
def test_a_special_case_is_a_good_scenario_that_says_what_must_happen(name: str) -> None:
    scenario = documents.scenario(name, CASES[name])
    assert all(group.kind is Kind.STRONGSWAN for group in scenario.groups)
    for side in OTHER:
        expect = scenario.expect[side]
        assert expect.events or expect.exit_code
        assert expect.never
        assert expect.sas is not None or expect.exit_code is not None


def test_every_special_case_is_there_in_both_roles_where_it_has_two() -> None:
    for name in WANTED:
        assert {f"{name}-initiator", f"{name}-responder"} <= set(CASES)
    assert "inner-ipv6" in CASES
    for name, document in CASES.items():
        role = name.rpartition("-")[2]
        if role in ("initiator", "responder"):
            assert document["nodes"][SUBJECT]["role"] == role
            assert document["nodes"][PEER]["role"] != role


@pytest.mark.parametrize("seconds", [lives.SHORT, lives.LONGEST])
def test_short_lives_fit_into_a_scenario_and_its_time(seconds: int) -> None:
    scenario = documents.scenario("soak", lives.short_lives("initiator", seconds))
    bursts = [step.command[2:] for step in scenario.steps if isinstance(step, ControlStep)]
    assert sum(bool(count) for count in bursts) * lives.BURST_SECONDS >= seconds
    assert scenario.timeout > seconds
    (rekeyed, *_) = scenario.expect[SUBJECT].events
    assert rekeyed.least == seconds // lives.CHILD_LIFE - 1


def test_documents_are_plain_values() -> None:
    for document in (*CASES.values(), *map(documents.of_cell, cells.matrix(2))):
        assert json.loads(json.dumps(document)) == document


def test_a_document_that_is_wrong_is_refused() -> None:
    document = documents.of_cell(cells.matrix()[0])
    document["nodes"][SUBJECT]["strongswan"]["ike"] = ["rot13"]
    with pytest.raises(UsageError, match="'rot13' is no algorithm"):
        documents.scenario("x", document)
    with pytest.raises(UsageError, match="'expect' is missing"):
        documents.scenario("x", {key: value for key, value in document.items() if key != "expect"})
