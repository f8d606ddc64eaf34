"""Sealers: RFC vectors through the port, tampering, wrong keys, IVs, exact sizes."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from node.crypto import aead
from node.crypto.aead import AeadSealer, encr_key_size, integ_key_size, sealer
from node.crypto.prf import prf
from node.errors import IntegrityError, LocalMisuse
from node.model.child import DirectionKeys
from node.model.registry import EncrId, IntegId, PrfId
from node.model.secret import Secret
from node.ports import Sealer
from tests.unit.crypto.support import PROTECTIONS, cases, encryption, octets

GCM, CBC, CHACHA, NULL = (
    EncrId.ENCR_AES_GCM_16,
    EncrId.ENCR_AES_CBC,
    EncrId.ENCR_CHACHA20_POLY1305,
    EncrId.ENCR_NULL,
)
SHA256 = IntegId.AUTH_HMAC_SHA2_256_128
PRFS = {
    IntegId.AUTH_HMAC_SHA2_256_128: PrfId.PRF_HMAC_SHA2_256,
    IntegId.AUTH_HMAC_SHA2_384_192: PrfId.PRF_HMAC_SHA2_384,
    IntegId.AUTH_HMAC_SHA2_512_256: PrfId.PRF_HMAC_SHA2_512,
}
every_protection = pytest.mark.parametrize(
    "protection", PROTECTIONS, ids=lambda p: f"{p[0]}-{p[1]}-{p[2]}".removesuffix("-NONE")
)
Protection = tuple[EncrId, int | None, IntegId]


def fresh_keys(protection: Protection) -> DirectionKeys:
    number, bits, integ = protection
    encr = encr_key_size(encryption(number, bits))
    return DirectionKeys(Secret(os.urandom(encr)), Secret(os.urandom(integ_key_size(integ))))


def made(protection: Protection, keys: DirectionKeys | None = None) -> Sealer:
    number, bits, integ = protection
    return sealer(encryption(number, bits), integ, keys or fresh_keys(protection), os.urandom)


def with_iv(encr: EncrId, key: bytes, iv: bytes) -> AeadSealer:
    """An AEAD sealer whose next IV is the one of a vector."""
    bits = None if encr == CHACHA else (len(key) - 4) * 8
    found = sealer(encryption(encr, bits), IntegId.NONE, DirectionKeys(Secret(key), Secret(b"")), os.urandom)
    assert isinstance(found, AeadSealer)
    found._iv = int.from_bytes(iv)
    return found


# Vectors


def aead_cases() -> Iterator[Any]:
    for name, encr in (("esp_aes_gcm_mcgrew", GCM), ("chacha20poly1305_rfc7634", CHACHA)):
        for n, case in enumerate(cases(f"rfc/{name}.json"), start=1):
            yield pytest.param(encr, case, id=f"{name}-{n}")


@pytest.mark.parametrize(("encr", "case"), list(aead_cases()))
def test_packets_of_the_aead_vectors(encr: EncrId, case: dict[str, Any]) -> None:
    key, salt, iv, aad, ciphertext, icv = octets(case, "key", "salt", "iv", "aad", "ciphertext", "icv")
    plain = bytes.fromhex(case.get("plaintext_with_trailer") or case["plaintext_with_padlen"])
    blob = iv + ciphertext + icv
    one = with_iv(encr, key + salt, iv)
    assert one.open(aad, blob) == plain
    if int.from_bytes(iv) < aead.LAST_IV:
        assert one.seal(aad, plain) == blob


@pytest.mark.parametrize("case", cases("rfc/aes_cbc_rfc3602.json"), ids=lambda c: str(c["case"]))
def test_ciphertexts_of_rfc_3602(case: dict[str, Any]) -> None:
    """CBC through the port: an IV of our choice needs entropy that encrypts to it."""
    key, iv, ciphertext = octets(case, "key", "iv", "ciphertext")
    plain = bytes.fromhex(case.get("plaintext_with_trailer") or case["plaintext"])
    integ_key = bytes(range(32))
    block = Cipher(algorithms.AES(key), modes.ECB()).decryptor()
    answers = iter([bytes(16), block.update(iv)])
    keys = DirectionKeys(Secret(key), Secret(integ_key))
    one = sealer(encryption(CBC, 128), SHA256, keys, lambda _size: next(answers))
    blob = one.seal(b"aad", plain)
    assert blob[:-16] == iv + ciphertext
    assert blob[-16:] == prf(PrfId.PRF_HMAC_SHA2_256, integ_key, b"aad" + iv + ciphertext)[:16]
    assert one.open(b"aad", blob) == plain


@pytest.mark.parametrize(
    ("integ", "case"),
    [
        pytest.param(integ, case, id=case["case"])
        for integ, name in zip(PRFS, ("AUTH256", "AUTH384", "AUTH512"), strict=True)
        for case in cases("rfc/hmac_sha2_rfc4868.json")
        if case["case"].startswith(name) and len(case["key"]) == 2 * integ_key_size(integ)
    ],
)
def test_icvs_of_rfc_4868(integ: IntegId, case: dict[str, Any]) -> None:
    key, data, icv = octets(case, "key", "data", "icv")
    one = sealer(encryption(NULL), integ, DirectionKeys(Secret(b""), Secret(key)), os.urandom)
    assert one.icv_size == len(icv)
    assert one.seal(data, b"") == icv
    assert one.seal(b"", data) == data + icv
    assert one.open(b"", data + icv) == data


def test_the_vectors_hold_each_integrity_transform() -> None:
    names = {case["case"] for case in cases("rfc/hmac_sha2_rfc4868.json")}
    assert {f"AUTH{bits}-{n}" for bits in (256, 384, 512) for n in (1, 2, 3, 4)} <= names


# Properties


@every_protection
@settings(max_examples=25, deadline=None)
@given(aad=st.binary(max_size=40), blocks=st.integers(0, 20), data=st.data())
def test_what_is_sealed_opens(protection: Protection, aad: bytes, blocks: int, data: st.DataObject) -> None:
    keys = fresh_keys(protection)
    ours, theirs = made(protection, keys), made(protection, keys)
    for size in (blocks * 16, 0, 16):
        if ours.block == 1:
            size += data.draw(st.integers(0, 15))
        plain = data.draw(st.binary(min_size=size, max_size=size))
        blob = ours.seal(aad, plain)
        assert len(blob) == ours.sealed_len(size) == size + ours.iv_size + ours.icv_size
        assert theirs.open(aad, blob) == plain


@every_protection
def test_every_single_bit_counts(protection: Protection) -> None:
    keys = fresh_keys(protection)
    ours, theirs = made(protection, keys), made(protection, keys)
    aad, plain = b"SPI|sequ", b"sixteen  octets!" * 2
    blob = ours.seal(aad, plain)
    for bit in range(8 * len(blob)):
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            theirs.open(aad, bytes(changed))
    for bit in range(8 * len(aad)):
        other = bytearray(aad)
        other[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            theirs.open(bytes(other), blob)
    assert theirs.open(aad, blob) == plain


@every_protection
def test_every_length_but_the_right_one_is_refused_alike(protection: Protection) -> None:
    keys = fresh_keys(protection)
    ours, theirs = made(protection, keys), made(protection, keys)
    blob = ours.seal(b"aad", bytes(48))
    told = set()
    for octets_ in [blob[:n] for n in range(len(blob))] + [blob + bytes(n) for n in (1, 16)] + [blob[1:]]:
        with pytest.raises(IntegrityError) as caught:
            theirs.open(b"aad", octets_)
        told.add(str(caught.value))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert told == {"the integrity check failed"}


@pytest.mark.parametrize("encr", [GCM, CHACHA])
def test_the_border_between_aad_and_blob_counts(encr: EncrId) -> None:
    """An AEAD binds it; encrypt-then-MAC does not, its callers pass an AAD that tells its own length."""
    protection = (encr, 256 if encr == GCM else None, IntegId.NONE)
    keys = fresh_keys(protection)
    blob = made(protection, keys).seal(b"12345678", bytes(64))
    one = made(protection, keys)
    for n in (1, 8, 16):
        with pytest.raises(IntegrityError):
            one.open(b"12345678" + blob[:n], blob[n:])
        with pytest.raises(IntegrityError):
            one.open(b"12345678"[:-n], b"12345678"[-n:] + blob)


@every_protection
def test_another_key_opens_nothing(protection: Protection) -> None:
    keys = fresh_keys(protection)
    blob = made(protection, keys).seal(b"aad", bytes(32))
    with pytest.raises(IntegrityError):
        made(protection).open(b"aad", blob)
    if len(keys.integ):
        other = DirectionKeys(keys.encr, Secret(bytes(len(keys.integ))))
        with pytest.raises(IntegrityError):
            made(protection, other).open(b"aad", blob)


@every_protection
def test_a_refused_blob_disturbs_nothing(protection: Protection) -> None:
    """Contexts are reused between packets; whatever came between, the next packet opens."""
    keys = fresh_keys(protection)
    ours, theirs = made(protection, keys), made(protection, keys)
    for n in range(4):
        plain = bytes([n]) * 32
        blob = ours.seal(b"aad", plain)
        with pytest.raises(IntegrityError):
            theirs.open(b"aad", blob[:-1] + bytes([blob[-1] ^ 1]))
        with pytest.raises(IntegrityError):
            theirs.open(b"aad", b"")
        assert theirs.open(b"aad", blob) == plain


@pytest.mark.parametrize("size", [1, 8, 15, 17])
def test_an_unaligned_blob_of_a_peer_with_the_key_is_refused_too(size: int) -> None:
    """Its ICV is right. Were it decrypted, the odd octets would stay in the reused context."""
    protection = (CBC, 256, SHA256)
    keys = fresh_keys(protection)
    ours, theirs = made(protection, keys), made(protection, keys)
    covered = bytes(16 + size)
    icv = prf(PrfId.PRF_HMAC_SHA2_256, keys.integ.reveal(), b"aad" + covered)[:16]
    with pytest.raises(IntegrityError):
        theirs.open(b"aad", covered + icv)
    assert theirs.open(b"aad", ours.seal(b"aad", bytes(32))) == bytes(32)


@every_protection
def test_packets_open_in_any_order(protection: Protection) -> None:
    keys = fresh_keys(protection)
    ours, theirs = made(protection, keys), made(protection, keys)
    blobs = [ours.seal(b"aad", bytes([n]) * 16) for n in range(8)]
    for n in (3, 0, 7, 1, 1, 6, 2):
        assert theirs.open(b"aad", blobs[n]) == bytes([n]) * 16


def test_decryption_waits_for_the_icv(monkeypatch: pytest.MonkeyPatch) -> None:
    protection = (CBC, 256, SHA256)
    keys = fresh_keys(protection)
    one = made(protection, keys)
    blob = one.seal(b"aad", bytes(32))

    class Refuses:
        def update(self, _data: bytes) -> bytes:
            raise AssertionError("decrypted before the ICV was verified")

    monkeypatch.setattr(one, "_decryptor", Refuses())
    with pytest.raises(IntegrityError):
        one.open(b"AAD", blob)
    with pytest.raises(AssertionError, match="before the ICV"):
        one.open(b"aad", blob)


# IVs


@pytest.mark.parametrize("encr", [GCM, CHACHA])
def test_aead_ivs_count_and_end(encr: EncrId) -> None:
    one = with_iv(encr, bytes(36), bytes(8))
    assert [one.seal(b"", b"")[:8] for _ in range(3)] == [n.to_bytes(8) for n in range(3)]
    one._iv = aead.LAST_IV - 1
    assert one.seal(b"", b"")[:8] == (aead.LAST_IV - 1).to_bytes(8)
    for _ in range(2):
        with pytest.raises(LocalMisuse, match="used up"):
            one.seal(b"", b"")
    assert one._iv == aead.LAST_IV


def test_cbc_ivs_are_unpredictable_and_are_used() -> None:
    protection = (CBC, 256, SHA256)
    keys = fresh_keys(protection)
    one = made(protection, keys)
    blobs = [one.seal(b"", bytes(32)) for _ in range(200)]
    assert len({blob[:16] for blob in blobs}) == len({blob[16:32] for blob in blobs}) == 200
    for blob in blobs[:5]:
        plain = Cipher(algorithms.AES(keys.encr.reveal()), modes.CBC(blob[:16])).decryptor()
        assert plain.update(blob[16:-16]) == bytes(32)


def test_a_cbc_iv_depends_on_fresh_entropy_each_time() -> None:
    drawn: list[int] = []

    def entropy(size: int) -> bytes:
        drawn.append(size)
        return os.urandom(size)

    one = sealer(encryption(CBC, 128), SHA256, fresh_keys((CBC, 128, SHA256)), entropy)
    before = len(drawn)
    for _ in range(3):
        one.seal(b"", bytes(16))
    assert drawn[before:] == [16, 16, 16]


# Misuse


@pytest.mark.parametrize("size", [1, 15, 17, 31])
def test_unaligned_plaintext_is_the_callers_mistake(size: int) -> None:
    with pytest.raises(LocalMisuse, match=f"{size} octets"):
        made((CBC, 256, SHA256)).seal(b"", bytes(size))


@pytest.mark.parametrize(
    ("encr", "bits", "integ", "told"),
    [
        (GCM, 256, SHA256, "its own integrity"),
        (CHACHA, None, SHA256, "its own integrity"),
        (CBC, 256, IntegId.NONE, "needs an integrity"),
        (NULL, None, IntegId.NONE, "needs an integrity"),
        (CBC, None, SHA256, "does not have keys of None bits"),
        (CBC, 512, SHA256, "does not have keys of 512 bits"),
        (CHACHA, 256, IntegId.NONE, "does not have keys of 256 bits"),
        (EncrId(4242), 128, SHA256, "EncrId_4242 is not implemented"),
        (CBC, 256, IntegId(4242), "IntegId_4242 is not implemented"),
    ],
)
def test_combinations_without_meaning(encr: EncrId, bits: int | None, integ: IntegId, told: str) -> None:
    with pytest.raises(LocalMisuse, match=told):
        made((encr, bits, integ))


@every_protection
@pytest.mark.parametrize("change", [-1, 1])
def test_keys_of_another_size_are_refused(protection: Protection, change: int) -> None:
    keys = fresh_keys(protection)
    for name in ("encr", "integ"):
        size = len(getattr(keys, name)) + change
        if size >= 0:
            parts = {"encr": keys.encr, "integ": keys.integ, name: Secret(bytes(size))}
            with pytest.raises(LocalMisuse, match="sizes"):
                made(protection, DirectionKeys(**parts))


@every_protection
def test_a_sealer_never_shows_its_keys(protection: Protection) -> None:
    keys = fresh_keys(protection)
    one = made(protection, keys)
    one.open(b"", made(protection, keys).seal(b"", bytes(16)))
    for shown in (repr(one), str(one), repr(keys)):
        for key in (keys.encr.reveal(), keys.integ.reveal()):
            if key:
                assert repr(key)[2:-1] not in shown
                assert key.hex() not in shown
