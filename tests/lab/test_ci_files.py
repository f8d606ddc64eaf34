"""What we give CI users works: the workflow, and the examples of docs/ci.md."""

import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import yamlschema
from lab.testing import IpsecLab
from tests.docs import readme
from tests.lab.conftest import ROOT, Cli, finish

WORKFLOW = ROOT / ".github" / "workflows" / "ipsec-lab.yml"
PAGE = ROOT / "docs" / "ci.md"
TEXT = PAGE.read_text("utf-8")
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="no jq")


def blocks(language: str) -> list[str]:
    return [block.text for block in readme.blocks(PAGE) if block.language == language]


def parsed(text: str) -> Any:
    return yamlschema.parse(text.encode(), "docs/ci.md").value


def steps(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [step for job in document["jobs"].values() for step in job["steps"]]


MATRIX = parsed(blocks("yaml")[1])
GITLAB = parsed(blocks("yaml")[2])["ipsec-lab"]
RUN = [step["run"] for step in steps(parsed(WORKFLOW.read_text("utf-8"))) if "run" in step]
MATRIX_RUN = [step["run"] for step in steps(MATRIX) if "run" in step]
COMMANDS = list(dict.fromkeys([*RUN, *MATRIX_RUN, *GITLAB["script"]]))


def environment(cli: Cli, tmp_path: Path) -> dict[str, str]:
    """A runner without Docker, two quick scenarios, and the places of evidence and labs in a directory of
    ours."""
    for name in ("hello", "wrong-ca"):
        shutil.copy(ROOT / "scenarios" / f"{name}.yaml", tmp_path)
    return cli.environment(
        IPSECLAB_BACKEND="process",
        IPSECLAB_SCENARIOS=str(tmp_path),
        IPSECLAB_KEY_TYPE="ecdsa-p256",
        GITHUB_ACTIONS="true",
        GITHUB_OUTPUT=str(tmp_path / "output"),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )


def test_the_workflow_reads_only_and_pins_what_it_uses() -> None:
    document = parsed(WORKFLOW.read_text("utf-8"))
    assert document["permissions"] == {"contents": "read"}
    assert set(document["on"]) == {"push", "pull_request"}
    (job,) = document["jobs"].values()
    assert job["strategy"]["matrix"]["runner"] == ["ubuntu-24.04", "ubuntu-24.04-arm"]
    used = [step["uses"] for step in [*steps(document), *steps(MATRIX)] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used), used
    (upload,) = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert upload["if"] == "always()"
    assert "runs/" in upload["with"]["path"].splitlines()
    # A command that is cut by itself takes its labs down; one that is cut with its job may not.
    (seconds,) = [int(found) for line in RUN for found in re.findall(r"--timeout (\d+)", line)]
    assert seconds < job["timeout-minutes"] * 60


def test_the_page_shows_the_workflow_that_runs() -> None:
    assert blocks("yaml")[0] == WORKFLOW.read_text("utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_jobs_runs(cli: Cli, tmp_path: Path, command: str) -> None:
    if command == "make venv":
        # It has run, or these tests would not: that it can be said again is all there is to see.
        command += " --dry-run"
    if "jq " in command and shutil.which("jq") is None:
        pytest.skip("no jq")
    line = command.replace("${{ matrix.scenario }}", "hello").replace(
        "runs/junit.xml", f"{tmp_path}/junit.xml"
    )
    assert "${{" not in line
    line = line.replace(" scenarios", f" {tmp_path}") if "lint" in line else line
    done = finish(["bash", "-eo", "pipefail", "-c", line], environment(cli, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    if "--junit" in line:
        assert '<testsuite name="hello"' in (tmp_path / "junit.xml").read_text()
        assert "2 of 2 scenarios passed" in (tmp_path / "summary.md").read_text()
    if "--list" in line:
        name, _, value = (tmp_path / "output").read_text().strip().partition("=")
        assert (name, json.loads(value)) == ("scenarios", ["hello", "wrong-ca"])


@needs_jq
def test_the_shell_recipe_runs_and_its_exit_code_is_that_of_the_check(cli: Cli, tmp_path: Path) -> None:
    (recipe,) = blocks("bash")
    recipe = recipe.replace("runs/check.xml", f"{tmp_path}/check.xml")
    place = environment(cli, tmp_path)
    good = finish(["bash", "-c", recipe], place)
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.endswith("as expected\n")
    bad = finish(["bash", "-c", recipe.replace("ctl health", "ctl terminate")], place)
    assert bad.returncode == 1
    assert "a check failed" in bad.stdout
    assert (tmp_path / "check.xml").is_file()
    labs = [path.name for path in (cli.home / "labs").iterdir() if path.name.startswith("ci-")]
    assert labs == []


def test_the_pytest_example_passes(cli: Cli, tmp_path: Path) -> None:
    (example,) = blocks("python")
    (tmp_path / "test_example.py").write_text(example)
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = finish([sys.executable, *words], environment(cli, tmp_path))
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_what_the_page_says_of_the_plugin_is_true(cli: Cli) -> None:
    help_text = finish([sys.executable, "-m", "pytest", "--help"], cli.environment()).stdout
    options = set(re.findall(r"^\| `(--ipsec-[a-z-]+)", TEXT, re.MULTILINE))
    assert options == set(re.findall(r"--ipsec-[a-z-]+", help_text))
    rows = re.findall(r"^\| (`[a-z].*?`) \| ", TEXT, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)[(`]", row)}
    assert {"run", "status", "wait", "events", "judge", "name", "nodes"} <= named
    assert all(hasattr(IpsecLab, name) for name in named)
