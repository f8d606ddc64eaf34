"""The inner side of the tunnel, as the demo uses it: real kernel sockets behind a TUN device, or the host
in user
space.

Rules:

1. Both have the same wire: inner packets are real IP packets.
2. Addresses may come and go, at most one of each family: those that a peer gives us (RFC 7296 2.19).
3. With TUN the demo's message goes through the kernel's own UDP and ICMP; a message that comes out of the
   socket is matched with the ESP packet it came in, so that the event can name both.
"""

import asyncio
import errno
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

from node.daemon.dataplane import DataPath, DataPlane, Origin
from node.daemon.pump import Witness
from node.errors import DropReason, LocalMisuse
from node.esp.host import EchoReplied, Host, Send, UdpReceived
from node.esp.ip import UdpDatagram, read_udp, udp_port, unpack
from node.esp.tunnel import Incoming, Outgoing
from node.model.message import Path
from node.model.selectors import IPAddress
from node.net.addresser import Addresser

#: Messages handled in one wakeup before other work gets its turn.
BATCH = 64
#: Messages that came in by ESP and are still on their way through the kernel.
MAX_PENDING = 64
#: Octets of a ping's data, as `ping` sends.
_PING_DATA = bytes(range(0x10, 0x10 + 56))
_ECHO = struct.Struct("!BBHHH")


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of what arrives: a UDP message to the demo port with its ESP packet (None where it is not
    known), an echo
    reply (source, sequence number, octets of data), and messages that left (with SPI and sequence number)."""

    message: Callable[[UdpDatagram, Origin | None], None]
    echo_reply: Callable[[IPAddress, int, int], None]
    message_sent: Callable[[UdpDatagram, bytes, int], None]


class InnerSide(Protocol):
    """Our end inside the tunnel."""

    @property
    def kind(self) -> str:
        """How pings and messages travel: `kernel`, `raw` or `user-space`."""
        ...

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Our addresses inside the tunnel."""
        ...

    def move(self, addresses: Sequence[IPAddress]) -> None:
        """Have these addresses from now on. Raises OSError where that cannot be; then there may be fewer."""
        ...

    def send_message(self, target: IPAddress, port: int, payload: bytes) -> None:
        """Send a UDP message from the demo port. What does not arrive is the sender's to notice."""
        ...

    def ping(self, target: IPAddress, sequence: int) -> None:
        """Send an ICMP echo request."""
        ...

    def close(self) -> None:
        """Stop; nothing is delivered any more."""
        ...


class UserSpaceInner:
    """The host in user space."""

    kind = "user-space"

    def __init__(self, host: Host, plane: DataPlane, listener: Listener, demo_port: int) -> None:
        self._host, self._plane, self._listener, self._port = host, plane, listener, demo_port
        plane.deliver, plane.sent = self._deliver, self._sent

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The host's addresses."""
        return self._host.addresses

    def move(self, addresses: Sequence[IPAddress]) -> None:
        """Have these addresses from now on."""
        self._host.move(addresses)

    def send_message(self, target: IPAddress, port: int, payload: bytes) -> None:
        """Send a UDP message from the demo port."""
        _send_made(self._plane, lambda: self._host.send_udp(target, self._port, port, payload))

    def ping(self, target: IPAddress, sequence: int) -> None:
        """Send an ICMP echo request."""
        _send_made(self._plane, lambda: self._host.ping(sequence, target))

    def close(self) -> None:
        """There is nothing to close."""

    def _deliver(self, incoming: Incoming, path: Path) -> None:
        for output in self._host.receive(incoming.packet):
            match output:
                case Send():
                    self._plane.packet(output.packet)
                case EchoReplied():
                    self._listener.echo_reply(output.source, output.sequence, output.size)
                case UdpReceived() if output.datagram.destination_port == self._port:
                    self._listener.message(output.datagram, Origin.of(incoming, path))
                case UdpReceived():
                    # Nobody listens on other ports; an unreachable message would answer an error with
                    # traffic.
                    continue

    def _sent(self, packet: bytes, outgoing: Outgoing) -> None:
        if udp_port(packet) == self._port:
            _tell_sent(packet, outgoing.spi, outgoing.sequence, self._listener)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The sockets of one inner address; no `icmp` where the system does not allow one."""

    address: IPAddress
    udp: socket.socket
    icmp: socket.socket | None


class Telling(Protocol):
    """Whoever has the TUN device."""

    def tell(self, witness: Witness, *, echoes: int | None) -> None:
        """Tell it of the packets of the demo from now on, and of echo replies with this identifier."""
        ...


class KernelInner:
    """Kernel sockets behind a TUN device, which has the addresses of `host` already.

    Others are set with the help of `addresser`. The device itself is not ours: `watch` tells us of the
    packets that pass it. Raises OSError where the demo's UDP port cannot be bound.
    """

    def __init__(
        self,
        host: Host,
        plane: DataPath,
        watch: Telling,
        listener: Listener,
        demo_port: int,
        addresser: Addresser | None = None,
    ) -> None:
        self._host, self._plane, self._watch, self._listener = host, plane, watch, listener
        self._port, self._addresser = demo_port, addresser
        self._pending: OrderedDict[tuple[str, int, bytes], Origin] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._ends: dict[int, _Ends] = {}
        for address in host.addresses:
            self._open(address)
        self._choose()

    @property
    def kind(self) -> str:
        """`raw` where the kernel does not let us have an ICMP socket (ping_group_range)."""
        return "raw" if any(ends.icmp is None for ends in self._ends.values()) else "kernel"

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """The addresses that we have sockets on."""
        return tuple(ends.address for ends in self._ends.values())

    def move(self, addresses: Sequence[IPAddress]) -> None:
        """Have these addresses from now on. Raises OSError."""
        addresser = self._addresser
        if addresser is None:
            raise OSError(errno.EPERM, "this node gave up the right to change its inner address")
        for address in self.addresses:
            if address not in addresses:
                self._shut(self._ends.pop(address.version))
                addresser.remove(address)
        for address in addresses:
            if address not in self.addresses:
                addresser.add(address)
                self._open(address)
        self._host.move(addresses)
        self._choose()

    def send_message(self, target: IPAddress, port: int, payload: bytes) -> None:
        """Send a UDP message from the demo port."""
        ends = self._ends.get(target.version)
        if ends is None:
            self._plane.lost(f"no address to reach {target} from", DropReason.INNER_MALFORMED)
            return
        self._send(ends.udp, payload, (str(target), port))

    def ping(self, target: IPAddress, sequence: int) -> None:
        """Send an ICMP echo request."""
        ends = self._ends.get(target.version)
        if ends is None or ends.icmp is None:
            _send_made(self._plane, lambda: self._host.ping(sequence, target))
            return
        kind = 8 if target.version == 4 else 128
        self._send(ends.icmp, _ECHO.pack(kind, 0, 0, 0, sequence & 0xFFFF) + _PING_DATA, (str(target), 0))

    def close(self) -> None:
        """Give the sockets back."""
        for ends in self._ends.values():
            self._shut(ends)
        if self._addresser is not None:
            self._addresser.close()

    def _open(self, address: IPAddress) -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            udp.bind((str(address), self._port))
        except OSError:
            udp.close()
            raise
        ends = _Ends(address, udp, _icmp_socket(address))
        self._ends[address.version] = ends
        self._loop.add_reader(udp.fileno(), self._on_udp, ends)
        if ends.icmp is not None:
            self._loop.add_reader(ends.icmp.fileno(), self._on_icmp, ends.icmp)

    def _shut(self, ends: _Ends) -> None:
        for end in (ends.udp, ends.icmp):
            if end is not None:
                self._loop.remove_reader(end.fileno())
                end.close()

    def _send(self, end: socket.socket, octets: bytes, target: tuple[str, int]) -> None:
        try:
            end.sendto(octets, target)
        except OSError as error:
            # A link that is down or full loses packets; the demo sends again and reports what is missing.
            self._plane.lost(f"sending to {target[0]}: {error.strerror}")

    def _choose(self) -> None:
        """Where the kernel makes no pings for us, it keeps none of their answers either."""
        self._watch.tell(self, echoes=self._host.identifier if self.kind == "raw" else None)

    def arrived(self, packet: bytes, origin: Origin) -> None:
        """The kernel gets this packet next."""
        if udp_port(packet) == self._port:
            self._remember(packet, origin)
            return
        for output in self._host.receive(packet):
            if isinstance(output, EchoReplied):
                self._listener.echo_reply(output.source, output.sequence, output.size)

    def left(self, packet: bytes, spi: bytes, sequence: int) -> None:
        """The kernel, or we, had this packet sent."""
        _tell_sent(packet, spi, sequence, self._listener)

    def _remember(self, packet: bytes, origin: Origin) -> None:
        datagram = _datagram(packet)
        if datagram is None:
            return
        key = (str(datagram.source), datagram.source_port, datagram.payload)
        self._pending[key] = origin
        if len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)

    def _on_udp(self, ends: _Ends) -> None:
        # What brought the messages was told before the kernel had them.
        self._plane.catch_up()
        for _ in range(BATCH):
            try:
                payload, source = ends.udp.recvfrom(65_535)
            except OSError:
                # Nothing there, or an ICMP error for what we sent: the demo notices what is missing.
                return
            origin = self._pending.pop((source[0], source[1], payload), None)
            source_address = ip_address(source[0])
            self._listener.message(
                UdpDatagram(source_address, ends.address, source[1], self._port, payload), origin
            )

    def _on_icmp(self, icmp: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                octets, source = icmp.recvfrom(65_535)
            except OSError:
                return
            if len(octets) >= _ECHO.size and octets[0] in (0, 129):
                sequence = _ECHO.unpack_from(octets)[4]
                self._listener.echo_reply(ip_address(source[0]), sequence, len(octets) - _ECHO.size)


def _send_made(plane: DataPath, make: Callable[[], bytes]) -> None:
    """Send what the host makes; what it cannot make is lost, as the kernel's own sockets would lose it.

    A peer chooses port and size of what we acknowledge: port 0, or more than our MTU, must not end the node.
    """
    try:
        packet = make()
    except LocalMisuse as error:
        plane.lost(str(error), DropReason.INNER_MALFORMED)
        return
    plane.packet(packet)


def _tell_sent(packet: bytes, spi: bytes, sequence: int, listener: Listener) -> None:
    datagram = _datagram(packet)
    if datagram is not None:
        listener.message_sent(datagram, spi, sequence)


def _datagram(packet: bytes) -> UdpDatagram | None:
    whole = unpack(packet)
    return read_udp(whole) if whole else None


def _icmp_socket(address: IPAddress) -> socket.socket | None:
    """An unprivileged ICMP socket on our inner address, or None where the system does not allow one."""
    ends = {4: (socket.AF_INET, socket.IPPROTO_ICMP), 6: (socket.AF_INET6, socket.IPPROTO_ICMPV6)}
    family, protocol = ends[address.version]
    try:
        end = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, protocol)
    except OSError:
        # Forbidden (ping_group_range), or a kernel without them.
        return None
    try:
        end.bind((str(address), 0))
    except OSError:
        end.close()
        return None
    return end
