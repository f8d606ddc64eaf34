"""A responder as a process under floods, over UDP on loopback: a small part of what `make test-long` does."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.node.conftest import make_credentials
from tests.property import flood
from tests.property.honest import name_of
from tests.property.junk import junk

HONEST = 3


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Credentials of a responder and of some initiators."""
    root = tmp_path_factory.mktemp("crowd")
    make_credentials(root / "ipsec" / "certs", ["responder", *map(name_of, range(HONEST))])
    return root


@pytest.mark.slow
def test_honest_initiators_come_through_a_flood_of_forged_requests(crowd: Path) -> None:
    result = flood.measure(crowd, 1_000, 1.5, HONEST, NODE_IKE__HALF_OPEN__LIFETIME="8")
    assert None not in result.idle
    assert None not in result.flooded
    assert result.peak.half_open <= 31
    # Until cookies are wanted each request costs a key pair; then only those of who shows one.
    assert result.key_pairs <= 30 + HONEST
    assert result.secrets == HONEST
    assert result.amplification <= 1.0
    assert result.spoofed["received"] <= result.spoofed["sent"]
    assert set(result.spoofed["kinds"]) == {"IKE_SA_INIT", "COOKIE"}
    assert result.lifted is not None
    assert result.lifted < 10


def test_junk_ike_auth_costs_one_key_derivation(crowd: Path) -> None:
    responder = flood.Responder(crowd, HONEST, NODE_IKE__HALF_OPEN__LIFETIME="120")
    try:
        keys = asyncio.run(junk(crowd, responder, 500))
        found = responder.counters()
        assert sum(found["dropped"].values()) == 500
        assert set(found["dropped"]) <= {"bad_icv", "malformed", "truncated", "not_canonical"}
        assert found["events"]["shared_secret_derived"] == 1
        assert found["events"]["ike_sa_established"] == 1
    finally:
        responder.close()
    told = json.dumps(responder.process.events) + responder.process.errors
    assert "ike_sa_established" in told
    assert len(keys) >= 10
    assert not any(key.hex() in told.lower() or repr(key)[2:-1] in told for key in keys if len(key) >= 16)
