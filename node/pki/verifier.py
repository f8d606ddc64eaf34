"""The PeerVerifier port: the only place where a `VerifiedPeer` is made.

Rules:

1. The order is: bounds, the configured identity, the path, the end entity's profile, the identity in the
   certificate. Each step must pass; there is no option that leaves one out.
2. The first certificate is the end entity. The others are only suggestions: unreadable or unrelated ones are
   ignored, as RFC 4945 3.3.10 asks, and they never become trusted by being sent.
3. Of calls before only a peer that was accepted is remembered, by exactly what it showed, for the period in
   which all certificates of its path are valid; a refusal never. No fetching, no clock of its own.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from node.errors import AuthError, AuthFailure
from node.model.payloads import Identification
from node.model.proof import VerifiedPeer
from node.pki.certificate import MAX_CERTIFICATE_OCTETS, MAX_REMEMBERED, Certificate, read
from node.pki.identity import ExpectedIdentity, check_speaks_for
from node.pki.keys import KeyPolicy
from node.pki.loading import authority_hashes
from node.pki.path import Anchor, anchor, find_path
from node.pki.profile import check_end_entity

#: Certificates that one peer may send: an end entity and every CA of a deep hierarchy.
MAX_CERTIFICATES = 10
#: Accepted peers that are remembered, and the octets of certificates of each: half a MiB in all.
MAX_ACCEPTED, MAX_ACCEPTED_OCTETS = 64, 8 * 1024

#: CAs that a CERTREQ names: it goes into IKE_SA_INIT, which cannot be fragmented (RFC 7383 2.5). With more of
#: them there is no CERTREQ; it would be a hint only, and peers have a certificate to show without it.
MAX_AUTHORITIES = 20

#: Certificates, end entity first, and the ID payload of a peer.
_Shown = tuple[tuple[bytes, ...], Identification]


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A peer that was accepted, and would be at any time from `since` to `until`."""

    peer: VerifiedPeer
    since: datetime
    until: datetime


class CertificateVerifier:
    """Judges certificate chains against configured CAs, for one configured set of peer identities."""

    def __init__(
        self,
        anchors: Sequence[bytes],
        expected: ExpectedIdentity,
        clock: Callable[[], datetime],
        policy: KeyPolicy | None = None,
    ) -> None:
        """`anchors` are DER certificates of CAs, `clock` returns the time with its zone.

        Raises ValueError where there is no anchor, one cannot be read, or one has a weak key.
        """
        if not anchors:
            raise ValueError("no CA certificate is configured, so no peer could ever be verified")
        self._policy = policy or KeyPolicy()
        self._anchors = tuple(_anchor(octets, self._policy) for octets in anchors)
        self._expected = expected
        self._clock = clock
        self._authorities = authority_hashes(anchors) if len(anchors) <= MAX_AUTHORITIES else b""
        self._accepted: dict[_Shown, _Accepted] = {}

    @property
    def authorities(self) -> bytes | None:
        """The SHA-1 hashes of the keys of our CAs, 20 octets each, of at most MAX_AUTHORITIES of them."""
        return self._authorities

    @property
    def expected(self) -> Identification | None:
        """The one identity that is accepted, None where there are several."""
        return self._expected.only

    def verify(self, certificates: Sequence[bytes], identity: Identification, /) -> VerifiedPeer:
        """Judge DER certificates, end entity first, for the ID payload the peer sent. Raises AuthError,
        nothing else."""
        _check_bounds(certificates)
        self._expected.check(identity)
        # Peers come back. All that is judged of the same octets depends on nothing else but the time.
        shown, moment = (tuple(certificates), identity), self._clock()
        known = self._accepted.get(shown)
        if known is None or not known.since <= moment <= known.until:
            known = self._judge(certificates, identity, moment)
            self._remember(shown, known)
        return known.peer

    def _judge(self, certificates: Sequence[bytes], identity: Identification, moment: datetime) -> _Accepted:
        end_entity = read(certificates[0])
        others = _readable(certificates[1:])
        found = find_path(end_entity, others, self._anchors, moment, self._policy)
        is_anchor = any(one.certificate.octets == end_entity.octets for one in self._anchors)
        check_end_entity(end_entity, found.facts, is_anchor)
        check_speaks_for(end_entity, found.facts, identity)
        subject, issuer, serial, fingerprint = _shown(end_entity.octets)
        peer = VerifiedPeer(
            identity=identity,
            public_key=end_entity.spki,
            certificate=end_entity.octets,
            subject=subject,
            issuer=issuer,
            serial=serial,
            fingerprint=fingerprint,
        )
        return _Accepted(peer, found.since, found.until)

    def _remember(self, shown: _Shown, accepted: _Accepted) -> None:
        """In the place of the oldest one where there are too many."""
        if sum(map(len, shown[0])) > MAX_ACCEPTED_OCTETS:
            return
        self._accepted.pop(shown, None)
        if len(self._accepted) >= MAX_ACCEPTED:
            del self._accepted[next(iter(self._accepted))]
        self._accepted[shown] = accepted


@lru_cache(MAX_REMEMBERED)
def _shown(octets: bytes) -> tuple[str, str, str, str]:
    """Subject, issuer, serial number and fingerprint of a certificate, as `VerifiedPeer` has them."""
    certificate = read(octets)
    fingerprint = hashlib.sha256(octets).hexdigest()
    return certificate.subject.text, certificate.issuer.text, f"{certificate.serial:x}", fingerprint


def _anchor(octets: bytes, policy: KeyPolicy) -> Anchor:
    try:
        return anchor(octets, policy)
    except AuthError as error:
        raise ValueError(f"a configured CA certificate is not usable: {error}") from None


def _check_bounds(certificates: Sequence[bytes]) -> None:
    if not certificates:
        raise AuthError(AuthFailure.NO_CERTIFICATE, "the peer sent no certificate")
    if len(certificates) > MAX_CERTIFICATES:
        detail = f"the peer sent {len(certificates)} certificates, at most {MAX_CERTIFICATES} are accepted"
        raise AuthError(AuthFailure.MALFORMED_CERTIFICATE, detail)
    longest = max(len(octets) for octets in certificates)
    if longest > MAX_CERTIFICATE_OCTETS:
        detail = f"a certificate has {longest} octets, at most {MAX_CERTIFICATE_OCTETS} are accepted"
        raise AuthError(AuthFailure.MALFORMED_CERTIFICATE, detail)


def _readable(certificates: Sequence[bytes]) -> list[Certificate]:
    """The suggested certificates that can be read; an unreadable one is no reason to refuse the peer (RFC
    4945 3.3.10.2)."""
    found: list[Certificate] = []
    for octets in dict.fromkeys(certificates):
        try:
            found.append(read(octets))
        except AuthError:
            continue
    return found
