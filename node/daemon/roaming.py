"""Our outer address: noticing that it is another one, and moving IKE SAs there (RFC 4555 3.5).

Rules:

1. The routing table decides: an IKE SA is moved where datagrams to its peer would now leave from another
   address.
2. An address that somebody chose by hand stays, as long as it is ours.
3. Only who listens on every address can move.
"""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from node.ike.endpoint import Endpoint
from node.net import clock
from node.net.transport import Transport


class Roaming:
    """Moves the IKE SAs of one node; `pump` carries out what the engine asks for then."""

    def __init__(self, endpoint: Endpoint, transport: Transport, pump: Callable[[], None]) -> None:
        self._endpoint, self._transport, self._pump = endpoint, transport, pump
        self._chosen = ""

    @property
    def able(self) -> bool:
        """Whether this node can move at all."""
        return ip_address(self._transport.address).is_unspecified

    def look(self) -> None:
        """Addresses or routes have changed. Without a way to a peer there is nothing to do yet."""
        if self._chosen and self._transport.owns(self._chosen):
            return
        self._chosen = ""
        for spi, path in self._endpoint.mobile():
            try:
                host = self._transport.way_to(path).local_host
            except OSError:
                continue
            if host != path.local_host:
                self._endpoint.move(spi, replace(path, local_host=host), clock.monotonic())
        self._pump()

    def move(self, host: str) -> int:
        """Go on from this address of ours, or where it is empty from the one that the routes choose.

        Every peer is told, of the same address, too. Returns how many IKE SAs there are to move. Raises
        ValueError, with the reason, where that cannot be.
        """
        found = self._endpoint.mobile()
        if not self.able:
            raise ValueError(f"listen.address is {self._transport.address}: set 0.0.0.0 or :: to move")
        if not found:
            raise ValueError("no IKE SA that we opened has a peer that speaks MOBIKE")
        if host and not self._transport.owns(host):
            raise ValueError(f"{host!r} is no address of this host, or of another IP version")
        try:
            ways = {
                spi: replace(path, local_host=host or self._transport.way_to(path).local_host)
                for spi, path in found
            }
        except OSError as error:
            raise ValueError(f"no way to a peer: {error.strerror}") from error
        self._chosen = host
        for spi, way in ways.items():
            self._endpoint.move(spi, way, clock.monotonic())
        self._pump()
        return len(ways)
