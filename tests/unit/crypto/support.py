"""Vectors and keys that the tests of the algorithms share."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from node.model.proposal import Transform
from node.model.registry import EncrId, IntegId, TransformType

VECTORS = Path(__file__).parents[2] / "vectors"

PrivateKey = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
)

#: Every pair of transforms that may protect a packet.
PROTECTIONS: tuple[tuple[EncrId, int | None, IntegId], ...] = (
    (EncrId.ENCR_AES_CBC, 128, IntegId.AUTH_HMAC_SHA2_256_128),
    (EncrId.ENCR_AES_CBC, 192, IntegId.AUTH_HMAC_SHA2_384_192),
    (EncrId.ENCR_AES_CBC, 256, IntegId.AUTH_HMAC_SHA2_512_256),
    (EncrId.ENCR_AES_GCM_16, 128, IntegId.NONE),
    (EncrId.ENCR_AES_GCM_16, 192, IntegId.NONE),
    (EncrId.ENCR_AES_GCM_16, 256, IntegId.NONE),
    (EncrId.ENCR_CHACHA20_POLY1305, None, IntegId.NONE),
    (EncrId.ENCR_NULL, None, IntegId.AUTH_HMAC_SHA2_256_128),
)


def encryption(number: EncrId, bits: int | None = None) -> Transform:
    """An ENCR transform."""
    return Transform(TransformType.ENCR, number, bits)


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of a file of vectors."""
    found: list[dict[str, Any]] = json.loads((VECTORS / name).read_text())["cases"]
    return found


def octets(case: dict[str, Any], *names: str) -> list[bytes]:
    """Hexadecimal fields of a case."""
    return [bytes.fromhex(case[name]) for name in names]


@cache
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    """One RSA key of each kind for the whole run: making one is slow."""
    return rsa.generate_private_key(exponent, bits)


def spki(key: PrivateKey) -> bytes:
    """SubjectPublicKeyInfo of a private key's public half."""
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def pem(key: PrivateKey, form: str = "PKCS8", passphrase: bytes = b"") -> bytes:
    """A private key in PEM, traditional or PKCS#8, encrypted where there is a passphrase."""
    protection = serialization.BestAvailableEncryption(passphrase) if passphrase else None
    return key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        protection or serialization.NoEncryption(),
    )
