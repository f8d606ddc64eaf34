"""IKE_SA_INIT: algorithms, key exchange, nonces (RFC 7296 1.2).

     initiator                          responder
    SA, KE, Ni            -->
                          <--          SA, KE, Nr

Nothing here is authenticated yet: whatever is wrong with a response is dropped and the request stays in
flight. The responder keeps its key pair until the first protected message arrives and derives the keys then,
once.
"""

from dataclasses import dataclass, replace

from node.crypto import aead, kex
from node.crypto.keymat import IkeKeys, derive_ike_keys
from node.errors import DropReason, IkeError, Incompatibility, LocalMisuse, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges
from node.ike.phases import AuthSent, InitReplied, InitSent, Protection
from node.ike.sa import IkeSa
from node.ike.settings import Settings
from node.ike.tasks import auth
from node.ike.transcript import Transcript
from node.model.child import DirectionKeys
from node.model.events import EventName
from node.model.message import NO_SPI, Envelope, Message
from node.model.payloads import KeyExchange, Nonce, Payload, SecurityAssociation
from node.model.proposal import Choice, Suite, accept, offer, select
from node.model.registry import ExchangeType, KeId
from node.model.secret import Secret
from node.ports import Entropy

#: Octets of our nonces: at least half the key size of every PRF we offer (RFC 7296 2.10).
NONCE_SIZE = 32
NONCE_MIN, NONCE_MAX = 16, 256


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
    suites = context.settings.ike_suites
    pair = context.key_pairs.take(group_of(suites[0]))
    nonce = context.entropy(NONCE_SIZE)
    payloads = (SecurityAssociation(offer(suites)), KeyExchange(pair.group, pair.public), Nonce(nonce))
    request = sa.send_request(ExchangeType.IKE_SA_INIT, payloads, now)
    sa.enter(InitSent(pair, nonce, request))


def judge_request(message: Message, settings: Settings) -> Offer:
    """Choose a suite and check the key share and the nonce, without keeping anything.

    Raises PeerIncompatible (PROPOSAL, KEY_EXCHANGE with the wanted group) or PeerMisbehaved (BAD_KE,
    BAD_NONCE).
    """
    exchanges.check(message)
    choice = select(exchanges.required(message, SecurityAssociation).proposals, settings.ike_suites)
    if choice is None or choice.spi:
        raise PeerIncompatible(Incompatibility.PROPOSAL, "none of the peer's IKE proposals is acceptable")
    share = exchanges.required(message, KeyExchange)
    wanted = group_of(choice.suite)
    if share.group != wanted:
        detail = f"the key share is for {share.group}, the chosen suite needs {wanted}"
        raise PeerIncompatible(Incompatibility.KEY_EXCHANGE, detail, int(wanted).to_bytes(2))
    kex.check_public(share.group, share.data)
    return Offer(message, choice, share.data, nonce_of(message))


def answer(sa: IkeSa, request: Envelope, accepted: Offer, pair: kex.KeyPair, nonce_r: bytes) -> None:
    """Answer with our choice, key share and nonce.

    The SA was made for this request and is half-open from now on.
    """
    _tell_choice(sa, accepted.suite)
    (proposal,) = offer((accepted.suite,))
    payloads: tuple[Payload, ...] = (
        SecurityAssociation((replace(proposal, number=accepted.choice.number),)),
        KeyExchange(pair.group, pair.public),
        Nonce(nonce_r),
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
    refusal = exchanges.error_notify(message)
    if refusal is not None:
        sa.received(message)
        fields = {"notify": str(refusal.notify_type), "protected": False}
        sa.event(EventName.NOTIFY_RECEIVED, **fields)
        sa.refuse_later(f"refused with {refusal.notify_type}", now)
        return
    suite, share = _judge_response(message, sent, sa.context.settings)
    nonce_r = nonce_of(message)
    _refuse_reflection(message, sent, share, nonce_r)
    shared = sent.key_pair.shared(share)
    sa.answer_accepted()
    sa.received(message)
    sa.spi_r = message.header.spi_r
    _tell_choice(sa, suite)
    transcript = Transcript(sent.request, envelope.octets, sent.nonce_i, nonce_r)
    protection = protect(sa, suite, shared, transcript)
    spi = sa.context.child_spi()
    nonce = sa.context.entropy(auth.AUTH_NONCE_SIZE) if sa.context.settings.authentication_nonce else b""
    sa.enter(AuthSent(suite, transcript, protection, nonce, spi))
    auth.initiate(sa, now)


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
    return _sealers(suite, keys, sa.is_initiator, sa.context.entropy)


def _sealers(suite: Suite, keys: IkeKeys, is_initiator: bool, entropy: Entropy) -> Protection:
    of_initiator = aead.sealer(suite.encr, suite.integ, DirectionKeys(keys.sk_ei, keys.sk_ai), entropy)
    of_responder = aead.sealer(suite.encr, suite.integ, DirectionKeys(keys.sk_er, keys.sk_ar), entropy)
    inbound, outbound = (of_responder, of_initiator) if is_initiator else (of_initiator, of_responder)
    return Protection(keys, inbound, outbound)


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


def nonce_of(message: Message) -> bytes:
    """The nonce of an IKE_SA_INIT message.

    Raises PeerMisbehaved (BAD_NONCE) outside 16 to 256 octets (RFC 7296 3.9).
    """
    nonce = exchanges.required(message, Nonce).data
    if not NONCE_MIN <= len(nonce) <= NONCE_MAX:
        raise PeerMisbehaved(DropReason.BAD_NONCE, f"a nonce of {len(nonce)} octets")
    return nonce


def group_of(suite: Suite) -> KeId:
    """The key exchange method of an IKE suite.

    Raises LocalMisuse where it has none: the configuration checks that.
    """
    if suite.ke is None:
        raise LocalMisuse(f"the IKE suite {suite} has no key exchange method")
    return suite.ke


def _tell_choice(sa: IkeSa, suite: Suite) -> None:
    sa.event(EventName.PROPOSAL_CHOSEN, protocol="IKE", suite=str(suite))
