"""The octets that AUTH signs, and the proof that a peer's AUTH was verified (RFC 7296 2.15).

    signed by the initiator   IKE_SA_INIT request  | Nr | prf(SK_pi, IDi body) [ | AuthNonce_i ]
    signed by the responder   IKE_SA_INIT response | Ni | prf(SK_pr, IDr body) [ | AuthNonce_i | AuthNonce_r ]

Rules:

1. Only captured octets go in: the messages as they crossed the wire and the raw bodies of ID payloads.
2. `AuthVerified` is made here and nowhere else, after the signature verified with the key of a
   `VerifiedPeer`.
"""

from dataclasses import dataclass, field

from node.crypto.prf import prf
from node.crypto.signature import verify_auth
from node.model.payloads import Authentication
from node.model.proof import AuthVerified, VerifiedPeer
from node.model.registry import PrfId
from node.model.secret import Secret


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


def verify(peer: VerifiedPeer, auth: Authentication, signed: bytes) -> AuthVerified:
    """Verify the peer's AUTH payload over `signed` with the key of its verified certificate.

    Raises AuthError.
    """
    verify_auth(peer.public_key, auth.method, auth.data, signed)
    return AuthVerified(peer)
