"""A thousand initiators, one after the other, against one responder: nothing of them is left."""

import pytest

from tests.engine.harness import CODECS
from tests.engine.test_scale import in_sequence

pytestmark = pytest.mark.long


@pytest.mark.parametrize("codec", sorted(CODECS))
def test_a_thousand_in_sequence(codec: str) -> None:
    in_sequence(codec, 1_000)
