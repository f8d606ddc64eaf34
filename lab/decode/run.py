"""A capture with the keys of its run, decoded: one value for each captured packet.

Nothing that a capture holds raises: what cannot be read is said in `Decoded.problem`.

`Decoded.octets` are the message (the UDP payload) for IKE, ESP and keepalives, put together where it came in
fragments, and the captured frame for everything else.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lab.decode import binary, esp, frames, ike, inet, keylog
from lab.decode.items import count, endpoint
from lab.decode.keylog import EspKeys, IkeKeys, Keys
from lab.decode.problem import Unreadable
from lab.decode.values import Decoded, Item, Kind
from lab.errors import EnvironmentNotReady
from lab.wire import pcapng

#: The capture of a run.
CAPTURE = "capture.pcapng"
#: Ports of the asn1 profile.
PORTS = frozenset({8000})
#: Ports of the rfc7296 profile (RFC 7296 2), and the one of them that carries IKE alone, without a marker.
BINARY_PORTS, IKE_PORT = frozenset({500, 4500}), 500
#: A datagram with fewer octets is a keepalive (RFC 3948 2.3): no SPI fits.
_SPI = 4


def of_run(directory: Path, ports: Collection[int] = PORTS) -> tuple[Decoded, ...]:
    """Every packet of the run in `directory`, opened with the keys that its nodes logged.

    Nothing where the run has no capture. Raises KeyLogError, EnvironmentNotReady.
    """
    path = directory / CAPTURE
    if not path.is_file():
        return ()
    return decode(load(path), keylog.of_run(directory), "", ports)


def load(path: Path) -> pcapng.Capture:
    """The capture in a file. Raises EnvironmentNotReady."""
    try:
        return pcapng.read(path.read_bytes())
    except OSError as error:
        raise EnvironmentNotReady(f"{path}: cannot be read: {error.strerror}: name another file") from error
    except pcapng.CaptureError as error:
        raise EnvironmentNotReady(
            f"{path}: {error}: name a pcapng file (editcap -F pcapng makes one of a pcap file)"
        ) from error


def decode(
    capture: pcapng.Capture,
    keys: Keys,
    vantage: str,
    ports: Collection[int] = PORTS,
    binary_ports: Collection[int] = BINARY_PORTS,
) -> tuple[Decoded, ...]:
    """Decode every packet. `vantage` is where the capture was taken; empty: what its interfaces say.

    `ports` are the UDP ports of the asn1 profile, `binary_ports` those of rfc7296, at either end; where both
    fit, the former count.
    """
    decoder = _Decoder(capture, keys, vantage, frozenset(ports), frozenset(binary_ports))
    return tuple(decoder.all())


@dataclass(frozen=True, slots=True)
class _Found:
    """What a packet is, before it is put with when and where it was captured."""

    kind: Kind
    title: str
    items: tuple[Item, ...]
    source: str = ""
    target: str = ""
    octets: bytes = field(default=b"", repr=False)
    opened: bool = False
    problem: str = ""


class _Decoder:
    """The state of one pass over a capture: fragments that wait, sequence numbers seen."""

    def __init__(
        self,
        capture: pcapng.Capture,
        keys: Keys,
        vantage: str,
        ports: frozenset[int],
        binary_ports: frozenset[int],
    ) -> None:
        self._capture, self._vantage = capture, vantage
        self._ports, self._binary_ports = ports, binary_ports
        self._ike: dict[tuple[bytes, bytes], list[IkeKeys]] = {}
        for keys_of_ike in keys.ike:
            self._ike.setdefault((keys_of_ike.spi_i, keys_of_ike.spi_r), []).append(keys_of_ike)
        self._binary = binary.Reader(self._ike)
        by_spi: dict[bytes, list[EspKeys]] = {}
        for keys_of_esp in keys.esp:
            by_spi.setdefault(keys_of_esp.spi, []).append(keys_of_esp)
        self._esp = esp.Decapsulator(by_spi)
        self._fragments = frames.Reassembler()

    def all(self) -> Iterator[Decoded]:
        for number, packet in enumerate(self._capture.packets, 1):
            interface = self._capture.interfaces[packet.interface]
            found = self._one(interface.link, number, packet)
            octets = found.octets or packet.octets
            yield Decoded(
                number,
                packet.moment_ns,
                self._vantage or interface.name,
                found.source,
                found.target,
                found.kind,
                found.title,
                Item(f"Packet {number}", f"{found.kind}, {count(len(octets))}", found.items),
                octets,
                found.opened,
                found.problem,
                packet.comment,
            )

    def _one(self, link: int, number: int, packet: pcapng.Packet) -> _Found:
        items: tuple[Item, ...] = ()
        source = target = ""
        try:
            frame = frames.unwrap(link, packet.octets)
            items, source, target = frame.link, frame.source, frame.target
            if frame.other:
                return _Found(Kind.OTHER, frame.other, items, source, target)
            found = inet.read(frame.network)
            items, (source, target) = (*items, found.item), found.ends
            whole = self._fragments.add(found, packet.interface, number)
            if whole is None:
                shown = inet.contents(found)
                return _Found(Kind.OTHER, shown.title, (*items, *shown.items), source, target)
            return self._packet((*frame.link, whole.item), whole, packet.interface)
        except Unreadable as error:
            title = f"not readable, {count(len(packet.octets))}"
            return _Found(Kind.OTHER, title, items, source, target, problem=str(error))

    def _packet(self, items: tuple[Item, ...], packet: inet.Packet, interface: int) -> _Found:
        """An IP packet that is whole. Raises Unreadable."""
        source, target = packet.ends
        if packet.protocol == inet.ESP:
            return self._sealed(items, source, target, packet.body)
        if packet.protocol == inet.UDP:
            return self._udp(items, packet, inet.udp(packet), interface)
        shown = inet.contents(packet)
        return _Found(Kind.OTHER, shown.title, (*items, *shown.items), source, target)

    def _udp(
        self, items: tuple[Item, ...], packet: inet.Packet, datagram: inet.Datagram, interface: int
    ) -> _Found:
        """A datagram, by the ports of the profiles."""
        used = {datagram.source_port, datagram.target_port}
        source, target = packet.ends
        ends = (endpoint(source, datagram.source_port), endpoint(target, datagram.target_port))
        if not self._ports.isdisjoint(used):
            return self._of_asn1((*items, datagram.item), *ends, datagram.payload)
        if not self._binary_ports.isdisjoint(used):
            marker = b"" if IKE_PORT in used else binary.MARKER
            return self._of_rfc7296((*items, datagram.item), ends, datagram.payload, marker, interface)
        shown = inet.contents(packet)
        return _Found(Kind.OTHER, shown.title, (*items, *shown.items), *ends)

    def _of_asn1(self, items: tuple[Item, ...], source: str, target: str, octets: bytes) -> _Found:
        """IKE, ESP or a keepalive by size and first octet."""
        if len(octets) < _SPI:
            return _Found(Kind.KEEPALIVE, f"keepalive, {count(len(octets))}", items, source, target, octets)
        if octets[0] != ike.FIRST_OCTET:
            return self._sealed(items, source, target, octets)
        return _message(items, source, target, octets, ike.read(octets, self._ike))

    def _of_rfc7296(
        self, items: tuple[Item, ...], ends: tuple[str, str], octets: bytes, marker: bytes, interface: int
    ) -> _Found:
        """IKE alone on port 500; elsewhere behind a marker, ESP and keepalives without it (RFC 3948 2)."""
        if len(octets) < _SPI:
            return _Found(Kind.KEEPALIVE, f"keepalive, {count(len(octets))}", items, *ends, octets)
        if not octets.startswith(marker):
            return self._sealed(items, *ends, octets)
        message = octets[len(marker) :]
        return _message(items, *ends, message, self._binary.read(message, interface))

    def _sealed(self, items: tuple[Item, ...], source: str, target: str, octets: bytes) -> _Found:
        read = self._esp.read(octets)
        return _Found(
            Kind.ESP, read.title, (*items, *read.items), source, target, octets, read.opened, read.problem
        )


def _message(items: tuple[Item, ...], source: str, target: str, octets: bytes, read: ike.Read) -> _Found:
    tree = Item("IKE message", read.title, read.items)
    return _Found(Kind.IKE, read.title, (*items, tree), source, target, octets, read.opened, read.problem)
