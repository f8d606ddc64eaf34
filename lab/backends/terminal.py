"""An exec with our stdin, stdout and stderr: raw mode and window size where it has a terminal."""

import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from typing import Any

from lab.backends.engine import STDERR, ExecStream, open_exec
from lab.errors import ExitCode

#: What the OCI runtime says where there is no such command, or it cannot be executed.
_NOT_FOUND = (b"executable file not found", b"no such file or directory")
_NOT_EXECUTABLE = (b"permission denied", b"exec format error")


def attach(api: Any, container: str, command: list[str], *, terminal: bool, forward_input: bool) -> int:
    """Run it and return its exit code; 126 and 127 as the docker command does."""
    exec_id = api.exec_create(container, command, tty=terminal, stdin=forward_input)["Id"]
    stream = open_exec(api, exec_id, terminal)
    last = b""
    try:
        with (
            _raw_terminal(terminal),
            _window_size(terminal, lambda h, w: api.exec_resize(exec_id, height=h, width=w)),
        ):
            if forward_input:
                Thread(target=_pump_input, args=(stream,), daemon=True).start()
            for number, octets in stream.read():
                last = octets
                _write(2 if number == STDERR else 1, octets)
    finally:
        stream.close()
    return _code(int(api.exec_inspect(exec_id)["ExitCode"] or 0), last)


def _code(code: int, said: bytes) -> int:
    if b"OCI runtime exec failed" not in said:
        return code
    if any(sign in said for sign in _NOT_FOUND):
        return ExitCode.NOT_FOUND
    return ExitCode.NOT_EXECUTABLE if any(sign in said for sign in _NOT_EXECUTABLE) else code


def _write(descriptor: int, octets: bytes) -> None:
    # Straight to the descriptor: what a command writes is octets, and its order must not wait in a buffer.
    (sys.stderr if descriptor == 2 else sys.stdout).flush()
    while octets:
        octets = octets[os.write(descriptor, octets) :]


def _pump_input(stream: ExecStream) -> None:
    # The command may end at any moment; what is typed after that has no reader.
    with suppress(OSError):
        while octets := os.read(0, 4096):
            stream.write(octets)
        stream.close_input()


@contextmanager
def _raw_terminal(terminal: bool) -> Iterator[None]:
    if not terminal or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _window_size(terminal: bool, resize: Callable[[int, int], object]) -> Iterator[None]:
    if not terminal:
        yield
        return

    def tell(*_: object) -> None:
        size = shutil.get_terminal_size()
        resize(size.lines, size.columns)

    before = signal.signal(signal.SIGWINCH, tell)
    try:
        tell()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
