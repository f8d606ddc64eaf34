"""`run` of several scenarios: one after the other, side by side, or only by name."""

import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from lab import junit, library
from lab.junit import Case, Result, Suite
from tests.lab.conftest import PATIENCE, Cli

GOOD = "title: t\ndescription: d\nexpect:\n  responder: {}\n  initiator: {sas: established}\n"
# Waits for what will never come.
ENDLESS = GOOD.replace("{sas: established}", "{events: [ike_sa_deleted]}") + "timeout: 300\n"
FAILS = GOOD.replace("{sas: established}", "{events: [ike_sa_established], never: [node_started]}")
QUICK = ("-b", "process", "--key-type", "ecdsa-p256")


def scenarios(directory: Path, **texts: str) -> dict[str, str]:
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)
    return {"IPSECLAB_SCENARIOS": str(directory)}


def labs(cli: Cli) -> list[str]:
    return [path.name for path in (cli.home / "labs").iterdir()] if (cli.home / "labs").is_dir() else []


def test_names_side_by_side_give_blocks_a_table_and_one_report(cli: Cli, tmp_path: Path) -> None:
    place = scenarios(tmp_path, one=GOOD, two=GOOD, three=FAILS, four=GOOD)
    report, summary = tmp_path / "junit.xml", tmp_path / "summary.md"
    done = cli(
        *("run", "one", "two", "three", "--jobs", "3", *QUICK, "--junit", str(report)),
        **place,
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert done.returncode == 1, done.stderr
    verdicts = {line.split()[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert verdicts == {"one": "PASS", "two": "PASS", "three": "FAIL"}
    lines = done.stderr.splitlines()
    assert lines[0] == "3 scenarios, 3 at a time (process)"
    heads = [at for at, line in enumerate(lines) if line.startswith(("one: ", "two: ", "three: "))]
    ends = [at for at, line in enumerate(lines) if ", evidence in " in line]
    assert len(heads) == len(ends) == 3
    assert sorted(heads + ends) == [at for pair in zip(heads, ends, strict=True) for at in pair], "mixed up"
    table = lines[next(at for at, line in enumerate(lines) if line.startswith("SCENARIO")) :]
    assert table[-1] == "2 of 3 scenarios passed"
    (failed,) = [line for line in table if "FAILED" in line]
    assert failed.startswith("three ")
    assert "never node_started" in failed
    assert sum(line.startswith("::error ") for line in lines) >= 1
    assert summary.read_text().count("### IPsec lab: 2 of 3 scenarios passed") == 1
    root = Xml.fromstring(report.read_text())
    assert {suite.attrib["name"] for suite in root} == {"one", "two", "three"}
    assert labs(cli) == []


def test_the_document_of_jobs_is_that_of_a_run_in_the_order_of_the_names(cli: Cli, tmp_path: Path) -> None:
    place = scenarios(tmp_path, b=GOOD, a=GOOD)
    done = cli("run", "b", "a", "b", "--jobs", "2", *QUICK, "-o", "json", **place)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [result["scenario"] for result in document["results"]] == ["b", "a", "b"]
    assert document["passed"]


def test_several_names_one_after_the_other(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "b", "a", *QUICK, **scenarios(tmp_path, a=GOOD, b=GOOD))
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["b", "a"]
    assert "2 of 2 scenarios passed" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupting_takes_every_lab_down(tmp_path: Path, number: signal.Signals) -> None:
    cli = Cli(tmp_path / "home")
    scenarios(tmp_path, a=ENDLESS, b=ENDLESS, c=ENDLESS)
    names = [str(tmp_path / f"{name}.yaml") for name in "abc"]
    with cli.start("run", *names, "--jobs", "2", *QUICK) as process:
        wait_for_labs(cli, 2)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert out == ""
    assert err.endswith("error: interrupted\n")
    assert labs(cli) == []
    assert len(list((cli.home / "locks").iterdir())) == 2, "the third began after all"


def wait_for_labs(cli: Cli, count: int) -> None:
    """Until so many labs have started their nodes."""
    deadline = time.monotonic() + PATIENCE
    while len(list(cli.home.glob("labs/*/nodes/*.jsonl"))) < 2 * count:
        assert time.monotonic() < deadline, "the labs did not come up"
        time.sleep(0.05)


def test_time_is_up_for_all_of_them(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home")
    place = scenarios(tmp_path, a=ENDLESS, b=ENDLESS)
    began = time.monotonic()
    done = cli("run", "all", "--jobs", "2", "--timeout", "3", *QUICK, **place)
    assert done.returncode == 124, done.stderr
    assert time.monotonic() - began < 60
    assert "--timeout is over" in done.stderr
    assert labs(cli) == []


def test_an_environment_that_fails_ends_all_jobs_with_its_code(cli: Cli, tmp_path: Path) -> None:
    place = scenarios(tmp_path, a=GOOD, b=GOOD)
    report = tmp_path / "junit.xml"
    words = ("run", "all", "--jobs", "2", "-b", "docker", "--junit", str(report))
    done = cli(*words, **place, DOCKER_HOST="unix:///nowhere")
    assert done.returncode == 4
    assert "Docker is not running" in done.stderr
    assert int(Xml.fromstring(report.read_text()).attrib["errors"]) >= 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--jobs", "0"), "'0' is not a number of scenarios from 1 to 64"),
        (("--jobs", "x"), "'x' is not a number of scenarios"),
        (("--jobs", "2", "-n", "mine"), "--jobs: every scenario needs a lab of its own: leave out --name"),
    ],
)
def test_what_jobs_refuses(cli: Cli, words: tuple[str, ...], message: str) -> None:
    done = cli("run", "hello", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_variable_of_jobs(cli: Cli, tmp_path: Path) -> None:
    done = cli("run", "all", *QUICK, IPSECLAB_JOBS="2", **scenarios(tmp_path, a=GOOD, b=GOOD))
    assert done.returncode == 0
    assert "2 scenarios, 2 at a time" in done.stderr


def test_names_alone_for_a_matrix(cli: Cli) -> None:
    assert cli("run", "all", "--list").stdout.splitlines() == list(library.names())
    listed = cli.json("run", "wrong-ca", "hello", "--list")
    assert listed["schema"] == "ipseclab/scenarios/v1"
    assert [found["name"] for found in listed["scenarios"]] == ["wrong-ca", "hello"]
    assert cli("run", "helo", "--list").returncode == 2


def test_a_report_is_read_as_it_was_written() -> None:
    cases = (
        Case("a", "b.c", Result.PASSED, 7, "", "told\nmore"),
        Case("a-01", "never <b>", Result.FAILED, 8, "why & 'how'"),
        Case("a", "d", Result.SKIPPED, 9, "not waited for: a exited"),
        Case("lab", "can be judged", Result.ERROR, 1, "no engine"),
    )
    suites = [
        Suite("x.y", "s/x.yaml", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 1.5, cases, (("lab", "l"),)),
        Suite("z", "z.yaml", datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC), 0.25, ()),
    ]
    assert junit.read(junit.document(suites)) == suites
