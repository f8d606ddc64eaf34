"""Fragments (RFC 7383): cut anywhere, each sealed by itself, joined to the message that was cut."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import DecodeError, DropReason, IntegrityError, LocalMisuse
from node.model.message import Fragment, Message
from node.model.payloads import Certificate, Nonce, Payload
from node.model.registry import CertEncoding, PayloadType
from node.ports import Sealer
from node.wire.rfc7296.codec import Rfc7296Codec
from node.wire.rfc7296.limits import MAX_FRAGMENTS, MAX_JOINED
from tests.codec.rfc7296.samples import (
    AUTH,
    CODEC,
    IKE_AUTH,
    INIT,
    SUITES,
    opened,
    protected,
    read,
    sealed,
    sealer_of,
)
from tests.codec.rfc7296.test_payloads import messages

LARGE: tuple[Payload, ...] = (
    *IKE_AUTH[:2],
    Certificate(CertEncoding.X509_SIGNATURE, bytes(range(256)) * 8),
    *IKE_AUTH[2:],
)
MTU = 576


def cut(payloads: tuple[Payload, ...], suite: str, mtu: int = MTU) -> tuple[bytes, ...]:
    sealed_ = CODEC.seal(AUTH, payloads, sealer_of(suite), mtu)
    assert sealed_.octets == (b"" if len(sealed_.datagrams) > 1 else sealed_.datagrams[0])
    return sealed_.datagrams


def collect(datagrams: tuple[bytes, ...], opener: Sealer) -> list[Fragment]:
    found = [opened(octets, opener) for octets in datagrams]
    assert all(isinstance(part, Fragment) for part in found)
    return [part for part in found if isinstance(part, Fragment)]


@pytest.mark.parametrize("suite", SUITES)
def test_a_message_that_is_too_large_goes_in_fragments(suite: str) -> None:
    datagrams = cut(LARGE, suite)
    assert len(datagrams) > 4
    assert max(map(len, datagrams)) <= MTU
    assert len({len(octets) for octets in datagrams[:-1]}) == 1, "all but the last are as large as may be"
    assert len(datagrams[0]) > MTU - 16
    parts = collect(datagrams, sealer_of(suite))
    assert [(p.number, p.total) for p in parts] == [(n, len(parts)) for n in range(1, len(parts) + 1)]
    assert [p.first_payload for p in parts] == [PayloadType.IDI] + [0] * (len(parts) - 1)
    message = CODEC.join(parts)
    inner = sealed(INIT, LARGE)[28:]
    assert message == Message(AUTH, LARGE, tuple(map(CODEC.body, LARGE)), b"", inner, protected=True)


def test_the_codec_writes_what_the_diagram_shows() -> None:
    """RFC 7383 2.5: the numbers are associated data, the first payload is named in the first alone."""
    suite = "AES-GCM"
    inner = sealed(INIT, LARGE)[28:]
    size = MTU - 28 - 8 - 8 - 16 - 1
    chunks = [inner[at : at + size] for at in range(0, len(inner), size)]
    sender = sealer_of(suite)
    ours = CODEC.seal(AUTH, LARGE, sender, MTU).datagrams
    first = protected(chunks[0] + b"\0", suite, 35, 53, b"\0\1" + len(chunks).to_bytes(2))
    assert (ours[0], len(ours)) == (first, len(chunks))
    assert ours[1][16] == 53
    assert ours[1][28:36] == b"\0\0" + (len(ours[1]) - 28).to_bytes(2) + b"\0\2" + len(chunks).to_bytes(2)
    assert len({octets[36:44] for octets in ours}) == len(ours), "each has an IV of its own"


@given(messages, st.sampled_from(sorted(SUITES)), st.integers(90, 700))
def test_whatever_is_cut_is_joined(said: tuple[Payload, ...], suite: str, mtu: int) -> None:
    try:
        datagrams = cut(said, suite, mtu)
    except LocalMisuse:
        assert len(sealed(INIT, said)) > MAX_FRAGMENTS * (mtu - 28 - 8 - 48) - 28
        return
    assert max(map(len, datagrams)) <= mtu
    opener = sealer_of(suite)
    found = opened(datagrams[0], opener)
    if isinstance(found, Message):
        assert (found.payloads, len(datagrams)) == (said, 1)
        return
    assert CODEC.join([found, *collect(datagrams[1:], opener)]).payloads == said


def test_a_message_that_fits_is_not_cut() -> None:
    (datagram,) = cut(LARGE, "AES-GCM", 0)
    assert cut(LARGE, "AES-GCM", len(datagram)) == (datagram,)
    assert len(cut(LARGE, "AES-GCM", len(datagram) - 1)) == 2


def test_a_message_above_the_cap_of_a_datagram_is_cut_at_it() -> None:
    large = (*IKE_AUTH, *[Certificate(CertEncoding.X509_SIGNATURE, bytes(9_000))] * 3)
    datagrams = cut(large, "AES-GCM", 65_000)
    assert len(datagrams) == 3
    assert CODEC.join(collect(datagrams, sealer_of("AES-GCM"))).payloads == large


def test_a_cleartext_message_is_never_cut() -> None:
    """RFC 7383 2.5: only what is encrypted; IP has to see to the rest."""
    sealed_ = CODEC.seal(INIT, LARGE, None, MTU)
    assert sealed_.datagrams == (sealed_.octets,)
    assert read(sealed_.octets).payloads == LARGE


@pytest.mark.parametrize("suite", SUITES)
def test_too_many_fragments_say_so(suite: str) -> None:
    with pytest.raises(LocalMisuse, match=r"above 32 fragments of 100: use smaller certificates"):
        cut(LARGE, suite, 100)
    with pytest.raises(LocalMisuse, match="no room for a fragment"):
        cut(LARGE, suite, 60)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize(
    ("number", "total", "first"),
    [(0, 1, 35), (0, 0, 35), (1, 0, 35), (2, 1, 0), (65_535, 2, 0), (1, 33, 35), (1, 65_535, 35), (2, 2, 35)],
)
def test_numbers_that_cannot_be_are_refused_before_anything_is_opened(
    suite: str, number: int, total: int, first: int
) -> None:
    """RFC 7383 2.6: silently; a bad one costs no decryption and is nobody's proven mistake."""

    class Unused:
        def open(self, aad: bytes, blob: bytes) -> bytes:
            raise AssertionError("it was opened")

    octets = protected(b"x\0", "AES-GCM", first, 53, number.to_bytes(2) + total.to_bytes(2))
    with pytest.raises(DecodeError) as caught:
        CODEC.open(CODEC.peek(octets), Unused())  # type: ignore[arg-type]
    assert (caught.value.reason, caught.value.authenticated) == (DropReason.MALFORMED, False)


@pytest.mark.parametrize("suite", SUITES)
def test_numbers_cannot_be_changed(suite: str) -> None:
    octets = cut(LARGE, suite)[1]
    for at in range(28, 36):
        for bit in range(8):
            changed = bytearray(octets)
            changed[at] ^= 1 << bit
            with pytest.raises((DecodeError, IntegrityError)) as caught:
                opened(bytes(changed), sealer_of(suite))
            assert not getattr(caught.value, "authenticated", False)


def test_an_sk_payload_is_no_fragment_and_the_other_way_round() -> None:
    suite = "AES-CBC with HMAC"
    for octets in (sealed(AUTH, IKE_AUTH, sealer_of(suite)), *cut(LARGE, suite)):
        other = octets[:16] + bytes((octets[16] ^ 46 ^ 53,)) + octets[17:]
        with pytest.raises((DecodeError, IntegrityError)):
            opened(other, sealer_of(suite))


def parts_of(inner: bytes, total: int) -> list[Fragment]:
    size = -(-len(inner) // total)
    return [
        Fragment(AUTH, n + 1, total, 0 if n else 35, inner[n * size : (n + 1) * size]) for n in range(total)
    ]


INNER = sealed(INIT, IKE_AUTH)[28:]


@pytest.mark.parametrize("total", [1, 2, 7, 32])
def test_fragments_may_be_cut_anywhere(total: int) -> None:
    assert CODEC.join(parts_of(INNER, total)).payloads == IKE_AUTH


def test_an_empty_fragment_is_one() -> None:
    """RFC 7383 2.5.3: in an extreme case a fragment has no data."""
    (whole,) = parts_of(INNER, 1)
    empty, rest = replace(whole, total=2, inner=b""), replace(whole, number=2, total=2, first_payload=0)
    assert CODEC.join([empty, rest]).payloads == IKE_AUTH
    found = opened(protected(b"\0", "AES-GCM", 35, 53, b"\0\1\0\2"), sealer_of("AES-GCM"))
    assert found == Fragment(AUTH, 1, 2, 35, b"")


THREE = parts_of(INNER, 3)


@pytest.mark.parametrize(
    ("why", "parts"),
    [
        ("none", []),
        ("one is missing", [THREE[0], THREE[2]]),
        ("the last is missing", THREE[:2]),
        ("in another order", THREE[::-1]),
        ("one twice", [THREE[0], THREE[1], THREE[1]]),
        ("another total", [*THREE[:2], replace(THREE[2], total=4)]),
        ("of another message", [*THREE[:2], replace(THREE[2], header=replace(AUTH, message_id=2))]),
    ],
)
def test_what_is_not_all_of_one_message_is_not_joined(why: str, parts: list[Fragment]) -> None:
    with pytest.raises(DecodeError) as caught:
        CODEC.join(parts)
    assert not caught.value.authenticated, why


def test_what_is_joined_is_bounded() -> None:
    half = bytes(MAX_JOINED // 2 + 1)
    with pytest.raises(DecodeError) as caught:
        CODEC.join([Fragment(AUTH, 1, 2, 43, half), Fragment(AUTH, 2, 2, 0, half)])
    assert (caught.value.reason, caught.value.authenticated) == (DropReason.OVERSIZED, True)
    with pytest.raises(LocalMisuse, match="fragments of"):
        Rfc7296Codec(65_535).seal(
            AUTH,
            [Certificate(CertEncoding.X509_SIGNATURE, bytes(33_000))] * 2,
            sealer_of("AES-GCM"),
            9_000,
        )


def test_a_joined_message_that_is_none_is_the_peers_own_mistake() -> None:
    parts = parts_of(sealed(INIT, (Nonce(b"short"),))[28:], 2)
    with pytest.raises(DecodeError) as caught:
        CODEC.join([replace(parts[0], first_payload=40), parts[1]])
    assert (caught.value.reason, caught.value.authenticated) == (DropReason.BAD_NONCE, True)
    assert caught.value.path == "plaintext/nonce"
