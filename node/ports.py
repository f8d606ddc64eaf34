"""The ports of the engine: what it needs from outside, as Protocols.

The engine calls only these. The daemon chooses the implementations from the configuration; nothing is ever
chosen by looking at octets.
"""

from collections.abc import Sequence
from typing import Protocol

from node.model.message import Envelope, Fragment, Glance, Header, Message, Sealed
from node.model.payloads import Identification, Payload
from node.model.proof import SharedKeyPeer, VerifiedPeer
from node.model.registry import AuthMethod, HashId


class Entropy(Protocol):
    """A source of unpredictable octets."""

    def __call__(self, size: int, /) -> bytes:
        """Return `size` octets from a CSPRNG."""
        ...


class Sealer(Protocol):
    """Protection in one direction of one SA, AEAD-shaped; CBC with HMAC is wrapped into it.

    A blob is IV | ciphertext | ICV with `iv_size` and `icv_size` octets at its ends. Plaintext must be a
    multiple of `block` octets (1 for AEAD transforms). It owns its IV: never seal twice for a resend.
    """

    block: int
    iv_size: int
    icv_size: int

    def sealed_len(self, plain_len: int, /) -> int:
        """Octets of the blob for `plain_len` octets of (padded) plaintext; exact."""
        ...

    def seal(self, aad: bytes, plain: bytes, /) -> bytes:
        """Return IV | ciphertext | ICV.

        Raises LocalMisuse where the plaintext is not aligned or the IVs are used up.
        """
        ...

    def open(self, aad: bytes, blob: bytes, /) -> bytes:
        """Return the plaintext, padding included. Raises IntegrityError, whatever is wrong with the blob."""
        ...


class Codec(Protocol):
    """One wire profile: octets and protection framing. Keys, order and meaning stay outside.

    Reading raises DecodeError and nothing else, `open` also IntegrityError. `sealer`/`opener` is None in the
    cleartext exchange only.
    """

    def peek(self, datagram: bytes, /) -> Envelope:
        """Read the header, unauthenticated: enough to route.

        Refuses what exceeds the profile's size caps first.
        """
        ...

    def glance(self, envelope: Envelope, /) -> Glance:
        """Read nonce and cookie of a cleartext request at a small part of the cost of `read`.

        The rest is not looked at: `read` judges it, once the cookie is good. Raises DecodeError.
        """
        ...

    def read(self, envelope: Envelope, /) -> Message:
        """Read a message of the cleartext exchange. Raises DecodeError for a protected one."""
        ...

    def open(self, envelope: Envelope, opener: Sealer, /) -> Message | Fragment:
        """Verify and decrypt, then read. Raises IntegrityError before anything inside is looked at.

        The number of a fragment is from 1 to its total, and that is within the profile's bound.
        """
        ...

    def join(self, fragments: Sequence[Fragment], /) -> Message:
        """Read the message that the complete, ordered fragments make up."""
        ...

    def seal(self, header: Header, payloads: Sequence[Payload], sealer: Sealer | None, mtu: int, /) -> Sealed:
        """Encode, and protect where a sealer is given. `mtu` is the largest datagram in octets, 0: no limit.

        A profile that fragments does so with protected messages alone (RFC 7383 2.5): a cleartext one may be
        larger. Octets that the transport puts in front of a message do not count.
        Raises MessageTooLarge where one datagram (or its fragments) cannot hold the message, and LocalMisuse
        where the profile cannot represent it.
        """
        ...

    def body(self, payload: Payload, /) -> bytes:
        """The body octets of one of our own payloads exactly as `seal` writes them: input of the MACed ID."""
        ...


class Signer(Protocol):
    """Our long-term private key. It may live in another process; the engine never sees it."""

    def sign(self, octets: bytes, peer_hashes: frozenset[HashId], /) -> tuple[AuthMethod, bytes]:
        """The AUTH method and data over `octets` (RFC 7296 2.15, RFC 7427 3).

        `peer_hashes` are what the peer accepts.
        """
        ...


class PeerVerifier(Protocol):
    """Whether a peer is whom we expect: by its certificate chain, or as one with whom we share a secret."""

    @property
    def authorities(self) -> bytes | None:
        """What a CERTREQ asks for (RFC 7296 3.7): the SHA-1 hashes, 20 octets each, of our CAs' keys.

        Empty where a peer needs no hint; None where it is to show no certificate, but a shared secret.
        """
        ...

    @property
    def expected(self) -> Identification | None:
        """The identity that the peer must have, None where there are several."""
        ...

    def verify(
        self, certificates: Sequence[bytes], identity: Identification, /
    ) -> VerifiedPeer | SharedKeyPeer:
        """Judge DER certificates, end entity first, against the configured CAs, for the ID the peer sent; or
        the ID alone where the peer has the secret that we share with it.

        Raises AuthError with the reason. Fetches nothing.
        """
        ...
