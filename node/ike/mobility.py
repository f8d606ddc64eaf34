"""What MOBIKE knows of one peer (RFC 4555): kept by an IKE SA and by every one that takes its place.

Rules:

1. Who opened the first of these IKE SAs decides on which path they are; the other one follows what is asked
   for in an authenticated request.
2. The IKE SA goes to a new path at once, its Child SAs once the peer has shown that it receives there.
3. What the peer says of its further addresses is kept and shown. Nothing is ever sent there for that.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from node.ike.exchanges import notifies
from node.model.message import Message, Path, outer_address
from node.model.payloads import Notify
from node.model.registry import NotifyType
from node.model.selectors import IPAddress, is_host

#: Further addresses of a peer that are kept, and of ours that are told: more than any host here has.
MAX_ADDRESSES = 16
#: Octets of COOKIE2: what may come (RFC 4555 4.2.5), and what we send.
MIN_COOKIE2, MAX_COOKIE2, COOKIE2_SIZE = 8, 64, 16

_ADDITIONAL = {NotifyType.ADDITIONAL_IP4_ADDRESS: 4, NotifyType.ADDITIONAL_IP6_ADDRESS: 16}
_OF_VERSION = {4: NotifyType.ADDITIONAL_IP4_ADDRESS, 6: NotifyType.ADDITIONAL_IP6_ADDRESS}


@dataclass(slots=True)
class Mobility:
    """`decides`: we opened the first IKE SA. `agreed` is the path that both ends know of.

    `held` is where Child SAs stay while the peer has not shown yet that it receives at the path of the IKE
    SA; None: they are there. `serial` counts changes of the path. `seen` is what the peer said last of where
    our messages come from: SPIs, and the hashes of NAT detection.
    """

    decides: bool
    agreed: Path
    others: tuple[IPAddress, ...] = ()
    held: Path | None = None
    serial: int = 0
    seen: tuple[bytes, frozenset[bytes]] = field(default=(b"", frozenset()), repr=False)

    def looks_elsewhere(self, spis: bytes, message: Message) -> bool:
        """Whether an answer says that our messages come from elsewhere than the last one did (3.8).

        Hashes with other SPIs cannot be compared.
        """
        kind = NotifyType.NAT_DETECTION_DESTINATION_IP
        found = frozenset(n.data for n in notifies(message, kind))
        before, self.seen = self.seen, (spis, found)
        return bool(found) and before[0] == spis and before[1] != found


def additional(addresses: Iterable[IPAddress], path: Path) -> tuple[Notify, ...]:
    """ADDITIONAL_IP4_ADDRESS and ADDITIONAL_IP6_ADDRESS of the first of ours, without the one in use."""
    used = outer_address(path.local_host)
    others = [a for a in addresses if a != used][:MAX_ADDRESSES]
    return tuple(Notify(_OF_VERSION[a.version], a.packed) for a in others)


def additional_of_peer(message: Message) -> tuple[IPAddress, ...] | None:
    """What the peer says of its further addresses; None where it says nothing (3.4, 3.6).

    What is no address of a host, and whatever exceeds `MAX_ADDRESSES`, is as if it had not been said.
    """
    told = notifies(message, *_ADDITIONAL, NotifyType.NO_ADDITIONAL_ADDRESSES)
    if not told:
        return None
    sound = (n.data for n in told if len(n.data) == _ADDITIONAL.get(n.notify_type))
    hosts = dict.fromkeys(address for address in map(ip_address, sound) if is_unicast(address))
    return tuple(hosts)[:MAX_ADDRESSES]


def is_unicast(address: IPAddress) -> bool:
    """Whether somebody can be at this outer address: a host, or one that we share it with."""
    return is_host(address) or address.is_loopback


def nats_as_told(message: Message, path: Path) -> bool:
    """Whether NO_NATS_ALLOWED, where it is there, names the addresses that the message came with (3.9)."""
    sender = outer_address(path.peer_host).packed + outer_address(path.local_host).packed
    expected = sender + path.peer_port.to_bytes(2) + path.local_port.to_bytes(2)
    return all(hmac.compare_digest(n.data, expected) for n in notifies(message, NotifyType.NO_NATS_ALLOWED))
