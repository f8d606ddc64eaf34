"""Which payloads may appear in which message, as data (RFC 7296 1.2 to 1.5 and appendix C).

Every message is checked against its rules before a handler sees it, so handlers may rely on required
payloads. Rules know types and counts only; the order of payloads carries no meaning (RFC 7296 2.5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from node.errors import CriticalPayload, DropReason, PeerMisbehaved
from node.ike.phases import Phase
from node.model.message import Message
from node.model.payloads import Notify, Payload, Unknown
from node.model.registry import ExchangeType, NotifyType, PayloadType

P = TypeVar("P", bound=Payload)

#: Notifications in one message: more than RFC 7296 could ever need, little enough to cost nothing.
MAX_NOTIFY = 32
#: Certificates in one message: deeper hierarchies than RFC 4945 deployments know.
MAX_CERTIFICATES = 10
#: Vendor IDs in one message: daemons announce about a dozen, and none is acted upon.
MAX_VENDOR_IDS = 32
MAX_DELETES = 16
#: Payloads of types we do not know, all together.
MAX_UNKNOWN = 16

_ANY = {
    PayloadType.NOTIFY: (0, MAX_NOTIFY),
    PayloadType.VENDOR_ID: (0, MAX_VENDOR_IDS),
}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One exchange: whether it is protected, the phases in which a request may arrive, and the payload rules.

    A rule is (least, most) for a payload type; types not named must not appear.
    """

    protected: bool
    request_phases: frozenset[Phase]
    request: Mapping[PayloadType, tuple[int, int]]
    response: Mapping[PayloadType, tuple[int, int]]


_INIT_COMMON = {PayloadType.SA: (1, 1), PayloadType.KE: (1, 1), PayloadType.NONCE: (1, 1), **_ANY}
_AUTH_COMMON = {
    PayloadType.CERT: (0, MAX_CERTIFICATES),
    PayloadType.AUTH: (1, 1),
    PayloadType.AUTH_NONCE: (0, 1),
    PayloadType.CP: (0, 1),
    **_ANY,
}
_CHILD = {PayloadType.SA: (1, 1), PayloadType.TSI: (1, 1), PayloadType.TSR: (1, 1)}
_CHILD_OR_NOT = {kind: (0, 1) for kind in _CHILD}
_INFORMATIONAL = {PayloadType.DELETE: (0, MAX_DELETES), PayloadType.CP: (0, 1), **_ANY}

EXCHANGES: dict[ExchangeType, Exchange] = {
    ExchangeType.IKE_SA_INIT: Exchange(
        protected=False,
        request_phases=frozenset(),
        request=_INIT_COMMON,
        response={**_INIT_COMMON, PayloadType.CERTREQ: (0, MAX_CERTIFICATES)},
    ),
    ExchangeType.IKE_AUTH: Exchange(
        protected=True,
        request_phases=frozenset({Phase.INIT_REPLIED}),
        request={
            PayloadType.IDI: (1, 1),
            PayloadType.IDR: (0, 1),
            PayloadType.CERTREQ: (0, MAX_CERTIFICATES),
            **_AUTH_COMMON,
            **_CHILD,
        },
        response={PayloadType.IDR: (1, 1), **_AUTH_COMMON, **_CHILD_OR_NOT},
    ),
    ExchangeType.CREATE_CHILD_SA: Exchange(
        protected=True,
        request_phases=frozenset({Phase.ESTABLISHED, Phase.REKEYED, Phase.DELETING}),
        request={
            PayloadType.SA: (1, 1),
            PayloadType.NONCE: (1, 1),
            PayloadType.KE: (0, 1),
            PayloadType.TSI: (0, 1),
            PayloadType.TSR: (0, 1),
            PayloadType.CP: (0, 1),
            **_ANY,
        },
        response={
            PayloadType.SA: (1, 1),
            PayloadType.NONCE: (1, 1),
            PayloadType.KE: (0, 1),
            PayloadType.TSI: (0, 1),
            PayloadType.TSR: (0, 1),
            **_ANY,
        },
    ),
    ExchangeType.INFORMATIONAL: Exchange(
        protected=True,
        request_phases=frozenset({Phase.ESTABLISHED, Phase.REKEYED, Phase.DELETING}),
        request=_INFORMATIONAL,
        response=_INFORMATIONAL,
    ),
}


def check(message: Message) -> None:
    """Check a message against the rules of its exchange and direction.

    A response that reports an error, or asks for a cookie, carries that notification instead of the required
    payloads. Raises PeerMisbehaved (NOT_PROTECTED, INVALID_PAYLOADS) or CriticalPayload (RFC 7296 2.5).
    """
    exchange = EXCHANGES[message.header.exchange]
    if message.protected != exchange.protected:
        raise PeerMisbehaved(
            DropReason.NOT_PROTECTED, "a payload stands outside the protected part, or inside it"
        )
    _check_unknown(message)
    rules = exchange.response if message.header.is_response else exchange.request
    types = [p.type for p in message.payloads if type(p) is not Unknown]
    refused = message.header.is_response and bool(error_notify(message) or cookies(message))
    for kind in rules.keys() | types:
        least, most = rules.get(kind, (0, 0))
        count = types.count(kind)
        if not (0 if refused else least) <= count <= most:
            detail = f"{count} x {kind}, {least} to {most} allowed"
            raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, detail)


def _check_unknown(message: Message) -> None:
    unknown = [p for p in message.payloads if isinstance(p, Unknown)]
    for payload in unknown:
        # In a response the critical bit is the responder's own contradiction; ignoring is all that is left
        # (2.5).
        if payload.critical and not message.header.is_response:
            raise CriticalPayload(int(payload.type))
    if len(unknown) > MAX_UNKNOWN:
        raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, f"{len(unknown)} unknown payloads")


def error_notify(message: Message) -> Notify | None:
    """The first notification of an error type, if any."""
    for payload in message.payloads:
        if isinstance(payload, Notify) and payload.notify_type.is_error:
            return payload
    return None


def cookies(message: Message) -> tuple[bytes, ...]:
    """The cookies of an IKE_SA_INIT message (RFC 7296 2.6); other exchanges have none."""
    if message.header.exchange != ExchangeType.IKE_SA_INIT:
        return ()
    return tuple(n.data for n in notifies(message, NotifyType.COOKIE))


def every(message: Message, kind: type[P]) -> tuple[P, ...]:
    """All payloads of one class, in order."""
    return tuple(p for p in message.payloads if isinstance(p, kind))


def notifies(message: Message, *kinds: NotifyType) -> tuple[Notify, ...]:
    """All notifications of these types, in order."""
    return tuple(n for n in every(message, Notify) if n.notify_type in kinds)


def first(message: Message, kind: PayloadType) -> Payload | None:
    """The first payload of a type, or None."""
    return next((p for p in message.payloads if p.type == kind), None)


def required(message: Message, kind: type[P], number: PayloadType | None = None) -> P:
    """The payload of a class (and type, where a class serves two).

    Raises PeerMisbehaved where it is absent.
    """
    for payload in message.payloads:
        if isinstance(payload, kind) and number in (None, payload.type):
            return cast(P, payload)
    raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, f"no {number or kind.__name__} payload")


def body_of(message: Message, payload: Payload) -> bytes:
    """The raw body octets of a payload as the peer sent them."""
    return next(b for p, b in zip(message.payloads, message.bodies, strict=True) if p is payload)


def names(payloads: tuple[Payload, ...]) -> list[str]:
    """The payloads in the short notation of RFC 7296 1.2, for events: `["SA", "KE", "N(COOKIE)"]`."""
    return [f"N({p.notify_type})" if isinstance(p, Notify) else str(p.type) for p in payloads]


def is_fatal(notify: Notify) -> bool:
    """True for errors of an IKE_AUTH response that refuse more than the Child SA (RFC 7296 1.2)."""
    return notify.notify_type not in _CHILD_ERRORS


def ends_ike_sa(notify: Notify) -> bool:
    """True for errors in INFORMATIONAL after which the peer holds no IKE SA any more (2.21.2, 2.21.3)."""
    return notify.notify_type in (NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX)


_CHILD_ERRORS = frozenset(
    {
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.TS_UNACCEPTABLE,
        NotifyType.SINGLE_PAIR_REQUIRED,
        NotifyType.INTERNAL_ADDRESS_FAILURE,
        NotifyType.FAILED_CP_REQUIRED,
        NotifyType.NO_ADDITIONAL_SAS,
    }
)
