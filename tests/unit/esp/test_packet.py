"""ESP octets: padding, trailer, sizes."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import DropReason, LocalMisuse
from node.esp.packet import alignment, min_size, overhead, trailer, trailers, unpad


@dataclass
class Shape:
    """A Sealer that has sizes and does nothing."""

    block: int
    iv_size: int
    icv_size: int

    def sealed_len(self, plain_len: int, /) -> int:
        return self.iv_size + plain_len + self.icv_size

    def seal(self, aad: bytes, plain: bytes, /) -> bytes:
        raise LocalMisuse("not for sealing")

    def open(self, aad: bytes, blob: bytes, /) -> bytes:
        raise LocalMisuse("not for opening")


CBC, GCM = Shape(16, 16, 16), Shape(1, 8, 16)

TRAILERS = [
    (0, 4, 4, "01020204"),
    (1, 4, 4, "010104"),
    (2, 4, 41, "0029"),
    (3, 4, 4, "0102030304"),
    (14, 16, 4, "0004"),
    (15, 16, 4, "0102030405060708090a0b0c0d0e0f0f04"),
    (20, 16, 4, "0102030405060708090a0a04"),
]


@pytest.mark.parametrize(("size", "align", "next_header", "expected"), TRAILERS)
def test_trailers(size: int, align: int, next_header: int, expected: str) -> None:
    made = trailer(size, align, next_header)
    assert made.hex() == expected
    assert trailers(next_header)[made[-2]] == made
    assert unpad(bytes(size) + made) == size


@given(st.integers(0, 3000), st.sampled_from([4, 8, 16]))
def test_trailers_align_with_as_little_as_possible(size: int, align: int) -> None:
    made = trailer(size, align, 4)
    assert (size + len(made)) % align == 0
    assert 2 <= len(made) < align + 2


REFUSED = [
    ("", DropReason.ESP_BAD_PADDING),
    ("04", DropReason.ESP_BAD_PADDING),
    ("0104", DropReason.ESP_BAD_PADDING),
    ("59", DropReason.ESP_BAD_PADDING),  # pad length beyond the body
    ("01020304", DropReason.ESP_BAD_PADDING),
    ("ff04", DropReason.ESP_BAD_PADDING),
    ("000104", DropReason.ESP_BAD_PADDING),  # padding of zeros
    ("aa00000204", DropReason.ESP_BAD_PADDING),
    ("aa02010204", DropReason.ESP_BAD_PADDING),  # downwards
    ("aa01030204", DropReason.ESP_BAD_PADDING),
    ("00000000ff3b", DropReason.ESP_DUMMY),  # need not be well-formed
    ("003b", DropReason.ESP_DUMMY),
    ("0000", DropReason.ESP_BAD_NEXT_HEADER),
    ("aabb0011", DropReason.ESP_BAD_NEXT_HEADER),  # UDP: transport mode
    ("aabb00ff", DropReason.ESP_BAD_NEXT_HEADER),
]


@pytest.mark.parametrize(("plain", "reason"), REFUSED)
def test_refused_plaintext(plain: str, reason: DropReason) -> None:
    assert unpad(bytes.fromhex(plain)) is reason


def test_longer_padding_than_needed_is_fine() -> None:
    assert unpad(b"packet" + bytes(range(1, 256)) + bytes([255, 4])) == 6


@given(st.binary(max_size=600))
def test_any_plaintext_is_judged(plain: bytes) -> None:
    found = unpad(plain)
    assert isinstance(found, DropReason) or 0 <= found <= len(plain) - 2


@pytest.mark.parametrize(("block", "expected"), [(1, 4), (4, 4), (8, 8), (16, 16)])
def test_alignment(block: int, expected: int) -> None:
    assert alignment(block) == expected


@pytest.mark.parametrize("block", [0, 3, 32, -1])
def test_impossible_blocks(block: int) -> None:
    with pytest.raises(LocalMisuse, match="cipher block"):
        alignment(block)


def test_sizes() -> None:
    assert (min_size(CBC), min_size(GCM)) == (8 + 16 + 16 + 16, 8 + 8 + 4 + 16)
    assert (overhead(CBC, 84), overhead(GCM, 84)) == (8 + 16 + 12 + 16, 8 + 8 + 4 + 16)
