"""What an IKE_SA_INIT request of a stranger must pass before it costs anything (RFC 7296 2.6).

     initiator                              gate
    HDR(A,0), SA, KE, Ni             -->              under load, no cookie: nothing is kept or computed
                                     <--    HDR(A,0), N(COOKIE)
    HDR(A,0), N(COOKIE), SA, KE, Ni  -->              the address is proven: goes on to be judged

Rules:

1. Without a valid cookie a request costs a look at its nonce and at most one answer, never larger than it.
2. So our cookies are no weapon for whoever forges addresses, and go out as fast as requests come in: a bound
   that a flood reaches would keep them from honest peers.
"""

from collections.abc import Callable

from node.errors import DropReason, PeerMisbehaved
from node.ike.alarm import Alarm
from node.ike.context import Context
from node.ike.cookies import Cookies
from node.ike.halfopen import HalfOpen
from node.ike.outputs import Transmit
from node.ike.ratelimit import TokenBucket
from node.model.events import EventName
from node.model.message import Envelope, Path
from node.model.payloads import Notify
from node.model.registry import NotifyType

#: Cookies that we send a second, and at once: more than one core can answer.
COOKIES_PER_SECOND, COOKIE_BURST = 5_000.0, 5_000


class Gate:
    """Asks for cookies while there are too many half-open IKE SAs, of all sources or of one.

    `hurry` is called, with the time, when cookies become wanted from everybody.
    """

    __slots__ = ("_alarm", "_bucket", "_context", "_cookies", "_half_open", "_hurry", "_told")

    def __init__(self, context: Context, half_open: HalfOpen, hurry: Callable[[float], None]) -> None:
        limits = context.settings.limits
        self._context, self._half_open, self._hurry = context, half_open, hurry
        self._alarm = Alarm(min(limits.cookie_threshold, limits.half_open))
        self._cookies = Cookies(context.entropy)
        self._bucket = TokenBucket(COOKIES_PER_SECOND, COOKIE_BURST)
        self._told = False

    def proves(self, request: Envelope, path: Path, now: float) -> bool:
        """True where the request shows the address that it came from, False where it needs not.

        Raises PeerMisbehaved where it must and does not (COOKIE_REQUIRED: it was answered with a cookie).
        """
        self.look(now)
        if not self._told and not self._half_open.crowded(path):
            return False
        shown = self._context.codec.glance(request)
        spi_i = request.header.spi_i
        if self._cookies.good(spi_i, shown, path, now):
            return True
        if not shown.nonce:
            raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, "no nonce")
        self._ask(request, self._cookies.make(spi_i, shown.nonce, path, now), path, now)
        found = "a wrong or old cookie" if shown.cookie else "no cookie"
        raise PeerMisbehaved(DropReason.COOKIE_REQUIRED, f"{found}, so it was asked for one")

    def look(self, now: float) -> None:
        """Look at the load, and tell where it comes or goes."""
        wanted = self._alarm.on(len(self._half_open), now)
        if wanted is not self._told:
            self._told = wanted
            name = EventName.COOKIES_REQUIRED if wanted else EventName.COOKIES_LIFTED
            self._context.event(name, half_open=len(self._half_open))
            if wanted:
                self._hurry(now)

    def deadline(self) -> float | None:
        """When to `look` again, or None."""
        return self._alarm.deadline() if self._told else None

    def _ask(self, request: Envelope, cookie: bytes, path: Path, now: float) -> None:
        if self._told:
            self._alarm.put_off(now)
        if not self._bucket.take(now):
            raise PeerMisbehaved(DropReason.RATE_LIMITED, "too many requests without a cookie")
        datagrams = self._context.refusal(request, Notify(NotifyType.COOKIE, cookie))
        if datagrams is None:
            raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, "shorter than an IKE_SA_INIT request can be")
        self._context.emit(Transmit(datagrams, path))
