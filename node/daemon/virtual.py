"""The inner addresses that peers give us: on the inner side while their IKE SA lasts (RFC 7296 2.19).

Of several IKE SAs the newest one's count; when that ends, those of the one before it.
"""

from node.daemon.inner import InnerSide
from node.eventlog import EventLog
from node.model.events import EventName
from node.model.selectors import IPAddress

Addresses = tuple[IPAddress, ...]


class VirtualAddresses:
    """Keeps `inner` in line with what the IKE SAs say."""

    def __init__(self, inner: InnerSide, log: EventLog) -> None:
        self._inner, self._log = inner, log
        self._given: dict[bytes, Addresses] = {}

    def up(self, ike_spi: bytes, addresses: Addresses) -> bool:
        """The IKE SA with this SPI of ours brings these addresses. False where they cannot be set."""
        if not addresses:
            return True
        self._given[ike_spi] = addresses
        return self._arrange()

    def replaced(self, old_spi: bytes, ike_spi: bytes) -> None:
        """Another IKE SA goes on where this one was, with its addresses."""
        self._given = {ike_spi if spi == old_spi else spi: found for spi, found in self._given.items()}

    def down(self, ike_spi: bytes) -> None:
        """It is over."""
        if self._given.pop(ike_spi, None) is not None:
            self._arrange()

    def _arrange(self) -> bool:
        before = self._inner.addresses
        wanted = next(reversed(self._given.values()), ())
        if set(before) == set(wanted):
            return True
        error: OSError | None = None
        try:
            self._inner.move(wanted)
        except OSError as problem:
            error = problem
        self._tell(before)
        if error is not None:
            reason = error.strerror or str(error)
            self._log.emit(EventName.INNER_ADDRESS_FAILED, addresses=[str(a) for a in wanted], reason=reason)
        return error is None

    def _tell(self, before: Addresses) -> None:
        after = self._inner.addresses
        for address in (a for a in before if a not in after):
            self._log.emit(EventName.INNER_ADDRESS_REMOVED, address=str(address), via=self._inner.kind)
        for address in (a for a in after if a not in before):
            self._log.emit(EventName.INNER_ADDRESS_ADDED, address=str(address), via=self._inner.kind)
