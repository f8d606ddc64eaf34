"""Private keys: the kinds on offer, making, loading, and whether one belongs to a certificate.

1. On disk a key is PKCS#8, unencrypted PEM.
2. A key belongs to a certificate when a signature made with it verifies with the certificate; comparing
   public numbers alone would miss a damaged private half.
"""

from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

PKCS8_LABEL = b"-----BEGIN PRIVATE KEY-----"
# FIPS 186-5 allows larger ones, every peer accepts this one.
RSA_EXPONENT = 65537
_PROOF = b"ipsec lab: this key belongs to this certificate"


class KeyType(StrEnum):
    """The kinds of key on offer."""

    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    ECDSA_P521 = "ecdsa-p521"
    ED25519 = "ed25519"
    ED448 = "ed448"


class KeyUnusable(Exception):
    """The octets are not a private key this program can use; the message says why, not where."""


def generate(key_type: KeyType) -> PrivateKey:
    """Make a private key. RSA-4096 takes from a fraction of a second to several seconds."""
    match key_type:
        case KeyType.RSA2048:
            return rsa.generate_private_key(RSA_EXPONENT, 2048)
        case KeyType.RSA3072:
            return rsa.generate_private_key(RSA_EXPONENT, 3072)
        case KeyType.RSA4096:
            return rsa.generate_private_key(RSA_EXPONENT, 4096)
        case KeyType.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.ECDSA_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.ECDSA_P521:
            return ec.generate_private_key(ec.SECP521R1())
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case KeyType.ED448:
            return ed448.Ed448PrivateKey.generate()


def type_name(key: object) -> str:
    """`rsa4096`, `ecdsa-p256`, `ed25519`; kinds that are not on offer are named in the same way."""
    match key:
        case rsa.RSAPrivateKey() | rsa.RSAPublicKey():
            return f"rsa{key.key_size}"
        case ec.EllipticCurvePrivateKey() | ec.EllipticCurvePublicKey():
            return "ecdsa-" + key.curve.name.replace("secp", "p").removesuffix("r1")
        case ed25519.Ed25519PrivateKey() | ed25519.Ed25519PublicKey():
            return KeyType.ED25519.value
        case ed448.Ed448PrivateKey() | ed448.Ed448PublicKey():
            return KeyType.ED448.value
        case _:
            return type(key).__name__.lower()


def to_pem(key: PrivateKey) -> bytes:
    """The key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def from_pem(octets: bytes) -> PrivateKey:
    """Read an unencrypted PEM private key; raise `KeyUnusable` for everything else."""
    try:
        # The full RSA check costs 0.3 s per key on every start; `belongs` tests the key by using it.
        key = serialization.load_pem_private_key(octets, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        raise KeyUnusable("is encrypted with a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable("is not a PEM private key") from None
    if isinstance(key, PrivateKey):
        return key
    raise KeyUnusable(f"is a {type_name(key)}, not an RSA, ECDSA, Ed25519 or Ed448 key")


def signature_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash that `key` signs certificates with: SHA-256, with P-384 and P-521 that of the curve's size;
    Ed25519 and Ed448 bring their own."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384() if key.key_size == 384 else hashes.SHA512()
    return hashes.SHA256()


def belongs(key: PrivateKey, certificate: x509.Certificate) -> bool:
    """Is `key` the private key of `certificate`?"""
    try:
        public = certificate.public_key()
        if public != key.public_key():
            return False
        _sign_and_verify(key)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _sign_and_verify(key: PrivateKey) -> None:
    match key:
        case rsa.RSAPrivateKey():
            scheme = padding.PKCS1v15()
            signature = key.sign(_PROOF, scheme, hashes.SHA256())
            key.public_key().verify(signature, _PROOF, scheme, hashes.SHA256())
        case ec.EllipticCurvePrivateKey():
            signature = key.sign(_PROOF, ec.ECDSA(hashes.SHA256()))
            key.public_key().verify(signature, _PROOF, ec.ECDSA(hashes.SHA256()))
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            key.public_key().verify(key.sign(_PROOF), _PROOF)
