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

from node.daemon.dataplane import DataPlane, Origin
from node.errors import DropReason, LocalMisuse
from node.esp.host import EchoReplied, Host, Send, UdpReceived
from node.esp.ip import UdpDatagram, read_udp, unpack
from node.esp.tunnel import Outgoing
from node.model.selectors import IPAddress
from node.net.addresser import Addresser
from node.net.tun import Tun, TunGoneError

#: Packets handled in one wakeup before other work gets its turn.
BATCH = 64
#: Messages that came in by ESP and are still on their way through the kernel.
MAX_PENDING = 64
#: Octets of a ping's data, as `ping` sends.
_PING_DATA = bytes(range(0x10, 0x10 + 56))
_UDP = 17
_ECHO = struct.Struct("!BBHHH")


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of what arrives: a UDP message to the demo port with its ESP packet (None where it is not
    known), an echo
    reply (source, sequence number, octets of data), and messages that left."""

    message: Callable[[UdpDatagram, Origin | None], None]
    echo_reply: Callable[[IPAddress, int, int], None]
    message_sent: Callable[[UdpDatagram, Outgoing], None]


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

    def _deliver(self, packet: bytes, origin: Origin) -> None:
        for output in self._host.receive(packet):
            match output:
                case Send():
                    self._plane.packet(output.packet)
                case EchoReplied():
                    self._listener.echo_reply(output.source, output.sequence, output.size)
                case UdpReceived() if output.datagram.destination_port == self._port:
                    self._listener.message(output.datagram, origin)
                case UdpReceived():
                    # Nobody listens on other ports; an unreachable message would answer an error with
                    # traffic.
                    continue

    def _sent(self, packet: bytes, outgoing: Outgoing) -> None:
        _tell_sent(packet, outgoing, self._port, self._listener)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The sockets of one inner address; no `icmp` where the system does not allow one."""

    address: IPAddress
    udp: socket.socket
    icmp: socket.socket | None


class KernelInner:
    """Kernel sockets behind a TUN device, which has `addresses` already.

    Others are set with the help of `addresser`. Raises OSError where the demo's UDP port cannot be bound.
    `gone` hears once that the device was deleted; what comes for it after that is lost.
    """

    def __init__(
        self,
        tun: Tun,
        host: Host,
        plane: DataPlane,
        listener: Listener,
        demo_port: int,
        gone: Callable[[str], None],
        addresser: Addresser | None = None,
    ) -> None:
        self._tun, self._host, self._plane, self._listener = tun, host, plane, listener
        self._tell_gone, self._gone = gone, False
        self._port, self._addresser = demo_port, addresser
        self._pending: OrderedDict[tuple[str, int, bytes], Origin] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._ends: dict[int, _Ends] = {}
        for address in host.addresses:
            self._open(address)
        plane.deliver, plane.sent = self._deliver, self._sent
        self._loop.add_reader(tun.fileno(), self._on_tun)

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
        """Give sockets and the device back."""
        for ends in self._ends.values():
            self._shut(ends)
        self._loop.remove_reader(self._tun.fileno())
        self._tun.close()
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

    def _on_tun(self) -> None:
        for _ in range(BATCH):
            try:
                packet = self._tun.read()
            except TunGoneError as error:
                self._device_gone(error)
                return
            if packet is None:
                return
            self._plane.packet(packet)

    def _device_gone(self, error: TunGoneError) -> None:
        if not self._gone:
            self._gone = True
            self._loop.remove_reader(self._tun.fileno())
            self._tell_gone(str(error.strerror))

    def _write(self, packet: bytes) -> bool:
        try:
            return self._tun.write(packet)
        except TunGoneError as error:
            self._device_gone(error)
            return False

    def _deliver(self, packet: bytes, origin: Origin) -> None:
        if _udp_port(packet) == self._port:
            self._remember(packet, origin)
        elif self.kind == "raw":
            for output in self._host.receive(packet):
                if isinstance(output, EchoReplied):
                    self._listener.echo_reply(output.source, output.sequence, output.size)
        if not self._write(packet):
            self._plane.lost(f"{len(packet)} octets for the TUN device")

    def _remember(self, packet: bytes, origin: Origin) -> None:
        datagram = _datagram(packet)
        if datagram is None:
            return
        key = (str(datagram.source), datagram.source_port, datagram.payload)
        self._pending[key] = origin
        if len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)

    def _on_udp(self, ends: _Ends) -> None:
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

    def _sent(self, packet: bytes, outgoing: Outgoing) -> None:
        _tell_sent(packet, outgoing, self._port, self._listener)


def _send_made(plane: DataPlane, make: Callable[[], bytes]) -> None:
    """Send what the host makes; what it cannot make is lost, as the kernel's own sockets would lose it.

    A peer chooses port and size of what we acknowledge: port 0, or more than our MTU, must not end the node.
    """
    try:
        packet = make()
    except LocalMisuse as error:
        plane.lost(str(error), DropReason.INNER_MALFORMED)
        return
    plane.packet(packet)


def _tell_sent(packet: bytes, outgoing: Outgoing, port: int, listener: Listener) -> None:
    if _udp_port(packet) == port:
        datagram = _datagram(packet)
        if datagram is not None:
            listener.message_sent(datagram, outgoing)


def _udp_port(packet: bytes) -> int | None:
    """The destination port where the packet is UDP without IPv6 extension headers; a few octets, for
    every packet.
    """
    if packet[0] >> 4 == 4:
        if packet[9] != _UDP:
            return None
        offset = (packet[0] & 15) * 4
    elif packet[6] == _UDP:
        offset = 40
    else:
        return None
    return int.from_bytes(packet[offset + 2 : offset + 4])


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
