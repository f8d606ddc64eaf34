"""Datagrams from addresses that are nobody's, sent to the target.

    target in 127.0.0.0/8    sockets bound to addresses of 127.128.0.0/9: no privilege, answers are seen
    elsewhere                a raw socket (NET_RAW), sources of the configured network: answers get lost

Floods go nowhere but to the target of the relay.
"""

import contextlib
import errno
import socket
from collections import Counter, deque
from collections.abc import Callable, Collection
from ipaddress import ip_address
from random import Random

from lab.wire.config import Network
from lab.wire.packets import Endpoint, packet
from lab.wire.udp import note

#: Sockets that wait for answers at one time; the oldest is closed for a new one.
_MAX_OPEN = 256
#: Different sources of a raw flood: the target looks each of them up on the link, and its table of neighbours
#: has 1,024 places (gc_thresh3) that honest nodes need, too.
_MAX_SOURCES = 500
_LEAST_PORT, _LAST_PORT = 1024, 65_535
_TRIES = 100
#: Addresses of a network that has room for sources beside nodes.
_LEAST_NETWORK = 8


class Spoofer:
    """Sends to one target. `taken` gives the addresses that somebody is known to have by now."""

    def __init__(
        self,
        target: str,
        sources: Network | None,
        taken: Callable[[], Collection[str]],
        errors: "Counter[str]",
        seed: int,
    ) -> None:
        self._target, self._sources, self._taken, self._errors = target, sources, taken, errors
        self._random = Random(f"{seed}/sources")
        self._open: deque[socket.socket] = deque()
        self._answers = 0
        self._raw: socket.socket | None = None
        self._pool: list[str] = []
        address = ip_address(target)
        self._version = address.version
        self._loopback = address.is_loopback

    def why_not(self) -> str:
        """Empty where it works, else what it lacks."""
        if self._loopback:
            return "" if self._version == 4 else "::1 can be reached from ::1 alone: use IPv4 on loopback"
        if self._sources is None:
            return "flood.sources is not set: the network whose addresses a flood may come from"
        if not self._pool and not self._fill():
            return f"flood.sources: {self._sources} has no address that is nobody's"
        try:
            self._raw = self._raw or _raw_socket(self._version)
        except PermissionError:
            return "a flood from other addresses needs the capability NET_RAW: add it to the wire's"
        except OSError as error:
            return f"no raw socket can be made: {error.strerror}"
        return ""

    def send(self, port: int, octets: bytes) -> Endpoint | None:
        """Send to a port of the target; returns the source, None where it was not sent.

        Only where `why_not` is empty.
        """
        try:
            return self._from_socket(port, octets) if self._loopback else self._from_raw(port, octets)
        except OSError as error:
            note(error, self._errors)
            return None

    def answers(self) -> int | None:
        """How many answers came since this was asked last; None where they cannot be seen."""
        while self._open:
            self._close_oldest()
        found, self._answers = self._answers, 0
        return found if self._loopback else None

    def close(self) -> None:
        """Close every socket."""
        self.answers()
        if self._raw is not None:
            self._raw.close()

    def _from_socket(self, port: int, octets: bytes) -> Endpoint:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.bind((f"127.{'.'.join(map(str, self._loopback_host()))}", 0))
            made.sendto(octets, (self._target, port))
        except OSError:
            made.close()
            raise
        self._open.append(made)
        if len(self._open) > _MAX_OPEN:
            self._close_oldest()
        return Endpoint(*made.getsockname())

    def _loopback_host(self) -> tuple[int, int, int]:
        roll = self._random.randrange
        return roll(128, 256), roll(256), roll(1, 255)

    def _close_oldest(self) -> None:
        waiting = self._open.popleft()
        # Refused, or nothing more to read: both say that no answer is left.
        with contextlib.suppress(OSError), waiting:
            while True:
                waiting.recv(1)
                self._answers += 1

    def _from_raw(self, port: int, octets: bytes) -> Endpoint:
        source = Endpoint(self._nobody(), self._random.randint(_LEAST_PORT, _LAST_PORT))
        if self._raw is None:
            raise OSError("no raw socket: why_not() was not asked")
        self._raw.sendto(packet(source, Endpoint(self._target, port), octets), (self._target, 0))
        return source

    def _nobody(self) -> str:
        """One of the sources. Raises OSError where all of them are somebody's by now."""
        taken = self._taken()
        while self._pool:
            address = self._random.choice(self._pool)
            if address not in taken:
                return address
            self._pool.remove(address)
        raise OSError(errno.EADDRNOTAVAIL, "no source is left")

    def _fill(self) -> bool:
        """Choose the sources, in the upper half of the network: bridges and nodes get their addresses from
        the lower end, also those that are still to come.
        """
        network, taken, chosen = self._sources, self._taken(), set[str]()
        if network is None or network.num_addresses < _LEAST_NETWORK:
            return False
        first, last = network.num_addresses // 2, network.num_addresses - 2
        for _ in range(_MAX_SOURCES + _TRIES):
            address = str(network[self._random.randint(first, last)])
            if address not in taken:
                chosen.add(address)
            if len(chosen) == _MAX_SOURCES:
                break
        self._pool = sorted(chosen)
        return bool(chosen)


def _raw_socket(version: int) -> socket.socket:
    """A socket whose packets bring their own IP header (raw(7), IPPROTO_RAW). Raises OSError."""
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    made = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    made.setblocking(False)
    return made
