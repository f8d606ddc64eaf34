"""A relay from its start to its end: files, sockets, signals, exit codes.

0   stopped as asked        2   configuration
4   the environment: a port, a file, an address, a capability        70   a bug, with a traceback
"""

import asyncio
import signal
import traceback
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from lab.wire.answers import MAX_REQUEST, handler
from lab.wire.config import Config, is_literal
from lab.wire.eventlog import EventLog
from lab.wire.names import Target, asker
from lab.wire.recorder import Recorder
from lab.wire.relay import Relay
from lab.wire.udp import opened
from linetalk.server import ControlServer

STOPPED, USAGE, ENVIRONMENT, BUG = 0, 2, 4, 70


def run(config: Config, log: EventLog) -> int:
    """Run a relay until SIGTERM or SIGINT; returns the exit code."""
    return asyncio.run(_Service(config, log).run())


class _Service:
    def __init__(self, config: Config, log: EventLog) -> None:
        self._config, self._log = config, log
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Future[int]

    async def run(self) -> int:
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._loop.set_exception_handler(self._bug)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, STOPPED)
        async with AsyncExitStack() as stack:
            try:
                relay = await self._start(stack)
            except OSError as error:
                return self._fail(f"{error.filename or 'the wire'}: {error.strerror or error}", ENVIRONMENT)
            self._find_target(relay)
            code = await self._ended
        self._log.tell("wire_stopped", relayed=relay.engine.relayed, faults=relay.engine.acted)
        return code

    async def _start(self, stack: AsyncExitStack) -> Relay:
        """Everything up to `wire_ready`. Raises OSError that says what cannot be had."""
        config = self._config
        about = f"vantage {config.name}, before {config.target_name}; seed {config.seed}"
        recorder = Recorder(config.capture, config.name, about, self._log.say)
        stack.callback(self._close_capture, recorder)
        if config.capture:
            self._log.tell("capture_started", file=config.capture, vantage=config.name)
        try:
            relay = Relay(config, self._log, recorder, self._loop)
        except OSError as error:
            ports = ", ".join(map(str, config.ports))
            raise OSError(error.errno, error.strerror, f"UDP {config.listen}, port {ports}") from error
        stack.callback(relay.close)
        if config.control:
            control = ControlServer(config.control, handler(relay), self._failed, MAX_REQUEST)
            try:
                await control.start()
            except OSError as error:
                raise OSError(error.errno, error.strerror, config.control) from error
            stack.push_async_callback(control.stop)
        relay.start()
        self._log.tell(
            "wire_ready",
            address=config.listen,
            ports=list(config.ports),
            target=config.target_name,
            target_address=config.target_address,
            seed=config.seed,
            profile=config.profile,
            faults=[str(fault) for fault in config.faults],
        )
        return relay

    def _close_capture(self, recorder: Recorder) -> None:
        recorder.close()
        if recorder.path:
            self._log.tell("capture_stopped", packets=recorder.packets - recorder.lost, lost=recorder.lost)

    def _find_target(self, relay: Relay) -> None:
        config = self._config
        if is_literal(config.target_address):
            self._begin(relay, config.target_address)
            return
        Target(
            asker(config.version, self._loop.call_soon_threadsafe),
            self._loop.call_later,
            self._loop.time,
            found=partial(self._resolved, relay),
            missing=lambda detail: self._log.tell(
                "wire_target_missing", target=config.target_name, detail=detail
            ),
            lost=lambda detail: self._end(self._fail(f"target.address: {detail}", ENVIRONMENT)),
        ).look(config.target_address)

    def _resolved(self, relay: Relay, address: str) -> None:
        self._log.tell("wire_target_found", target=self._config.target_name, address=address)
        self._begin(relay, address)

    def _begin(self, relay: Relay, address: str) -> None:
        if self._is_own(address):
            problem = f"target.address: {address} is the wire's own: what it sent there would come back"
            self._end(self._fail(problem, USAGE))
            return
        relay.begin(address)
        if why := relay.why_not(self._config.faults):
            self._end(self._fail(why, ENVIRONMENT))

    def _is_own(self, address: str) -> bool:
        """Whether our listeners would get what is sent to this address."""
        listen = self._config.listen
        if listen not in ("0.0.0.0", "::"):
            return listen == address
        try:
            opened(self._config.version, address, 0).close()
        except OSError:
            return False
        return True

    def _fail(self, detail: str, code: int) -> int:
        self._log.tell("wire_failed", detail=detail, code=code)
        return code

    def _end(self, code: int) -> None:
        if not self._ended.done():
            self._ended.set_result(code)

    def _bug(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._failed(error if isinstance(error, BaseException) else RuntimeError(context["message"]))

    def _failed(self, error: BaseException) -> None:
        for line in "".join(traceback.format_exception(error)).splitlines():
            self._log.say(line)
        self._end(self._fail(f"bug: {type(error).__name__}: {error}", BUG))
