"""Protection of one direction of one SA: every transform in the shape of an AEAD (ports.Sealer).

    AES-CBC, NULL with HMAC       IV | ciphertext | ICV   the ICV covers aad | IV | ciphertext
                                                          (RFC 7296 3.14, RFC 4303 2.8)
    AES-GCM, ChaCha20-Poly1305    IV | ciphertext | tag   nonce = salt | IV, the IV counts
                                                          (RFC 5282, RFC 4106, RFC 7634)

Rules:

1. The ICV is verified, in constant time, before anything is decrypted; whatever is wrong, the error is the
   same.
2. IVs come from here only: unpredictable for CBC (RFC 3602 3), a counter that never repeats for AEAD
   transforms. Hence one sealer for each key: a second one would count from 0 again.
3. HMAC sees aad and blob as one string: pass an aad that tells its own length, or always the same one.
4. A sealer keeps cipher contexts between packets and serves one thread.
5. A further transform is a line in `_CIPHERS` (and `_AEAD`) or in `_INTEG`.
"""

import hmac as stdlib_hmac
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hmac import HMAC

from node.crypto import rows
from node.crypto.batch import LEAD, Batch, BatchSealer
from node.errors import IntegrityError, LocalMisuse
from node.model.child import DirectionKeys
from node.model.proposal import AEAD_IDS, Transform
from node.model.registry import EncrId, IntegId
from node.ports import Entropy

AES_BLOCK = 16
AEAD_IV, AEAD_TAG, AEAD_SALT = 8, 16, 4
#: IVs of an AEAD transform are 64-bit counters; this many are left unused to make wrapping unthinkable.
LAST_IV = 2**64 - 2**32


View = memoryview


class _AeadPrimitive(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...

    def encrypt_into(self, nonce: View, data: View, associated_data: View, buf: View) -> int: ...

    def decrypt_into(self, nonce: View, data: View, associated_data: View, buf: View) -> int: ...


@dataclass(frozen=True, slots=True)
class _Encryption:
    """Key lengths in bits that may be negotiated (None: without the attribute), the key length of a cipher
    that has only one, and the octets of salt."""

    key_bits: tuple[int | None, ...]
    fixed: int = 0
    salt: int = 0

    def key_size(self, transform: Transform) -> int:
        if transform.key_length not in self.key_bits:
            raise LocalMisuse(f"{EncrId(transform.id)} does not have keys of {transform.key_length} bits")
        return (transform.key_length or self.fixed) // 8 + self.salt


_AES_BITS = (128, 192, 256)
#: By transform ID. Members of an IntEnum are found by their numbers too.
_CIPHERS: dict[int, _Encryption] = {
    EncrId.ENCR_NULL: _Encryption((None,)),
    EncrId.ENCR_AES_CBC: _Encryption(_AES_BITS),
    EncrId.ENCR_AES_GCM_16: _Encryption(_AES_BITS, salt=AEAD_SALT),
    EncrId.ENCR_CHACHA20_POLY1305: _Encryption((None,), fixed=256, salt=AEAD_SALT),
}
#: And the name that OpenSSL has for it, by the bits of the key.
_AEAD: dict[int, tuple[Callable[[bytes], _AeadPrimitive], str]] = {
    EncrId.ENCR_AES_GCM_16: (AESGCM, "AES-{}-GCM"),
    EncrId.ENCR_CHACHA20_POLY1305: (ChaCha20Poly1305, "ChaCha20-Poly1305"),
}


@dataclass(frozen=True, slots=True)
class _Integrity:
    """Hash, key size and ICV size in octets (RFC 4868 2.1)."""

    hash: Callable[[], hashes.HashAlgorithm]
    key: int
    icv: int


_INTEG = {
    IntegId.AUTH_HMAC_SHA2_256_128: _Integrity(hashes.SHA256, 32, 16),
    IntegId.AUTH_HMAC_SHA2_384_192: _Integrity(hashes.SHA384, 48, 24),
    IntegId.AUTH_HMAC_SHA2_512_256: _Integrity(hashes.SHA512, 64, 32),
}


def encr_key_size(encr: Transform) -> int:
    """Octets of the encryption key, salt included. Raises LocalMisuse for a transform we do not have."""
    found = _CIPHERS.get(encr.id)
    if found is None:
        raise LocalMisuse(f"{EncrId(encr.id)} is not implemented")
    return found.key_size(encr)


def encr_key_bits(encr: Transform) -> int:
    """Bits of the encryption key alone, without a salt; 0 for NULL. Raises as `encr_key_size`."""
    size = encr_key_size(encr)
    return 8 * (size - _CIPHERS[encr.id].salt)


def integ_key_size(integ: IntegId) -> int:
    """Octets of the integrity key, 0 for NONE. Raises LocalMisuse for a transform we do not have."""
    if integ == IntegId.NONE:
        return 0
    if integ not in _INTEG:
        raise LocalMisuse(f"{integ} is not implemented")
    return _INTEG[integ].key


def sealer(encr: Transform, integ: IntegId, keys: DirectionKeys, entropy: Entropy) -> BatchSealer:
    """The sealer of one direction. Raises LocalMisuse where the keys do not fit the transforms."""
    if (len(keys.encr), len(keys.integ)) != (encr_key_size(encr), integ_key_size(integ)):
        raise LocalMisuse("the keys do not have the sizes of the transforms")
    if encr.id in AEAD_IDS:
        if integ != IntegId.NONE:
            raise LocalMisuse(f"{EncrId(encr.id)} brings its own integrity")
        return AeadSealer(*_AEAD[encr.id], keys.encr.reveal())
    if integ == IntegId.NONE:
        raise LocalMisuse(f"{EncrId(encr.id)} needs an integrity transform")
    mac = _Mac(_INTEG[integ], keys.integ.reveal())
    return NullSealer(mac) if encr.id == EncrId.ENCR_NULL else CbcSealer(keys.encr.reveal(), mac, entropy)


class AeadSealer:
    """AES-GCM-16 or ChaCha20-Poly1305; the key ends with the 4-octet salt."""

    __slots__ = ("_iv", "_loops", "_primitive", "_salt")

    block, iv_size, icv_size = 1, AEAD_IV, AEAD_TAG

    def __init__(self, primitive: Callable[[bytes], _AeadPrimitive], name: str, key: bytes) -> None:
        secret, self._salt = key[:-AEAD_SALT], key[-AEAD_SALT:]
        self._primitive, self._iv = primitive(secret), 0
        library = rows.load().library
        self._loops = (
            rows.Loops(library, name.format(8 * len(secret)), secret, self._salt) if library else None
        )

    def sealed_len(self, plain_len: int, /) -> int:
        """IV | ciphertext | tag."""
        return AEAD_IV + plain_len + AEAD_TAG

    def seal(self, aad: bytes, plain: bytes, /) -> bytes:
        """Raises LocalMisuse where the IVs are used up."""
        if self._iv >= LAST_IV:
            raise LocalMisuse("the IVs of this key are used up")
        iv = self._iv.to_bytes(AEAD_IV)
        self._iv += 1
        return iv + self._primitive.encrypt(self._salt + iv, plain, aad)

    def open(self, aad: bytes, blob: bytes, /) -> bytes:
        """Raises IntegrityError."""
        if len(blob) < AEAD_IV + AEAD_TAG:
            raise IntegrityError
        try:
            return self._primitive.decrypt(self._salt + blob[:AEAD_IV], blob[AEAD_IV:], aad)
        except InvalidTag:
            raise IntegrityError from None

    def seal_batch(self, batch: Batch, count: int, /) -> None:
        """Raises LocalMisuse where the IVs are used up."""
        if self._iv > LAST_IV - count:
            raise LocalMisuse("the IVs of this key are used up")
        first = self._iv
        self._iv += count
        if self._loops is not None:
            self._loops.seal(batch, count, first)
            return
        batch.ivs[:count] = np.arange(first, first + count, dtype=np.uint64)
        nonces = self._nonces(batch, count)
        _exhaust(map(self._primitive.encrypt_into, nonces, batch.plains, batch.aads, batch.sealed))

    def open_batch(self, batch: Batch, count: int, /) -> None:
        """Raises IntegrityError."""
        if self._loops is not None:
            self._loops.open(batch, count)
            return
        nonces = self._nonces(batch, count)
        try:
            _exhaust(map(self._primitive.decrypt_into, nonces, batch.sealed, batch.aads, batch.plains))
        except InvalidTag:
            raise IntegrityError from None

    def _nonces(self, batch: Batch, count: int) -> list[memoryview]:
        """Those of the IVs in the packets."""
        if batch.salt is not self._salt:
            batch.nonce[:, :AEAD_SALT] = np.frombuffer(self._salt, np.uint8)
            batch.salt = self._salt
        batch.counters[:count] = batch.ivs[:count]
        return batch.nonces[:count]


class _Mac:
    """A truncated HMAC whose key schedule is done once."""

    __slots__ = ("_keyed", "size")

    def __init__(self, integrity: _Integrity, key: bytes) -> None:
        self._keyed = HMAC(key, integrity.hash())
        self.size = integrity.icv

    def __call__(self, aad: bytes, covered: bytes) -> bytes:
        mac = self._keyed.copy()
        mac.update(aad)
        mac.update(covered)
        return mac.finalize()[: self.size]

    def check(self, aad: bytes, blob: bytes) -> bytes:
        """The blob without its ICV. Raises IntegrityError."""
        covered, icv = blob[: -self.size], blob[-self.size :]
        if not stdlib_hmac.compare_digest(icv, self(aad, covered)):
            raise IntegrityError
        return covered

    def fill(self, batch: Batch, count: int) -> None:
        """Write the ICVs of packets whose lead is all of their AAD."""
        batch.icvs[:count] = np.frombuffer(self._all(batch, count), np.uint8).reshape(count, self.size)

    def check_all(self, batch: Batch, count: int) -> None:
        """Raises IntegrityError where one is wrong."""
        if not stdlib_hmac.compare_digest(batch.icvs[:count].tobytes(), self._all(batch, count)):
            raise IntegrityError

    def _all(self, batch: Batch, count: int) -> bytes:
        """The ICVs, one after the other."""
        size, copy = self.size, self._keyed.copy
        found = []
        for covered in batch.covered[:count]:
            mac = copy()
            mac.update(covered)
            found.append(mac.finalize()[:size])
        return b"".join(found)


class CbcSealer:
    """AES-CBC, then HMAC.

    One cipher context serves all packets. Encrypting 16 random octets in front of the plaintext makes the
    first output block an unpredictable IV and the rest what CBC under that IV gives; decrypting IV |
    ciphertext and dropping the first block is the inverse, whatever went before. Each direction is made when
    it is first used, which is one of the two as a rule: an SA holds half as many contexts.
    """

    __slots__ = ("_cipher", "_decryptor", "_encryptor", "_entropy", "_mac", "icv_size")

    block, iv_size = AES_BLOCK, AES_BLOCK

    def __init__(self, key: bytes, mac: _Mac, entropy: Entropy) -> None:
        self._cipher = Cipher(AES(key), CBC(entropy(AES_BLOCK)))
        self._encryptor: CipherContext | None = None
        self._decryptor: CipherContext | None = None
        self._mac, self._entropy = mac, entropy
        self.icv_size = mac.size

    def sealed_len(self, plain_len: int, /) -> int:
        """IV | ciphertext | ICV."""
        return AES_BLOCK + plain_len + self.icv_size

    def seal(self, aad: bytes, plain: bytes, /) -> bytes:
        """Raises LocalMisuse where the plaintext is not a multiple of the block."""
        if len(plain) % AES_BLOCK:
            raise LocalMisuse(f"{len(plain)} octets of plaintext are not a multiple of {AES_BLOCK}")
        encryptor = self._encryptor
        if encryptor is None:
            encryptor = self._encryptor = self._cipher.encryptor()
        covered = encryptor.update(self._entropy(AES_BLOCK) + plain)
        return covered + self._mac(aad, covered)

    def seal_batch(self, batch: Batch, count: int, /) -> None:
        """All packets are one string to the cipher, random block and plaintext in turn."""
        if self._encryptor is None:
            self._encryptor = self._cipher.encryptor()
        source, target = batch.scratch(AES_BLOCK)
        noise = np.frombuffer(self._entropy(AES_BLOCK * count), np.uint8)
        source[:count, :AES_BLOCK] = noise.reshape(count, AES_BLOCK)
        source[:count, AES_BLOCK:] = batch.plain[:count]
        self._encryptor.update_into(source[:count].data.cast("B"), target.data.cast("B"))
        batch.wire[:count, LEAD : -self.icv_size] = target[:count]
        self._mac.fill(batch, count)

    def open_batch(self, batch: Batch, count: int, /) -> None:
        """Raises IntegrityError."""
        self._mac.check_all(batch, count)
        if self._decryptor is None:
            self._decryptor = self._cipher.decryptor()
        source, target = batch.scratch(AES_BLOCK)
        source[:count] = batch.wire[:count, LEAD : -self.icv_size]
        self._decryptor.update_into(source[:count].data.cast("B"), target.data.cast("B"))
        batch.plain[:count] = target[:count, AES_BLOCK:]

    def open(self, aad: bytes, blob: bytes, /) -> bytes:
        """Raises IntegrityError."""
        if len(blob) < AES_BLOCK + self.icv_size or (len(blob) - self.icv_size) % AES_BLOCK:
            raise IntegrityError
        covered = self._mac.check(aad, blob)
        decryptor = self._decryptor
        if decryptor is None:
            decryptor = self._decryptor = self._cipher.decryptor()
        return decryptor.update(covered)[AES_BLOCK:]


class NullSealer:
    """No encryption, HMAC only (RFC 2410); for ESP where it was asked for by name."""

    __slots__ = ("_mac", "icv_size")

    block, iv_size = 1, 0

    def __init__(self, mac: _Mac) -> None:
        self._mac = mac
        self.icv_size = mac.size

    def sealed_len(self, plain_len: int, /) -> int:
        """Plaintext | ICV."""
        return plain_len + self.icv_size

    def seal(self, aad: bytes, plain: bytes, /) -> bytes:
        """Plaintext | ICV."""
        return plain + self._mac(aad, plain)

    def open(self, aad: bytes, blob: bytes, /) -> bytes:
        """Raises IntegrityError."""
        if len(blob) < self.icv_size:
            raise IntegrityError
        return self._mac.check(aad, blob)

    def seal_batch(self, batch: Batch, count: int, /) -> None:
        """Plaintext | ICV."""
        batch.wire[:count, LEAD : -self.icv_size] = batch.plain[:count]
        self._mac.fill(batch, count)

    def open_batch(self, batch: Batch, count: int, /) -> None:
        """Raises IntegrityError."""
        self._mac.check_all(batch, count)
        batch.plain[:count] = batch.wire[:count, LEAD : -self.icv_size]


def _exhaust(calls: Iterable[object]) -> None:
    """Make all calls of a map, and keep nothing of what they return."""
    deque(calls, 0)
