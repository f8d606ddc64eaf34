"""An X.509 certificate as a tree: whom it names, who issued it, when it is valid. Nothing is judged."""

import re
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.utils import CryptographyDeprecationWarning

from lab.decode import der as framing
from lab.decode.items import octets, shorten
from lab.decode.problem import Unreadable
from lab.decode.values import Item
from lab.text import printable

#: Octets of a certificate that are looked into: those of a lab have 2,000, and a name can be made endless.
MAX_CERTIFICATE = 16_384
_SEQUENCE = 0x30
#: What a value would look like more names with (RFC 4514 2.4).
_SPECIAL = re.compile(r'[,+"\\<>;]')
#: Attribute types of names by their short forms (RFC 4514 3, RFC 2985).
_ATTRIBUTES = {
    "2.5.4.3": "CN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "emailAddress",
}
#: What reading a certificate of a stranger raises, as the library documents it and beyond.
_TROUBLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.ExtensionNotFound,
    NotImplementedError,
)


def tree(der: bytes) -> tuple[Item, ...]:
    """What a certificate says. What cannot be read is said in its place."""
    if len(der) > MAX_CERTIFICATE:
        return (Item("not looked into", f"a certificate of more than {MAX_CERTIFICATE} octets"),)
    with warnings.catch_warnings():
        # What a later version of the library will refuse is shown, not announced.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return _tree(der)


def _tree(der: bytes) -> tuple[Item, ...]:
    try:
        certificate = x509.load_der_x509_certificate(der)
    except _TROUBLE as error:
        return (Item("not an X.509 certificate", _why(error)),)
    parts: tuple[tuple[str, Callable[[x509.Certificate], str]], ...] = (
        ("Subject", lambda c: _name(c.subject)),
        ("Issuer", lambda c: _name(c.issuer)),
        ("Serial Number", lambda c: f"{c.serial_number:x}"),
        ("Not Before", lambda c: _moment(c.not_valid_before_utc)),
        ("Not After", lambda c: _moment(c.not_valid_after_utc)),
        ("Public Key", lambda c: _key(c.public_key())),
        ("Signature Algorithm", _signature),
        ("SHA-256 Fingerprint", lambda c: c.fingerprint(SHA256()).hex()),
    )
    return (*(Item(name, _said(of, certificate)) for name, of in parts), *_extensions(certificate))


def distinguished_name(octets: bytes) -> str:
    """A Name of X.501 in DER as RFC 4514 writes it (the last part first); empty where it is none."""
    try:
        tag, at, end = framing.element(octets, 0, len(octets))
        if tag != _SEQUENCE or end != len(octets):
            return ""
        parts = []
        while at < end:
            tag, start, at = framing.element(octets, at, end)
            parts.append(_relative(octets, start, at))
        return shorten(",".join(reversed(parts)))
    except Unreadable:
        return ""


def _relative(octets: bytes, at: int, end: int) -> str:
    """A RelativeDistinguishedName: the contents of its SET."""
    pairs = []
    while at < end:
        _, start, at = framing.element(octets, at, end)
        _, first, behind = framing.element(octets, start, at)
        _, second, stop = framing.element(octets, behind, at)
        oid = framing.dotted(octets[first:behind])
        value = _SPECIAL.sub(r"\\\g<0>", octets[second:stop].decode("utf-8", "backslashreplace"))
        pairs.append(f"{_ATTRIBUTES.get(oid, oid)}={value}")
    return "+".join(pairs)


def _said(of: Callable[[x509.Certificate], str], certificate: x509.Certificate) -> str:
    try:
        return of(certificate)
    except _TROUBLE as error:
        return f"cannot be read: {_why(error)}"


def _why(error: Exception) -> str:
    return printable(str(error).partition("\n")[0][:120]) or type(error).__name__


def _name(name: x509.Name) -> str:
    return shorten(name.rfc4514_string()) or "(empty)"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _key(key: object) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA, {key.curve.name}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519"
    return "Ed448" if isinstance(key, ed448.Ed448PublicKey) else type(key).__name__


def _signature(certificate: x509.Certificate) -> str:
    algorithm = certificate.signature_hash_algorithm
    oid = certificate.signature_algorithm_oid
    return f"{oid._name} ({oid.dotted_string})" + (f", {algorithm.name}" if algorithm else "")


def _extensions(certificate: x509.Certificate) -> Iterator[Item]:
    try:
        extensions = list(certificate.extensions)
    except _TROUBLE as error:
        yield Item("Extensions", f"cannot be read: {_why(error)}")
        return
    for extension in extensions:
        critical = "critical, " if extension.critical else ""
        try:
            value = shorten(_extension_value(extension.value))
        except _TROUBLE as error:
            value = f"cannot be read: {_why(error)}"
        yield Item(_extension_name(extension.oid), critical + value)


def _extension_name(oid: x509.ObjectIdentifier) -> str:
    known = oid._name
    return oid.dotted_string if known == "Unknown OID" else known


def _extension_value(value: x509.ExtensionType) -> str:
    if isinstance(value, x509.SubjectAlternativeName):
        return ", ".join(map(_general_name, value))
    if isinstance(value, x509.BasicConstraints):
        return f"CA {value.ca}" + (
            f", path length {value.path_length}" if value.path_length is not None else ""
        )
    if isinstance(value, x509.KeyUsage):
        return ", ".join(use.replace("_", " ") for use in _USES if getattr(value, use)) or "none"
    if isinstance(value, x509.ExtendedKeyUsage):
        return ", ".join(f"{use._name} ({use.dotted_string})" for use in value)
    if isinstance(value, x509.SubjectKeyIdentifier):
        return value.digest.hex()
    if isinstance(value, x509.AuthorityKeyIdentifier) and value.key_identifier:
        return value.key_identifier.hex()
    return octets(value.public_bytes())


#: The uses whose meaning does not depend on another one.
_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def _general_name(name: x509.GeneralName) -> str:
    kinds = {
        x509.DNSName: "DNS",
        x509.RFC822Name: "email",
        x509.IPAddress: "IP",
        x509.UniformResourceIdentifier: "URI",
    }
    value = name.value
    shown = value.rfc4514_string() if isinstance(value, x509.Name) else str(value)
    return f"{kinds.get(type(name), type(name).__name__)}:{shown}"
