"""Which public keys and signature algorithms are accepted, read from DER before any arithmetic is done with
them."""

from dataclasses import dataclass
from functools import lru_cache

from node.crypto.signature import (
    MAX_RSA_BITS,
    MAX_RSA_EXPONENT_BITS,
    MIN_RSA_BITS,
    MIN_RSA_EXPONENT,
    verify_signature,
)
from node.errors import AuthError, AuthFailure
from node.pki import der
from node.pki.certificate import MAX_REMEMBERED, Certificate
from node.pki.der import DerError, Element

_RSA = "1.2.840.113549.1.1.1"
_RSA_PSS = "1.2.840.113549.1.1.10"
_EC = "1.2.840.10045.2.1"
_ED25519 = "1.3.101.112"
_ED448 = "1.3.101.113"
_CURVES = {"1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521"}
_OTHER_KEYS = {"1.2.840.10040.4.1": "DSA", "1.2.840.10046.2.1": "Diffie-Hellman"}

_ACCEPTED_SIGNATURES = {
    "1.2.840.113549.1.1.11": "RSA with SHA-256",
    "1.2.840.113549.1.1.12": "RSA with SHA-384",
    "1.2.840.113549.1.1.13": "RSA with SHA-512",
    _RSA_PSS: "RSASSA-PSS",
    "1.2.840.10045.4.3.2": "ECDSA with SHA-256",
    "1.2.840.10045.4.3.3": "ECDSA with SHA-384",
    "1.2.840.10045.4.3.4": "ECDSA with SHA-512",
    _ED25519: "Ed25519",
    _ED448: "Ed448",
}
_REFUSED_SIGNATURES = {
    "1.2.840.113549.1.1.2": "RSA with MD2",
    "1.2.840.113549.1.1.4": "RSA with MD5",
    "1.2.840.113549.1.1.5": "RSA with SHA-1",
    "1.3.14.3.2.29": "RSA with SHA-1",
    "1.2.840.10040.4.3": "DSA with SHA-1",
    "2.16.840.1.101.3.4.3.2": "DSA with SHA-256",
    "1.2.840.10045.4.1": "ECDSA with SHA-1",
}
_PSS_HASHES = frozenset({"2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3"})


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Floors for keys. Tests over old vectors lower them; the daemon does not."""

    min_rsa_bits: int = MIN_RSA_BITS


def check_key(certificate: Certificate, policy: KeyPolicy) -> None:
    """Refuse keys that are weak, odd or of a kind not supported. Raises AuthError(WEAK_KEY,
    MALFORMED_CERTIFICATE)."""
    try:
        weakness = _weakness(certificate.spki, policy)
    except DerError as error:
        detail = f"the public key of {certificate} cannot be read: {error}"
        raise AuthError(AuthFailure.MALFORMED_CERTIFICATE, detail) from None
    if weakness:
        raise AuthError(AuthFailure.WEAK_KEY, f"the key of {certificate} is refused: {weakness}")


@lru_cache(MAX_REMEMBERED)
def _weakness(spki: bytes, policy: KeyPolicy) -> str:
    algorithm, key = der.read(spki).expect(der.SEQUENCE).children(2)
    oid, parameters = _algorithm(algorithm)
    if oid in (_RSA, _RSA_PSS):
        return _rsa_weakness(der.whole_octets(key), policy)
    if oid == _EC:
        curve = (
            der.dotted(parameters.content) if parameters and parameters.tag == der.OBJECT_IDENTIFIER else ""
        )
        return (
            ""
            if curve in _CURVES
            else f"curve {curve or 'by parameters'}; accepted are {', '.join(_CURVES.values())}"
        )
    if oid in (_ED25519, _ED448):
        return ""
    return f"{_OTHER_KEYS.get(oid, oid)} keys are not accepted; use RSA, ECDSA, Ed25519 or Ed448"


def _algorithm(element: Element) -> tuple[str, Element | None]:
    """OID and parameters of an AlgorithmIdentifier."""
    parts = element.expect(der.SEQUENCE).children(2)
    if not parts:
        raise DerError("an algorithm identifier without an algorithm")
    oid = der.dotted(parts[0].expect(der.OBJECT_IDENTIFIER).content)
    return oid, parts[1] if len(parts) == 2 else None


def _rsa_weakness(key: bytes, policy: KeyPolicy) -> str:
    numbers = der.read(key).expect(der.SEQUENCE).children(2)
    if len(numbers) != 2:
        raise DerError("an RSA key without modulus and exponent")
    modulus, exponent = (der.unsigned(number) for number in numbers)
    bits = modulus.bit_length()
    if not policy.min_rsa_bits <= bits <= MAX_RSA_BITS:
        return f"RSA with {bits} bits; accepted are {policy.min_rsa_bits} to {MAX_RSA_BITS}"
    if modulus % 2 == 0:
        return "the RSA modulus is even"
    long = exponent.bit_length() > MAX_RSA_EXPONENT_BITS
    if exponent < MIN_RSA_EXPONENT or exponent % 2 == 0 or long:
        bounds = f"at least {MIN_RSA_EXPONENT} and at most {MAX_RSA_EXPONENT_BITS} bits long"
        return f"the RSA exponent must be odd, {bounds}"
    return ""


def check_signature_algorithm(certificate: Certificate) -> None:
    """Refuse SHA-1, MD5 and everything unknown, before anything is verified. Raises
    AuthError(BAD_CERTIFICATE_SIGNATURE, MALFORMED_CERTIFICATE)."""
    try:
        oid, accepted = _judge_algorithm(certificate.algorithm)
    except DerError as error:
        detail = f"the signature algorithm of {certificate} cannot be read: {error}"
        raise AuthError(AuthFailure.MALFORMED_CERTIFICATE, detail) from None
    if not accepted:
        name = _REFUSED_SIGNATURES.get(oid) or _ACCEPTED_SIGNATURES.get(oid) or oid
        detail = f"{certificate} is signed with {name}, which is not accepted; sign with SHA-256 or better"
        raise AuthError(AuthFailure.BAD_CERTIFICATE_SIGNATURE, detail)


@lru_cache(MAX_REMEMBERED)
def _judge_algorithm(octets: bytes) -> tuple[str, bool]:
    """The OID of an AlgorithmIdentifier, and whether signatures by it are accepted. Raises DerError."""
    oid, parameters = _algorithm(der.read(octets))
    return oid, oid in _ACCEPTED_SIGNATURES and (oid != _RSA_PSS or _pss_accepted(parameters))


def _pss_accepted(parameters: Element | None) -> bool:
    """Only SHA-2 for the message and, the same, for MGF1 (RFC 4055 3.1): absent fields mean SHA-1."""
    if parameters is None:
        return False
    fields = {field.tag: field.children(1) for field in parameters.expect(der.SEQUENCE).children(4)}
    message, mask = fields.get(0xA0), fields.get(0xA1)
    if not message or not mask:
        return False
    _, mask_hash = _algorithm(mask[0])
    hashes = {_algorithm(message[0])[0], _algorithm(mask_hash)[0] if mask_hash else ""}
    return len(hashes) == 1 and hashes <= _PSS_HASHES


def signed_by(certificate: Certificate, issuer_spki: bytes) -> bool:
    """Whether the certificate's signature verifies with the key in `issuer_spki` (a complete
    SubjectPublicKeyInfo).

    Raises AuthError(BAD_CERTIFICATE_SIGNATURE) where the algorithm does not fit the key or its parameters are
    not supported (RSASSA-PSS with a salt of another length than the hash).
    """
    try:
        verify_signature(issuer_spki, certificate.algorithm, certificate.signature, certificate.tbs)
    except AuthError as error:
        if error.failure is AuthFailure.UNSUPPORTED_METHOD:
            detail = f"the signature on {certificate} cannot be verified: {error}"
            raise AuthError(AuthFailure.BAD_CERTIFICATE_SIGNATURE, detail) from None
        return False
    return True
