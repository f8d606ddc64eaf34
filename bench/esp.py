"""What a packet costs in the ESP data path, as a ratio to the bare primitives measured in the same run.

    python -m bench.esp [--rounds N] [--packets N] [--json FILE]

Each round measures, in turn, the primitive of the library alone, the crypto layer's Sealer, and the whole
encapsulation or decapsulation with one SA and with 1,000; the ratios are taken inside a round, so that a
machine that changes its pace does not change them. No I/O is measured. The table goes to stdout, everything
to the JSON file.
"""

import argparse
import hashlib
import hmac
import json
import multiprocessing
import os
import platform
import resource
import statistics
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path as FilePath

import cryptography
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from node.crypto.aead import sealer
from node.esp.packet import alignment, trailer
from node.esp.sad import Sad
from node.esp.tunnel import Incoming, Outgoing, Tunnel
from node.model.child import ChildSa, DirectionKeys
from node.model.message import Path
from node.model.proposal import Suite, Transform
from node.model.registry import EncrId, EsnId, IntegId, ProtocolId, TransformType
from node.model.secret import Secret
from node.model.selectors import network

SIZES = (64, 1408)
MANY = 1000


def _suite(encr: EncrId, bits: int | None, integ: IntegId = IntegId.NONE) -> Suite:
    return Suite(ProtocolId.ESP, Transform(TransformType.ENCR, encr, bits), integ, esn=EsnId.NO_ESN)


SUITES = (
    _suite(EncrId.ENCR_AES_GCM_16, 256),
    _suite(EncrId.ENCR_CHACHA20_POLY1305, None),
    _suite(EncrId.ENCR_AES_CBC, 256, IntegId.AUTH_HMAC_SHA2_256_128),
)

Work = Callable[[Sequence[bytes]], None]


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: microseconds a packet (median of the rounds) and its ratio to the primitive."""

    suite: str
    direction: str
    size: int
    what: str
    microseconds: float
    ratio: float
    ratio_min: float
    ratio_max: float


def keys(suite: Suite) -> DirectionKeys:
    """Fixed keys; the cost does not depend on them."""
    integ = b"i" * 32 if suite.integ else b""
    return DirectionKeys(Secret(b"k" * (32 if suite.integ else 36)), Secret(integ))


def child(suite: Suite, number: int, far: bool) -> ChildSa:
    """One side of SA `number` between 10.0.0.1 and a host of its own."""
    near, host = network("10.0.0.1"), network(f"10.9.{number >> 8}.{number & 255}")
    ends = ((host,), (near,)) if far else ((near,), (host,))
    spi = (0xC0000000 + number).to_bytes(4)
    path = Path("192.0.2.1", 4500, "192.0.2.2", 4500)
    return ChildSa(spi, spi, suite, keys(suite), keys(suite), *ends, path, bytes(8))


def tunnel(suite: Suite, count: int, far: bool) -> Tunnel:
    """A data path with `count` SAs."""
    sad = Sad(os.urandom)
    for number in range(count):
        sad.add_inbound(child(suite, number, far))
        sad.add_outbound(child(suite, number, far))
    return Tunnel(sad)


def inner(number: int, size: int) -> bytes:
    """A UDP packet from 10.0.0.1 to the host of SA `number`."""
    header = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, 17, 0)
    ends = bytes([10, 0, 0, 1, 10, 9, number >> 8, number & 255])
    return header + ends + struct.pack("!HHHH", 4000, 5000, size - 20, 0) + bytes(size - 28)


def primitive(suite: Suite, seal: bool) -> Work:
    """The library alone, on octets that are already padded: one call for an AEAD, cipher and MAC for the
    others.
    """
    if suite.integ:
        return _primitive_cbc(seal)
    aead = (AESGCM if suite.encr.id == EncrId.ENCR_AES_GCM_16 else ChaCha20Poly1305)(b"k" * 32)
    nonce, aad = b"n" * 12, b"a" * 8

    def run(packets: Sequence[bytes]) -> None:
        for packet in packets:
            aead.encrypt(nonce, packet, aad)

    def run_open(packets: Sequence[bytes]) -> None:
        for packet in packets:
            aead.decrypt(nonce, packet, aad)

    return run if seal else run_open


def _primitive_cbc(seal: bool) -> Work:
    cipher = Cipher(algorithms.AES(b"k" * 32), modes.CBC(bytes(16)))
    context = cipher.encryptor() if seal else cipher.decryptor()
    mac = hmac.new(b"i" * 32, b"", hashlib.sha256)

    def run(packets: Sequence[bytes]) -> None:
        for packet in packets:
            octets = context.update(packet)
            one = mac.copy()
            one.update(octets if seal else packet)
            one.digest()

    return run


def sealed(suite: Suite, padded: bytes) -> bytes:
    """What the primitive's own opening takes."""
    if suite.integ:
        return padded
    aead = (AESGCM if suite.encr.id == EncrId.ENCR_AES_GCM_16 else ChaCha20Poly1305)(b"k" * 32)
    return aead.encrypt(b"n" * 12, padded, b"a" * 8)


def clocked(work: Work, packets: Sequence[bytes]) -> float:
    """Microseconds a packet."""
    started = time.perf_counter()
    work(packets)
    return (time.perf_counter() - started) / len(packets) * 1e6


def sending(suite: Suite, size: int, packets: int) -> dict[str, Callable[[], float]]:
    """The measurements of one round of encapsulation."""
    layer = sealer(suite.encr, suite.integ, keys(suite), os.urandom)
    plain = inner(0, size)
    padded = plain + trailer(size, alignment(layer.block), 4)
    one, many = tunnel(suite, 1, False), tunnel(suite, MANY, False)
    bare, aad = primitive(suite, True), bytes(8)

    def seal(items: Sequence[bytes]) -> None:
        for item in items:
            layer.seal(aad, item)

    def through(path: Tunnel) -> Work:
        def run(items: Sequence[bytes]) -> None:
            encapsulate = path.encapsulate
            for item in items:
                encapsulate(item)

        return run

    spread = [inner(n % MANY, size) for n in range(packets)]
    assert isinstance(one.encapsulate(plain), Outgoing)
    assert isinstance(many.encapsulate(spread[-1]), Outgoing)
    return {
        "primitive": lambda: clocked(bare, [padded] * packets),
        "sealer": lambda: clocked(seal, [padded] * packets),
        "tunnel, 1 SA": lambda: clocked(through(one), [plain] * packets),
        f"tunnel, {MANY} SAs": lambda: clocked(through(many), spread),
    }


def receiving(suite: Suite, size: int, packets: int) -> dict[str, Callable[[], float]]:
    """The measurements of one round of decapsulation."""
    layer = sealer(suite.encr, suite.integ, keys(suite), os.urandom)
    padded = inner(0, size) + trailer(size, alignment(layer.block), 4)
    bare, aad, blob = primitive(suite, False), bytes(8), layer.seal(bytes(8), padded)
    library = sealed(suite, padded)

    def unseal(items: Sequence[bytes]) -> None:
        for item in items:
            layer.open(aad, item)

    def through(count: int) -> float:
        # Every round needs a window that has seen nothing.
        sender, receiver = tunnel(suite, count, False), tunnel(suite, count, True)
        sent = [sender.encapsulate(inner(n % count, size)) for n in range(packets)]
        datagrams = [s.datagram for s in sent if isinstance(s, Outgoing)]

        def run(items: Sequence[bytes]) -> None:
            decapsulate = receiver.decapsulate
            for item in items:
                decapsulate(item)

        spent = clocked(run, datagrams[:-1])
        assert isinstance(receiver.decapsulate(datagrams[-1]), Incoming)
        return spent

    return {
        "primitive": lambda: clocked(bare, [library] * packets),
        "sealer": lambda: clocked(unseal, [blob] * packets),
        "tunnel, 1 SA": lambda: through(1),
        f"tunnel, {MANY} SAs": lambda: through(MANY),
    }


def measure(suite: Suite, direction: str, size: int, rounds: int, packets: int) -> list[Row]:
    """All rows of one suite, direction and size."""
    work = (sending if direction == "encapsulate" else receiving)(suite, size, packets)
    spent: dict[str, list[float]] = {what: [] for what in work}
    for _ in range(rounds):
        for what, run in work.items():
            spent[what].append(run())
    base = spent["primitive"]
    rows = []
    for what, values in spent.items():
        ratios = [value / bare for value, bare in zip(values, base, strict=True)]
        median = statistics.median(ratios)
        found = (round(statistics.median(values), 2), round(median, 2), round(min(ratios), 2))
        rows.append(Row(str(suite), direction, size, what, *found, round(max(ratios), 2)))
    return rows


def held(suite: Suite) -> dict[str, float]:
    """Octets that one Child SA, both directions, keeps in Python objects, and in the process (contexts
    included).

    Run it in a fresh process: memory that was freed before would be used again and hide the growth.
    """
    children = [child(suite, number, False) for number in range(2 * MANY)]
    resident = _resident()
    first = _filled(children[:MANY])
    grown = _resident() - resident
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    second = _filled(children[MANY:])
    traced = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(first.query()) == len(second.query()) == MANY
    return {"objects": traced / MANY, "resident": grown / MANY}


def _filled(children: Sequence[ChildSa]) -> Sad:
    sad = Sad(os.urandom)
    for one in children:
        sad.add_inbound(one)
        sad.add_outbound(one)
    return sad


def memory_of(suite: Suite) -> dict[str, float]:
    """`held`, in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(held, suite).result()


def _resident() -> int:
    pages = int(FilePath("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of a packet in the ESP data path")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--packets", type=int, default=5000, help="packets in each measurement")
    parser.add_argument("--json", type=FilePath, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    memory = {str(suite): memory_of(suite) for suite in SUITES}
    rows: list[Row] = []
    print(f"{'suite':46} {'direction':12} {'octets':>6} {'what':17} {'us':>7} {'ratio':>6}  spread")
    for suite in SUITES:
        for direction in ("encapsulate", "decapsulate"):
            for size in SIZES:
                for row in measure(suite, direction, size, chosen.rounds, chosen.packets):
                    rows.append(row)
                    span = f"[{row.ratio_min:.2f} .. {row.ratio_max:.2f}]"
                    head = f"{row.suite:46} {row.direction:12} {row.size:6} {row.what:17}"
                    print(f"{head} {row.microseconds:7.2f} {row.ratio:6.2f}  {span}", flush=True)
    for name, octets in memory.items():
        print(f"{name:46} held by one SA: {octets['objects']:.0f} octets, resident {octets['resident']:.0f}")
    if chosen.json:
        report = {
            "python": platform.python_version(),
            "cryptography": cryptography.__version__,
            "rounds": chosen.rounds,
            "packets": chosen.packets,
            "rows": [asdict(row) for row in rows],
            "octets_per_sa": memory,
        }
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
