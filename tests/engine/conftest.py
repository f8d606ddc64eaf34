"""Every engine test runs over every codec."""

import pytest

from tests.engine import lives
from tests.engine.harness import CODECS, RESPONDER, Pair, variant
from tests.engine.strangers import limits


@pytest.fixture(params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> str:
    """The name of a wire profile."""
    return str(request.param)


@pytest.fixture
def pair(codec: str) -> Pair:
    """An initiator and a responder that have not met."""
    return Pair(codec)


@pytest.fixture(params=[lives.first, lives.second], ids=["original initiator", "original responder"])
def role(request: pytest.FixtureRequest) -> lives.Role:
    """Who begins: makes of a pair (who asks, who answers)."""
    chosen: lives.Role = request.param
    return chosen


@pytest.fixture
def wary(codec: str) -> Pair:
    """As `pair`; the responder wants a cookie from everybody."""
    return Pair(codec, responder=variant(RESPONDER, **limits(cookie_threshold=0)))
