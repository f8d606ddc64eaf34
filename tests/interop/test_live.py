"""strongSwan against strongSwan in containers: the lab around a foreign daemon works, whoever it talks to."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import images
from lab.backends.docker import DockerBackend
from lab.console import Console, Style
from lab.interop import documents, runs, special
from lab.interop.cells import Cell
from lab.interop.documents import PEER, SUBJECT, Document
from lab.interop.results import CellResult
from lab.lifecycle import Runner
from lab.peers import image
from tests.lab.conftest import Cli, unique

pytestmark = pytest.mark.docker

CELLS = (
    Cell("initiator", "rsa", "modp2048", "cbc"),
    Cell("responder", "ecdsa-p256", "ecp256", "gcm256"),
    Cell("initiator", "ed25519", "x25519", "chacha"),
    Cell("responder", "psk", "ecp384", "gcm128"),
)
#: A refusal, and another SA under traffic; all of them: `make interop ARGS="--subject strongswan"`.
CASES = ("wrong-ca-responder", "rekey-ike-responder")


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """A runner with both images; skipped with the reason where that of strongSwan cannot be had."""
    try:
        image.ensure_image(print)
    except images.ImageError as error:
        pytest.skip(f"no image of strongSwan: {error}")
    backend = DockerBackend(print)
    made = Runner(backend, Console(sys.stderr, Style(False), -1))
    backend.prepare(made.tell)
    yield made
    backend.close()


def test_cells_one_after_the_other_in_one_pair_of_containers(runner: Runner) -> None:
    """Both SAs up with the suite and the method that were asked for, pings both ways, both sides agree."""
    told: list[CellResult] = []
    done = runs.in_a_pair(runner, CELLS, told.append)
    assert [result.cell for result in done] == list(CELLS)
    assert [result.problems for result in done] == [()] * len(CELLS), done
    assert told == done
    assert done[0].versions[SUBJECT].startswith("strongSwan 6.")
    assert done[0].versions[SUBJECT] == done[0].versions[PEER]


def test_a_cell_that_fails_says_why_and_the_next_one_passes(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemons are started again, and nothing of the failed cell is left."""
    honest = documents.of_cell

    def crooked(cell: Cell) -> Document:
        document = honest(cell)
        if cell == CELLS[2]:
            document["nodes"][PEER]["strongswan"]["ike"] = ["aes128gcm16-prfsha256-x25519"]
        return document

    monkeypatch.setattr(documents, "of_cell", crooked)
    bad, good = runs.in_a_pair(runner, CELLS[2:4], lambda _result: None)
    assert "initiate" in bad.problems[0]
    assert any("notify=NO_PROPOSAL_CHOSEN" in line for line in bad.saw), bad.saw
    assert good.passed, good


@pytest.mark.parametrize("name", CASES)
def test_a_special_case(runner: Runner, name: str) -> None:
    result = runs.case(runner, name, special.cases()[name])
    assert result.passed, (result.problems, result.saw)


@pytest.fixture
def lab_name(tmp_path: Path) -> Iterator[Callable[[], tuple[Cli, str]]]:
    cli, name = Cli(tmp_path), unique()
    yield lambda: (cli, name)
    assert cli("down", "-n", name, "-b", "docker").returncode == 0


def test_a_lab_of_strongswan_can_be_looked_at_and_asked(
    runner: Runner, lab_name: Callable[[], tuple[Cli, str]]
) -> None:
    """`up`, `status`, `logs` and `exec`, as with the lab's own nodes, and no right too many."""
    cli, name = lab_name()
    here = ("-n", name, "-b", "docker")
    done = cli("up", "scenarios/interop/strongswan-pair.yaml", *here)
    assert done.returncode == 0, done.stderr
    (lab,) = cli.json("status", *here)["labs"]
    for node in lab["nodes"]:
        assert [sa["phase"] for sa in node["status"]["ike_sas"]] == ["ESTABLISHED"]
        assert len(node["status"]["child_sas"]) == 1
    table = cli("status", *here).stdout
    assert table.count("ESTABLISHED") == 2
    logs = cli("logs", *here).stdout
    assert "IKE SA established" in logs
    assert "[CFG] selected peer config 'initiator'" in logs
    script = "id -u; grep Cap /proc/1/status; cat /proc/1/comm"
    inside = cli("exec", *here, "responder", "--", "sh", "-c", script)
    uid, *capabilities, command = inside.stdout.split("\n")[:-1]
    assert (uid, command) == ("0", "charon-systemd")
    found = {name: int(value, 16) for name, value in (line.split(":\t") for line in capabilities)}
    # NET_BIND_SERVICE, NET_ADMIN and NET_RAW at most; charon keeps but the second of them.
    assert found["CapBnd"] == 1 << 10 | 1 << 12 | 1 << 13
    assert found["CapEff"] == 1 << 12
