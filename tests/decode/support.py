"""Real runs to decode: two endpoints shake hands on virtual time, their data paths carry packets.

What the nodes know (keys, messages as their own codec reads them) is kept beside what was on the wire.
"""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from lab.decode import keylog
from lab.decode.keylog import Keys
from lab.decode.run import decode
from lab.decode.values import Decoded, Item
from lab.wire import pcapng
from node.esp.inner import addresses
from node.esp.ip import Echo, pack_echo, pack_udp
from node.esp.sad import Sad
from node.esp.tunnel import Outgoing, Tunnel
from node.ike.phases import Established
from node.ike.sa import IkeSa
from node.model.child import ChildSa
from node.model.message import Message
from node.model.proposal import Suite
from node.model.registry import EsnId, IntegId
from node.ports import Sealer
from tests.engine.harness import INITIATOR, RESPONDER, Counting, Node, Pair, variant

#: 2026-01-01, in nanoseconds of the epoch.
ZERO = 1_767_225_600_000_000_000
INNER = ("10.1.0.1", "10.2.0.1")
HELLO = b"Hello from IPSec Initiator!"
#: The data of our pings.
PING = bytes(range(0x10, 0x10 + 56))

IKE_SUITES = (
    "aes256-sha256-modp2048",
    "aes128-sha384-ecp256",
    "aes192-sha512-x25519",
    "aes256gcm16-prfsha384-x25519",
    "aes128gcm16-prfsha256-ecp384",
    "chacha20poly1305-prfsha512-x25519",
)
#: Where the nodes of a run meet, and what stands before an IKE message there (RFC 3948 2.2).
PORTS = {"asn1": 8000, "rfc7296": 4500}
MARKERS = {"asn1": b"", "rfc7296": bytes(4)}

ESP_SUITES = (
    "aes256-sha256",
    "aes128-sha256",
    "aes192-sha384",
    "aes256-sha512",
    "aes128gcm16",
    "aes192gcm16",
    "aes256gcm16",
    "chacha20poly1305",
    "null-sha256",
    "aes256gcm16-esn",
    "chacha20poly1305-esn",
)


@dataclass(slots=True)
class Run:
    """What was on the wire, and what the nodes know of it."""

    pair: Pair
    profile: str = "asn1"
    logs: dict[str, list[str]] = field(default_factory=dict)
    packets: list[pcapng.Packet] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    inner: list[bytes] = field(default_factory=list)

    @property
    def capture(self) -> pcapng.Capture:
        return capture(self.packets)

    @property
    def octets(self) -> list[bytes]:
        """The UDP payloads."""
        return [packet.octets[28:] for packet in self.packets]

    def keys(self, directory: Path) -> Keys:
        """The keys, by way of the files."""
        return keylog.read(self.write_keys(directory))

    def write_keys(self, directory: Path) -> list[Path]:
        """Write the key logs; their paths."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, lines in self.logs.items():
            paths.append(directory / f"{name}.keys")
            paths[-1].write_text("".join(f"{line}\n" for line in lines))
        return paths

    def write(self, directory: Path, *, keyed: bool = True, captured: bool = True) -> Path:
        """The directory of a run, as `ipseclab run` leaves it."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "events.jsonl").write_text("")
        if keyed:
            self.write_keys(directory / "keys")
        if captured:
            (directory / "capture.pcapng").write_bytes(octets_of(self.capture))
        return directory

    def add(self, octets: bytes, source: str, target: str) -> None:
        """A datagram on the wire."""
        port = PORTS[self.profile]
        packet = pack_udp(ip_address(source), ip_address(target), port, port, octets)
        self.packets.append(pcapng.Packet(ZERO + len(self.packets) * 1_000_000, packet))


def capture(packets: Iterable[pcapng.Packet], link: int = pcapng.LINK_RAW) -> pcapng.Capture:
    """A capture of one interface."""
    return pcapng.Capture("", (pcapng.Interface("bridge", link),), tuple(packets))


def octets_of(one: pcapng.Capture) -> bytes:
    """The file of a capture."""
    stream = io.BytesIO()
    pcapng.write(stream, one)
    return stream.getvalue()


def only(octets: bytes, keys: Keys | None = None, link: int = pcapng.LINK_RAW) -> Decoded:
    """One captured packet, decoded."""
    (found,) = decode(capture([pcapng.Packet(ZERO, octets)], link), keys or Keys(), "")
    return found


def ike(octets: bytes, keys: Keys | None = None) -> Decoded:
    """A datagram on port 8000, decoded."""
    outer = pack_udp(ip_address("192.0.2.1"), ip_address("192.0.2.2"), 8000, 8000, octets)
    return only(outer, keys)


def make_run(
    ike_suite: str = IKE_SUITES[0],
    esp_suite: str = ESP_SUITES[0],
    pings: int = 3,
    high: int = 0,
    profile: str = "asn1",
) -> Run:
    """IKE_SA_INIT, IKE_AUTH, a greeting and pings through the tunnel, and DELETE. `high` are the upper 32
    bits that the sequence numbers begin with.
    """
    pair = Pair(
        profile,
        variant(INITIATOR, ike=(ike_suite,), esp=(esp_suite,)),
        variant(RESPONDER, ike=(ike_suite,), esp=(esp_suite,)),
    ).establish()
    run = Run(pair, profile)
    for node in (pair.initiator, pair.responder):
        run.logs[node.options.name] = key_log(node, profile)
    openers = {node.address: _opener(node) for node in (pair.initiator, pair.responder)}
    for _ in range(len(pair.sent)):
        _exchange(run, openers)
    _traffic(run, pings, high)
    pair.initiator.endpoint.delete(_sa(pair.initiator).local_spi, pair.now)
    pair.flush(pair.initiator)
    pair.drive()
    while len(run.messages) < len(pair.sent):
        _exchange(run, openers)
    return run


def _sa(node: Node) -> IkeSa:
    (found,) = node.endpoint._sas.values()
    return found


def _opener(node: Node) -> Sealer:
    protection = _sa(node).protection
    if protection is None:
        raise AssertionError("no keys")
    return protection.inbound


def _exchange(run: Run, openers: dict[tuple[str, int], Sealer]) -> None:
    """The next message of the endpoints: onto the wire, and as the receiver's codec reads it."""
    sent = run.pair.sent[len(run.messages)]
    run.add(MARKERS[run.profile] + sent.octets, sent.path.peer_host, sent.path.local_host)
    codec = sent.target.codec
    envelope = codec.peek(sent.octets)
    opener = openers[sent.target.address]
    message = codec.open(envelope, opener) if envelope.protected else codec.read(envelope)
    if not isinstance(message, Message):
        raise AssertionError("a fragment")
    run.messages.append(message)


def _traffic(run: Run, pings: int, high: int) -> None:
    """A greeting, its acknowledgement, pings and their replies."""
    ends = [_data_path(node) for node in (run.pair.initiator, run.pair.responder)]
    first, second = map(ip_address, INNER)
    packets = [
        pack_udp(first, second, 7000, 7000, HELLO),
        pack_udp(second, first, 7000, 7000, b"ACK " + HELLO),
    ]
    for number in range(pings):
        packets.append(pack_echo(first, second, Echo(True, 7, number, PING)))
        packets.append(pack_echo(second, first, Echo(False, 7, number, PING)))
    for number, packet in enumerate(packets):
        sad, tunnel = ends[number % 2]
        for sa in sad.spd.candidates(addresses(packet)):
            sa.sequence = max(sa.sequence, high << 32)
        out = tunnel.encapsulate(packet)
        if not isinstance(out, Outgoing):
            raise AssertionError(out)
        run.inner.append(packet)
        run.add(out.datagram, out.path.local_host, out.path.peer_host)


def _data_path(node: Node) -> tuple[Sad, Tunnel]:
    sad = Sad(Counting(b"esp"))
    for child in node.children.values():
        sad.add_inbound(child)
        sad.add_outbound(child)
    return sad, Tunnel(sad)


def key_log(node: Node, profile: str) -> list[str]:
    """The lines of a node's key log."""
    sa = _sa(node)
    if not isinstance(sa.data, Established):
        raise AssertionError("not established")
    suite, keys = sa.data.suite, sa.data.protection.keys
    secrets = {name: getattr(keys, name).reveal().hex() for name in keys.__slots__}
    lines = [
        {
            "kind": "ike",
            "profile": profile,
            "spi_i": sa.spi_i.hex(),
            "spi_r": sa.spi_r.hex(),
            "prf": str(suite.prf),
            **_algorithms(suite),
            **secrets,
        }
    ]
    for child in node.children.values():
        lines += [_esp(child, "inbound"), _esp(child, "outbound")]
    return [json.dumps({"ts": "2026-01-01T00:00:00.000Z", **line}) for line in lines]


def _algorithms(suite: Suite) -> dict[str, object]:
    bits = suite.encr.key_length or (256 if suite.encr.id == 28 else 0)
    encr = str(suite).partition("/")[0].removesuffix(f"_{suite.encr.key_length}")
    return {"encr": encr, "key_bits": bits, "integ": "" if suite.integ == IntegId.NONE else str(suite.integ)}


def _esp(child: ChildSa, direction: str) -> dict[str, object]:
    inbound, path = direction == "inbound", child.path
    secrets = child.inbound if inbound else child.outbound
    return {
        "kind": "esp",
        "spi": (child.inbound_spi if inbound else child.outbound_spi).hex(),
        "direction": direction,
        "source": path.peer_host if inbound else path.local_host,
        "destination": path.local_host if inbound else path.peer_host,
        **_algorithms(child.suite),
        "key": secrets.encr.reveal().hex(),
        "integ_key": secrets.integ.reveal().hex(),
        "esn": child.suite.esn == EsnId.ESN,
        "ike_spi": child.ike_spi.hex(),
    }


def find(item: Item, *names: str) -> Item:
    """The item at the end of these names, each the first of its kind below the one before."""
    for name in names:
        found = next((one for one in walk(item) if one is not item and one.name == name), None)
        if found is None:
            raise AssertionError(f"no {name!r} in {[one.name for one in walk(item)]}")
        item = found
    return item


def walk(item: Item) -> Iterable[Item]:
    """Every item of a tree."""
    yield item
    for child in item.children:
        yield from walk(child)


def values(item: Item, name: str) -> list[str]:
    """The values of all items of a name."""
    return [one.value for one in walk(item) if one.name == name]


def titles(found: Sequence[Decoded]) -> list[str]:
    return [one.title for one in found]
