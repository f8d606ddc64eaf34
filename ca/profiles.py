"""What a certificate of this CA looks like, the same code for issuing and for checking.

1. Authority: basicConstraints CA:TRUE critical, keyUsage keyCertSign and cRLSign critical, SKI; an
   intermediate also has AKI.
2. End entity: basicConstraints CA:FALSE critical, keyUsage digitalSignature critical, SKI, AKI,
   subjectAltName (critical only beside an empty subject, RFC 5280 section 4.2.1.6). No extended key usage:
   RFC 4945 section 5.1.3.12 says a CA for IKE should not include it.
3. Serial numbers are 159 random bits, signatures SHA-256 or better.
"""

from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from ca.keys import PrivateKey, PublicKey, signature_hash, type_name
from ca.request import Spec
from ca.window import Validity

Extensions = tuple[tuple[x509.ExtensionType, bool], ...]

_DISPLAY = {
    x509.BasicConstraints.oid: "basicConstraints",
    x509.KeyUsage.oid: "keyUsage",
    x509.SubjectKeyIdentifier.oid: "subjectKeyIdentifier",
    x509.AuthorityKeyIdentifier.oid: "authorityKeyIdentifier",
    x509.SubjectAlternativeName.oid: "subjectAltName",
}


def extensions(spec: Spec, public: PublicKey, issuer: x509.Certificate | None) -> Extensions:
    """The extensions, each with its criticality, of `spec` for `public`; `issuer` None for a root."""
    wanted: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=spec.authority, path_length=spec.path_length), True),
        (_key_usage(spec.authority), True),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
    ]
    if issuer is not None:
        wanted.append((_authority_key_identifier(issuer), False))
    if spec.names:
        wanted.append((x509.SubjectAlternativeName(spec.names), not list(spec.subject)))
    return tuple(wanted)


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def build(
    spec: Spec, public: PublicKey, validity: Validity, issuer: x509.Certificate | None, signer: PrivateKey
) -> x509.Certificate:
    """Issue `spec` for `public`, signed with the issuer's key (its own for a root)."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(spec.subject)
        .issuer_name(issuer.subject if issuer is not None else spec.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )
    for extension, critical in extensions(spec, public, issuer):
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, signature_hash(signer))


def faults(
    certificate: x509.Certificate, spec: Spec, issuer: x509.Certificate | None, issuer_file: str
) -> Iterator[str]:
    """Why `certificate` is not what `spec` asks for, its dates and its key file aside."""
    if not _signed_by(certificate, issuer if issuer is not None else certificate):
        yield (
            f"is not signed by the present {issuer_file}"
            if issuer is not None
            else "its own signature does not verify"
        )
        return
    if certificate.subject != spec.subject:
        found, asked = certificate.subject.rfc4514_string(), spec.subject.rfc4514_string()
        yield f"is for {printable(found)}, asked {printable(asked)}"
    public = certificate.public_key()
    if type_name(public) != spec.key_type:
        yield f"has a key of type {type_name(public)}, asked {spec.key_type}"
        return
    if isinstance(public, PublicKey):
        yield from _extension_faults(certificate, extensions(spec, public, issuer))


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    # Signatures with SHA-1 and MD5 fail here too: the library does not verify them.
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
    return True


def _extension_faults(certificate: x509.Certificate, wanted: Extensions) -> Iterator[str]:
    try:
        found = {extension.oid: extension for extension in certificate.extensions}
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        yield f"has unreadable extensions ({error})"
        return
    for value, critical in wanted:
        name = _DISPLAY[value.oid]
        extension = found.pop(value.oid, None)
        if extension is None:
            yield f"has no {name}, asked {_describe(value)}"
        elif extension.value != value:
            yield f"has {name} {_describe(extension.value)}, asked {_describe(value)}"
        elif extension.critical != critical:
            yield f"has {name} {'critical' if extension.critical else 'not critical'}"
    for oid, extension in found.items():
        yield f"has {_DISPLAY.get(oid, oid.dotted_string)} {_describe(extension.value)}, asked without"


def _describe(value: x509.ExtensionType) -> str:
    match value:
        case x509.SubjectAlternativeName():
            return "(" + ", ".join(general_names(value)) + ")"
        case x509.BasicConstraints():
            length = "" if value.path_length is None else f", path length {value.path_length}"
            return f"(CA:{str(value.ca).upper()}{length})"
        case _:
            return "of this profile"


def general_names(value: x509.SubjectAlternativeName) -> list[str]:
    """`DNS:a`, `IP:10.0.0.1`, `email:a@b`, as openssl writes them."""
    labels: dict[type, str] = {x509.DNSName: "DNS", x509.IPAddress: "IP", x509.RFC822Name: "email"}
    return [printable(f"{labels.get(type(name), type(name).__name__)}:{name.value}") for name in value]


def printable(text: str) -> str:
    """A text from a file, safe for a terminal: control characters are escaped."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def ours(certificate: x509.Certificate) -> bool:
    """Could this program have made it? It always sets a critical keyUsage and an SKI.

    The test is kept to this core so that certificates of other versions of the program pass it too.
    """
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    return usage.critical


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the DER, in the notation of `openssl x509 -fingerprint -sha256`."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """The subjectAltNames as texts; empty without the extension."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return []
    return general_names(found.value)


def validity(certificate: x509.Certificate) -> Validity:
    return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def to_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
