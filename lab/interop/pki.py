"""Certificates for all cells at once: one CA, and for both sides a key of every type under one identity."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.backends import ca
from lab.backends.orders import clean_environment
from lab.errors import EnvironmentNotReady
from lab.interop.documents import OTHER
from lab.peers.planned import certificate

#: Keys of some types take a while on a busy machine.
TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Pki:
    """A directory in which the CA has been."""

    directory: Path

    def files(self, side: str, key_type: str) -> dict[str, bytes]:
        """What a strongSwan of this side needs, by its paths under /etc/swanctl."""
        name = f"{side}-{key_type}"
        return {
            "x509ca/ca.pem": self._read("ca-cert.pem"),
            f"x509/{certificate(side)}": self._read(f"{name}-cert.pem"),
            f"private/{certificate(side)}": self._read(f"{name}-key.pem"),
        }

    def _read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()


def issue(directory: Path, key_types: Iterable[str]) -> Pki:
    """Run the CA there. Raises EnvironmentNotReady, or CheckFailed in the CA's own words."""
    wanted: Mapping[str, object] = {
        f"{side}-{key_type}": {"identity": side, "key_type": key_type}
        for key_type in key_types
        for side in OTHER
    }
    environment = {
        "CA_DIR": str(directory),
        "CA_ROOT_KEY_TYPE": "ecdsa-p256",
        "CA_NAMES": " ".join(wanted),
        "CA_REQUEST": json.dumps({"certificates": wanted}),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ca"],
            env=clean_environment() | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentNotReady(f"the CA does not run: {error}: make venv") from error
    if done.returncode:
        raise ca.failure(done.returncode, done.stderr)
    return Pki(directory)
