"""The user-space host behind the tunnel, for where there is no TUN device: echo and UDP on one address per
family.

Rules:

1. It holds no state that a peer can make grow, and answers one packet with at most one of the same size.
2. It answers echo requests only: never an answer, never a broadcast or multicast, never itself, never an
   error message for anything.
3. It delivers what is whole and addressed to it; everything else is ignored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.errors import LocalMisuse
from node.esp.ip import Echo, UdpDatagram, pack_echo, pack_udp, read_echo, read_udp, udp_payload, unpack
from node.model.selectors import IPAddress, is_host

__all__ = ["DEFAULT_MTU", "EchoReplied", "Host", "HostOutput", "Send", "UdpReceived", "udp_payload"]

#: Octets of the largest packet it makes: fits one Ethernet frame after ESP, UDP and IP.
DEFAULT_MTU: Final = 1400

#: Octets of IP and UDP header, or of IP and ICMP echo header, by IP version.
_HEADERS: Final = {4: 28, 6: 48}

#: As `ping` sends: 56 octets, 64 with the header of the message.
_PING_DATA: Final = bytes(range(0x10, 0x10 + 56))

_MAX_16: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Send:
    """Send this inner packet through the tunnel."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class EchoReplied:
    """An echo reply for our identifier arrived. `size` is in octets of its data."""

    source: IPAddress
    sequence: int
    size: int


@dataclass(frozen=True, slots=True)
class UdpReceived:
    """A UDP datagram arrived."""

    datagram: UdpDatagram


HostOutput = Send | EchoReplied | UdpReceived


class Host:
    """A host with at most one address of each family. `identifier` (16 bits) marks its echo requests.

    `loopback`: its address, and that of whoever it talks to, may be of this machine alone, as outer ones may.

    Without an address it takes and sends nothing. Raises LocalMisuse for two addresses of one family, and for
    one that cannot be a host's.
    """

    __slots__ = ("_addresses", "_loopback", "_mtu", "identifier")

    def __init__(
        self,
        addresses: Sequence[IPAddress],
        identifier: int,
        mtu: int = DEFAULT_MTU,
        *,
        loopback: bool = False,
    ) -> None:
        self._loopback = loopback
        self._addresses: dict[int, IPAddress] = {}
        self.move(addresses)
        #: That of our echo requests.
        self.identifier = identifier & _MAX_16
        self._mtu = mtu

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Its addresses."""
        return tuple(self._addresses.values())

    def move(self, addresses: Sequence[IPAddress]) -> None:
        """Have these addresses from now on, and no others. Raises LocalMisuse as above."""
        found: dict[int, IPAddress] = {a.version: a for a in addresses}
        if len(found) != len(addresses):
            raise LocalMisuse("the user-space host has at most one address of each family")
        if not all(self._is_host(a) for a in addresses):
            raise LocalMisuse("the user-space host needs the address of one host")
        self._addresses = found

    def receive(self, packet: bytes) -> tuple[HostOutput, ...]:
        """What a decrypted inner packet leads to: at most one output, none where it is ignored."""
        whole = unpack(packet)
        if whole is None or whole.destination != self._addresses.get(whole.destination.version):
            return ()
        if whole.source == whole.destination or not self._is_host(whole.source):
            return ()
        datagram = read_udp(whole)
        if datagram is not None:
            return (UdpReceived(datagram),)
        echo = read_echo(whole)
        if echo is None:
            return ()
        if echo.is_request:
            reply = Echo(False, echo.identifier, echo.sequence, echo.data)
            return (Send(pack_echo(whole.destination, whole.source, reply)),)
        if echo.identifier != self.identifier:
            return ()
        return (EchoReplied(whole.source, echo.sequence, len(echo.data)),)

    def ping(self, sequence: int, destination: IPAddress, data: bytes = _PING_DATA) -> bytes:
        """The packet of an echo request. `sequence` counts modulo 65,536. Raises LocalMisuse as `send_udp`
        does.
        """
        source = self._source(destination, len(data))
        return pack_echo(source, destination, Echo(True, self.identifier, sequence & _MAX_16, data))

    def send_udp(
        self, destination: IPAddress, source_port: int, destination_port: int, payload: bytes
    ) -> bytes:
        """The packet of a UDP datagram.

        Raises LocalMisuse where we have no address of the destination's family, the packet would be larger
        than the MTU, or a port is not 1 to 65,535.
        """
        source = self._source(destination, len(payload))
        for port in (source_port, destination_port):
            if not 1 <= port <= _MAX_16:
                raise LocalMisuse(f"UDP port {port}")
        return pack_udp(source, destination, source_port, destination_port, payload)

    def _is_host(self, address: IPAddress) -> bool:
        return is_host(address) or (self._loopback and address.is_loopback)

    def _source(self, destination: IPAddress, size: int) -> IPAddress:
        source = self._addresses.get(destination.version)
        if source is None:
            raise LocalMisuse(f"no address to reach {destination} from")
        if _HEADERS[destination.version] + size > self._mtu:
            raise LocalMisuse(f"{size} octets of payload do not fit the inner MTU of {self._mtu}")
        return source
