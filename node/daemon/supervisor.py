"""The first process of a node that has a TUN device: it starts the two that work, and starts them again.

                    supervisor          opens sockets and TUN device once, and keeps them; reads none
         tie     /              \\      tie
      IKE process  -- channel --  ESP process
      private key                 TUN device, keys of Child SAs

Rules:

1. It has no key, and reads nothing that comes from a network. Of its capabilities it keeps those that it
   takes to make a process again: of another user and, where the inner address changes, with NET_ADMIN.
2. A process that dies is told of, and started again after a pause; `MOST_RESTARTS` times in `WINDOW` seconds,
   then the node ends. While there is none, nothing leaves in clear: the routes lead to the TUN device or
   nowhere, and nobody reads from it.
3. An IKE process that ends by itself ends the node with its code: it knows why.
4. One process writes the log at a time: the IKE process, and this one while there is none.
5. Neither process can be signalled across users without KILL: their ties are closed, or a process of the same
   user does it.
"""

import gc
import os
import select
import signal
import socket
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from linetalk.writer import LineWriter
from node.daemon.channel import Channel, pair
from node.daemon.documents import DocumentError
from node.daemon.failure import EXIT_BUG, EXIT_ENVIRONMENT, EXIT_OK
from node.daemon.orders import Died, End, Started, Stop, Word, pack, unpack
from node.daemon.tie import Tie
from node.eventlog import EventLog
from node.model.events import EventName
from node.net import clock
from node.net.privileges import User, become

#: Restarts of one process in so many seconds: one that dies more often will not live.
MOST_RESTARTS, WINDOW = 5, 60.0
#: Seconds before the first restart; each one in the window waits twice as long.
PAUSE = 0.1
#: Seconds for a process to end once its tie is closed.
END_PATIENCE = 2.0

_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT})


class Process(StrEnum):
    """The two processes."""

    IKE = "ike"
    ESP = "esp"


#: What a process does, with its end of the tie; returns its exit code.
LiveIke = Callable[[Tie], int]
LiveEsp = Callable[[Channel, int], int]


@dataclass(slots=True)
class _Child:
    """One of them: its process (0: none), our end of its tie, how many there were, when it is due again."""

    user: User | None
    pid: int = 0
    tie: Channel | None = None
    starts: int = 0
    due: float | None = None
    deaths: deque[float] = field(default_factory=deque)


class Supervisor:
    """Starts `ike` and `esp`, which must let go of what is not theirs, and waits.

    `users` are who they become. `esp` is told its generation.
    """

    def __init__(
        self, log: EventLog, users: Mapping[Process, User | None], ike: LiveIke, esp: LiveEsp
    ) -> None:
        self._log, self._ike, self._esp = log, ike, esp
        self._children = {role: _Child(users[role]) for role in Process}
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._code: int | None = None

    def run(self) -> int:
        """Until the node ends; its exit code."""
        for number in (*_STOPPING, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        # What is there now is there for good: a collector that looks at it makes copies of shared pages.
        gc.collect()
        gc.freeze()
        self._start(Process.ESP)
        self._start(Process.IKE)
        while self._code is None:
            self._wait()
            self._reap()
            self._start_due()
        self._end_esp()
        return self._code

    # -- waiting ---------------------------------------------------------------------------------------------

    def _wait(self, most: float | None = None) -> None:
        """Until a signal or a word from the IKE process comes, or something is due."""
        ready, tie = select.poll(), self._children[Process.IKE].tie
        ready.register(self._woken, select.POLLIN)
        if tie is not None:
            ready.register(tie, select.POLLIN)
        due = [child.due - clock.monotonic() for child in self._children.values() if child.due is not None]
        seconds = min(due, default=most)
        ready.poll(None if seconds is None else 1000 * max(0.0, seconds))
        self._hear_signals()
        if tie is not None:
            self._hear_ike(tie)

    def _hear_signals(self) -> None:
        try:
            numbers = self._woken.recv(4096)
        except BlockingIOError:
            return
        for number in (n for n in numbers if n in _STOPPING):
            if not self._say(0, Stop(number)) and not self._children[Process.IKE].pid:
                self._log.emit(EventName.NODE_STOPPING, reason=signal.Signals(number).name)
                self._code = EXIT_OK

    def _hear_ike(self, tie: Channel) -> None:
        """It says one thing: that an ESP process must end."""
        try:
            while (document := tie.receive()) is not None:
                esp = self._children[Process.ESP]
                if unpack(document, (End,)).generation == esp.starts and esp.pid:
                    _kill(esp)
        except (DocumentError, EOFError):
            self._reap()
            ike = self._children[Process.IKE]
            if ike.pid:
                # It cannot be told anything any more, or is somebody else's.
                _kill(ike)

    def _say(self, generation: int, word: Word) -> bool:
        """Tell the IKE process something. False where it cannot hear it."""
        tie = self._children[Process.IKE].tie
        return tie is not None and tie.send(pack(generation, 0, word))

    # -- death and restart -----------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Also of what is no child of ours, but of the first process of a container."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            for role, child in self._children.items():
                if child.pid == pid:
                    self._ended(role, child, os.waitstatus_to_exitcode(status))

    def _ended(self, role: Process, child: _Child, code: int) -> None:
        """A process has ended, with a code or by a signal (a negative one)."""
        pid, child.pid = child.pid, 0
        if child.tie is not None:
            child.tie.close()
            child.tie = None
        if self._code is not None:
            return
        if role is Process.IKE and code >= 0:
            self._code = code
            return
        now = clock.monotonic()
        child.deaths.append(now)
        while child.deaths[0] < now - WINDOW:
            child.deaths.popleft()
        final = len(child.deaths) > MOST_RESTARTS
        child.due = None if final else now + PAUSE * 2 ** (len(child.deaths) - 1)
        died = Died(pid, None if code < 0 else code, -code if code < 0 else None, final)
        if role is Process.ESP and self._say(child.starts, died):
            # It tells the log and, where this was the last one, its peers, and ends.
            return
        self._log.emit(EventName.PROCESS_DIED, process=str(role), **fate(died))
        if final:
            self._log.emit(EventName.NODE_FAILED, detail=too_often(role), code=EXIT_ENVIRONMENT)
            self._code = EXIT_ENVIRONMENT

    def _start_due(self) -> None:
        now = clock.monotonic()
        for role, child in self._children.items():
            if child.due is not None and child.due <= now and self._code is None:
                child.due = None
                self._start(role)

    def _start(self, role: Process) -> None:
        child = self._children[role]
        ours, theirs = pair()
        child.starts += 1
        # A signal for a process that has our handlers still would be taken for one of ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        pid = os.fork()
        if not pid:
            self._live(role, theirs, ours)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        theirs.close()
        child.pid, child.tie = pid, ours
        if role is Process.ESP:
            self._say(child.starts, Started(pid))

    def _live(self, role: Process, tie: Channel, other: Channel) -> NoReturn:
        """The whole life of a process."""
        code = EXIT_BUG
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in _STOPPING:
                # A terminal or a manager of services may mean all of us; we hear of it by the tie.
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            for end in (self._wake, self._woken, other):
                end.close()
            for child in self._children.values():
                if child.tie is not None:
                    child.tie.close()
            esp = self._children[Process.ESP]
            if role is Process.ESP:
                code = self._esp(tie, esp.starts)
            else:
                code = self._ike(Tie(tie, self._children[role].starts, esp.starts, esp.pid))
        except BaseException as error:
            LineWriter(2).write("".join(traceback.format_exception(error)))
        finally:
            os._exit(code)

    def _end_esp(self) -> None:
        """Close its tie, and make sure."""
        esp = self._children[Process.ESP]
        if esp.tie is not None:
            esp.tie.close()
            esp.tie = None
        esp.due, end = None, clock.monotonic() + END_PATIENCE
        while esp.pid and (left := end - clock.monotonic()) > 0:
            self._wait(left)
            self._reap()
        if esp.pid:
            _kill(esp)
            os.waitpid(esp.pid, 0)


def fate(died: Died) -> dict[str, object]:
    """How a process has ended, as fields of an event."""
    known = {int(number): number.name for number in signal.Signals}
    name = None if died.signal is None else known.get(died.signal, str(died.signal))
    return {"pid": died.pid, "code": died.code, "signal": name}


def too_often(role: Process) -> str:
    """Why a node ends."""
    return f"the {role.upper()} process died more than {MOST_RESTARTS} times in {WINDOW:g} s"


def _kill(child: _Child) -> None:
    """End a process at once, as its user: for another one that takes a capability that we do not have."""
    if child.user is None:
        os.kill(child.pid, signal.SIGKILL)
        return
    helper = os.fork()
    if not helper:
        try:
            become(child.user)
            os.kill(child.pid, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(helper, 0)
