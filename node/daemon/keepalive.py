"""Keeping our mapping in a NAT alive: one octet where nothing else was sent for a while (RFC 3948 2.3, 4).

Only who is behind a NAT sends them, and only for an established IKE SA. A mapping belongs to a path: whatever
leaves on it, of whichever SA, keeps it. Answers are not expected, and a keepalive proves nothing to anybody.
"""

from collections.abc import Callable

from node.model.message import Path
from node.net.steer import KEEPALIVE


class Keepalives:
    """Paths that must not be silent for `interval` seconds; 0: they may be. Times are monotonic seconds."""

    def __init__(self, interval: float, send: Callable[[bytes, Path], bool]) -> None:
        self._interval, self._send = interval, send
        self._paths: dict[bytes, Path] = {}
        # When something left on a path last.
        self._last: dict[Path, float] = {}
        #: Keepalives so far.
        self.sent = 0

    def __bool__(self) -> bool:
        return bool(self._last)

    def begin(self, ike_spi: bytes, path: Path, now: float) -> None:
        """Keep the mapping of this IKE SA's path; also where it has another one now."""
        if self._interval:
            self.end(ike_spi)
            self._paths[ike_spi] = path
            self._last.setdefault(path, now)

    def moved(self, ike_spi: bytes, path: Path, behind_nat: bool, now: float) -> None:
        """An IKE SA has another path, with a NAT in front of us or not."""
        if behind_nat:
            self.begin(ike_spi, path, now)
        else:
            self.end(ike_spi)

    def replaced(self, old_spi: bytes, ike_spi: bytes) -> None:
        """Another IKE SA goes on where this one was."""
        path = self._paths.pop(old_spi, None)
        if path is not None:
            self._paths[ike_spi] = path

    def end(self, ike_spi: bytes) -> None:
        """It is gone."""
        path = self._paths.pop(ike_spi, None)
        if path is not None and path not in self._paths.values():
            del self._last[path]

    def note(self, path: Path, now: float) -> None:
        """Something left on `path`."""
        if path in self._last:
            self._last[path] = now

    def deadline(self) -> float | None:
        """When `send_due` wants to be called, or None."""
        return min(self._last.values()) + self._interval if self._last else None

    def send_due(self, now: float) -> None:
        """Send on every path that was silent for the whole interval."""
        for path, last in self._last.items():
            if now >= last + self._interval:
                self._last[path] = now
                self._send(KEEPALIVE, path)
                self.sent += 1
