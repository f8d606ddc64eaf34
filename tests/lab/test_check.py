"""`ipseclab check`: the verdict on a lab as it is now, on every backend, without a step being taken."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from tests.lab.conftest import BACKENDS, Cli

QUICK = ("--key-type", "ecdsa-p256")
Names = Callable[[str], str]


#: Without pings: how many of them are answered in time is a matter of how busy the machine is.
STEADY = (
    "title: t\ndescription: d\nexpect:\n  responder: {events: [ike_sa_established], sas: established}\n"
    "  initiator: {events: [child_sa_installed], never: [ike_sa_failed], sas: established}\n"
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_lab_is_judged_as_it_is_now(cli: Cli, lab_name: Names, tmp_path: Path, backend: str) -> None:
    where = ("-n", lab_name(backend), "-b", backend)
    steady = tmp_path / "steady.yaml"
    steady.write_text(STEADY)
    started = cli("up", str(steady), *where, *QUICK)
    assert started.returncode == 0, started.stderr
    good = cli("check", str(steady), *where)
    assert good.returncode == 0, good.stderr
    assert good.stdout.splitlines()[-1].startswith("PASS steady (")
    assert all(line.startswith("  ok     ") for line in good.stdout.splitlines()[:-1])
    assert "responder: 1 IKE SA with 1 Child SA established" in good.stdout
    assert cli("exec", *where, "initiator", "--", "python", "-m", "node", "ctl", "terminate").returncode == 0
    report = tmp_path / "junit.xml"
    bad = cli("check", str(steady), *where, "--junit", str(report))
    assert bad.returncode == 1
    assert "  FAILED responder: 1 IKE SA with 1 Child SA established: found no SA is left" in bad.stdout
    assert bad.stdout.splitlines()[-1].startswith("FAIL steady (")
    assert bad.stderr.startswith("  doctor ")
    assert "  responder (still running) saw, the last 20 of " in bad.stderr
    (suite,) = Xml.fromstring(report.read_text())
    assert (suite.attrib["name"], suite.attrib["failures"]) == ("steady", "2")
    assert {found.attrib["name"] for found in suite.iter("property")} == {"backend", "lab"}


def test_the_document_of_a_check_and_a_node_that_is_gone(cli: Cli, lab_name: Names) -> None:
    where = ("-n", lab_name("process"), "-b", "process")
    assert cli("up", *where, *QUICK).returncode == 0
    document = cli.json("check", *where)
    assert (document["schema"], document["scenario"]) == ("ipseclab/check/v1", "hello")
    assert document["passed"]
    assert all(check["passed"] for check in document["checks"])
    records = (cli.home / "labs" / where[1] / "processes.jsonl").read_text().splitlines()
    (pid,) = [json.loads(line)["pid"] for line in records if json.loads(line)["node"] == "responder"]
    os.kill(pid, signal.SIGKILL)
    with cli.start("logs", "-f", "responder", *where) as follower:
        assert "exited with code 137" in follower.communicate(timeout=30)[0]
    failed = cli.json("check", *where, rc=1)
    reasons = [check["reason"] for check in failed["checks"] if not check["passed"]]
    assert "exited with code 137" in reasons


def test_a_scenario_of_a_file_is_named_and_must_be_that_of_the_lab(
    cli: Cli, lab_name: Names, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "title: t\ndescription: d\n"
        "steps: [{wait: {node: initiator, event: ike_sa_established}}, {stop: initiator}]\n"
        "expect: {responder: {events: [ike_sa_deleted]}, initiator: {exit_code: 0}}\n"
    )
    name = lab_name("process")
    where = ("-n", name, "-b", "process")
    assert cli("up", str(mine), *where, *QUICK).returncode == 0
    alone = cli("check", *where)
    assert alone.returncode == 2
    assert f"name its file: `ipseclab check FILE -n {name}`" in alone.stderr
    other = cli("check", "hello", *where)
    assert other.returncode == 2
    assert "is up with the scenario 'mine', not 'hello'" in other.stderr
    # Its steps are not taken: the initiator still runs.
    done = cli("check", str(mine), *where)
    assert done.returncode == 1
    assert "FAILED responder: ike_sa_deleted: no ike_sa_deleted happened" in done.stdout
    assert "FAILED initiator: exits with code 0: is still running" in done.stdout
    assert cli.json("status", *where)["labs"][0]["nodes"][1]["state"] == "running"


def test_no_lab_is_5(cli: Cli) -> None:
    assert cli("check", "-n", "nothing-here", "-b", "process").returncode == 5
