"""PRFs against RFC 4231 and RFC 4868; prf+ against its definition and its limit."""

import hmac
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.crypto.prf import MAX_BLOCKS, expand, output_size, prf, prf_plus, supported
from node.errors import LocalMisuse
from node.model.registry import PrfId
from tests.unit.crypto.support import cases, octets

HASHES = {
    "sha256": PrfId.PRF_HMAC_SHA2_256,
    "sha384": PrfId.PRF_HMAC_SHA2_384,
    "sha512": PrfId.PRF_HMAC_SHA2_512,
}


@pytest.mark.parametrize("case", cases("rfc/hmac_sha2_rfc4231.json"), ids=lambda c: str(c["case"]))
@pytest.mark.parametrize("name", HASHES)
def test_hmac_of_rfc_4231(case: dict[str, Any], name: str) -> None:
    key, data, expected = octets(case, "key", "data", name)
    # Case 5 prints the first 128 bits only.
    assert prf(HASHES[name], key, data)[: len(expected)] == expected


@pytest.mark.parametrize("case", cases("rfc/hmac_sha2_rfc4868.json"), ids=lambda c: str(c["case"]))
def test_prf_of_rfc_4868(case: dict[str, Any]) -> None:
    key, data = octets(case, "key", "data")
    found = [name for name in HASHES if f"prf_{name}" in case]
    assert found
    for name in found:
        assert prf(HASHES[name], key, data).hex() == case[f"prf_{name}"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(supported())), st.binary(max_size=80), st.binary(max_size=80), st.data())
def test_prf_plus_is_its_definition(prf_id: PrfId, key: bytes, seed: bytes, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 10 * output_size(prf_id)))
    name = {number: name for name, number in HASHES.items()}[prf_id]
    block, stream, number = b"", b"", 0
    while len(stream) < length:
        number += 1
        block = hmac.digest(key, block + seed + bytes([number]), name)
        stream += block
    assert prf_plus(prf_id, key, seed, length) == stream[:length]


@pytest.mark.parametrize("prf_id", sorted(supported()))
def test_prf_plus_ends_after_255_blocks(prf_id: PrfId) -> None:
    most = MAX_BLOCKS * output_size(prf_id)
    assert len(prf_plus(prf_id, b"k", b"s", most)) == most
    with pytest.raises(LocalMisuse, match="255 blocks"):
        prf_plus(prf_id, b"k", b"s", most + 1)


def test_expand_numbers_blocks_from_one() -> None:
    seen: list[bytes] = []

    def function(data: bytes) -> bytes:
        seen.append(data)
        return b"ab"

    assert expand(function, b"seed", 5, 2) == b"ababa"
    assert seen == [b"seed\x01", b"abseed\x02", b"abseed\x03"]


def test_an_unknown_prf_is_the_callers_mistake() -> None:
    with pytest.raises(LocalMisuse, match="PrfId_4242"):
        prf(PrfId(4242), b"", b"")
