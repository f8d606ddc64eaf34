"""A CA directory with cheap keys, and ways to run the command line in it."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from ca.cli import main

CHEAP = {"CA_KEY_TYPE": "ecdsa-p256", "CA_ROOT_KEY_TYPE": "ecdsa-p256", "CA_OUTPUT": "json"}


@dataclass(frozen=True, slots=True)
class Desk:
    """One CA directory; `run` expects success, `call` returns exit code, outcome of each name, and stderr."""

    directory: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str, **environment: str) -> dict[str, dict[str, object]]:
        code, out, err = self.call(*arguments, **environment)
        assert code == 0, err
        return out

    def call(self, *arguments: str, **environment: str) -> tuple[int, dict[str, dict[str, object]], str]:
        self.capture.readouterr()
        code = main(arguments, {"CA_DIR": str(self.directory), **CHEAP, **environment})
        text = self.capture.readouterr()
        lines = [json.loads(line) for line in text.out.splitlines()]
        return code, {line["name"]: line for line in lines}, text.err

    def ask(self, certificates: dict[str, object], authorities: dict[str, object] | None = None) -> str:
        return "--request=" + json.dumps({"certificates": certificates, "authorities": authorities or {}})

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.directory / f"{name}-cert.pem").read_bytes())

    def contents(self) -> dict[str, bytes]:
        """Every file but the lock, hidden ones included."""
        return {path.name: path.read_bytes() for path in self.directory.iterdir() if path.name != ".ca.lock"}


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path / "certs", capsys)


def in_child(action: Callable[[], int]) -> int:
    """Run `action` in a forked child and return its exit status; a kill in there kills only the child."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = action()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def open_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory that another uid can reach too (pytest's own are private)."""
    path = Path(tempfile.mkdtemp(prefix="ipseclab-ca-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
