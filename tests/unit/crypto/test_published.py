"""What others published for the algorithms, and textbook arithmetic: nothing here is checked against itself.

AES-CBC and AES-GCM with all key lengths, RSA, RSASSA-PSS, ECDSA and EdDSA; test_prf.py, test_aead.py,
test_keymat.py and test_kex.py have those of HMAC, ChaCha20-Poly1305, the key derivation and the key exchange.
The last test holds the list complete.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from node.crypto.aead import AeadSealer, sealer
from node.crypto.signature import SCHEMES, KeySigner, verify_auth, verify_signature
from node.errors import AuthError, AuthFailure, IntegrityError
from node.model.child import DirectionKeys
from node.model.registry import AuthMethod, EncrId, HashId, IntegId
from node.model.secret import Secret
from tests.unit.crypto.published import Record, records
from tests.unit.crypto.signing import BY_NAME, DIGITAL, SHA2, auth_data, failure
from tests.unit.crypto.support import cases, encryption, octets, rsa_key, spki

MAC = Secret(bytes(range(32)))
CURVES: dict[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
HASHES = ("SHA256", "SHA384", "SHA512")


def scheme(kind: str, digest: str) -> bytes:
    """The AlgorithmIdentifier of RSA, RSASSA-PSS or ECDSA with a hash."""
    return BY_NAME[f"{kind} with {digest.replace('SHA', 'SHA-')}"].identifier


def public(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


# Encryption


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("kind", ["MMT", "GFSbox", "KeySbox", "VarKey", "VarTxt"])
def test_aes_cbc_of_nist(bits: int, kind: str) -> None:
    """NIST CAVS 11.1, AESVS: what stands between our IV and our ICV is the published ciphertext."""
    found = list(records(f"ciphers/AES/CBC/CBC{kind}{bits}.rsp"))
    assert len(found) >= 10
    for case in found:
        key, iv, plain, ciphertext = octets(case, "KEY", "IV", "PLAINTEXT", "CIPHERTEXT")
        # An IV of our choice needs entropy that encrypts to it.
        block = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
        answers = iter([bytes(16), block.update(iv)])
        keys = DirectionKeys(Secret(key), MAC)
        transform = encryption(EncrId.ENCR_AES_CBC, bits)
        one = sealer(transform, IntegId.AUTH_HMAC_SHA2_256_128, keys, lambda _, a=answers: next(a))
        blob = one.seal(b"", plain)
        assert blob[:-16] == iv + ciphertext
        assert one.open(b"", blob) == plain


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes_gcm_of_nist(bits: int) -> None:
    """NIST CAVS 14.0: those with a nonce of 96 bits and a tag of 128 are what IKE and ESP have."""
    seen = 0
    for case in records(f"ciphers/AES/GCM/gcmEncryptExtIV{bits}.rsp"):
        if not {"IVlen = 96", "Taglen = 128"} <= set(case["section"].split(",")):
            continue
        key, nonce, plain, aad, text, tag = octets(case, "Key", "IV", "PT", "AAD", "CT", "Tag")
        keys = DirectionKeys(Secret(key + nonce[:4]), Secret(b""))
        one = sealer(encryption(EncrId.ENCR_AES_GCM_16, bits), IntegId.NONE, keys, os.urandom)
        assert isinstance(one, AeadSealer)
        one._iv = int.from_bytes(nonce[4:])
        assert one.seal(aad, plain) == nonce[4:] + text + tag
        assert one.open(aad, nonce[4:] + text + tag) == plain
        with pytest.raises(IntegrityError):
            one.open(aad, nonce[4:] + text + bytes((tag[0] ^ 1,)) + tag[1:])
        seen += 1
    assert seen >= 300


# ECDSA


@pytest.mark.parametrize("case", cases("rfc/ecdsa_rfc4754.json"), ids=lambda c: str(c["method"]))
def test_the_auth_payloads_of_rfc_4754(case: dict[str, Any]) -> None:
    x, y, message, r, s, payload = octets(case, "gwx", "gwy", "message", "r", "s", "auth_payload")
    curve = list(CURVES.values())[case["method"] - 9]
    key = public(ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y))
    verify_auth(key, AuthMethod(case["method"]), r + s, message)
    # Printed with the method in the second octet behind the generic header, where RFC 7296 3.8 has the first.
    assert payload == bytes((0, 0, *len(payload).to_bytes(2), 0, case["method"], 0, 0)) + r + s
    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    verify_auth(key, DIGITAL, auth_data(scheme("ECDSA", HASHES[case["method"] - 9]), der), message)
    assert failure(key, AuthMethod(case["method"]), s + r, message) is AuthFailure.BAD_SIGNATURE


@pytest.mark.parametrize("digest", HASHES)
@pytest.mark.parametrize("curve", CURVES)
def test_ecdsa_of_nist(curve: str, digest: str) -> None:
    """NIST CAVS 11.2, SigVer: every curve with every hash, good ones and bad ones."""
    verdicts = []
    for case in records("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp"):
        if case["section"] != f"{curve},{digest.replace('SHA', 'SHA-')}":
            continue
        good = case["Result"].startswith("P")
        verdicts.append(good)
        found = _verdict_of_ecdsa(case, CURVES[curve], scheme("ECDSA", digest))
        assert found == good, case["Result"]
    assert set(verdicts) == {True, False}
    assert len(verdicts) == 15


def _verdict_of_ecdsa(case: Record, curve: ec.EllipticCurve, identifier: bytes) -> bool:
    x, y, r, s = (int(case[name], 16) for name in ("Qx", "Qy", "R", "S"))
    try:
        key = public(ec.EllipticCurvePublicNumbers(x, y, curve).public_key())
    except ValueError:
        return False
    return _accepts(key, identifier, encode_dss_signature(r, s), bytes.fromhex(case["Msg"]))


def _accepts(key: bytes, identifier: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature verifies; that it does not must be the only complaint."""
    reason = None
    try:
        verify_signature(key, identifier, signature, message)
    except AuthError as error:
        reason = error.failure
    assert reason in (None, AuthFailure.BAD_SIGNATURE)
    return reason is None


# RSA


def rsa_records(file: str) -> Iterator[tuple[Record, bytes]]:
    """The records with keys and hashes that we accept, and the key."""
    for case in records(f"asymmetric/RSA/FIPS_186-2/{file}"):
        numbers = rsa.RSAPublicNumbers(int(case["e"], 16), int(case["n"], 16))
        if numbers.e == 65_537 and numbers.n.bit_length() >= 2048 and case["SHAAlg"] in HASHES:
            yield case, public(numbers.public_key())


def test_rsa_of_nist() -> None:
    """NIST CAVS 11.0, SigVer PKCS#1 v1.5 with 2048, 3072 and 4096 bits."""
    seen = set()
    for case, key in rsa_records("SigVer15_186-3.rsp"):
        signature, message = octets(case, "S", "Msg")
        good = case["Result"].startswith("P")
        assert _accepts(key, scheme("RSA", case["SHAAlg"]), signature, message) == good, case["Result"]
        seen.add((case["section"], case["SHAAlg"], good))
    assert {(bits, digest) for bits, digest, good in seen if good} == {
        (f"mod = {bits}", digest) for bits in (2048, 3072, 4096) for digest in HASHES
    }
    assert {good for *_, good in seen} == {True, False}


def test_pss_of_nist_has_salts_that_we_refuse() -> None:
    """NIST CAVS 11.0, SigVer RSASSA-PSS: salts of ten octets, where RFC 7427 wants those of the hash."""
    seen = 0
    for case, key in rsa_records("SigVerPSS_186-3.rsp"):
        signature, message = octets(case, "S", "Msg")
        assert not _accepts(key, scheme("RSASSA-PSS", case["SHAAlg"]), signature, message)
        seen += case["Result"].startswith("P")
    assert seen


def test_a_pss_certificate_that_somebody_else_signed() -> None:
    """Issued by itself with OpenSSL's command: SHA-256, MGF1 with it, a salt of 32 octets."""
    with cryptography_vectors.open_vector_file("x509/custom/rsa_pss_cert.pem", "rb") as file:
        one = x509.load_pem_x509_certificate(file.read())
    key, identifier = public(one.public_key()), scheme("RSASSA-PSS", "SHA256")
    assert _accepts(key, identifier, one.signature, one.tbs_certificate_bytes)
    assert not _accepts(key, identifier, one.signature, one.tbs_certificate_bytes + b"\0")


def mgf1(seed: bytes, size: int, digest: str) -> bytes:
    """RFC 8017 B.2.1."""
    blocks = (hashlib.new(digest, seed + n.to_bytes(4)).digest() for n in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def pss_block(message: bytes, salt: bytes, digest: str) -> bytes:
    """EMSA-PSS-ENCODE of RFC 8017 9.1.1 for a modulus of 2048 bits."""
    hashed = hashlib.new(digest, bytes(8) + hashlib.new(digest, message).digest() + salt).digest()
    db = bytes(256 - len(hashed) - len(salt) - 2) + b"\1" + salt
    masked = bytes(a ^ b for a, b in zip(db, mgf1(hashed, len(db), digest), strict=True))
    return bytes((masked[0] & 0x7F,)) + masked[1:] + hashed + b"\xbc"


def salt_of(block: bytes, digest: str) -> bytes:
    """The salt in a block that EMSA-PSS-ENCODE made."""
    size = hashlib.new(digest).digest_size
    masked, hashed = block[: -size - 1], block[-size - 1 : -1]
    return bytes(a ^ b for a, b in zip(masked, mgf1(hashed, len(masked), digest), strict=True))[-size:]


@pytest.mark.parametrize("digest", HASHES)
def test_pss_is_the_arithmetic_of_rfc_8017(digest: str) -> None:
    """Both ways with plain integers: what we sign has that form, what has that form verifies."""
    numbers = rsa_key().private_numbers()
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    name, message = digest.lower(), b"what is signed"
    hash_id = HashId[f"SHA2_{digest[3:]}"]
    method, data = KeySigner(rsa_key(), pss=True).sign(message, frozenset({hash_id}))
    identifier = scheme("RSASSA-PSS", digest)
    assert (method, data[1 : 1 + data[0]]) == (DIGITAL, identifier)
    block = pow(int.from_bytes(data[1 + data[0] :]), e, n).to_bytes(256)
    assert block == pss_block(message, salt_of(block, name), name)
    salt = os.urandom(hashlib.new(name).digest_size)
    made = pow(int.from_bytes(pss_block(message, salt, name)), numbers.d, n).to_bytes(256)
    assert _accepts(spki(rsa_key()), identifier, made, message)
    assert not _accepts(spki(rsa_key()), identifier, made, message + b"!")


# EdDSA

EDDSA = cases("rfc/eddsa_rfc8032.json")


@pytest.mark.parametrize("case", EDDSA, ids=lambda c: f"{c['algorithm']}-{c['name']}")
def test_signatures_of_rfc_8032(case: dict[str, Any]) -> None:
    secret, shown, message, signature = octets(case, "secret", "public", "message", "signature")
    kind: Any = ed25519.Ed25519PrivateKey if case["algorithm"] == "Ed25519" else ed448.Ed448PrivateKey
    key = kind.from_private_bytes(secret)
    identifier = BY_NAME[case["algorithm"]].identifier
    assert key.public_key().public_bytes_raw() == shown
    signed = KeySigner(key).sign(message, SHA2 | {HashId.IDENTITY})
    assert signed == (DIGITAL, auth_data(identifier, signature))
    assert _accepts(spki(key), identifier, signature, message)
    assert not _accepts(spki(key), identifier, signature, message + b"\0")


def test_every_scheme_is_among_them() -> None:
    """RSA, RSASSA-PSS and ECDSA with each hash, and both kinds of EdDSA: a new scheme needs its vectors."""
    shown = {BY_NAME[case["algorithm"]].identifier for case in EDDSA}
    shown |= {scheme(kind, digest) for kind in ("RSA", "RSASSA-PSS", "ECDSA") for digest in HASHES}
    assert shown == {one.identifier for one in SCHEMES}
