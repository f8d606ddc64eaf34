"""Waiting for files of a directory to change: inotify(7) where there is one, else looking again."""

import ctypes
import os
import select
import sys
import time
from pathlib import Path
from typing import Protocol

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
#: A read of this size drains what the kernel has queued; the events themselves do not matter.
_DRAIN = 65536
#: Between two looks where the kernel cannot tell us.
_LOOK_AGAIN = 0.05


class Watch(Protocol):
    """Something that may change."""

    def wait(self, timeout: float | None) -> None:
        """Return when it may have changed, or after `timeout` seconds."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


class _Inotify:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait(self, timeout: float | None) -> None:
        readable, _, _ = select.select([self._descriptor], [], [], timeout)
        if readable:
            os.read(self._descriptor, _DRAIN)

    def close(self) -> None:
        os.close(self._descriptor)


class _LookAgain:
    def wait(self, timeout: float | None) -> None:
        time.sleep(_LOOK_AGAIN if timeout is None else min(timeout, _LOOK_AGAIN))

    def close(self) -> None:
        return


def watch(*directories: Path) -> Watch:
    """Watch the files directly in these directories. Make it before reading, then nothing is missed."""
    if sys.platform != "linux":
        return _LookAgain()
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        return _LookAgain()
    for directory in directories:
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
        if libc.inotify_add_watch(descriptor, os.fsencode(directory), mask) < 0:
            os.close(descriptor)
            return _LookAgain()
    return _Inotify(descriptor)
