"""Opening what is protected, with the primitives of the library: the ICV first, then decryption.

AES-CBC, NULL          HMAC over associated data | IV | ciphertext | tail, cut to the ICV (RFC 4868)
AES-GCM, ChaCha20      nonce = salt (4, the end of the key) | IV (8); the ICV is the tag (RFC 4106, RFC 7634)
"""

import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as _Cipher
from cryptography.hazmat.primitives.ciphers import modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES

_SALT, _AEAD_IV, _TAG, _AES_BLOCK = 4, 8, 16, 16
_AEAD: dict[str, type[AESGCM] | type[ChaCha20Poly1305]] = {
    "ENCR_AES_GCM_16": AESGCM,
    "ENCR_CHACHA20_POLY1305": ChaCha20Poly1305,
}
#: Key lengths in bits; None where the transform has no such attribute.
_KEY_BITS: dict[str, tuple[int | None, ...]] = {
    "ENCR_AES_CBC": (128, 192, 256),
    "ENCR_AES_GCM_16": (128, 192, 256),
    "ENCR_CHACHA20_POLY1305": (None,),
    "ENCR_NULL": (None,),
}
#: Key lengths of ciphers that have only one: what a log may say where the transform says nothing.
_ONLY_BITS = {"ENCR_CHACHA20_POLY1305": 256, "ENCR_NULL": 0}
#: Hash, octets of the key, octets of the ICV (RFC 4868 2.1).
_INTEG = {
    "AUTH_HMAC_SHA2_256_128": ("sha256", 32, 16),
    "AUTH_HMAC_SHA2_384_192": ("sha384", 48, 24),
    "AUTH_HMAC_SHA2_512_256": ("sha512", 64, 32),
}


class BadIcv(Exception):
    """The ICV is not that of these octets and keys, or the sizes are not those of the algorithms."""


@dataclass(frozen=True, slots=True)
class Algorithms:
    """Encryption and integrity by the names of their transforms. Raises ValueError for what is not known.

    `key_bits` is the key length, None where the transform has none; `integ` is empty where the
    encryption brings its own.
    """

    encr: str
    key_bits: int | None
    integ: str = ""

    def __post_init__(self) -> None:
        if self.encr not in _KEY_BITS:
            raise ValueError(f"encryption {self.encr!r} is not known")
        if self.key_bits not in _KEY_BITS[self.encr]:
            raise ValueError(f"{self.encr} has no keys of {self.key_bits} bits")
        if self.aead and self.integ:
            raise ValueError(f"{self.encr} brings its own integrity, and here is {self.integ!r}")
        if not self.aead and self.integ not in _INTEG:
            raise ValueError(f"integrity {self.integ!r} is not known")

    @property
    def aead(self) -> bool:
        """Whether the encryption brings its own integrity."""
        return self.encr in _AEAD

    @property
    def key_size(self) -> int:
        """Octets of the encryption key, the salt included."""
        if self.encr == "ENCR_NULL":
            return 0
        return (self.key_bits or 256) // 8 + (_SALT if self.aead else 0)

    @property
    def integ_key_size(self) -> int:
        """Octets of the integrity key."""
        return 0 if self.aead else _INTEG[self.integ][1]

    @property
    def iv_size(self) -> int:
        """Octets of the IV."""
        if self.encr == "ENCR_NULL":
            return 0
        return _AEAD_IV if self.aead else _AES_BLOCK

    @property
    def icv_size(self) -> int:
        """Octets of the ICV."""
        return _TAG if self.aead else _INTEG[self.integ][2]

    @property
    def block(self) -> int:
        """Octets of which a ciphertext has a multiple."""
        return _AES_BLOCK if self.encr == "ENCR_AES_CBC" else 1

    def __str__(self) -> str:
        encr = f"{self.encr}_{self.key_bits}" if self.key_bits else self.encr
        return encr if self.aead else f"{encr}/{self.integ}"


def algorithms(encr: str, key_bits: int | None, integ: str) -> Algorithms:
    """The algorithms as a key log names them. Raises ValueError for what is not known."""
    bits = None if key_bits in (0, _ONLY_BITS.get(encr)) else key_bits
    return Algorithms(encr, bits, "" if integ == "NONE" else integ)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The parts of something protected. `tail` is covered by an HMAC but not sent (the high half of a 64-bit
    sequence number, RFC 4303 2.2.1).
    """

    associated: bytes
    iv: bytes
    ciphertext: bytes
    icv: bytes
    tail: bytes = b""


@dataclass(frozen=True, slots=True)
class Opener:
    """One direction of an SA. Raises ValueError where a key has not the size of its algorithm."""

    algorithms: Algorithms
    key: bytes = field(repr=False)
    integ_key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        wanted = (self.algorithms.key_size, self.algorithms.integ_key_size)
        if (len(self.key), len(self.integ_key)) != wanted:
            sizes = f"{len(self.key)} and {len(self.integ_key)} octets instead of {wanted[0]} and {wanted[1]}"
            raise ValueError(f"{self.algorithms}: encryption and integrity key have {sizes}")

    def open(self, sealed: Sealed) -> bytes:
        """The plaintext. Raises BadIcv, before anything is decrypted."""
        used = self.algorithms
        if (len(sealed.iv), len(sealed.icv)) != (used.iv_size, used.icv_size):
            raise BadIcv
        if not sealed.ciphertext or len(sealed.ciphertext) % used.block:
            raise BadIcv
        return self._aead(sealed) if used.aead else self._verified(sealed)

    def _aead(self, sealed: Sealed) -> bytes:
        primitive = _AEAD[self.algorithms.encr](self.key[:-_SALT])
        nonce = self.key[-_SALT:] + sealed.iv
        try:
            return primitive.decrypt(nonce, sealed.ciphertext + sealed.icv, sealed.associated)
        except InvalidTag:
            raise BadIcv from None

    def _verified(self, sealed: Sealed) -> bytes:
        name, _, size = _INTEG[self.algorithms.integ]
        covered = sealed.associated + sealed.iv + sealed.ciphertext + sealed.tail
        if not hmac.compare_digest(hmac.digest(self.integ_key, covered, name)[:size], sealed.icv):
            raise BadIcv
        if self.algorithms.encr == "ENCR_NULL":
            return sealed.ciphertext
        decryptor = _Cipher(AES(self.key), modes.CBC(sealed.iv)).decryptor()
        return decryptor.update(sealed.ciphertext) + decryptor.finalize()
