"""One end of a socket pair between two processes of a node: whole documents, bounded in size and in time.

Rules:

1. Nobody waits without end for the other process: sending takes a patience, receiving never waits.
2. The ends outlive the processes: the supervisor keeps them, so that a new process goes on with the same one.
   What is still in the pair was sent by, or to, the one before it.
"""

import select
import socket

from node.daemon.documents import MAX_DOCUMENT

#: Octets that the kernel keeps for a slow reader, if it is allowed to; a document must fit in at least.
_BUFFER = 512 * 1024


class Channel:
    """An end. Sending and receiving raise OSError for what is no matter of time."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(end, select.POLLOUT)
        self._readable.register(end, select.POLLIN)

    def fileno(self) -> int:
        """The descriptor, for an event loop."""
        return self._end.fileno()

    def send(self, document: bytes, patience: float = 0.0) -> bool:
        """Send a document. False where there was no room for it within `patience` seconds, or nobody has the
        other end any more.
        """
        try:
            self._end.send(document)
        except BlockingIOError:
            return bool(patience and self._writable.poll(1000 * patience)) and self.send(document)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> bytes | None:
        """The next document, one octet too long where it is too long; None where there is none now.

        Raises EOFError where nobody has the other end any more.
        """
        try:
            document = self._end.recv(MAX_DOCUMENT + 1)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            document = b""
        if not document:
            raise EOFError("the other end is closed")
        return document

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to receive; False where nothing came."""
        return bool(self._readable.poll(1000 * max(0.0, seconds)))

    def close(self) -> None:
        """Give this end back."""
        self._end.close()


def pair() -> tuple[Channel, Channel]:
    """Two ends of a new pair. Raises OSError."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    return Channel(ends[0]), Channel(ends[1])
