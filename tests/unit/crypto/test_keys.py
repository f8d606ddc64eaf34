"""Keys: public ones to refuse, private ones to load, and what is signed with them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from node.crypto.signature import (
    MAX_RSA_BITS,
    SCHEMES,
    KeySigner,
    load_signer,
    verify_auth,
    verify_signature,
)
from node.errors import AuthError, AuthFailure
from node.model.registry import AuthMethod, HashId
from node.pki.der import read
from tests.unit.crypto.signing import (
    ALL,
    BY_NAME,
    CLASSIC,
    DIGITAL,
    INFO,
    KINDS,
    OCTETS,
    SHA2,
    auth_data,
    failure,
    key,
    kind_of,
    padded,
    signed,
)
from tests.unit.crypto.support import pem, rsa_key, spki

# Public keys


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else b"\x83" + size.to_bytes(3)
    if 128 <= size < 256:
        length = b"\x81" + bytes([size])
    elif 256 <= size < 65536:
        length = b"\x82" + size.to_bytes(2)
    return bytes([tag]) + length + content


def integer(value: int) -> bytes:
    return der(2, value.to_bytes(value.bit_length() // 8 + 1))


def rsa_spki(n: int, e: int) -> bytes:
    """A SubjectPublicKeyInfo of whatever numbers."""
    algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
    return der(0x30, algorithm + der(3, b"\0" + der(0x30, integer(n) + integer(e))))


def modulus() -> int:
    return rsa_key().public_key().public_numbers().n


def test_the_key_made_by_hand_is_right() -> None:
    assert rsa_spki(modulus(), 65537) == spki(rsa_key())


@pytest.mark.parametrize(
    ("why", "change", "exponent"),
    [
        ("even modulus", lambda n: n - 1, 65537),
        ("1024 bits", lambda n: n >> 1024 | 1, 65537),
        ("2047 bits", lambda n: n >> 1 | 1, 65537),
        ("512 bits", lambda n: n >> 1536 | 1, 65537),
        ("more bits than anybody needs", lambda _: 1 << MAX_RSA_BITS | 1, 65537),
        ("exponent 3", lambda n: n, 3),
        ("exponent 17", lambda n: n, 17),
        ("an exponent of 65 bits", lambda n: n, 2**64 + 1),
        ("an exponent as long as the modulus", lambda n: n, 2**2040 + 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weak_rsa_keys_are_refused(why: str, change: Callable[[int], int], exponent: int) -> None:
    public = rsa_spki(change(modulus()), exponent)
    data = auth_data(BY_NAME["RSA with SHA-256"].identifier, bytes(256))
    assert failure(public, DIGITAL, data) is AuthFailure.WEAK_KEY, why


def test_exponents_that_are_none_are_refused_by_the_library_or_by_us() -> None:
    """With an exponent of 1 every block would be its own signature."""
    data = auth_data(BY_NAME["RSA with SHA-256"].identifier, padded(INFO))
    for exponent in (0, 1, 2, 65538):
        assert failure(rsa_spki(modulus(), exponent), DIGITAL, data) in (
            AuthFailure.MALFORMED_CERTIFICATE,
            AuthFailure.WEAK_KEY,
        )


#: AlgorithmIdentifier of a key that is for RSASSA-PSS alone (RFC 4055 1.2).
PSS_KEY = bytes.fromhex("300b06092a864886f70d01010a")


def pss_spki(algorithm: bytes) -> bytes:
    """The RSA key, said to be for RSASSA-PSS."""
    numbers = rsa_key().public_key().public_numbers()
    return der(0x30, algorithm + der(3, b"\0" + der(0x30, integer(numbers.n) + integer(numbers.e))))


def test_a_key_kept_for_pss_verifies_nothing_else() -> None:
    for algorithm in (PSS_KEY, BY_NAME["RSASSA-PSS with SHA-256"].identifier):
        public = pss_spki(algorithm)
        scheme = BY_NAME["RSASSA-PSS with SHA-256"]
        verify_signature(public, scheme.identifier, signed(scheme), OCTETS)
        plain = BY_NAME["RSA with SHA-256"]
        data = auth_data(plain.identifier, signed(plain))
        assert failure(public, DIGITAL, data) is AuthFailure.UNSUPPORTED_METHOD


def test_a_key_kept_for_pss_with_one_hash_verifies_no_other() -> None:
    public = pss_spki(BY_NAME["RSASSA-PSS with SHA-384"].identifier)
    for name in ("RSASSA-PSS with SHA-256", "RSASSA-PSS with SHA-512"):
        data = auth_data(BY_NAME[name].identifier, signed(BY_NAME[name]))
        assert failure(public, DIGITAL, data) is AuthFailure.UNSUPPORTED_METHOD
    fits = BY_NAME["RSASSA-PSS with SHA-384"]
    verify_signature(public, fits.identifier, signed(fits), OCTETS)


def foreign_keys() -> dict[str, bytes]:
    info = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "P-224": ec.generate_private_key(ec.SECP224R1()).public_key().public_bytes(*info),
        "secp256k1": ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(*info),
        "brainpoolP256r1": ec.generate_private_key(ec.BrainpoolP256R1()).public_key().public_bytes(*info),
        "X25519": x25519.X25519PrivateKey.generate().public_key().public_bytes(*info),
        "DSA": dsa.generate_private_key(1024).public_key().public_bytes(*info),
    }


def test_foreign_keys_are_refused() -> None:
    for name, public in foreign_keys().items():
        data = auth_data(BY_NAME["ECDSA with SHA-256"].identifier, bytes(70))
        assert failure(public, DIGITAL, data) is AuthFailure.WEAK_KEY, name


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_public_key_raises_auth_error_and_nothing_else(data: st.DataObject) -> None:
    scheme = data.draw(st.sampled_from(SCHEMES))
    public = bytearray(spki(key(kind_of(scheme))))
    where = data.draw(st.integers(0, len(public) - 1))
    public[where] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from([len(public), where]))
    with pytest.raises(AuthError):
        verify_signature(bytes(public[:cut]), scheme.identifier, signed(scheme), OCTETS)


def test_octets_that_are_no_key() -> None:
    data = auth_data(BY_NAME["RSA with SHA-256"].identifier, bytes(256))
    for public in (b"", b"\x30\x00", b"\x30\x80", bytes(300), spki(rsa_key()) + b"\0", spki(rsa_key())[:-1]):
        assert failure(public, DIGITAL, data) is AuthFailure.MALFORMED_CERTIFICATE


def test_a_point_off_the_curve_is_no_key() -> None:
    public = bytearray(spki(key("p256")))
    public[-1] ^= 1
    data = auth_data(BY_NAME["ECDSA with SHA-256"].identifier, signed(BY_NAME["ECDSA with SHA-256"]))
    assert failure(bytes(public), DIGITAL, data) is AuthFailure.MALFORMED_CERTIFICATE


# Signing


@pytest.mark.parametrize(
    ("kind", "hashes_", "scheme"),
    [
        ("rsa", ALL, "RSA with SHA-256"),
        ("rsa", {HashId.SHA2_512, HashId.SHA2_384}, "RSA with SHA-384"),
        ("rsa", {HashId.SHA1, HashId.SHA2_512}, "RSA with SHA-512"),
        ("p256", ALL, "ECDSA with SHA-256"),
        ("p384", ALL, "ECDSA with SHA-384"),
        ("p521", ALL, "ECDSA with SHA-512"),
        ("p384", {HashId.SHA2_256}, "ECDSA with SHA-256"),
        ("ed25519", ALL, "Ed25519"),
        ("ed448", {HashId.IDENTITY}, "Ed448"),
    ],
)
def test_the_scheme_follows_the_key_and_the_peers_hashes(
    kind: str, hashes_: set[HashId], scheme: str
) -> None:
    signer = load_signer(pem(key(kind)))
    method, data = signer.sign(OCTETS, frozenset(hashes_))
    identifier = BY_NAME[scheme].identifier
    assert method is DIGITAL
    assert data.startswith(bytes([len(identifier)]) + identifier)
    assert signer.public_key == spki(key(kind))
    verify_auth(signer.public_key, method, data, OCTETS)


def test_pss_is_made_on_request() -> None:
    signer = load_signer(pem(rsa_key()), pss=True)
    for hash_id, name in ((HashId.SHA2_256, "SHA-256"), (HashId.SHA2_512, "SHA-512")):
        method, data = signer.sign(OCTETS, frozenset({hash_id}))
        identifier = BY_NAME[f"RSASSA-PSS with {name}"].identifier
        assert data[1 : 1 + data[0]] == identifier
        verify_auth(signer.public_key, method, data, OCTETS)


def pss_certified(parameters: bytes = b"") -> bytes:
    """The SubjectPublicKeyInfo of the RSA key as one for RSASSA-PSS alone (RFC 4055 1.2)."""
    public = read(spki(rsa_key())).children(2)[1].octets
    return der(0x30, (parameters or bytes.fromhex("300b06092a864886f70d01010a")) + public)


def test_a_key_that_is_certified_for_pss_alone_signs_by_pss() -> None:
    certified = pss_certified()
    signer = load_signer(pem(rsa_key()), sha1=True, certified=certified)
    assert signer.public_key == certified
    data = signer.sign(OCTETS, SHA2)[1]
    assert data[1 : 1 + data[0]] == BY_NAME["RSASSA-PSS with SHA-256"].identifier
    verify_auth(certified, DIGITAL, data, OCTETS)
    with pytest.raises(AuthError, match="it announced no hashes"):
        signer.sign(OCTETS, frozenset())


def test_its_parameters_decide_which_hash_it_signs_with() -> None:
    signer = load_signer(
        pem(rsa_key()), certified=pss_certified(BY_NAME["RSASSA-PSS with SHA-512"].identifier)
    )
    with pytest.raises(AuthError, match="signs by RSASSA-PSS with SHA-512; the peer accepts SHA2_256"):
        signer.sign(OCTETS, frozenset({HashId.SHA2_256}))
    verify_auth(signer.public_key, *signer.sign(OCTETS, SHA2), OCTETS)


def test_a_restriction_that_leaves_nothing_is_told() -> None:
    odd = BY_NAME["RSASSA-PSS with SHA-256"].identifier.replace(
        bytes.fromhex("020120"), bytes.fromhex("020121")
    )
    with pytest.raises(ValueError, match="restricts the RSA key to an RSASSA-PSS that is not supported"):
        load_signer(pem(rsa_key()), certified=pss_certified(odd))


@pytest.mark.parametrize("kind", ["p256", "ed25519"])
def test_the_certificate_of_another_key_restricts_nothing(kind: str) -> None:
    assert load_signer(pem(key(kind)), certified=pss_certified()).public_key == spki(key(kind))


def test_method_1_is_made_for_who_knows_nothing_better_and_only_on_request() -> None:
    signer = load_signer(pem(rsa_key()), sha1=True)
    method, data = signer.sign(OCTETS, frozenset())
    assert method is AuthMethod.RSA_SIGNATURE
    rsa_key().public_key().verify(data, OCTETS, padding.PKCS1v15(), hashes.SHA1())
    assert signer.sign(OCTETS, SHA2)[0] is DIGITAL
    with pytest.raises(AuthError, match=r"our RSA-2048 key signs by RSA with SHA-256, .*announced no hashes"):
        load_signer(pem(rsa_key())).sign(OCTETS, frozenset())
    with pytest.raises(AuthError, match="signs by RSASSA-PSS"):
        load_signer(pem(rsa_key()), pss=True, sha1=True).sign(OCTETS, frozenset())


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
def test_for_a_peer_without_hashes_ecdsa_signs_by_the_classic_method(kind: str) -> None:
    signer = load_signer(pem(key(kind)))
    method, data = signer.sign(OCTETS, frozenset())
    assert CLASSIC[method][0] == kind
    assert len(data) == 2 * CLASSIC[method][2]
    verify_auth(signer.public_key, method, data, OCTETS)


@pytest.mark.parametrize(
    ("kind", "hashes_"),
    [
        ("rsa", frozenset[HashId]()),
        ("rsa", frozenset({HashId.SHA1})),
        ("rsa", frozenset({HashId.IDENTITY, HashId(4242)})),
        ("p256", frozenset({HashId.SHA1})),
        ("ed25519", SHA2),
        ("ed25519", frozenset[HashId]()),
    ],
)
def test_a_peer_whose_hashes_do_not_suit_is_refused_by_name(kind: str, hashes_: frozenset[HashId]) -> None:
    with pytest.raises(AuthError, match=r"our .* key signs by .*; the peer accepts") as caught:
        load_signer(pem(key(kind))).sign(OCTETS, hashes_)
    assert caught.value.failure is AuthFailure.UNSUPPORTED_METHOD


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([k for k in KINDS if k != "rsa"]), st.binary(max_size=300))
def test_what_is_signed_verifies(kind: str, octets: bytes) -> None:
    signer = KeySigner(key(kind))
    verify_auth(signer.public_key, *signer.sign(octets, ALL), octets)


# Private keys


def public_pem() -> bytes:
    return key("p256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", KINDS)
def test_pkcs_8_keys_load(kind: str) -> None:
    text = pem(key(kind))
    assert text.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert load_signer(text).public_key == spki(key(kind))


@pytest.mark.parametrize(("kind", "name"), [("rsa", b"RSA"), ("p256", b"EC")])
def test_traditional_keys_load(kind: str, name: bytes) -> None:
    text = pem(key(kind), "TraditionalOpenSSL")
    assert text.startswith(b"-----BEGIN " + name + b" PRIVATE KEY-----")
    assert load_signer(text).public_key == spki(key(kind))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(
            lambda: pem(key("p256"), passphrase=b"x"), "encrypted; store it without", id="encrypted"
        ),
        pytest.param(
            lambda: pem(key("p256"), "TraditionalOpenSSL", b"x"),
            "encrypted; store it without",
            id="encrypted in the old way",
        ),
        pytest.param(lambda: b"", "not a private key in PEM form", id="empty"),
        pytest.param(lambda: b"hello", "not a private key in PEM form", id="text"),
        pytest.param(public_pem, "not a private key in PEM form", id="public key"),
        pytest.param(lambda: spki(key("p256")), "not a private key in PEM form", id="DER"),
        pytest.param(lambda: pem(key("p256"))[:100], "not a private key in PEM form", id="cut short"),
        pytest.param(lambda: pem(rsa_key(1024)), "RSA with 1024 bits; 2048 to", id="RSA-1024"),
        pytest.param(lambda: pem(rsa_key(2048, 3)), "exponent at least 65537", id="exponent 3"),
        pytest.param(
            lambda: pem(ec.generate_private_key(ec.SECP224R1())), "use P-256, P-384 or P-521", id="P-224"
        ),
    ],
)
def test_private_keys_that_are_refused_say_why(make: Callable[[], bytes], told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        load_signer(make())
    assert "\n" not in str(caught.value)


def test_a_dsa_key_is_refused() -> None:
    text = dsa.generate_private_key(1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="must be RSA, ECDSA, Ed25519 or Ed448"):
        load_signer(text)


def test_pss_with_another_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an RSA key"):
        load_signer(pem(key("p256")), pss=True)


def test_a_signer_shows_nothing_of_its_key() -> None:
    for kind in KINDS:
        signer = load_signer(pem(key(kind)))
        assert repr(signer) == str(signer)
        assert repr(signer).startswith("<KeySigner ")
        assert len(repr(signer)) < 60


def test_a_key_made_by_openssl_signs_what_openssl_verifies(tmp_path: Path) -> None:
    """The tool of the founding document, both ways, where it is installed."""
    try:
        made = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("no openssl command")
    signer = load_signer(made.stdout)
    _, data = signer.sign(OCTETS, SHA2)
    for name, content in (
        ("key", made.stdout),
        ("octets", OCTETS),
        ("signature", data[1 + data[0] :]),
    ):
        (tmp_path / name).write_bytes(content)
    checked = subprocess.run(
        ["openssl", "dgst", "-sha256", "-prverify", "key", "-signature", "signature", "octets"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr.decode()
