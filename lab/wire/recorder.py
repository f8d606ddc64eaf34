"""The capture of a relay: each datagram once, as it came, and everything else that is sent with a comment.

Headers are built from the real sender and the real receiver, as if there were no relay. A capture that cannot
be written any longer ends; what would have followed is counted.
"""

import contextlib
import time
from collections.abc import Callable
from typing import BinaryIO

from lab.wire.packets import Endpoint, packet
from lab.wire.pcapng import LINK_RAW, Interface, Packet, Writer


class Recorder:
    """Numbers packets from 1 as a reader of the file does, with or without a file."""

    def __init__(self, path: str, vantage: str, comment: str, failed: Callable[[str], None]) -> None:
        """Open the file, "" for none. Raises OSError."""
        self._failed = failed
        self.path = path
        #: Packets so far, and how many of them are not in the file.
        self.packets = self.lost = 0
        self._stream: BinaryIO | None = open(path, "wb") if path else None  # noqa: SIM115
        self._writer: Writer | None = None
        if self._stream is not None:
            try:
                self._writer = Writer(self._stream, (Interface(vantage, LINK_RAW),), comment)
            except OSError as error:
                self.close()
                raise OSError(error.errno, error.strerror, path) from error

    def record(self, source: Endpoint, target: Endpoint, octets: bytes, comment: str = "") -> int:
        """Write one packet, now; returns its number."""
        self.packets += 1
        if self._stream is not None and not self._write(source, target, octets, comment):
            self.lost += 1
        return self.packets

    def _write(self, source: Endpoint, target: Endpoint, octets: bytes, comment: str) -> bool:
        if self._writer is None:
            return False
        moment = time.time_ns()
        try:
            self._writer.packet(Packet(moment, packet(source, target, octets), comment=comment))
        except ValueError:
            # Larger than a packet can be: it was not sent either.
            return False
        except OSError as error:
            self._writer = None
            self._failed(f"{self.path}: {error.strerror}: the capture ends here")
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            # What is still to be written failed before, and that was told.
            with contextlib.suppress(OSError):
                self._stream.close()
