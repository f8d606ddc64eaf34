"""Negotiation: what is chosen, what is not, and what an answer must look like."""

import pytest

from node.model.proposal import Attribute, Proposal, Suite, Transform, accept, offer, select
from node.model.registry import EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType

CBC = Transform(TransformType.ENCR, EncrId.ENCR_AES_CBC, 256)
CBC_128 = Transform(TransformType.ENCR, EncrId.ENCR_AES_CBC, 128)
GCM = Transform(TransformType.ENCR, EncrId.ENCR_AES_GCM_16, 256)
SHA = Transform(TransformType.INTEG, IntegId.AUTH_HMAC_SHA2_256_128)
NO_INTEG = Transform(TransformType.INTEG, IntegId.NONE)
PRF = Transform(TransformType.PRF, PrfId.PRF_HMAC_SHA2_256)
MODP = Transform(TransformType.KE, KeId.MODP_2048)
X25519 = Transform(TransformType.KE, KeId.CURVE25519)
STRANGE = Transform(TransformType(99), 1)

CLASSIC = Suite(ProtocolId.IKE, CBC, IntegId.AUTH_HMAC_SHA2_256_128, PrfId.PRF_HMAC_SHA2_256, KeId.MODP_2048)
AEAD = Suite(ProtocolId.IKE, GCM, IntegId.NONE, PrfId.PRF_HMAC_SHA2_256, KeId.MODP_2048)
ESP = Suite(ProtocolId.ESP, CBC, IntegId.AUTH_HMAC_SHA2_256_128, esn=EsnId.NO_ESN)


def ike(number: int, *transforms: Transform) -> Proposal:
    return Proposal(number, ProtocolId.IKE, b"", transforms)


CHOICES: list[tuple[str, list[Proposal], list[Suite], tuple[Suite, int] | None]] = [
    ("the one there is", [ike(1, CBC, PRF, SHA, MODP)], [CLASSIC], (CLASSIC, 1)),
    ("order of transforms does not matter", [ike(1, MODP, SHA, PRF, CBC)], [CLASSIC], (CLASSIC, 1)),
    ("one of several", [ike(1, CBC_128, CBC, PRF, SHA, X25519, MODP)], [CLASSIC], (CLASSIC, 1)),
    (
        "our preference wins",
        [ike(1, CBC, PRF, SHA, MODP), ike(2, GCM, PRF, MODP)],
        [AEAD, CLASSIC],
        (AEAD, 2),
    ),
    (
        "their order within ours",
        [ike(4, CBC, PRF, SHA, MODP), ike(5, CBC, PRF, SHA, MODP)],
        [CLASSIC],
        (CLASSIC, 4),
    ),
    ("AEAD with integrity NONE", [ike(1, GCM, PRF, NO_INTEG, MODP)], [AEAD], (AEAD, 1)),
    ("AEAD with integrity", [ike(1, GCM, PRF, SHA, MODP)], [AEAD], None),
    ("another key length", [ike(1, CBC_128, PRF, SHA, MODP)], [CLASSIC], None),
    ("no PRF", [ike(1, CBC, SHA, MODP)], [CLASSIC], None),
    ("no key exchange", [ike(1, CBC, PRF, SHA)], [CLASSIC], None),
    ("another group", [ike(1, CBC, PRF, SHA, X25519)], [CLASSIC], None),
    ("a transform type we do not know", [ike(1, CBC, PRF, SHA, MODP, STRANGE)], [CLASSIC], None),
    ("another protocol", [Proposal(1, ProtocolId.ESP, b"", (CBC, PRF, SHA, MODP))], [CLASSIC], None),
    ("nothing", [], [CLASSIC], None),
    ("nothing in it", [ike(1)], [CLASSIC], None),
]


@pytest.mark.parametrize(
    ("offered", "ours", "expected"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES]
)
def test_select(offered: list[Proposal], ours: list[Suite], expected: tuple[Suite, int] | None) -> None:
    choice = select(offered, ours)
    assert (choice and (choice.suite, choice.number)) == expected


def test_a_transform_with_an_attribute_we_do_not_know_is_not_chosen() -> None:
    odd = Transform(TransformType.ENCR, EncrId.ENCR_AES_CBC, 256, (Attribute(77, b"x"),))
    assert select([ike(1, odd, PRF, SHA, MODP)], [CLASSIC]) is None
    assert select([ike(1, odd, CBC, PRF, SHA, MODP)], [CLASSIC]) is not None


def test_what_we_offer_is_what_we_accept() -> None:
    proposals = offer((CLASSIC, AEAD), b"12345678")
    assert [p.number for p in proposals] == [1, 2]
    assert {p.spi for p in proposals} == {b"12345678"}
    for number, suite in enumerate((CLASSIC, AEAD)):
        choice = accept([proposals[number]], (CLASSIC, AEAD))
        assert choice is not None
        assert choice.suite == suite


BAD_ANSWERS = {
    "none": [],
    "two": [*offer((CLASSIC, AEAD))],
    "a number we did not offer": [ike(3, CBC, PRF, SHA, MODP)],
    "number 0": [ike(0, CBC, PRF, SHA, MODP)],
    "the number of another one": [ike(2, CBC, PRF, SHA, MODP)],
    "two of a type": [ike(1, CBC, CBC_128, PRF, SHA, MODP)],
    "the same one twice": [ike(1, CBC, CBC, PRF, SHA, MODP)],
    "a weaker one": [ike(1, CBC_128, PRF, SHA, MODP)],
    "one left out": [ike(1, CBC, PRF, SHA)],
    "one added": [ike(1, CBC, PRF, SHA, MODP, STRANGE)],
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_an_answer_that_is_not_a_choice(answer: list[Proposal]) -> None:
    assert accept(answer, (CLASSIC, AEAD)) is None


def test_esp() -> None:
    (proposal,) = offer((ESP,), b"abcd")
    choice = select([proposal], [ESP])
    assert choice is not None
    assert (choice.spi, choice.suite) == (b"abcd", ESP)
    esn = Suite(ProtocolId.ESP, CBC, IntegId.AUTH_HMAC_SHA2_256_128, esn=EsnId.ESN)
    assert select([proposal], [esn]) is None


def test_a_suite_reads_like_a_suite() -> None:
    assert str(CLASSIC) == "ENCR_AES_CBC_256/PRF_HMAC_SHA2_256/AUTH_HMAC_SHA2_256_128/MODP_2048"
    assert str(ESP) == "ENCR_AES_CBC_256/AUTH_HMAC_SHA2_256_128"
    assert str(AEAD) == "ENCR_AES_GCM_16_256/PRF_HMAC_SHA2_256/MODP_2048"
