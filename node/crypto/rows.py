"""Loops over the packets of a batch, compiled: optional, made by `make accelerator` (docs/adr/0038).

    load()     the compiled loops and what they are, or why there are none: then Python does it all
    Loops      the AEAD of one key over whole batches
    totals     sums of rows, for checksums (`node.esp.checksum`)

Rules:

1. It speeds up and changes nothing: the octets are the same, and the same tests hold for both.
2. It is used only after it has sealed, opened and refused as the library that Python uses does.
3. C gets addresses and sizes of a `Batch`, which has made its buffers to fit, and no length from a peer.
"""

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from node.crypto.batch import COUNTER, LEAD, NONCE, Batch, Octets, Shape
from node.errors import IntegrityError, LocalMisuse

#: Where `make accelerator` puts it: a name that no import takes for a module.
FILE: Final = Path(__file__).with_name("rows.compiled")
#: What this module speaks to: `INTERFACE` in rows.c.
INTERFACE: Final = 1

#: Octets of the parts of an AEAD packet that rows.c knows.
_IV, _SALT, _TAG = COUNTER, NONCE - COUNTER, 16

Numbers = npt.NDArray[np.int64]


class Library:
    """The functions of rows.c. Raises OSError for a file that cannot be loaded, AttributeError or ValueError
    for one that is something else.
    """

    def __init__(self, file: Path) -> None:
        found = ctypes.CDLL(str(file))
        if found.rows_interface() != INTERFACE:
            raise ValueError(f"its interface is {found.rows_interface()}, not {INTERFACE}: make accelerator")
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self.cipher, self.free, self.sums = found.rows_cipher, found.rows_free, found.rows_totals
        self.seal, self.open, self.openssl = found.rows_seal, found.rows_open, found.rows_openssl
        self.cipher.argtypes = [ctypes.c_char_p, ctypes.c_char_p, size, ctypes.c_int]
        self.cipher.restype = pointer
        self.free.argtypes, self.free.restype = [pointer], None
        self.seal.argtypes = [pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint64, size]
        self.open.argtypes = [pointer, ctypes.c_char_p, ctypes.c_char_p, size]
        self.sums.argtypes, self.sums.restype = [pointer, size, size, size, pointer], None
        self.openssl.restype = ctypes.c_char_p


@dataclass(frozen=True, slots=True)
class Loaded:
    """The library, where it is there and right, and in words what it is or why there is none."""

    library: Library | None
    told: str


@lru_cache(maxsize=4)
def load(file: Path = FILE) -> Loaded:
    """The compiled loops, looked for once."""
    if not file.exists():
        return Loaded(None, "none: make accelerator")
    try:
        library = Library(file)
        _prove(library)
    except (OSError, AttributeError, ValueError, LocalMisuse) as error:
        return Loaded(None, f"{file.name} is not used: {error}")
    return Loaded(library, library.openssl().decode("ascii", "replace"))


class Loops:
    """AES-GCM or ChaCha20-Poly1305 with one key, over whole batches.

    Each direction is made when it is first used, which is one of the two as a rule.
    """

    __slots__ = ("_key", "_library", "_name", "_opening", "_salt", "_sealing")

    def __init__(self, library: Library, name: str, key: bytes, salt: bytes) -> None:
        """`name` is OpenSSL's. Raises LocalMisuse where the salt has not 4 octets."""
        self._sealing: int | None = None
        self._opening: int | None = None
        self._library, self._name, self._key, self._salt = library, name.encode(), key, salt
        if len(salt) != _SALT:
            raise LocalMisuse(f"a salt of {len(salt)} octets")

    def seal(self, batch: Batch, count: int, first: int) -> None:
        """As `BatchSealer.seal_batch`, with IVs that count from `first`. Raises LocalMisuse."""
        if self._sealing is None:
            self._sealing = self._made(encrypt=True)
        if not self._library.seal(self._sealing, _checked(batch, count), self._salt, first, count):
            raise LocalMisuse(f"OpenSSL does not seal with {self._name.decode()}")

    def open(self, batch: Batch, count: int) -> None:
        """As `BatchSealer.open_batch`. Raises IntegrityError."""
        if self._opening is None:
            self._opening = self._made(encrypt=False)
        if not self._library.open(self._opening, _checked(batch, count), self._salt, count):
            raise IntegrityError

    def _made(self, *, encrypt: bool) -> int:
        context: int | None = self._library.cipher(self._name, self._key, len(self._key), encrypt)
        if context is None:
            raise LocalMisuse(f"OpenSSL has no {self._name.decode()} with keys of {len(self._key)} octets")
        return context

    def __del__(self) -> None:
        """OpenSSL overwrites the keys."""
        for context in (self._sealing, self._opening):
            if context is not None:
                self._library.free(context)


def _checked(batch: Batch, count: int) -> bytes:
    """What rows.c is told of a batch. Raises LocalMisuse for one that is not for an AEAD."""
    iv, icv = batch.shape.iv, batch.shape.icv
    if (iv, icv) != (_IV, _TAG) or not 0 <= count <= batch.count:
        raise LocalMisuse(f"{count} of {batch.count} packets with IVs of {iv} octets and ICVs of {icv}")
    return batch.rows


def totals(rows: Octets) -> Numbers | None:
    """Of each row the sum of its 16-bit words modulo 65,535, an odd octet at the end being a high one.

    None where there are no compiled loops. Rows need not lie next to each other. Raises LocalMisuse where
    the octets of one do not.
    """
    library = load().library
    return _totals(library, rows) if library else None


def _totals(library: Library, rows: Octets) -> Numbers:
    count, size = rows.shape
    step, each = rows.strides
    if each != 1 or step < size:
        raise LocalMisuse("octets of a row that do not follow each other")
    found = np.empty(count, np.int64)
    library.sums(rows.ctypes.data, step, size, count, found.ctypes.data)
    return found


def _prove(library: Library) -> None:
    """Hold the library against the one that Python uses. Raises LocalMisuse where they differ."""
    for name, primitive, size in (
        ("AES-128-GCM", AESGCM, 16),
        ("AES-192-GCM", AESGCM, 24),
        ("AES-256-GCM", AESGCM, 32),
        ("ChaCha20-Poly1305", ChaCha20Poly1305, 32),
    ):
        _prove_cipher(Loops(library, name, bytes(range(size)), b"salt"), primitive(bytes(range(size))), name)
    octets = np.arange(3 * 77, dtype=np.uint8).reshape(3, 77)
    wanted = [int.from_bytes(row[1:].tobytes()) % 65535 for row in octets]
    if _totals(library, octets[:, 1:]).tolist() != wanted:
        raise LocalMisuse("it adds otherwise than it should")


def _prove_cipher(loops: Loops, primitive: AESGCM | ChaCha20Poly1305, name: str) -> None:
    shape = Shape(33, _IV, _TAG)
    batch = Batch(shape, 2, bytearray(2 * shape.size))
    batch.wire[:, :LEAD] = batch.plain[:, :LEAD] = np.arange(2 * LEAD, dtype=np.uint8).reshape(2, LEAD)
    loops.seal(batch, 2, 2**63)
    for row in (0, 1):
        packet, iv = batch.wire[row].tobytes(), (2**63 + row).to_bytes(_IV)
        lead, plain = packet[:LEAD], batch.plain[row].tobytes()
        if packet != lead + iv + primitive.encrypt(b"salt" + iv, plain, lead):
            raise LocalMisuse(f"it seals {name} otherwise than it should")
    loops.open(batch, 2)
    for octet in (0, LEAD, LEAD + _IV, shape.size - 1):
        batch.wire[1, octet] ^= 1
        try:
            loops.open(batch, 2)
        except IntegrityError:
            batch.wire[1, octet] ^= 1
        else:
            raise LocalMisuse(f"it opens {name} with a wrong octet")
