"""Path building and validation (RFC 5280 section 6.1) to the configured CAs.

Rules:

1. A path is validated from the anchor downwards: a certificate's extensions are decoded only after its
   signature verified, so what a stranger sends costs an outline and a few comparisons.
2. Building and verifying are bounded by a budget per call, whatever names the certificates bear.
3. The configured CA certificate is judged like any CA below it, except for its own signature: an expired CA,
   or one that may not sign certificates, ends every path. Its name constraints and path length hold (RFC
   5937).
4. initial-policy-set is any-policy and nothing asks for a policy; a path that does is refused. Nothing is
   ever fetched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from node.errors import AuthError, AuthFailure
from node.pki import constraints
from node.pki.certificate import Certificate, Facts, facts, read
from node.pki.constraints import Constraints
from node.pki.keys import KeyPolicy, check_key, check_signature_algorithm, signed_by

#: Signatures verified for one peer. Ten certificates need nine; the rest is for same-named CAs.
MAX_SIGNATURE_CHECKS = 24
#: Steps of the path search for one peer: bounds the orders in which self-issued certificates can be lined up.
MAX_BUILD_STEPS = 256
#: Complete paths judged for one peer.
MAX_PATHS = 16


@dataclass(frozen=True, slots=True)
class Anchor:
    """A configured CA certificate, decoded once. Its key was found acceptable."""

    certificate: Certificate
    facts: Facts


def anchor(octets: bytes, policy: KeyPolicy) -> Anchor:
    """Prepare a configured CA. Raises AuthError(MALFORMED_CERTIFICATE, WEAK_KEY)."""
    certificate = read(octets)
    check_key(certificate, policy)
    return Anchor(certificate, facts(certificate))


@dataclass(slots=True)
class Budget:
    """What may still be spent on one peer; verified pairs are remembered for the length of the call."""

    signatures: int = MAX_SIGNATURE_CHECKS
    steps: int = MAX_BUILD_STEPS
    known: dict[tuple[bytes, bytes], bool] = field(default_factory=dict)

    def signed(self, certificate: Certificate, issuer_spki: bytes) -> bool:
        """As `keys.signed_by`. Raises AuthError(UNTRUSTED_ISSUER) where the budget is spent."""
        pair = (certificate.octets, issuer_spki)
        if pair not in self.known:
            if self.signatures == 0:
                raise AuthError(AuthFailure.UNTRUSTED_ISSUER, "too many certificates of the same name to try")
            self.signatures -= 1
            self.known[pair] = signed_by(certificate, issuer_spki)
        return self.known[pair]


@dataclass(frozen=True, slots=True)
class ValidPath:
    """A path that was valid when it was judged: what its end entity says, and the period (both ends inside)
    in which all its certificates are valid. Nothing else in the verdict depends on the time.
    """

    facts: Facts
    since: datetime
    until: datetime


@dataclass(slots=True)
class _State:
    """The working state of RFC 5280 6.1.2 that can matter here; `path_length` None is no limit."""

    issuer: Certificate
    path_length: int | None = None
    constraints: list[Constraints] = field(default_factory=list)


def find_path(
    end_entity: Certificate,
    others: Sequence[Certificate],
    anchors: Sequence[Anchor],
    moment: datetime,
    policy: KeyPolicy,
) -> ValidPath:
    """Find a path that is valid at `moment` from `end_entity` through `others` to one of `anchors`.

    Raises AuthError: of the candidate paths' failures the one that says most, or UNTRUSTED_ISSUER where no
    name leads to an anchor.
    """
    pinned = next((one for one in anchors if one.certificate.octets == end_entity.octets), None)
    if pinned is not None:
        return _judge_pinned(pinned, moment)
    budget = Budget()
    failures: list[AuthError] = []
    for top, below in _paths(end_entity, others, anchors, budget):
        try:
            return validate(top, below, moment, policy, budget)
        except AuthError as error:
            failures.append(error)
        if len(failures) == MAX_PATHS:
            break
    if failures:
        raise min(failures, key=_uninformative)
    detail = f"no configured CA issued {end_entity}: its issuer is {end_entity.issuer}"
    raise AuthError(AuthFailure.UNTRUSTED_ISSUER, detail)


def _uninformative(error: AuthError) -> int:
    """A signature that fails may only mean that another CA of that name was tried."""
    order = (AuthFailure.BAD_CERTIFICATE_SIGNATURE, AuthFailure.UNTRUSTED_ISSUER)
    return order.index(error.failure) + 1 if error.failure in order else 0


def _judge_pinned(pinned: Anchor, moment: datetime) -> ValidPath:
    """The end entity is itself configured as trusted: no path, but validity and extensions are judged."""
    _check_validity(pinned.certificate, pinned.facts, moment)
    _check_extensions(pinned.certificate, pinned.facts)
    return ValidPath(pinned.facts, pinned.facts.not_before, pinned.facts.not_after)


def _paths(
    end_entity: Certificate, others: Sequence[Certificate], anchors: Sequence[Anchor], budget: Budget
) -> Iterator[tuple[Anchor, tuple[Certificate, ...]]]:
    """Candidate paths by name (the anchor, and what is below it, end entity last), best guesses first; stops
    when the steps are used up."""
    tops = {id(one.certificate): one for one in anchors}
    known = [one.certificate for one in anchors]
    # Names may be long and the steps many: each pair is compared once.
    issuers = {id(one): (_issuers(one, known), _issuers(one, others)) for one in (end_entity, *others)}
    pending: list[tuple[Certificate, ...]] = [(end_entity,)]
    while pending and budget.steps:
        budget.steps -= 1
        path = pending.pop()
        trusted, suggested = issuers[id(path[0])]
        for top in trusted:
            yield tops[id(top)], path
        unused = [one for one in suggested if not any(_same_entity(one, used) for used in path)]
        pending.extend((issuer, *path) for issuer in reversed(unused))


def _same_entity(one: Certificate, other: Certificate) -> bool:
    """Same name and key: passing twice through such a pair adds nothing (RFC 4158 5.2, loop detection)."""
    return one.spki == other.spki and (one.octets == other.octets or one.subject == other.subject)


def _issuers(child: Certificate, candidates: Sequence[Certificate]) -> list[Certificate]:
    """The candidates that bear the issuer's name, those with the wanted key identifier first."""
    wanted = child.authority_key_identifier
    named = [candidate for candidate in candidates if candidate.subject == child.issuer]
    return sorted(named, key=lambda one: wanted is not None and one.subject_key_identifier != wanted)


def validate(
    top: Anchor, below: Sequence[Certificate], moment: datetime, policy: KeyPolicy, budget: Budget
) -> ValidPath:
    """Validate one path below an anchor, end entity last (RFC 5280 6.1). Raises AuthError."""
    state, found = _State(top.certificate), top.facts
    since, until = found.not_before, found.not_after
    _check_validity(top.certificate, found, moment)
    _check_extensions(top.certificate, found)
    _enter_ca(top.certificate, found, state, is_anchor=True)
    for position, certificate in enumerate(below):
        last = position == len(below) - 1
        _check_signature(certificate, state.issuer, budget)
        found = facts(certificate)
        check_key(certificate, policy)
        _check_validity(certificate, found, moment)
        since, until = max(since, found.not_before), min(until, found.not_after)
        _check_names(certificate, found, state, last)
        _check_extensions(certificate, found)
        if not last:
            _enter_ca(certificate, found, state, is_anchor=False)
    return ValidPath(found, since, until)


def _check_signature(certificate: Certificate, issuer: Certificate, budget: Budget) -> None:
    check_signature_algorithm(certificate)
    if certificate.issuer != issuer.subject:
        raise AuthError(AuthFailure.UNTRUSTED_ISSUER, f"{certificate} was not issued by {issuer}")
    if budget.signed(certificate, issuer.spki):
        return
    wanted, present = certificate.authority_key_identifier, issuer.subject_key_identifier
    if wanted is not None and present is not None and wanted != present:
        detail = (
            f"{certificate} was issued by another key of the name {issuer}: "
            f"it names key {wanted[:20].hex()}, "
            f"the CA has {present[:20].hex()}"
        )
        raise AuthError(AuthFailure.UNTRUSTED_ISSUER, detail)
    detail = f"the signature on {certificate} does not verify with the key of {issuer}"
    raise AuthError(AuthFailure.BAD_CERTIFICATE_SIGNATURE, detail)


def _check_validity(certificate: Certificate, found: Facts, moment: datetime) -> None:
    """Both ends of the period are inside it (RFC 5280 4.1.2.5)."""
    if moment < found.not_before:
        detail = f"{certificate} is not valid before {found.not_before:%Y-%m-%dT%H:%M:%SZ}"
        raise AuthError(AuthFailure.NOT_YET_VALID, detail)
    if moment > found.not_after:
        detail = f"{certificate} expired on {found.not_after:%Y-%m-%dT%H:%M:%SZ}"
        raise AuthError(AuthFailure.EXPIRED, detail)


def _check_names(certificate: Certificate, found: Facts, state: _State, last: bool) -> None:
    if certificate.self_issued and not last:
        return
    constraints.check(constraints.names_of(certificate.subject, found.alternative_names), state.constraints)


def _check_extensions(certificate: Certificate, found: Facts) -> None:
    if found.unknown_critical:
        detail = (
            f"{certificate} has the critical extension {found.unknown_critical[0]}, which is not supported"
        )
        raise AuthError(AuthFailure.UNKNOWN_CRITICAL_EXTENSION, detail)
    if found.requires_policy:
        detail = f"{certificate} demands a certificate policy; policies are not supported"
        raise AuthError(AuthFailure.POLICY, detail)


def _enter_ca(certificate: Certificate, found: Facts, state: _State, is_anchor: bool) -> None:
    """Steps (k) to (o) of 6.1.4: may this certificate issue others, and what does it hand down?"""
    basic = found.basic_constraints
    if certificate.version == 1 and not is_anchor:
        raise AuthError(
            AuthFailure.NOT_A_CA, f"{certificate} is of X.509 version 1 and cannot be an intermediate CA"
        )
    if certificate.version != 1 and (basic is None or not basic.ca):
        raise AuthError(AuthFailure.NOT_A_CA, f"{certificate} is not a CA certificate, yet it issued another")
    if not certificate.self_issued and state.path_length is not None:
        if state.path_length == 0:
            raise AuthError(
                AuthFailure.PATH_LENGTH, f"{certificate} is one CA more than a CA above it allows"
            )
        state.path_length -= 1
    if basic is not None and basic.path_length is not None:
        limits = (limit for limit in (state.path_length, basic.path_length) if limit is not None)
        state.path_length = min(limits)
    if found.key_usage is not None and not found.key_usage.key_cert_sign:
        raise AuthError(
            AuthFailure.KEY_USAGE, f"the key of {certificate} may not sign certificates (keyUsage)"
        )
    if found.constraints is not None:
        _add_constraints(certificate, found.constraints, state)
    state.issuer = certificate


def _add_constraints(certificate: Certificate, added: Constraints, state: _State) -> None:
    if not added.enforceable:
        detail = f"{certificate} has name constraints of a form that is not supported"
        raise AuthError(AuthFailure.NAME_CONSTRAINTS, detail)
    state.constraints.append(added)
