"""Distinguished names and the DER reader below them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.pki import der
from node.pki.der import DerError
from node.pki.names import MAX_ATTRIBUTES, MAX_NAME_OCTETS, read_name
from tests.unit.pki.factory import name, tlv

#: RFC 4514 section 4 and what it does not show.
SHOWN = [
    "UID=jsmith,DC=example,DC=net",
    'CN=James \\"Jim\\" Smith\\, III,DC=example,DC=net',
    "OU=Sales+CN=J.  Smith,DC=example,DC=net",
    "CN=\\#1",
    "CN=\\ edge\\ ",
    "C=AT,O=Lab,OU=IPsec,ST=Wien,L=Wien",
]


@pytest.mark.parametrize("text", SHOWN)
def test_shown_as_rfc_4514(text: str) -> None:
    first, again = read_name(name(text).public_bytes()), read_name(name(text).public_bytes())
    assert first == again
    assert read_name(name(str(first)).public_bytes()) == first


def test_order_matters_within_a_multi_valued_rdn_it_does_not() -> None:
    assert read_name(name("CN=a,O=b").public_bytes()) != read_name(name("O=b,CN=a").public_bytes())
    assert read_name(name("CN=a+O=b").public_bytes()) == read_name(name("O=b+CN=a").public_bytes())


def test_control_characters_are_escaped() -> None:
    shown = str(read_name(name("CN=a\\1B[31m\\0A\\E2\\80\\AE").public_bytes()))
    assert shown == "CN=a\\1B[31m\\0A\\E2\\80\\AE"


def test_long_names_are_cut() -> None:
    octets = tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403") + tlv(0x0C, b"a" * 3000))))
    assert len(str(read_name(octets))) < 300


def _attribute(value: bytes) -> bytes:
    return tlv(0x31, tlv(0x30, bytes.fromhex("0603550403") + value))


BAD_NAMES = [
    ("empty", b""),
    ("no sequence", tlv(0x31, b"")),
    ("an empty RDN", tlv(0x30, tlv(0x31, b""))),
    ("a type without a value", tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403"))))),
    ("UTF8String that is none", tlv(0x30, _attribute(tlv(0x0C, b"\xff")))),
    ("BMPString of odd length", tlv(0x30, _attribute(tlv(0x1E, b"\0a\0")))),
    ("PrintableString with an eighth bit", tlv(0x30, _attribute(tlv(0x13, b"\x80")))),
    ("an OID without an end", tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x01\x80" + tlv(0x0C, b"a"))))),
    ("too many attributes", tlv(0x30, _attribute(tlv(0x0C, b"a")) * (MAX_ATTRIBUTES + 1))),
    ("too long", tlv(0x30, _attribute(tlv(0x0C, b"a" * MAX_NAME_OCTETS)))),
]


@pytest.mark.parametrize(("why", "octets"), BAD_NAMES)
def test_bad_names(why: str, octets: bytes) -> None:
    with pytest.raises(DerError):
        read_name(octets)


BAD_DER = [
    ("nothing", ""),
    ("no length", "30"),
    ("cut length", "3082"),
    ("indefinite", "30800000"),
    ("five octets of length", "30850000000000"),
    ("not minimal, short form fits", "308101" + "00"),
    ("not minimal, leading zero", "30820081" + "00" * 0x81),
    ("cut content", "300205"),
    ("octets after", "30000500"),
    ("high tag", "1f8100"),
]


@pytest.mark.parametrize(("why", "octets"), BAD_DER)
def test_bad_der(why: str, octets: str) -> None:
    with pytest.raises(DerError):
        der.read(bytes.fromhex(octets))


@pytest.mark.parametrize("octets", ["02020001", "0201ff", "0200", "0401ff"])
def test_bad_integers(octets: str) -> None:
    with pytest.raises(DerError):
        der.unsigned(der.read(bytes.fromhex(octets)))


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("2a864886f70d", "1.2.840.113549"),
        ("551d13", "2.5.29.19"),
        ("883703", "2.999.3"),
        ("00", "0.0"),
        ("27", "0.39"),
    ],
)
def test_object_identifiers(octets: str, text: str) -> None:
    assert der.dotted(bytes.fromhex(octets)) == text


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_octets_are_names_or_errors(octets: bytes) -> None:
    try:
        found = read_name(octets)
    except DerError:
        return
    assert found.octets == octets
    assert str(found).isprintable()
