"""Whatever octets arrive as a certificate: AuthError or a proof, in bounded time, silently."""

import warnings
from functools import cache

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import AuthFailure
from node.pki import der
from node.pki.verifier import MAX_CERTIFICATES
from tests.property.stopwatch import Stopwatch
from tests.unit.pki import factory as make
from tests.unit.pki import pkits
from tests.unit.pki.factory import Issued, ca, failure, leaf, tlv, usage

#: Certificates with about every extension there is, and with odd numbers.
SEEDS = (
    "ValidNegativeSerialNumberTest14EE",
    "ValidLongSerialNumberTest16EE",
    "nameConstraintsRFC822CA1Cert",
    "ValidURInameConstraintsTest36EE",
    "requireExplicitPolicy0CACert",
    "ValidDSASignaturesTest4EE",
    "ValidRFC3280OptionalAttributeTypesTest8EE",
)


@cache
def root() -> Issued:
    return ca("Root")


@cache
def good() -> bytes:
    return leaf("peer", root(), "dns:peer", "email:a@b.c", "ip:192.0.2.1").der


@given(st.binary(max_size=600))
@settings(max_examples=200, deadline=None)
def test_random_octets(octets: bytes) -> None:
    assert failure([octets], [root().der]) == AuthFailure.MALFORMED_CERTIFICATE


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_anywhere_never_verifies(bit: int) -> None:
    for position in range(len(good())):
        octets = bytearray(good())
        octets[position] ^= 1 << bit
        assert failure([bytes(octets)], [root().der], "fqdn:peer") is not None, position


@given(st.integers(min_value=0), st.binary(min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_changed_octets_anywhere_never_verify(position: int, patch: bytes) -> None:
    start = position % len(good())
    octets = good()[:start] + patch + good()[start + len(patch) :]
    assert (failure([octets], [root().der], "fqdn:peer") is None) == (octets == good())


def test_the_seed_itself_verifies() -> None:
    assert failure([good()], [root().der], "fqdn:peer") is None


@given(st.sampled_from(SEEDS), st.data())
@settings(max_examples=400, deadline=None)
def test_mutations_signed_by_a_trusted_ca(seed: str, data: st.DataObject) -> None:
    """A signed certificate is decoded in full, so its extensions are mutated and it is signed again."""
    octets = bytearray(pkits.der(seed))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    signed = _signed_again(bytes(octets))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        failure([signed], [root().der])
    assert shown == []


def _signed_again(octets: bytes) -> bytes:
    """With issuer Root and a fresh signature, where enough of the structure is left for that."""
    issuer = root().certificate.subject.public_bytes()
    algorithm = der.read(root().der).children(3)[1].octets

    def change(fields: list[bytes]) -> None:
        inner = [element.octets for element in der.read(octets).children(3)[0].children(10)]
        fields[:] = inner
        fields[2:4] = [algorithm, issuer]

    try:
        return make.rebuilt(root(), root(), change)
    except der.DerError:
        return octets


@pytest.mark.parametrize("seed", ["ValidNegativeSerialNumberTest14EE", "ValidLongSerialNumberTest16EE"])
def test_odd_serials_are_read_without_a_warning(seed: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert failure([pkits.der(seed)], [root().der]) == AuthFailure.UNTRUSTED_ISSUER


def _costly() -> dict[str, list[bytes]]:
    """As much work as one peer can ask for."""
    filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(14000))
    big = leaf("peer", root(), extra=[(filler, False)]).der
    names = [f"dns:{number}.example" for number in range(900)]
    wide = leaf("peer", root(), *names).der
    long_name = "+".join(f"1.2.3.{number}=x" for number in range(60))
    named = make.issue(long_name, root(), [usage(digital_signature=True)]).der
    twins = [ca("Twin") for _ in range(MAX_CERTIFICATES - 1)]
    lined_up = [leaf("peer", twins[0]).der, *(ca("Twin", twins[0], key=twin.key).der for twin in twins)]
    return {
        "big": [big] * MAX_CERTIFICATES,
        "wide": [wide] * MAX_CERTIFICATES,
        "long names": [named] * MAX_CERTIFICATES,
        "twins": lined_up,
        "nothing but tags": [tlv(0x30, b"\x30\x00" * 8000)] * MAX_CERTIFICATES,
    }


@pytest.mark.parametrize("case", ["big", "wide", "long names", "twins", "nothing but tags"])
def test_bounded_time(case: str) -> None:
    """The bound of every datagram; the measured times are in the ADR."""
    sent = _costly()[case]
    anchors = [ca("Twin").der, root().der]
    with Stopwatch() as watch:
        failure(sent, anchors)
    assert watch.own < 0.05
