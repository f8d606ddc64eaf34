"""Which tests confirm each algorithm by something that is not ours.

Published vectors, another implementation, or plain integers: a new algorithm needs its line in this table.

    tests/unit/crypto   vectors of RFCs and NIST; arithmetic with Python's integers
    tests/unit/esp      published ESP packets; scapy seals and opens ESP
    tests/decode        tshark opens IKE and ESP; the lab's decoder, which shares no code with the node, what
                        tshark has no entry for
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from node.crypto import kex, prf
from node.crypto.signature import SCHEMES
from node.model.registry import AuthMethod, EncrId, IntegId, KeId, PrfId

TESTS = Path(__file__).parents[2]
AEAD_VECTORS = "unit/crypto/test_aead.py::test_packets_of_the_aead_vectors"
ICVS = "unit/crypto/test_aead.py::test_icvs_of_rfc_4868"
ESP_PACKETS = "unit/esp/test_vectors.py::test_published_packets"
SCAPY = (
    "unit/esp/test_scapy.py::test_scapy_opens_what_we_seal",
    "unit/esp/test_scapy.py::test_we_open_what_scapy_seals",
)
IKE, ESP = "decode/test_tshark.py::test_tshark_opens_ike", "decode/test_tshark.py::test_tshark_opens_esp"
DECODER = "decode/test_binary.py::test_every_message_of_a_run_says_what_the_codec_says"
IKE_MESSAGE = "codec/rfc7296/test_protection.py::test_the_message_of_rfc_7634"
HMACS = "unit/crypto/test_prf.py::test_hmac_of_rfc_4231", "unit/crypto/test_prf.py::test_prf_of_rfc_4868"
KDF = "unit/crypto/test_keymat.py::test_nist_cases_of_our_prfs"
MODP = (
    "unit/crypto/test_kex.py::test_moduli_are_those_of_rfc_3526",
    "unit/crypto/test_kex.py::test_the_exchange_is_modular_exponentiation",
)
ECP = ("unit/crypto/test_kex.py::test_key_exchange_of_rfc_5903",)
CURVES = ("unit/crypto/test_kex.py::test_key_exchange_of_rfc_7748",)
PUBLISHED = "unit/crypto/test_published.py"
CLASSIC = (f"{PUBLISHED}::test_the_auth_payloads_of_rfc_4754",)
RSA = (f"{PUBLISHED}::test_rsa_of_nist",)
PSS = (f"{PUBLISHED}::test_pss_is_the_arithmetic_of_rfc_8017",)
ECDSA = (f"{PUBLISHED}::test_ecdsa_of_nist",)
EDDSA = (f"{PUBLISHED}::test_signatures_of_rfc_8032",)

CBC = f"{PUBLISHED}::test_aes_cbc_of_nist", *SCAPY, IKE, ESP
GCM = f"{PUBLISHED}::test_aes_gcm_of_nist", *SCAPY, IKE, ESP
#: For each algorithm the tests.
ORACLES: dict[object, tuple[str, ...]] = {
    (EncrId.ENCR_NULL, None): (*SCAPY, ESP),
    (EncrId.ENCR_AES_CBC, 128): ("unit/crypto/test_aead.py::test_ciphertexts_of_rfc_3602", *CBC),
    (EncrId.ENCR_AES_CBC, 192): CBC,
    (EncrId.ENCR_AES_CBC, 256): CBC,
    (EncrId.ENCR_AES_GCM_16, 128): (AEAD_VECTORS, ESP_PACKETS, *GCM),
    (EncrId.ENCR_AES_GCM_16, 192): (AEAD_VECTORS, ESP_PACKETS, *GCM),
    (EncrId.ENCR_AES_GCM_16, 256): (AEAD_VECTORS, ESP_PACKETS, *GCM),
    (EncrId.ENCR_CHACHA20_POLY1305, None): (AEAD_VECTORS, ESP_PACKETS, IKE_MESSAGE, *SCAPY, ESP, DECODER),
    **{number: (ICVS, *SCAPY, IKE, ESP) for number in IntegId if number},
    **{number: (*HMACS, KDF, IKE) for number in PrfId},
    **{number: (*MODP, IKE) for number in KeId if KeId.MODP_2048 <= number <= KeId.MODP_8192},
    **{number: (*ECP, IKE) for number in (KeId.ECP_256, KeId.ECP_384, KeId.ECP_521)},
    KeId.CURVE25519: (*CURVES, "unit/crypto/test_kex.py::test_key_exchange_of_rfc_8031", IKE),
    KeId.CURVE448: (*CURVES, IKE),
    **{f"RSA with SHA-{bits}": RSA for bits in (256, 384, 512)},
    "RSASSA-PSS with SHA-256": (*PSS, f"{PUBLISHED}::test_a_pss_certificate_that_somebody_else_signed"),
    "RSASSA-PSS with SHA-384": PSS,
    "RSASSA-PSS with SHA-512": PSS,
    **{f"ECDSA with SHA-{bits}": ECDSA for bits in (256, 384, 512)},
    "Ed25519": EDDSA,
    "Ed448": EDDSA,
    AuthMethod.ECDSA_SHA256_P256: CLASSIC,
    AuthMethod.ECDSA_SHA384_P384: CLASSIC,
    AuthMethod.ECDSA_SHA512_P521: CLASSIC,
}


@cache
def functions(file: str) -> frozenset[str]:
    """The names of the functions in a file of tests."""
    tree = ast.parse((TESTS / file).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("algorithm", ORACLES, ids=str)
def test_the_tests_of_an_algorithm_are_there(algorithm: object) -> None:
    assert ORACLES[algorithm]
    for test in ORACLES[algorithm]:
        file, _, name = test.partition("::")
        assert name in functions(file), test


def test_no_algorithm_is_without_an_oracle() -> None:
    """All that the node has: every cipher with each length of its key, every hash, group and signature."""
    lengths = {EncrId.ENCR_AES_CBC: (128, 192, 256), EncrId.ENCR_AES_GCM_16: (128, 192, 256)}
    ours: set[object] = {(number, bits) for number in EncrId for bits in lengths.get(number, (None,))}
    ours |= {number for number in IntegId if number} | set(prf.supported()) | set(kex.supported())
    ours |= {scheme.name for scheme in SCHEMES}
    ours |= {AuthMethod.ECDSA_SHA256_P256, AuthMethod.ECDSA_SHA384_P384, AuthMethod.ECDSA_SHA512_P521}
    assert set(ORACLES) == ours
