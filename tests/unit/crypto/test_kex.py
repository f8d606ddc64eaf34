"""Key exchange: RFC vectors, the groups from their formula, and the public values to refuse (RFC 6989)."""

import re
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from node.crypto import kex, modp
from node.crypto.kex import KeyPair, check_public, generate, public_size, supported
from node.errors import DropReason, LocalMisuse, PeerMisbehaved
from node.model.registry import KeId
from tests.unit.crypto.support import cases, octets

GROUPS = sorted(supported())
MODP = sorted(modp.GROUPS)
ECP = {KeId.ECP_256: ec.SECP256R1(), KeId.ECP_384: ec.SECP384R1(), KeId.ECP_521: ec.SECP521R1()}
#: The primes of their fields (RFC 5903 3).
FIELDS = {
    KeId.ECP_256: 2**256 - 2**224 + 2**192 + 2**96 - 1,
    KeId.ECP_384: 2**384 - 2**128 - 2**96 + 2**32 - 1,
    KeId.ECP_521: 2**521 - 1,
}
CURVES = (KeId.CURVE25519, KeId.CURVE448)
#: Bits of the shortest exponents that RFC 3526 8 deems to match the group's strength.
LEAST_EXPONENTS = dict(zip(MODP, (220, 260, 300, 340, 380), strict=True))
PRIMES = {case["group"]: int(case["p"], 16) for case in cases("rfc/modp_rfc3526.json")}


def refused(group: KeId, public: bytes) -> str:
    """The text with which both the check and the exchange refuse a public value."""
    with pytest.raises(PeerMisbehaved) as by_exchange:
        generate(group).shared(public)
    with pytest.raises(PeerMisbehaved) as by_check:
        check_public(group, public)
    assert by_exchange.value.reason is by_check.value.reason is DropReason.BAD_KE
    assert str(by_exchange.value) == str(by_check.value)
    return str(by_check.value)


@pytest.mark.parametrize("group", GROUPS)
def test_two_key_pairs_agree_and_sizes_are_those_of_the_group(group: KeId) -> None:
    one, two = generate(group), generate(group)
    assert one.group is group
    assert len(one.public) == len(two.public) == public_size(group)
    assert one.public != two.public
    check_public(group, one.public)
    shared = one.shared(two.public)
    assert shared == two.shared(one.public)
    assert len(shared) == (public_size(group) // 2 if group in ECP else public_size(group))


def test_supported_groups_are_those_of_the_registry() -> None:
    assert supported() == frozenset(KeId) - {KeId.NONE}


@pytest.mark.parametrize("group", [KeId.NONE, KeId(1), KeId(4242)])
def test_an_unknown_group_is_the_callers_mistake(group: KeId) -> None:
    for call in (generate, public_size, lambda g: check_public(g, b"")):
        with pytest.raises(LocalMisuse, match="not implemented"):
            call(group)


# Finite fields


@pytest.mark.parametrize("group", MODP)
def test_moduli_are_those_of_rfc_3526(group: KeId) -> None:
    assert modp.modulus(group) == PRIMES[group]


@pytest.mark.parametrize("group", MODP)
def test_the_exchange_is_modular_exponentiation(group: KeId) -> None:
    """The way out of the library's support: plain integers give the same octets."""
    private = modp.generate(group)
    x, p, peer = private.private_numbers().x, PRIMES[group], pow(2, 12345, PRIMES[group])
    assert modp.public_octets(private) == pow(2, x, p).to_bytes(public_size(group))
    found = modp.exchange(private, group, peer.to_bytes(public_size(group)))
    assert found == pow(peer, x, p).to_bytes(public_size(group))


@pytest.mark.parametrize("group", MODP)
def test_exponents_are_as_long_as_the_strength_of_the_group_wants(group: KeId) -> None:
    longest = max(modp.generate(group).private_numbers().x.bit_length() for _ in range(4))
    assert longest >= LEAST_EXPONENTS[group]


def test_a_short_shared_secret_is_padded_to_the_modulus(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7296 2.14. 2^(3 * 5) mod p is 2 octets long; the secret still has 256."""
    p = PRIMES[KeId.MODP_2048]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cryptography.hazmat.primitives.asymmetric import dh

        numbers = dh.DHPublicNumbers(2**3, dh.DHParameterNumbers(p, 2))
        private = dh.DHPrivateNumbers(3, numbers).private_key()
    monkeypatch.setattr(modp, "generate", lambda _group: private)
    pair = generate(KeId.MODP_2048)
    assert pair.public == (8).to_bytes(256)
    assert pair.shared((2**5).to_bytes(256)).reveal() == (2**15).to_bytes(256)


@pytest.mark.parametrize("group", MODP)
def test_public_values_that_fix_the_secret_are_refused(group: KeId) -> None:
    p, size = PRIMES[group], public_size(group)
    for value in (0, 1, p - 1, p, p + 1, 2 ** (8 * size) - 1):
        assert "out of range" in refused(group, value.to_bytes(size)), hex(value)


@pytest.mark.parametrize("case", [c for c in cases("rfc/modp_rfc3526.json") if c["group"] in MODP])
def test_public_values_of_the_vectors_are_refused(case: dict[str, Any]) -> None:
    group = KeId(case["group"])
    for value in case["invalid_public_values"]:
        refused(group, bytes.fromhex(value).rjust(public_size(group), b"\0"))


@pytest.mark.parametrize("group", MODP)
def test_values_next_to_the_forbidden_ones_are_fine(group: KeId) -> None:
    p, size = PRIMES[group], public_size(group)
    pair = generate(group)
    for value in (2, 3, p - 3, p - 2):
        check_public(group, value.to_bytes(size))
        assert len(pair.shared(value.to_bytes(size))) == size


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("change", [-1, 1, 16])
def test_another_length_is_refused_before_the_library_sees_it(group: KeId, change: int) -> None:
    size = public_size(group) + change
    assert f"{size} octets" in refused(group, bytes(size))
    assert "0 octets" in refused(group, b"")


def test_a_value_of_another_group_is_refused() -> None:
    for group in GROUPS:
        for other in GROUPS:
            if public_size(other) != public_size(group):
                refused(group, bytes(public_size(other) - 1) + b"\x02")


def test_the_library_is_silent_about_finite_fields() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = generate(KeId.MODP_2048)
        one.shared(generate(KeId.MODP_2048).public)


# Elliptic curves


def with_private(monkeypatch: pytest.MonkeyPatch, group: KeId, private: bytes) -> KeyPair:
    """A key pair whose private key is known."""
    if group in ECP:
        key = ec.derive_private_key(int.from_bytes(private), ECP[group])
        monkeypatch.setattr(ec, "generate_private_key", lambda _curve: key)
    else:
        name = "X25519PrivateKey" if group == KeId.CURVE25519 else "X448PrivateKey"
        kind: Any = X25519PrivateKey if group == KeId.CURVE25519 else X448PrivateKey
        monkeypatch.setattr(kex, name, SimpleNamespace(generate=lambda: kind.from_private_bytes(private)))
    return generate(group)


@pytest.mark.parametrize("case", cases("rfc/ecp_rfc5903.json"), ids=lambda c: str(c["group"]))
def test_key_exchange_of_rfc_5903(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    group = KeId(case["group"])
    i, gix, giy, r, grx, gry, secret = octets(case, "i", "gix", "giy", "r", "grx", "gry", "girx")
    for private, own, peer in ((i, gix + giy, grx + gry), (r, grx + gry, gix + giy)):
        pair = with_private(monkeypatch, group, private)
        assert pair.public == own
        assert pair.shared(peer).reveal() == secret


def test_ke_payload_bodies_of_rfc_5903_hold_our_public_values() -> None:
    for case in cases("rfc/ecp_rfc5903.json"):
        # generic header (4), group (2), reserved (2), value
        for payload in octets(case, "KEi", "KEr"):
            check_public(KeId(int.from_bytes(payload[4:6])), payload[8:])


@pytest.mark.parametrize("case", cases("rfc/x25519_x448_rfc7748.json"), ids=lambda c: str(c["group"]))
def test_key_exchange_of_rfc_7748(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    a, public_a, b, public_b, secret = octets(case, "a", "A", "b", "B", "shared")
    for private, own, peer in ((a, public_a, public_b), (b, public_b, public_a)):
        pair = with_private(monkeypatch, KeId(case["group"]), private)
        assert pair.public == own
        assert pair.shared(peer).reveal() == secret


def test_key_exchange_of_rfc_8031(monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = cases("rfc/curve25519_rfc8031.json")
    random_i, random_r, pub_i, pub_r, secret = octets(
        case, "random_i", "random_r", "pub_i", "pub_r", "shared"
    )
    for private, own, peer in ((random_i, pub_i, pub_r), (random_r, pub_r, pub_i)):
        pair = with_private(monkeypatch, KeId.CURVE25519, private)
        assert pair.public == own
        assert pair.shared(peer).reveal() == secret


@pytest.mark.parametrize("group", ECP)
def test_points_off_the_curve_are_refused(group: KeId) -> None:
    public, half = generate(group).public, public_size(group) // 2
    x, y = public[:half], public[half:]
    flipped = y[:-1] + bytes([y[-1] ^ 1])
    for why, value in {
        "another y": x + flipped,
        "the origin": bytes(2 * half),
        "coordinates swapped": y + x,
        "x beyond the field": b"\xff" * half + y,
        "y beyond the field": x + b"\xff" * half,
        "x = 0, y = 0, but for one bit": bytes(2 * half - 1) + b"\1",
        "x = p": FIELDS[group].to_bytes(half) + y,
        "y = p": x + FIELDS[group].to_bytes(half),
        "x = p - 1, y = p - 1": 2 * (FIELDS[group] - 1).to_bytes(half),
        "a y in the middle of the field": x + (FIELDS[group] // 2).to_bytes(half),
    }.items():
        assert "not a point on the curve" in refused(group, value), why


def test_a_coordinate_is_less_than_the_prime_of_the_field() -> None:
    """The same point with p added is another encoding of it; only P-521 leaves room for it everywhere."""
    p, public = FIELDS[KeId.ECP_521], generate(KeId.ECP_521).public
    x, y = int.from_bytes(public[:66]), int.from_bytes(public[66:])
    check_public(KeId.ECP_521, public)
    check_public(KeId.ECP_521, public[:66] + (p - y).to_bytes(66))
    for value in ((x + p).to_bytes(66) + public[66:], public[:66] + (y + p).to_bytes(66)):
        assert "not a point on the curve" in refused(KeId.ECP_521, value)


def test_the_point_of_another_curve_is_refused() -> None:
    narrow = generate(KeId.ECP_256).public
    wide = narrow[:32].rjust(48, b"\0") + narrow[32:].rjust(48, b"\0")
    refused(KeId.ECP_384, wide)


#: Points of low order (RFC 7748 6; the multiples of the field's prime included): the result would be 0.
LOW_ORDER = {
    KeId.CURVE25519: (
        0,
        1,
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
        2**255 - 20,
        2**255 - 19,
        2**255 - 18,
    ),
    KeId.CURVE448: (0, 1, 2**448 - 2**224 - 2, 2**448 - 2**224 - 1, 2**448 - 2**224),
}


@pytest.mark.parametrize(("group", "value"), [(g, v) for g, values in LOW_ORDER.items() for v in values])
def test_points_of_low_order_are_refused(group: KeId, value: int) -> None:
    assert "low order" in refused(group, value.to_bytes(public_size(group), "little"))


@pytest.mark.parametrize(("group", "value"), [(g, v) for g, values in LOW_ORDER.items() for v in values])
def test_the_neighbours_of_low_order_are_judged_as_an_exchange_judges_them(group: KeId, value: int) -> None:
    size = public_size(group)
    for near in range(max(0, value - 3), value + 4):
        for public in (near.to_bytes(size, "little"), (near | 1 << 8 * size - 1).to_bytes(size, "little")):
            verdicts = []
            for judge in (generate(group).shared, lambda octets: check_public(group, octets)):
                try:
                    judge(public)
                    verdicts.append("good")
                except PeerMisbehaved as refusal:
                    verdicts.append(str(refusal))
            assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize("value", LOW_ORDER[KeId.CURVE25519])
def test_the_highest_bit_of_curve25519_is_not_looked_at(value: int) -> None:
    """RFC 7748 5: it is masked, so a point of low order is one with it set, too."""
    assert "low order" in refused(KeId.CURVE25519, (value | 1 << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("group", CURVES)
def test_points_next_to_those_of_low_order_are_fine(group: KeId) -> None:
    pair, size = generate(group), public_size(group)
    for value in (2, 3, 5 if group == KeId.CURVE448 else 9):
        check_public(group, value.to_bytes(size, "little"))
        assert len(pair.shared(value.to_bytes(size, "little"))) == size


@pytest.mark.parametrize("group", [KeId.MODP_2048, KeId.ECP_256, KeId.ECP_521, *CURVES])
def test_whatever_a_peer_sends_gives_a_secret_or_bad_ke(group: KeId) -> None:
    pair, size = generate(group), public_size(group)

    @settings(max_examples=60, deadline=None)
    @given(st.one_of(st.binary(max_size=2 * size), st.binary(min_size=size, max_size=size)))
    def run(public: bytes) -> None:
        reason = None
        try:
            assert len(pair.shared(public)) > 0
        except PeerMisbehaved as refusal:
            reason = refusal.reason
        assert reason in (None, DropReason.BAD_KE)

    run()


@pytest.mark.parametrize("group", GROUPS)
def test_a_key_pair_shows_no_private_key(group: KeId) -> None:
    pair = generate(group)
    # A class and an address, nothing of its content.
    assert re.fullmatch(r"<node\.crypto\.kex\.\w+ object at 0x[0-9a-f]+>", repr(pair))
    assert repr(pair.shared(generate(group).public)).startswith("<Secret of ")
