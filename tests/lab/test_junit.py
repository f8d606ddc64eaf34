"""Reports for CI systems: JUnit XML, annotations and summaries of GitHub Actions."""

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from lab import checks, github, junit, library, places
from lab.checks import Check, Record
from lab.errors import EnvironmentNotReady
from lab.events import NodeEvent
from lab.judge import Verdict
from lab.junit import Case, Result, Suite
from lab.places import Source
from tests.lab.conftest import ROOT, Cli

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOURCE = Source("scenarios/x.yaml", {("a", 0): 7, ("a", 1): 8, ("b", 0): 9})
NASTY = "</failure> & \x1b[2J \ufffe \ud800 ]]> |"

# The attributes and children of each element, as the schemas of Jenkins and pytest have them.
ATTRIBUTES = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "file"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"classname", "name", "time", "file", "line"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message"},
    "system-out": set(),
}
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase"],
    "properties": ["property"],
    "testcase": ["skipped", "error", "failure", "system-out"],
}


def assert_shape(element: Xml.Element) -> None:
    """Known attributes, known children in the order that the schemas want, counts that add up."""
    assert set(element.attrib) == ATTRIBUTES[element.tag]
    allowed = CHILDREN.get(element.tag, [])
    order = [allowed.index(child.tag) for child in element]
    assert order == sorted(order)
    for child in element:
        assert_shape(child)
    if element.tag in ("testsuites", "testsuite"):
        cases = list(element.iter("testcase"))
        assert int(element.attrib["tests"]) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.attrib[name]) == len(list(element.iter(tag)))
        assert float(element.attrib["time"]) >= 0


def record(node: str, count: int = 30) -> Record:
    found = Record(node)
    for number in range(count):
        found.add(NodeEvent(NOW, node, "ping_replied", {"seq": number, "target": NASTY}))
    found.prose.append("the last words")
    return found


def verdict(*found: Check, broken: tuple[str, str] | None = None) -> Verdict:
    return Verdict(found, broken, False, 1.0)


def suite(*found: Case) -> Suite:
    return Suite("x", "scenarios/x.yaml", NOW, 1.5, found, (("backend", "process"),))


def test_a_case_for_each_check_with_line_and_last_events() -> None:
    bad = Check("a", "never b", False, NASTY)
    found = junit.cases(verdict(Check("a", "b", True), bad), [record("a")], SOURCE)
    assert [(case.result, case.line) for case in found] == [(Result.PASSED, 7), (Result.FAILED, 8)]
    text = junit.document([suite(*found)])
    root = Xml.fromstring(text)
    assert_shape(root)
    good, failed = root.iter("testcase")
    assert good.attrib["classname"] == "x.a"
    shown = failed.findtext("system-out", "")
    assert "seq=29" in shown
    assert "seq=10\n" in shown
    assert "seq=9\n" not in shown
    assert "seq=10\n" not in good.findtext("system-out", "")
    failure = failed.find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "</failure> & \\x1b[2J \ufffd \\ud800 ]]> |"
    assert (failure.text or "").startswith("scenarios/x.yaml:8: a: never b: ")


def test_nodes_that_were_cut_short_are_skipped_not_failed() -> None:
    found = junit.cases(
        verdict(Check("a", "c", False, "why"), Check("b", "d", False, "no d"), broken=("a", "exited")),
        [record("a"), record("b")],
        SOURCE,
    )
    assert [case.result for case in found] == [Result.FAILED, Result.SKIPPED]
    assert found[1].message == "not waited for: a exited"
    assert not suite(*found).passed


def test_a_run_that_was_broken_never_passes() -> None:
    found = junit.cases(verdict(Check("a", "c", True), broken=("a", "exited")), [record("a")], SOURCE)
    assert [case.result for case in found] == [Result.PASSED, Result.FAILED]


def test_equal_checks_get_names_of_their_own() -> None:
    found = junit.cases(verdict(*[Check("a", "c", True)] * 3), [], SOURCE)
    assert [case.name for case in found] == ["c", "c (2)", "c (3)"]


def test_errors_and_an_empty_report_have_the_shape_too() -> None:
    assert_shape(Xml.fromstring(junit.document([])))
    root = Xml.fromstring(junit.document([suite(junit.error("lab", "can be judged", "no Docker"))]))
    assert_shape(root)
    assert root.attrib["errors"] == "1"


@pytest.mark.parametrize("name", library.names())
def test_every_check_of_every_scenario_has_its_line(name: str) -> None:
    scenario = library.load(name)
    path = library.find(name)
    source = places.locate(scenario, path, "shown.yaml")
    text = path.read_text().splitlines()
    for group in scenario.groups:
        expect = scenario.expect[group.name]
        made = checks.judge(expect, Record(group.members()[0]))
        assert len(made) == len(places.places(group.name, expect))
        for index, check in places.numbered(made):
            line = text[source.line(group.members()[0], index) - 1]
            if index < len(expect.events):
                assert expect.events[index].pattern.event in line
            elif check.text.startswith("never "):
                # The list may begin on the line of its key.
                assert "never" in line or line.strip().startswith("- ") or check.text.split()[1] in line
            else:
                assert group.name in line or "sas" in line or "exit_code" in line


def test_annotations_name_file_and_line_and_cannot_be_forged() -> None:
    bad = Case("a", "b", Result.FAILED, 8, "100 %\n::error::forged")
    (line,) = github.annotations(suite(bad, Case("a", "good", Result.PASSED, 7)))
    assert line == (
        "::error file=scenarios/x.yaml,line=8,title=scenario x::a: b: 100 %25\\x0a::error::forged"
    )
    odd = Suite("x", "a,b:c.yaml", NOW, 1, (bad,))
    assert github.annotations(odd)[0].startswith("::error file=a%2Cb%3Ac.yaml,line=8,")


def test_more_annotations_than_github_shows_are_counted() -> None:
    lines = github.annotations(suite(*[Case("a", "b", Result.FAILED, 8, "why")] * 14))
    assert len(lines) == github.SHOWN + 1
    assert lines[-1].startswith("::notice ")
    assert lines[-1].endswith("4 more checks failed")


def test_the_summary_is_a_table_that_text_cannot_break(tmp_path: Path) -> None:
    bad = Case("a", "b | *c*", Result.FAILED, 8, "<b>no</b>", "told <i>this</i>\nand that")
    text = github.summary([suite(bad), suite(Case("a", "b", Result.PASSED, 7))])
    assert "1 of 2 scenarios passed" in text
    assert "| a | b &#124; &#42;c&#42; | &lt;b&gt;no&lt;/b&gt; | scenarios/x.yaml:8 |" in text
    assert "<pre>told &lt;i&gt;this&lt;/i&gt;\nand that</pre>" in text
    path = tmp_path / "summary.md"
    github.append([suite(bad)], {"GITHUB_STEP_SUMMARY": str(path)})
    github.append([suite(bad)], {"GITHUB_STEP_SUMMARY": str(path)})
    assert path.read_text().count("### IPsec lab: 0 of 1") == 2
    github.append([suite(bad)], {})
    with pytest.raises(EnvironmentNotReady, match="GITHUB_STEP_SUMMARY"):
        github.append([suite(bad)], {"GITHUB_STEP_SUMMARY": str(tmp_path)})


def test_a_run_that_fails_reports_everywhere(cli: Cli, tmp_path: Path) -> None:
    scenario = tmp_path / "hopeless.yaml"
    scenario.write_text(
        "title: t\ndescription: d\ntimeout: 30\nexpect:\n  responder: {}\n  initiator:\n    events:\n"
        "      - ike_sa_established\n    never:\n      - node_started\n"
    )
    report, summary = tmp_path / "deep" / "junit.xml", tmp_path / "summary.md"
    done = cli(
        *("run", str(scenario), "-b", "process", "--key-type", "ecdsa-p256", "--junit", str(report)),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )
    assert done.returncode == 1, done.stderr
    root = Xml.fromstring(report.read_text())
    assert_shape(root)
    (failed,) = [
        case
        for case in root.iter("testcase")
        if case.find("failure") is not None and "never" in str(case.attrib)
    ]
    assert (failed.attrib["classname"], failed.attrib["line"]) == ("hopeless.initiator", "10")
    assert (
        f"::error file={scenario},line=10,title=scenario hopeless::initiator: never node_started"
        in done.stderr
    )
    assert "::" not in done.stdout
    assert "0 of 1 scenarios passed" in summary.read_text()
    assert "  doctor " in done.stderr


def test_run_all_makes_one_report_and_an_environment_that_fails_is_an_error(cli: Cli, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(
            "title: t\ndescription: d\nexpect:\n  responder: {}\n  initiator: {sas: established}\n"
        )
    report = tmp_path / "junit.xml"
    place = {"IPSECLAB_SCENARIOS": str(tmp_path)}
    words = ("run", "all", "-b", "process", "--key-type", "ecdsa-p256", "--junit", str(report))
    done = cli(*words, **place)
    assert done.returncode == 0, done.stderr
    assert "::" not in done.stderr
    root = Xml.fromstring(report.read_text())
    assert_shape(root)
    assert [child.attrib["name"] for child in root] == ["one", "two"]
    # An engine that is not there ends the command; the report is there, and empty, all the same.
    done = cli("run", "all", "-b", "docker", "--junit", str(report), DOCKER_HOST="unix:///nowhere", **place)
    assert done.returncode == 4
    root = Xml.fromstring(report.read_text())
    assert root.attrib["errors"] == "1"


def test_a_report_that_cannot_be_written_ends_the_run_before_it_begins(cli: Cli) -> None:
    done = cli("run", "hello", "-b", "process", "--junit", str(ROOT / "README.md" / "junit.xml"))
    assert done.returncode == 4
    assert "--junit" in done.stderr
    assert "hello: " not in done.stderr
