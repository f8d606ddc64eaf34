"""Name constraints (RFC 5280 4.2.1.10): DN, DNS, IP, RFC822 and URI.

Rules:

1. Comparing ignores case throughout, the local part of an address included, because RFC 4945 compares IDs
   that way: what is excluded stays excluded however it is spelled.
2. A constraint that cannot be enforced (another name form, minimum or maximum) refuses the path, it is never
   skipped.
3. Counts are limited.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from cryptography import x509

from node.errors import AuthError, AuthFailure
from node.pki import der
from node.pki.names import EMAIL_ADDRESS, DistinguishedName, read_name
from node.pki.text import printable

#: Names in one subjectAltName, and subtrees in one nameConstraints: bounds the work of comparing them.
MAX_GENERAL_NAMES = 128


class Kind(StrEnum):
    """Forms of GeneralName; OTHER is what has no meaning here."""

    DN = "dn"
    DNS = "fqdn"
    IP = "ip"
    RFC822 = "rfc822"
    URI = "uri"
    OTHER = "other"


Value = str | DistinguishedName | IPv4Address | IPv6Address | IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class GeneralName:
    """One name (or the base of a subtree): its form and its value."""

    kind: Kind
    value: Value

    def __str__(self) -> str:
        return f"{self.kind}:{printable(str(self.value))}"


@dataclass(frozen=True, slots=True)
class Constraints:
    """The subtrees of one certificate; `enforceable` is False where one of them cannot be enforced here."""

    permitted: tuple[GeneralName, ...]
    excluded: tuple[GeneralName, ...]
    enforceable: bool


def general_names(names: Iterable[x509.GeneralName]) -> tuple[GeneralName, ...]:
    """Read at most MAX_GENERAL_NAMES names. Raises ValueError."""
    found: list[GeneralName] = []
    for name in names:
        if len(found) == MAX_GENERAL_NAMES:
            raise ValueError(f"more than {MAX_GENERAL_NAMES} names in one extension")
        found.append(_general_name(name))
    return tuple(found)


def _general_name(name: x509.GeneralName) -> GeneralName:
    match name:
        case x509.DNSName():
            return GeneralName(Kind.DNS, name.value)
        case x509.RFC822Name():
            return GeneralName(Kind.RFC822, name.value)
        case x509.UniformResourceIdentifier():
            return GeneralName(Kind.URI, name.value)
        case x509.IPAddress():
            return GeneralName(Kind.IP, name.value)
        case x509.DirectoryName():
            return GeneralName(Kind.DN, read_name(name.value.public_bytes()))
        case _:
            return GeneralName(Kind.OTHER, type(name).__name__)


def read(parsed: x509.NameConstraints, octets: bytes) -> Constraints:
    """The constraints of one extension; `octets` is its DER. Raises ValueError (DerError)."""
    permitted = general_names(parsed.permitted_subtrees or ())
    excluded = general_names(parsed.excluded_subtrees or ())
    enforceable = not _has_distances(octets) and all(
        name.kind is not Kind.OTHER for name in permitted + excluded
    )
    return Constraints(permitted, excluded, enforceable)


def _has_distances(octets: bytes) -> bool:
    """Whether a subtree has minimum or maximum. The library reads past them; RFC 5280 forbids them."""
    lists = der.read(octets).expect(der.SEQUENCE).children(2)
    subtrees = [subtree for one in lists for subtree in one.children(MAX_GENERAL_NAMES)]
    return any(len(subtree.expect(der.SEQUENCE).children(3)) != 1 for subtree in subtrees)


def names_of(subject: DistinguishedName, alternative: Sequence[GeneralName]) -> tuple[GeneralName, ...]:
    """Every name of a certificate that constraints apply to: its subject, its subjectAltName, and the email
    addresses of the subject where the subjectAltName has none."""
    names = list(alternative)
    if subject.rdns:
        names.append(GeneralName(Kind.DN, subject))
    if not any(name.kind is Kind.RFC822 for name in alternative):
        names.extend(GeneralName(Kind.RFC822, address) for address in subject.texts(EMAIL_ADDRESS))
    return tuple(names)


def check(names: Sequence[GeneralName], state: Sequence[Constraints]) -> None:
    """Apply the constraints of every CA above. Raises AuthError(NAME_CONSTRAINTS)."""
    for constraints in state:
        for name in names:
            _check_one(name, constraints)


def _check_one(name: GeneralName, constraints: Constraints) -> None:
    permitted = [base for base in constraints.permitted if base.kind is name.kind]
    if permitted and not any(_within(name, base) for base in permitted):
        listed = ", ".join(str(base) for base in permitted[:4])
        raise AuthError(AuthFailure.NAME_CONSTRAINTS, f"{name} lies outside what its CA may name: {listed}")
    for base in constraints.excluded:
        if base.kind is name.kind and not _surely_outside(name, base):
            raise AuthError(AuthFailure.NAME_CONSTRAINTS, f"{name} lies in the excluded {base}")


def _within(name: GeneralName, base: GeneralName) -> bool:
    match name.kind, name.value, base.value:
        case Kind.DN, DistinguishedName() as subject, DistinguishedName() as tree:
            return subject.within(tree)
        case Kind.DNS, str(host), str(domain):
            return _dns_within(host, domain)
        case Kind.RFC822, str(address), str(tree_text):
            return _address_within(address, tree_text)
        case Kind.URI, str(uri), str(domain):
            return _host_within(_uri_host(uri), domain)
        case Kind.IP, IPv4Address() as address4, IPv4Network() as network4:
            return address4 in network4
        case Kind.IP, IPv6Address() as address6, IPv6Network() as network6:
            return address6 in network6
    return False


def _surely_outside(name: GeneralName, base: GeneralName) -> bool:
    """Not in an excluded subtree. A URI without a host name and an address without @ cannot be placed: not
    surely outside."""
    if name.kind is Kind.URI and not _uri_host(str(name.value)):
        return False
    if name.kind is Kind.RFC822 and "@" not in str(name.value):
        return False
    return not _within(name, base)


def _dns_within(host: str, domain: str) -> bool:
    """`example.com` holds itself and everything below it, `.example.com` (not RFC 5280, but in use) only what
    is below."""
    host, domain = host.lower().removesuffix("."), domain.lower().removesuffix(".")
    if domain.startswith("."):
        return host.endswith(domain)
    return domain == "" or host == domain or host.endswith(f".{domain}")


def _host_within(host: str, domain: str) -> bool:
    """For addresses and URIs: `example.com` is that host alone, `.example.com` everything below it."""
    host, domain = host.lower().removesuffix("."), domain.lower().removesuffix(".")
    return bool(host) and (host.endswith(domain) if domain.startswith(".") else host == domain)


def _address_within(address: str, tree: str) -> bool:
    if "@" in tree:
        return address.lower() == tree.lower()
    return "@" in address and _host_within(address.rpartition("@")[2], tree)


def _uri_host(uri: str) -> str:
    """The host name in a URI; empty where it has none or an IP address, which RFC 5280 lets no constraint
    match."""
    try:
        host = urlsplit(uri).hostname or ""
    except ValueError:
        return ""
    return "" if ":" in host or host.replace(".", "").isdigit() else host
