"""IKE_SA_INIT: algorithms, key exchange, nonces (RFC 7296 1.2).

     initiator                          responder
    [N(COOKIE),] SA, KE, Ni   -->
                              <--      SA, KE, Nr [, CERTREQ]

The responder may ask for a cookie, or for a key share of another group (2.6, 2.6.1): the initiator then sends
the same request with that change, a few times at most.

Nothing here is authenticated yet: whatever is wrong with a response is dropped and the request stays in
flight. The responder keeps its key pair until the first protected message arrives and derives the keys then,
once.
"""

from dataclasses import dataclass, replace

from node.crypto import kex
from node.crypto.keymat import derive_ike_keys
from node.errors import DropReason, IkeError, Incompatibility, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges, extensions, moves
from node.ike.cookies import MAX_COOKIE, MIN_COOKIE
from node.ike.outputs import KeysDerived
from node.ike.phases import AuthSent, InitReplied, InitSent, Protection
from node.ike.sa import IkeSa
from node.ike.settings import Settings
from node.ike.tasks import auth, shares
from node.ike.transcript import Transcript
from node.model.events import EventName
from node.model.message import NO_SPI, Envelope, Message
from node.model.payloads import KeyExchange, Nonce, Notify, Payload, SecurityAssociation
from node.model.proposal import Choice, Proposal, Suite, accept, offer, select
from node.model.registry import ExchangeType, KeId, NotifyType
from node.model.secret import Secret

#: How often a request is sent in another form: cookie and group in both orders need three, and each forged
#: answer costs one.
MAX_RETRIES = 5


@dataclass(frozen=True, slots=True)
class Offer:
    """A responder's view of an acceptable IKE_SA_INIT request."""

    message: Message
    choice: Choice
    peer_public: bytes
    nonce_i: bytes

    @property
    def suite(self) -> Suite:
        """The chosen suite."""
        return self.choice.suite


def initiate(sa: IkeSa, now: float) -> None:
    """Send IKE_SA_INIT, with a key share for the suite we like best."""
    context = sa.context
    pair = context.key_pairs.take(shares.group_of(context.settings.ike_suites[0]))
    _send(sa, InitSent(pair, context.entropy(shares.NONCE_SIZE)), now)


def _send(sa: IkeSa, attempt: InitSent, now: float) -> None:
    cookie = (Notify(NotifyType.COOKIE, attempt.cookie),) if attempt.cookie else ()
    payloads = (
        *cookie,
        SecurityAssociation(offer(sa.context.settings.ike_suites)),
        KeyExchange(attempt.key_pair.group, attempt.key_pair.public),
        Nonce(attempt.nonce_i),
        *extensions.announce(sa.context.settings, sa.spi_i, NO_SPI, sa.path),
    )
    request = sa.send_request(ExchangeType.IKE_SA_INIT, payloads, now)
    sa.enter(replace(attempt, request=request))


def judge_request(message: Message, settings: Settings) -> Offer:
    """Choose a suite and check the key share and the nonce, without keeping anything.

    Raises PeerIncompatible (PROPOSAL, KEY_EXCHANGE with the wanted group) or PeerMisbehaved (BAD_KE,
    BAD_NONCE, BAD_COOKIE).
    """
    exchanges.check(message)
    _check_cookies(exchanges.cookies(message))
    choice = select(exchanges.required(message, SecurityAssociation).proposals, settings.ike_suites)
    if choice is None or choice.spi:
        raise PeerIncompatible(Incompatibility.PROPOSAL, "none of the peer's IKE proposals is acceptable")
    share = exchanges.required(message, KeyExchange)
    wanted = shares.group_of(choice.suite)
    if share.group != wanted:
        detail = f"the key share is for {share.group}, the chosen suite needs {wanted}"
        raise PeerIncompatible(Incompatibility.KEY_EXCHANGE, detail, int(wanted).to_bytes(2))
    kex.check_public(share.group, share.data)
    return Offer(message, choice, share.data, shares.nonce_of(message))


def answer(sa: IkeSa, request: Envelope, accepted: Offer, pair: kex.KeyPair, nonce_r: bytes) -> None:
    """Answer with our choice, key share and nonce.

    The SA was made for this request and is half-open from now on.
    """
    _tell_choice(sa, accepted.suite)
    sa.learn(extensions.announced(accepted.message, sa.context.settings, sa.path))
    suite = accepted.suite
    chosen = Proposal(accepted.choice.number, suite.protocol, b"", suite.transforms)
    payloads: tuple[Payload, ...] = (
        SecurityAssociation((chosen,)),
        KeyExchange(pair.group, pair.public),
        Nonce(nonce_r),
        *extensions.announce(sa.context.settings, sa.spi_i, sa.spi_r, sa.path),
        *auth.request_certificates(sa.context.verifier),
    )
    response = sa.respond(request, payloads, sa.path)
    if isinstance(sa.data, InitReplied):
        sa.enter(replace(sa.data, transcript=replace(sa.data.transcript, response=response)))


def complete(sa: IkeSa, sent: InitSent, envelope: Envelope, now: float) -> None:
    """Take the responder's answer: derive the keys and go on to IKE_AUTH.

    Raises IkeError where it is to be dropped.
    """
    message = sa.context.codec.read(envelope)
    exchanges.check(message)
    if cookies := exchanges.cookies(message):
        _show_cookie(sa, sent, message, cookies, now)
        return
    refusal = exchanges.error_notify(message)
    if refusal is not None:
        _take_refusal(sa, sent, message, refusal, now)
        return
    suite, share = _judge_response(message, sent, sa.context.settings)
    nonce_r = shares.nonce_of(message)
    _refuse_reflection(message, sent, share, nonce_r)
    shared = sent.key_pair.shared(share)
    sa.answer_accepted(message.header.message_id)
    sa.received(message)
    sa.spi_r = message.header.spi_r
    _tell_choice(sa, suite)
    sa.learn(extensions.announced(message, sa.context.settings, sa.path))
    moves.leave_ike_port(sa)
    transcript = Transcript(sent.request, envelope.octets, sent.nonce_i, nonce_r)
    protection = protect(sa, suite, shared, transcript)
    spi = sa.context.child_spi()
    nonce = sa.context.entropy(auth.AUTH_NONCE_SIZE) if sa.context.settings.authentication_nonce else b""
    sa.enter(AuthSent(suite, transcript, protection, nonce, spi))
    auth.initiate(sa, now)


def _check_cookies(cookies: tuple[bytes, ...]) -> None:
    """Raises PeerMisbehaved where there are several, or one of a size that RFC 7296 2.6 does not have."""
    if len(cookies) > 1 or not all(MIN_COOKIE <= len(cookie) <= MAX_COOKIE for cookie in cookies):
        sizes = ", ".join(str(len(cookie)) for cookie in cookies)
        raise PeerMisbehaved(DropReason.BAD_COOKIE, f"not one cookie of 1 to 64 octets, but of {sizes}")


def _show_cookie(sa: IkeSa, sent: InitSent, message: Message, cookies: tuple[bytes, ...], now: float) -> None:
    """Send the request once more, the cookie first. Raises PeerMisbehaved where that makes no sense."""
    _check_cookies(cookies)
    cookie = cookies[0]
    if cookie == sent.cookie:
        raise PeerMisbehaved(DropReason.STALE_MESSAGE_ID, "asks for the cookie that the request shows")
    if sent.retries >= MAX_RETRIES:
        raise PeerMisbehaved(DropReason.RATE_LIMITED, f"one more cookie after {sent.retries} retries")
    sa.received(message)
    _retry(sa, replace(sent, cookie=cookie), NotifyType.COOKIE, now)


def _take_refusal(sa: IkeSa, sent: InitSent, message: Message, refusal: Notify, now: float) -> None:
    """Try another group of ours where the responder wants it; else give up soon (it may be forged).

    Raises PeerMisbehaved where it is about a request that we have replaced.
    """
    wanted = _wanted_group(sa, refusal)
    if wanted == sent.key_pair.group and sent.retries:
        raise PeerMisbehaved(DropReason.STALE_MESSAGE_ID, f"asks for {wanted}, which the request has")
    sa.received(message)
    fields = {"notify": str(refusal.notify_type), "protected": False}
    sa.event(EventName.NOTIFY_RECEIVED, **fields)
    if wanted in (None, sent.key_pair.group) or sent.retries >= MAX_RETRIES:
        sa.refuse_later(f"refused with {refusal.notify_type}", now)
        return
    _retry(sa, replace(sent, key_pair=sa.context.key_pairs.take(wanted)), refusal.notify_type, now)


def _wanted_group(sa: IkeSa, refusal: Notify) -> KeId | None:
    """The group that the refusal names, if it is one that we proposed."""
    wanted = shares.named_group(refusal)
    return wanted if wanted in {shares.group_of(suite) for suite in sa.context.settings.ike_suites} else None


def _retry(sa: IkeSa, attempt: InitSent, notify: NotifyType, now: float) -> None:
    """Send the request in another form: same SPI, nonce, proposals and message ID (RFC 7296 2.6.1)."""
    sa.retract_request()
    group, n = str(attempt.key_pair.group), attempt.retries + 1
    sa.event(EventName.IKE_SA_INIT_RETRIED, notify=str(notify), group=group, n=n)
    _send(sa, replace(attempt, retries=n), now)


def derive_for_responder(sa: IkeSa, data: InitReplied) -> None:
    """Derive the keys of a half-open SA, whose SA closes where the key share turns out to be bad."""
    try:
        shared = data.key_pair.shared(data.peer_public)
    except IkeError as error:
        sa.close(str(error))
        raise
    sa.enter(replace(data, protection=protect(sa, data.suite, shared, data.transcript)))


def protect(sa: IkeSa, suite: Suite, shared: Secret, transcript: Transcript) -> Protection:
    """The keys of the IKE SA (RFC 7296 2.14) and the sealers of both directions."""
    keys = derive_ike_keys(suite, shared, transcript.nonce_i, transcript.nonce_r, sa.spi_i, sa.spi_r)
    sa.event(EventName.SHARED_SECRET_DERIVED, group=str(suite.ke), octets=len(shared))
    if sa.context.settings.reveal_keys:
        sa.context.emit(KeysDerived(sa.spi_i, sa.spi_r, suite, keys))
    return shares.protection_of(suite, keys, sa.is_initiator, sa.context.entropy)


def _judge_response(message: Message, sent: InitSent, settings: Settings) -> tuple[Suite, bytes]:
    choice = accept(exchanges.required(message, SecurityAssociation).proposals, settings.ike_suites)
    if choice is None or choice.spi:
        raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, "the answer does not choose one of our proposals")
    share = exchanges.required(message, KeyExchange)
    if not share.group == sent.key_pair.group == choice.suite.ke:
        raise PeerMisbehaved(DropReason.BAD_KE, f"the key share is for {share.group}")
    if message.header.spi_r == NO_SPI:
        raise PeerMisbehaved(DropReason.BAD_SPI, "the responder's SPI is zero")
    kex.check_public(share.group, share.data)
    return choice.suite, share.data


def _refuse_reflection(message: Message, sent: InitSent, share: bytes, nonce_r: bytes) -> None:
    own = message.header.spi_r == message.header.spi_i
    if own or nonce_r == sent.nonce_i or share == sent.key_pair.public:
        raise PeerMisbehaved(DropReason.REFLECTED, "the answer repeats our own SPI, nonce or key share")


def _tell_choice(sa: IkeSa, suite: Suite) -> None:
    sa.event(EventName.PROPOSAL_CHOSEN, protocol="IKE", suite=str(suite))
