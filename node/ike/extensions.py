"""What both parties say of themselves in IKE_SA_INIT beside algorithms, key share and nonce.

    N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)   RFC 7296 2.23
    N(IKEV2_FRAGMENTATION_SUPPORTED)                              RFC 7383 2.3
    N(SIGNATURE_HASH_ALGORITHMS)                                  RFC 7427 4

Rules:

1. Nothing of it is authenticated before IKE_AUTH is: it chooses among what the configuration allows, and
   never more than that.
2. What cannot be understood is as if it had not been said; an extension is no reason to refuse a peer.
"""

import hashlib
import hmac
from dataclasses import dataclass

from node.ike import exchanges
from node.ike.settings import Settings
from node.model.message import Header, Message, Path, outer_address
from node.model.payloads import Notify
from node.model.registry import HashId, NotifyType

#: Octets of a hash identifier (RFC 7427 4).
HASH_ID_SIZE = 2
#: Identifiers that are read; the registry has eight.
MAX_HASHES = 64

#: The data of a message's notifications, in their order, by type.
_Said = dict[NotifyType, list[bytes]]


@dataclass(frozen=True, slots=True)
class Nat:
    """What NAT detection found (RFC 7296 2.23).

    `supported`: the peer took part. `local`: our address changes on the way to the peer; `peer`: the
    peer's does on the way to us, or it says so to have ESP in UDP.
    """

    supported: bool = False
    local: bool = False
    peer: bool = False

    @property
    def detected(self) -> bool:
        """True where IKE and ESP move to the port for both of them."""
        return self.local or self.peer


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the peer said. `hashes` are None where it named none: it does not know method 14 (RFC 7427)."""

    nat: Nat = Nat()
    fragmentation: bool = False
    hashes: frozenset[HashId] | None = None


def announce(settings: Settings, spi_i: bytes, spi_r: bytes, path: Path) -> tuple[Notify, ...]:
    """What we say; `path` is that of the message it goes into, `spi_r` zero in a request."""
    hashes = b"".join(number.to_bytes(HASH_ID_SIZE) for number in settings.signature_hashes)
    fragments = (Notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),) if settings.mtu else ()
    return (
        *nat_detection(spi_i, spi_r, path),
        *fragments,
        Notify(NotifyType.SIGNATURE_HASH_ALGORITHMS, hashes),
    )


def nat_detection(spi_i: bytes, spi_r: bytes, path: Path) -> tuple[Notify, ...]:
    """Both notifications of NAT detection, of a message that leaves on `path`."""
    source = nat_digest(spi_i, spi_r, path.local_host, path.local_port)
    destination = nat_digest(spi_i, spi_r, path.peer_host, path.peer_port)
    return (
        Notify(NotifyType.NAT_DETECTION_SOURCE_IP, source),
        Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, destination),
    )


def announced(message: Message, settings: Settings, path: Path) -> Extensions:
    """What the peer said in its IKE_SA_INIT message, which came on `path`."""
    said = _said(message)
    fragmentation = NotifyType.IKEV2_FRAGMENTATION_SUPPORTED in said and settings.mtu > 0
    return Extensions(_nat(said, message.header, path), fragmentation, _hashes(said))


def nat_digest(spi_i: bytes, spi_r: bytes, host: str, port: int) -> bytes:
    """SHA-1(SPIi | SPIr | address | port), 20 octets: a fingerprint, no protection (RFC 7296 2.23)."""
    octets = spi_i + spi_r + outer_address(host).packed + port.to_bytes(2)
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def detect_nat(message: Message, path: Path) -> Nat:
    """What the NAT detection of a message that came on `path` says."""
    return _nat(_said(message), message.header, path)


def _said(message: Message) -> _Said:
    said: _Said = {}
    for notify in exchanges.every(message, Notify):
        said.setdefault(notify.notify_type, []).append(notify.data)
    return said


def _nat(said: _Said, header: Header, path: Path) -> Nat:
    sources = said.get(NotifyType.NAT_DETECTION_SOURCE_IP)
    destinations = said.get(NotifyType.NAT_DETECTION_DESTINATION_IP)
    if not sources or not destinations:
        return Nat()
    # A peer with several addresses names them all; one that fits is enough.
    return Nat(
        supported=True,
        local=not _names(destinations, header, path.local_host, path.local_port),
        peer=not _names(sources, header, path.peer_host, path.peer_port),
    )


def _names(digests: list[bytes], header: Header, host: str, port: int) -> bool:
    wanted = nat_digest(header.spi_i, header.spi_r, host, port)
    return any(hmac.compare_digest(wanted, digest) for digest in digests)


def _hashes(said: _Said) -> frozenset[HashId] | None:
    for data in said.get(NotifyType.SIGNATURE_HASH_ALGORITHMS, ()):
        starts = range(0, min(len(data) - 1, HASH_ID_SIZE * MAX_HASHES), HASH_ID_SIZE)
        return frozenset(HashId.of(int.from_bytes(data[at : at + HASH_ID_SIZE])) for at in starts)
    return None
