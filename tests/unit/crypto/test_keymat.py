"""Keying material against NIST CAVS 17.3 (900 cases), and how it is cut into keys."""

import gzip
import hashlib
import hmac
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

import pytest

from node.crypto.keymat import (
    derive_child_keys,
    derive_ike_keys,
    expand_ike_keys,
    rekeyed_skeyseed,
    skeyseed,
)
from node.crypto.prf import expand, prf, prf_plus
from node.crypto.suites import esp_suite, ike_suite
from node.errors import LocalMisuse
from node.model.registry import PrfId
from node.model.secret import Secret
from tests.unit.crypto.support import VECTORS

Case = dict[str, bytes]

PRFS = {
    "SHA-256": PrfId.PRF_HMAC_SHA2_256,
    "SHA-384": PrfId.PRF_HMAC_SHA2_384,
    "SHA-512": PrfId.PRF_HMAC_SHA2_512,
}
#: How many cases the file has for each hash: 900 in all.
CASES = {"SHA-1": 300, "SHA-256": 200, "SHA-384": 200, "SHA-512": 200}
NI, NR, SPI_I, SPI_R = b"i" * 32, b"r" * 40, b"I" * 8, b"R" * 8
SHARED = Secret(b"\x00" * 8 + b"g" * 248)


@cache
def nist() -> dict[str, list[Case]]:
    """The cases of each hash."""
    found: dict[str, list[Case]] = {}
    name = ""
    for line in gzip.decompress((VECTORS / "nist/ikev2.fax.gz").read_bytes()).decode().splitlines():
        if line.startswith("[SHA-"):
            name = line.strip("[]")
        elif line.startswith("COUNT"):
            found.setdefault(name, []).append({})
        elif " = " in line and not line.startswith(("[", "#")):
            field, value = line.split(" = ")
            found[name][-1][field] = bytes.fromhex(value)
    return found


def test_the_file_is_complete() -> None:
    assert {name: len(found) for name, found in nist().items()} == CASES


@pytest.mark.parametrize("name", PRFS)
def test_nist_cases_of_our_prfs(name: str) -> None:
    prf_id = PRFS[name]
    for case in nist()[name]:
        ni, nr, shared, new = case["Ni"], case["Nr"], Secret(case["g^ir"]), Secret(case["g^ir (new)"])
        seed = skeyseed(prf_id, ni, nr, shared)
        assert seed == Secret(case["SKEYSEED"])
        dkm = case["DKM"]
        assert prf_plus(prf_id, seed.reveal(), ni + nr + case["SPIi"] + case["SPIr"], len(dkm)) == dkm
        sk_d = Secret(dkm[: len(seed)])
        for field, extra in (("DKM(Child SA)", b""), ("DKM(Child SA D-H)", new.reveal())):
            child = case[field]
            assert prf_plus(prf_id, sk_d.reveal(), extra + ni + nr, len(child)) == child
        assert rekeyed_skeyseed(prf_id, sk_d, ni, nr, new) == Secret(case["SKEYSEED(Rekey)"])


def test_nist_cases_of_sha_1_check_prf_plus_with_a_foreign_prf() -> None:
    """SHA-1 is no PRF of ours; its cases test that prf+ works with another size of output."""

    def keyed(key: bytes) -> Callable[[bytes], bytes]:
        return lambda data: hmac.digest(key, data, hashlib.sha1)

    for case in nist()["SHA-1"]:
        nonces = case["Ni"] + case["Nr"]
        seed = keyed(nonces)(case["g^ir"])
        assert seed == case["SKEYSEED"]
        dkm, child = case["DKM"], case["DKM(Child SA)"]
        assert expand(keyed(seed), nonces + case["SPIi"] + case["SPIr"], len(dkm), 20) == dkm
        assert expand(keyed(dkm[:20]), nonces, len(child), 20) == child


def slices(stream: bytes, sizes: tuple[int, ...]) -> Iterator[Secret]:
    edges = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    return (Secret(stream[a:b]) for a, b in pairwise(edges))


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        # SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr, in octets
        ("aes256-sha256-modp2048", (32, 32, 32, 32, 32, 32, 32)),
        ("aes128-sha384-modp2048", (48, 48, 48, 16, 16, 48, 48)),
        ("aes192-sha512-prfsha256-modp2048", (32, 64, 64, 24, 24, 32, 32)),
        ("aes256gcm16-prfsha384-x25519", (48, 0, 0, 36, 36, 48, 48)),
        ("aes128gcm16-prfsha256-x25519", (32, 0, 0, 20, 20, 32, 32)),
        ("chacha20poly1305-prfsha512-x448", (64, 0, 0, 36, 36, 64, 64)),
    ],
)
def test_ike_keys_are_cut_in_the_order_of_rfc_7296_2_14(text: str, sizes: tuple[int, ...]) -> None:
    suite = ike_suite(text)
    assert suite.prf is not None
    seed = prf(suite.prf, NI + NR, SHARED.reveal())
    stream = prf_plus(suite.prf, seed, NI + NR + SPI_I + SPI_R, sum(sizes))
    keys = derive_ike_keys(suite, SHARED, NI, NR, SPI_I, SPI_R)
    found = (keys.sk_d, keys.sk_ai, keys.sk_ar, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr)
    assert found == tuple(slices(stream, sizes))
    assert expand_ike_keys(suite, Secret(seed), NI, NR, SPI_I, SPI_R) == keys


@pytest.mark.parametrize(
    ("text", "encr", "integ"),
    [("aes256-sha256", 32, 32), ("aes256gcm16", 36, 0), ("chacha20poly1305", 36, 0), ("null-sha512", 0, 64)],
)
@pytest.mark.parametrize("shared", [None, Secret(b"new" * 11)])
def test_child_keys_are_cut_in_the_order_of_rfc_7296_2_17(
    text: str, encr: int, integ: int, shared: Secret | None
) -> None:
    sk_d = Secret(b"d" * 48)
    seed = (shared.reveal() if shared else b"") + NI + NR
    stream = prf_plus(PrfId.PRF_HMAC_SHA2_384, sk_d.reveal(), seed, 2 * (encr + integ))
    one, two, three, four = slices(stream, (encr, integ, encr, integ))
    keys = derive_child_keys(esp_suite(text), PrfId.PRF_HMAC_SHA2_384, sk_d, NI, NR, shared)
    assert (keys.initiator.encr, keys.initiator.integ) == (one, two)
    assert (keys.responder.encr, keys.responder.integ) == (three, four)


@pytest.mark.parametrize("position", range(5))
def test_every_input_changes_every_key(position: int) -> None:
    suite = ike_suite("aes256-sha256-modp2048")
    inputs = [SHARED.reveal(), NI, NR, SPI_I, SPI_R]
    first = derive_ike_keys(suite, Secret(inputs[0]), *inputs[1:])
    inputs[position] = bytes([inputs[position][0] ^ 1]) + inputs[position][1:]
    second = derive_ike_keys(suite, Secret(inputs[0]), *inputs[1:])
    for name in ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr"):
        assert getattr(first, name) != getattr(second, name), name


def test_keys_are_never_shown() -> None:
    ike = derive_ike_keys(ike_suite("aes256-sha256-modp2048"), SHARED, NI, NR, SPI_I, SPI_R)
    child = derive_child_keys(esp_suite("aes256-sha256"), PrfId.PRF_HMAC_SHA2_256, ike.sk_d, NI, NR)
    for key in (ike.sk_d, ike.sk_ei, ike.sk_pi, child.initiator.encr, child.responder.integ):
        for shown in (repr(ike), str(ike), repr(child), str(child)):
            assert repr(key.reveal()) not in shown
            assert key.reveal().hex() not in shown


def test_an_esp_suite_is_no_ike_suite() -> None:
    with pytest.raises(LocalMisuse, match="no PRF"):
        derive_ike_keys(esp_suite("aes256-sha256"), SHARED, NI, NR, SPI_I, SPI_R)
