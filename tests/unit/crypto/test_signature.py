"""Verifying: every scheme, forgeries made by hand, the classic methods."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from node.crypto.signature import (
    SCHEMES,
    STRONG_HASHES,
    Scheme,
    verify_auth,
    verify_signature,
)
from node.errors import AuthError, AuthFailure
from node.model.registry import AuthMethod, HashId
from tests.unit.crypto.signing import (
    BY_NAME,
    CLASSIC,
    DIGEST_INFO,
    DIGEST_INFO_WITHOUT_NULL,
    DIGITAL,
    HASHES,
    INFO,
    KINDS,
    OCTETS,
    auth_data,
    digest_of,
    ecdsa,
    failure,
    key,
    kind_of,
    padded,
    signed,
)
from tests.unit.crypto.support import rsa_key, spki

each_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)

# Schemes


def test_identifiers_are_those_printed_in_rfc_7427_and_8420() -> None:
    printed = {
        "RSA with SHA-256": "300d06092a864886f70d01010b0500",
        "RSA with SHA-384": "300d06092a864886f70d01010c0500",
        "RSA with SHA-512": "300d06092a864886f70d01010d0500",
        "ECDSA with SHA-256": "300a06082a8648ce3d040302",
        "ECDSA with SHA-384": "300a06082a8648ce3d040303",
        "ECDSA with SHA-512": "300a06082a8648ce3d040304",
        "Ed25519": "300506032b6570",
        "Ed448": "300506032b6571",
    }
    assert {name: BY_NAME[name].identifier.hex() for name in printed} == printed
    # RFC 7427 A.4.3 with its default trailer field, which DER leaves out: what we write, what is accepted too
    sha256 = "300d06096086480165030402010500"
    parameters = f"a00f{sha256}a11c301a06092a864886f70d010108{sha256}a203020120"
    pss = BY_NAME["RSASSA-PSS with SHA-256"]
    assert pss.identifier.hex() == "304106092a864886f70d01010a3034" + parameters
    assert "304606092a864886f70d01010a3039" + parameters + "a303020101" in {v.hex() for v in pss.variants}


def test_no_encoding_names_two_schemes() -> None:
    every = [encoding for scheme in SCHEMES for encoding in scheme.encodings]
    assert len(every) == len(set(every))


@each_scheme
def test_good_signatures_verify(scheme: Scheme) -> None:
    public, signature = spki(key(kind_of(scheme))), signed(scheme)
    verify_signature(public, scheme.identifier, signature, OCTETS)
    verify_auth(public, DIGITAL, auth_data(scheme.identifier, signature), OCTETS)
    for variant in scheme.variants:
        verify_auth(public, DIGITAL, auth_data(variant, signature), OCTETS)


@each_scheme
def test_another_message_key_or_signature_does_not(scheme: Scheme) -> None:
    public, signature = spki(key(kind_of(scheme))), signed(scheme)
    for data in (
        b"",
        signature[:-1],
        signature + b"\0",
        b"\0" + signature,
        bytes(len(signature)),
        b"\xff" * len(signature),
        signature[::-1],
    ):
        assert failure(public, DIGITAL, auth_data(scheme.identifier, data)) is AuthFailure.BAD_SIGNATURE
    good = auth_data(scheme.identifier, signature)
    assert failure(public, DIGITAL, good, OCTETS + b"\0") is AuthFailure.BAD_SIGNATURE
    assert failure(public, DIGITAL, good, b"") is AuthFailure.BAD_SIGNATURE


@each_scheme
def test_every_octet_of_auth_data_counts(scheme: Scheme) -> None:
    public, good = spki(key(kind_of(scheme))), auth_data(scheme.identifier, signed(scheme))
    # Every octet of the identifier, and a sample of the signature's.
    for n in [*range(1 + len(scheme.identifier)), *range(1 + len(scheme.identifier), len(good), 7)]:
        changed = bytearray(good)
        changed[n] ^= 0x01
        assert failure(public, DIGITAL, bytes(changed)) in (
            AuthFailure.BAD_SIGNATURE,
            AuthFailure.UNSUPPORTED_METHOD,
        )


@each_scheme
def test_a_scheme_verifies_with_no_other_kind_of_key(scheme: Scheme) -> None:
    for kind in KINDS:
        if kind_of(scheme)[0] != kind[0]:
            data = auth_data(scheme.identifier, signed(scheme))
            assert failure(spki(key(kind)), DIGITAL, data) is AuthFailure.UNSUPPORTED_METHOD


def test_a_signature_of_one_scheme_is_none_of_another() -> None:
    for scheme in SCHEMES:
        for other in SCHEMES:
            if other is not scheme and kind_of(other) == kind_of(scheme):
                data = auth_data(other.identifier, signed(scheme))
                assert failure(spki(key(kind_of(scheme))), DIGITAL, data) is AuthFailure.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("why", "identifier"),
    [
        ("empty", ""),
        ("MD5 with RSA", "300d06092a864886f70d0101040500"),
        ("SHA-1 with RSA", "300d06092a864886f70d0101050500"),
        ("SHA-224 with RSA", "300d06092a864886f70d01010e0500"),
        ("SHA-1 with ECDSA", "300906072a8648ce3d0401"),
        ("SHA-1 with DSA", "300906072a8648ce380403"),
        ("RSASSA-PSS with the defaults, which are SHA-1", "300d06092a864886f70d01010a3000"),
        ("RSASSA-PSS without parameters", "300b06092a864886f70d01010a"),
        ("SHA-256 with RSA, long form of a length", "30810d06092a864886f70d01010b0500"),
        ("SHA-256 with RSA, octets behind it", "300d06092a864886f70d01010b050000"),
        ("SHA-256 with ECDSA, with NULL", "300c06082a8648ce3d0403020500"),
        ("Ed25519 with NULL", "300706032b65700500"),
        (
            "RSASSA-PSS, SHA-256 with a salt of 0",
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
            "300d06096086480165030402010500a203020100",
        ),
        (
            "RSASSA-PSS, SHA-256 with MGF1 of SHA-512",
            "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108"
            "300d06096086480165030402030500a203020120",
        ),
    ],
)
def test_other_algorithm_identifiers_are_refused(why: str, identifier: str) -> None:
    data = auth_data(bytes.fromhex(identifier), signed(BY_NAME["RSA with SHA-256"]))
    assert failure(spki(rsa_key()), DIGITAL, data) is AuthFailure.UNSUPPORTED_METHOD, why


@pytest.mark.parametrize("data", [b"", b"\x0f", b"\xff" + BY_NAME["RSA with SHA-256"].identifier])
def test_auth_data_that_ends_early_is_refused(data: bytes) -> None:
    assert failure(spki(rsa_key()), DIGITAL, data) is AuthFailure.BAD_SIGNATURE


def test_the_identifier_alone_is_no_signature() -> None:
    for scheme in SCHEMES:
        data = auth_data(scheme.identifier, b"")
        assert failure(spki(key(kind_of(scheme))), DIGITAL, data) is AuthFailure.BAD_SIGNATURE


# Forgeries made by hand


def raw_rsa(block: bytes) -> bytes:
    """The private operation on a block of our own making."""
    private = rsa_key().private_numbers()
    n = private.public_numbers.n
    return pow(int.from_bytes(block), private.d, n).to_bytes(256)


def test_the_block_made_by_hand_is_right() -> None:
    block = padded(DIGEST_INFO + digest_of(OCTETS))
    scheme = BY_NAME["RSA with SHA-256"]
    assert raw_rsa(block) == signed(scheme)


@pytest.mark.parametrize(
    ("why", "block"),
    [
        ("octets behind the digest", padded(INFO, tail=bytes(200))),
        ("one octet behind the digest", padded(INFO, tail=b"\0")),
        ("eight octets of padding", b"\x00\x01" + b"\xff" * 8 + b"\0" + INFO + bytes(256 - 11 - len(INFO))),
        ("block type 2", padded(INFO, first=b"\x00\x02")),
        ("block type 0", padded(INFO, first=b"\x00\x00", fill=b"\0")),
        ("padding of other octets", padded(INFO, fill=b"\xfe")),
        ("no NULL in the digest info", padded(DIGEST_INFO_WITHOUT_NULL + digest_of(OCTETS))),
        ("the digest of something else", padded(DIGEST_INFO + digest_of(b"else"))),
        ("a digest without its info", padded(digest_of(OCTETS))),
        ("the info of SHA-1", padded(bytes.fromhex("3021300906052b0e03021a05000414") + bytes(20))),
        ("all zero", bytes(256)),
    ],
)
def test_rsa_forgeries_are_refused(why: str, block: bytes) -> None:
    assert len(block) == 256
    data = auth_data(BY_NAME["RSA with SHA-256"].identifier, raw_rsa(block))
    assert failure(spki(rsa_key()), DIGITAL, data) is AuthFailure.BAD_SIGNATURE, why


def test_an_rsa_signature_plus_the_modulus_is_refused() -> None:
    n = rsa_key().public_key().public_numbers().n
    scheme = BY_NAME["RSA with SHA-256"]
    larger = int.from_bytes(signed(scheme)) + n
    data = auth_data(scheme.identifier, larger.to_bytes(257))
    assert failure(spki(rsa_key()), DIGITAL, data) is AuthFailure.BAD_SIGNATURE


@pytest.mark.parametrize("salt", [0, 20, 31, 33, 64])
def test_pss_with_a_salt_of_another_length_is_refused(salt: int) -> None:
    pad = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    data = auth_data(
        BY_NAME["RSASSA-PSS with SHA-256"].identifier, rsa_key().sign(OCTETS, pad, hashes.SHA256())
    )
    assert failure(spki(rsa_key()), DIGITAL, data) is AuthFailure.BAD_SIGNATURE


def test_pss_with_another_mask_is_refused() -> None:
    pad = padding.PSS(padding.MGF1(hashes.SHA512()), 32)
    data = auth_data(
        BY_NAME["RSASSA-PSS with SHA-256"].identifier, rsa_key().sign(OCTETS, pad, hashes.SHA256())
    )
    assert failure(spki(rsa_key()), DIGITAL, data) is AuthFailure.BAD_SIGNATURE


P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_ecdsa_forgeries_are_refused() -> None:
    scheme = BY_NAME["ECDSA with SHA-256"]
    good = signed(scheme)
    r, s = decode_dss_signature(good)
    assert good[0] == 0x30
    forged = {
        "r = s = 0": encode_dss_signature(0, 0),
        "r = 0": encode_dss_signature(0, s),
        "s = 0": encode_dss_signature(r, 0),
        "r = order": encode_dss_signature(P256_ORDER, s),
        "s = order": encode_dss_signature(r, P256_ORDER),
        "r beyond the order": encode_dss_signature(r + P256_ORDER, s),
        "s beyond the order": encode_dss_signature(r, s + P256_ORDER),
        "r = s = 1": encode_dss_signature(1, 1),
        "swapped": encode_dss_signature(s, r),
        "long form of the length": b"\x30\x81" + good[1:],
        "indefinite length": b"\x30\x80" + good[2:] + b"\0\0",
        "octets inside the sequence": bytes([0x30, good[1] + 2]) + good[2:] + b"\x05\x00",
        "octets behind the sequence": good + b"\x05\x00",
        "the raw form": r.to_bytes(32) + s.to_bytes(32),
        "an enormous r": encode_dss_signature(1 << 100_000, s),
    }
    public = spki(key("p256"))
    for why, signature in forged.items():
        data = auth_data(scheme.identifier, signature)
        assert failure(public, DIGITAL, data) is AuthFailure.BAD_SIGNATURE, why


def test_ecdsa_with_any_accepted_hash_verifies_on_any_curve() -> None:
    """RFC 7427 6: method 14 does not tie the hash to the curve."""
    for kind in ("p256", "p384", "p521"):
        for scheme in SCHEMES:
            if scheme.name.startswith("ECDSA"):
                signature = ecdsa(kind).sign(OCTETS, ec.ECDSA(HASHES[scheme.hash]))
                verify_auth(spki(key(kind)), DIGITAL, auth_data(scheme.identifier, signature), OCTETS)


# The classic methods


@pytest.mark.parametrize("method", CLASSIC)
def test_classic_ecdsa_methods(method: AuthMethod) -> None:
    kind, digest, half = CLASSIC[method]
    der = ecdsa(kind).sign(OCTETS, ec.ECDSA(digest))
    r, s = decode_dss_signature(der)
    good, public = r.to_bytes(half) + s.to_bytes(half), spki(key(kind))
    verify_auth(public, method, good, OCTETS)
    padded_s = good[:half] + b"\0" + good[half:]
    swapped = good[half:] + good[:half]
    for bad in (b"", good[:-1], good + b"\0", b"\0" + good, padded_s, der, bytes(2 * half), swapped):
        assert failure(public, method, bad) is AuthFailure.BAD_SIGNATURE
    assert failure(public, method, good, b"else") is AuthFailure.BAD_SIGNATURE
    for other in KINDS:
        if other != kind:
            assert failure(spki(key(other)), method, good) is AuthFailure.UNSUPPORTED_METHOD


@pytest.mark.parametrize("number", [0, 1, 2, 3, 12, 13, 15, 200])
def test_other_methods_are_refused(number: int) -> None:
    """Method 1 is RSA with SHA-1 in practice, 2 and 13 are no signatures; unknown ones have no meaning."""
    signature = rsa_key().sign(OCTETS, padding.PKCS1v15(), hashes.SHA256())
    assert failure(spki(rsa_key()), AuthMethod(number), signature) is AuthFailure.UNSUPPORTED_METHOD


def refusal(public: bytes, method: AuthMethod, data: bytes, accepted: frozenset[HashId]) -> str:
    with pytest.raises(AuthError) as caught:
        verify_auth(public, method, data, OCTETS, accepted)
    return f"{caught.value.failure}: {caught.value}"


def test_method_1_is_accepted_where_sha_1_is_and_nothing_else_with_it() -> None:
    """RFC 7296 3.8: RSASSA-PKCS1-v1_5 with SHA-1, by an RSA key that is not for RSASSA-PSS alone."""
    one, lenient = AuthMethod.RSA_SIGNATURE, STRONG_HASHES | {HashId.SHA1}
    good = rsa_key().sign(OCTETS, padding.PKCS1v15(), hashes.SHA1())
    public = spki(rsa_key())
    verify_auth(public, one, good, OCTETS, lenient)
    assert "is RSA with SHA-1; accepted are SHA2_256" in refusal(public, one, good, STRONG_HASHES)
    assert "local.sha1" in refusal(public, one, good, STRONG_HASHES)
    for digest in (hashes.SHA256(), hashes.MD5()):
        other = rsa_key().sign(OCTETS, padding.PKCS1v15(), digest)
        assert refusal(public, one, other, lenient).startswith("bad_signature")
    for bad in (b"", good[:-1], good + b"\0", bytes(256)):
        assert refusal(public, one, bad, lenient).startswith("bad_signature")
    for kind in ("p256", "ed25519", "ed448"):
        assert refusal(spki(key(kind)), one, good, lenient).startswith("unsupported_method")
    # SHA-1 inside method 14 stays unknown.
    sha1 = bytes.fromhex("300d06092a864886f70d0101050500")
    assert "is not one of RSA with SHA-256" in refusal(public, DIGITAL, auth_data(sha1, good), lenient)


@each_scheme
def test_a_hash_that_was_not_announced(scheme: Scheme) -> None:
    data, public = auth_data(scheme.identifier, signed(scheme)), spki(key(kind_of(scheme)))
    verify_auth(public, DIGITAL, data, OCTETS, frozenset({scheme.hash}))
    detail = refusal(public, DIGITAL, data, STRONG_HASHES - {scheme.hash})
    assert f"the peer signed with {scheme.hash}, we announced SHA" in detail


def test_a_classic_method_has_a_hash_too() -> None:
    r, s = decode_dss_signature(ecdsa("p256").sign(OCTETS, ec.ECDSA(hashes.SHA256())))
    data, public = r.to_bytes(32) + s.to_bytes(32), spki(key("p256"))
    only = frozenset({HashId.SHA2_512})
    assert "the peer signed with SHA2_256" in refusal(public, AuthMethod.ECDSA_SHA256_P256, data, only)


def test_a_refusal_says_what_the_peer_has() -> None:
    method, data = AuthMethod.ECDSA_SHA384_P384, bytes(96)
    detail = refusal(spki(key("p256")), method, data, STRONG_HASHES)
    assert "ECDSA_SHA384_P384 does not fit the key of the certificate, which is ECDSA secp256r1" in detail
    data = auth_data(BY_NAME["Ed25519"].identifier, bytes(64))
    detail = refusal(spki(rsa_key()), DIGITAL, data, STRONG_HASHES)
    assert "Ed25519 does not fit the key of the certificate, which is RSA-2048" in detail
