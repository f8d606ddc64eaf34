"""Reading one certificate, in two steps.

Rules:

1. `read` makes the outline: what path building needs, cheap and bounded, whoever sent it. `facts` decodes the
   extensions and is called only for certificates whose signature was verified (or that were configured).
2. A certificate that cannot be read raises AuthError(MALFORMED_CERTIFICATE) and nothing else, and the
   library's warnings about odd certificates stay in here.
3. Nothing here judges; `path` and `profile` do.
"""

import warnings
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from node.errors import AuthError, AuthFailure
from node.pki import constraints, der
from node.pki.constraints import Constraints, GeneralName
from node.pki.der import DerError, Element
from node.pki.names import DistinguishedName, read_name
from node.pki.text import printable

#: Octets of one certificate. RSA-4096 with every usual extension takes 2 KiB, ML-DSA-87 takes 7.5 KiB.
MAX_CERTIFICATE_OCTETS = 16 * 1024
#: Certificates whose reading is remembered by their octets: peers come back with the same ones. What is
#: remembered is a pure function of the octets; `verifier` alone remembers that a path was valid.
MAX_REMEMBERED = 128
#: Extensions of one certificate; RFC 5280 defines 16.
MAX_EXTENSIONS = 64

_SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
_NAME_CONSTRAINTS = "2.5.29.30"
_AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
_POLICY_MAPPINGS = "2.5.29.33"
#: Extensions whose meaning is enforced, or that cannot change a verdict here (key identifiers are hints;
#: certificatePolicies and inhibitAnyPolicy matter only where an explicit policy is required, and that is
#: refused).
_PROCESSED = frozenset(
    {
        _SUBJECT_KEY_IDENTIFIER,
        "2.5.29.15",  # keyUsage
        "2.5.29.17",  # subjectAltName
        "2.5.29.19",  # basicConstraints
        _NAME_CONSTRAINTS,
        "2.5.29.32",  # certificatePolicies
        _POLICY_MAPPINGS,
        _AUTHORITY_KEY_IDENTIFIER,
        "2.5.29.36",  # policyConstraints
        "2.5.29.37",  # extendedKeyUsage
        "2.5.29.54",  # inhibitAnyPolicy
    }
)

#: What the library raises for certificates it cannot read; found by fuzzing, see tests/unit/pki/test_fuzz.py.
_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension as it was encoded: dotted type, critical bit, content of the OCTET STRING."""

    oid: str
    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """The outline of a certificate. `octets`, `tbs`, `algorithm` and `spki` are the very octets that were
    received.

    `version` is 1 or 3. `algorithm` is the outer AlgorithmIdentifier (equal to the inner one), `spki` the
    SubjectPublicKeyInfo, both complete elements. The key identifiers (keyIdentifier alone of the authority's)
    are None where absent or unreadable: they are only ever hints.
    """

    octets: bytes
    version: int
    serial: int
    tbs: bytes
    algorithm: bytes
    signature: bytes
    issuer: DistinguishedName
    subject: DistinguishedName
    spki: bytes
    extensions: tuple[Extension, ...]
    subject_key_identifier: bytes | None
    authority_key_identifier: bytes | None
    parsed: x509.Certificate

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are the same name (RFC 5280 3.2)."""
        return self.subject == self.issuer

    def __str__(self) -> str:
        return str(self.subject)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says about its use. `None` where the extension is absent."""

    not_before: datetime
    not_after: datetime
    basic_constraints: x509.BasicConstraints | None
    key_usage: x509.KeyUsage | None
    extended_key_usage: frozenset[str] | None
    alternative_names: tuple[GeneralName, ...]
    constraints: Constraints | None
    requires_policy: bool
    unknown_critical: tuple[str, ...]


def _malformed(detail: object) -> AuthError:
    return AuthError(
        AuthFailure.MALFORMED_CERTIFICATE, f"the certificate cannot be read: {printable(str(detail))}"
    )


def read(octets: bytes) -> Certificate:
    """The outline of a DER certificate. Raises AuthError(MALFORMED_CERTIFICATE)."""
    if len(octets) > MAX_CERTIFICATE_OCTETS:
        raise _malformed(f"{len(octets)} octets, at most {MAX_CERTIFICATE_OCTETS} are accepted")
    return _read(octets)


def facts(certificate: Certificate) -> Facts:
    """Decode validity and extensions. Raises AuthError(MALFORMED_CERTIFICATE)."""
    return _facts_of(certificate.octets)


@lru_cache(MAX_REMEMBERED)
def _read(octets: bytes) -> Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _outline(octets, x509.load_der_x509_certificate(octets))
    except _UNREADABLE as error:
        raise _malformed(error) from None


@lru_cache(MAX_REMEMBERED)
def _facts_of(octets: bytes) -> Facts:
    certificate = _read(octets)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _facts(certificate)
    except _UNREADABLE as error:
        raise _malformed(error) from None


def _outline(octets: bytes, parsed: x509.Certificate) -> Certificate:
    tbs, algorithm, signature = _exactly(der.read(octets).expect(der.SEQUENCE), 3)
    fields = list(tbs.expect(der.SEQUENCE).children(10))
    version = _version(fields.pop(0)) if fields and fields[0].tag == 0xA0 else 1
    if len(fields) < 6:
        raise DerError("fields are missing")
    serial, inner, issuer, _, subject, spki, *rest = fields
    if inner.octets != algorithm.octets:
        raise DerError("the signature algorithm inside and outside the signed part differ")
    extensions = _extensions(rest)
    if extensions and version != 3:
        raise DerError("extensions in a certificate of version 1")
    return Certificate(
        octets=octets,
        version=version,
        serial=int.from_bytes(serial.expect(der.INTEGER).content, "big", signed=True),
        tbs=tbs.octets,
        algorithm=algorithm.octets,
        signature=_signature(signature),
        issuer=read_name(issuer.octets),
        subject=read_name(subject.octets),
        spki=spki.octets,
        extensions=extensions,
        subject_key_identifier=_key_identifier(extensions, _SUBJECT_KEY_IDENTIFIER, der.OCTET_STRING),
        authority_key_identifier=_key_identifier(extensions, _AUTHORITY_KEY_IDENTIFIER, 0x80),
        parsed=parsed,
    )


def _signature(element: Element) -> bytes:
    """The signature's octets; none where it is not whole octets, so that it verifies with nothing."""
    content = element.expect(der.BIT_STRING).content
    return content[1:] if content[:1] == b"\x00" else b""


def _exactly(element: Element, count: int) -> tuple[Element, ...]:
    children = element.children(count)
    if len(children) != count:
        raise DerError(f"{len(children)} elements where {count} are expected")
    return children


def _version(element: Element) -> int:
    version = der.unsigned(_exactly(element, 1)[0]) + 1
    if version != 3:
        raise DerError(f"version {version}; 1 (without the field) and 3 are accepted")
    return version


def _extensions(fields: list[Element]) -> tuple[Extension, ...]:
    """Of the fields after the key (two unique identifiers, then the extensions) the extensions."""
    found = [element for element in fields if element.tag == 0xA3]
    if not found:
        return ()
    listed = _exactly(found[0], 1)[0].expect(der.SEQUENCE).children(MAX_EXTENSIONS)
    return tuple(_extension(element) for element in listed)


def _extension(element: Element) -> Extension:
    parts = element.expect(der.SEQUENCE).children(3)
    if len(parts) < 2:
        raise DerError("an extension without a value")
    critical = len(parts) == 3 and parts[1].expect(der.BOOLEAN).content == b"\xff"
    oid = der.dotted(parts[0].expect(der.OBJECT_IDENTIFIER).content)
    return Extension(oid, critical, parts[-1].expect(der.OCTET_STRING).content)


def _key_identifier(extensions: tuple[Extension, ...], oid: str, tag: int) -> bytes | None:
    for extension in extensions:
        if extension.oid != oid:
            continue
        try:
            found = der.read(extension.value)
            inside = found.children(3) if found.tag == der.SEQUENCE else (found,)
        except DerError:
            return None
        return next((element.content for element in inside if element.tag == tag), None)
    return None


def _facts(certificate: Certificate) -> Facts:
    found = {type(extension.value): extension.value for extension in certificate.parsed.extensions}
    alternative = found.get(x509.SubjectAlternativeName)
    extended = found.get(x509.ExtendedKeyUsage)
    policy = found.get(x509.PolicyConstraints)
    basic = found.get(x509.BasicConstraints)
    usage = found.get(x509.KeyUsage)
    raw = {extension.oid: extension for extension in certificate.extensions}
    mappings, subtrees = raw.get(_POLICY_MAPPINGS), found.get(x509.NameConstraints)
    explicit = isinstance(policy, x509.PolicyConstraints) and policy.require_explicit_policy is not None
    return Facts(
        not_before=certificate.parsed.not_valid_before_utc,
        not_after=certificate.parsed.not_valid_after_utc,
        basic_constraints=basic if isinstance(basic, x509.BasicConstraints) else None,
        key_usage=usage if isinstance(usage, x509.KeyUsage) else None,
        extended_key_usage=(
            frozenset(purpose.dotted_string for purpose in extended)
            if isinstance(extended, x509.ExtendedKeyUsage)
            else None
        ),
        alternative_names=(
            constraints.general_names(alternative)
            if isinstance(alternative, x509.SubjectAlternativeName)
            else ()
        ),
        constraints=(
            constraints.read(subtrees, raw[_NAME_CONSTRAINTS].value)
            if isinstance(subtrees, x509.NameConstraints)
            else None
        ),
        requires_policy=explicit or (mappings is not None and mappings.critical),
        unknown_critical=tuple(
            e.oid for e in certificate.extensions if e.critical and e.oid not in _PROCESSED
        ),
    )
