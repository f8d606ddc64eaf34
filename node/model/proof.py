"""Proof objects: facts that were verified, as values that the next step demands.

`VerifiedPeer` and `SharedKeyPeer` are constructed only in `node.pki`, `AuthVerified` only in
`node.ike.transcript`; a test over the source enforces it. An established IKE SA cannot be built without an
`AuthVerified`, and that not without one of the others.
"""

from dataclasses import dataclass

from node.model.payloads import Identification
from node.model.registry import AuthMethod
from node.model.secret import Secret


@dataclass(frozen=True, slots=True)
class VerifiedPeer:
    """A certificate chain ends in a configured CA, is acceptable now, and speaks for the expected `identity`.

    `public_key` is the end entity's SubjectPublicKeyInfo in DER: the AUTH signature must verify with it.
    `certificate` is the end entity's DER; `subject` and `issuer` are RFC 4514 strings; `serial` and
    `fingerprint` (SHA-256) are hexadecimal.
    """

    identity: Identification
    public_key: bytes
    certificate: bytes
    subject: str
    issuer: str
    serial: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SharedKeyPeer:
    """The peer says that it is the expected `identity`: only AUTH, made with `secret`, shows that it is."""

    identity: Identification
    secret: Secret


@dataclass(frozen=True, slots=True)
class AuthVerified:
    """The peer's AUTH payload was verified over the captured octets, by `method`, with what `peer` holds: the
    key of its certificate, or the shared secret. `scheme` is the algorithm of a signature by method 14.
    """

    peer: VerifiedPeer | SharedKeyPeer
    method: AuthMethod
    scheme: str = ""
