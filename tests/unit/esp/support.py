"""What the ESP tests share: Child SAs, hand-made packets, and a second implementation of ESP to compare with.

The second implementation follows RFC 4303 and the RFCs of the transforms directly and shares no code with
the node.
"""

import hashlib
import hmac
import random
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from node.esp.sad import Sad
from node.esp.tunnel import Tunnel
from node.model.child import ChildSa, DirectionKeys
from node.model.message import Path
from node.model.proposal import Suite, Transform
from node.model.registry import EncrId, EsnId, IntegId, ProtocolId, TransformType
from node.model.secret import Secret
from node.model.selectors import TrafficSelector, network

PATH = Path("192.0.2.1", 4500, "192.0.2.2", 4500)
LOCAL, PEER = "10.0.0.1", "10.0.0.2"
OURS, THEIRS = bytes.fromhex("c0000001"), bytes.fromhex("d0000002")

_HASHES = {
    IntegId.AUTH_HMAC_SHA2_256_128: ("sha256", 32, 16),
    IntegId.AUTH_HMAC_SHA2_384_192: ("sha384", 48, 24),
    IntegId.AUTH_HMAC_SHA2_512_256: ("sha512", 64, 32),
}


def suite(encr: EncrId, bits: int | None, integ: IntegId = IntegId.NONE, esn: bool = False) -> Suite:
    """An ESP suite."""
    transform = Transform(TransformType.ENCR, encr, bits)
    return Suite(ProtocolId.ESP, transform, integ, esn=EsnId.ESN if esn else EsnId.NO_ESN)


CBC = suite(EncrId.ENCR_AES_CBC, 256, IntegId.AUTH_HMAC_SHA2_256_128)
GCM = suite(EncrId.ENCR_AES_GCM_16, 256)
SUITES = (
    CBC,
    suite(EncrId.ENCR_AES_CBC, 128, IntegId.AUTH_HMAC_SHA2_256_128),
    suite(EncrId.ENCR_AES_CBC, 192, IntegId.AUTH_HMAC_SHA2_384_192),
    suite(EncrId.ENCR_AES_CBC, 256, IntegId.AUTH_HMAC_SHA2_512_256),
    GCM,
    suite(EncrId.ENCR_AES_GCM_16, 128),
    suite(EncrId.ENCR_CHACHA20_POLY1305, None),
    suite(EncrId.ENCR_NULL, None, IntegId.AUTH_HMAC_SHA2_256_128),
)


class Octets:
    """Entropy for tests: repeatable, and never the same twice."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def __call__(self, size: int, /) -> bytes:
        return self._random.randbytes(size)


def keys(chosen: Suite, seed: int) -> DirectionKeys:
    """Keys of the right sizes for a suite."""
    octets = Octets(seed)
    encr = 0 if chosen.encr.id == EncrId.ENCR_NULL else (chosen.encr.key_length or 256) // 8
    encr += 0 if chosen.integ else 4
    integ = _HASHES[chosen.integ][1] if chosen.integ else 0
    return DirectionKeys(Secret(octets(encr)), Secret(octets(integ)))


def selectors(*networks: str) -> tuple[TrafficSelector, ...]:
    """Selectors of addresses or prefixes, any protocol and port."""
    return tuple(network(n) for n in networks)


def child(
    chosen: Suite = CBC,
    *,
    inbound: bytes = OURS,
    outbound: bytes = THEIRS,
    local: tuple[TrafficSelector, ...] | None = None,
    peer: tuple[TrafficSelector, ...] | None = None,
    window: int = 64,
) -> ChildSa:
    """Our side of a Child SA between 10.0.0.1 and 10.0.0.2; inbound keys have seed 1, outbound seed 2."""
    return ChildSa(
        inbound,
        outbound,
        chosen,
        keys(chosen, 1),
        keys(chosen, 2),
        local or selectors(LOCAL),
        peer or selectors(PEER),
        PATH,
        b"\x11" * 8,
        window,
    )


def mirrored(one: ChildSa) -> ChildSa:
    """The peer's side of the same Child SA."""
    path = Path(PATH.peer_host, PATH.peer_port, PATH.local_host, PATH.local_port)
    return ChildSa(
        one.outbound_spi,
        one.inbound_spi,
        one.suite,
        one.outbound,
        one.inbound,
        one.peer,
        one.local,
        path,
        b"\x22" * 8,
        one.replay_window,
    )


@dataclass(frozen=True, slots=True)
class End:
    """A node's data path."""

    sad: Sad
    tunnel: Tunnel


def end(*children: ChildSa, max_packets: int | None = None) -> End:
    """A data path with both directions of these Child SAs."""
    sad = Sad(Octets(3)) if max_packets is None else Sad(Octets(3), max_packets)
    for one in children:
        sad.add_inbound(one)
        sad.add_outbound(one)
    return End(sad, Tunnel(sad))


def pair(one: ChildSa) -> tuple[End, End]:
    """Two data paths that share a Child SA."""
    return end(one), end(mirrored(one))


def sum16(octets: bytes) -> int:
    """The Internet checksum, word by word as RFC 1071 writes it."""
    total = 0
    for i in range(0, len(octets), 2):
        total += int.from_bytes(octets[i : i + 2].ljust(2, b"\0"))
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def v4(text: str) -> bytes:
    """Address octets of a dotted quad."""
    return bytes(int(part) for part in text.split("."))


def ipv4(
    source: str,
    destination: str,
    body: bytes,
    protocol: int = 17,
    *,
    options: bytes = b"",
    fragment: int = 0,
    length: int | None = None,
) -> bytes:
    """An IPv4 packet, made independently of the node's own."""
    size = 20 + len(options)
    total = size + len(body) if length is None else length
    header = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, total, 7, fragment, 63, protocol, 0)
    header += v4(source) + v4(destination) + options
    return header[:10] + sum16(header).to_bytes(2) + header[12:] + body


def ipv6(source: bytes, destination: bytes, body: bytes, following: int = 17) -> bytes:
    """An IPv6 packet."""
    return struct.pack("!IHBB", 6 << 28, len(body), following, 63) + source + destination + body


def udp(payload: bytes, source_port: int = 4000, destination_port: int = 5000) -> bytes:
    """A UDP datagram without a checksum."""
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def hello(source: str = PEER, destination: str = LOCAL, payload: bytes = b"hello") -> bytes:
    """An inner packet from the peer to us."""
    return ipv4(source, destination, udp(payload))


def pad(payload: bytes, next_header: int = 4, align: int = 16) -> bytes:
    """A payload with the trailer of RFC 4303 2.4."""
    count = -(len(payload) + 2) % align
    return payload + bytes(range(1, count + 1)) + bytes([count, next_header])


def esp(
    chosen: Suite, secrets: DirectionKeys, spi: bytes, sequence: int, plain: bytes, seed: int = 9
) -> bytes:
    """An ESP packet around plaintext that carries its trailer."""
    esn = chosen.esn == EsnId.ESN
    header = spi + struct.pack("!I", sequence & 0xFFFFFFFF)
    encr, integ = secrets.encr.reveal(), secrets.integ.reveal()
    if chosen.integ:
        octets = header + plain
        if encr:
            iv = Octets(seed)(16)
            cipher = Cipher(algorithms.AES(encr), modes.CBC(iv)).encryptor()
            octets = header + iv + cipher.update(plain) + cipher.finalize()
        name, _, size = _HASHES[chosen.integ]
        high = struct.pack("!I", sequence >> 32) if esn else b""
        return octets + hmac.new(integ, octets + high, getattr(hashlib, name)).digest()[:size]
    iv = Octets(seed)(8)
    aad = spi + struct.pack("!Q", sequence) if esn else header
    aead = AESGCM if chosen.encr.id == EncrId.ENCR_AES_GCM_16 else ChaCha20Poly1305
    return header + iv + aead(encr[:-4]).encrypt(encr[-4:] + iv, plain, aad)


def unseal(chosen: Suite, secrets: DirectionKeys, packet: bytes, high: int = 0) -> bytes:
    """The plaintext with its trailer of an ESP packet; AssertionError or InvalidTag where it is wrong."""
    esn = chosen.esn == EsnId.ESN
    encr, integ = secrets.encr.reveal(), secrets.integ.reveal()
    if chosen.integ:
        name, _, size = _HASHES[chosen.integ]
        tail = struct.pack("!I", high) if esn else b""
        mac = hmac.new(integ, packet[:-size] + tail, getattr(hashlib, name)).digest()[:size]
        assert hmac.compare_digest(mac, packet[-size:])
        if not encr:
            return packet[8:-size]
        cipher = Cipher(algorithms.AES(encr), modes.CBC(packet[8:24])).decryptor()
        return cipher.update(packet[24:-size]) + cipher.finalize()
    aad = packet[:4] + struct.pack("!I", high) + packet[4:8] if esn else packet[:8]
    aead = AESGCM if chosen.encr.id == EncrId.ENCR_AES_GCM_16 else ChaCha20Poly1305
    return aead(encr[:-4]).decrypt(encr[-4:] + packet[8:16], packet[16:], aad)
