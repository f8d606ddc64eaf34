"""The half-open IKE SAs of a responder: bounds on what anybody can make us keep (RFC 8019 3, 6).

An IKE SA is half-open from our IKE_SA_INIT response until a valid IKE_AUTH, the end of its time, or its
failure.

Rules:

1. Who showed a cookie takes the place of who did not: requests from forged addresses lock nobody out.
2. An IKE_AUTH that failed does not free the slot of its source before the time of the half-open IKE SA is
   over: what it costs us is bounded for each source, however fast it fails.
"""

import heapq
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from node.errors import DropReason, PeerMisbehaved
from node.ike.settings import Limits
from node.model.message import Path, outer_address

#: Hosts whose source is remembered; each comes twice in a handshake.
MAX_REMEMBERED = 128
#: Slots of failed handshakes that are remembered, far more than we can verify in their time.
MAX_SPENT = 20_000

#: A request by the path that it came on and its hash.
_Request = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    """`until` is the end of its time, in monotonic seconds."""

    request: _Request
    source: str
    until: float


class HalfOpen:
    """Half-open SAs by the request that made them, the oldest first, counted for each source."""

    __slots__ = ("_by_request", "_by_spi", "_limits", "_settled", "_sources", "_spent", "_unproven")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_request: dict[_Request, bytes] = {}
        self._by_spi: dict[bytes, _Entry] = {}
        self._settled: dict[bytes, _Request] = {}
        self._sources: Counter[str] = Counter()
        self._spent: list[tuple[float, str]] = []
        # Those whose source showed no cookie: never more than the threshold at which cookies are wanted.
        self._unproven: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._by_spi)

    def made_by(self, path: Path, digest: bytes) -> bytes | None:
        """Our SPI of the IKE SA that this very request from there made, or None."""
        return self._by_request.get((str(path), digest))

    def crowded(self, path: Path) -> bool:
        """True where the source has all the half-open IKE SAs that one may have."""
        return self._sources[source_of(path)] >= self._limits.half_open_per_source

    def unproven(self) -> tuple[bytes, ...]:
        """Our SPIs of those whose source showed no cookie, the oldest first."""
        return tuple(self._unproven)

    def admit(self, path: Path, *, proven: bool) -> bytes | None:
        """Judge one more from there; returns our SPI of the one that must give way to it, or None.

        Raises PeerMisbehaved (HALF_OPEN_LIMIT, HALF_OPEN_SOURCE_LIMIT) where it is too many.
        """
        if self.crowded(path):
            source = source_of(path)
            return self._giving_way(
                proven, source, DropReason.HALF_OPEN_SOURCE_LIMIT, f"{self._sources[source]} from {source}"
            )
        if len(self._by_spi) >= self._limits.half_open:
            detail = f"{len(self)} half-open IKE SAs"
            return self._giving_way(proven, None, DropReason.HALF_OPEN_LIMIT, detail)
        return None

    def add(self, spi: bytes, path: Path, digest: bytes, until: float, *, proven: bool) -> None:
        """Count a new one, whose time ends at `until`."""
        entry = _Entry((str(path), digest), source_of(path), until)
        self._by_request[entry.request] = spi
        self._by_spi[spi] = entry
        self._sources[entry.source] += 1
        if not proven:
            self._unproven[spi] = entry.source

    def settle(self, spi: bytes) -> None:
        """It is established: not counted any more, but its request is still known for a repetition."""
        entry = self._by_spi.pop(spi, None)
        self._unproven.pop(spi, None)
        if entry is not None:
            self._settled[spi] = entry.request
            self._free(entry.source)

    def spend(self, spi: bytes) -> None:
        """Its handshake failed: it is gone, its source's slot stays taken until its time is over."""
        entry = self._by_spi.get(spi)
        if entry is None:
            return
        if len(self._spent) >= MAX_SPENT:
            self._free(heapq.heappop(self._spent)[1])
        heapq.heappush(self._spent, (entry.until, entry.source))
        self._sources[entry.source] += 1

    def discard(self, spi: bytes) -> None:
        """It is gone."""
        self.settle(spi)
        request = self._settled.pop(spi, None)
        if request is not None:
            del self._by_request[request]

    def expire(self, now: float) -> None:
        """Free the slots of failed handshakes whose time is over."""
        while self._spent and self._spent[0][0] <= now:
            self._free(heapq.heappop(self._spent)[1])

    def deadline(self) -> float | None:
        """When the next slot is to be freed, or None."""
        return self._spent[0][0] if self._spent else None

    def _free(self, source: str) -> None:
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def _giving_way(self, proven: bool, source: str | None, reason: DropReason, detail: str) -> bytes:
        """The oldest without a cookie (of this source, or of any). Raises PeerMisbehaved where none is."""
        for spi, origin in self._unproven.items() if proven else ():
            if source in (None, origin):
                return spi
        raise PeerMisbehaved(reason, detail)


def source_of(path: Path) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 address."""
    return _source(path.peer_host)


@lru_cache(MAX_REMEMBERED)
def _source(peer_host: str) -> str:
    host = outer_address(peer_host)
    if isinstance(host, IPv6Address) and host.ipv4_mapped is None:
        return f"{IPv6Address(int(host) >> 64 << 64)}/64"
    return str(host)
