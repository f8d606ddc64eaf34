"""A glance finds the nonce and a cookie that comes first, as `read` does, and is bounded whatever comes."""

import random
import time
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason
from node.model.message import Glance
from node.model.payloads import Nonce, Notify, Payload
from node.model.registry import NotifyType
from tests.codec.rfc7296.samples import (
    AUTH,
    CLEARTEXT,
    CODEC,
    IKE_AUTH,
    IKE_SA_INIT,
    INIT,
    SUITES,
    sealed,
    sealer_of,
    written,
)
from tests.codec.rfc7296.test_payloads import messages

COOKIE = Notify(NotifyType.COOKIE, bytes(range(17)))
OTHER = Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20))
#: CPU seconds that a glance may cost, whatever it falls on.
BOUND = 0.005


def glance(octets: bytes) -> Glance:
    return CODEC.glance(CODEC.peek(octets))


def expected(payloads: tuple[Payload, ...]) -> Glance:
    """What the payloads say."""
    nonce = next((p.data for p in payloads if isinstance(p, Nonce)), b"")
    first = payloads[0] if payloads else None
    shown = isinstance(first, Notify) and first.notify_type == NotifyType.COOKIE
    return Glance(nonce, first.data if isinstance(first, Notify) and shown else b"")


@pytest.mark.parametrize("order", [*permutations([COOKIE, OTHER, *IKE_SA_INIT[:3]])], ids=lambda o: "")
def test_only_a_cookie_that_comes_first_is_one(order: tuple[Payload, ...]) -> None:
    assert glance(sealed(INIT, order)) == expected(order)


@pytest.mark.parametrize("size", [0, 1, 64, 65, 4000])
def test_the_size_is_for_others_to_judge(size: int) -> None:
    octets = sealed(INIT, (Notify(NotifyType.COOKIE, bytes(size)), *IKE_SA_INIT))
    assert glance(octets).cookie == bytes(size)


@given(messages, st.booleans())
def test_a_glance_sees_what_reading_sees(payloads: tuple[Payload, ...], shown: bool) -> None:
    said = (COOKIE, *payloads) if shown else payloads
    assert glance(sealed(INIT, said)) == expected(said)


@pytest.mark.parametrize("suite", SUITES)
def test_a_protected_message_has_nothing_to_see(suite: str) -> None:
    with pytest.raises(DecodeError) as caught:
        glance(sealed(AUTH, IKE_AUTH, sealer_of(suite)))
    assert caught.value.reason is DropReason.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("seed", range(5))
def test_whatever_octets_come(seed: int) -> None:
    """Nothing but a DecodeError is raised, and what is read is seen alike."""
    rng = random.Random(seed)
    samples = [sealed(INIT, p) for p in CLEARTEXT.values()] + [sealed(INIT, (COOKIE, OTHER, *IKE_SA_INIT))]
    for _ in range(2_000):
        octets = bytearray(rng.choice(samples))
        for _ in range(rng.randrange(1, 4)):
            octets[rng.randrange(len(octets))] = rng.randrange(256)
        try:
            envelope = CODEC.peek(bytes(octets))
            seen = CODEC.glance(envelope)
            payloads = CODEC.read(envelope).payloads
        except DecodeError:
            continue
        assert seen == expected(payloads)


def test_many_small_payloads_cost_little() -> None:
    octets = written(43, b"\x2b\0\0\4" * 2_490)
    begin = time.thread_time()
    with pytest.raises(DecodeError):
        glance(octets)
    assert time.thread_time() - begin < BOUND
