"""How long an authentication counts, and when it is repeated (RFC 7296 2.8.3, RFC 4478).

    responder  -->  initiator    N(AUTH_LIFETIME: seconds), in the IKE_AUTH response or a request of its own

Rules:

1. Who opened the IKE SA repeats the authentication; the other one can only ask for it, and end what is too
   old. Rekeying changes nothing of that: it proves nothing about who the peer is.
2. What the responder asks for is obeyed in time, with a margin. A larger time than our own setting changes
   nothing.
3. Whatever a peer asks for, an IKE SA lasts for `LEAST` seconds: a hostile one gets a handshake in so many.
"""

from dataclasses import dataclass, replace

from node.ike import exchanges
from node.ike.children import times
from node.ike.settings import Settings
from node.model.message import Message
from node.model.payloads import Notify
from node.model.registry import ExchangeType, NotifyType
from node.ports import Entropy

#: Octets of the seconds in AUTH_LIFETIME (RFC 4478 3), and the most that they can say.
LIFETIME_SIZE = 4
MAX_LIFETIME = 2**32 - 1
#: Seconds from one authentication to the next that a peer can bring about.
LEAST = 5.0
#: How much earlier than the responder asks for we begin, as a share of its time, and in seconds: enough for
#: a few repetitions of each request, and for many minutes of silence where there is time.
MARGIN, LEAST_MARGIN, MOST_MARGIN = 0.2, 2.0, 300.0
#: Seconds before it is tried again, where it failed.
RETRY = 30.0


@dataclass(frozen=True, slots=True)
class AuthLife:
    """The times of one authentication, in monotonic seconds; None: never.

    `ours`: we opened the IKE SA, so it is up to us. `again_at` by our own setting, `wanted_at` by the peer's.
    """

    ours: bool = False
    since: float = 0.0
    again_at: float | None = None
    wanted_at: float | None = None
    expires_at: float | None = None

    def due_at(self) -> float | None:
        """When it is to be repeated, or None."""
        return min((time for time in (self.again_at, self.wanted_at) if time is not None), default=None)

    def deadline(self) -> float | None:
        """When something is to be done about it, or None."""
        return min((time for time in (self.due_at(), self.expires_at) if time is not None), default=None)

    def begun(self) -> "AuthLife":
        """It is being repeated."""
        return replace(self, again_at=None, wanted_at=None)

    def failed(self, now: float) -> "AuthLife":
        """That came to nothing."""
        return replace(self, again_at=now + RETRY, wanted_at=None)


def authenticated(settings: Settings, now: float, entropy: Entropy, *, ours: bool) -> AuthLife:
    """The times of an authentication that is made now."""
    if not ours:
        end = now + settings.auth_lifetime if settings.auth_lifetime else None
        return AuthLife(since=now, expires_at=end)
    own = times(settings.reauth, now, entropy)
    return AuthLife(True, now, own.rekey_at, None, own.expires_at)


def announce(settings: Settings) -> tuple[Notify, ...]:
    """What a responder says in IKE_AUTH; nothing where an authentication counts for ever."""
    seconds = settings.auth_lifetime
    return (Notify(NotifyType.AUTH_LIFETIME, seconds.to_bytes(LIFETIME_SIZE)),) if seconds else ()


def obey(life: AuthLife, message: Message, now: float) -> AuthLife:
    """The times after an authenticated message of the peer; the last one of several in it counts.

    What is not four octets, or comes from whom we did not ask, is as if it had not been said.
    """
    where = ExchangeType.IKE_AUTH if message.header.is_response else ExchangeType.INFORMATIONAL
    if not life.ours or message.header.exchange != where:
        return life
    for notify in exchanges.every(message, Notify):
        if notify.notify_type == NotifyType.AUTH_LIFETIME and len(notify.data) == LIFETIME_SIZE:
            seconds = int.from_bytes(notify.data)
            margin = min(max(MARGIN * seconds, LEAST_MARGIN), MOST_MARGIN)
            life = replace(life, wanted_at=max(now + seconds - margin, life.since + LEAST))
    return life
