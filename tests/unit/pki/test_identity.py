"""Identities: text and ID payloads, what a configuration accepts, what a certificate says (RFC 4945)."""

import pytest
from cryptography import x509

from node.errors import AuthError, AuthFailure
from node.model.payloads import Identification
from node.model.registry import IdType, PayloadType
from node.pki.certificate import read
from node.pki.identity import (
    MAX_ID_OCTETS,
    ExpectedIdentity,
    describe,
    identification,
    identity_of,
    local_identification,
    same_identity,
)
from node.pki.verifier import CertificateVerifier
from tests.unit.pki import factory as make
from tests.unit.pki.factory import Issued, ca, issue, leaf, tlv

DN_UTF8 = bytes.fromhex("301a31183016060355040 30c0f69707365632d696e69746961746f72".replace(" ", ""))
DN_PRINTABLE = DN_UTF8.replace(b"\x0c\x0f", b"\x13\x0f")

#: Text, type, octets: read both ways.
TEXTS = [
    ("fqdn:responder", IdType.ID_FQDN, b"responder"),
    ("fqdn:gw.example.com", IdType.ID_FQDN, b"gw.example.com"),
    ("rfc822:admin@example.com", IdType.ID_RFC822_ADDR, b"admin@example.com"),
    ("ipv4:192.0.2.1", IdType.ID_IPV4_ADDR, bytes([192, 0, 2, 1])),
    ("ipv6:2001:db8::1", IdType.ID_IPV6_ADDR, bytes.fromhex("20010db8000000000000000000000001")),
    ("dn:CN=ipsec-initiator", IdType.ID_DER_ASN1_DN, DN_UTF8),
]


@pytest.mark.parametrize(("text", "id_type", "data"), TEXTS)
def test_text_and_payload(text: str, id_type: IdType, data: bytes) -> None:
    made = identification(text, PayloadType.IDI)
    assert made == Identification(PayloadType.IDI, id_type, data)
    assert describe(id_type, data) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("responder", "is not an identity"),
        ("dns:responder", "is not an identity"),
        ("fqdn:", "is not an identity"),
        ("fqdn:*.example.com", "printable ASCII without spaces and without"),
        ("fqdn:two words", "printable ASCII"),
        ("fqdn:b\u00fccher.example", "printable ASCII"),
        ("rfc822:nobody", "not user@host"),
        ("rfc822:@host", "not user@host"),
        ("ipv4:192.0.2", "192.0.2"),
        ("ipv4:2001:db8::1", "2001:db8::1"),
        ("ipv6:192.0.2.1", "192.0.2.1"),
        ("dn:nobody", "not a distinguished name"),
        ("dn:XX=nobody", "not a distinguished name"),
        ("fqdn:" + "a" * (MAX_ID_OCTETS + 1), "at most 1024"),
    ],
)
def test_bad_text(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("*", r"\*")):
        identification(text, PayloadType.IDI)


@pytest.mark.parametrize("texts", [(), ("keyid:group",), ("fqdn:a", "nonsense")])
def test_bad_expectation(texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"identity|keyid"):
        ExpectedIdentity.of(*texts)


def _id(id_type: IdType, data: bytes) -> Identification:
    return Identification(PayloadType.IDR, id_type, data)


def _dn(text: str, *, tag: int = 0x0C) -> bytes:
    attribute = tlv(
        0x30, bytes.fromhex("0603550403") + tlv(tag, text.encode("utf-16-be" if tag == 0x1E else "utf-8"))
    )
    return tlv(0x30, tlv(0x31, attribute))


FQDN, MAIL, DN = IdType.ID_FQDN, IdType.ID_RFC822_ADDR, IdType.ID_DER_ASN1_DN
SAME = [
    ("letter case of an FQDN", FQDN, b"GW.example.COM", FQDN, b"gw.EXAMPLE.com"),
    ("letter case of an address", MAIL, b"Admin@Example.com", MAIL, b"admin@example.com"),
    ("PrintableString and UTF8String", DN, DN_UTF8, DN, DN_PRINTABLE),
    ("letter case of a DN", DN, _dn("ipsec-initiator"), DN, _dn("IPSEC-Initiator")),
    ("white space of a DN", DN, _dn("  two   words "), DN, _dn("Two Words")),
    ("BMPString", DN, _dn("b\u00fccher", tag=0x1E), DN, _dn("B\u00dcCHER")),
    ("composed and decomposed", DN, _dn("b\u00fccher"), DN, _dn("bu\u0308cher")),
]
DIFFERENT = [
    ("another name", FQDN, b"a", FQDN, b"b"),
    ("another type", FQDN, b"a@b", MAIL, b"a@b"),
    ("a type without a name", FQDN, b"a", IdType(99), b"a"),
    ("a wildcard", FQDN, b"*.example.com", FQDN, b"*.example.com"),
    ("a final dot", FQDN, b"gw.example.com.", FQDN, b"gw.example.com"),
    ("a NUL", FQDN, b"gw\0", FQDN, b"gw"),
    ("nothing", FQDN, b"", FQDN, b""),
    ("an empty DN", DN, b"\x30\x00", DN, b"\x30\x00"),
    ("no DN", DN, b"junk", DN, b"junk"),
    ("octets after the DN", DN, DN_UTF8 + b"\0", DN, DN_UTF8),
    ("a word more", DN, _dn("two words"), DN, _dn("twowords")),
    ("a zero-width space", DN, _dn("ad\u200bmin"), DN, _dn("admin")),
    ("a longer DN", DN, DN_UTF8, DN, tlv(0x30, DN_UTF8[2:] * 2)),
]


@pytest.mark.parametrize(
    ("why", "type_1", "data_1", "type_2", "data_2"), SAME, ids=lambda v: v if isinstance(v, str) else ""
)
def test_same(why: str, type_1: IdType, data_1: bytes, type_2: IdType, data_2: bytes) -> None:
    assert same_identity(_id(type_1, data_1), _id(type_2, data_2)), why
    assert same_identity(_id(type_2, data_2), _id(type_1, data_1)), why


@pytest.mark.parametrize(("why", "type_1", "data_1", "type_2", "data_2"), DIFFERENT)
def test_different(why: str, type_1: IdType, data_1: bytes, type_2: IdType, data_2: bytes) -> None:
    assert not same_identity(_id(type_1, data_1), _id(type_2, data_2)), why
    assert not same_identity(_id(type_2, data_2), _id(type_1, data_1)), why


@pytest.fixture(scope="module")
def root() -> Issued:
    return ca("Root")


SAN = (
    "dns:GW.example.com",
    "dns:second.example.com",
    "dns:*.wild.example",
    "email:Admin@example.com",
    "ip:192.0.2.1",
)
SPOKEN_FOR = [
    ((), "dn:CN=peer"),
    (SAN, "dn:CN=peer"),
    (SAN, "fqdn:gw.example.com"),
    (SAN, "fqdn:SECOND.example.com"),
    (SAN, "rfc822:admin@EXAMPLE.com"),
    (SAN, "ipv4:192.0.2.1"),
    (("ip:2001:db8::1",), "ipv6:2001:db8::1"),
]
NOT_SPOKEN_FOR = [
    ((), "fqdn:peer"),
    ((), "dn:CN=other"),
    ((), "dn:CN=peer,O=more"),
    (SAN, "fqdn:example.com"),
    (SAN, "fqdn:host.wild.example"),
    (SAN, "fqdn:peer"),
    (SAN, "fqdn:192.0.2.1"),
    (SAN, "rfc822:other@example.com"),
    (SAN, "ipv4:192.0.2.2"),
    (SAN, "ipv6:::ffff:192.0.2.1"),
    (("email:gw@example.com",), "fqdn:gw@example.com"),
]


@pytest.mark.parametrize(("alternative", "identity"), SPOKEN_FOR)
def test_spoken_for(root: Issued, alternative: tuple[str, ...], identity: str) -> None:
    peer = make.verify([leaf("peer", root, *alternative).der], [root.der], identity)
    assert peer.identity == make.sent_id(identity)


@pytest.mark.parametrize(("alternative", "identity"), NOT_SPOKEN_FOR)
def test_not_spoken_for(root: Issued, alternative: tuple[str, ...], identity: str) -> None:
    with pytest.raises(AuthError) as caught:
        make.verify([leaf("peer", root, *alternative).der], [root.der], identity)
    assert caught.value.failure is AuthFailure.IDENTITY_MISMATCH
    assert "CN=peer" in str(caught.value)


def test_mismatch_says_what_was_looked_for_and_what_is_there(root: Issued) -> None:
    with pytest.raises(AuthError) as caught:
        make.verify([leaf("impostor", root, "dns:impostor").der], [root.der], "fqdn:responder")
    assert str(caught.value) == (
        "the peer says it is fqdn:responder, its certificate speaks for fqdn:impostor, dn:CN=impostor"
    )


def test_unexpected_says_what_came_and_what_was_expected(root: Issued) -> None:
    judge = make.verifier([root.der], "fqdn:responder")
    with pytest.raises(AuthError) as caught:
        judge.verify([leaf("x", root, "dns:initiator").der], make.sent_id("fqdn:initiator"))
    assert caught.value.failure is AuthFailure.UNEXPECTED_IDENTITY
    assert str(caught.value) == "the peer says it is fqdn:initiator, expected is fqdn:responder"


@pytest.mark.parametrize("id_type", [*IdType, IdType(200)])
@pytest.mark.parametrize(
    "data", [b"", b"\x1b[31mred\x1b[0m\r\n", b"a" * 5000, bytes(range(256)), b"\x30\x80", b"\xff" * 17]
)
def test_hostile_ids_end_as_short_plain_text(root: Issued, id_type: IdType, data: bytes) -> None:
    shown = describe(id_type, data)
    assert shown.isprintable()
    assert len(shown) <= 1100
    judge = make.verifier([root.der], "fqdn:responder")
    with pytest.raises(AuthError) as caught:
        judge.verify([leaf("peer", root).der], _id(id_type, data))
    assert caught.value.failure is AuthFailure.UNEXPECTED_IDENTITY
    assert str(caught.value).isprintable()


def test_hostile_subject_is_escaped(root: Issued) -> None:
    hostile = issue("", root, [(x509.SubjectAlternativeName([x509.DNSName("\x1b[2J" + "a" * 2000)]), True)])
    with pytest.raises(AuthError) as caught:
        make.verify([hostile.der], [root.der], "fqdn:peer")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_empty_subject_with_names(root: Issued) -> None:
    nameless = issue("", root, [(x509.SubjectAlternativeName([x509.DNSName("peer.example")]), True)])
    assert make.verify([nameless.der], [root.der], "fqdn:peer.example").subject == ""


def test_several_expected(root: Issued) -> None:
    expected = ExpectedIdentity.of("fqdn:a", "dn:CN=peer")
    judge = CertificateVerifier([root.der], expected, lambda: make.NOW)
    assert judge.verify([leaf("peer", root).der], make.sent_id("dn:CN=peer")).subject == "CN=peer"
    assert str(expected) == "fqdn:a or dn:CN=peer"


def test_default_identity(root: Issued) -> None:
    assert identity_of(leaf("peer", root, "email:a@b.c", "dns:gw", "dns:second").der) == "fqdn:gw"
    assert identity_of(leaf("O=Lab,CN=a\\, b", root).der) == "dn:O=Lab,CN=a\\, b"
    with pytest.raises(ValueError, match="neither a DNS name nor a subject"):
        identity_of(issue("", root).der)
    with pytest.raises(ValueError, match="cannot be read"):
        identity_of(b"junk")


def test_default_identity_of_a_long_subject_is_whole(root: Issued) -> None:
    subject = ",".join(f"OU=unit {number} of many" for number in range(40))
    long_one = leaf(subject, root).der
    assert len(identity_of(long_one)) > 600
    with pytest.raises(ValueError, match="at most 1024"):
        local_identification(identity_of(long_one), long_one, PayloadType.IDI)
    short = leaf(",".join(f"OU=unit {number} of many" for number in range(20)), root).der
    sent = local_identification(identity_of(short), short, PayloadType.IDI)
    assert sent.data == read(short).subject.octets


def test_our_own_dn_goes_out_as_the_subjects_octets(root: Issued) -> None:
    printable = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer", _type=x509.name._ASN1Type.PrintableString)]
    )
    made = make.rebuilt(
        leaf("peer", root), root, lambda fields: fields.__setitem__(5, printable.public_bytes())
    )
    ours = local_identification("dn:CN=PEER", made, PayloadType.IDI)
    assert ours == Identification(PayloadType.IDI, DN, printable.public_bytes())
    assert local_identification("fqdn:gw", leaf("p", root, "dns:gw").der, PayloadType.IDR).data == b"gw"


def test_our_own_identity_must_be_in_our_certificate(root: Issued) -> None:
    with pytest.raises(ValueError, match="the local identity fqdn:gw is not in our certificate"):
        local_identification("fqdn:gw", leaf("gw", root).der, PayloadType.IDI)
