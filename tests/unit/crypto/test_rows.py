"""The compiled loops give what Python gives, refuse what it refuses, and are used only where they do."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import rows
from node.crypto.aead import sealer
from node.crypto.batch import LEAD, Batch, BatchSealer, Shape
from node.crypto.rows import Library, Loaded, Loops, load
from node.errors import IntegrityError, LocalMisuse
from node.esp.checksum import MODULUS
from node.model.child import DirectionKeys
from node.model.proposal import Transform
from node.model.registry import EncrId, IntegId, TransformType
from node.model.secret import Secret
from tools import accelerator

CIPHERS = [
    *((EncrId.ENCR_AES_GCM_16, bits) for bits in (128, 192, 256)),
    (EncrId.ENCR_CHACHA20_POLY1305, None),
]
AADS = [LEAD, 12]
COUNT = 5


def made(
    monkeypatch: pytest.MonkeyPatch, library: Library | None, kind: EncrId, bits: int | None
) -> BatchSealer:
    """A sealer that has compiled loops, or none."""
    monkeypatch.setattr(rows, "load", lambda: Loaded(library, ""))
    key = bytes(range(bits // 8 if bits else 32)) + b"salt"
    transform = Transform(TransformType.ENCR, kind, bits)
    return sealer(transform, IntegId.NONE, DirectionKeys(Secret(key), Secret(b"")), bytes)


def filled(size: int, aad: int) -> Batch:
    shape = Shape(size, 8, 16, aad)
    batch = Batch(shape, COUNT, bytearray(COUNT * shape.size))
    draw = np.random.default_rng(size)
    for place in (batch.wire[:, :LEAD], batch.plain, batch.aad):
        place[:] = draw.integers(0, 256, place.shape, np.uint8)
    return batch


@pytest.mark.parametrize("aad", AADS)
@pytest.mark.parametrize("size", [1, 15, 16, 1404])
@pytest.mark.parametrize(("kind", "bits"), CIPHERS)
def test_both_seal_and_open_alike(
    monkeypatch: pytest.MonkeyPatch, library: Library, kind: EncrId, bits: int | None, size: int, aad: int
) -> None:
    batches = [filled(size, aad), filled(size, aad)]
    both = [made(monkeypatch, one, kind, bits) for one in (library, None)]
    for count in (COUNT, 2, 0, 3):
        for one, batch in zip(both, batches, strict=True):
            one.seal_batch(batch, count)
        assert batches[0].wire.tobytes() == batches[1].wire.tobytes()
    # Each opens what the other one has sealed.
    for one, batch in zip(both, reversed(batches), strict=True):
        plain = batch.plain[:3].tobytes()
        batch.plain[:] = 0
        one.open_batch(batch, 3)
        assert batch.plain[:3].tobytes() == plain


@pytest.mark.parametrize("aad", AADS)
@pytest.mark.parametrize(("kind", "bits"), CIPHERS)
def test_no_octet_may_differ(
    monkeypatch: pytest.MonkeyPatch, library: Library, kind: EncrId, bits: int | None, aad: int
) -> None:
    one, batch = made(monkeypatch, library, kind, bits), filled(40, aad)
    one.seal_batch(batch, COUNT)
    covered = [(batch.wire, at) for at in range(0 if aad == LEAD else LEAD, batch.shape.size)]
    covered += [(batch.aad, at) for at in range(aad if aad != LEAD else 0)]
    for where, at in covered:
        where[COUNT - 1, at] ^= 1
        one.open_batch(batch, COUNT - 1)
        with pytest.raises(IntegrityError):
            one.open_batch(batch, COUNT)
        where[COUNT - 1, at] ^= 1
    one.open_batch(batch, COUNT)


def test_what_follows_a_refusal_is_opened(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    one, batch = made(monkeypatch, library, EncrId.ENCR_AES_GCM_16, 256), filled(40, LEAD)
    one.seal_batch(batch, COUNT)
    sealed = batch.wire.tobytes()
    for _ in range(3):
        batch.wire[0, -1] ^= 1
        with pytest.raises(IntegrityError):
            one.open_batch(batch, COUNT)
        batch.wire[0, -1] ^= 1
        one.open_batch(batch, COUNT)
    assert batch.wire.tobytes() == sealed


def test_what_does_not_fit_never_reaches_them(library: Library) -> None:
    key = bytes(32)
    gcm = Loops(library, "AES-256-GCM", key, b"salt")
    batch = filled(40, LEAD)
    for count in (COUNT + 1, -1):
        with pytest.raises(LocalMisuse, match="packets"):
            gcm.seal(batch, count, 0)
        with pytest.raises(LocalMisuse, match="packets"):
            gcm.open(batch, count)
    other = Batch(Shape(32, 16, 16), 1, bytearray(72))
    with pytest.raises(LocalMisuse, match="IVs of 16 octets"):
        gcm.seal(other, 1, 0)
    with pytest.raises(LocalMisuse, match="salt"):
        Loops(library, "AES-256-GCM", key, b"salts")
    for name, size in (("AES-256-GCM", 16), ("AES-128-GCM", 32), ("NOTHING", 32), ("AES-256-CBC", 32)):
        with pytest.raises(LocalMisuse, match=f"OpenSSL has no {name} with keys of {size}"):
            Loops(library, name, bytes(size), b"salt").seal(batch, 1, 0)


@given(count=st.integers(1, 12), size=st.integers(1, 80), begin=st.integers(0, 9))
def test_sums_are_those_of_python(library: Library, count: int, size: int, begin: int) -> None:
    octets = np.random.default_rng(size * count).integers(0, 256, (count, begin + size + 3), np.uint8)
    found = rows._totals(library, octets[:, begin : begin + size])
    assert found.tolist() == [int.from_bytes(_even(row[begin : begin + size])) % MODULUS for row in octets]


def _even(octets: npt.NDArray[np.uint8]) -> bytes:
    return octets.tobytes() + bytes(len(octets) & 1)


def test_sums_of_the_largest_words(library: Library) -> None:
    octets = np.full((3, 65_535), 0xFF, np.uint8)
    assert rows._totals(library, octets).tolist() == [0xFF00] * 3
    assert rows._totals(library, octets[:, :65_534]).tolist() == [0] * 3
    with pytest.raises(LocalMisuse, match="follow"):
        rows._totals(library, octets[:, ::2])


def test_without_them_there_is_python(tmp_path: Path) -> None:
    found = load(tmp_path / "nothing.so")
    assert found == Loaded(None, "none: make accelerator")


def test_what_is_something_else_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "text.so"
    file.write_text("no library")
    found = load(file)
    assert found.library is None
    assert found.told.startswith("text.so is not used: ")


LIES: dict[str, tuple[str, Callable[..., object], str]] = {
    "sums": ("sums", lambda *_: None, "adds otherwise"),
    "seal": ("seal", lambda *_: 1, "seals AES-128-GCM otherwise"),
    "open": ("open", lambda *_: 1, "opens AES-128-GCM with a wrong octet"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_does_otherwise_is_not_used(library: Library, compiled: Path, name: str) -> None:
    attribute, lie, told = LIES[name]
    liar = Library(compiled)
    setattr(liar, attribute, lie)
    with pytest.raises(LocalMisuse, match=told):
        rows._prove(liar)
    rows._prove(library)


OTHERS: dict[str, tuple[str, str]] = {
    "another revision": ("int rows_interface(void) { return 99; }", "its interface is 99, not 1"),
    "another library": ("int nothing(void) { return 1; }", "rows_interface"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_library_of_something_else_is_not_used(compiled: Path, tmp_path: Path, name: str) -> None:
    source, told = OTHERS[name]
    (tmp_path / "other.c").write_text(source)
    order = [str(accelerator.compiler()), "-shared", "-fPIC", "-o", "other.so", "other.c"]
    subprocess.run(order, cwd=tmp_path, check=True, timeout=60)
    found = load(tmp_path / "other.so")
    assert found.library is None
    assert told in found.told
