"""The garbage collector does not stop a running node for what was there since its start."""

import os
import subprocess
import sys
from pathlib import Path

from tests.node.conftest import ROOT, make_credentials

#: Counts what a full collection has to look at once the node runs, and ends it.
LOOK = """
import gc, sys
from node import cli
from node.daemon.node import Node

async def run(self):
    print('objects', len(gc.get_objects()), gc.get_freeze_count(), file=sys.stderr)
    return 0

Node.run = run
sys.exit(cli.main(["--mode=ipsec-responder", "--port=0", "--no-tun"]))
"""


def test_what_a_start_made_is_not_collected_again(tmp_path: Path) -> None:
    make_credentials(tmp_path / "ipsec" / "certs")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("NODE_")}
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=tmp_path,
        env={**clean, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = next(line for line in done.stderr.splitlines() if line.startswith("objects"))
    left, frozen = map(int, told.split()[1:])
    assert left < 1_000 < 10_000 < frozen
