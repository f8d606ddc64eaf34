"""The message-ID windows of both directions, and what it takes to send and to answer again (RFC 7296 2.1 to
2.3).

What is in them, by message ID:

    our requests      in flight (stored datagrams, next deadline; fragments of the response), until answered
    peer's requests   fragments of those that we expect; the last answers (hash of the request, datagrams)

      answered, kept       expected_id
    ... [ 4 ] [ 5 ] [ 6 ]   7   [ 8 ]   9   ...        we accept 3: 7 and 9 may come, 8 is answered already

Rules:

1. Sending again sends the stored datagrams; nothing is ever sealed twice.
2. A repeated request is recognised by the hash of its octets and answered from the store without being
   opened. Of one that came in fragments the first alone is answered, the others are dropped (RFC 7383 2.6.1).
3. IDs are consumed here and nowhere else; they never wrap.
4. Both windows begin with 1. We accept more once we have said so, and send more once the peer has, as many as
   both agree to; neither ever shrinks (RFC 7296 2.3).
5. As many answers are kept as we accept requests: whoever sends ID n has the answer to n - size.
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
#: The last ID is kept for the request that deletes the IKE SA. So many before it a new one is asked for.
RESERVE = 1024
#: The largest window that can be configured: an answer is kept for each request.
MAX_WINDOW = 16


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
    """A request that we answered, by hash, and the answer.

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
        "_budget",
        "_entropy",
        "_policy",
        "_size",
        "accepts",
        "answered",
        "answers",
        "expected_id",
        "in_flight",
        "next_id",
        "requests",
        "responses",
        "sends",
    )

    def __init__(
        self, policy: Retransmission, entropy: Entropy, budget: Budget | None = None, size: int = 1
    ) -> None:
        """`budget` is that of the fragments of all IKE SAs of the endpoint; `size` is what we would like."""
        self._policy, self._entropy = policy, entropy
        self._budget, self._size = budget or Budget(), size
        #: The fragments of requests that we expect, and of responses that we wait for.
        self.requests: dict[int, Reassembly] = {}
        self.responses: dict[int, Reassembly] = {}
        self.next_id = 0
        #: The lowest ID that the peer has not used.
        self.expected_id = 0
        #: How many requests of the peer's may come in any order, and how many of ours may be under way.
        self.accepts = self.sends = 1
        self.in_flight: dict[int, InFlight] = {}
        self.answers: dict[int, Answered] = {}
        #: The answer that was given last.
        self.answered: Answered | None = None

    # -- how large they are ----------------------------------------------------------------------------------

    @property
    def untold(self) -> int:
        """The size of window that the peer is to be told of; 0 where it knows, or there is nothing to say."""
        return self._size if self._size > self.accepts else 0

    def told(self) -> None:
        """The peer is told: from now on we accept as many."""
        self.accepts = max(self.accepts, self._size)

    def grant(self, size: int) -> None:
        """The peer accepts so many requests at once."""
        self.sends = max(self.sends, min(size, self._size))

    # -- our requests ----------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether one more request may be sent now."""
        return not self.in_flight or self.next_id - min(self.in_flight) < self.sends

    @property
    def scarce(self) -> bool:
        """The IDs of one end come to an end: it is time for a new IKE SA."""
        return max(self.next_id, self.expected_id) >= MAX_MESSAGE_ID - RESERVE

    @property
    def used_up(self) -> bool:
        """One end has no ID left, but for us to delete the IKE SA."""
        return self.next_id >= MAX_MESSAGE_ID or self.expected_id > MAX_MESSAGE_ID

    def take_id(self) -> int:
        """The ID of our next request. Raises LocalMisuse where the window is full or IDs are used up."""
        if not self.open:
            raise LocalMisuse(f"{len(self.in_flight)} requests are in flight and the window is {self.sends}")
        if self.next_id > MAX_MESSAGE_ID:
            raise LocalMisuse("the message IDs of this IKE SA are used up")
        return self.next_id

    def sent(self, exchange: ExchangeType, datagrams: tuple[bytes, ...], now: float) -> None:
        """Our request with the ID from `take_id` went out."""
        number = self.take_id()
        self.in_flight[number] = InFlight(number, exchange, datagrams, 1, now + self._wait(0))
        self.next_id += 1

    def deadline(self) -> float | None:
        """When a request is to be sent again, or None."""
        return min((request.deadline for request in self.in_flight.values()), default=None)

    def due(self, now: float) -> tuple[int, ...]:
        """The IDs of requests that are to be sent again, the oldest first."""
        return tuple(number for number, request in self.in_flight.items() if request.deadline <= now)

    def again(self, message_id: int, now: float) -> InFlight | None:
        """This request, to be sent once more now; None where all tries are used up."""
        current = self.in_flight[message_id]
        if current.sent >= self._policy.tries:
            return None
        again = replace(current, sent=current.sent + 1, deadline=now + self._wait(current.sent))
        self.in_flight[message_id] = again
        return again

    def done(self, message_id: int) -> None:
        """The response to this request is here."""
        del self.in_flight[message_id]
        _clear(self.responses, message_id)

    def hurry(self, now: float) -> None:
        """The path is another one: requests in flight are sent again now, and as often as new ones."""
        for message_id, request in self.in_flight.items():
            self.in_flight[message_id] = replace(request, sent=1, deadline=now)

    def abandon(self) -> None:
        """Stop waiting for any response."""
        self.in_flight.clear()
        for message_id in tuple(self.responses):
            _clear(self.responses, message_id)

    def retract(self) -> None:
        """Take the only request in flight back, to send it in another form under its ID (RFC 7296 2.6)."""
        if not self.in_flight:
            raise LocalMisuse("no request is in flight")
        (self.next_id,) = self.in_flight
        self.in_flight.clear()

    def expects(self, exchange: ExchangeType, message_id: int) -> None:
        """Check that a response answers a request in flight. Raises PeerMisbehaved (STALE_MESSAGE_ID)."""
        current = self.in_flight.get(message_id)
        if current is None or current.exchange != exchange:
            raise PeerMisbehaved(
                DropReason.STALE_MESSAGE_ID, f"no {exchange} request {message_id} is in flight"
            )

    # -- the peer's requests ---------------------------------------------------------------------------------

    def repeated(self, message_id: int, octets: bytes) -> tuple[bytes, ...] | None:
        """The stored answer where this is a request once more; None where it is one that we expect.

        Raises PeerMisbehaved: STALE_MESSAGE_ID for an older or different request, OUT_OF_WINDOW for one too
        far ahead, FRAGMENT_REPEATED for a fragment of an answered one that is not its first.
        """
        if message_id >= self.expected_id + self.accepts:
            raise PeerMisbehaved(
                DropReason.OUT_OF_WINDOW,
                f"request {message_id}, expected {self.expected_id}, window {self.accepts}",
            )
        known = self.answers.get(message_id)
        if known is None and message_id >= self.expected_id:
            return None
        if known is not None and known.is_for(octets):
            return known.datagrams
        if known is not None and digest(octets) in known.others:
            raise PeerMisbehaved(
                DropReason.FRAGMENT_REPEATED, f"request {message_id}, answered; only fragment 1 asks again"
            )
        raise PeerMisbehaved(
            DropReason.STALE_MESSAGE_ID, f"request {message_id}, expected {self.expected_id}"
        )

    def answer(self, message_id: int, octets: bytes, datagrams: tuple[bytes, ...]) -> None:
        """A request that we expected, of which these octets came last, was answered with these datagrams."""
        last, collected = digest(octets), self.requests.get(message_id)
        came = [last]
        if collected is not None and collected.has(last):
            came = [kept.digest for kept in collected.ordered()]
        self.answered = Answered(message_id, came[0], datagrams, frozenset(came[1:]))
        self.answers[message_id] = self.answered
        while self.expected_id in self.answers:
            self.expected_id += 1
        oldest = max(self.answers) - self.accepts
        for old in [number for number in self.answers if number <= oldest]:
            del self.answers[old]
        _clear(self.requests, message_id)

    # -- fragments -------------------------------------------------------------------------------------------

    def collected(self, message_id: int, *, response: bool) -> Reassembly | None:
        """What is there of a message in fragments, or None."""
        return (self.responses if response else self.requests).get(message_id)

    def collect(self, message_id: int, *, response: bool) -> Reassembly:
        """Where the fragments of a message go, of an ID that was checked against the window."""
        messages = self.responses if response else self.requests
        return messages.setdefault(message_id, Reassembly(self._budget))

    def forget_requests(self) -> None:
        """Give up what is there of requests."""
        for message_id in tuple(self.requests):
            _clear(self.requests, message_id)

    def fragments_deadline(self) -> float | None:
        """When fragments of a request are given up next, or None."""
        deadlines = (collected.deadline for collected in self.requests.values())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def give_up_fragments(self, now: float) -> tuple[str, ...]:
        """Give up requests of which fragments are missing for too long; returns what there was, in words."""
        late = [i for i, c in self.requests.items() if c.deadline is not None and c.deadline <= now]
        progress = tuple(self.requests[message_id].progress() for message_id in late)
        for message_id in late:
            _clear(self.requests, message_id)
        return progress

    def _wait(self, repetition: int) -> float:
        policy = self._policy
        jitter = 1 + policy.jitter * (int.from_bytes(self._entropy(2)) / 32767.5 - 1)
        return min(policy.cap, policy.timeout * policy.factor**repetition) * jitter


def _clear(messages: dict[int, Reassembly], message_id: int) -> None:
    collected = messages.pop(message_id, None)
    if collected is not None:
        collected.clear()


def digest(octets: bytes) -> bytes:
    """What a request is recognised by."""
    return hashlib.sha256(octets).digest()
