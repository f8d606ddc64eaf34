"""Files of the CA: where they are, reading them, writing them so that a kill leaves nothing half done, locks.

1. A file appears complete or not at all: temporary file beside it, fsync, rename, fsync of the directory.
2. A key is written before its certificate. A kill between the two leaves a key without its certificate,
   which the next run sees (no certificate, or one that the key does not belong to) and repairs.
3. Nothing is ever chowned: without capabilities nobody can. A key that belongs to another uid is an error.
4. Every OSError becomes a `StoreError` that names the path and the remedy.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ca.errors import StoreError

KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644
KEY_DIR_MODE = 0o700
CERTIFICATE_DIR_MODE = 0o755
# A PEM chain of eight RSA-4096 certificates has 20 KiB: more is not a file of ours.
MAX_FILE_OCTETS = 1 << 20
LOCK_FILE = ".ca.lock"
# Short against the work that the holder does, long enough not to burn a CPU.
_LOCK_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Files:
    """The two files of one name."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Directories: one for all certificates, one for the keys of authorities, one per name for other keys.

    `{name}` in `keys_dir` is replaced by the name; without it all keys share that directory.
    """

    certs_dir: Path
    authority_keys_dir: Path
    keys_dir: str

    def files(self, name: str, authority: bool) -> Files:
        """The certificate and key file of `name`."""
        key_dir = self.authority_keys_dir if authority else Path(self.keys_dir.replace("{name}", name))
        return Files(self.certs_dir / f"{name}-cert.pem", key_dir / f"{name}-key.pem")


def explain(error: OSError, path: Path, doing: str) -> StoreError:
    """One line for an operating system error at `path` while `doing` (a verb: read, write, lock, create)."""
    me = os.geteuid()
    match error.errno:
        case errno.EACCES | errno.EPERM:
            remedy = f"run as the owner, or let uid {me} {doing} it ({_ownership(path)})"
        case errno.EROFS:
            remedy = "mount it writable for the CA, or choose another directory"
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            remedy = "free some space and run again (nothing was left half-written)"
        case errno.ENOTDIR | errno.EEXIST:
            remedy = "something on this path is a file where a directory is needed: move it away"
        case errno.EISDIR:
            remedy = "a directory is where a file is needed: move it away"
        case _:
            remedy = "check the path and its file system"
    return StoreError(f"{path}: cannot {doing}: {error.strerror or error}: {remedy}")


def _ownership(path: Path) -> str:
    for place in (path, *path.parents):
        try:
            status = place.stat()
        except OSError:
            continue
        return f"{place} belongs to uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"
    return "its owner cannot be seen"


def ensure_directory(path: Path, mode: int) -> None:
    """Create `path` and its parents where they are missing; an existing one is left as it is."""
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise explain(error, path, "create") from error


def read(path: Path) -> bytes | None:
    """The content of a regular file; None if there is no file (or an empty one: nothing is lost with it)."""
    try:
        # Without O_NONBLOCK a FIFO in the place of a file would hang the run.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(error, path, "read") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{path}: is not a regular file: move it away")
        try:
            octets = file.read(MAX_FILE_OCTETS + 1)
        except OSError as error:
            raise explain(error, path, "read") from error
    if len(octets) > MAX_FILE_OCTETS:
        raise StoreError(
            f"{path}: larger than {MAX_FILE_OCTETS} octets, not a file of this program: move it away"
        )
    return octets or None


def require_own(path: Path) -> None:
    """Raise `StoreError` if the key file `path` exists and belongs to another uid."""
    status = _status(path)
    if status is not None and status.st_uid != os.geteuid():
        raise StoreError(
            f"{path}: belongs to uid {status.st_uid}, but this is uid {os.geteuid()}: "
            f"run as uid {status.st_uid}, or move the file away"
        )


def wrong_mode(path: Path, mode: int) -> int | None:
    """The permissions of `path` if they differ from `mode`, else None."""
    status = _status(path)
    found = mode if status is None else stat.S_IMODE(status.st_mode)
    return None if found == mode else found


def set_mode(path: Path, mode: int) -> None:
    """chmod; raise `StoreError` where that is not allowed."""
    try:
        path.chmod(mode)
    except OSError as error:
        raise explain(error, path, "change the permissions of") from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise explain(error, path, "read") from error


def _temporary(path: Path) -> Path:
    # Always the same name: under the lock there is one writer, and the next run finds what a kill left.
    return path.with_name(f".{path.name}.tmp")


def remove_leftover(path: Path) -> None:
    """Remove the temporary file that a killed run may have left beside `path`: it may hold a key."""
    try:
        _temporary(path).unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise explain(error, _temporary(path), "remove") from error


def write(path: Path, octets: bytes, mode: int) -> None:
    """Replace `path` by a file with `octets` and exactly `mode`, atomically and durably."""
    temporary = _temporary(path)
    try:
        temporary.unlink(missing_ok=True)
        _write_new(temporary, octets, mode)
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        # The first error is the one to tell: that the leftover cannot be removed either adds nothing.
        with ExitStack() as quiet:
            quiet.push(lambda kind, *_: kind is not None and issubclass(kind, OSError))
            temporary.unlink(missing_ok=True)
        raise explain(error, path, "write") from error


def _write_new(path: Path, octets: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, KEY_MODE)
    try:
        view = memoryview(octets)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directories: Sequence[Path], timeout: float, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of every directory; wait up to `timeout` seconds, then raise `StoreError`.

    Two runs that share any directory exclude each other. The order is the same in every run, so none
    waits for another in a circle. The kernel drops the lock of a killed run.
    """
    deadline = time.monotonic() + timeout
    with ExitStack() as held:
        for directory in sorted({path.resolve() for path in directories}):
            held.callback(os.close, _lock(directory / LOCK_FILE, deadline, tell))
        yield


def _lock(path: Path, deadline: float, tell: Callable[[str], None]) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, KEY_MODE)
    except OSError as error:
        raise explain(error, path, "write") from error
    try:
        _acquire(descriptor, path, deadline, tell)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _acquire(descriptor: int, path: Path, deadline: float, tell: Callable[[str], None]) -> None:
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"{path}: another run holds the lock: wait for it, or raise --lock-timeout"
                ) from None
        except OSError as error:
            raise explain(error, path, "lock") from error
        if not told:
            tell(f"waiting for another run that holds {path}")
            told = True
        time.sleep(_LOCK_POLL_SECONDS)
