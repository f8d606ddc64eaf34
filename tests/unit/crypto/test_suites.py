"""Suites as text: the good ones and their transforms, the bad ones and what the user is told."""

import pytest

from node.crypto import kex, suites
from node.crypto.aead import encr_key_size, integ_key_size
from node.crypto.prf import output_size, supported
from node.crypto.suites import esp_suite, ike_suite
from node.model.proposal import Suite, Transform
from node.model.registry import EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType


def encr(number: EncrId, bits: int | None = None) -> Transform:
    return Transform(TransformType.ENCR, number, bits)


@pytest.mark.parametrize(
    ("text", "suite"),
    [
        (
            "aes256-sha256-modp2048",
            Suite(
                ProtocolId.IKE,
                encr(EncrId.ENCR_AES_CBC, 256),
                IntegId.AUTH_HMAC_SHA2_256_128,
                PrfId.PRF_HMAC_SHA2_256,
                KeId.MODP_2048,
            ),
        ),
        (
            "aes128-sha512-prfsha384-ecp521",
            Suite(
                ProtocolId.IKE,
                encr(EncrId.ENCR_AES_CBC, 128),
                IntegId.AUTH_HMAC_SHA2_512_256,
                PrfId.PRF_HMAC_SHA2_384,
                KeId.ECP_521,
            ),
        ),
        (
            "aes256gcm16-prfsha256-modp2048",
            Suite(
                ProtocolId.IKE,
                encr(EncrId.ENCR_AES_GCM_16, 256),
                prf=PrfId.PRF_HMAC_SHA2_256,
                ke=KeId.MODP_2048,
            ),
        ),
        (
            "chacha20poly1305-prfsha512-x448",
            Suite(
                ProtocolId.IKE,
                encr(EncrId.ENCR_CHACHA20_POLY1305),
                prf=PrfId.PRF_HMAC_SHA2_512,
                ke=KeId.CURVE448,
            ),
        ),
    ],
)
def test_ike_suites(text: str, suite: Suite) -> None:
    assert ike_suite(text) == suite


@pytest.mark.parametrize(
    ("text", "transform", "integ", "esn"),
    [
        ("aes256-sha256", encr(EncrId.ENCR_AES_CBC, 256), IntegId.AUTH_HMAC_SHA2_256_128, EsnId.NO_ESN),
        ("aes192-sha384-esn", encr(EncrId.ENCR_AES_CBC, 192), IntegId.AUTH_HMAC_SHA2_384_192, EsnId.ESN),
        ("aes256gcm16", encr(EncrId.ENCR_AES_GCM_16, 256), IntegId.NONE, EsnId.NO_ESN),
        ("aes128gcm16-noesn", encr(EncrId.ENCR_AES_GCM_16, 128), IntegId.NONE, EsnId.NO_ESN),
        ("null-sha256", encr(EncrId.ENCR_NULL), IntegId.AUTH_HMAC_SHA2_256_128, EsnId.NO_ESN),
    ],
)
def test_esp_suites(text: str, transform: Transform, integ: IntegId, esn: EsnId) -> None:
    assert esp_suite(text) == Suite(ProtocolId.ESP, transform, integ, esn=esn)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' has no meaning here"),
        ("aes256-sha256-modp1024", "'modp1024' has no meaning here; known are .*modp2048"),
        ("aes256-md5-modp2048", "'md5' has no meaning"),
        ("AES256-sha256-modp2048", "'AES256' has no meaning"),
        ("aes256-sha256-modp2048-esn", "'esn' has no meaning"),
        ("aes256--sha256-modp2048", "'' has no meaning"),
        ("aes256-sha256", "names no key exchange; add one of modp2048"),
        ("sha256-modp2048", "names no encryption; add one of aes128"),
        ("aes256-modp2048", "aes256 needs an integrity algorithm; add one of sha256"),
        ("aes256-prfsha256-modp2048", "aes256 needs an integrity algorithm"),
        ("aes256gcm16-modp2048", "names no PRF; add one of prfsha256"),
        ("aes256gcm16-sha256-modp2048", "brings its own integrity; leave sha256 out"),
        ("aes256-aes128-sha256-modp2048", "two encryption algorithms, aes256 and aes128"),
        ("aes256-sha256-sha256-modp2048", "two integrity algorithms"),
        ("aes256-sha256-modp2048-ecp256", "two key exchange algorithms"),
        ("null-sha256-modp2048", "always encrypted"),
    ],
)
def test_bad_ike_suites_are_refused_with_the_remedy(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ike_suite(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("aes256", "needs an integrity algorithm"),
        ("null", "null needs an integrity algorithm"),
        ("sha256", "names no encryption"),
        ("aes256-sha256-modp1024", "'modp1024' has no meaning here"),
        ("aes256-sha256-modp2048-ecp256", "two key exchange algorithms"),
        ("aes256-sha256-prfsha256", "'prfsha256' has no meaning here"),
        ("aes256gcm16-sha256", "brings its own integrity"),
        ("aes256-sha256-esn-noesn", "two ESN"),
    ],
)
def test_bad_esp_suites_are_refused_with_the_remedy(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        esp_suite(text)


def test_whatever_has_a_name_is_implemented() -> None:
    assert all(encr_key_size(encr(*named)) >= 0 for named in suites._ENCR.values())
    assert all(integ_key_size(number) > 0 for number in suites._INTEG.values())
    assert all(output_size(number) > 0 for number in suites._PRF.values())
    assert set(suites._KE.values()) == kex.supported()
    assert set(suites._PRF.values()) == supported()
    assert {number for number, _ in suites._ENCR.values()} == set(EncrId)
