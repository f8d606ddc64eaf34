"""Judging a cell, and what a run writes."""

import json
from copy import deepcopy
from typing import Any

import pytest

from lab.interop import documents, pair, results
from lab.interop.cells import Cell
from lab.interop.documents import PEER, SUBJECT
from lab.interop.results import CaseResult, CellResult, Results

CELL = Cell("initiator", "ed25519", "x25519", "gcm128")
IKE, ESP = "ENCR_AES_GCM_16_128/PRF_HMAC_SHA2_256/CURVE25519", "ENCR_AES_GCM_16_128"
METHODS = {SUBJECT: "ED25519", PEER: "ED25519"}


def status(inbound: str, outbound: str, packets: int) -> dict[str, Any]:
    child: dict[str, Any] = {"inbound_spi": inbound, "outbound_spi": outbound, "suite": ESP}
    child |= {"inbound_packets": packets, "outbound_packets": packets}
    return {"ike_sas": [{"spi_i": "a", "spi_r": "b", "suite": IKE}], "child_sas": [child]}


BEFORE = {SUBJECT: status("1", "2", 3), PEER: status("2", "1", 3)}
AFTER = {SUBJECT: status("1", "2", 3 + 2 * documents.PINGS), PEER: status("2", "1", 3 + 2 * documents.PINGS)}


def test_a_good_cell_has_no_problem_and_its_facts() -> None:
    facts = pair.judge(CELL, BEFORE, AFTER, METHODS)
    assert facts == {"problems": (), "ike": IKE, "esp": ESP, "methods": METHODS}


def broken(path: list[Any], value: object) -> dict[str, Any]:
    after: Any = deepcopy(AFTER)
    place = after
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dict(after)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ([PEER, "child_sas"], [], "peer has 1 IKE SAs and 0 Child SAs"),
        ([SUBJECT, "ike_sas"], [{}, {}], "subject has 2 IKE SAs and 1 Child SAs"),
        ([PEER, "ike_sas", 0, "suite"], "ENCR_NULL", "peer has ENCR_NULL and"),
        ([PEER, "ike_sas", 0, "spi_r"], "c", "the two sides do not have the same SPIs"),
        ([PEER, "child_sas", 0, "inbound_spi"], "9", "the two sides do not have the same SPIs"),
        ([PEER, "child_sas", 0, "inbound_packets"], 3, "peer: 0 inbound_packets for 4 pings"),
        ([SUBJECT, "child_sas", 0, "outbound_packets"], 99, "subject: 96 outbound_packets for 4 pings"),
    ],
)
def test_what_does_not_hold_is_a_problem(path: list[Any], value: object, says: str) -> None:
    after = broken(path, value)
    for side in after.values():
        for sa in side["ike_sas"]:
            sa.setdefault("suite", IKE)
    assert says in " ".join(pair.judge(CELL, BEFORE, after, METHODS)["problems"])


def test_another_method_of_authentication_is_a_problem() -> None:
    methods = {SUBJECT: "ED25519", PEER: "RSA_EMSA_PKCS1_SHA2_256"}
    (problem,) = pair.judge(CELL, BEFORE, AFTER, methods)["problems"]
    assert problem == "peer verified 'RSA_EMSA_PKCS1_SHA2_256', not ED25519"
    assert pair.judge(CELL, BEFORE, AFTER, {})["problems"]


def test_a_child_sa_that_only_receives_is_no_pair() -> None:
    after: Any = deepcopy(AFTER)
    after[SUBJECT]["child_sas"].append({**status("7", "", 0)["child_sas"][0]})
    assert pair.crossed(after) == []
    after[SUBJECT]["child_sas"][0]["inbound_spi"] = "9"
    assert pair.crossed(after) == ["the two sides do not have the same SPIs"]


GOOD = CellResult(CELL, 1.25, (), IKE, ESP, METHODS)
BAD = CellResult(Cell("responder", "psk", "ecp256", "cbc"), 3.0, ("peer: no | luck\x1b",), saw=("peer: x",))
CASE = CaseResult("cookie-initiator", "Under load", 2.0)
LOST = CaseResult("delete-initiator", "Gone", 2.0, ("subject: still there",))
VERSIONS = {"lab": "1", "peer": "strongSwan 6.1.0"}


def test_the_table_names_versions_verdicts_and_failures() -> None:
    text = results.markdown(Results(VERSIONS, (GOOD, BAD), (CASE, LOST)))
    assert "* peer: strongSwan 6.1.0\n" in text
    assert "## The subject is the initiator\n\n| | x25519 |\n| --- | --- |\n| ed25519 | gcm128 ok |\n" in text
    assert "| psk | **cbc FAILED** |" in text
    assert "* responder-psk-ecp256-cbc: peer: no \\| luck\\x1b\n" in text
    assert "| cookie-initiator | Under load | ok |" in text
    assert "| delete-initiator | Gone | **FAILED**: subject: still there |" in text


def test_the_table_is_summed_up_by_each_dimension() -> None:
    text = results.markdown(Results(VERSIONS, (GOOD, BAD), (CASE, LOST)))
    for line in (
        "| role | initiator 1 of 1, responder **0 of 1** |",
        "| authentication | ed25519 1 of 1, psk **0 of 1** |",
        "| key exchange | x25519 1 of 1, ecp256 **0 of 1** |",
        "| suite | gcm128 1 of 1, cbc **0 of 1** |",
        "| special cases | **1 of 2** |",
    ):
        assert f"{line}\n" in text


def test_how_often_sas_were_replaced_stands_beside_a_case_of_their_lives() -> None:
    told = {SUBJECT: {"child_sa_rekeyed": 5, "retransmitted": 1}, PEER: {"child_sa_rekeyed": 4, "x": 9}}
    lived = CaseResult("short-lives-initiator", "Short", 30.0, told=told)
    said = "5 Child SAs replaced, 0 IKE SAs replaced, 0 collisions, 1 repetitions"
    assert results.figures(lived) == said
    assert f"| short-lives-initiator | Short | ok: {said} |" in results.markdown(Results({}, (), (lived,)))
    assert results.figures(CASE) == ""


@pytest.mark.parametrize(
    ("made", "passed"),
    [
        (Results({}, (GOOD,), (CASE,)), True),
        (Results({}, (GOOD, BAD), ()), False),
        (Results({}, (), (LOST,)), False),
    ],
)
def test_one_failure_fails_the_run(made: Results, passed: bool) -> None:
    assert made.passed is passed
    assert results.as_json(made)["passed"] is passed


def test_the_document_has_everything_and_is_json() -> None:
    document = json.loads(json.dumps(results.as_json(Results(VERSIONS, (GOOD, BAD), (LOST,)))))
    assert document["schema"] == "ipseclab/interop/v1"
    assert document["versions"] == VERSIONS
    first, second = document["cells"]
    assert (first["name"], first["passed"], first["ike"]) == ("initiator-ed25519-x25519-gcm128", True, IKE)
    assert (second["role"], second["suite"], second["saw"]) == ("responder", "cbc", ["peer: x"])
    assert document["cases"][0]["problems"] == ["subject: still there"]
