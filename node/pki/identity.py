"""Identities: text to ID payloads, ID payloads to text, and whether a certificate speaks for one (RFC 4945
section 3.1).

Rules:

1. An ID must be of the type and value that were configured, and the certificate must carry it: FQDN, RFC822
   and addresses in subjectAltName, a DN as the whole subject. The subject never stands in for a missing
   subjectAltName.
2. FQDN and RFC822 compare without case; nothing is a wildcard, on either side.
3. Whatever a peer sends ends as capped, escaped text in a message, or as a mismatch. Nothing else is raised.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from node.errors import AuthError, AuthFailure
from node.model.identity import IdentityText, parse_identity
from node.model.payloads import Identification
from node.model.registry import IdType, PayloadType
from node.pki.certificate import Certificate, Facts, facts, read
from node.pki.constraints import GeneralName, Kind
from node.pki.names import EMAIL_ADDRESS, DistinguishedName, read_name
from node.pki.text import printable

#: Octets of an ID payload's data. The longest domain name has 255, a long subject some hundred.
MAX_ID_OCTETS = 1024
#: Names of a certificate listed in a message.
_MAX_LISTED = 8

_RFC4514_KEYWORDS: dict[str, ObjectIdentifier] = {
    "emailAddress": ObjectIdentifier(EMAIL_ADDRESS),
    "E": ObjectIdentifier(EMAIL_ADDRESS),
    "serialNumber": NameOID.SERIAL_NUMBER,
    "SN": NameOID.SURNAME,
    "GN": NameOID.GIVEN_NAME,
    "title": NameOID.TITLE,
    "dnQualifier": NameOID.DN_QUALIFIER,
}
_TEXT_TYPES = frozenset({IdType.ID_FQDN, IdType.ID_RFC822_ADDR})
_ADDRESS_SIZES = {IdType.ID_IPV4_ADDR: 4, IdType.ID_IPV6_ADDR: 16}


@dataclass(frozen=True, slots=True)
class ExpectedIdentity:
    """The identities that the configuration accepts from a peer; `of("fqdn:initiator", "dn:CN=other")` makes
    one."""

    accepted: tuple[Identification, ...]

    @classmethod
    def of(cls, *texts: str) -> "ExpectedIdentity":
        """Of peers with certificates. Raises ValueError where a text is no identity, or one that no
        certificate can speak for (keyid), or none is given."""
        found = cls.of_any(*texts)
        for text, identity in zip(texts, found.accepted, strict=True):
            if identity.id_type is IdType.ID_KEY_ID:
                raise ValueError(
                    f"{text!r}: no certificate speaks for a keyid; use fqdn, rfc822, ipv4, ipv6 or dn"
                )
        return found

    @classmethod
    def of_any(cls, *texts: str) -> "ExpectedIdentity":
        """Of peers that share a secret with us. Raises ValueError where a text is no identity, or none is
        given."""
        if not texts:
            raise ValueError("no peer identity is configured; write the one to expect, as fqdn:responder")
        return cls(tuple(identification(text, PayloadType.IDI) for text in texts))

    @property
    def only(self) -> Identification | None:
        """The identity that is expected, None where there are several."""
        return self.accepted[0] if len(self.accepted) == 1 else None

    def check(self, identity: Identification) -> None:
        """Raises AuthError(UNEXPECTED_IDENTITY) where the peer's ID payload is none of them."""
        if len(identity.data) > MAX_ID_OCTETS:
            detail = f"the peer's ID has {len(identity.data)} octets, at most {MAX_ID_OCTETS} are accepted"
            raise AuthError(AuthFailure.UNEXPECTED_IDENTITY, detail)
        if not any(same_identity(identity, one) for one in self.accepted):
            detail = f"the peer says it is {describe(identity.id_type, identity.data)}, expected is {self}"
            raise AuthError(AuthFailure.UNEXPECTED_IDENTITY, detail)

    def __str__(self) -> str:
        shown = [describe(one.id_type, one.data) for one in self.accepted[:_MAX_LISTED]]
        more = len(self.accepted) - len(shown)
        return " or ".join(shown) + (f" or {more} others" if more else "")


def identification(text: str, payload_type: PayloadType) -> Identification:
    """The ID payload for `fqdn:host`, `rfc822:user@host`, `ipv4:...`, `ipv6:...`, `dn:RFC 4514 string` or
    `keyid:text`.

    A DN is encoded as UTF8String. Raises ValueError with a text that names the identity.
    """
    identity = parse_identity(text)
    data = _data(identity)
    if len(data) > MAX_ID_OCTETS:
        raise ValueError(
            f"the identity {text[:40]!r}... has {len(data)} octets; at most {MAX_ID_OCTETS} are possible"
        )
    return Identification(payload_type, identity.id_type, data)


def _data(identity: IdentityText) -> bytes:
    match identity.id_type:
        case IdType.ID_FQDN | IdType.ID_RFC822_ADDR:
            return _text_data(identity)
        case IdType.ID_IPV4_ADDR | IdType.ID_IPV6_ADDR:
            return _address_data(identity)
        case IdType.ID_DER_ASN1_DN:
            return _name_data(identity)
        case _:
            return identity.text.encode()


def _text_data(identity: IdentityText) -> bytes:
    data = identity.text.encode("utf-8", "replace")
    if not _plain(data):
        raise ValueError(
            f"{str(identity)!r}: only printable ASCII without spaces and without * is possible here"
        )
    if identity.id_type is IdType.ID_RFC822_ADDR and not _is_address(data):
        raise ValueError(f"{str(identity)!r} is not user@host")
    return data


def _plain(data: bytes) -> bool:
    """Printable ASCII without space and wildcard: what an FQDN or RFC822 ID may consist of."""
    return bool(data) and all(0x21 <= octet <= 0x7E and octet != 0x2A for octet in data)


def _is_address(data: bytes) -> bool:
    local, at, host = data.rpartition(b"@")
    return bool(at and local and host)


def _address_data(identity: IdentityText) -> bytes:
    wanted = IPv4Address if identity.id_type is IdType.ID_IPV4_ADDR else IPv6Address
    try:
        return wanted(identity.text).packed
    except ValueError as error:
        raise ValueError(f"{str(identity)!r}: {error}") from None


def _name_data(identity: IdentityText) -> bytes:
    try:
        name = x509.Name.from_rfc4514_string(identity.text, _RFC4514_KEYWORDS)
        octets = name.public_bytes()
        read_name(octets)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(identity)!r} is not a distinguished name as in RFC 4514 ({error})") from None
    if not name.rdns:
        raise ValueError("an empty distinguished name is no identity")
    return octets


def same_identity(one: Identification, other: Identification) -> bool:
    """Whether two ID payloads name the same peer; IDi and IDr are not told apart. Never raises."""
    if one.id_type is not other.id_type and one.id_type != other.id_type:
        return False
    if one.id_type in _TEXT_TYPES:
        return _plain(one.data) and one.data.lower() == other.data.lower()
    if one.id_type == IdType.ID_DER_ASN1_DN:
        first, second = _name(one.data), _name(other.data)
        return first is not None and bool(first.rdns) and first == second
    return one.data == other.data


def _name(data: bytes) -> DistinguishedName | None:
    try:
        return read_name(data)
    except ValueError:
        return None


def check_speaks_for(certificate: Certificate, found: Facts, identity: Identification) -> None:
    """Raises AuthError(IDENTITY_MISMATCH) where the certificate does not carry the identity (RFC 4945
    3.1)."""
    if _speaks_for(certificate, found, identity):
        return
    detail = (
        f"the peer says it is {describe(identity.id_type, identity.data)}, "
        f"its certificate speaks for {_spoken_for(certificate, found)}"
    )
    raise AuthError(AuthFailure.IDENTITY_MISMATCH, detail)


def _speaks_for(certificate: Certificate, found: Facts, identity: Identification) -> bool:
    data = identity.data
    match identity.id_type:
        case IdType.ID_FQDN:
            return _plain(data) and _carries(found, Kind.DNS, data)
        case IdType.ID_RFC822_ADDR:
            return _plain(data) and _is_address(data) and _carries(found, Kind.RFC822, data)
        case IdType.ID_IPV4_ADDR | IdType.ID_IPV6_ADDR:
            return len(data) == _ADDRESS_SIZES[identity.id_type] and ip_address(data) in _values(
                found, Kind.IP
            )
        case IdType.ID_DER_ASN1_DN:
            name = _name(data)
            return name is not None and bool(name.rdns) and name == certificate.subject
        case _:
            return False


def _values(found: Facts, kind: Kind) -> list[object]:
    return [name.value for name in found.alternative_names if name.kind is kind]


def _carries(found: Facts, kind: Kind, data: bytes) -> bool:
    wanted = data.decode("ascii").lower()
    return any(str(value).lower() == wanted for value in _values(found, kind))


def _spoken_for(certificate: Certificate, found: Facts) -> str:
    identities = [_shown(name) for name in found.alternative_names if name.kind is not Kind.OTHER][
        :_MAX_LISTED
    ]
    if certificate.subject.rdns:
        identities.append(f"dn:{certificate.subject}")
    return printable(", ".join(identities) or "nobody", 1024)


def _shown(name: GeneralName) -> str:
    if isinstance(name.value, IPv4Address | IPv6Address):
        return f"ipv{name.value.version}:{name.value}"
    return str(name)


def describe(id_type: IdType, data: bytes) -> str:
    """An ID payload as text for people: the form of the configuration where there is one; escaped, capped,
    never raising."""
    match id_type:
        case IdType.ID_FQDN | IdType.ID_RFC822_ADDR:
            prefix = "fqdn" if id_type == IdType.ID_FQDN else "rfc822"
            return f"{prefix}:{printable(data.decode('latin-1'))}"
        case IdType.ID_IPV4_ADDR | IdType.ID_IPV6_ADDR if len(data) == _ADDRESS_SIZES[id_type]:
            return f"ipv{4 if id_type == IdType.ID_IPV4_ADDR else 6}:{ip_address(data)}"
        case IdType.ID_DER_ASN1_DN if (name := _name(data)) is not None:
            return f"dn:{name}"
        case IdType.ID_KEY_ID if data and all(0x20 <= octet <= 0x7E for octet in data):
            return f"keyid:{printable(data.decode())}"
    return f"{id_type}:0x{data[:64].hex()}" + ("..." if len(data) > 64 else "")


def identity_of(certificate: bytes) -> str:
    """The default identity of our own certificate: its first DNS name as `fqdn:`, else its subject as `dn:`.

    Raises ValueError where the certificate cannot be read or carries neither.
    """
    outline, found = _own(certificate)
    for name in found.alternative_names:
        if name.kind is Kind.DNS and _plain(str(name.value).encode("utf-8", "replace")):
            return f"fqdn:{name.value}"
    if not outline.subject.rdns:
        raise ValueError("the certificate has neither a DNS name nor a subject; configure local.identity")
    return f"dn:{outline.subject.text}"


def local_identification(text: str, certificate: bytes, payload_type: PayloadType) -> Identification:
    """Our own ID payload for a configured identity, which our certificate must carry.

    A DN goes out as the subject's own octets, so that a peer comparing bit by bit finds them equal (RFC 4945
    3.1.5). Raises ValueError where the certificate does not speak for the identity: no peer would accept it.
    """
    outline, found = _own(certificate)
    wanted = identification(text, payload_type)
    if not _speaks_for(outline, found, wanted):
        raise ValueError(
            f"the local identity {text} is not in our certificate, "
            f"which speaks for {_spoken_for(outline, found)}; "
            "change local.identity or issue a certificate with that name"
        )
    if wanted.id_type is IdType.ID_DER_ASN1_DN:
        return Identification(payload_type, wanted.id_type, outline.subject.octets)
    return wanted


def _own(certificate: bytes) -> tuple[Certificate, Facts]:
    try:
        outline = read(certificate)
        return outline, facts(outline)
    except AuthError as error:
        raise ValueError(str(error)) from None
