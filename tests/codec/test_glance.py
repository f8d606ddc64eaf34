"""A glance finds the nonce and a cookie that comes first, as `read` does, and is bounded whatever comes."""

import contextlib
import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason
from node.model.message import Envelope, Glance
from node.model.payloads import Nonce, Notify, Payload
from node.model.registry import NotifyType
from node.wire.asn1 import der
from node.wire.asn1.limits import MAX_DATAGRAM
from tests.codec.samples import AUTH, CLEARTEXT, CODEC, FOUNDING, IKE_AUTH, INIT, SUITES, sealed, sealer_of
from tests.codec.strategies import messages
from tests.property.stopwatch import Stopwatch

COOKIE = Notify(NotifyType.COOKIE, bytes(range(17)))
OTHER = Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20))
#: CPU seconds that a glance may cost, whatever it falls on.
BOUND = 0.002


def glance(octets: bytes) -> Glance:
    return CODEC.glance(CODEC.peek(octets))


def expected(payloads: tuple[Payload, ...]) -> Glance:
    """What the payloads say."""
    nonce = next((p.data for p in payloads if isinstance(p, Nonce)), b"")
    first = payloads[0] if payloads else None
    shown = isinstance(first, Notify) and first.notify_type == NotifyType.COOKIE
    return Glance(nonce, first.data if isinstance(first, Notify) and shown else b"")


@pytest.mark.parametrize("order", [*permutations([COOKIE, OTHER, *FOUNDING])], ids=lambda o: "")
def test_only_a_cookie_that_comes_first_is_one(order: tuple[Payload, ...]) -> None:
    octets = sealed(INIT, order)
    assert CODEC.read(CODEC.peek(octets)).payloads == order
    assert glance(octets) == expected(order)


@pytest.mark.parametrize("size", [0, 1, 64, 65, 4000])
def test_the_size_is_for_others_to_judge(size: int) -> None:
    octets = sealed(INIT, (Notify(NotifyType.COOKIE, bytes(size)), *FOUNDING))
    assert glance(octets).cookie == bytes(size)


@given(messages.filter(lambda m: any(isinstance(p, Nonce) for p in m)), st.booleans())
def test_a_glance_sees_what_reading_sees(payloads: tuple[Payload, ...], shown: bool) -> None:
    said = (COOKIE, *payloads) if shown else payloads
    assert glance(sealed(INIT, said)) == expected(said)


def test_a_protected_message_has_nothing_to_see() -> None:
    octets = sealed(AUTH, IKE_AUTH, sealer_of(next(iter(SUITES))))
    with pytest.raises(DecodeError) as caught:
        glance(octets)
    assert caught.value.reason is DropReason.UNEXPECTED_MESSAGE


@pytest.mark.parametrize("seed", range(8))
def test_whatever_octets_come(seed: int) -> None:
    """Nothing but a DecodeError is raised, and what is read is seen alike."""
    rng = random.Random(seed)
    samples = [sealed(INIT, p) for p in CLEARTEXT.values()] + [sealed(INIT, (COOKIE, OTHER, *FOUNDING))]
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
        if seen.nonce:
            assert seen == expected(payloads)


def test_many_small_elements_cost_little() -> None:
    header = CODEC.peek(sealed(INIT, FOUNDING)).header
    start = sealed(header, ())[2:]
    room = MAX_DATAGRAM - len(start) - 8
    junk = b"\xa7\x00" * (room // 2)
    order = b"\xa7\x82" + (room - 8).to_bytes(2) + b"\x02\x00" * ((room - 8) // 2)
    for fields in (junk, order):
        octets = der.sequence(start + fields[: room // 2 * 2])
        assert min(_cost(Envelope(header, octets, False)) for _ in range(3)) < BOUND


def _cost(envelope: Envelope) -> float:
    """CPU seconds of a glance; the least of some is what it costs, more is the machine's business."""
    with Stopwatch() as watch, contextlib.suppress(DecodeError):
        CODEC.glance(envelope)
    return watch.own
