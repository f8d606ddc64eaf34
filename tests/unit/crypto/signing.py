"""Keys, good signatures and blocks made by hand, for the tests of signatures and keys."""

from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding

from node.crypto.signature import (
    SCHEMES,
    Scheme,
    verify_auth,
)
from node.errors import AuthError, AuthFailure
from node.model.registry import AuthMethod, HashId
from tests.unit.crypto.support import PrivateKey, rsa_key

OCTETS = b"what is signed"
SHA2 = frozenset({HashId.SHA2_256, HashId.SHA2_384, HashId.SHA2_512})
ALL = SHA2 | {HashId.IDENTITY}
BY_NAME = {scheme.name: scheme for scheme in SCHEMES}
DIGITAL = AuthMethod.DIGITAL_SIGNATURE
HASHES: dict[HashId, hashes.HashAlgorithm] = {
    HashId.SHA2_256: hashes.SHA256(),
    HashId.SHA2_384: hashes.SHA384(),
    HashId.SHA2_512: hashes.SHA512(),
}


@cache
def key(kind: str) -> PrivateKey:
    """One key of each kind."""
    if kind == "rsa":
        return rsa_key()
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    curves = {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}
    return ec.generate_private_key(curves[kind])


KINDS = ("rsa", "p256", "p384", "p521", "ed25519", "ed448")


def ecdsa(kind: str) -> ec.EllipticCurvePrivateKey:
    found = key(kind)
    assert isinstance(found, ec.EllipticCurvePrivateKey)
    return found


def kind_of(scheme: Scheme) -> str:
    if scheme.name.startswith("RSA"):
        return "rsa"
    return "p256" if scheme.name.startswith("ECDSA") else scheme.name.lower()


def signed(scheme: Scheme) -> bytes:
    """A good signature, made without the code under test."""
    own: Any = key(kind_of(scheme))
    if scheme.hash == HashId.IDENTITY:
        return bytes(own.sign(OCTETS))
    digest = HASHES[scheme.hash]
    if kind_of(scheme) != "rsa":
        return bytes(own.sign(OCTETS, ec.ECDSA(digest)))
    pad = padding.PSS(padding.MGF1(digest), digest.digest_size) if scheme.pss else padding.PKCS1v15()
    return bytes(own.sign(OCTETS, pad, digest))


def auth_data(identifier: bytes, signature: bytes) -> bytes:
    return bytes([len(identifier)]) + identifier + signature


def failure(public: bytes, method: AuthMethod, data: bytes, octets: bytes = OCTETS) -> AuthFailure:
    """Why verification refuses."""
    with pytest.raises(AuthError) as caught:
        verify_auth(public, method, data, octets)
    return caught.value.failure


CLASSIC = {
    AuthMethod.ECDSA_SHA256_P256: ("p256", hashes.SHA256(), 32),
    AuthMethod.ECDSA_SHA384_P384: ("p384", hashes.SHA384(), 48),
    AuthMethod.ECDSA_SHA512_P521: ("p521", hashes.SHA512(), 66),
}

#: DigestInfo of SHA-256 up to the digest (RFC 8017 9.2).
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
DIGEST_INFO_WITHOUT_NULL = bytes.fromhex("302f300b0609608648016503040201 0420")


def digest_of(octets: bytes) -> bytes:
    context = hashes.Hash(hashes.SHA256())
    context.update(octets)
    return context.finalize()


def padded(info: bytes, *, first: bytes = b"\x00\x01", fill: bytes = b"\xff", tail: bytes = b"") -> bytes:
    room = 256 - len(first) - 1 - len(info) - len(tail)
    return first + fill * room + b"\0" + info + tail


INFO = DIGEST_INFO + digest_of(OCTETS)
