"""Algorithms by all their names: those of the node against the node itself, charon's both ways."""

from itertools import product

import pytest

from lab.peers import algorithms
from lab.peers.algorithms import ALGORITHMS, Kind
from node.crypto import suites

OURS = {kind: [a for a in ALGORITHMS if a.node and a.kind is kind] for kind in Kind}


def node_keywords() -> set[str]:
    return {word for kind in suites._KINDS for word in kind}


def test_what_is_marked_as_the_nodes_is_just_what_the_node_knows() -> None:
    assert {algorithm.keyword for algorithm in ALGORITHMS if algorithm.node} == node_keywords()


def test_every_name_belongs_to_one_algorithm() -> None:
    for names in (
        [algorithm.keyword for algorithm in ALGORITHMS],
        [algorithm.charon for algorithm in ALGORITHMS],
        [algorithm.iana for algorithm in ALGORITHMS],
    ):
        assert len(set(names)) == len(names)


def ike_texts() -> list[str]:
    aead = [f"{e.keyword}-{p.keyword}" for e, p in product(OURS[Kind.ENCR], OURS[Kind.PRF]) if e.aead]
    plain = [e for e in OURS[Kind.ENCR] if not e.aead and e.keyword != "null"]
    cbc = [f"{e.keyword}-{i.keyword}" for e, i in product(plain, OURS[Kind.INTEG])]
    cbc += [f"{e.keyword}-sha256-{p.keyword}" for e, p in product(plain, OURS[Kind.PRF][1:])]
    return [f"{head}-{ke.keyword}" for head, ke in product([*aead, *cbc], OURS[Kind.KE])]


def esp_texts() -> list[str]:
    aead = [e.keyword for e in OURS[Kind.ENCR] if e.aead]
    plain = [f"{e.keyword}-{i.keyword}" for e in OURS[Kind.ENCR] if not e.aead for i in OURS[Kind.INTEG]]
    return [*aead, *plain, *(f"{text}-esn" for text in (*aead, *plain))]


def test_every_ike_suite_of_the_node_is_called_as_the_node_calls_it() -> None:
    for text in ike_texts():
        suite = algorithms.proposal(text)
        assert suite.iana == str(suites.ike_suite(text))
        assert suite.keywords == text
        assert suite.node


def test_every_esp_suite_of_the_node_is_called_as_the_node_calls_it() -> None:
    for text in esp_texts():
        suite = algorithms.proposal(text)
        assert suite.iana == str(suites.esp_suite(text))
        assert suite.keywords == text


@pytest.mark.parametrize("text", [*ike_texts()[::7], *esp_texts()])
def test_what_charon_logs_of_a_suite_leads_back_to_it(text: str) -> None:
    suite = algorithms.proposal(text)
    logged = "/".join(algorithm.charon for algorithm in suite.algorithms)
    assert algorithms.from_log(f"IKE:{logged}") == suite


def test_every_algorithm_of_charon_comes_back_from_its_list_of_sas() -> None:
    for algorithm in ALGORITHMS:
        name, _, bits = algorithm.charon.rpartition("_")
        listed = {"encr-alg": "AES_CBC", "encr-keysize": "256", "integ-alg": "HMAC_SHA2_256_128"}
        if algorithm.kind is Kind.ENCR:
            sized = bits in ("128", "192", "256")
            listed = {"encr-alg": name, "encr-keysize": bits} if sized else {"encr-alg": algorithm.charon}
            listed |= {} if algorithm.aead else {"integ-alg": "HMAC_SHA2_256_128"}
        elif algorithm.kind is Kind.ESN:
            listed |= {"esn": "1"} if algorithm.keyword == "esn" else {}
        else:
            listed[{"integrity": "integ-alg", "PRF": "prf-alg"}.get(algorithm.kind, "dh-group")] = (
                algorithm.charon
            )
        found = algorithms.from_sa(listed).of(algorithm.kind)
        assert found == algorithm or (algorithm.keyword == "noesn" and found is None)


def test_additional_key_exchanges_are_kept_in_their_order() -> None:
    suite = algorithms.proposal("aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke2_x448")
    assert suite.keywords == "aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke2_x448"
    assert suite.iana == "ENCR_AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE25519/KE1_ML_KEM_768/KE2_CURVE448"
    assert not suite.node
    logged = "IKE:AES_GCM_16_256/PRF_HMAC_SHA2_256/CURVE_25519/KE1_ML_KEM_768/KE2_CURVE_448"
    assert algorithms.from_log(logged) == suite


@pytest.mark.parametrize(
    ("alias", "keyword"),
    [("aes", "aes128"), ("aes256gcm", "aes256gcm16"), ("sha2_384", "sha384"), ("curve25519", "x25519")],
)
def test_other_spellings_of_charon_mean_the_same(alias: str, keyword: str) -> None:
    assert algorithms.by_keyword(alias) == algorithms.by_keyword(keyword)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("aes257-sha256-modp2048", "'aes257' is no algorithm: write one of "),
        ("", "'' is no algorithm"),
        ("sha256-modp2048", "names no encryption"),
        ("aes256-modp2048", "aes256 needs an integrity algorithm"),
        ("aes256gcm16-sha256-x25519", "aes256gcm16 brings its own integrity"),
        ("aes128-aes256-sha256-x25519", "names two encryption algorithms"),
        ("aes256-sha256-x25519-ke2_mlkem768", "must be counted from ke1_ on"),
    ],
)
def test_a_proposal_that_is_none_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        algorithms.proposal(text)


def test_names_that_charon_never_uses_are_not_guessed() -> None:
    with pytest.raises(ValueError, match="'ROT13' is unknown"):
        algorithms.from_log("IKE:ROT13/HMAC_SHA2_256_128")
    with pytest.raises(ValueError, match="key exchange 'MODP_99' is unknown"):
        algorithms.from_sa({"encr-alg": "AES_GCM_16", "encr-keysize": "128", "dh-group": "MODP_99"})
