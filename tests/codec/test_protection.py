"""The protected part: associated data, padding, sizes; what a plaintext may be, and who is to blame."""

from typing import Any

import pytest

from node.errors import DecodeError, DropReason, IntegrityError, LocalMisuse
from node.model.message import IKE_VERSION, Message
from node.model.payloads import Certificate, Nonce, Payload
from node.model.registry import CertEncoding, PayloadType
from node.ports import Sealer
from node.wire.asn1.limits import MAX_DATAGRAM
from tests.codec import der_oracle
from tests.codec.samples import AUTH, CODEC, IKE_AUTH, PAYLOADS, SUITES, sealed, sealer_of

HEADER = {
    "initiatorSPI": int.from_bytes(AUTH.spi_i),
    "responderSPI": int.from_bytes(AUTH.spi_r),
    "nextPayload": int(PayloadType.SK),
    "version": IKE_VERSION,
    "exchangeType": 35,
    "flags": 8,
    "messageID": 1,
    "length": 0,
}
INNER = der_oracle.encode(der_oracle.INNER_PAYLOADS, {"payloads": [PAYLOADS["IDi"][1:]]})
BLOCK = 16


def opened(octets: bytes, opener: Sealer) -> Message:
    """The message in a datagram, opened."""
    message = CODEC.open(CODEC.peek(octets), opener)
    assert isinstance(message, Message)
    return message


def protected(plain: bytes, suite: str = "AES-CBC with HMAC", **changes: bytes) -> bytes:
    """A datagram with this plaintext, made without the codec; `changes` replace iv, ciphertext or icv."""
    sealer = sealer_of(suite)
    blob = sealer.seal(der_oracle.encode(der_oracle.HEADER, HEADER), plain)
    end = len(blob) - sealer.icv_size
    part: dict[str, Any] = {
        "iv": blob[: sealer.iv_size],
        "ciphertext": blob[sealer.iv_size : end],
        "icv": blob[end:],
    }
    return der_oracle.message(HEADER, encrypted={**part, **changes})


def padded(inner: bytes, more: int = 0, fill: bytes = b"\0") -> bytes:
    """The plaintext with the shortest padding for BLOCK, and `more` blocks of it."""
    pad = -(len(inner) + 1) % BLOCK + more * BLOCK
    return inner + fill * pad + bytes((pad,))


@pytest.mark.parametrize("suite", SUITES)
def test_the_codec_writes_what_the_oracle_writes(suite: str) -> None:
    """Header as AAD, encrypted { iv, ciphertext, icv }, a plaintext with the shortest padding."""
    octets = sealed(AUTH, (PAYLOADS["IDi"][0],), sealer_of(suite))
    plain = padded(INNER) if sealer_of(suite).block == BLOCK else INNER + b"\0"
    assert octets == protected(plain, suite)
    message = opened(octets, sealer_of(suite))
    assert (message.header, message.protected, message.octets) == (AUTH, True, octets)
    assert (message.payloads, message.inner) == ((PAYLOADS["IDi"][0],), plain)


def test_a_message_without_payloads() -> None:
    octets = sealed(AUTH, (), sealer_of("AES-GCM"))
    assert octets == protected(b"\x30\x00\x00", "AES-GCM")
    assert opened(octets, sealer_of("AES-GCM")).payloads == ()


@pytest.mark.parametrize(
    "plain",
    [padded(INNER, more) for more in range(15)] + [padded(INNER, 2, b"\xa5"), padded(b"\x30\0", 14)],
)
def test_any_padding_that_fits_is_accepted(plain: bytes) -> None:
    """RFC 7296 3.14: a receiver accepts any length that aligns, and does not look at the octets."""
    message = opened(protected(plain), sealer_of("AES-CBC with HMAC"))
    assert message.inner == plain


@pytest.mark.parametrize(
    ("why", "plain", "path"),
    [
        ("a pad length that is too long", INNER + b"\xff", "padding"),
        ("nothing but padding", b"\0" * 15 + b"\x0f", "padding"),
        ("a pad length alone", b"\0", "padding"),
        ("one octet too few", INNER + b"\x01", "element"),
        ("padding that is not counted", INNER + b"\0\0\0", "payloads"),
        ("a SEQUENCE too few", INNER[2:] + b"\0", "payloads"),
        ("no DER", b"\xff" * 32 + b"\0", "element"),
        ("another type", b"\x04" + INNER[1:] + b"\0", "payloads"),
        ("a length that is not the shortest", b"\x30\x81" + INNER[1:] + b"\0", "element"),
        ("an IKEMessage inside", protected(INNER + b"\0", "AES-GCM") + b"\0", "message"),
        ("NULLs", der_oracle.encode(der_oracle.DATA, {"data": b""})[:1] + b"\x02\x05\x00\x00", "element"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plaintext_that_is_none(why: str, plain: bytes, path: str) -> None:
    with pytest.raises(DecodeError) as caught:
        opened(protected(plain, "AES-GCM"), sealer_of("AES-GCM"))
    assert caught.value.authenticated
    assert caught.value.path == f"plaintext/{path}"


def test_a_nonce_of_the_wrong_size_inside() -> None:
    octets = sealed(AUTH, (Nonce(b"short"),), sealer_of("AES-GCM"))
    with pytest.raises(DecodeError) as caught:
        opened(octets, sealer_of("AES-GCM"))
    assert (caught.value.reason, caught.value.authenticated) == (DropReason.BAD_NONCE, True)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize(
    "changes",
    [
        {"iv": b""},
        {"iv": bytes(255)},
        {"icv": b""},
        {"icv": bytes(11)},
        {"ciphertext": b""},
        {"ciphertext": bytes(17)},
        {"ciphertext": bytes(32)},
        {"iv": b"", "ciphertext": bytes(64), "icv": b""},
    ],
    ids=lambda changes: ",".join(f"{name} {len(value)}" for name, value in changes.items()),
)
def test_parts_of_other_sizes_fail_like_a_wrong_icv(suite: str, changes: dict[str, bytes]) -> None:
    octets = protected(padded(INNER), suite, **changes)
    with pytest.raises(IntegrityError):
        CODEC.open(CODEC.peek(octets), sealer_of(suite))


def test_octets_cannot_move_between_the_parts() -> None:
    """The sealer sees iv | ciphertext | icv as one run: only the sizes say where each begins."""
    sealer = sealer_of("AES-CBC with HMAC")
    value = der_oracle.decode(der_oracle.IKE_MESSAGE, sealed(AUTH, IKE_AUTH, sealer))["encrypted"]
    run = value["iv"] + value["ciphertext"] + value["icv"]
    for first, last in ((0, 16), (8, 16), (32, 16), (16, 0), (16, 32)):
        part = {"iv": run[:first], "ciphertext": run[first : len(run) - last], "icv": run[len(run) - last :]}
        octets = der_oracle.message(HEADER, encrypted=part)
        with pytest.raises(IntegrityError):
            CODEC.open(CODEC.peek(octets), sealer)


def test_the_keys_of_the_other_direction_open_nothing() -> None:
    octets = sealed(AUTH, IKE_AUTH, sealer_of("AES-CBC with HMAC"))
    with pytest.raises((DecodeError, IntegrityError)):
        CODEC.open(CODEC.peek(octets), sealer_of("AES-GCM"))


def certificates(size: int) -> tuple[Payload, ...]:
    return (Certificate(CertEncoding.X509_SIGNATURE, bytes(size)),)


@pytest.mark.parametrize("suite", [None, *SUITES])
def test_a_message_that_does_not_fit(suite: str | None) -> None:
    def seal(size: int, mtu: int = 0) -> int:
        sealer = sealer_of(suite) if suite else None
        return len(CODEC.seal(AUTH, certificates(size), sealer, mtu).octets)

    assert MAX_DATAGRAM - 200 < seal(MAX_DATAGRAM - 150) <= MAX_DATAGRAM
    for size in (MAX_DATAGRAM - 40, MAX_DATAGRAM, 2**16, 2**24):
        with pytest.raises(LocalMisuse):
            seal(size)
    exact = seal(500)
    assert seal(500, exact) == exact
    with pytest.raises(LocalMisuse, match="does not fragment"):
        seal(500, exact - 1)


def test_sealing_twice_never_repeats_a_nonce() -> None:
    sealer = sealer_of("AES-GCM")
    assert sealed(AUTH, IKE_AUTH, sealer) != sealed(AUTH, IKE_AUTH, sealer)
