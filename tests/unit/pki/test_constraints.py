"""Name constraints as tables: a subtree, a name, and whether the name lies in it (RFC 5280 4.2.1.10)."""

from ipaddress import ip_network

import pytest
from cryptography import x509

from node.errors import AuthError, AuthFailure
from node.pki import constraints
from node.pki.names import read_name
from tests.unit.pki import factory as make
from tests.unit.pki.factory import ca, failure, leaf, name, tlv

INSIDE = [
    ("dns:example.com", "dns:example.com"),
    ("dns:example.com", "dns:a.b.EXAMPLE.com"),
    ("dns:example.com", "dns:host.example.com."),
    ("dns:", "dns:anything"),
    ("dns:.example.com", "dns:a.example.com"),
    ("email:user@example.com", "email:USER@example.com"),
    ("email:example.com", "email:a@example.com"),
    ("email:.example.com", "email:a@mail.example.com"),
    ("uri:example.com", "uri:https://example.com:8443/path?x#y"),
    ("uri:.example.com", "uri:ftp://user@a.example.com/"),
    ("net:192.0.2.0/24", "ip:192.0.2.255"),
    ("net:2001:db8::/32", "ip:2001:db8::1"),
    ("net:0.0.0.0/0", "ip:8.8.8.8"),
    ("dn:O=Lab", "dn:CN=a,O=LAB"),
    ("dn:", "dn:CN=a"),
]
OUTSIDE = [
    ("dns:example.com", "dns:badexample.com"),
    ("dns:example.com", "dns:com"),
    ("dns:.example.com", "dns:example.com"),
    ("dns:a.example.com", "dns:*.example.com"),
    ("email:user@example.com", "email:other@example.com"),
    ("email:example.com", "email:a@mail.example.com"),
    ("email:.example.com", "email:a@example.com"),
    ("email:example.com", "email:example.com@evil.net"),
    ("uri:example.com", "uri:https://a.example.com/"),
    ("uri:example.com", "uri:https://example.com@evil.net/"),
    ("net:192.0.2.0/24", "ip:192.0.3.0"),
    ("net:192.0.2.0/24", "ip:2001:db8::1"),
    ("dn:O=Lab", "dn:O=Other"),
    ("dn:OU=x,O=Lab", "dn:O=Lab"),
]


def _subtree(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    if kind == "net":
        return x509.IPAddress(ip_network(value))
    if text == "dn:":
        return x509.DirectoryName(x509.Name([]))
    return make.general(text)[0]


def _judge(tree: str, given: str, *, excluded: bool) -> bool:
    """Whether a leaf with the name passes below a CA with the subtree."""
    subtrees = [_subtree(tree)]
    parsed = x509.NameConstraints(None if excluded else subtrees, subtrees if excluded else None)
    found = constraints.read(parsed, parsed.public_bytes())
    try:
        constraints.check(constraints.general_names(make.general(given)), [found])
    except AuthError as error:
        return error.failure is not AuthFailure.NAME_CONSTRAINTS
    return True


@pytest.mark.parametrize(("tree", "given"), INSIDE)
def test_inside(tree: str, given: str) -> None:
    assert _judge(tree, given, excluded=False)
    assert not _judge(tree, given, excluded=True)


@pytest.mark.parametrize(("tree", "given"), OUTSIDE)
def test_outside(tree: str, given: str) -> None:
    assert not _judge(tree, given, excluded=False)
    assert _judge(tree, given, excluded=True)


@pytest.mark.parametrize(
    ("tree", "given"),
    [
        ("uri:example.com", "uri:urn:isbn:0"),
        ("uri:example.com", "uri:https://192.0.2.1/"),
        ("uri:example.com", "uri:https://[2001:db8::1]/"),
        ("uri:example.com", "uri:https://[broken/"),
        ("email:example.com", "email:nobody"),
    ],
)
def test_what_cannot_be_placed_passes_nowhere(tree: str, given: str) -> None:
    assert not _judge(tree, given, excluded=False)
    assert not _judge(tree, given, excluded=True)


def test_other_forms_are_free() -> None:
    assert _judge("dns:example.com", "email:a@evil.net", excluded=False)


def test_every_ca_above_counts() -> None:
    """Top permits example.com, Sub permits a.example.com and b.net: what both permit passes."""

    def permitted(*texts: str) -> tuple[x509.ExtensionType, bool]:
        return x509.NameConstraints(make.general(*texts), None), True

    top = ca("Top", extra=[permitted("dns:example.com")])
    sub = ca("Sub", top, [permitted("dns:a.example.com", "dns:b.net")])

    def judged(host: str) -> str | None:
        return failure([leaf("peer", sub, f"dns:{host}").der, sub.der], [top.der], f"fqdn:{host}")

    assert judged("x.a.example.com") is None
    assert judged("b.net") == AuthFailure.NAME_CONSTRAINTS
    assert judged("example.com") == AuthFailure.NAME_CONSTRAINTS


def test_addresses_in_the_subject_count_without_a_san() -> None:
    subject = read_name(name("1.2.840.113549.1.9.1=a@evil.net,CN=x").public_bytes())
    kinds = [found.kind for found in constraints.names_of(subject, ())]
    assert kinds == [constraints.Kind.DN, constraints.Kind.RFC822]
    alternative = constraints.general_names(make.general("email:a@b.c"))
    assert len(constraints.names_of(subject, alternative)) == 2


def test_distances_are_not_enforceable() -> None:
    """minimum 1: the library reads past it, so it must be seen here."""
    base = tlv(0x82, b"example.com")
    octets = tlv(0x30, tlv(0xA0, tlv(0x30, base + tlv(0x80, b"\1"))))
    parsed = x509.NameConstraints([x509.DNSName("example.com")], None)
    assert not constraints.read(parsed, octets).enforceable
    assert constraints.read(parsed, tlv(0x30, tlv(0xA0, tlv(0x30, base)))).enforceable


def test_too_many_names() -> None:
    root = ca("Root")
    many = [f"dns:host{number}.example" for number in range(constraints.MAX_GENERAL_NAMES + 1)]
    assert failure([leaf("peer", root, *many).der], [root.der]) == AuthFailure.MALFORMED_CERTIFICATE
    assert failure([leaf("peer", root, *many[1:]).der], [root.der]) is None
