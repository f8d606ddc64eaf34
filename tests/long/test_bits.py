"""Every bit of every sample of the canonical encoding."""

import pytest

from tests.codec.test_canonical import SAMPLES, flip_bits

pytestmark = pytest.mark.long


@pytest.mark.parametrize("name", SAMPLES)
def test_every_bit(name: str) -> None:
    flip_bits(name, 1)
