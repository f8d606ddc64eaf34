"""`ipseclab` again and again: Python starts and imports it once, and every call is a fork of that process.

A call has its own arguments, environment, standard streams and exit code, as if it had been started; it only
is spared the second that the imports take. `python -m lab` itself is what `Cli.start` starts.

    server    imports, then forks a minder for each order
    minder    forks the command, tells its process id and in the end its status, on the socket of that order
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Octets of an order at most: arguments and environment.
LARGEST = 150_000


@dataclass(frozen=True, slots=True)
class Prefork:
    """The server, and the socket on which it takes orders."""

    process: "subprocess.Popen[bytes]"
    channel: socket.socket

    @classmethod
    def begin(cls) -> "Prefork":
        """Start the server."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            command = [sys.executable, "-m", "tests.lab.prefork", str(its.fileno())]
            passed = [its.fileno()]
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=passed)
            return cls(process, ours)

    def close(self) -> None:
        """End it; what it started goes on."""
        self.channel.close()
        self.process.wait()

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], timeout: float
    ) -> "subprocess.CompletedProcess[str]":
        """`ipseclab` with these arguments, to its end and to the end of what it wrote, with nothing to read.
        Raises subprocess.TimeoutExpired.
        """
        deadline = time.monotonic() + timeout
        ours, its = socket.socketpair()
        pipes = [os.pipe(), os.pipe()]
        with ours, ours.makefile("r") as told:
            with its, open(os.devnull) as nothing:
                order = json.dumps([list(arguments), dict(environment)]).encode()
                ends = [nothing.fileno(), *(end for _, end in pipes), its.fileno()]
                socket.send_fds(self.channel, [order], ends)
            for _, end in pipes:
                os.close(end)
            pid = int(told.readline())
            try:
                texts = _read_all([end for end, _ in pipes], deadline)
                ours.settimeout(max(0.001, deadline - time.monotonic()))
                code = os.waitstatus_to_exitcode(int(told.readline()))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), timeout) from None
        return subprocess.CompletedProcess(list(arguments), code, *texts)


def _read_all(ends: Sequence[int], deadline: float) -> list[str]:
    """What comes out of these pipes until nobody holds their other ends. Raises TimeoutError."""
    found = {end: bytearray() for end in ends}
    with ExitStack() as streams, selectors.DefaultSelector() as waiting:
        for end in ends:
            streams.callback(os.close, end)
            waiting.register(end, selectors.EVENT_READ)
        while waiting.get_map():
            if not (ready := waiting.select(max(0.0, deadline - time.monotonic()))):
                raise TimeoutError
            for key, _ in ready:
                if octets := os.read(key.fd, 65_536):
                    found[key.fd] += octets
                else:
                    waiting.unregister(key.fd)
    return [octets.decode().replace("\r\n", "\n") for octets in found.values()]


def _serve(channel: socket.socket) -> None:
    """Take orders until nobody is left to give any; in a command, return."""
    for name in ("lab.cli", "lab.backends.docker"):
        importlib.import_module(name)
    # What is there already is never garbage in a command, and its pages stay shared.
    gc.freeze()
    # Minders are nobody's business.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        octets, ends, _, _ = socket.recv_fds(channel, LARGEST, 4, socket.MSG_CMSG_CLOEXEC)
        if not octets:
            sys.exit()
        if os.fork() == 0:
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            arguments, environment = json.loads(octets)
            if _mind(ends):
                return _become(arguments, environment)
        for end in ends:
            os.close(end)


def _mind(ends: Sequence[int]) -> bool:
    """Fork the command, in which this is true, and tell of it; its streams become the standard ones."""
    *streams, reply = ends
    pid = os.fork()
    if pid:
        for end in streams:
            os.close(end)
        os.write(reply, b"%d\n" % pid)
        os.write(reply, b"%d\n" % os.waitpid(pid, 0)[1])
        os._exit(0)
    for number, end in enumerate(streams):
        os.dup2(end, number)
        os.close(end)
    os.close(reply)
    return True


def _become(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["ipseclab", *arguments]


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("lab", run_name="__main__", alter_sys=True)
