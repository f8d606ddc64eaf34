"""The command line without any lab: usage, exit codes, JSON envelopes, environment twins."""

import json
import re
from pathlib import Path

import pytest

from lab import usage
from lab.cli import ALIASES, VERBS, main
from tests.lab.conftest import ROOT, Cli

USAGE = [
    (("upp",), "unknown verb 'upp' (did you mean up?)"),
    (("up", "helo"), "scenario 'helo' is unknown (did you mean hello?)"),
    (("up", "--nam", "x"), "unknown option --nam (did you mean --name?)"),
    (("up", "--nam=x"), "unknown option --nam (did you mean --name?)"),
    (("down", "hello"), "unexpected argument 'hello'"),
    (("up", "--subnet", "10.1/33"), "--subnet: '10.1/33' is no IPv4 network"),
    (("up", "--subnet", "192.0.2.1/24"), "has host bits set"),
    (("up", "--subnet", "10.0.0.0/8"), "--subnet: 10.0.0.0/8 overlaps 10.1.0.0/16"),
    (("up", "-b", "dokcer"), "--backend: 'dokcer' is unknown (did you mean docker?)"),
    (("status", "-o", "yaml"), "--output: 'yaml' is unknown"),
    (("up", "-n", "Not A Name"), "lab name 'Not A Name'"),
    (("up", "--key-type", "rsa512"), "--key-type: 'rsa512' is unknown"),
    (("up", "--timeout", "soon"), "--timeout: 'soon' is not a number of seconds"),
    (("run",), "the following arguments are required"),
    (("exec", "initiator"), "no command"),
    (("logs", "--tail", "-1"), "'-1' is not a number of lines"),
    (("logs", "--tail", "x"), "'x' is not a number of lines"),
    (("lint", "no-such-file.yaml"), "no-such-file.yaml: cannot be read"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_usage_errors_are_one_line_and_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""
    assert said.err.count("\n") == 1


def test_help_has_the_verbs_and_the_exit_codes(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.returncode == 0
    assert all(f"  {verb}" in shown.stdout for verb in VERBS)
    assert all(alias in shown.stdout for alias in ALIASES)
    assert all(str(code) in shown.stdout for code in (0, 1, 2, 4, 5, 124, 125, 126, 127, 130))


def test_aliases_lead_to_verbs() -> None:
    assert set(ALIASES.values()) <= set(VERBS)
    assert ALIASES.keys().isdisjoint(VERBS)


def test_no_lab_is_5(cli: Cli) -> None:
    for verb in (("status",), ("logs",), ("exec", "initiator", "--", "true")):
        done = cli(*verb[:1], "-n", "nothing-here", "-b", "process", *verb[1:])
        assert done.returncode == 5, verb
        assert done.stdout == ""
    error = cli.json("status", "-n", "nothing-here", "-b", "process", rc=5)
    assert (error["schema"], error["exit_code"]) == ("ipseclab/error/v1", 5)


def test_documents_fit_the_schema(cli: Cli) -> None:
    assert cli.json("version")["schema"] == "ipseclab/version/v1"
    assert cli.json("scenarios")["scenarios"][0]["name"] == "hello"
    assert cli.json("down", "-n", "nothing-here", "-b", "process")["labs"] == []


def test_options_have_environment_twins_and_the_command_line_wins(cli: Cli) -> None:
    twin = {"IPSECLAB_NAME": "from-env", "IPSECLAB_BACKEND": "process", "IPSECLAB_OUTPUT": "json"}
    done = cli("status", **twin)
    assert done.returncode == 5
    assert "'from-env'" in json.loads(done.stdout)["error"]
    done = cli("status", "-n", "from-line", **twin)
    assert "'from-line'" in json.loads(done.stdout)["error"]


def test_an_error_names_the_variable_and_a_misspelt_one_is_told(cli: Cli) -> None:
    done = cli("status", IPSECLAB_BACKEND="dokcer")
    assert done.returncode == 2
    assert "--backend (from IPSECLAB_BACKEND): 'dokcer' is unknown (did you mean docker?)" in done.stderr
    done = cli("status", IPSECLAB_TIMEOUT="-1")
    assert "--timeout (from IPSECLAB_TIMEOUT): '-1' is not a number of seconds" in done.stderr
    done = cli("scenarios", IPSECLAB_BAKEND="process")
    assert done.returncode == 0
    assert "IPSECLAB_BAKEND in the environment means nothing (did you mean IPSECLAB_BACKEND?)" in done.stderr


def test_every_variable_of_the_code_is_known() -> None:
    """And nothing else is."""
    text = "".join(path.read_text() for path in (ROOT / "lab").rglob("*.py") if path.name != "usage.py")
    text += (ROOT / "docker-compose.yml").read_text()
    named = set(re.findall(r"IPSECLAB_[A-Z_]*[A-Z]", text))
    named |= {f"IPSECLAB_{name}" for name in re.findall(r'_env\("([A-Z_]+)"', text)}
    assert named == usage.VARIABLES


def test_options_may_stand_on_either_side_of_the_verb(cli: Cli) -> None:
    before = cli("-n", "xx", "-b", "process", "status")
    behind = cli("status", "-n", "xx", "-b", "process")
    assert before.stderr == behind.stderr
    assert "'xx'" in before.stderr


def test_quiet_is_quiet(cli: Cli) -> None:
    done = cli("down", "-q", "-n", "nothing-here", "-b", "process")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_run_whose_evidence_could_not_be_kept_does_not_begin(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = cli("run", "hello", "-b", "process", IPSECLAB_RUNS=str(tmp_path / "file" / "runs"))
    assert done.returncode == 4
    assert "runs: cannot be written: Not a directory" in done.stderr
    assert "IPSECLAB_RUNS" in done.stderr
    assert "certificate loaded" not in done.stderr
