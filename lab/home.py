"""Where the lab keeps what it must remember on this host: locks, and the labs of the process backend."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import EnvironmentNotReady
from lab.library import project_directory


def home() -> Path:
    """IPSECLAB_HOME, else `.ipseclab` of the checkout, else the user's state directory (XDG base
    directories).
    """
    if given := os.environ.get("IPSECLAB_HOME"):
        return Path(given).absolute()
    if (project_directory() / "pyproject.toml").is_file():
        return project_directory() / ".ipseclab"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ipseclab"


def make_directory(path: Path) -> Path:
    """Create a directory for this user only, with its parents. Raises EnvironmentNotReady."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentNotReady(
            f"{path}: cannot be created: {error.strerror}: make room there, or set IPSECLAB_HOME to "
            "another directory"
        ) from error
    return path


@contextmanager
def locked(name: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of one lab; `waiting` is told once where another process holds it. The kernel drops the
    lock of a killed process."""
    path = make_directory(home() / "locks") / f"{name}.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EnvironmentNotReady(f"{path}: cannot be opened: {error.strerror}: check its owner") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(f"another ipseclab works on lab {name!r}: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
