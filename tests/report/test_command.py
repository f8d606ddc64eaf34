"""`ipseclab report` and `ipseclab ladder` on runs as users make them."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from lab.ladder import compose
from lab.report import run as runs
from tests.lab.conftest import Cli, unique
from tests.lab.conftest import cli as cli
from tests.report.reader import read
from tests.report.samples import every_act

QUICK = ("-b", "process", "--key-type", "ecdsa-p256")


@pytest.fixture(scope="module")
def hello(cli: Cli) -> Path:
    """The directory of a run with a key log."""
    name = unique("report")
    done = cli("run", "hello", "-n", name, *QUICK)
    assert done.returncode == 0, done.stderr
    return (cli.home / "runs" / name / "latest").resolve()


def test_a_run_becomes_a_page_beside_its_files(cli: Cli, hello: Path) -> None:
    done = cli("report", hello.parent.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{hello / 'report.html'}\n", "")
    root = read((hello / "report.html").read_text("utf-8"))
    said = root.text
    for words in (
        "Two nodes, one tunnel, one greeting",
        "the wire node, between initiator and responder",
        "This run's key log was on.",
        "IKE_AUTH request 1: SK{IDi CERT",
        "no plaintext on the wire",
        "ESP payload decrypted",
    ):
        assert words in said, words
    links = [a.attributes["href"] for a in root.one("section", id="files").all("a")]
    assert {"./events.jsonl", "./capture.pcapng", "./keys/initiator.keys"} <= set(links)
    assert all((hello / link).is_file() for link in links)
    # Every message of the handshake leads to its packet, and both sides know one another by name.
    arrows = root.one("section", id="ladder").one("div", class_="wide").all("a")
    assert len(arrows) == 6
    for packet in root.one("section", id="packets").all("details", class_="packet"):
        assert "initiator → responder" in packet.text or "responder → initiator" in packet.text
    # Made again, the page lists itself, and is else the same.
    assert cli("report", str(hello)).returncode == 0


def test_the_newest_run_is_meant_where_none_is_named(cli: Cli, hello: Path, tmp_path: Path) -> None:
    told = cli.json("report", "--out", str(tmp_path / "x.html"))
    assert told["run"] == hello.name
    assert Path(told["page"]).stat().st_size == told["octets"]
    named = cli.json("report", "-n", hello.parent.name, "--out", str(tmp_path / "y.html"))
    assert named["run"] == hello.name


def test_a_run_of_a_failed_scenario_says_what_failed(cli: Cli, tmp_path: Path) -> None:
    scenario = tmp_path / "hopeless.yaml"
    scenario.write_text(
        "title: It does not work\n"
        "description: An initiator that has lost its key.\n"
        "credentials: {certificates: {initiator: {key: wrong}}}\n"
        "nodes: {responder: null, initiator: {config: {credentials: {allow_mismatch: true}}}}\n"
        "expect: {responder: {never: [authentication_failed]}, initiator: {events: [ike_sa_established]}}\n"
    )
    name = unique("failing")
    assert cli("run", str(scenario), "-n", name, *QUICK).returncode == 1
    page = Path(cli("report", name).stdout.strip())
    root = read(page.read_text("utf-8"))
    assert root.one("span", class_="stamp fail").text.strip() == "FAIL"
    table = root.one("section", id="checks").all("table")[0].text
    assert "never authentication_failed" in table
    assert "it happened 1 times" in table
    assert "authentication failed: bad_signature" in root.one("section", id="ladder").text
    assert "stay sealed: the run logged no keys" in root.one("section", id="packets").text


def test_what_is_no_run_or_cannot_be_written_is_told(cli: Cli, hello: Path, tmp_path: Path) -> None:
    done = cli("report", "nobody")
    assert (done.returncode, "'nobody' is no run: name a directory of" in done.stderr) == (5, True)
    done = cli("report", str(hello), "--out", str(tmp_path / "no" / "where.html"))
    assert (done.returncode, "name another file with --out" in done.stderr) == (4, True)


@pytest.mark.parametrize(
    ("file", "octets", "problem"),
    [
        ("results.json", b"[", "is no JSON"),
        ("results.json", b"[]", "is no JSON object"),
        ("results.json", b"\xff\xfe\x00", "is no JSON"),
        ("status.json", b"[" * 100_000, "is no JSON"),
        ("events.jsonl", b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_broken_file_is_named(
    cli: Cli, hello: Path, tmp_path: Path, file: str, octets: bytes, problem: str
) -> None:
    broken = tmp_path / "run"
    shutil.copytree(hello, broken)
    (broken / file).write_bytes(octets)
    done = cli("report", str(broken))
    assert done.returncode == 4
    assert f"{file}: {problem}" in done.stderr
    assert "name another run" in done.stderr


def test_a_broken_capture_or_key_log_is_told_and_the_rest_is_shown(
    cli: Cli, hello: Path, tmp_path: Path
) -> None:
    for file in ("capture.pcapng", "keys/initiator.keys"):
        broken = tmp_path / file.partition("/")[0]
        shutil.copytree(hello, broken)
        (broken / file).write_bytes(b"nonsense\n")
        done = cli("report", str(broken))
        assert done.returncode == 0, done.stderr
        assert "warning: the capture is not decoded" in done.stderr
        root = read((broken / "report.html").read_text("utf-8"))
        assert "The capture is not decoded" in root.one("section", id="packets").text
        assert root.one("section", id="ladder").all("svg")


def test_only_events_must_be_there_and_links_are_not_followed(hello: Path, tmp_path: Path) -> None:
    shutil.copy(hello / "events.jsonl", tmp_path)
    (tmp_path / "passwords").symlink_to("/etc/passwd")
    found = runs.load(tmp_path)
    assert [file.name for file in found.files] == ["events.jsonl"]
    assert (found.results, found.statuses, found.packets, found.problem) == ({}, {}, (), "")
    assert len(found.events) > 40


def test_the_wire_of_a_run_is_in_its_ladder_and_cannot_be_a_lane(
    cli: Cli, hello: Path, tmp_path: Path
) -> None:
    lines = [json.dumps(event.as_json()) for event in every_act()]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    made = cli.json("ladder", str(tmp_path))
    assert (made["wire"], made["nodes"]) == ("wire", ["initiator", "responder"])
    assert {row["fate"] for row in made["rows"] if "fate" in row} >= {
        "arrived",
        "stopped",
        "passed",
        "dropped",
    }
    asked = cli("ladder", str(tmp_path), "wire")
    assert asked.returncode == 5
    assert "it has initiator, responder" in asked.stderr
    shown = cli("ladder", str(tmp_path), COLUMNS="80", PYTHONIOENCODING="utf-8").stdout
    assert "dropped by the wire" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert cli("ladder", str(tmp_path), "--svg", str(tmp_path / "x.svg")).returncode == 0
    assert "wire" in "".join(Xml.parse(tmp_path / "x.svg").getroot().itertext())
    assert compose.wires_of(every_act()) == {"wire"}
