"""The message-ID window of size 1, and what it takes to send and to answer again (RFC 7296 2.1 to 2.3).

What is in it:

    our request      idle -> in flight (stored datagrams, next deadline; fragments of the response) -> idle
    peer's request   expected ID (fragments of it); the last answer (hash of the request, stored datagrams)

Rules:

1. Sending again sends the stored datagrams; nothing is ever sealed twice.
2. A repeated request is recognised by the hash of its octets and answered from the store without being
   opened. Of one that came in fragments the first alone is answered, the others are dropped (RFC 7383 2.6.1).
3. IDs are consumed here and nowhere else; they never wrap.
"""

import hashlib
import hmac
from dataclasses import dataclass, replace

from node.errors import DropReason, LocalMisuse, PeerMisbehaved
from node.ike.fragments import Budget, Reassembly
from node.ike.settings import Retransmission
from node.model.registry import ExchangeType
from node.ports import Entropy

#: RFC 7296 2.2: message IDs have 32 bits; an IKE SA that used them up must be closed.
MAX_MESSAGE_ID = 2**32 - 1


@dataclass(frozen=True, slots=True)
class InFlight:
    """Our request that waits for its response."""

    message_id: int
    exchange: ExchangeType
    datagrams: tuple[bytes, ...]
    sent: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Answered:
    """The last request we answered, by hash, and the answer.

    Of a request in fragments `digest` is that of the first, `others` are those of the rest.
    """

    message_id: int
    digest: bytes
    datagrams: tuple[bytes, ...]
    others: frozenset[bytes] = frozenset()

    @property
    def fragments(self) -> int:
        """In how many datagrams the request came."""
        return 1 + len(self.others)

    def is_for(self, octets: bytes) -> bool:
        """True where these octets are that request."""
        return hmac.compare_digest(self.digest, digest(octets))


class Window:
    """Message IDs of one IKE SA."""

    __slots__ = (
        "_entropy",
        "_policy",
        "answered",
        "expected_id",
        "in_flight",
        "next_id",
        "requests",
        "responses",
    )

    def __init__(self, policy: Retransmission, entropy: Entropy, budget: Budget | None = None) -> None:
        """`budget` is that of the fragments of all IKE SAs of the endpoint."""
        self._policy, self._entropy = policy, entropy
        budget = budget or Budget()
        #: The fragments of the request that we expect, and of the response that we wait for.
        self.requests, self.responses = Reassembly(budget), Reassembly(budget)
        self.next_id = 0
        self.expected_id = 0
        self.in_flight: InFlight | None = None
        self.answered: Answered | None = None

    def take_id(self) -> int:
        """The ID of our next request. Raises LocalMisuse while one is in flight or where IDs are used up."""
        if self.in_flight is not None:
            raise LocalMisuse("a request is in flight and the window is 1")
        if self.next_id > MAX_MESSAGE_ID:
            raise LocalMisuse("the message IDs of this IKE SA are used up")
        return self.next_id

    def sent(self, exchange: ExchangeType, datagrams: tuple[bytes, ...], now: float) -> None:
        """Our request with the ID from `take_id` went out."""
        self.in_flight = InFlight(self.take_id(), exchange, datagrams, 1, now + self._wait(0))
        self.next_id += 1

    def again(self, now: float) -> InFlight | None:
        """The request to send once more now, or None where all tries are used up."""
        current = self.in_flight
        if current is None or current.sent >= self._policy.tries:
            return None
        self.in_flight = replace(current, sent=current.sent + 1, deadline=now + self._wait(current.sent))
        return self.in_flight

    def hurry(self, now: float) -> None:
        """The path is another one: a request in flight is sent again now, and as often as a new one."""
        if self.in_flight is not None:
            self.in_flight = replace(self.in_flight, sent=1, deadline=now)

    def abandon(self) -> None:
        """Stop waiting for the response in flight."""
        self.in_flight = None
        self.responses.clear()

    def retract(self) -> None:
        """Take the request in flight back, to send it in another form under the same ID (RFC 7296 2.6)."""
        if self.in_flight is None:
            raise LocalMisuse("no request is in flight")
        self.next_id = self.in_flight.message_id
        self.in_flight = None

    def expects(self, exchange: ExchangeType, message_id: int) -> None:
        """Check that a response answers the request in flight. Raises PeerMisbehaved (STALE_MESSAGE_ID)."""
        current = self.in_flight
        if current is None or (current.message_id, current.exchange) != (message_id, exchange):
            raise PeerMisbehaved(
                DropReason.STALE_MESSAGE_ID, f"no {exchange} request {message_id} is in flight"
            )

    def repeated(self, message_id: int, octets: bytes) -> tuple[bytes, ...] | None:
        """The stored answer where this is the last request once more; None where it is the next one.

        Raises PeerMisbehaved: STALE_MESSAGE_ID for an older or different request, OUT_OF_WINDOW for one too
        far ahead, FRAGMENT_REPEATED for a fragment of the last one that is not its first.
        """
        if message_id == self.expected_id:
            return None
        if message_id > self.expected_id:
            raise PeerMisbehaved(
                DropReason.OUT_OF_WINDOW, f"request {message_id}, expected {self.expected_id}"
            )
        last = self.answered
        if last is not None and last.message_id == message_id and last.is_for(octets):
            return last.datagrams
        if last is not None and last.message_id == message_id and digest(octets) in last.others:
            raise PeerMisbehaved(
                DropReason.FRAGMENT_REPEATED, f"request {message_id}, answered; only fragment 1 asks again"
            )
        raise PeerMisbehaved(
            DropReason.STALE_MESSAGE_ID, f"request {message_id}, expected {self.expected_id}"
        )

    def answer(self, octets: bytes, datagrams: tuple[bytes, ...]) -> None:
        """The expected request, of which these octets came last, was answered with these datagrams."""
        last = digest(octets)
        came = [kept.digest for kept in self.requests.ordered()] if self.requests.has(last) else [last]
        self.answered = Answered(self.expected_id, came[0], datagrams, frozenset(came[1:]))
        self.expected_id += 1
        self.requests.clear()

    def _wait(self, repetition: int) -> float:
        policy = self._policy
        jitter = 1 + policy.jitter * (int.from_bytes(self._entropy(2)) / 32767.5 - 1)
        return min(policy.cap, policy.timeout * policy.factor**repetition) * jitter


def digest(octets: bytes) -> bytes:
    """What a request is recognised by."""
    return hashlib.sha256(octets).digest()
