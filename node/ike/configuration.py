"""The Configuration payload: inner addresses, asked for and given (RFC 7296 2.19, 3.15).

    initiator                                             responder
    CP(CFG_REQUEST: INTERNAL_IP4_ADDRESS())    -->
                                               <--    CP(CFG_REPLY: INTERNAL_IP4_ADDRESS(10.9.0.1))

    attribute               value
    INTERNAL_IP4_ADDRESS    none, or the address (4 octets)
    INTERNAL_IP6_ADDRESS    none, or the address (16 octets) and the length of its prefix (1 octet)

Rules:

1. Attributes that we do not know are ignored, and so are payloads of another type (RFC 7296 3.15.1).
2. One of the two above with another length is no attribute: the peer misbehaves.
3. An address that a responder gives us is looked at before anything is done with it.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Final

from node.errors import DropReason, Incompatibility, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges
from node.model.message import Message, Path, outer_address
from node.model.payloads import Configuration, ConfigurationAttribute
from node.model.registry import CfgAttribute, CfgType
from node.model.selectors import IPAddress, is_host

#: "Any address of this family", by IP version.
ANY: Final[dict[int, IPAddress]] = {4: ip_address("0.0.0.0"), 6: ip_address("::")}

_KINDS: Final = {4: CfgAttribute.INTERNAL_IP4_ADDRESS, 6: CfgAttribute.INTERNAL_IP6_ADDRESS}
_VERSIONS: Final = {int(kind): version for version, kind in _KINDS.items()}
#: Octets of an address by IP version, and of a value by attribute.
_OCTETS: Final = {4: 4, 6: 16}
_SIZES: Final = {4: 4, 6: 17}
#: The prefix of an IPv6 address that we name: one host. What is reachable through us the selectors say.
_HOST_PREFIX: Final = 128


def request(wanted: Sequence[IPAddress]) -> tuple[Configuration, ...]:
    """The CFG_REQUEST for these addresses, an unspecified one for any of its family; none for none."""
    attributes = tuple(_attribute(a) for a in wanted)
    return (Configuration(CfgType.REQUEST, attributes),) if wanted else ()


def reply(addresses: Sequence[IPAddress]) -> tuple[Configuration, ...]:
    """The CFG_REPLY with these addresses; none for none."""
    attributes = tuple(_attribute(a) for a in addresses)
    return (Configuration(CfgType.REPLY, attributes),) if addresses else ()


def asked(message: Message) -> tuple[IPAddress, ...]:
    """What addresses a peer asks for: the first one of each family.

    We may give fewer than were asked for (3.15.1), and nobody gets more than one of a family at a time.
    Raises PeerMisbehaved (INVALID_PAYLOADS).
    """
    return tuple(_first_of_each(_addresses(message, CfgType.REQUEST)))


def given(message: Message, wanted: Sequence[IPAddress], path: Path) -> tuple[IPAddress, ...]:
    """The addresses that a responder gave us, of those that we wanted.

    Raises PeerIncompatible (ADDRESS) where there is none (3.15.4), and PeerMisbehaved (INVALID_PAYLOADS)
    where one is not of a family that we asked for, or more than we asked for, or cannot be that of one host
    inside the tunnel; `path` has the addresses outside.
    """
    found = tuple(_addresses(message, CfgType.REPLY))
    if not found:
        raise PeerIncompatible(Incompatibility.ADDRESS, "the peer gave us none of the addresses we asked for")
    versions = [address.version for address in found]
    for version in versions:
        if versions.count(version) > sum(wish.version == version for wish in wanted):
            raise _refused(f"more IPv{version} addresses than we asked for")
    outside = {outer_address(path.local_host), outer_address(path.peer_host)}
    for address in found:
        if not is_host(address) or address.is_link_local or address in outside:
            raise _refused(f"{address} cannot be our address inside the tunnel")
    return found


def _addresses(message: Message, kind: CfgType) -> Iterable[IPAddress]:
    for payload in exchanges.every(message, Configuration):
        if payload.cfg_type == kind:
            for attribute in payload.attributes:
                version = _VERSIONS.get(attribute.type)
                if version is not None:
                    yield _read(attribute.value, version)


def _read(value: bytes, version: int) -> IPAddress:
    if not value:
        return ANY[version]
    prefix = value[_OCTETS[version] :]
    if len(value) != _SIZES[version] or any(octet > _HOST_PREFIX for octet in prefix):
        raise _refused(f"{_KINDS[version].name} with {len(value)} octets: {value[:32].hex()}")
    return ip_address(value[: _OCTETS[version]])


def _attribute(address: IPAddress) -> ConfigurationAttribute:
    kind = _KINDS[address.version]
    if address.is_unspecified:
        return ConfigurationAttribute(kind)
    prefix = bytes([_HOST_PREFIX]) if address.version == 6 else b""
    return ConfigurationAttribute(kind, address.packed + prefix)


def _first_of_each(addresses: Iterable[IPAddress]) -> Iterable[IPAddress]:
    seen: set[int] = set()
    for address in addresses:
        if address.version not in seen:
            seen.add(address.version)
            yield address


def _refused(detail: str) -> PeerMisbehaved:
    return PeerMisbehaved(DropReason.INVALID_PAYLOADS, f"configuration payload: {detail}")
