"""Datagrams of every kind, and a world of virtual time for the engine."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from lab.wire.engine import Engine, Way
from lab.wire.faults import read_all
from lab.wire.identity import HEADER
from lab.wire.profiles import PROFILES
from node.model.message import HeaderFlags
from node.model.registry import ExchangeType
from tests.codec.samples import AUTH, CLEARTEXT, FOUNDING, IKE_AUTH, INIT, PAYLOADS, sealed, sealer_of

ASN1 = PROFILES["asn1"]
NAMES = frozenset({"responder", "alice", "bob"})

INIT_REQUEST = sealed(INIT, FOUNDING)
INIT_RESPONSE = sealed(replace(INIT, spi_r=AUTH.spi_r, flags=int(HeaderFlags.RESPONSE)), FOUNDING)
AUTH_REQUEST = sealed(AUTH, IKE_AUTH, sealer_of("AES-CBC with HMAC"))
AUTH_RESPONSE = sealed(
    replace(AUTH, flags=int(HeaderFlags.RESPONSE)), IKE_AUTH, sealer_of("AES-CBC with HMAC")
)
INFORMATIONAL = sealed(
    replace(AUTH, exchange=ExchangeType.INFORMATIONAL, message_id=2), (), sealer_of("AES-GCM")
)
WITH_NOTIFY = sealed(INIT, CLEARTEXT["IKE_SA_INIT with notifications"])
GCM_OFFER = sealed(INIT, (PAYLOADS["SA with AES-GCM, no INTEG"][0], *FOUNDING[1:]))
ANOTHER_ORDER = sealed(INIT, CLEARTEXT["IKE_SA_INIT in another order"])
KEEPALIVE = b"\xff"


def esp(sequence: int, spi: int = 0xC1A2B3C4, size: int = 40) -> bytes:
    """An ESP packet."""
    return spi.to_bytes(4) + sequence.to_bytes(4) + bytes(size)


def binary(exchange: int, flags: int, message_id: int, body: bytes = b"", following: int = 0) -> bytes:
    """A message of RFC 7296."""
    return (
        HEADER.pack(
            0xA1A2A3A4A5A6A7A8, 7, following, 0x20, exchange, flags, message_id, HEADER.size + len(body)
        )
        + body
    )


TO_TARGET = Way(1, True, 8000, "alice", "responder")
TO_ALICE = TO_TARGET.back()
FROM_BOB = Way(2, True, 8000, "bob", "responder")


@dataclass
class _Timer:
    action: Callable[[], None] | None

    def cancel(self) -> None:
        self.action = None


@dataclass(frozen=True)
class Sent:
    """What left, and when."""

    moment: float
    way: Way
    octets: bytes = field(repr=False)


class World:
    """The outside of an engine: a clock that is moved by hand, and everything that was asked for."""

    def __init__(self, *faults: dict[str, object], seed: int = 1, profile: str = "asn1") -> None:
        self.time = 0.0
        self._timers: list[tuple[float, int, _Timer]] = []
        self._number = count()
        self.sent: list[Sent] = []
        self.spoofed: list[tuple[float, int, bytes]] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.comments: list[str] = []
        self.rebound: list[Way] = []
        self.flood_lacks = ""
        self.engine = Engine(PROFILES[profile], seed, read_all(faults, NAMES), self)

    def now(self) -> float:
        return self.time

    def later(self, seconds: float, action: Callable[[], None]) -> _Timer:
        timer = _Timer(action)
        heapq.heappush(self._timers, (self.time + seconds, next(self._number), timer))
        return timer

    def send(self, way: Way, octets: bytes) -> None:
        self.sent.append(Sent(self.time, way, octets))

    def record(self, way: Way, octets: bytes, comment: str) -> int:
        self.comments.append(comment)
        return len(self.comments)

    def rebind(self, way: Way) -> str:
        self.rebound.append(way)
        return "to another port"

    def spoof(self, port: int, octets: bytes, comment: str) -> None:
        self.spoofed.append((self.time, port, octets))
        self.comments.append(comment)

    def why_no_flood(self) -> str:
        return self.flood_lacks

    def answers(self) -> int | None:
        return len(self.spoofed)

    def tell(self, event: str, /, **fields: object) -> None:
        self.events.append((event, fields))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.time + seconds
        while self._timers and self._timers[0][0] <= end:
            self.time, _, timer = heapq.heappop(self._timers)
            if timer.action is not None:
                timer.action()
        self.time = end

    def arrive(self, *datagrams: bytes, way: Way = TO_TARGET) -> None:
        """Let datagrams come, at this moment."""
        for octets in datagrams:
            self.engine.arrive(way, octets)

    def octets(self) -> list[bytes]:
        """What was sent, in order."""
        return [sent.octets for sent in self.sent]

    def told(self, name: str) -> list[dict[str, object]]:
        """The events of a name."""
        return [fields for event, fields in self.events if event == name]

    def acts(self) -> list[tuple[object, object]]:
        """Act and datagram of every wire_fault."""
        return [(fields["act"], fields["datagram"]) for fields in self.told("wire_fault")]


def sequences(datagrams: Sequence[bytes]) -> list[int]:
    """The sequence numbers of ESP packets."""
    return [int.from_bytes(octets[4:8]) for octets in datagrams]
