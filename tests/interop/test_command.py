"""`python -m lab.interop` without an engine, and the refusals of the backends that cannot do it."""

import socket
from pathlib import Path

import pytest

from lab.interop import cells, ours, special
from lab.interop.__main__ import main
from tests.lab.conftest import Cli

PAIR = "scenarios/interop/strongswan-pair.yaml"


def test_what_would_be_run_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == [*(cell.name for cell in cells.matrix()), *ours.cases()]
    assert main(["--list", "--subject", "strongswan"]) == 0
    assert capsys.readouterr().out.split() == [*(cell.name for cell in cells.matrix()), *special.cases()]
    assert main(["--list", "--pairs", "--no-cases"]) == 0
    assert len(capsys.readouterr().out.split()) == len(cells.matrix(2))
    assert main(["--list", "--only", "cookie-*"]) == 0
    assert capsys.readouterr().out.split() == ["cookie-initiator", "cookie-responder"]


def test_short_lives_are_watched_alone_and_for_a_time_that_fits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--soak", "300"]) == 0
    assert capsys.readouterr().out.split() == ["soak-initiator", "soak-responder"]
    for wrong in ("24", "1501", "-1", "x"):
        with pytest.raises(SystemExit) as caught:
            main(["--list", "--soak", wrong])
        assert caught.value.code == 2
        assert "name seconds from 25 to 1500" in capsys.readouterr().err


def test_a_name_that_nothing_has_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "nothing"]) == 2
    assert "no cell and no case is called so: see --list" in capsys.readouterr().err


def test_without_an_engine_the_environment_is_to_blame(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{unused.getsockname()[1]}")
    assert main(["--only", "cookie-initiator", "--out", str(tmp_path)]) == 4
    assert "Docker is not running" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.md"))


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_plain_processes_cannot_be_a_strongswan(cli: Cli) -> None:
    done = cli("run", PAIR, "-b", "process", "-n", "t-no-swan")
    assert done.returncode == 4
    assert (
        "only a container can be a strongSwan, and the backend is process: use --backend docker"
        in done.stderr
    )
    assert cli("status", "-n", "t-no-swan", "-b", "process").returncode == 5
