"""Chains made to order, on P-256 keys because they cost microseconds. Times are relative to `NOW`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from node.errors import AuthError
from node.model.payloads import Identification
from node.model.proof import VerifiedPeer
from node.model.registry import PayloadType
from node.pki import der
from node.pki.identity import ExpectedIdentity, identification
from node.pki.verifier import CertificateVerifier

NOW = datetime(2027, 6, 1, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with the key it certifies."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


Extensions = Sequence[tuple[x509.ExtensionType, bool]]


def name(text: str) -> x509.Name:
    """`CN` alone, or an RFC 4514 string."""
    if "=" in text:
        return x509.Name.from_rfc4514_string(text)
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def issue(
    subject: str,
    issuer: Issued | None,
    extensions: Extensions = (),
    *,
    start: datetime = NOW - DAY,
    end: datetime = NOW + DAY,
    key: Key | None = None,
    algorithm: hashes.SHA224 | hashes.SHA256 | None = None,
) -> Issued:
    """A version 3 certificate; self-signed where `issuer` is None."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject) if subject else x509.Name([]))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Issued(builder.sign(issuer.key if issuer else key, algorithm or hashes.SHA256()), key)


def usage(**bits: bool) -> tuple[x509.KeyUsage, bool]:
    """A critical keyUsage with the given bits."""
    known = [field.lstrip("_") for field in vars(x509.KeyUsage(*[False] * 9))]
    return x509.KeyUsage(**{bit: bits.get(bit, False) for bit in known}), True


def ca(
    subject: str,
    issuer: Issued | None = None,
    extra: Extensions = (),
    *,
    path_length: int | None = None,
    start: datetime = NOW - DAY,
    end: datetime = NOW + DAY,
    key: Key | None = None,
) -> Issued:
    """A proper CA certificate."""
    basic = (x509.BasicConstraints(ca=True, path_length=path_length), True)
    extensions = (basic, usage(key_cert_sign=True, crl_sign=True), *extra)
    return issue(subject, issuer, extensions, start=start, end=end, key=key)


def general(*texts: str) -> list[x509.GeneralName]:
    """GeneralNames from `dns:`, `email:`, `ip:`, `dn:` and `uri:` texts."""
    makers: dict[str, Callable[[str], x509.GeneralName]] = {
        "dns": x509.DNSName,
        "email": x509.RFC822Name,
        "ip": lambda value: x509.IPAddress(ip_address(value)),
        "dn": lambda value: x509.DirectoryName(name(value)),
        "uri": x509.UniformResourceIdentifier,
    }
    return [makers[kind](value) for kind, _, value in (text.partition(":") for text in texts)]


def leaf(subject: str, issuer: Issued, *alternative: str, extra: Extensions = ()) -> Issued:
    """An end entity certificate with digitalSignature and the given subjectAltName."""
    names = [(x509.SubjectAlternativeName(general(*alternative)), False)] if alternative else []
    return issue(subject, issuer, (usage(digital_signature=True), *names, *extra))


def tlv(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def rebuilt(issued: Issued, issuer: Issued, change: Callable[[list[bytes]], None]) -> bytes:
    """The certificate with the fields of its TBSCertificate changed and signed again: what no builder would
    make."""
    tbs, algorithm, _ = der.read(issued.der).children(3)
    fields = [element.octets for element in tbs.children(10)]
    change(fields)
    signed = tlv(der.SEQUENCE, b"".join(fields))
    if not isinstance(issuer.key, ec.EllipticCurvePrivateKey):
        raise TypeError("only ECDSA issuers sign again")
    signature = issuer.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    return tlv(der.SEQUENCE, signed + algorithm.octets + tlv(der.BIT_STRING, b"\0" + signature))


def version_1(issued: Issued, issuer: Issued) -> bytes:
    """The same certificate as X.509 version 1: no version field, no extensions."""

    def change(fields: list[bytes]) -> None:
        fields[:] = fields[1:7]

    return rebuilt(issued, issuer, change)


def verify(
    certificates: Sequence[bytes],
    anchors: Sequence[bytes],
    identity: str = "dn:CN=peer",
    moment: datetime = NOW,
) -> VerifiedPeer:
    """Run the verifier as the daemon does; the ID the peer sends is the expected one."""
    sent = identification(identity, PayloadType.IDR)
    return verifier(anchors, identity, moment).verify(certificates, sent)


def verifier(anchors: Sequence[bytes], expected: str, moment: datetime = NOW) -> CertificateVerifier:
    """A verifier whose clock stands still."""
    return CertificateVerifier(anchors, ExpectedIdentity.of(expected), lambda: moment)


def failure(
    certificates: Sequence[bytes], anchors: Sequence[bytes], identity: str = "dn:CN=peer"
) -> str | None:
    """The reason of the refusal, None where the peer is accepted."""
    try:
        verify(certificates, anchors, identity)
    except AuthError as error:
        return str(error.failure)
    return None


def sent_id(text: str) -> Identification:
    """The IDr payload for a text."""
    return identification(text, PayloadType.IDR)
