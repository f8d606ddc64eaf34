"""What a handshake takes in Python at the very least: its four datagrams and its primitives, nothing else.

    python -m bench.least [--rounds N] [--handshakes N] [--json FILE]

Two peers in one process, UDP over 127.0.0.1, one event loop, eight handshakes at once; the suites of
`bench.setup_rate` with X25519 and AES-256-GCM. They write and read headers and payloads of IKE_SA_INIT and
IKE_AUTH, make key pairs and keys, sign and verify, seal and open. Nothing is checked, timed or remembered;
proposals and selectors are octets made before, certificates are not parsed, no message is in fragments. It is
no implementation of anything: no implementation in Python over the same libraries costs less. With events it
also writes the lines of JSON that two nodes write, and none of prose.
"""

import argparse
import asyncio
import hmac
import json
import os
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from bench.driven import AT_ONCE
from bench.pair import NAMES, Credentials, credentials
from bench.primitives import PSK, bare, write

ROUNDS, HANDSHAKES = 20, 100
KEYS = ("rsa2048", PSK)
#: Events of both nodes in a handshake, written after each of its five steps.
EVENTS, STEPS = 26, 5
_EVENT = {
    **{"ts": "2026-01-01T00:00:00.000000Z", "event": "ike_auth_sent", "node": "initiator", "spi_i": "0" * 16},
    **{"spi_r": "0" * 16, "peer": "127.0.0.1:4500", "role": "initiator", "kind": "request", "octets": 1000},
}

_HEADER, _GENERIC = struct.Struct(">8s8sBBBBII"), struct.Struct(">BBH")
_INIT, _AUTH, _RESPONSE, _SK = 34, 35, 0x20, 46
#: Payloads of IKE_SA_INIT and IKE_AUTH by type; bodies of SA, ID and TS as long as those of a node.
_SA, _KE, _ID, _CERT, _PROOF, _NONCE, _TSI, _TSR = 33, 34, 35, 37, 39, 40, 44, 45
_SA_BODY, _ID_BODY, _TS_BODY = bytes(44), bytes(17), bytes(20)
_IV, _TAG = 8, 16
_SECRET, _PAD = b"s" * 32, b"Key Pad for IKEv2"


@dataclass(frozen=True, slots=True)
class Keys:
    """What both IKE_SA_INIT messages lead to: the messages, SK_p, and the two directions."""

    sent: bytes
    received: bytes
    proof: bytes
    outbound: AESGCM
    inbound: AESGCM


class Peer:
    """One side of all handshakes. `tell` is called after each step, `up` where a handshake is over."""

    def __init__(self, name: str, shown: Credentials | None, tell: Callable[[], None]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self.other = ("127.0.0.1", 0)
        self.up: Callable[[], None] = lambda: None
        self._name, self._shown, self._tell = name, shown, tell
        self._certificate = shown.certificates[name].public_bytes(Encoding.DER) if shown else b""
        self._begun: dict[bytes, tuple[X25519PrivateKey, bytes, bytes]] = {}
        self._keys: dict[bytes, Keys] = {}

    def begin(self) -> None:
        """Send an IKE_SA_INIT request."""
        spi = os.urandom(8)
        self._begun[spi] = self._send_init(spi, 0)
        self._tell()

    def receive(self) -> None:
        """Take what has come."""
        while True:
            try:
                octets, _ = self.socket.recvfrom(65_535)
            except BlockingIOError:
                return
            spi, _, kind, _, exchange, flags, _, _ = _HEADER.unpack_from(octets)
            if exchange == _INIT:
                self._on_init(spi, octets, _bodies(octets, _HEADER.size, kind), flags)
            else:
                self._on_auth(spi, octets, flags)
            self._tell()

    def _send_init(self, spi: bytes, flags: int) -> tuple[X25519PrivateKey, bytes, bytes]:
        pair, nonce = X25519PrivateKey.generate(), os.urandom(32)
        share = bytes(4) + pair.public_key().public_bytes_raw()
        inner = _payloads({_SA: _SA_BODY, _KE: share, _NONCE: nonce})
        octets = _header(spi, _SA, _INIT, flags, len(inner)) + inner
        self.socket.sendto(octets, self.other)
        return pair, nonce, octets

    def _on_init(self, spi: bytes, octets: bytes, bodies: dict[int, bytes], flags: int) -> None:
        pair, nonce, sent = self._begun.pop(spi) if flags else self._send_init(spi, _RESPONSE)
        shared = pair.exchange(X25519PublicKey.from_public_bytes(bodies[_KE][4:]))
        nonces = nonce + bodies[_NONCE] if flags else bodies[_NONCE] + nonce
        stream = _expand(hmac.digest(nonces, shared, "sha256"), nonces, 7)
        first, second = AESGCM(stream[:32]), AESGCM(stream[32:64])
        outbound, inbound = (first, second) if flags else (second, first)
        self._keys[spi] = Keys(sent, octets, stream[64:96], outbound, inbound)
        if flags:
            self._send_auth(spi, 0)

    def _send_auth(self, spi: bytes, flags: int) -> None:
        keys = self._keys[spi]
        proof = self._prove(keys.sent + hmac.digest(keys.proof, _ID_BODY, "sha256"))
        certificate = {_CERT: self._certificate} if self._shown else {}
        child = {_SA: _SA_BODY, _TSI: _TS_BODY, _TSR: _TS_BODY}
        inner = _payloads({_ID: _ID_BODY, **certificate, _PROOF: proof, **child}) + b"\0"
        size = _GENERIC.size + _IV + len(inner) + _TAG
        aad = _header(spi, _SK, _AUTH, flags, size) + _GENERIC.pack(_ID, 0, size)
        self.socket.sendto(aad + bytes(_IV) + keys.outbound.encrypt(bytes(12), inner, aad), self.other)

    def _on_auth(self, spi: bytes, octets: bytes, flags: int) -> None:
        keys, start = self._keys[spi], _HEADER.size + _GENERIC.size
        bodies = _bodies(keys.inbound.decrypt(bytes(12), octets[start + _IV :], octets[:start]), 0, _ID)
        self._judge(keys.received + hmac.digest(keys.proof, bodies[_ID], "sha256"), bodies[_PROOF])
        _expand(keys.proof, octets[:64], 4)
        if not flags:
            self._send_auth(spi, _RESPONSE)
        del self._keys[spi]
        self.up()

    def _prove(self, octets: bytes) -> bytes:
        key = self._shown.keys[self._name] if self._shown else None
        if isinstance(key, rsa.RSAPrivateKey):
            return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        return hmac.digest(hmac.digest(_SECRET, _PAD, "sha256"), octets, "sha256")

    def _judge(self, octets: bytes, proof: bytes) -> None:
        """Raises where the proof is wrong."""
        if self._shown is None:
            if not hmac.compare_digest(proof, self._prove(octets)):
                raise ValueError("a wrong AUTH")
            return
        other = next(name for name in NAMES if name != self._name)
        leaf = self._shown.certificates[other]
        signed = (
            (self._shown.root.public_key(), leaf.signature, leaf.tbs_certificate_bytes),
            (self._shown.keys[other].public_key(), proof, octets),
        )
        for key, signature, what in signed:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(signature, what, padding.PKCS1v15(), hashes.SHA256())


def _header(spi: bytes, first: int, exchange: int, flags: int, size: int) -> bytes:
    return _HEADER.pack(spi, spi, first, 0x20, exchange, flags, 0, _HEADER.size + size)


def _payloads(bodies: dict[int, bytes]) -> bytes:
    """In their order, each of another type."""
    following = [*bodies, 0][1:]
    pairs = zip(following, bodies.values(), strict=True)
    return b"".join([_GENERIC.pack(kind, 0, _GENERIC.size + len(body)) + body for kind, body in pairs])


def _bodies(octets: bytes, at: int, kind: int) -> dict[int, bytes]:
    found = {}
    while kind:
        following, _, size = _GENERIC.unpack_from(octets, at)
        found[kind] = octets[at + _GENERIC.size : at + size]
        at, kind = at + size, following
    return found


def _expand(key: bytes, seed: bytes, blocks: int) -> bytes:
    """prf+ (RFC 7296 2.13)."""
    block, stream = b"", b""
    for number in range(1, blocks + 1):
        block = hmac.digest(key, block + seed + bytes((number,)), "sha256")
        stream += block
    return stream


async def handshakes(count: int, shown: Credentials | None, tell: Callable[[], None]) -> float:
    """Seconds of CPU of one of `count` handshakes, both sides."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    initiator, responder = (Peer(name, shown, tell) for name in NAMES)
    initiator.other, responder.other = responder.socket.getsockname(), initiator.socket.getsockname()
    left, over = [None] * count, [None] * count

    def next_one() -> None:
        if left:
            left.pop()
            initiator.begin()

    def up() -> None:
        over.pop()
        next_one()
        if not over:
            done.set_result(None)

    initiator.up = up
    for peer in (initiator, responder):
        loop.add_reader(peer.socket, peer.receive)
    began = time.process_time()
    for _ in range(AT_ONCE):
        next_one()
    await done
    took = time.process_time() - began
    for peer in (initiator, responder):
        loop.remove_reader(peer.socket)
        peer.socket.close()
    return took / count


@dataclass(frozen=True, slots=True)
class Result:
    """Medians in milliseconds of CPU of one handshake, both sides; ratios inside the rounds."""

    key: str
    bare: float
    least: float
    ratio: float
    with_events: float
    ratio_with_events: float


def measure(key: str, rounds: int = ROUNDS, count: int = HANDSHAKES) -> Result:
    """Interleaved rounds; the first only warms up."""
    shown = None if key == PSK else credentials(key)
    floor = bare(key, shown, "x25519", "aes256gcm16")
    encode = json.JSONEncoder(separators=(",", ":")).encode
    with open(os.devnull, "wb", buffering=0) as nowhere:

        def events() -> None:
            nowhere.write("\n".join([encode(_EVENT) for _ in range(EVENTS // STEPS)]).encode())

        def one_round() -> tuple[float, float, float]:
            began = time.process_time()
            for _ in range(count):
                floor()
            least = (time.process_time() - began) / count
            return (
                least,
                asyncio.run(handshakes(count, shown, lambda: None)),
                asyncio.run(handshakes(count, shown, events)),
            )

        found = [one_round() for _ in range(rounds + 1)][1:]
    columns = [round(statistics.median(column) * 1e3, 3) for column in zip(*found, strict=True)]
    ratios = [round(statistics.median(one[at] / one[0] for one in found), 2) for at in (1, 2)]
    return Result(key, columns[0], columns[1], ratios[0], columns[2], ratios[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; there is no goal."""
    parser = argparse.ArgumentParser(description="the least that a handshake costs in Python")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--handshakes", type=int, default=HANDSHAKES, help="in a round")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    results = [measure(key, chosen.rounds, chosen.handshakes) for key in KEYS]
    print(f"{'key':8} {'bare ms':>8} {'least ms':>9} {'ratio':>6} {'with events':>12} {'ratio':>6}")
    for one in results:
        print(
            f"{one.key:8} {one.bare:8.3f} {one.least:9.3f} {one.ratio:6.2f} {one.with_events:12.3f} "
            f"{one.ratio_with_events:6.2f}"
        )
    write(chosen.json, {"results": [asdict(one) for one in results]})
    return 0


if __name__ == "__main__":
    sys.exit(main())
