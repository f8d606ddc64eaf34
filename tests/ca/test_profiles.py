"""Every field of the certificates, read back from the files; and what OpenSSL says about them."""

import ipaddress
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from ca import keys
from tests.ca.conftest import Desk

ROOT_USAGE = {"key_cert_sign", "crl_sign"}
LEAF_USAGE = {"digital_signature"}


def usage(certificate: x509.Certificate) -> set[str]:
    value = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    names = [
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
    ]
    return {name for name in [*names, "key_cert_sign", "crl_sign"] if getattr(value, name)}


def criticality(certificate: x509.Certificate) -> dict[str, bool]:
    return {extension.value.__class__.__name__: extension.critical for extension in certificate.extensions}


def check_root(root: x509.Certificate) -> None:
    assert root.version is x509.Version.v3
    assert root.subject == root.issuer
    assert criticality(root) == {"BasicConstraints": True, "KeyUsage": True, "SubjectKeyIdentifier": False}
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca
    assert constraints.path_length is None
    assert usage(root) == ROOT_USAGE
    assert isinstance(root.signature_hash_algorithm, hashes.SHA256)
    assert root.not_valid_after_utc - root.not_valid_before_utc == timedelta(days=3650)


def test_root_profile(desk: Desk) -> None:
    desk.run()
    root = desk.certificate("ca")
    check_root(root)
    assert root.subject.rfc4514_string() == "CN=IPsec Lab Root CA"
    skew = datetime.now(UTC) - root.not_valid_before_utc
    assert timedelta(minutes=5) <= skew < timedelta(minutes=6)
    assert 2**100 < root.serial_number < 2**159


def test_leaf_profile(desk: Desk) -> None:
    desk.run(desk.ask({"initiator": {"ip": ["10.9.0.2", "fd00::2"], "email": ["i@lab.test"]}}))
    root, leaf = desk.certificate("ca"), desk.certificate("initiator")
    assert leaf.version is x509.Version.v3
    assert criticality(leaf) == {
        "BasicConstraints": True,
        "KeyUsage": True,
        "SubjectKeyIdentifier": False,
        "AuthorityKeyIdentifier": False,
        "SubjectAlternativeName": False,
    }
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert usage(leaf) == LEAF_USAGE
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["initiator"]
    assert names.get_values_for_type(x509.RFC822Name) == ["i@lab.test"]
    addresses = [ipaddress.ip_address("10.9.0.2"), ipaddress.ip_address("fd00::2")]
    assert names.get_values_for_type(x509.IPAddress) == addresses
    issuer_key = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    root_key = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert issuer_key.key_identifier == root_key.digest
    own_key = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert own_key == x509.SubjectKeyIdentifier.from_public_key(leaf.public_key())
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(days=365)
    assert leaf.serial_number.bit_length() <= 159
    leaf.verify_directly_issued_by(root)


def test_rsa_4096_is_the_default(desk: Desk) -> None:
    code, out, err = desk.call("responder", CA_KEY_TYPE="", CA_ROOT_KEY_TYPE="")
    assert code == 0
    check_root(desk.certificate("ca"))
    assert {name: line["key_type"] for name, line in out.items()} == {"ca": "rsa4096", "responder": "rsa4096"}
    assert err.count("making an RSA-4096 key") == 2
    for name in ("ca", "responder"):
        key = keys.from_pem((desk.directory / f"{name}-key.pem").read_bytes())
        assert isinstance(key, rsa.RSAPrivateKey)
        assert (key.key_size, key.public_key().public_numbers().e) == (4096, 65537)


@pytest.mark.parametrize(
    ("key_type", "kind"),
    [
        ("rsa2048", rsa.RSAPrivateKey),
        ("rsa3072", rsa.RSAPrivateKey),
        ("ecdsa-p256", ec.EllipticCurvePrivateKey),
        ("ecdsa-p384", ec.EllipticCurvePrivateKey),
        ("ecdsa-p521", ec.EllipticCurvePrivateKey),
        ("ed25519", ed25519.Ed25519PrivateKey),
        ("ed448", ed448.Ed448PrivateKey),
    ],
)
def test_key_types_for_root_and_leaf(desk: Desk, key_type: str, kind: type) -> None:
    out = desk.run("a", "--key-type", key_type, "--root-key-type", key_type)
    octets = (desk.directory / "a-key.pem").read_bytes()
    assert octets.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    key = serialization.load_pem_private_key(octets, None)
    assert isinstance(key, kind)
    assert (out["a"]["key_type"], out["ca"]["key_type"]) == (key_type, key_type)
    desk.certificate("a").verify_directly_issued_by(desk.certificate("ca"))
    again = desk.run("a", "--key-type", key_type, "--root-key-type", key_type)
    assert {line["action"] for line in again.values()} == {"kept"}


@pytest.mark.parametrize(("curve", "digest"), [("p384", hashes.SHA384), ("p521", hashes.SHA512)])
def test_a_large_curve_signs_with_a_hash_of_its_size(desk: Desk, curve: str, digest: type) -> None:
    desk.run("a", "--root-key-type", f"ecdsa-{curve}")
    assert isinstance(desk.certificate("a").signature_hash_algorithm, digest)


def test_without_subject_alternative_name(desk: Desk) -> None:
    desk.run(desk.ask({"a": {"dns": [], "subject": "CN=a,O=Lab"}}))
    leaf = desk.certificate("a")
    assert "SubjectAlternativeName" not in criticality(leaf)
    assert leaf.subject.rfc4514_string() == "CN=a,O=Lab"


def verify(desk: Desk, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command on this machine")
    anchor = str(desk.directory / "ca-cert.pem")
    leaf = str(desk.directory / f"{name}-cert.pem")
    command = ["openssl", "verify", "-x509_strict", "-CAfile", anchor, *options, leaf]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_openssl_accepts_the_default(desk: Desk) -> None:
    desk.run()
    for name in ("responder", "initiator"):
        assert verify(desk, name).returncode == 0


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"issuer": "rogue"}, "unable to get local issuer certificate"),
        ({"days": -1}, "certificate has expired"),
        ({"not_before": "+2d"}, "certificate is not yet valid"),
    ],
)
def test_openssl_refuses_the_broken_ones(desk: Desk, entry: dict[str, object], says: str) -> None:
    desk.run(desk.ask({"a": entry}, {"rogue": {}}))
    answer = verify(desk, "a")
    assert answer.returncode != 0
    assert says in answer.stdout + answer.stderr


def test_a_rogue_with_the_name_of_the_root_is_refused(desk: Desk) -> None:
    desk.run(desk.ask({"a": {"issuer": "rogue"}}, {"rogue": {"subject": "IPsec Lab Root CA"}}))
    assert desk.certificate("a").issuer == desk.certificate("ca").subject
    assert verify(desk, "a").returncode != 0


def test_intermediate_and_path_length(desk: Desk) -> None:
    chain = {"one": {"issuer": "ca", "path_length": 0}, "two": {"issuer": "one"}}
    desk.run(desk.ask({"a": {"issuer": "one"}, "b": {"issuer": "two"}}, chain))
    one = desk.certificate("one")
    assert one.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    assert criticality(one)["AuthorityKeyIdentifier"] is False
    stored = x509.load_pem_x509_certificates((desk.directory / "b-cert.pem").read_bytes())
    assert stored == [desk.certificate("b"), desk.certificate("two"), one]
    a, b = (str(desk.directory / f"{name}-cert.pem") for name in "ab")
    assert verify(desk, "a", "-untrusted", a).returncode == 0
    answer = verify(desk, "b", "-untrusted", b)
    assert "path length constraint exceeded" in answer.stdout + answer.stderr
