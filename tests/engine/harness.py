"""Two endpoints in one process, on virtual time, with a wire that a test can cut, repeat and reorder.

A test reads like the exchange it is about:

    pair.initiate()          initiator sends IKE_SA_INIT
    pair.drive()             deliver everything until nothing is left
    pair.pass_time(10)       let timers run
"""

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import SubjectAlternativeName

from node.crypto.signature import load_signer
from node.crypto.suites import esp_suite, ike_suite
from node.errors import DropReason
from node.ike.endpoint import Endpoint
from node.ike.outputs import (
    Dropped,
    Event,
    InstallInbound,
    InstallOutbound,
    Output,
    RemoveOutbound,
    RemoveSa,
    SaDown,
    SaUp,
    Transmit,
)
from node.ike.settings import SIGNATURE_HASHES, Settings
from node.ike.tasks.shares import NONCE_SIZE
from node.model.child import ChildSa
from node.model.events import EventName
from node.model.message import Path
from node.model.registry import PayloadType
from node.model.secret import Secret
from node.model.selectors import network
from node.pki.identity import ExpectedIdentity, local_identification
from node.pki.sharedkey import SharedKeyVerifier
from node.pki.verifier import CertificateVerifier
from node.ports import Codec, PeerVerifier
from node.wire.asn1.codec import Asn1Codec
from node.wire.rfc7296.codec import Rfc7296Codec
from tests.unit.pki import factory

CODECS: dict[str, Callable[[], Codec]] = {"asn1": Asn1Codec, "rfc7296": Rfc7296Codec}

START = 1_000.0
#: More deliveries than any exchange here needs: beyond it two endpoints talk in a circle.
MAX_DELIVERIES = 2_000


class Counting:
    """Deterministic entropy: a counter, hashed, so that every draw differs and every run is alike.

    `nonces` are drawn first where a nonce is wanted: who wins a collision is then a test's to say.
    """

    def __init__(self, seed: bytes) -> None:
        self._seed, self._count = seed, 0
        self.nonces: deque[bytes] = deque()

    def __call__(self, size: int, /) -> bytes:
        if size == NONCE_SIZE and self.nonces:
            return self.nonces.popleft()
        self._count += 1
        return hashlib.shake_128(self._seed + self._count.to_bytes(8)).digest(size)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a node shows: certificate, key, the authorities it trusts, and intermediate CAs."""

    certificate: bytes
    key: bytes
    anchors: tuple[bytes, ...]
    chain: tuple[bytes, ...] = ()


#: CAs that are no roots, by the name of their issuer.
ISSUERS = {"CA 1": "Lab CA", "CA 2": "CA 1"}


@cache
def authority(name: str = "Lab CA") -> factory.Issued:
    """A CA, the same for the whole run: a root, or one of ISSUERS."""
    return factory.ca(name, authority(ISSUERS[name]) if name in ISSUERS else None)


KEYS: dict[str, Callable[[], factory.Key]] = {
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ed448": ed448.Ed448PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
}


@cache
def credentials(
    name: str,
    issuer: str = "Lab CA",
    trusts: str = "Lab CA",
    starts: int = -1,
    ends: int = 1,
    kind: str = "p256",
) -> Credentials:
    """A certificate for `fqdn:NAME` with a key of `kind`; validity in days around the clock of the tests."""
    names = [(SubjectAlternativeName(factory.general(f"dns:{name}")), False)]
    issued = factory.issue(
        name,
        authority(issuer),
        (factory.usage(digital_signature=True), *names),
        start=factory.NOW + timedelta(days=starts),
        end=factory.NOW + timedelta(days=ends),
        key=KEYS[kind](),
    )
    pem = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Credentials(issued.der, pem, (authority(trusts).der,))


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What differs between the nodes of a test."""

    name: str
    expects: str
    address: str
    local_ts: str
    peer_ts: str
    ike: tuple[str, ...] = ("aes256-sha256-modp2048",)
    esp: tuple[str, ...] = ("aes256-sha256",)
    show: Credentials | None = None
    #: The secret by which it proves who it is, and the one that its peer must have; None: certificates.
    secret: Secret | None = None
    knows: Secret | None = None
    pss: bool = False
    sha1: bool = False
    clock: datetime = field(default=factory.NOW)
    change: Callable[[Settings], Settings] = field(default=lambda settings: settings)


def shared(settings: Settings) -> Settings:
    """Several nodes of the test have this identity: none of them may say that it is the only one."""
    return replace(settings, initial_contact=False)


INITIATOR = NodeOptions("initiator", "fqdn:responder", "192.0.2.1", "10.1.0.0/24", "10.2.0.0/24")
RESPONDER = NodeOptions("responder", "fqdn:initiator", "192.0.2.2", "10.2.0.0/24", "10.1.0.0/24")


def settings_of(options: NodeOptions, certificate: bytes, codec_name: str) -> Settings:
    """The settings a daemon would make of such a configuration."""
    identity = local_identification(f"fqdn:{options.name}", certificate, PayloadType.IDI)
    settings = Settings(
        local_id_type=identity.id_type,
        local_id=identity.data,
        ike_suites=tuple(ike_suite(text) for text in options.ike),
        child_suites=tuple(esp_suite(text) for text in options.esp),
        local_ts=(network(options.local_ts),),
        peer_ts=(network(options.peer_ts),),
        authentication_nonce=codec_name == "asn1",
        reserved_spi_octets=frozenset({0x30}) if codec_name == "asn1" else frozenset({0x00}),
        assumed_hashes=frozenset(SIGNATURE_HASHES) if codec_name == "asn1" else frozenset(),
        sha1=options.sha1,
    )
    return options.change(settings)


def verifier_of(options: NodeOptions, anchors: tuple[bytes, ...]) -> PeerVerifier:
    """Judges the peer as the options want it."""
    expected = options.expects.split()
    if options.knows is not None:
        return SharedKeyVerifier(options.knows, ExpectedIdentity.of_any(*expected))
    accepted = ExpectedIdentity.of(*expected)
    return CertificateVerifier(anchors, accepted, lambda: options.clock.astimezone(UTC))


class Node:
    """An endpoint, its address, and everything it has put out."""

    def __init__(self, options: NodeOptions, codec_name: str) -> None:
        shown = options.show or credentials(options.name)
        self.options, self.address = options, (options.address, 8000)
        self.settings = settings_of(options, credentials(options.name).certificate, codec_name)
        self.codec = CODECS[codec_name]()
        self.verifier = verifier_of(options, shown.anchors)
        self.entropy = Counting(f"{options.name} {options.address}".encode())
        self.endpoint = Endpoint(
            self.settings,
            self.codec,
            options.secret or load_signer(shown.key, pss=options.pss, sha1=options.sha1),
            self.verifier,
            () if options.secret else (shown.certificate, *shown.chain),
            self.entropy,
        )
        self.outputs: list[Output] = []
        self.children: dict[bytes, ChildSa] = {}
        self.outbound: dict[bytes, ChildSa] = {}

    def path_to(self, peer: "Node") -> Path:
        return Path(*self.address, *peer.address)

    def of(self, kind: type[Output]) -> list[Output]:
        """The outputs of one class so far."""
        return [output for output in self.outputs if isinstance(output, kind)]

    def told(self, name: EventName) -> bool:
        """Exactly one event of this name was emitted. Raises LookupError otherwise."""
        return self.event(name).name is name

    @property
    def events(self) -> list[Event]:
        return [output for output in self.outputs if isinstance(output, Event)]

    def event(self, name: EventName) -> Event:
        """The one event of this name. Raises LookupError where there is none or more."""
        found = [event for event in self.events if event.name is name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} x {name} in {[str(e.name) for e in self.events]}")
        return found[0]

    def names(self) -> list[EventName]:
        return [event.name for event in self.events]

    @property
    def dropped(self) -> Counter[DropReason]:
        return Counter(output.reason for output in self.outputs if isinstance(output, Dropped))

    def record(self, output: Output) -> None:
        self.outputs.append(output)
        match output:
            case InstallInbound(child):
                self.children[child.inbound_spi] = child
            case InstallOutbound(child):
                if child.inbound_spi not in self.children:
                    raise AssertionError("outbound was installed before inbound")
                if child.inbound_spi in self.outbound:
                    raise AssertionError("outbound was installed twice")
                self.outbound[child.inbound_spi] = child
            case RemoveOutbound(spi):
                del self.outbound[spi]
            case RemoveSa(spi):
                del self.children[spi]
                self.outbound.pop(spi, None)
            case _:
                pass


@dataclass(frozen=True, slots=True)
class Datagram:
    """Octets under way, seen from the receiver: `path.local` is the receiver."""

    source: Node
    target: Node
    octets: bytes
    path: Path


class Pair:
    """An initiator and a responder with a wire between them."""

    def __init__(
        self,
        codec: str = "asn1",
        initiator: NodeOptions = INITIATOR,
        responder: NodeOptions = RESPONDER,
    ) -> None:
        self.codec_name = codec
        self.initiator, self.responder = Node(initiator, codec), Node(responder, codec)
        self.nodes = {node.address: node for node in (self.initiator, self.responder)}
        self.now = START
        self.wire: deque[Datagram] = deque()
        self.sent: list[Datagram] = []

    def add(self, options: NodeOptions) -> Node:
        """One more node on the wire."""
        node = Node(options, self.codec_name)
        self.nodes[node.address] = node
        return node

    def initiate(self, node: Node | None = None, peer: Node | None = None) -> bytes:
        """Start an IKE SA; the request is on the wire, not yet delivered."""
        node, peer = node or self.initiator, peer or self.responder
        spi = node.endpoint.initiate(node.path_to(peer), self.now)
        self.flush(node)
        return spi

    def establish(self) -> "Pair":
        """Bring up an IKE SA with its Child SA."""
        self.initiate()
        self.drive()
        return self

    def flush(self, node: Node) -> None:
        """Take the outputs of a node: datagrams go onto the wire."""
        while (output := node.endpoint.poll()) is not None:
            node.record(output)
            if isinstance(output, Transmit):
                for octets in output.datagrams:
                    self.put(node, octets, output.path)

    def put(self, source: Node, octets: bytes, path: Path) -> None:
        target = self.nodes[path.peer_host, path.peer_port]
        mirrored = Path(path.peer_host, path.peer_port, path.local_host, path.local_port)
        datagram = Datagram(source, target, octets, mirrored)
        self.wire.append(datagram)
        self.sent.append(datagram)

    def take(self) -> Datagram:
        """Take the next datagram off the wire, undelivered."""
        return self.wire.popleft()

    def deliver(self, datagram: Datagram, octets: bytes | None = None) -> None:
        """Hand a datagram to its target, possibly with other octets."""
        target = datagram.target
        target.endpoint.handle_datagram(
            octets if octets is not None else datagram.octets, datagram.path, self.now
        )
        self.flush(target)

    def drive(self, keep: Callable[[Datagram], bool] = lambda datagram: True) -> None:
        """Deliver until the wire is empty; `keep` decides what gets through."""
        for _ in range(MAX_DELIVERIES):
            if not self.wire:
                return
            datagram = self.take()
            if keep(datagram):
                self.deliver(datagram)
        raise AssertionError("the endpoints talk in a circle")

    def deadlines(self) -> Iterator[float]:
        return (d for node in self.nodes.values() if (d := node.endpoint.deadline()) is not None)

    def pass_time(self, seconds: float, keep: Callable[[Datagram], bool] = lambda datagram: True) -> None:
        """Let time pass in the steps of the timers, delivering what they cause."""
        end = self.now + seconds
        while True:
            self.drive(keep)
            next_deadline = min(self.deadlines(), default=end)
            if next_deadline > end:
                break
            self.now = max(self.now, next_deadline)
            for node in self.nodes.values():
                node.endpoint.handle_timeout(self.now)
                self.flush(node)
            if self.now >= end and not self.wire:
                break
        self.now = end

    def up(self) -> bool:
        """Both sides have exactly one established IKE SA with one Child SA, and agree on its SPIs."""
        ours, theirs = self.initiator.endpoint.sas(), self.responder.endpoint.sas()
        if [len(ours), len(theirs)] != [1, 1] or {ours[0].phase, theirs[0].phase} != {"ESTABLISHED"}:
            return False
        (mine,), (yours,) = ours[0].children, theirs[0].children
        return (mine.inbound_spi, mine.outbound_spi) == (yours.outbound_spi, yours.inbound_spi)

    def empty(self) -> bool:
        """Neither side holds any IKE SA or Child SA."""
        return all(not n.endpoint.sas() and not n.children and not n.outbound for n in self.nodes.values())


def variant(options: NodeOptions, **changes: object) -> NodeOptions:
    """The options with some of them changed."""
    return replace(options, **changes)  # type: ignore[arg-type]


__all__ = ["INITIATOR", "RESPONDER", "Pair", "SaDown", "SaUp", "credentials", "shared", "variant"]
