"""Where octets of somebody else come in, each as a function of octets that raises nothing, whatever they are.

    codec        a datagram: peek, glance, read
    plaintext    what is inside a protected message, under the right keys: open
    request      the same, as a request to a node with an IKE SA that is up, in each exchange
    esp          an ESP packet, forged, or with any plaintext under the right keys
    certificate  a certificate, or one whose contents a trusted CA signed; and the path to that CA
    control      a line on the control socket

A fuzzer calls them with mutants of `seeds`; what it found once is a seed as well. AssertionError says that a
property does not hold: what is read would be written with the octets that came, what is refused changes
nothing.
"""

import asyncio
import json
import random
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from linetalk.answers import RequestError, refusal
from node.control.protocol import COMMANDS, parse_request
from node.errors import DecodeError
from node.esp.tunnel import Incoming
from node.model.message import Header, HeaderFlags, Message
from node.model.payloads import Nonce, Notify
from node.model.registry import ExchangeType, NotifyType
from node.net import clock
from node.pki import der
from tests.codec.samples import AUTH, CLEARTEXT, CODEC, IKE_AUTH, INIT, SUITES, sealed, sealer_of
from tests.node.conftest import make_credentials
from tests.property.hostile import Stage, VirtualClock, sealed_with
from tests.property.scenes import established
from tests.property.snapshot import Snapshot
from tests.unit.esp import support
from tests.unit.pki import factory, pkits

#: Octets of plaintext that fit in a datagram.
MOST = 60_000


@dataclass(frozen=True, slots=True)
class Target:
    """A function of octets, octets to begin with, and from which octet on they are DER, if they are."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    der_at: int | None = None


# -- messages ------------------------------------------------------------------------------------------------


def codec(octets: bytes) -> None:
    """A cleartext message that is read is the one that its payloads make, and the glance saw it."""
    try:
        envelope = CODEC.peek(octets)
    except DecodeError:
        return
    glance = None
    with suppress(DecodeError):
        glance = CODEC.glance(envelope)
    try:
        message = CODEC.read(envelope)
    except DecodeError:
        return
    again = CODEC.read(CODEC.peek(sealed(message.header, message.payloads)))
    assert (again.header, again.payloads) == (message.header, message.payloads)
    first = message.payloads[0] if message.payloads else None
    cookie = isinstance(first, Notify) and first.notify_type == NotifyType.COOKIE
    nonces = [payload.data for payload in message.payloads if isinstance(payload, Nonce)]
    assert glance is not None
    assert glance.nonce == (nonces[0] if nonces else b"")
    assert glance.cookie == (first.data if cookie and isinstance(first, Notify) and _plain(first) else b"")


def _plain(notify: Notify) -> bool:
    """Whether it says nothing about an SA, as a cookie does not."""
    return not notify.protocol and not notify.spi


def _clear_seeds() -> Iterable[bytes]:
    cookie = Notify(NotifyType.COOKIE, bytes(range(17)))
    yield from (sealed(INIT, payloads) for payloads in CLEARTEXT.values())
    yield sealed(INIT, (cookie, *CLEARTEXT["founding IKE_SA_INIT"]))
    yield sealed(AUTH, IKE_AUTH, sealer_of("AES-GCM"))


def plaintext(octets: bytes) -> None:
    """A protected message that is opened is the one that its payloads make; an error blames its author."""
    suite = list(SUITES)[octets[0] % len(SUITES) if octets else 0]
    sealer = sealer_of(suite)
    try:
        octets = sealed_with(sealer, AUTH, _padded(octets[1:], sealer.block))
        message = CODEC.open(CODEC.peek(octets), sealer_of(suite))
    except DecodeError as error:
        if not error.authenticated:
            raise
        return
    assert isinstance(message, Message)
    payloads = message.payloads
    again = CODEC.open(CODEC.peek(sealed(AUTH, payloads, sealer_of(suite))), sealer_of(suite))
    assert isinstance(again, Message)
    assert again.payloads == payloads


def _padded(plain: bytes, block: int) -> bytes:
    """With the least padding, and its length, that make whole blocks."""
    plain = plain[:MOST]
    size = -(len(plain) + 1) % block
    return plain + bytes(size) + bytes((size,))


def _plain_seeds() -> Iterable[bytes]:
    for number, suite in enumerate(SUITES):
        for payloads in (IKE_AUTH, (), CLEARTEXT["every payload"]):
            message = CODEC.open(CODEC.peek(sealed(AUTH, payloads, sealer_of(suite))), sealer_of(suite))
            assert isinstance(message, Message)
            yield bytes((number,)) + message.inner[: -1 - message.inner[-1]]


class _Peer:
    """A node with an IKE SA that is up, and its hostile peer; `close` it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="fuzz-")
        root = Path(self._directory.name)
        make_credentials(root / "ipsec" / "certs")
        self._time, self._patch, self._loop = VirtualClock(), pytest.MonkeyPatch(), asyncio.new_event_loop()
        self._patch.setattr(clock, "monotonic", self._time)
        random.seed(1)
        self.stage = self._loop.run_until_complete(self._made(root))
        self.sa = established(self.stage)
        self.snapshot = Snapshot(self.stage.responder.node)

    async def _made(self, root: Path) -> Stage:
        return Stage(root, self._time)

    def close(self) -> None:
        """Give everything back."""
        self.stage.close()
        self._loop.close()
        self._patch.undo()
        self._directory.cleanup()


@cache
def _peer() -> _Peer:
    return _Peer()


def close() -> None:
    """Give back what the target `request` keeps between its calls."""
    if _peer.cache_info().currsize:
        _peer().close()
        _peer.cache_clear()


_EXCHANGES = (ExchangeType.INFORMATIONAL, ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_AUTH)


def request(octets: bytes) -> None:
    """Each authentic request is answered or counted, and what it did can be taken back."""
    peer, stage = _peer(), _peer().stage
    assert peer.sa.protection is not None
    sealer = peer.sa.protection.outbound
    exchange = _EXCHANGES[octets[0] % 3] if octets else _EXCHANGES[0]
    header = Header(peer.sa.spi_i, peer.sa.spi_r, exchange, peer.sa.window.next_id, HeaderFlags.INITIATOR)
    plain = _padded(octets[1:], 16)
    node, wire = stage.responder.node, stage.responder.wire
    before = node.log.dropped.total()
    stage.hand(stage.responder, sealed_with(sealer, header, plain), stage.initiator.address)
    assert wire.sent or node.log.dropped.total() == before + 1
    wire.sent.clear()
    stage.responder.lines.clear()
    peer.snapshot.restore()


# -- ESP -----------------------------------------------------------------------------------------------------


def esp(octets: bytes) -> None:
    """Forged: nothing is delivered and the window stays. Authentic: delivered or refused."""
    suite = support.SUITES[octets[0] % len(support.SUITES)] if octets else support.CBC
    one = support.child(suite)
    ours = support.end(one)
    plain = octets[2:]
    if octets[1:2] < b"\x80":
        result = ours.tunnel.decapsulate(support.OURS + plain if octets[1:2] >= b"\x40" else plain)
        assert not isinstance(result, Incoming)
        assert ours.sad.by_spi[int.from_bytes(support.OURS)].window.top == 0
        return
    whole = plain + bytes(-len(plain) % 16)
    ours.tunnel.decapsulate(support.esp(suite, one.inbound, support.OURS, 1, whole))


def _esp_seeds() -> Iterable[bytes]:
    for number, suite in enumerate(support.SUITES):
        plain = support.pad(support.hello())
        # Under keys that are not those of the Child SA.
        yield bytes((number, 0)) + support.esp(suite, support.keys(suite, 77), support.OURS, 7, plain)
        yield bytes((number, 0x80)) + plain
        inner = support.ipv6(bytes(15) + b"\1", bytes(15) + b"\2", support.udp(b"hello"), 0)
        yield bytes((number, 0x80)) + support.pad(inner, 41)


# -- certificates --------------------------------------------------------------------------------------------

_SIGNED = 0x80


def certificate(octets: bytes) -> None:
    """A verdict, in silence: whatever is in it, also where a trusted CA signed it."""
    sent = octets[1:]
    if octets[:1] >= bytes((_SIGNED,)):
        sent = _signed(sent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = factory.failure([sent, *_others()], [_root().der], "fqdn:peer")
    if octets[:1] < bytes((_SIGNED,)):
        assert found is not None or sent == _leaf()


def _signed(tbs: bytes) -> bytes:
    """A certificate with these contents and a good signature of the root."""
    algorithm = der.read(_root().der).children(3)[1].octets
    key = _root().key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return factory.tlv(0x30, tbs + algorithm + factory.tlv(0x03, b"\0" + signature))


@cache
def _root() -> factory.Issued:
    return factory.ca("Root")


@cache
def _leaf() -> bytes:
    return factory.leaf("peer", _root(), "dns:peer", "email:a@b.c", "ip:192.0.2.1").der


@cache
def _others() -> tuple[bytes, ...]:
    return (factory.ca("Below", _root()).der,)


#: With about every extension there is, and with odd numbers.
_PKITS = (
    "ValidNegativeSerialNumberTest14EE",
    "ValidLongSerialNumberTest16EE",
    "nameConstraintsRFC822CA1Cert",
    "nameConstraintsDN1CACert",
    "ValidURInameConstraintsTest36EE",
    "requireExplicitPolicy0CACert",
    "ValidRFC3280OptionalAttributeTypesTest8EE",
)


def _certificate_seeds() -> Iterable[bytes]:
    ours = [_leaf(), _others()[0]]
    yield from (b"\0" + one for one in ours)
    issuer = _root().certificate.subject.public_bytes()
    algorithm = der.read(_root().der).children(3)[1].octets
    for octets in [*ours, *map(pkits.der, _PKITS)]:
        fields = [element.octets for element in der.read(octets).children(3)[0].children(10)]
        fields[2:4] = [algorithm, issuer]
        yield bytes((_SIGNED,)) + factory.tlv(0x30, b"".join(fields))


# -- the control socket --------------------------------------------------------------------------------------


def control(octets: bytes) -> None:
    """A known request with arguments of text, or a refusal that is one line of JSON."""
    try:
        found = parse_request(octets)
    except RequestError as error:
        line = refusal(str(error))
        assert line.count(b"\n") == 1
        assert json.loads(line)["ok"] is False
        return
    assert found.arguments.keys() <= COMMANDS[found.command]
    assert all(isinstance(value, str) for value in found.arguments.values())


def _control_seeds() -> Iterable[bytes]:
    for command, arguments in COMMANDS.items():
        yield json.dumps({"command": command, **dict.fromkeys(arguments, "0011223344556677")}).encode()


TARGETS = {
    "codec": Target(codec, _clear_seeds, 0),
    "plaintext": Target(plaintext, _plain_seeds, 1),
    "request": Target(request, _plain_seeds, 1),
    "esp": Target(esp, _esp_seeds),
    "certificate": Target(certificate, _certificate_seeds, 1),
    "control": Target(control, _control_seeds),
}
