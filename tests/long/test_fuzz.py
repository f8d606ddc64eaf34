"""Coverage-guided fuzzing of every target, for `--seconds` each, on top of what it found in earlier runs."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.long.conftest import Figure
from tests.node.conftest import ROOT
from tests.property.targets import TARGETS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        find_spec("atheris") is None, reason="atheris is not there: .venv/bin/pip install atheris"
    ),
]

#: Inputs that reached new code are kept here, from run to run.
CORPORA = ROOT / ".fuzz"


def fuzzer(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.long.fuzz", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str, seconds: int, figure: Figure) -> None:
    corpus: Path = CORPORA / name
    done = fuzzer(name, str(corpus), f"-max_total_time={seconds}", "-print_final_stats=1")
    assert done.returncode == 0, done.stderr[-3000:]
    stats = dict(re.findall(r"stat::(\w+): +(\d+)", done.stderr))
    covered = re.findall(r"cov: (\d+)", done.stderr)[-1]
    figure("seconds", seconds)
    figure("inputs", stats["number_of_executed_units"])
    figure("edges of the code that they reached", covered)
    again = fuzzer(name, str(corpus), "--replay")
    figure("corpus", again.stdout.strip())
    assert again.returncode == 0, again.stdout + again.stderr
