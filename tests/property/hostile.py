"""Two real nodes in one process, without sockets, and somebody between them who writes whatever he likes.

    Stage       a responder and an initiator: engine, codec, steering, data path, user-space host, event log
    Outsider    changes, repeats, reflects and invents datagrams; has no keys
    Insider     is an authenticated peer with all its keys, and seals what no honest node would

Time is virtual and the seed decides what is written, so that a failure can be repeated.
"""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path as FilePath
from types import MappingProxyType

import pytest

from node.config import Sources, load
from node.crypto import aead
from node.daemon.assembly import PROFILES, endpoint
from node.daemon.credentials import load as load_credentials
from node.daemon.dataplane import DataPlane
from node.daemon.node import Node
from node.daemon.start import Started
from node.esp.ip import Echo, pack, pack_echo, pack_udp
from node.eventlog import EventLog
from node.ike.phases import AuthSent, Established, InitReplied
from node.ike.sa import IkeSa
from node.ike.tasks.shares import protection_of
from node.model.child import ChildSa
from node.model.message import Header, HeaderFlags, Path
from node.model.registry import ExchangeType, PayloadType
from node.model.secret import Secret
from node.net import clock
from node.net.transport import Line, Transport
from node.net.udp import UdpSocket
from node.ports import Sealer
from node.prose import Palette
from node.wire.asn1 import codec, der, schema
from tests.property.snapshot import Snapshot
from tests.property.stopwatch import Stopwatch

ADDRESSES = {"initiator": ("192.0.2.1", 9000), "responder": ("192.0.2.2", 8000)}
STRANGER = ("198.51.100.7", 4444)
#: No datagram may hold a node for longer, in seconds of CPU time without the garbage collector.
SLOWEST = 0.050
#: Octets worth trying wherever a length, a count or a number may stand.
EDGES = (0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA0, 0xA5, 0xFE, 0xFF)


class Wire(UdpSocket):
    """A socket that keeps what is sent."""

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port = address, port
        self._ends = socket.socketpair()
        self._v6 = False
        self.sent: list[tuple[bytes, Path]] = []
        self.waiting: list[tuple[bytes, Path]] = []

    def receive(self) -> tuple[bytes, Path] | None:
        return self.waiting.pop(0) if self.waiting else None

    def fileno(self) -> int:
        return self._ends[0].fileno()

    def close(self) -> None:
        for end in self._ends:
            end.close()

    def send(self, datagram: bytes, path: Path, tos: int = 0) -> bool:
        self.sent.append((datagram, path))
        return True

    send_pieces = send

    def path_mtu(self, path: Path) -> int:
        return 0


class VirtualClock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Measured:
    """What handling inputs cost: how many, the slowest with its octets, the longest garbage collection."""

    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    octets: bytes = b""
    collection: float = 0.0

    def add(self, watch: Stopwatch, octets: bytes) -> None:
        """One more, as the watch has it."""
        self.inputs += 1
        self.seconds += watch.own
        self.collection = max(self.collection, watch.collected)
        if watch.own > self.slowest:
            self.slowest, self.octets = watch.own, octets

    def merge(self, other: "Measured") -> None:
        """What another one measured."""
        self.inputs += other.inputs
        self.seconds += other.seconds
        self.collection = max(self.collection, other.collection)
        if other.slowest > self.slowest:
            self.slowest, self.octets = other.slowest, other.octets


@dataclass(slots=True)
class Side:
    """One node of the stage."""

    node: Node
    wire: Wire
    lines: list[str] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        return self.wire.address, self.wire.port

    @property
    def plane(self) -> DataPlane:
        assert isinstance(self.node.plane, DataPlane)
        return self.node.plane

    def established(self) -> list[IkeSa]:
        return [sa for sa in self.node.endpoint._sas.values() if sa.phase == "ESTABLISHED"]


#: NODE_ variables by role.
Variables = Mapping[str, Mapping[str, str]]


class Stage:
    """Both nodes and the wire. Make it inside a running event loop, where `clock.monotonic` is `time`.

    `variables` are NODE_ variables beyond those of every stage.
    """

    def __init__(
        self, directory: FilePath, time: VirtualClock, variables: Variables = MappingProxyType({})
    ) -> None:
        self.time, self.measured, self._watch = time, Measured(), Stopwatch()
        self.responder = _side("responder", directory, variables.get("responder", {}))
        self.initiator = _side("initiator", directory, variables.get("initiator", {}))
        self._start = [Snapshot(side.node) for side in self.sides]
        self.corpus: list[bytes] = []
        self.secrets: set[bytes] = set()
        #: The lines of the private keys' PEM files.
        self.key_lines = {
            line
            for role in ADDRESSES
            for line in (directory / f"ipsec/certs/{role}-key.pem").read_text().split("\n")[1:-2]
        }

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.responder, self.initiator

    def other(self, side: Side) -> Side:
        return self.initiator if side is self.responder else self.responder

    def hand(self, side: Side, octets: bytes, source: tuple[str, int]) -> None:
        """Let a node receive a datagram; nothing may be raised, whatever it is."""
        path = Path(*side.address, *source)
        side.wire.waiting.append((octets, path))
        with self._watch:
            side.node._on_udp(side.wire)
        self.measured.add(self._watch, octets)

    def initiate(self) -> None:
        path = Path(*self.initiator.address, *self.responder.address)
        self.initiator.node.endpoint.initiate(path, self.time())
        self.initiator.node._pump()

    def drive(self, meddle: Callable[[Side, bytes], None] = lambda side, octets: None) -> None:
        """Deliver until nothing is on the wire; `meddle` sees each datagram before it arrives."""
        for _ in range(200):
            moving = [(side, *sent) for side in self.sides for sent in side.wire.sent]
            for side in self.sides:
                side.wire.sent.clear()
            for side, octets, path in moving:
                target = self.other(side)
                if (path.peer_host, path.peer_port) == target.address:
                    self.corpus.append(octets)
                    meddle(target, octets)
                    self.learn()
                    self.hand(target, octets, side.address)
            if not moving:
                return
        raise AssertionError("the nodes talk in a circle")

    def learn(self) -> None:
        """Note every key there is now."""
        for side in self.sides:
            self.secrets |= keys_of(side.node)

    def pass_time(self, seconds: float) -> None:
        """Let timers run; what they send is lost."""
        end = self.time() + seconds
        for side in self.sides:
            while (due := side.node.endpoint.deadline()) is not None and due <= end:
                self.time.now = max(self.time.now, due)
                side.node._on_timer()
        self.time.now = end
        for side in self.sides:
            side.wire.sent.clear()

    def left_behind(self) -> list[str]:
        """What differs from the start after everything was deleted and a long time went by."""
        for side in self.sides:
            side.node.endpoint.delete_all(self.time())
            side.node._pump()
        self.pass_time(1000)
        return [found for snapshot in self._start for found in snapshot.changes()]

    def told_secrets(self) -> list[bytes]:
        """Keys that stand in the event stream or the prose, in hexadecimal or as they are."""
        text = "\n".join(line for side in self.sides for line in side.lines)
        told = [s for s in self.secrets if len(s) >= 16 and (s.hex() in text or repr(s)[2:-1] in text)]
        return told + [line.encode() for line in self.key_lines if line in text]

    def forget_lines(self) -> None:
        """Look for keys in all that was told so far, and let it go. Raises AssertionError."""
        assert self.told_secrets() == []
        for side in self.sides:
            side.lines.clear()

    def close(self) -> None:
        for side in self.sides:
            side.node.close()


def keys_of(node: Node) -> set[bytes]:
    """The keys of every IKE SA and Child SA of a node."""
    found: set[bytes] = set()
    for sa in node.endpoint._sas.values():
        if sa.protection is not None:
            keys = sa.protection.keys
            values = (getattr(keys, name) for name in keys.__slots__)
            found |= {value.reveal() for value in values if isinstance(value, Secret)}
        for owned in sa.children.values():
            pairs = (owned.child.inbound, owned.child.outbound)
            found |= {key.reveal() for pair in pairs for key in (pair.encr, pair.integ)}
    return found


def play(
    directory: FilePath,
    scene: Callable[[Stage], None],
    seed: int,
    variables: Variables = MappingProxyType({}),
) -> Measured:
    """Run a scene on a stage of its own, then look at what is left of it. Returns what it cost."""

    async def inside() -> Measured:
        stage = Stage(directory, time, variables)
        try:
            scene(stage)
            assert stage.left_behind() == []
            assert stage.told_secrets() == []
            assert stage.measured.slowest < SLOWEST, stage.measured.octets.hex()
            return stage.measured
        finally:
            stage.close()

    time = VirtualClock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "monotonic", time)
        random.seed(seed)
        return asyncio.run(inside())


def _side(role: str, directory: FilePath, more: Mapping[str, str]) -> Side:
    certificates = directory / "ipsec" / "certs"
    variables = {
        "NODE_CREDENTIALS__CA": str(certificates / "ca-cert.pem"),
        "NODE_CREDENTIALS__CERTIFICATE": str(certificates / f"{role}-cert.pem"),
        "NODE_CREDENTIALS__KEY": str(certificates / f"{role}-key.pem"),
        "NODE_IKE__PROPOSALS": "[aes256-sha256-x25519, aes256gcm16-prfsha256-modp2048]",
        "NODE_DEMO__PINGS": "0",
        "NODE_RUN__USER": "''",
        **more,
    }
    options = ((("role",), role, "--mode"), (("tun", "enabled"), False, "--tun"))
    config = load(Sources(None, variables, options))
    config = replace(config, demo=replace(config.demo, message=""))
    lines: list[str] = []
    log = EventLog(role, lines.append, lines.append, Palette(False))
    credentials = load_credentials(config, log)
    wire = Wire(*ADDRESSES[role])
    transport = Transport(Line(wire, PROFILES[config.profile].port))
    node = Node(Started(config, log, None, credentials, endpoint(config, credentials), transport), _entropy)
    return Side(node, wire, lines)


def _entropy(size: int, /) -> bytes:
    return random.randbytes(size)


# -- octets --------------------------------------------------------------------------------------------------


def mutate(draw: random.Random, octets: bytes, corpus: list[bytes]) -> bytes:
    """One to four small wrongs."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        octets = draw.choice(_MUTATIONS)(draw, octets, corpus)
    return octets


def _flip(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    if not octets:
        return b"0"
    at = draw.randrange(len(octets))
    return octets[:at] + bytes((octets[at] ^ 1 << draw.randrange(8),)) + octets[at + 1 :]


def _edge(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    at = draw.randrange(len(octets) + 1)
    return octets[:at] + bytes((draw.choice(EDGES),)) + octets[at + 1 :]


def _early_edge(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    at = draw.randrange(min(len(octets), 60) + 1)
    return octets[:at] + bytes((draw.choice(EDGES),)) + octets[at + 1 :]


def _cut(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    return octets[: draw.randrange(len(octets) + 1)]


def _grow(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    return octets + draw.randbytes(draw.choice((1, 2, 16, 300)))


def _remove(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    at = draw.randrange(len(octets) + 1)
    return octets[:at] + octets[at + draw.choice((1, 2, 8, 40)) :]


def _repeat(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    at, size = draw.randrange(len(octets) + 1), draw.choice((1, 4, 30))
    return octets[:at] + octets[at : at + size] * draw.choice((2, 3, 40)) + octets[at + size :]


def _splice(draw: random.Random, octets: bytes, corpus: list[bytes]) -> bytes:
    other = draw.choice(corpus)
    return octets[: draw.randrange(len(octets) + 1)] + other[draw.randrange(len(other) + 1) :]


def _swap_elements(draw: random.Random, octets: bytes, _: list[bytes]) -> bytes:
    """Let one DER element take the place of another, and correct no length."""
    found = elements(octets)
    if not found:
        return octets
    (a, b), (c, d) = draw.choice(found), draw.choice(found)
    return octets[:a] + octets[c:d] + octets[b:]


def elements(octets: bytes) -> list[tuple[int, int]]:
    """Where something that looks like a DER element lies."""
    found = []
    for at in range(0, len(octets) - 1):
        size = octets[at + 1]
        if size < 0x80 and at + 2 + size <= len(octets):
            found.append((at, at + 2 + size))
    return found


_MUTATIONS = (_flip, _edge, _early_edge, _cut, _grow, _remove, _repeat, _splice, _swap_elements)


def reheaded(draw: random.Random, octets: bytes, corpus: list[bytes]) -> bytes:
    """The message with one or two header fields of somebody else, in perfect DER."""
    start, end = codec._frame(octets)
    header, next_payload = codec._read_header(octets[start:end])
    donor = codec.Asn1Codec().peek(draw.choice(corpus)).header
    for _ in range(draw.choice((1, 2))):
        header = draw.choice(
            (
                replace(header, spi_i=donor.spi_i),
                replace(header, spi_r=donor.spi_r),
                replace(header, spi_i=header.spi_r, spi_r=header.spi_i),
                replace(header, spi_r=bytes(8)),
                replace(header, spi_i=bytes(8)),
                replace(header, flags=header.flags ^ HeaderFlags.RESPONSE),
                replace(header, flags=header.flags ^ HeaderFlags.INITIATOR),
                replace(header, flags=draw.randrange(256)),
                replace(header, message_id=draw.choice((0, 1, 2, 3, 2**31, 2**32 - 1))),
                replace(header, exchange=ExchangeType(draw.choice((0, 34, 35, 36, 37, 43, 240, 255)))),
                replace(header, version=draw.choice((0x00, 0x10, 0x20, 0x21, 0x2F, 0x30, 0xFF))),
            )
        )
    if draw.random() < 0.1:
        next_payload = draw.randrange(256)
    return der.sequence(codec._write_header(header, next_payload) + octets[end:])


# -- who writes them -----------------------------------------------------------------------------------------


class Outsider:
    """Sees everything, holds no key."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage, self._draw = stage, random.Random(seed)

    def meddle(self, count: int) -> Callable[[Side, bytes], None]:
        """Junk ahead of each datagram of an exchange."""

        def before(side: Side, octets: bytes) -> None:
            for _ in range(count):
                self.once(octets)
            self._stage.time.now += self._draw.choice((0.0, 0.0, 0.001))

        return before

    def once(self, octets: bytes | None = None) -> None:
        """One hostile datagram to one of the nodes."""
        draw, stage = self._draw, self._stage
        base = octets if octets is not None and draw.random() < 0.7 else draw.choice(stage.corpus)
        side = draw.choice(stage.sides)
        source = draw.choice((stage.other(side).address, STRANGER, (f"203.0.113.{draw.randrange(9)}", 0)))
        stage.hand(side, self._write(base), source)
        for each in stage.sides:
            each.wire.sent = [s for s in each.wire.sent if (s[1].peer_host, s[1].peer_port) in _KNOWN]

    def _write(self, base: bytes) -> bytes:
        draw, corpus = self._draw, self._stage.corpus
        kind = draw.random()
        if kind < 0.55:
            return mutate(draw, base, corpus)
        messages = [o for o in corpus if o[:1] == b"\x30"]
        if kind < 0.85 and base[:1] == b"\x30":
            return reheaded(draw, base, messages)
        if kind < 0.93:
            return self._esp()
        return draw.randbytes(draw.choice((0, 1, 3, 4, 8, 40, 1400))) if kind < 0.97 else base

    def _esp(self) -> bytes:
        spis = [c for s in self._stage.sides for c in s.node.endpoint._context.children._by_spi] or [b"abcd"]
        sequence = self._draw.choice((0, 1, 2, 64, 2**31, 2**32 - 1)).to_bytes(4)
        return (
            self._draw.choice(spis) + sequence + self._draw.randbytes(self._draw.choice((0, 8, 32, 48, 96)))
        )


_KNOWN = frozenset(ADDRESSES.values())


class Insider:
    """One of the two nodes has turned hostile: it writes what it likes under the right keys."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage, self._draw = stage, random.Random(seed)

    def auth_instead(self, is_response: bool) -> Callable[[Side, bytes], None]:
        """Send a changed IKE_AUTH ahead of the real one."""

        def before(side: Side, octets: bytes) -> None:
            if octets[:1] != b"\x30":
                return
            header = codec.Asn1Codec().peek(octets).header
            if header.exchange == ExchangeType.IKE_AUTH and header.is_response == is_response:
                self._forge(side, octets, header)

        return before

    def _forge(self, side: Side, octets: bytes, header: Header) -> None:
        author = self._stage.other(side)
        local = header.spi_i if header.from_original_initiator else header.spi_r
        sa = author.node.endpoint._sas[local]
        if sa.protection is None:
            return
        start, end = codec._frame(octets)
        sealer = sa.protection.outbound
        opened = _twin(author, sa).open(octets[start:end], codec._read_encrypted(octets, end, sealer))
        inner = opened[: len(opened) - 1 - opened[-1]]
        changed = mutate(self._draw, inner, [inner])
        self._stage.hand(side, _sealed(header, _rewrapped(self._draw, changed), sa), author.address)

    def request(self, side: Side) -> bool:
        """An INFORMATIONAL or CREATE_CHILD_SA request of any content to `side`; False where no SA is up."""
        author = self._stage.other(side)
        sas = [sa for sa in author.established() if sa.protection is not None]
        if not sas:
            return False
        sa = sas[-1]
        flags = HeaderFlags.INITIATOR if sa.is_initiator else 0
        exchange = self._draw.choice((36, 37, 37, 37, 35, 34, 43))
        header = Header(sa.spi_i, sa.spi_r, ExchangeType(exchange), sa.window.next_id, flags)
        donors = [o for o in self._stage.corpus if o[:1] == b"\x30" and len(o) > 100] + [b"\x30\x00"]
        body = self._draw.choice(donors)[self._draw.choice((0, 40, 44)) :]
        plain = _rewrapped(self._draw, self._draw.choice((b"", mutate(self._draw, body, donors))))
        before = _expected(side, sa)
        self._stage.hand(side, _sealed(header, plain, sa), author.address)
        if _expected(side, sa) != before:
            sa.window.next_id += 1
        return True

    def esp(self, side: Side, sequence: int) -> bool:
        """An ESP packet to `side` with any inner packet; False where no Child SA is up."""
        author = self._stage.other(side)
        children = [o.child for sa in author.established() for o in sa.children.values()]
        if not children:
            return False
        child: ChildSa = children[-1]
        sealer = aead.sealer(child.suite.encr, child.suite.integ, child.outbound, _entropy)
        plain = self._padded(self._inner(child), sealer.block)
        header = child.outbound_spi + sequence.to_bytes(4)
        self._stage.hand(side, header + sealer.seal(header, plain), author.address)
        return True

    def _inner(self, child: ChildSa) -> bytes:
        draw = self._draw
        ends = (child.local[0].start + 1, child.peer[0].start + 1, ip_address(draw.randbytes(4)))
        source, target = draw.choice((ends[:2], ends[:2], ends[:2], ends[1:], ends[::-1][:2]))
        ports = [draw.choice((0, 1, 7000, 65535)) for _ in range(2)]
        payload = draw.choice((b"", b"ACK", b"ACK x", b"\x1b]0;x\x07\xff", draw.randbytes(1300)))
        packet = draw.choice(
            (
                pack_udp(source, target, ports[0], 7000, payload),
                pack_udp(source, target, ports[0], ports[1], payload),
                pack_echo(source, target, Echo(draw.random() < 0.5, draw.randrange(65536), 1, payload)),
                pack(source, target, draw.randrange(256), payload),
                draw.randbytes(draw.choice((0, 1, 20, 60))),
            )
        )
        return mutate(draw, packet, [packet]) if draw.random() < 0.5 else packet

    def _padded(self, inner: bytes, block: int) -> bytes:
        """With a trailer that is right, mostly, and the length a receiver looks at."""
        draw = self._draw
        size = -(len(inner) + 2) % block + draw.choice((0, 0, 0, block))
        padding = bytes(range(1, size + 1)) if draw.random() < 0.9 else draw.randbytes(size)
        length = size if draw.random() < 0.9 else draw.randrange(256)
        version = 41 if inner[:1] >= b"\x60" else 4
        return inner + padding + bytes((length, draw.choice((version, version, version, version, 41, 59, 0))))


def _expected(side: Side, sa: IkeSa) -> int | None:
    twin = side.node.endpoint._sas.get(sa.spi_r if sa.is_initiator else sa.spi_i)
    return twin.window.expected_id if twin else None


def _twin(author: Side, sa: IkeSa) -> aead.CbcSealer | aead.AeadSealer | aead.NullSealer:
    """What opens the author's own messages."""
    data, protection = sa.data, sa.protection
    assert isinstance(data, AuthSent | Established | InitReplied)
    assert protection is not None
    opener = protection_of(data.suite, protection.keys, not sa.is_initiator, _entropy).inbound
    assert isinstance(opener, aead.CbcSealer | aead.AeadSealer | aead.NullSealer)
    return opener


def _rewrapped(draw: random.Random, inner: bytes) -> bytes:
    """Plaintext with padding; mostly inside a SEQUENCE of the right length."""
    if draw.random() < 0.7:
        body = inner[4:] if inner[:2] == b"\x30\x82" else inner[2:]
        inner = der.sequence(body[:60_000])
    pad = -(len(inner) + 1) % 16
    return inner + bytes(pad) + bytes((pad if draw.random() < 0.97 else 255,))


def _sealed(header: Header, plain: bytes, sa: IkeSa) -> bytes:
    assert sa.protection is not None
    return sealed_with(sa.protection.outbound, header, plain)


def sealed_with(sealer: Sealer, header: Header, plain: bytes) -> bytes:
    """A protected message with any plaintext, padding and all."""
    written = codec._write_header(header, PayloadType.SK)
    blob = sealer.seal(written, plain)
    part = schema.EncryptedPayload(
        iv=blob[: sealer.iv_size],
        ciphertext=blob[sealer.iv_size : len(blob) - sealer.icv_size],
        icv=blob[len(blob) - sealer.icv_size :],
    )
    return der.sequence(written + der.contents(schema.encode(schema.Encrypted(encrypted=part))))
