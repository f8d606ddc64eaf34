"""Every engine test runs over every codec."""

import pytest

from tests.engine.harness import CODECS, Pair


@pytest.fixture(params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> str:
    """The name of a wire profile."""
    return str(request.param)


@pytest.fixture
def pair(codec: str) -> Pair:
    """An initiator and a responder that have not met."""
    return Pair(codec)
