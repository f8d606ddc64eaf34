"""PEM files, keys that must match, and the certificates that the founding document's commands make."""

import hashlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from node.errors import AuthError, AuthFailure
from node.pki.certificate import read
from node.pki.identity import identity_of
from node.pki.loading import MAX_PEM_OCTETS, authority_hashes, load_certificates, matches_key
from tests.unit.pki import factory as make
from tests.unit.pki.factory import ca, leaf

#: Made by the commands of the founding document with OpenSSL 3.0.19; valid from 2026-11-23 for 365 days.
FOUNDING = Path(__file__).parent / "founding"
MOMENT = datetime(2027, 1, 1, tzinfo=UTC)


def _founding(name: str) -> bytes:
    return load_certificates((FOUNDING / f"{name}-cert.pem").read_bytes())[0]


def test_bundle_keeps_order_and_drops_duplicates() -> None:
    first, second = ca("First"), ca("Second")
    pems = [one.certificate.public_bytes(Encoding.PEM) for one in (first, second, first)]
    bundle = b"# our CAs\n" + b"subject=CN=First\n".join(pems) + b"trailing text\n"
    assert load_certificates(bundle) == (first.der, second.der)
    assert load_certificates(bundle.replace(b"\n", b"\r\n")) == (first.der, second.der)


BAD_FILES = [
    ("empty", b"", "no complete certificate"),
    ("a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no complete certificate"),
    ("cut", b"-----BEGIN CERTIFICATE-----\nMIIB", "no complete certificate"),
    (
        "not base64",
        b"-----BEGIN CERTIFICATE-----\nM\n-----END CERTIFICATE-----\n",
        "certificate 1 in it is damaged",
    ),
    (
        "not DER",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "certificate 1 in it is damaged",
    ),
    ("huge", b"x" * (MAX_PEM_OCTETS + 1), "octets"),
]


@pytest.mark.parametrize(("why", "pem", "message"), BAD_FILES)
def test_bad_files(why: str, pem: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_certificates(pem)


def test_one_cut_certificate_spoils_the_bundle() -> None:
    good = ca("Good").certificate.public_bytes(Encoding.PEM)
    with pytest.raises(ValueError, match="no complete certificate"):
        load_certificates(good + good[:100])


def test_key_and_certificate() -> None:
    root = ca("Root")
    one, other = leaf("peer", root), leaf("peer", root)
    spki = one.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert matches_key(one.der, spki)
    assert not matches_key(other.der, spki)
    with pytest.raises(ValueError, match="cannot be read"):
        matches_key(b"junk", spki)


def test_authorities_of_a_certificate_request() -> None:
    first, second = ca("First"), ca("Second")
    bits_only = x509.SubjectKeyIdentifier.from_public_key(first.key.public_key()).digest
    found = authority_hashes([first.der, second.der, first.der])
    assert len(found) == 40
    spki = first.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found[:20] == hashlib.sha1(spki).digest()
    assert found[:20] != bits_only
    with pytest.raises(ValueError, match="cannot be read"):
        authority_hashes([b"junk"])


@pytest.mark.parametrize("name", ["initiator", "responder"])
def test_founding_certificates(name: str) -> None:
    """Version 1, no SAN, no AKI: the identity is the subject."""
    certificate = _founding(name)
    assert read(certificate).version == 1
    assert identity_of(certificate) == f"dn:CN=ipsec-{name}"
    peer = make.verify([certificate], [_founding("ca")], f"dn:CN=ipsec-{name}", MOMENT)
    assert (peer.subject, peer.issuer) == (f"CN=ipsec-{name}", "CN=MyRootCA")


def test_founding_initiator_is_not_the_responder() -> None:
    with pytest.raises(AuthError) as caught:
        make.verify([_founding("initiator")], [_founding("ca")], "dn:CN=ipsec-responder", MOMENT)
    assert caught.value.failure is AuthFailure.IDENTITY_MISMATCH


OPENSSL = shutil.which("openssl")


def _openssl(folder: Path, arguments: str) -> None:
    command = [OPENSSL or "openssl", *arguments.split()]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(OPENSSL is None, reason="needs the openssl command")
@pytest.mark.parametrize(
    "algorithm", ["ec -pkeyopt ec_paramgen_curve:P-256", "rsa -pkeyopt rsa_keygen_bits:2048", "ed25519"]
)
def test_what_the_installed_openssl_makes(tmp_path: Path, algorithm: str) -> None:
    for name in ("ca", "peer"):
        _openssl(tmp_path, f"genpkey -algorithm {algorithm} -out {name}-key.pem")
    _openssl(tmp_path, "req -x509 -new -key ca-key.pem -days 2 -out ca-cert.pem -subj /CN=MyRootCA")
    _openssl(tmp_path, "req -new -key peer-key.pem -out peer.csr -subj /CN=peer")
    _openssl(
        tmp_path,
        "x509 -req -in peer.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial -out peer-cert.pem",
    )
    anchors = load_certificates((tmp_path / "ca-cert.pem").read_bytes())
    sent = load_certificates((tmp_path / "peer-cert.pem").read_bytes())
    assert make.verify(sent, anchors, moment=datetime.now(UTC)).subject == "CN=peer"
