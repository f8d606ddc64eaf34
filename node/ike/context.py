"""What all IKE SAs of one endpoint share: configuration, ports and the output queue."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from node.crypto import kex
from node.ike.contacts import Contacts
from node.ike.fragments import Budget
from node.ike.outputs import Event, Output
from node.ike.pool import Pools
from node.ike.settings import Settings
from node.model.child import ChildSa
from node.model.events import EventName
from node.model.message import NO_SPI, Envelope, Header, HeaderFlags
from node.model.payloads import Identification, Notify
from node.model.registry import KeId, PayloadType
from node.model.secret import Secret
from node.model.selectors import TrafficSelector, overlap
from node.ports import Codec, Entropy, PeerVerifier, Signer

#: What a Child SA is for at the peer's end.
Selectors = tuple[TrafficSelector, ...]
#: An identity's type and octets.
Owner = tuple[int, bytes]


class KeyPairs:
    """Makes key pairs for key exchanges: one can be made in advance, none is ever used twice."""

    __slots__ = ("_emit", "_spare")

    def __init__(self, emit: Callable[[Output], None]) -> None:
        self._emit = emit
        self._spare: kex.KeyPair | None = None

    def prepare(self, group: KeId) -> None:
        """Make a key pair now, to be taken later."""
        self._spare = self._generate(group)

    def take(self, group: KeId) -> kex.KeyPair:
        """A fresh key pair of this group."""
        spare, self._spare = self._spare, None
        return spare if spare is not None and spare.group == group else self._generate(group)

    def _generate(self, group: KeId) -> kex.KeyPair:
        pair = kex.generate(group)
        self._emit(Event(EventName.DH_KEY_PAIR_GENERATED, {"group": str(group), "octets": len(pair.public)}))
        return pair


class Children:
    """All Child SAs of the endpoint by inbound SPI, and what the peer of each identity holds by them."""

    __slots__ = ("_by_spi", "_held")

    def __init__(self) -> None:
        self._by_spi: dict[bytes, tuple[ChildSa, Owner]] = {}
        # One entry for all Child SAs of an owner with the same selectors: there may be thousands.
        self._held: dict[Owner, Counter[Selectors]] = {}

    def __contains__(self, spi: bytes) -> bool:
        return spi in self._by_spi

    def __len__(self) -> int:
        return len(self._by_spi)

    def add(self, child: ChildSa, owner: Identification) -> None:
        """Remember an installed Child SA, or what has become of it."""
        self.discard(child.inbound_spi)
        key = (owner.id_type, owner.data)
        self._by_spi[child.inbound_spi] = (child, key)
        self._held.setdefault(key, Counter())[child.peer] += 1

    def ike_spi(self, spi: bytes) -> bytes | None:
        """Our SPI of the IKE SA that a Child SA belongs to."""
        found = self._by_spi.get(spi)
        return None if found is None else found[0].ike_spi

    def discard(self, spi: bytes) -> None:
        """Forget it."""
        if spi not in self._by_spi:
            return
        child, owner = self._by_spi.pop(spi)
        held = self._held[owner]
        held[child.peer] -= 1
        if not held[child.peer]:
            del held[child.peer]
        if not held:
            del self._held[owner]

    def taken_by_another(self, peer: Selectors, owner: Identification) -> bool:
        """True where a peer of another identity already holds some of these selectors.

        Otherwise one authenticated peer could draw the traffic of another one to itself.
        """
        own = (owner.id_type, owner.data)
        return any(
            overlap(selectors, peer)
            for other, held in self._held.items()
            if other != own
            for selectors in held
        )


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to every IKE SA.

    `signer` is our private key, or the secret that we share with our peers; `certificates` are empty with
    such a secret. `close` ends another IKE SA, by our SPI: silently, with a reason, at a time. `ike_spi`
    makes a free SPI. `has_room`: one more IKE SA is within the limits. `find` is another
    IKE SA, by our SPI, or None. `newest` is the highest sequence
    number of the ESP packets that came to an inbound SPI, 0 for none.
    """

    settings: Settings
    codec: Codec
    signer: Signer | Secret
    verifier: PeerVerifier
    certificates: tuple[bytes, ...]
    entropy: Entropy
    emit: Callable[[Output], None]
    key_pairs: KeyPairs
    children: Children
    contacts: Contacts
    pools: Pools
    close: Callable[[bytes, str, float], None]
    ike_spi: Callable[[], bytes]
    has_room: Callable[[], bool]
    find: Callable[[bytes], Any]
    newest: Callable[[bytes], int]
    fragments: Budget = field(default_factory=Budget)

    def local_id(self, kind: PayloadType) -> Identification:
        """Our identity as an IDi or IDr payload."""
        return Identification(kind, self.settings.local_id_type, self.settings.local_id)

    def event(self, name: EventName, **fields: object) -> None:
        """Emit an event."""
        self.emit(Event(name, fields))

    def refusal(self, request: Envelope, notify: Notify) -> tuple[bytes, ...] | None:
        """The datagrams of an unprotected answer with this notification alone, which keeps no state.

        None where they would be more octets than the request: whoever forges addresses gains nothing by us.
        """
        asked = request.header
        header = Header(asked.spi_i, NO_SPI, asked.exchange, asked.message_id, HeaderFlags.RESPONSE)
        sealed = self.codec.seal(header, (notify,), None, self.settings.mtu)
        return sealed.datagrams if len(sealed.octets) <= len(request.octets) else None

    def child_spi(self) -> bytes:
        """A random inbound ESP SPI.

        Free, not reserved by RFC 4303 2.1 (1 to 255), not mistaken for IKE on our port.
        """
        while True:
            spi = self.entropy(4)
            allowed = spi[0] not in self.settings.reserved_spi_octets and int.from_bytes(spi) > 255
            if allowed and spi not in self.children:
                return spi
