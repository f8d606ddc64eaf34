"""The SK payload: associated data, padding, sizes; what a plaintext may be, and who is to blame."""

import json
from pathlib import Path

import pytest

from node.crypto.aead import sealer
from node.errors import DecodeError, DropReason, IntegrityError, LocalMisuse
from node.model.child import DirectionKeys
from node.model.message import Header, Message
from node.model.payloads import Certificate, Notify, Payload
from node.model.proposal import Transform
from node.model.registry import CertEncoding, EncrId, ExchangeType, IntegId, NotifyType, TransformType
from node.model.secret import Secret
from node.wire.rfc7296.limits import MAX_DATAGRAM
from tests.codec.rfc7296.samples import (
    AUTH,
    CODEC,
    IKE_AUTH,
    INIT,
    PAYLOADS,
    SUITES,
    opened,
    protected,
    sealed,
    sealer_of,
    written,
)

BLOCK = 16
#: The IDi of the samples in an SK payload.
IDI, IDI_BODY = PAYLOADS["IDi"][0], bytes.fromhex(PAYLOADS["IDi"][1])
INNER = b"\0\0" + (4 + len(IDI_BODY)).to_bytes(2) + IDI_BODY


def padded(inner: bytes, more: int = 0, fill: bytes = b"\0") -> bytes:
    """The plaintext with the shortest padding for BLOCK, and `more` blocks of it."""
    pad = -(len(inner) + 1) % BLOCK + more * BLOCK
    return inner + fill * pad + bytes((pad,))


@pytest.mark.parametrize("suite", SUITES)
def test_the_codec_writes_what_the_diagram_shows(suite: str) -> None:
    """All up to the IV is associated data; the plaintext has the shortest padding (RFC 7296 3.14)."""
    octets = sealed(AUTH, (IDI,), sealer_of(suite))
    plain = padded(INNER) if sealer_of(suite).block == BLOCK else INNER + b"\0"
    assert octets == protected(plain, suite)
    message = opened(octets, sealer_of(suite))
    assert message == Message(AUTH, (IDI,), (IDI_BODY,), octets, INNER, protected=True)


def test_the_message_of_rfc_7634() -> None:
    """RFC 7634 appendix B: an INFORMATIONAL request with N(SET_WINDOW_SIZE), ChaCha20-Poly1305."""
    vectors = Path(__file__).parents[2] / "vectors" / "rfc" / "chacha20poly1305_rfc7634.json"
    case = json.loads(vectors.read_text())["cases"][1]
    keys = DirectionKeys(Secret(bytes.fromhex(case["key"] + case["salt"])), Secret(b""))
    transform = Transform(TransformType.ENCR, EncrId.ENCR_CHACHA20_POLY1305)
    opener = sealer(transform, IntegId.NONE, keys, bytes)
    octets = bytes.fromhex(case["ike_message"])
    message = opened(octets, opener)
    notify = Notify(NotifyType.SET_WINDOW_SIZE, bytes((0, 0, 0, 10)))
    spi_i, spi_r = bytes(range(0xC0, 0xC8)), bytes(range(0xD0, 0xD8))
    header = Header(spi_i, spi_r, ExchangeType.INFORMATIONAL, 9, 0)
    assert message == Message(
        header, (notify,), (CODEC.body(notify),), octets, inner_of(notify), protected=True
    )
    # The sealer counts its own IVs; everything else is that of the RFC.
    ours = sealed(header, (notify,), sealer(transform, IntegId.NONE, keys, bytes))
    assert (ours[:32], len(ours)) == (octets[:32], len(octets))


def inner_of(payload: Payload) -> bytes:
    return sealed(INIT, (payload,))[28:]


@pytest.mark.parametrize("suite", SUITES)
def test_a_message_without_payloads(suite: str) -> None:
    octets = sealed(AUTH, (), sealer_of(suite))
    block = sealer_of(suite).block
    assert octets == protected(bytes(block - 1) + bytes((block - 1,)), suite, first=0)
    assert opened(octets, sealer_of(suite)).payloads == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "plain", [padded(INNER, more) for more in range(15)] + [padded(INNER, 2, b"\xa5"), padded(b"", 14)]
)
def test_any_padding_that_fits_is_accepted(plain: bytes) -> None:
    """RFC 7296 3.14: a receiver accepts any length that aligns, and does not look at the octets."""
    first = 35 if plain.startswith(INNER) else 0
    message = opened(protected(plain, "AES-CBC with HMAC", first=first), sealer_of("AES-CBC with HMAC"))
    assert isinstance(message, Message)
    assert message.payloads == ((IDI,) if first else ())


@pytest.mark.parametrize(
    ("why", "plain", "first", "path"),
    [
        ("nothing at all", b"", 0, "plaintext/padding"),
        ("a pad length that is too long", INNER + b"\xff", 35, "plaintext/padding"),
        ("padding that is not counted", INNER + b"\0\0\0", 35, "plaintext/payloads[1]"),
        ("padding that is a payload", INNER + bytes((len(INNER),)), 35, "plaintext/payloads[0]"),
        ("payloads where none is announced", INNER + b"\0", 0, "plaintext/payloads[0]"),
        ("no payload where one is announced", b"\0", 35, "plaintext/payloads[0]"),
        ("a payload that is none", b"\0\0\0\6\2\0\0", 35, "plaintext/idi"),
        ("an SK payload", b"\0\0\0\4\0", 46, "plaintext/payloads[0]"),
        ("a fragment", b"\0\0\0\4\0", 53, "plaintext/payloads[0]"),
        ("a nonce of no octet", b"\0\0\0\4\0", 40, "plaintext/nonce"),
        ("something that is no payload", b"\xff" * 32 + b"\0", 1, "plaintext/payloads[0]"),
    ],
)
def test_a_plaintext_that_is_none(why: str, plain: bytes, first: int, path: str) -> None:
    """What passed the integrity check is the peer's own mistake, and the error says so."""
    with pytest.raises(DecodeError) as caught:
        opened(protected(plain, "AES-GCM", first=first), sealer_of("AES-GCM"))
    assert (caught.value.authenticated, caught.value.path) == (True, path), why


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("size", [0, 1, 7, 15, 16, 23, 31, 32, 47])
def test_a_blob_that_is_too_short_fails_like_a_wrong_icv(suite: str, size: int) -> None:
    body = bytes((35, 0)) + (4 + size).to_bytes(2) + bytes(size)
    with pytest.raises(IntegrityError):
        opened(written(46, body)[:18] + b"\x23" + written(46, body)[19:], sealer_of(suite))


@pytest.mark.parametrize("surplus", [-40, -1, 1, 4])
def test_the_payload_ends_with_the_message(surplus: int) -> None:
    """Nothing stands behind it, and it does not reach beyond (RFC 7296 3.14)."""
    with pytest.raises(DecodeError) as caught:
        opened(protected(INNER + b"\0", "AES-GCM", surplus=surplus), sealer_of("AES-GCM"))
    assert (caught.value.reason, caught.value.authenticated) == (DropReason.MALFORMED, False)


@pytest.mark.parametrize("frame", [46, 53])
@pytest.mark.parametrize("size", range(8))
def test_a_payload_without_all_its_fields(frame: int, size: int) -> None:
    octets = written(frame, (b"\0\0" + size.to_bytes(2) + bytes(4))[:size])
    expected = IntegrityError if (frame, size) in [(46, s) for s in range(4, 8)] else DecodeError
    with pytest.raises(expected):
        opened(octets, sealer_of("AES-GCM"))


def test_nothing_unprotected_stands_before_the_payload() -> None:
    """RFC 7296 3.14 allows it, no exchange has it: such a message is neither opened nor read."""
    whole = protected(INNER + b"\0", "AES-GCM")
    octets = written(43, b"\x2e\0\0\4" + whole[28:])
    with pytest.raises(DecodeError) as caught:
        opened(octets, sealer_of("AES-GCM"))
    assert caught.value.reason is DropReason.NOT_PROTECTED
    with pytest.raises(DecodeError, match="SK among other payloads"):
        CODEC.read(CODEC.peek(octets))


def test_the_keys_of_the_other_direction_open_nothing() -> None:
    octets = sealed(AUTH, IKE_AUTH, sealer_of("AES-CBC with HMAC"))
    with pytest.raises(IntegrityError):
        opened(octets, sealer_of("AES-GCM"))


def test_sealing_twice_never_repeats_a_nonce() -> None:
    sealer_ = sealer_of("AES-GCM")
    assert sealed(AUTH, IKE_AUTH, sealer_) != sealed(AUTH, IKE_AUTH, sealer_)


def certificates(size: int) -> tuple[Payload, ...]:
    return (Certificate(CertEncoding.X509_SIGNATURE, bytes(size)),)


@pytest.mark.parametrize("suite", [None, *SUITES])
@pytest.mark.parametrize("size", [10_000, 65_000, 65_530, 70_000, 2**24])
def test_a_message_that_fits_in_no_datagram_says_so(suite: str | None, size: int) -> None:
    """A configuration error: the text names the bound and the remedy."""
    with pytest.raises(LocalMisuse, match=r"\d+ octets.*(10000|65535)"):
        CODEC.seal(AUTH, certificates(size), sealer_of(suite) if suite else None, 0)


@pytest.mark.parametrize("suite", [None, *SUITES])
def test_the_largest_message_fits_exactly(suite: str | None) -> None:
    def size(room: int) -> int:
        return len(CODEC.seal(AUTH, certificates(room), sealer_of(suite) if suite else None, 0).octets)

    room = MAX_DATAGRAM - 150
    while size(room + 1) <= MAX_DATAGRAM - 16:
        room += 1
    assert MAX_DATAGRAM - 32 <= size(room) <= MAX_DATAGRAM
    with pytest.raises(LocalMisuse):
        size(room + 33)
