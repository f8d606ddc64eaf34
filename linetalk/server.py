"""The serving side of a control socket: a line is asked, a line is answered.

Rules:

1. Only our own user (and root) can connect: mode 0600.
2. Connections, their lifetime between requests and the size of a request are bounded; bad input gets an
   answer, then the connection goes on, except where a line is too long to find its end.
3. A socket file that nobody listens on is replaced; one that somebody listens on is left alone.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Mapping
from typing import Any

from linetalk.answers import RequestError, answer, refusal

#: Connections at one time: a healthcheck, a few people, a lab.
MAX_CONNECTIONS = 16
#: Seconds that a connection may stay silent.
IDLE = 60.0

#: Carries out a request line; the fields of the answer. Raises RequestError.
Handler = Callable[[bytes], Mapping[str, Any]]


class ControlServer:
    """Listens on a Unix socket. What `handler` raises besides RequestError is a bug, and goes to `failed`.

    `most`: octets of a request line.
    """

    def __init__(
        self, path: str, handler: Handler, failed: Callable[[BaseException], None], most: int
    ) -> None:
        self._path, self._handler, self._failed, self._most = path, handler, failed, most
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen. Raises OSError where the path cannot be used."""
        listener = listen(self._path)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=self._most)

    async def stop(self) -> None:
        """Stop listening, drop connections and remove the socket file."""
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.write(refusal("too many connections"))
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            # The client went away, fell silent, or we stop: nothing is left to answer.
            writer.transport.abort()
        except BaseException as error:
            self._failed(error)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await asyncio.wait_for(reader.readuntil(b"\n"), IDLE)
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                writer.write(refusal(f"a request has at most {self._most} octets"))
                await writer.drain()
                return
            writer.write(self._answer(line))
            await asyncio.wait_for(writer.drain(), IDLE)

    def _answer(self, line: bytes) -> bytes:
        try:
            return answer(self._handler(line))
        except RequestError as error:
            return refusal(str(error))


def listen(path: str) -> socket.socket:
    """A listening Unix socket with mode 0600. Raises OSError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        old = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(old)
        listener.listen(MAX_CONNECTIONS)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "exists and is no socket")
    if _answers(path):
        raise OSError(errno.EADDRINUSE, "another process listens on it")
    os.unlink(path)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
    return True
