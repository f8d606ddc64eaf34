"""The package runs where nothing of the project is but itself and linetalk, on a bare interpreter."""

import json
import shutil
import signal
import sys
from pathlib import Path

from tests.node.conftest import ROOT, Process
from tests.wire.conftest import Rig
from tests.wire.support import esp


def test_a_relay_from_a_copy_of_the_two_packages(rig: Rig, tmp_path: Path) -> None:
    place = tmp_path / "opt"
    (place / "lab").mkdir(parents=True)
    shutil.copy(ROOT / "lab" / "__init__.py", place / "lab")
    for package in ("lab/wire", "linetalk"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    # -S: without site-packages
    command = [sys.executable, "-S", "-B", "-W", "error", "-m", "lab.wire", "relay"]
    environment = {"WIRE_CONFIG": json.dumps(rig.config()), "PYTHONPATH": str(place)}
    process = Process(command, place, environment)
    try:
        process.wait_for("wire_ready")
        rig.alice.send(esp(1), rig.wire)
        assert rig.target.receive()[0] == esp(1)
        assert process.stop(signal.SIGTERM) == 0
    finally:
        process.close()
    assert {path.name for path in (place / "lab").iterdir()} == {"__init__.py", "wire"}
