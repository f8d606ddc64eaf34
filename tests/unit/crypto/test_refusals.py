"""What our own checks and the library's must agree on, and what a peer's choice may turn into."""

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from node.crypto import modp, signature
from node.crypto.kex import generate, public_size
from node.crypto.signature import load_signer
from node.errors import DropReason, PeerMisbehaved
from node.model.registry import KeId
from node.pki import keys as pki_keys
from tests.unit.crypto.support import pem


@pytest.mark.parametrize(
    "name", ["MIN_RSA_BITS", "MAX_RSA_BITS", "MIN_RSA_EXPONENT", "MAX_RSA_EXPONENT_BITS"]
)
def test_paths_and_signatures_judge_rsa_keys_by_the_same_numbers(name: str) -> None:
    assert getattr(pki_keys, name) == getattr(signature, name)


def test_the_smallest_rsa_exponent_is_the_usual_one() -> None:
    assert signature.MIN_RSA_EXPONENT == 65537


def test_a_public_value_that_the_library_refuses_is_the_peers_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> bytes:
        raise ValueError("Error computing shared key.")

    pair, size = generate(KeId.MODP_2048), public_size(KeId.MODP_2048)
    monkeypatch.setattr(modp, "exchange", refuses)
    with pytest.raises(PeerMisbehaved, match="the library refuses it") as caught:
        pair.shared((2).to_bytes(size))
    assert caught.value.reason is DropReason.BAD_KE
    assert caught.value.__suppress_context__


def foreign(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("why", "text", "told"),
    [
        ("DSA", foreign(dsa.generate_private_key(1024)), "must be RSA, ECDSA, Ed25519 or Ed448"),
        ("X25519", foreign(x25519.X25519PrivateKey.generate()), "must be RSA, ECDSA, Ed25519 or Ed448"),
        ("secp256k1", pem(ec.generate_private_key(ec.SECP256K1())), "secp256k1; use P-256, P-384 or P-521"),
        (
            "brainpool",
            pem(ec.generate_private_key(ec.BrainpoolP256R1())),
            "brainpoolP256r1; use P-256, P-384 or P-521",
        ),
        (
            "a certificate",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "not a private key",
        ),
        ("NUL octets", bytes(64), "not a private key in PEM form"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 16 else "",
)
def test_foreign_private_keys_say_what_is_accepted(why: str, text: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        load_signer(text)
    assert "\n" not in str(caught.value), why


def test_a_key_behind_its_parameters_loads() -> None:
    """As `openssl ecparam -genkey` writes it."""
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    key = ec.generate_private_key(ec.SECP256R1())
    assert (
        load_signer(parameters + pem(key, "TraditionalOpenSSL")).public_key
        == load_signer(pem(key)).public_key
    )
