"""One cipher context for all packets of a CBC sealer: what the port promises holds all the same.

IV = AES(last ciphertext block XOR 16 random octets). XOR with something uniform that nobody has seen is
uniform, and AES is a permutation: the IV is as unpredictable as the entropy. The tests show that the sealer
does compute this, from fresh entropy each time, and that ciphertexts are plain CBC to anybody else.
"""

import os
import subprocess
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given, settings
from hypothesis import strategies as st

from node.crypto.aead import sealer
from node.errors import IntegrityError, LocalMisuse
from node.model.child import DirectionKeys
from node.model.registry import EncrId, IntegId
from node.model.secret import Secret
from node.ports import Entropy, Sealer
from tests.unit.crypto.support import encryption

BLOCK, ICV = 16, 16
KEY, INTEG_KEY = bytes(range(32)), bytes(range(32, 64))


def made(entropy: Entropy = os.urandom, key: bytes = KEY) -> Sealer:
    keys = DirectionKeys(Secret(key), Secret(INTEG_KEY))
    bits = 8 * len(key)
    return sealer(encryption(EncrId.ENCR_AES_CBC, bits), IntegId.AUTH_HMAC_SHA2_256_128, keys, entropy)


def blocks(octets: bytes) -> list[bytes]:
    return [octets[n : n + BLOCK] for n in range(0, len(octets), BLOCK)]


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def block_cipher(key: bytes) -> Callable[[bytes], bytes]:
    """AES of one block, without any mode."""
    return Cipher(AES(key), ECB()).encryptor().update


def chained(key: bytes, iv: bytes, plain: bytes) -> bytes:
    """CBC written out (NIST SP 800-38A 6.2): IV | ciphertext."""
    encrypt, made_ = block_cipher(key), [iv]
    for block in blocks(plain):
        made_.append(encrypt(xor(block, made_[-1])))
    return b"".join(made_)


class Recorder:
    """Entropy that remembers what it gave."""

    def __init__(self) -> None:
        self.drawn: list[bytes] = []

    def __call__(self, size: int, /) -> bytes:
        self.drawn.append(os.urandom(size))
        return self.drawn[-1]


def test_the_iv_is_the_block_cipher_over_fresh_entropy() -> None:
    entropy, encrypt = Recorder(), block_cipher(KEY)
    one = made(entropy)
    last = entropy.drawn[0]
    for size in (0, 16, 160, 16):
        blob = one.seal(b"aad", bytes(size))
        assert blob[:BLOCK] == encrypt(xor(last, entropy.drawn[-1]))
        last = blob[:-ICV][-BLOCK:]
    assert len(entropy.drawn) == 5


def test_the_same_state_with_other_entropy_gives_another_iv() -> None:
    """Who has seen all packets, and even the plaintext, cannot tell the next IV."""
    start = bytes(16)
    ivs = set()
    for n in range(64):
        answers = iter([start, start, n.to_bytes(16)])
        one = made(lambda _size, answers=answers: next(answers))
        one.seal(b"", bytes(32))
        ivs.add(one.seal(b"", bytes(32))[:BLOCK])
    assert len(ivs) == 64


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([16, 24, 32]),
    st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=12),
)
def test_sealing_and_opening_with_one_sealer_do_not_disturb_each_other(
    key_size: int, steps: list[tuple[int, bool, bool]]
) -> None:
    """Each step seals; some open what was sealed, some a forgery in between."""
    key = os.urandom(key_size)
    one, far = made(key=key), made(key=key)
    for size, opens, forges in steps:
        plain = os.urandom(size * BLOCK)
        blob = one.seal(b"aad", plain)
        assert blob[:-ICV] == chained(key, blob[:BLOCK], plain)
        if forges:
            for forged in (blob[:-1] + bytes([blob[-1] ^ 1]), blob[:15], b"", blob + blob):
                with pytest.raises(IntegrityError):
                    one.open(b"aad", forged)
        if opens:
            assert one.open(b"aad", blob) == plain
        assert far.open(b"aad", blob) == plain


def test_a_refused_plaintext_leaves_the_sealer_usable() -> None:
    one, far = made(), made()
    with pytest.raises(LocalMisuse):
        one.seal(b"", b"x")
    blob = one.seal(b"", bytes(32))
    assert far.open(b"", blob) == bytes(32)


def test_openssl_decrypts_every_packet_of_a_run() -> None:
    one = made()
    for n in range(3):
        plain = os.urandom(48 * (n + 1))
        blob = one.seal(b"aad", plain)
        command = [
            "openssl",
            "enc",
            "-d",
            "-aes-256-cbc",
            "-nopad",
            "-K",
            KEY.hex(),
            "-iv",
            blob[:BLOCK].hex(),
        ]
        try:
            done = subprocess.run(
                command, input=blob[BLOCK:-ICV], capture_output=True, check=True, timeout=60
            )
        except FileNotFoundError:
            pytest.skip("no openssl command")
        assert done.stdout == plain
