"""Signatures: AUTH payloads of method 14 (RFC 7427 3) and certificates (RFC 5280 4.1.1.3).

    AUTH data of method 14 = length of AlgorithmIdentifier (1 octet) | AlgorithmIdentifier (DER) | signature

Rules:

1. The AlgorithmIdentifier decides, and it must be octet for octet one of the table: nothing in it is
   interpreted. Any accepted hash goes with any accepted curve (RFC 7427 6).
2. SHA-256 or better, the hash built into EdDSA, and for PSS a salt as long as the hash.
3. A key of a peer that is weak or cannot be read is refused as such, before it verifies anything.
4. Methods 9 to 11 (RFC 4754) fix curve and hash. Method 1 (RFC 7296 3.8) is RSA with SHA-1, and is neither
   made nor accepted unless the caller asks for it. What that costs: collisions of SHA-1 with chosen prefixes
   have been computed (2020), and who finds one for two transcripts can stand between two peers that accept
   it, by hiding that they know better hashes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey, Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from node.errors import AuthError, AuthFailure
from node.model.registry import AuthMethod, HashId

#: Public keys that stay loaded, by their octets: peers come back with the same ones.
MAX_REMEMBERED = 128

PrivateKey = RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey
PublicKey = RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

#: NIST SP 800-57: 112 bits of strength; RFC 8247 wants at least this for RSA.
MIN_RSA_BITS = 2048
#: A verification with a larger modulus or exponent would cost more than a peer may ask for: within these it
#: takes about a millisecond, with an exponent as long as the modulus ten. 65537 is what everybody uses.
MAX_RSA_BITS = 8192
MAX_RSA_EXPONENT_BITS = 33
#: Smaller exponents invite forgeries of badly checked padding (CVE-2006-4339 and its heirs).
MIN_RSA_EXPONENT = 65537

_HASHES: dict[HashId, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    HashId.SHA2_256: hashes.SHA256,
    HashId.SHA2_384: hashes.SHA384,
    HashId.SHA2_512: hashes.SHA512,
}


@dataclass(frozen=True, slots=True)
class Scheme:
    """One signature algorithm: its DER AlgorithmIdentifier, its hash, and the kind of key it needs."""

    name: str
    identifier: bytes
    hash: HashId
    key: type[RSAPublicKey] | type[ec.EllipticCurvePublicKey] | type[Ed25519PublicKey] | type[Ed448PublicKey]
    pss: bool = False
    #: Further encodings that are accepted from a peer, never written.
    variants: tuple[bytes, ...] = ()

    @property
    def encodings(self) -> tuple[bytes, ...]:
        """Every AlgorithmIdentifier that names this scheme."""
        return (self.identifier, *self.variants)


_NULL = b"\x05\x00"
_OID_RSA_PSS = bytes.fromhex("06092a864886f70d01010a")
_OID_MGF1 = bytes.fromhex("06092a864886f70d010108")
#: A PSS key whose owner did not restrict it to one hash and salt (RFC 4055 1.2).
_PSS_WITHOUT_PARAMETERS = b"\x30\x0b" + _OID_RSA_PSS


def _rsa(name: str, last: int, hash_id: HashId) -> Scheme:
    oid = bytes.fromhex("06092a864886f70d0101") + bytes([last])
    # The NULL belongs there, its absence must be accepted (RFC 4055 5).
    return Scheme(name, _tlv(0x30, oid + _NULL), hash_id, RSAPublicKey, variants=(_tlv(0x30, oid),))


def _pss(name: str, last: int, salt: int, hash_id: HashId) -> Scheme:
    # NULL or nothing after a hash are the same (RFC 4055 2.1). RFC 7427 A.4.3 spells out the default trailer
    # field, which is not DER, and implementations copied it.
    forms = product((_NULL, b""), (_NULL, b""), (b"", bytes.fromhex("a303020101")))
    first, *others = (_pss_identifier(last, salt, *form) for form in forms)
    return Scheme(name, first, hash_id, RSAPublicKey, pss=True, variants=tuple(others))


def _pss_identifier(last: int, salt: int, hash_end: bytes, mask_end: bytes, trailer: bytes) -> bytes:
    """RSASSA-PSS with explicit parameters (RFC 4055 3.1): hash, MGF1 with that hash, salt."""
    oid = bytes.fromhex("06096086480165030402") + bytes([last])
    message = _tlv(0xA0, _tlv(0x30, oid + hash_end))
    mask = _tlv(0xA1, _tlv(0x30, _OID_MGF1 + _tlv(0x30, oid + mask_end)))
    length = _tlv(0xA2, bytes([2, 1, salt]))
    return _tlv(0x30, _OID_RSA_PSS + _tlv(0x30, message + mask + length + trailer))


def _tlv(tag: int, content: bytes) -> bytes:
    """A DER element; all of ours are shorter than 128 octets."""
    return bytes((tag, len(content))) + content


def _ecdsa(name: str, last: str, hash_id: HashId) -> Scheme:
    return Scheme(name, bytes.fromhex("300a06082a8648ce3d0403" + last), hash_id, ec.EllipticCurvePublicKey)


#: The algorithms of RFC 7427 appendix A and RFC 8420 that we accept and use.
SCHEMES: tuple[Scheme, ...] = (
    _rsa("RSA with SHA-256", 0x0B, HashId.SHA2_256),
    _rsa("RSA with SHA-384", 0x0C, HashId.SHA2_384),
    _rsa("RSA with SHA-512", 0x0D, HashId.SHA2_512),
    _pss("RSASSA-PSS with SHA-256", 1, 32, HashId.SHA2_256),
    _pss("RSASSA-PSS with SHA-384", 2, 48, HashId.SHA2_384),
    _pss("RSASSA-PSS with SHA-512", 3, 64, HashId.SHA2_512),
    _ecdsa("ECDSA with SHA-256", "02", HashId.SHA2_256),
    _ecdsa("ECDSA with SHA-384", "03", HashId.SHA2_384),
    _ecdsa("ECDSA with SHA-512", "04", HashId.SHA2_512),
    Scheme("Ed25519", bytes.fromhex("300506032b6570"), HashId.IDENTITY, Ed25519PublicKey),
    Scheme("Ed448", bytes.fromhex("300506032b6571"), HashId.IDENTITY, Ed448PublicKey),
)
_BY_IDENTIFIER = {encoding: scheme for scheme in SCHEMES for encoding in scheme.encodings}
#: What is accepted where a caller does not say: every hash of the table, so never SHA-1.
STRONG_HASHES = frozenset(scheme.hash for scheme in SCHEMES)

#: The classic ECDSA methods fix curve and hash; the signature is r | s (RFC 4754 3).
_CLASSIC: dict[AuthMethod, tuple[HashId, type[ec.EllipticCurve]]] = {
    AuthMethod.ECDSA_SHA256_P256: (HashId.SHA2_256, ec.SECP256R1),
    AuthMethod.ECDSA_SHA384_P384: (HashId.SHA2_384, ec.SECP384R1),
    AuthMethod.ECDSA_SHA512_P521: (HashId.SHA2_512, ec.SECP521R1),
}


class KeySigner:
    """Our private key, as the Signer port."""

    __slots__ = ("_key", "_schemes", "_sha1", "public_key")

    def __init__(
        self, key: PrivateKey, *, pss: bool = False, sha1: bool = False, certified: bytes = b""
    ) -> None:
        """`pss`: an RSA key signs by RSASSA-PSS; `sha1`: by method 1 where the peer knows nothing better.

        `certified` is the SubjectPublicKeyInfo of our certificate: an RSA key that it restricts to RSASSA-PSS
        signs by nothing else. Raises ValueError where no algorithm is left.
        """
        public = key.public_key()
        self.public_key: bytes = _restricted(public, certified) or public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._key, self._schemes = key, _schemes_of(public, self.public_key, pss)
        self._sha1 = sha1 and not self._schemes[0].pss and isinstance(key, RSAPrivateKey)

    def sign(self, octets: bytes, peer_hashes: frozenset[HashId], /) -> tuple[AuthMethod, bytes]:
        """Sign by method 14 with the first scheme that suits our key and the peer's hashes.

        An ECDSA key prefers the hash of its curve; for a peer that named no hashes, so does not know method
        14, it signs by the classic method of its curve. Raises AuthError (UNSUPPORTED_METHOD) where nothing
        suits: to such a peer an RSA key could only offer method 1, which is SHA-1 and must be asked for.
        """
        if not peer_hashes and isinstance(self._key, ec.EllipticCurvePrivateKey):
            return _sign_classic(self._key, octets)
        if not peer_hashes and self._sha1 and isinstance(self._key, RSAPrivateKey):
            return AuthMethod.RSA_SIGNATURE, self._key.sign(octets, padding.PKCS1v15(), hashes.SHA1())
        scheme = self._choose(peer_hashes)
        signature = _sign(self._key, scheme, octets)
        return AuthMethod.DIGITAL_SIGNATURE, bytes([len(scheme.identifier)]) + scheme.identifier + signature

    def _choose(self, peer_hashes: frozenset[HashId]) -> Scheme:
        for scheme in self._schemes:
            if scheme.hash in peer_hashes:
                return scheme
        ours = ", ".join(scheme.name for scheme in self._schemes)
        detail = (
            f"our {_kind(self._key.public_key())} key signs by {ours}; the peer accepts "
            f"{_listed(peer_hashes) or 'none of it, it announced no hashes (RFC 7427)'}"
        )
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)

    def __repr__(self) -> str:
        return f"<KeySigner {type(self._key).__name__}>"


_CURVE_HASHES = {"secp256r1": HashId.SHA2_256, "secp384r1": HashId.SHA2_384, "secp521r1": HashId.SHA2_512}


def _restricted(public: PublicKey, certified: bytes) -> bytes:
    """`certified` where it is this key and for RSASSA-PSS alone (RFC 4055 1.2), else nothing."""
    try:
        same = bool(certified) and _load_public(certified) == public
    except AuthError:
        return b""
    return certified if same and _pss_only(certified) else b""


def _schemes_of(public: PublicKey, spki: bytes, pss: bool) -> tuple[Scheme, ...]:
    """What a key can sign by, best first: of ECDSA's hashes, that of the curve's size."""
    wanted = _CURVE_HASHES.get(public.curve.name) if isinstance(public, ec.EllipticCurvePublicKey) else None
    pss = pss or _pss_only(spki)
    suited = [s for s in SCHEMES if _suits(public, spki, s) and s.pss is pss]
    if not suited:
        raise ValueError("the certificate restricts the RSA key to an RSASSA-PSS that is not supported")
    return tuple(sorted(suited, key=lambda s: s.hash != wanted))


def load_signer(pem: bytes, *, pss: bool = False, sha1: bool = False, certified: bytes = b"") -> KeySigner:
    """The signer of an unencrypted PEM private key: PKCS#8, or the traditional form.

    The options are those of `KeySigner`. Raises ValueError, which says what to do, where it is no such key,
    encrypted, of a foreign kind, or weak.
    """
    try:
        # The library would test whether the primes are prime, half a second for RSA-4096; `_check_rsa` shows
        # in milliseconds what matters here: that the key signs.
        key = serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise ValueError("the private key is encrypted; store it without a passphrase, mode 0600") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("not a private key in PEM form (PKCS#8: -----BEGIN PRIVATE KEY-----)") from None
    if not isinstance(key, RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey | Ed448PrivateKey):
        raise ValueError("the private key must be RSA, ECDSA, Ed25519 or Ed448")
    weakness = _weakness(key.public_key())
    if weakness:
        raise ValueError(f"the private key is refused: {weakness}")
    if pss and not isinstance(key, RSAPrivateKey):
        raise ValueError("RSASSA-PSS needs an RSA key")
    if isinstance(key, RSAPrivateKey):
        _check_rsa(key)
    return KeySigner(key, pss=pss, sha1=sha1, certified=certified)


def _check_rsa(key: RSAPrivateKey) -> None:
    """Refuse numbers that do not belong together, then a key that does not make a good signature.

    The numbers come first: nothing is computed with ones that the library's arithmetic was not made for.
    Raises ValueError.
    """
    numbers, octets = key.private_numbers(), b"trial"
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    p, q, d = numbers.p, numbers.q, numbers.d
    sound = (
        min(p, q) > 1
        and p * q == n
        and (e * d % (p - 1), e * d % (q - 1)) == (1, 1)
        and (numbers.dmp1, numbers.dmq1) == (d % (p - 1), d % (q - 1))
        and numbers.iqmp * q % p == 1
    )
    try:
        if not sound:
            raise InvalidSignature
        signature = key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, octets, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, InternalError, ValueError):
        raise ValueError("the numbers of the RSA key do not belong together; issue the key again") from None


def verify_auth(
    public_key: bytes,
    method: AuthMethod,
    data: bytes,
    octets: bytes,
    accepted: frozenset[HashId] = STRONG_HASHES,
) -> str:
    """Verify an AUTH payload over `octets` with the key of a SubjectPublicKeyInfo; returns the name of the
    algorithm that method 14 chose, nothing for a method that says it itself.

    Accepts method 14 and the classic ECDSA methods 9 to 11 with the hashes `accepted`; method 1 only where
    SHA1 is one of these. Raises AuthError: UNSUPPORTED_METHOD, BAD_SIGNATURE, WEAK_KEY,
    MALFORMED_CERTIFICATE.
    """
    if method == AuthMethod.DIGITAL_SIGNATURE:
        end = 1 + data[0] if data else 1
        if len(data) < end:
            raise AuthError(
                AuthFailure.BAD_SIGNATURE, "the AUTH data ends before its AlgorithmIdentifier does"
            )
        verify_signature(public_key, data[1:end], data[end:], octets, accepted)
        return _BY_IDENTIFIER[data[1:end]].name
    if method == AuthMethod.RSA_SIGNATURE:
        _verify_rsa_sha1(public_key, data, octets, accepted)
    elif method in _CLASSIC:
        _verify_classic(public_key, method, data, octets, accepted)
    else:
        known = ", ".join(map(str, (AuthMethod.DIGITAL_SIGNATURE, *_CLASSIC)))
        detail = f"the peer authenticates by {method}, accepted are {known}"
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)
    return ""


def _verify_rsa_sha1(public_key: bytes, data: bytes, octets: bytes, accepted: frozenset[HashId]) -> None:
    """Method 1: RSASSA-PKCS1-v1_5 with SHA-1 (RFC 7296 3.8)."""
    if HashId.SHA1 not in accepted:
        detail = (
            f"the peer signed by {AuthMethod.RSA_SIGNATURE}, which is RSA with SHA-1; accepted are "
            f"{_listed(accepted)} by {AuthMethod.DIGITAL_SIGNATURE} (local.sha1 would accept it)"
        )
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)
    key = _load_public(public_key)
    if not isinstance(key, RSAPublicKey) or _pss_only(public_key):
        raise _misfit(str(AuthMethod.RSA_SIGNATURE), key)
    _checked(lambda: key.verify(data, octets, padding.PKCS1v15(), hashes.SHA1()))


def _verify_classic(
    public_key: bytes, method: AuthMethod, data: bytes, octets: bytes, accepted: frozenset[HashId]
) -> None:
    key = _load_public(public_key)
    hash_id, curve = _CLASSIC[method]
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, curve):
        raise _misfit(str(method), key)
    _check_hash(hash_id, accepted)
    half = -(-key.curve.key_size // 8)
    if len(data) != 2 * half:
        raise _bad_signature()
    r, s = int.from_bytes(data[:half]), int.from_bytes(data[half:])
    _checked(lambda: key.verify(encode_dss_signature(r, s), octets, ec.ECDSA(_HASHES[hash_id]())))


def verify_signature(
    public_key: bytes,
    identifier: bytes,
    signature: bytes,
    octets: bytes,
    accepted: frozenset[HashId] = STRONG_HASHES,
) -> None:
    """Verify a signature by the scheme a DER AlgorithmIdentifier names, with one of the hashes `accepted`.

    Raises as `verify_auth`.
    """
    scheme = _BY_IDENTIFIER.get(identifier)
    if scheme is None:
        known = ", ".join(s.name for s in SCHEMES)
        detail = f"the signature algorithm ({identifier.hex() or 'none'}) is not one of {known}"
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)
    key = _load_public(public_key)
    if not _suits(key, public_key, scheme):
        raise _misfit(scheme.name, key)
    _check_hash(scheme.hash, accepted)
    _checked(lambda: _verify(key, scheme, signature, octets))


@lru_cache(MAX_REMEMBERED)
def _load_public(octets: bytes) -> PublicKey:
    try:
        key = serialization.load_der_public_key(octets)
    except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError):
        raise AuthError(AuthFailure.MALFORMED_CERTIFICATE, "the public key cannot be read") from None
    if not isinstance(key, RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey):
        raise AuthError(AuthFailure.WEAK_KEY, "the public key must be RSA, ECDSA, Ed25519 or Ed448")
    weakness = _weakness(key)
    if weakness:
        raise AuthError(AuthFailure.WEAK_KEY, f"the public key is refused: {weakness}")
    return key


def _check_hash(used: HashId, accepted: frozenset[HashId]) -> None:
    """Raises AuthError where the peer signed with a hash that was not announced to it (RFC 7427 4)."""
    if used not in accepted:
        detail = f"the peer signed with {used}, we announced {_listed(accepted)}"
        raise AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)


def _misfit(wanted: str, key: PublicKey) -> AuthError:
    detail = f"{wanted} does not fit the key of the certificate, which is {_kind(key)}"
    return AuthError(AuthFailure.UNSUPPORTED_METHOD, detail)


def _kind(key: PublicKey) -> str:
    """A key for people: `RSA-2048`, `ECDSA secp256r1`, `Ed25519`."""
    match key:
        case RSAPublicKey():
            return f"RSA-{key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"ECDSA {key.curve.name}"
        case Ed25519PublicKey():
            return "Ed25519"
        case _:
            return "Ed448"


def _listed(named: frozenset[HashId]) -> str:
    return ", ".join(str(hash_id) for hash_id in sorted(named))


def _suits(key: PublicKey, spki: bytes, scheme: Scheme) -> bool:
    """Whether the key is of the scheme's kind.

    A key of the kind id-RSASSA-PSS is for PSS alone, and parameters restrict it further (RFC 4055 1.2, 3.1).
    """
    if not isinstance(key, scheme.key):
        return False
    if not _pss_only(spki):
        return True
    return scheme.pss and _algorithm(spki) in (_PSS_WITHOUT_PARAMETERS, *scheme.encodings)


def _pss_only(spki: bytes) -> bool:
    return _algorithm(spki).startswith(_OID_RSA_PSS, 2)


def _algorithm(spki: bytes) -> bytes:
    """The AlgorithmIdentifier of a SubjectPublicKeyInfo that was loaded before."""
    start = 2 + (spki[1] & 0x7F if spki[1] & 0x80 else 0)
    return spki[start : start + 2 + spki[start + 1]]


def _weakness(key: PublicKey) -> str:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return (
            ""
            if key.curve.name in _CURVE_HASHES
            else f"the curve {key.curve.name}; use P-256, P-384 or P-521"
        )
    if not isinstance(key, RSAPublicKey):
        return ""
    numbers = key.public_numbers()
    if not MIN_RSA_BITS <= numbers.n.bit_length() <= MAX_RSA_BITS:
        return f"RSA with {numbers.n.bit_length()} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
    if numbers.n % 2 == 0 or numbers.e % 2 == 0 or numbers.e < MIN_RSA_EXPONENT:
        return f"the RSA modulus and exponent must be odd and the exponent at least {MIN_RSA_EXPONENT}"
    if numbers.e.bit_length() > MAX_RSA_EXPONENT_BITS:
        return (
            f"an RSA exponent of {numbers.e.bit_length()} bits; at most {MAX_RSA_EXPONENT_BITS} are accepted"
        )
    return ""


def _sign(key: PrivateKey, scheme: Scheme, octets: bytes) -> bytes:
    if isinstance(key, RSAPrivateKey):
        return key.sign(octets, _padding(scheme), _HASHES[scheme.hash]())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(octets, ec.ECDSA(_HASHES[scheme.hash]()))
    return key.sign(octets)


def _sign_classic(key: ec.EllipticCurvePrivateKey, octets: bytes) -> tuple[AuthMethod, bytes]:
    """Method 9, 10 or 11: r | s, each as long as the order of the curve (RFC 4754 3)."""
    method, hash_id = next((m, h) for m, (h, curve) in _CLASSIC.items() if isinstance(key.curve, curve))
    half = -(-key.curve.key_size // 8)
    r, s = decode_dss_signature(key.sign(octets, ec.ECDSA(_HASHES[hash_id]())))
    return method, r.to_bytes(half) + s.to_bytes(half)


def _verify(key: PublicKey, scheme: Scheme, signature: bytes, octets: bytes) -> None:
    if isinstance(key, RSAPublicKey):
        key.verify(signature, octets, _padding(scheme), _HASHES[scheme.hash]())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, octets, ec.ECDSA(_HASHES[scheme.hash]()))
    else:
        key.verify(signature, octets)


def _padding(scheme: Scheme) -> padding.PSS | padding.PKCS1v15:
    if not scheme.pss:
        return padding.PKCS1v15()
    digest = _HASHES[scheme.hash]()
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def _checked(verify: Callable[[], None]) -> None:
    try:
        verify()
    except (InvalidSignature, ValueError):
        raise _bad_signature() from None


def _bad_signature() -> AuthError:
    return AuthError(
        AuthFailure.BAD_SIGNATURE, "the signature does not verify with the key of the certificate"
    )
