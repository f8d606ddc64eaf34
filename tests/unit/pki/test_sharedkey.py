"""Shared secrets as they stand in files, and the peers that have them."""

import base64

import pytest

from node.errors import AuthError, AuthFailure
from node.model.registry import PayloadType
from node.model.secret import Secret
from node.pki.identity import ExpectedIdentity, describe, identification
from node.pki.sharedkey import (
    MAX_FILE_OCTETS,
    MAX_SECRET_OCTETS,
    MIN_SECRET_OCTETS,
    SharedKeyVerifier,
    own_identification,
    read_secret,
)

RANDOM = bytes(range(0xF0, 0x100)) * 2
GOOD = {
    "text": (b"correct horse battery staple", b"correct horse battery staple"),
    "text and a line end": (b"correct horse battery staple\n", b"correct horse battery staple"),
    "a line end of another system": (b"correct horse battery staple\r\n", b"correct horse battery staple"),
    "no ASCII": ("nicht ganz zufällig".encode(), "nicht ganz zufällig".encode()),
    "hexadecimal": (b"0x" + RANDOM.hex().encode() + b"\n", RANDOM),
    "hexadecimal in capitals": (b"0x" + RANDOM.hex().upper().encode(), RANDOM),
    "base64": (b"0s" + base64.b64encode(RANDOM) + b"\n", RANDOM),
    "the shortest": (b"0x" + bytes(MIN_SECRET_OCTETS).hex().encode(), bytes(MIN_SECRET_OCTETS)),
    "the longest": (b"0x" + bytes(MAX_SECRET_OCTETS).hex().encode() + b"\r\n", bytes(MAX_SECRET_OCTETS)),
}
BAD = {
    "nothing": (b"", "has 0 octets, a shared secret has 16 to 1024"),
    "a password": (b"secret\n", "has 6 octets, .*shorter ones can be found by trial from one exchange"),
    "15 octets": (b"0x" + bytes(15).hex().encode(), "has 15 octets"),
    "1025 octets": (b"a" * 1025, "has 1025 octets"),
    "half an octet": (b"0x" + b"0" * 33, "begins with 0x, but what follows is not hexadecimal"),
    "no digits": (b"0xcorrect horse battery staple", "is not hexadecimal digits"),
    "blanks in hexadecimal": (b"0x" + b"00 " * 16 + b"00", "is not hexadecimal digits"),
    "no base64": (b"0scorrect horse battery", "begins with 0s, but what follows is not base64"),
    "base64 without its end": (b"0s" + base64.b64encode(RANDOM)[:-1], "is not base64"),
    "no ASCII after 0s": (("0s" + "ä" * 16).encode(), "is not base64"),
    "no ASCII after 0x": (("0x" + "ä" * 16).encode(), "is not hexadecimal"),
    "two lines": (b"correct horse\nbattery staple\n", "has several lines or control characters"),
    "a zero octet": (b"correct horse\0battery", "has several lines or control characters"),
    "an octet order mark": (b"\xef\xbb\xbfcorrect horse battery", "control characters"),
    "octets": (bytes(range(0x80, 0xA0)), "is no text"),
    "a blank at the end": (b"correct horse battery \n", "has blanks before or after"),
    "a blank at the start": (b" correct horse battery\n", "has blanks before or after"),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_secret_is_read(case: str) -> None:
    octets, secret = GOOD[case]
    assert len(octets) <= MAX_FILE_OCTETS
    assert read_secret(octets) == Secret(secret)


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_secret_is_told_without_showing_it(case: str) -> None:
    octets, message = BAD[case]
    with pytest.raises(ValueError, match=message) as caught:
        read_secret(octets)
    assert "horse" not in str(caught.value)


def test_a_peer_is_the_one_that_is_expected() -> None:
    verifier = SharedKeyVerifier(Secret(RANDOM), ExpectedIdentity.of_any("keyid:sensor 7", "fqdn:other"))
    assert (verifier.authorities, verifier.expected) == (None, None)
    identity = identification("keyid:sensor 7", PayloadType.IDI)
    peer = verifier.verify([], identity)
    assert (peer.identity, peer.secret) == (identity, Secret(RANDOM))
    assert RANDOM.hex() not in repr(peer)
    with pytest.raises(
        AuthError, match="the peer says it is fqdn:mallory, expected is keyid:sensor 7 or"
    ) as e:
        verifier.verify([b"no certificate"], identification("fqdn:mallory", PayloadType.IDI))
    assert e.value.failure is AuthFailure.UNEXPECTED_IDENTITY


def test_the_one_identity_that_is_expected_can_be_asked_for() -> None:
    only = SharedKeyVerifier(Secret(RANDOM), ExpectedIdentity.of_any("ipv4:192.0.2.1")).expected
    assert only is not None
    assert describe(only.id_type, only.data) == "ipv4:192.0.2.1"


def test_our_own_identity_needs_no_certificate() -> None:
    assert own_identification("rfc822:a@b.example").data == b"a@b.example"
    with pytest.raises(ValueError, match="is not user@host"):
        own_identification("rfc822:nobody")


@pytest.mark.parametrize("texts", [(), ("nobody",)])
def test_somebody_must_be_expected(texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"no peer identity is configured|is not an identity"):
        ExpectedIdentity.of_any(*texts)
