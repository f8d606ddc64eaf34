"""What reading and writing one founding IKE_SA_INIT costs, against pyasn1 in the same run.

    python -m bench.codec [--rounds N] [--times N] [--json FILE]

    codec     `peek` and `read`, or `seal`: bounded, strict (what was decoded is encoded again and compared),
              every range checked, the model made
    library   the compiled decoder or encoder alone, on the fields of the message
    pyasn1    decoding into its classes, or building them and encoding; nothing checked beyond the schema
    strict    pyasn1 decoding, and encoding again to compare, as it must where the octets are a peer's
    rfc7296   the codec of the other profile, on the same message in the binary encoding of RFC 7296

Each round measures them in turn, in CPU time of this process; a ratio is taken inside its round, and the
median over the rounds counts. Exit code 1 where the codec is not at least `GOAL` times as fast as pyasn1.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from pyasn1.codec.der.decoder import decode as pyasn1_decode
from pyasn1.codec.der.encoder import encode as pyasn1_encode

from node.crypto.suites import ike_suite
from node.model.message import NO_SPI, Header, HeaderFlags
from node.model.payloads import KeyExchange, Nonce, Payload, SecurityAssociation
from node.model.proposal import offer
from node.model.registry import ExchangeType, KeId
from node.wire.asn1 import der, schema
from node.wire.asn1.codec import Asn1Codec
from node.wire.rfc7296.codec import Rfc7296Codec
from tests.codec import der_oracle

#: The codec does several times the work of a bare decoder and must still be this much faster than pyasn1, on
#: a busy machine too.
GOAL = 2.0
ROUNDS, TIMES = 15, 200


@dataclass(frozen=True, slots=True)
class Row:
    """Microseconds for one message (median of the rounds), and how many times pyasn1 takes."""

    direction: str
    what: str
    microseconds: float
    ratio: float
    least: float
    most: float


def founding() -> tuple[Header, tuple[Payload, ...]]:
    """IKE_SA_INIT of the founding suite, with random SPI, public value and nonce."""
    flags = int(HeaderFlags.INITIATOR)
    header = Header(os.urandom(8), NO_SPI, ExchangeType.IKE_SA_INIT, 0, flags)
    proposals = offer((ike_suite("aes256-sha256-modp2048"),))
    exchange = KeyExchange(KeId.MODP_2048, os.urandom(256))
    return header, (SecurityAssociation(proposals), exchange, Nonce(os.urandom(32)))


def decoding(octets: bytes) -> dict[str, Callable[[], object]]:
    """The ways of reading."""
    codec, other = Asn1Codec(), Rfc7296Codec()
    message = codec.read(codec.peek(octets))
    binary = other.seal(message.header, message.payloads, None, 0).octets
    _, start, end = der.element(octets, 0, len(octets))
    _, _, behind = der.element(octets, start, end)
    header, fields = octets[start:behind], der.sequence(octets[behind:])
    return {
        "codec": lambda: codec.read(codec.peek(octets)),
        "library": lambda: (
            schema.decode(schema.IKEHeader, header),
            schema.decode(schema.InnerPayloads, fields),
        ),
        "pyasn1": lambda: pyasn1_decode(octets, asn1Spec=der_oracle.IKE_MESSAGE),
        "strict": lambda: der_oracle.decode(der_oracle.IKE_MESSAGE, octets),
        "rfc7296": lambda: other.read(other.peek(binary)),
    }


def encoding(header: Header, payloads: Sequence[Payload], octets: bytes) -> dict[str, Callable[[], object]]:
    """The ways of writing."""
    codec, other = Asn1Codec(), Rfc7296Codec()
    _, start, end = der.element(octets, 0, len(octets))
    _, _, behind = der.element(octets, start, end)
    head = schema.decode(schema.IKEHeader, octets[start:behind])
    fields = schema.decode(schema.InnerPayloads, der.sequence(octets[behind:]))
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, octets)
    return {
        "codec": lambda: codec.seal(header, payloads, None, 0),
        "library": lambda: (schema.encode(head), schema.encode(fields)),
        "pyasn1": lambda: pyasn1_encode(der_oracle.build(der_oracle.IKE_MESSAGE, value)),
        "rfc7296": lambda: other.seal(header, payloads, None, 0),
    }


def clocked(work: Callable[[], object], times: int) -> float:
    """Microseconds for one call."""
    started = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - started) / times * 1e6


def measure(direction: str, ways: dict[str, Callable[[], object]], rounds: int, times: int) -> list[Row]:
    """All rows of one direction."""
    spent: dict[str, list[float]] = {what: [] for what in ways}
    for _ in range(rounds):
        for what, work in ways.items():
            spent[what].append(clocked(work, times))
    rows = []
    for what, values in spent.items():
        ratios = [slow / own for slow, own in zip(spent["pyasn1"], values, strict=True)]
        found = (statistics.median(values), statistics.median(ratios), min(ratios), max(ratios))
        rows.append(Row(direction, what, *(round(number, 2) for number in found)))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="cost of reading and writing one IKE_SA_INIT")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--times", type=int, default=TIMES, help="messages in each measurement")
    parser.add_argument("--json", type=Path, help="write the results to this file as well")
    chosen = parser.parse_args(arguments)
    header, payloads = founding()
    octets = Asn1Codec().seal(header, payloads, None, 0).octets
    ways = {"decode": decoding(octets), "encode": encoding(header, payloads, octets)}
    rows = [
        row for direction, way in ways.items() for row in measure(direction, way, chosen.rounds, chosen.times)
    ]
    print(f"IKE_SA_INIT of {len(octets)} octets; ratio: times as fast as pyasn1 {version('pyasn1')}")
    print(f"{'direction':10} {'what':8} {'us':>8} {'ratio':>6}  spread")
    for row in rows:
        span = f"[{row.least:.2f} .. {row.most:.2f}]"
        print(f"{row.direction:10} {row.what:8} {row.microseconds:8.1f} {row.ratio:6.2f}  {span}")
    if chosen.json:
        report = {
            "python": platform.python_version(),
            "cryptography": version("cryptography"),
            "pyasn1": version("pyasn1"),
            "octets": len(octets),
            "rows": [asdict(row) for row in rows],
        }
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(row.ratio < GOAL for row in rows if row.what == "codec"))


if __name__ == "__main__":
    sys.exit(main())
