"""The half-open IKE SAs of a responder: bounds on what anybody can make us keep (RFC 8019 3, 6).

An IKE SA is half-open from our IKE_SA_INIT response until a valid IKE_AUTH, the end of its time, or its
failure.
"""

from collections import Counter
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from node.errors import DropReason, PeerMisbehaved
from node.ike.settings import Limits
from node.model.message import Path

#: Hosts whose source is remembered; each comes twice in a handshake.
MAX_REMEMBERED = 128


class HalfOpen:
    """Half-open SAs by the request that made them, counted for each source."""

    __slots__ = ("_by_request", "_by_spi", "_limits", "_settled", "_sources")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._by_request: dict[tuple[str, bytes], bytes] = {}
        self._by_spi: dict[bytes, tuple[tuple[str, bytes], str]] = {}
        self._settled: dict[bytes, tuple[str, bytes]] = {}
        self._sources: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_spi)

    def made_by(self, path: Path, digest: bytes) -> bytes | None:
        """Our SPI of the IKE SA that this very request from there made, or None."""
        return self._by_request.get((str(path), digest))

    def admit(self, path: Path) -> None:
        """Raise PeerMisbehaved (HALF_OPEN_LIMIT, HALF_OPEN_SOURCE_LIMIT) where one more is too many."""
        if len(self._by_spi) >= self._limits.half_open:
            raise PeerMisbehaved(DropReason.HALF_OPEN_LIMIT, f"{len(self)} half-open IKE SAs")
        source = source_of(path)
        if self._sources[source] >= self._limits.half_open_per_source:
            raise PeerMisbehaved(
                DropReason.HALF_OPEN_SOURCE_LIMIT, f"{self._sources[source]} of them from {source}"
            )

    def add(self, spi: bytes, path: Path, digest: bytes) -> None:
        """Count a new one."""
        request, source = (str(path), digest), source_of(path)
        self._by_request[request] = spi
        self._by_spi[spi] = (request, source)
        self._sources[source] += 1

    def settle(self, spi: bytes) -> None:
        """It is established: not counted any more, but its request is still known for a repetition."""
        entry = self._by_spi.pop(spi, None)
        if entry is None:
            return
        request, source = entry
        self._settled[spi] = request
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]

    def discard(self, spi: bytes) -> None:
        """It is gone."""
        self.settle(spi)
        request = self._settled.pop(spi, None)
        if request is not None:
            del self._by_request[request]


def source_of(path: Path) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 address."""
    return _source(path.peer_host)


@lru_cache(MAX_REMEMBERED)
def _source(peer_host: str) -> str:
    host = ip_address(peer_host.partition("%")[0])
    if isinstance(host, IPv6Address) and host.ipv4_mapped is None:
        return f"{IPv6Address(int(host) >> 64 << 64)}/64"
    return str(host)
