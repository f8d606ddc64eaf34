"""Run a node from its configuration to its exit code."""

import asyncio
import errno
import gc
import os
import signal
import sys

from linetalk.server import ControlServer
from node.config import Config
from node.control.protocol import MAX_REQUEST, parse_request
from node.daemon import apart
from node.daemon.answers import handle
from node.daemon.failure import EXIT_BUG, StartError, tell_bug
from node.daemon.node import Node
from node.daemon.start import Apart, Prepared, Started, begin, prepare
from node.eventlog import EventLog
from node.model.events import EventName
from node.net import clock
from node.version import VERSION


def run(config: Config, log: EventLog) -> int:
    """Start, run until stopped, and clean up; returns the exit code."""
    since = clock.monotonic()
    # The first process of a container has no default for SIGTERM: without this it could not be stopped
    # while it starts.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.emit(
        EventName.NODE_STARTED,
        role=str(config.role),
        profile=config.profile,
        version=VERSION,
        pid=os.getpid(),
    )
    try:
        prepared = prepare(config, log)
        if prepared.esp is None:
            return live(prepared, since)
        return apart.run(prepared, lambda ways: live(prepared, since, ways))
    except StartError as error:
        log.emit(EventName.NODE_FAILED, detail=str(error), code=error.exit_code)
        return error.exit_code
    except Exception as error:
        tell_bug(log, error)
        return EXIT_BUG


def live(prepared: Prepared, since: float, ways: Apart | None = None) -> int:
    """The whole life of what has the private key; the exit code. `since` when: in monotonic seconds."""
    log = prepared.log
    try:
        code = asyncio.run(_serve(begin(prepared, ways)))
    except StartError as error:
        log.emit(EventName.NODE_FAILED, detail=str(error), code=error.exit_code)
        return error.exit_code
    except Exception as error:
        tell_bug(log, error)
        return EXIT_BUG
    log.emit(EventName.NODE_STOPPED, code=code, uptime=round(clock.monotonic() - since, 3))
    return code


async def _serve(started: Started) -> int:
    node = Node(started, os.urandom)
    control = await _control(node)
    _handle_signals(node)
    # What a start leaves behind stays for good: without this each full collection would look at all of it
    # again, for ten milliseconds in which no datagram is handled.
    gc.collect()
    gc.freeze()
    try:
        return await node.run()
    finally:
        if control is not None:
            await control.stop()
        node.close()


async def _control(node: Node) -> ControlServer | None:
    path = node.config.control.socket
    if not path:
        return None
    server = ControlServer(path, lambda line: handle(node, parse_request(line)), node.failed, MAX_REQUEST)
    try:
        await server.start()
    except OSError as error:
        node.close()
        remedy = {
            errno.EADDRINUSE: "stop the other node, or set another path",
            errno.ENOENT: "make its directory",
            errno.EACCES: f"make its directory writable for uid {os.geteuid()}",
            errno.EROFS: "put it on a tmpfs",
        }.get(error.errno or 0, "set another path")
        raise StartError(f"control.socket: {path}: {error.strerror or error}; {remedy}") from error
    node.log.emit(EventName.CONTROL_READY, socket=path)
    return server


def _handle_signals(node: Node) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if node.stopping:
            # Asked twice: no more waiting, not even for buffers.
            os._exit(128 + number)
        node.stop(signal.Signals(number).name)

    if node.tie is not None:
        node.tie.stopped = on_signal
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
