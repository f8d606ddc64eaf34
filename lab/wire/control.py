"""The relay's side of its control socket: one JSON object a line, one answer for each request, in order.

    {"command": "set", "faults": [{"act": "drop", "match": "ESP", "times": 3}]}
    {"ok": true, "faults": ["drop ESP, times 3"]}
    {"ok": false, "error": "fault 1: act: unknown act 'drp' (did you mean drop?)"}

Only the relay's own user (and root) can connect. Connections, their time between requests and the size of a
request are bounded. A socket file that nobody listens on is replaced, one that somebody listens on is left
alone.
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from typing import Any

#: Octets of a request line: MAX_FAULTS faults with every setting fit.
MAX_REQUEST = 1 << 16
#: Connections at one time, and seconds that one may stay silent.
MAX_CONNECTIONS, IDLE = 16, 60.0


class RequestError(Exception):
    """A request that cannot be understood or carried out; the text is the answer."""


#: Carries out a command with its arguments. Raises RequestError.
Handler = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ControlServer:
    """Listens on a Unix socket. What `handler` raises besides RequestError is a bug, and goes to `failed`."""

    def __init__(self, path: str, handler: Handler, failed: Callable[[BaseException], None]) -> None:
        self._path, self._handler, self._failed = path, handler, failed
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen. Raises OSError where the path cannot be used."""
        listener = _listen(self._path)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_REQUEST)

    async def stop(self) -> None:
        """Stop listening, drop connections and remove the socket file."""
        if self._server is None:
            return
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.write(_refusal("too many connections"))
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.CancelledError):
            # The client went away, fell silent, or the relay stops: nothing is left to answer.
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
                writer.write(_refusal(f"a request has at most {MAX_REQUEST} octets"))
                await writer.drain()
                return
            writer.write(self._answer(line))
            await asyncio.wait_for(writer.drain(), IDLE)

    def _answer(self, line: bytes) -> bytes:
        try:
            return _line({"ok": True, **self._handler(_request(line))})
        except RequestError as error:
            return _line({"ok": False, "error": str(error)})


def _request(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise RequestError("the request is not JSON") from None
    if not isinstance(request, dict):
        raise RequestError("the request is no object")
    return request


def _line(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _refusal(error: str) -> bytes:
    return _line({"ok": False, "error": error})


def _listen(path: str) -> socket.socket:
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
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, "another process listens on it")
