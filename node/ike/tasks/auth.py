"""IKE_AUTH: who is there, proved by certificates and signatures or by a shared secret, and the first Child SA
(RFC 7296 1.2, 2.15).

     initiator                                                      responder
    SK { IDi, [CERT+,] [CERTREQ,] [IDr,] AUTH, SA, TSi, TSr }   -->
                                           <--    SK { IDr, [CERT+,] AUTH, SA, TSi, TSr }

A party with a shared secret sends no CERT, one that expects a shared secret of its peer no CERTREQ; the two
parties need not do the same (2.15). There is a fresh authentication nonce of each party where the
configuration asks for it, and N(INITIAL_CONTACT) of a party that has no other IKE SA with the other one
(2.4). The order of checks is the same on both sides: authentication nonce, the kind of proof that is
expected, certificate chain, identity, AUTH. Only then anything else is looked at.

What a CERTREQ asks for is a hint (3.7), and we have one chain: it goes out whole, our certificate and every
intermediate CA, whatever authorities the peer named. A peer whose CA is another one refuses it itself.
So does an initiator whose IDr we do not have: we answer with the identity that we have (2.9, 3.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.errors import AuthError, AuthFailure, LocalMisuse, PeerIncompatible
from node.ike import authlife, exchanges, transcript
from node.ike.outputs import Output
from node.ike.phases import AuthSent, Established, InitReplied, Protection
from node.ike.refusals import notify_for
from node.ike.sa import IkeSa
from node.ike.tasks import child, informational, mobike
from node.ike.tasks.reply import Reply
from node.ike.transcript import Transcript
from node.model.events import EventName
from node.model.message import Message
from node.model.payloads import (
    Authentication,
    AuthNonce,
    Certificate,
    CertificateRequest,
    Identification,
    Notify,
    Payload,
)
from node.model.proof import AuthVerified, VerifiedPeer
from node.model.proposal import Suite
from node.model.registry import (
    AuthMethod,
    CertEncoding,
    ExchangeType,
    HashId,
    NotifyType,
    PayloadType,
    PrfId,
)
from node.pki.identity import describe
from node.ports import PeerVerifier

#: Octets of an authentication nonce.
AUTH_NONCE_SIZE = 32


@dataclass(frozen=True, slots=True)
class Handshake:
    """The part of the phase data that authentication needs."""

    suite: Suite
    transcript: Transcript
    protection: Protection

    @property
    def prf(self) -> PrfId:
        """The negotiated PRF. Raises LocalMisuse where the suite has none: the configuration checks that."""
        if self.suite.prf is None:
            raise LocalMisuse(f"the IKE suite {self.suite} has no PRF")
        return self.suite.prf


def initiate(sa: IkeSa, now: float) -> None:
    """Send IKE_AUTH; the SA ends where our key can make no signature that the responder accepts."""
    data = sa.data
    if not isinstance(data, AuthSent):
        raise LocalMisuse(f"IKE_AUTH in phase {sa.phase}")
    shake = Handshake(data.suite, data.transcript, data.protection)
    hints = (*_contact(sa), *request_certificates(sa.context.verifier), *_wanted(sa.context.verifier))
    try:
        ours = _identify(sa, shake, data.auth_nonce, data.auth_nonce, hints)
    except AuthError as error:
        sa.event(EventName.AUTHENTICATION_FAILED, reason=str(error.failure), detail=str(error))
        sa.close(str(error))
        return
    wanted = child.request(sa, data.child_spi)
    sa.send_request(ExchangeType.IKE_AUTH, (*ours, *wanted, *mobike.announce(sa)), now)


def answer(sa: IkeSa, message: Message, now: float) -> Reply:
    """Authenticate the initiator, then identify ourselves and settle the Child SA. Raises AuthError."""
    data = sa.data
    if not isinstance(data, InitReplied) or data.protection is None:
        raise LocalMisuse(f"IKE_AUTH request in phase {sa.phase}")
    shake = Handshake(data.suite, data.transcript, data.protection)
    peer_nonce = _peer_nonce(sa, message, data.transcript, b"")
    proof = _authenticate(sa, shake, message, peer_nonce)
    _take_contact(sa, message, proof, now)
    nonce = sa.context.entropy(AUTH_NONCE_SIZE) if sa.context.settings.authentication_nonce else b""
    ours = _identify(sa, shake, nonce, peer_nonce + nonce, _contact(sa, proof.peer.identity))
    sa.establish(Established(data.suite, data.protection, proof, now))
    mobike.agree(sa, message)
    payloads, after = _answer_child(sa, shake, message, proof, now)
    told = (*authlife.announce(sa.context.settings), *(mobike.announce(sa) if sa.mobility else ()))
    return Reply((*ours, *payloads, *told), after)


def complete(sa: IkeSa, message: Message, now: float) -> None:
    """Authenticate the responder and install the Child SA. Raises AuthError, PeerMisbehaved."""
    data = sa.data
    if not isinstance(data, AuthSent):
        raise LocalMisuse(f"IKE_AUTH response in phase {sa.phase}")
    refusal = exchanges.error_notify(message)
    if refusal is not None:
        sa.notified(refusal)
        if exchanges.is_fatal(refusal) or exchanges.first(message, PayloadType.AUTH) is None:
            sa.close(f"refused with {refusal.notify_type}")
            return
    shake = Handshake(data.suite, data.transcript, data.protection)
    peer_nonce = _peer_nonce(sa, message, data.transcript, data.auth_nonce)
    proof = _authenticate(sa, shake, message, data.auth_nonce + peer_nonce)
    agreed = None if refusal is not None else child.confirm(sa, message)
    _take_contact(sa, message, proof, now)
    if agreed is not None:
        sa.own_addresses = agreed.addresses
        child.tell_addresses(sa, agreed)
    sa.establish(Established(data.suite, data.protection, proof, now))
    mobike.agree(sa, message)
    if agreed is None:
        sa.event(EventName.CHILD_SA_FAILED, reason=str(refusal.notify_type) if refusal else "")
        return
    if objection := child.objection(sa, agreed):
        sa.event(EventName.CHILD_SA_FAILED, reason=objection)
        informational.give_up_child(sa, data.child_spi, now)
        return
    replaces = child.carried_by(sa.older, agreed) if sa.older else None
    for output in child.install(
        sa, agreed, data.child_spi, data.protection, data.transcript, data.suite, replaces
    ):
        sa.context.emit(output)


def _answer_child(
    sa: IkeSa, shake: Handshake, message: Message, proof: AuthVerified, now: float
) -> tuple[tuple[Payload, ...], tuple[Output, ...]]:
    try:
        agreed = child.choose(sa, message, proof.peer.identity)
    except PeerIncompatible as error:
        notify = notify_for(error, protected=True)
        child.take_back(sa)
        sa.event(EventName.CHILD_SA_FAILED, reason=str(error))
        return ((notify,) if notify else ()), ()
    child.tell_addresses(sa, agreed)
    spi = sa.context.child_spi()
    outbound, *told = child.install(sa, agreed, spi, shake.protection, shake.transcript, shake.suite)
    if not child.hold_back(sa, spi, child.siblings(sa, proof.peer.identity, moved=True), 0, now):
        sa.context.emit(outbound)
    return child.response(agreed, spi), tuple(told)


def _contact(sa: IkeSa, peer: Identification | None = None) -> tuple[Payload, ...]:
    """N(INITIAL_CONTACT) where this is our only IKE SA with `peer`, whom only a responder knows by now."""
    context = sa.context
    sole = context.settings.initial_contact and context.contacts.sole(sa.local_spi, peer)
    return (Notify(NotifyType.INITIAL_CONTACT),) if sole else ()


def _take_contact(sa: IkeSa, message: Message, proof: AuthVerified, now: float) -> None:
    """Close what the authenticated peer says it has no more: there is nobody to tell."""
    if exchanges.notifies(message, NotifyType.INITIAL_CONTACT):
        for spi in sa.context.contacts.before(sa.begun, proof.peer.identity):
            sa.context.close(spi, "INITIAL_CONTACT: the peer began anew", now)


def _identify(
    sa: IkeSa, shake: Handshake, nonce: bytes, auth_nonces: bytes, hints: tuple[Payload, ...]
) -> tuple[Payload, ...]:
    """ID, CERT, `hints`, AUTH and our authentication nonce; `auth_nonces` are those that enter the signed
    octets. Raises AuthError where our key has no algorithm that suits the peer.
    """
    context = sa.context
    keys, captured = shake.protection.keys, shake.transcript
    identity = context.local_id(PayloadType.IDI if sa.is_initiator else PayloadType.IDR)
    body = context.codec.body(identity)
    if sa.is_initiator:
        signed = captured.signed_by_initiator(shake.prf, keys.sk_pi, body, auth_nonces)
    else:
        signed = captured.signed_by_responder(shake.prf, keys.sk_pr, body, auth_nonces)
    auth = transcript.prove(context.signer, shake.prf, signed, _hashes_of_peer(sa))
    certificates = [Certificate(CertEncoding.X509_SIGNATURE, c) for c in context.certificates]
    fresh = (AuthNonce(nonce),) if nonce else ()
    return (identity, *certificates, *hints, auth, *fresh)


def request_certificates(verifier: PeerVerifier) -> tuple[CertificateRequest, ...]:
    """CERTREQ (RFC 7296 3.7) where the peer is to show a certificate and there is something to ask for."""
    authorities = verifier.authorities
    return (CertificateRequest(CertEncoding.X509_SIGNATURE, authorities),) if authorities else ()


def _wanted(verifier: PeerVerifier) -> tuple[Identification, ...]:
    """IDr of a request: whom we want to talk to, where that is one (RFC 7296 2.9, 3.5)."""
    one = verifier.expected
    return (Identification(PayloadType.IDR, one.id_type, one.data),) if one else ()


def _hashes_of_peer(sa: IkeSa) -> frozenset[HashId]:
    """What hashes our signature may use (RFC 7427 4)."""
    named = sa.extensions.hashes
    return sa.context.settings.assumed_hashes if named is None else named


def _authenticate(sa: IkeSa, shake: Handshake, message: Message, auth_nonces: bytes) -> AuthVerified:
    """The kind of proof, chain, identity, AUTH, in this order. Raises AuthError."""
    auth = exchanges.required(message, Authentication)
    _check_kind(sa.context.verifier, auth.method)
    identity = exchanges.required(
        message, Identification, PayloadType.IDR if sa.is_initiator else PayloadType.IDI
    )
    peer = sa.context.verifier.verify(_certificates(message), identity)
    if isinstance(peer, VerifiedPeer):
        _tell_certificate(sa, peer)
    sa.event(EventName.PEER_IDENTITY_VERIFIED, identity=describe(identity.id_type, identity.data))
    keys, captured = shake.protection.keys, shake.transcript
    body = exchanges.body_of(message, identity)
    if sa.is_initiator:
        signed = captured.signed_by_responder(shake.prf, keys.sk_pr, body, auth_nonces)
    else:
        signed = captured.signed_by_initiator(shake.prf, keys.sk_pi, body, auth_nonces)
    proof = transcript.verify(peer, shake.prf, auth, signed, _hashes_accepted(sa))
    scheme = {"scheme": proof.scheme} if proof.scheme else {}
    sa.event(EventName.PEER_AUTH_VERIFIED, method=str(auth.method), **scheme)
    return proof


def _tell_certificate(sa: IkeSa, peer: VerifiedPeer) -> None:
    fields = {
        "subject": peer.subject,
        "issuer": peer.issuer,
        "serial": peer.serial,
        "fingerprint": peer.fingerprint,
    }
    sa.event(EventName.PEER_CERTIFICATE_VERIFIED, **fields)


def _check_kind(verifier: PeerVerifier, method: AuthMethod) -> None:
    """Refuse a shared secret in the place of a certificate, and the reverse, before anything is computed."""
    if verifier.authorities is None and method != AuthMethod.SHARED_KEY_MIC:
        detail = f"the peer authenticates by {method}, expected is a shared key (peer.auth psk)"
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)
    if verifier.authorities is not None and method == AuthMethod.SHARED_KEY_MIC:
        detail = f"the peer authenticates by {method}, expected is a certificate (peer.auth certificate)"
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)


def _hashes_accepted(sa: IkeSa) -> frozenset[HashId]:
    """What hashes the peer's signature may use: those that we announced; SHA-1 with method 1 if asked for."""
    settings = sa.context.settings
    return frozenset(settings.signature_hashes) | ({HashId.SHA1} if settings.sha1 else set())


def _certificates(message: Message) -> Sequence[bytes]:
    """The X.509 certificates, end entity first.

    Other encodings (hash and URL) are never fetched (RFC 7296 3.6).
    """
    sent = exchanges.every(message, Certificate)
    return [c.data for c in sent if c.encoding == CertEncoding.X509_SIGNATURE]


def _peer_nonce(sa: IkeSa, message: Message, captured: Transcript, own: bytes) -> bytes:
    """The peer's authentication nonce, or empty where none is configured.

    Raises AuthError (BAD_AUTH_NONCE).
    """
    found = exchanges.every(message, AuthNonce)
    if not sa.context.settings.authentication_nonce:
        if found:
            raise AuthError(AuthFailure.BAD_AUTH_NONCE, "an authentication nonce where none belongs")
        return b""
    nonce = found[0].data if found else b""
    if len(nonce) != AUTH_NONCE_SIZE:
        raise AuthError(AuthFailure.BAD_AUTH_NONCE, f"an authentication nonce of {len(nonce)} octets")
    if nonce in (captured.nonce_i, captured.nonce_r, own):
        raise AuthError(AuthFailure.BAD_AUTH_NONCE, "the authentication nonce is not fresh")
    return nonce
