"""The two ways of a packet, from descriptor to descriptor: UDP socket to TUN device, and back.

    on_udp   UDP socket -> which kind (node.net.steer) -> SAD -> inner packet -> TUN device
    on_tun   TUN device -> SAD -> ESP packet -> UDP socket

Rules:

1. Each wakeup does a bounded amount of work.
2. Fail closed: what the tunnel refuses is dropped and counted, and what the TUN device does not take is lost.
3. What is no ESP packet is somebody else's, and is handed on as it came.
4. What comes together moves together: super-packets leave in one send, and TCP segments that follow each
   other reach the kernel in one write. Nothing waits for the next wakeup.
5. What comes alone is not waited behind: after a quiet moment one packet is taken, without a look for more,
   which costs as much as the packet does, nor for others to join it.
"""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from node.daemon.dataplane import DataPlane, Origin
from node.errors import DecodeError, DropReason
from node.esp.checksum import complete
from node.esp.coalesce import Joined, Table, tcp_layout
from node.esp.inner import ICMP, ICMPV6, UDP
from node.esp.ip import echo_reply, udp_port
from node.esp.tunnel import Incoming, Outgoing
from node.esp.vnet import COMPLETE, Gso
from node.model.message import Path
from node.net import clock
from node.net.steer import LEAST_OCTETS, Port, Steer
from node.net.transport import Line
from node.net.tun import Tun, TunGoneError
from node.net.udp import UdpSocket

#: Datagrams or packets handled in one wakeup before other work gets its turn. What came or goes as a batch
#: is as much.
BATCH = 64
#: Datagrams that are opened as a batch, at least, and octets of each: of fewer or smaller ones each by itself
#: is quicker, and small ones hold no data that could be joined.
LEAST_BATCH, LEAST_BATCHED = 4, 256
#: Packets of one flow that are joined, at least.
LEAST_JOINED = 8

#: Seconds without a wakeup after which what comes is taken to come alone.
QUIET = 0.001

_ICMP = frozenset({ICMP, ICMPV6})

#: Takes a datagram that is no ESP packet.
Other = Callable[[Steer, bytes, Path], None]


class Witness(Protocol):
    """Hears of the inner packets that a `Watch` chooses, on their way to the kernel and from it."""

    def arrived(self, packet: bytes, origin: Origin) -> None:
        """This one came in that ESP packet; the kernel gets it next."""
        ...

    def left(self, packet: bytes, spi: bytes, sequence: int) -> None:
        """This one has left in an ESP packet with that SPI of the peer's and that number."""
        ...


class Watch:
    """Which inner packets are told of: UDP to the port of the demo and, where `echoes` is their identifier,
    echo replies.

    A few octets of every packet decide.
    """

    __slots__ = ("_echoes", "_port", "_witness")

    def __init__(self, port: int) -> None:
        self._port = port
        self._witness: Witness | None = None
        self._echoes: int | None = None

    def tell(self, witness: Witness, *, echoes: int | None) -> None:
        """Who hears of them from now on."""
        self._witness, self._echoes = witness, echoes

    def arrived(self, incoming: Incoming, path: Path) -> None:
        """Look at a packet that came."""
        if self._witness is None:
            return
        packet = incoming.packet
        protocol = packet[9] if packet[0] >> 4 == 4 else packet[6]
        if protocol == UDP:
            wanted = udp_port(packet) == self._port
        else:
            wanted = protocol in _ICMP and self._echoes is not None and echo_reply(packet) == self._echoes
        if wanted:
            self._witness.arrived(packet, Origin.of(incoming, path))

    def left(self, packet: bytes, outgoing: Outgoing) -> None:
        """Look at a packet that has left."""
        protocol = packet[9] if packet[0] >> 4 == 4 else packet[6]
        if protocol == UDP and self._witness is not None and udp_port(packet) == self._port:
            self._witness.left(packet, outgoing.spi, outgoing.sequence)


class Pump:
    """Moves what waits in a descriptor.

    `lines` are the sockets that may be named to `on_udp`, `other` takes what came there and is no ESP packet.
    Without a TUN device `plane.deliver` takes the inner packets.
    """

    def __init__(self, plane: DataPlane, lines: Iterable[Line], other: Other) -> None:
        self._plane, self._other = plane, other
        self._ports = {udp.port: port for udp, port in lines}
        for udp, _ in lines:
            udp.gather()
        # When the last wakeup was, by port, and that of the TUN device.
        self._udp_woke = dict.fromkeys(self._ports, -QUIET)
        self._tun_woke = -QUIET
        # Packets of the layout of the table, which may be joined; what was joined, and may get an end yet.
        self._held: list[bytes] = []
        self._table: Table | None = None
        self._joined: Joined | None = None
        self._tun: Tun | None = None
        self._view = memoryview(plane.inbox)
        self._alone = False
        self._watch: Watch | None = None
        self._gone: Callable[[str], None] | None = None

    def attach(self, tun: Tun, watch: Watch, gone: Callable[[str], None]) -> None:
        """Inner packets come from this device and go to it; `watch` sees them pass.

        `gone` hears once that the device was deleted; what comes for it after that is lost.
        """
        self._tun, self._watch, self._gone = tun, watch, gone
        self._plane.deliver, self._plane.sent = self._deliver, watch.left
        self._plane.deliver_joined, self._plane.tell = self._deliver_joined, self._write

    def on_udp(self, udp: UdpSocket) -> None:
        """Take what waits in a socket."""
        port, plane, view = self._ports[udp.port], self._plane, self._view
        now = clock.monotonic()
        alone = now - self._udp_woke[udp.port] >= QUIET
        self._udp_woke[udp.port], left = now, 1 if alone else BATCH
        while left > 0:
            received = udp.receive_into(plane.inbox)
            if received is None:
                break
            size, each, path, tos = received
            count, done = (size // each, 0) if size else (0, 0)
            left -= count or 1
            self._alone = alone and count <= 1
            if count > 1:
                left = 0
                done = self._burst(port, count, each, path, tos)
            for at in range(done, size, each) if size else (0,):
                datagram = bytes(view[at : at + each if at + each < size else size])
                kind = port.steer(datagram)
                if kind is Steer.ESP:
                    plane.datagram(datagram, path, tos)
                else:
                    self._other(kind, datagram, path)
        if not self._alone:
            self._flush()

    def _burst(self, port: Port, count: int, each: int, path: Path, tos: int) -> int:
        """Octets of the inbox that were taken as a batch: all but a smaller one at the end, or none."""
        if count < LEAST_BATCH or each < LEAST_BATCHED or not self._joins:
            return 0
        if port.steer(bytes(self._view[:LEAST_OCTETS])) is not Steer.ESP:
            return 0
        self._flush()
        return count * each if self._plane.burst(count, each, path, tos) else 0

    def on_tun(self) -> None:
        """Take what waits in the TUN device."""
        tun, plane, now = self._tun, self._plane, clock.monotonic()
        if tun is None:
            return
        alone = now - self._tun_woke >= QUIET
        self._tun_woke = now
        for _ in range(1 if alone else BATCH):
            try:
                frame = tun.read()
                if frame is None:
                    break
                packet, offload = frame
                if alone and offload is COMPLETE:
                    plane.packet(bytes(packet))
                    return
                if offload.gso is not Gso.NONE:
                    plane.super_packet(packet, offload)
                    break
                if offload.needs_checksum:
                    complete(packet, offload.start, offload.offset)
                plane.gather(bytes(packet))
            except TunGoneError as error:
                self._device_gone(error)
                break
            except DecodeError as error:
                plane.lost(str(error), DropReason.INNER_MALFORMED)
        plane.flush()

    @property
    def _joins(self) -> bool:
        """Whether packets may be joined: there is a device that takes them so."""
        return self._tun is not None and self._tun.takes_super

    def _deliver(self, incoming: Incoming, path: Path) -> None:
        packet = incoming.packet
        if self._watch is not None:
            self._watch.arrived(incoming, path)
        if self._alone:
            self._write(packet)
            return
        layout = tcp_layout(packet) if self._joins else None
        if self._held and (self._table is None or self._table.layout != layout):
            self._join()
        if layout is not None and self._joined is not None and self._joined.add(packet, layout):
            return
        if self._joined is not None:
            self._flush()
        if layout is None:
            self._write(packet)
            return
        if self._table is None or self._table.layout != layout:
            self._table = Table(np.zeros((BATCH, layout.size), np.uint8), layout)
        self._held.append(packet)
        if len(self._held) == BATCH:
            self._join()

    def _deliver_joined(self, joined: Joined) -> None:
        self._flush()
        self._joined = joined

    def _join(self) -> None:
        """Join what is held, and hand it over to the kernel, but for the last that was joined."""
        held, table = self._held, self._table
        self._held = []
        if table is None or len(held) < LEAST_JOINED:
            for packet in held:
                self._write(packet)
            return
        table.fill(held)
        for run in table.runs(len(held)):
            self._flush()
            if run.end - run.first > 1:
                self._joined = table.joined(run)
            else:
                self._write(held[run.first])

    def _flush(self) -> None:
        """Hand what waits for more over to the kernel."""
        if self._held:
            self._join()
        joined, self._joined = self._joined, None
        if joined is not None:
            self._write_joined(joined)

    def _write(self, packet: bytes) -> None:
        try:
            if self._tun is not None and self._tun.write(packet):
                return
        except TunGoneError as error:
            self._device_gone(error)
        self._plane.lost(f"{len(packet)} octets for the TUN device")

    def _write_joined(self, joined: Joined) -> None:
        try:
            if self._tun is not None and self._tun.write_super(joined.packet()):
                return
        except TunGoneError as error:
            self._device_gone(error)
        for _ in range(joined.count):
            self._plane.lost(f"one of {joined.count} joined packets for the TUN device")

    def _device_gone(self, error: TunGoneError) -> None:
        tell, self._gone = self._gone, None
        if tell is not None:
            tell(str(error.strerror))
