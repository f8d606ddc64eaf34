"""Whole lines into a pipe. No reader can stop whoever writes: the stream of one that went away is over, one
that stalls is waited for a moment, then loses lines.
"""

import math
import os
import select
import time

#: Seconds that a writer waits for a reader in all, once in `RECOVERY` seconds: longer than a busy one needs,
#: shorter than peers and signals can wait.
PATIENCE, RECOVERY = 2.0, 10.0


class LineWriter:
    """Writes whole lines to a descriptor until the reader goes away; a reader that stalls loses lines.

    The descriptor is shared with others and stays as it is: what is written at once is no more than a pipe
    takes without blocking when it is ready.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._open = True
        self._rest = b""
        self._stalled = False
        self._patience, self._waited_at = 0.0, -math.inf

    def write(self, line: str) -> bool:
        """Write `line` and a newline; False where the reader stalls and nothing of the line was written.

        Lines that belong together may come as one, with newlines between them.
        What is no Unicode text (lone surrogates) is escaped.
        """
        if self._rest and not self._flush():
            return False
        octets = self._rest = (line + "\n").encode("utf-8", "backslashreplace")
        if not self._flush() and len(self._rest) == len(octets):
            self._rest = b""
            return False
        return True

    def _flush(self) -> bool:
        """Write the rest of a line; False where some of it is left."""
        while self._rest and self._open:
            try:
                if not self._ready():
                    self._stalled = True
                    return False
                self._rest = self._rest[os.write(self._descriptor, self._part()) :]
            except BlockingIOError:
                # Somebody made it non-blocking, and it takes less than it said.
                self._stalled = True
                return False
            except OSError:
                self._open = False
            self._stalled = False
        self._rest = b""
        return True

    def _part(self) -> bytes:
        """What is written next: whole lines, as long as one is no longer than a pipe takes at once."""
        if len(self._rest) <= select.PIPE_BUF:
            return self._rest
        return self._rest[: self._rest.rfind(b"\n", 0, select.PIPE_BUF) + 1 or select.PIPE_BUF]

    def _ready(self) -> bool:
        """Whether the reader takes more. One that has not stalled yet is waited for, `PATIENCE` in all."""
        if self._poll.poll(0):
            return True
        if self._stalled:
            return False
        begin = time.monotonic()
        if begin - self._waited_at >= RECOVERY:
            self._patience = PATIENCE
        ready = bool(self._poll.poll(1000 * self._patience))
        self._waited_at = time.monotonic()
        self._patience = max(0.0, self._patience - (self._waited_at - begin))
        return ready
