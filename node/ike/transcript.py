"""The octets that AUTH signs, and the proof that a peer's AUTH was verified (RFC 7296 2.15).

    signed by the initiator   IKE_SA_INIT request  | Nr | prf(SK_pi, IDi body) [ | AuthNonce_i ]
    signed by the responder   IKE_SA_INIT response | Ni | prf(SK_pr, IDr body) [ | AuthNonce_i | AuthNonce_r ]

Rules:

1. Only captured octets go in: the messages as they crossed the wire and the raw bodies of ID payloads.
2. `AuthVerified` is made here and nowhere else, after the signature verified with the key of a
   `VerifiedPeer`, or the MAC with the secret of a `SharedKeyPeer`. What the peer is expected to have decides
   which: never the method that it claims.
"""

import hmac
from dataclasses import dataclass, field

from node.crypto.prf import prf
from node.crypto.signature import verify_auth
from node.errors import AuthError, AuthFailure
from node.model.payloads import Authentication
from node.model.proof import AuthVerified, SharedKeyPeer, VerifiedPeer
from node.model.registry import AuthMethod, HashId, PrfId
from node.model.secret import Secret
from node.ports import Signer

#: What separates the key of AUTH from other uses of a shared secret (RFC 7296 2.15): 17 octets, no zero.
KEY_PAD = b"Key Pad for IKEv2"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What AUTH is computed over: the captured IKE_SA_INIT messages and both nonces."""

    request: bytes = field(repr=False)
    response: bytes = field(repr=False)
    nonce_i: bytes
    nonce_r: bytes

    def signed_by_initiator(self, prf_id: PrfId, sk_pi: Secret, idi_body: bytes, auth_nonces: bytes) -> bytes:
        """The octets the initiator signs; `auth_nonces` is AuthNonce_i, or empty."""
        return self.request + self.nonce_r + prf(prf_id, sk_pi.reveal(), idi_body) + auth_nonces

    def signed_by_responder(self, prf_id: PrfId, sk_pr: Secret, idr_body: bytes, auth_nonces: bytes) -> bytes:
        """The octets the responder signs; `auth_nonces` is AuthNonce_i | AuthNonce_r, or empty."""
        return self.response + self.nonce_i + prf(prf_id, sk_pr.reveal(), idr_body) + auth_nonces


def shared_key_mic(prf_id: PrfId, secret: Secret, signed: bytes) -> bytes:
    """AUTH of method 2: prf(prf(secret, "Key Pad for IKEv2"), signed), as long as the PRF's output (2.15)."""
    return prf(prf_id, prf(prf_id, secret.reveal(), KEY_PAD), signed)


def prove(ours: Signer | Secret, prf_id: PrfId, signed: bytes, hashes: frozenset[HashId]) -> Authentication:
    """Our AUTH payload over `signed`; `hashes` are those that a signature may use.

    Raises AuthError where the key has no algorithm with one of them.
    """
    if isinstance(ours, Secret):
        return Authentication(AuthMethod.SHARED_KEY_MIC, shared_key_mic(prf_id, ours, signed))
    return Authentication(*ours.sign(signed, hashes))


def verify(
    peer: VerifiedPeer | SharedKeyPeer,
    prf_id: PrfId,
    auth: Authentication,
    signed: bytes,
    hashes: frozenset[HashId],
) -> AuthVerified:
    """Verify the peer's AUTH payload over `signed` with the key of its verified certificate, or the secret
    that we share with it; `hashes` are those that we accept in a signature.

    Raises AuthError.
    """
    if isinstance(peer, SharedKeyPeer):
        _verify_shared_key(peer, prf_id, auth, signed)
        return AuthVerified(peer, auth.method)
    scheme = verify_auth(peer.public_key, auth.method, auth.data, signed, hashes)
    return AuthVerified(peer, auth.method, scheme)


def _verify_shared_key(peer: SharedKeyPeer, prf_id: PrfId, auth: Authentication, signed: bytes) -> None:
    if auth.method != AuthMethod.SHARED_KEY_MIC:
        detail = f"the peer authenticates by {auth.method}, expected is {AuthMethod.SHARED_KEY_MIC}"
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)
    if not hmac.compare_digest(shared_key_mic(prf_id, peer.secret, signed), auth.data):
        detail = "AUTH was not made with our shared key (credentials.psk), or not over this exchange"
        raise AuthError(AuthFailure.WRONG_SHARED_KEY, detail)
