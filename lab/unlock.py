"""What a key log adds to the evidence of a run: tables for Wireshark, and the keys inside the captures.

A run without a key log gets neither.
"""

import os
from pathlib import Path

from lab.backends.base import CAPTURES, KEYS
from lab.decode import keylog, wireshark
from lab.wire import pcapng


def unlock(directory: Path) -> bool:
    """Make the captures of a run readable for whoever has its directory; False where no node logged a key.

    Raises EnvironmentNotReady, KeyLogError, CaptureError, OSError.
    """
    if not (directory / KEYS).is_dir():
        return False
    keys = keylog.of_run(directory)
    wireshark.write(directory, keys)
    secrets = (pcapng.SECRETS_ESP, wireshark.secrets(keys.esp))
    for path in sorted(directory.glob(CAPTURES)):
        _put_in(path, secrets)
    return True


def _put_in(path: Path, secrets: tuple[int, bytes]) -> None:
    """Write the capture again with the secrets before its packets, for us alone to read."""
    found = pcapng.read(path.read_bytes())
    beside = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        unlocked = pcapng.Capture(found.comment, found.interfaces, found.packets, (secrets,))
        pcapng.write(stream, unlocked)
    os.replace(beside, path)
