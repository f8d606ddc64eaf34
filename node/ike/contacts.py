"""Which IKE SAs we have with whom: what INITIAL_CONTACT is said by, and acted on (RFC 7296 2.4).

Rules:

1. We say that an IKE SA is the only one where that is certain: also one that we have begun may turn out to be
   with the same peer.
2. What a peer says concerns its own IKE SAs alone, those of exactly the identity that was authenticated; and
   of them only what was there when the new one began.
3. What takes the place of another IKE SA was there as early as that one: nobody was authenticated anew.
"""

from node.model.payloads import Identification

#: An identity's type and octets.
_Identity = tuple[int, bytes]


class Contacts:
    """IKE SAs by our SPI: those we have begun, and the established ones with their peer and since when."""

    __slots__ = ("_begun", "_by_peer", "_peers")

    def __init__(self) -> None:
        self._begun: set[bytes] = set()
        self._peers: dict[bytes, _Identity] = {}
        self._by_peer: dict[_Identity, dict[bytes, float]] = {}

    def begin(self, spi: bytes) -> None:
        """We initiate this one; who will answer is not known yet."""
        self._begun.add(spi)

    def establish(self, spi: bytes, peer: Identification, now: float) -> None:
        """The peer of this one is authenticated."""
        identity = (peer.id_type, peer.data)
        self._begun.discard(spi)
        self._peers[spi] = identity
        self._by_peer.setdefault(identity, {})[spi] = now

    def inherit(self, spi: bytes, heir: bytes) -> None:
        """`heir` takes the place of this established one."""
        identity = self._peers.pop(spi)
        known = self._by_peer[identity]
        self._peers[heir], known[heir] = identity, known.pop(spi)

    def end(self, spi: bytes) -> None:
        """This one is closed."""
        self._begun.discard(spi)
        identity = self._peers.pop(spi, None)
        if identity is not None:
            del self._by_peer[identity][spi]
            if not self._by_peer[identity]:
                del self._by_peer[identity]

    def sole(self, spi: bytes, peer: Identification | None = None) -> bool:
        """True where this is our only IKE SA with `peer`; with anybody, where the peer is not known yet."""
        known = self._peers if peer is None else self._by_peer.get((peer.id_type, peer.data), {})
        return len(self._begun) == (spi in self._begun) and len(known) == (spi in known)

    def before(self, moment: float, peer: Identification) -> tuple[bytes, ...]:
        """The IKE SAs with `peer` that were established by then, the oldest first."""
        known = self._by_peer.get((peer.id_type, peer.data), {})
        return tuple(spi for spi, since in known.items() if since <= moment)
