"""Distinguished names: reading, comparing and showing them.

Rules:

1. Comparing follows RFC 5280 section 7.1: attribute values of every character string type are compared as
   text after case folding, NFKC, and folding of white space; anything else is compared as it is encoded.
2. The original octets stay with the name: an ID payload carries them, nothing is re-encoded.
3. Sizes and counts are limited before anything is decoded.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from node.pki import der
from node.pki.der import DerError, Element
from node.pki.text import printable

#: Octets of one name. The longest that common CAs issue have a few hundred.
MAX_NAME_OCTETS = 4096
#: Attributes of one name; X.520 defines fewer types than this.
MAX_ATTRIBUTES = 64

EMAIL_ADDRESS = "1.2.840.113549.1.9.1"

_KEYWORDS = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "2.5.4.46": "dnQualifier",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    EMAIL_ADDRESS: "emailAddress",
}

_DECODERS: dict[int, Callable[[bytes], str]] = {
    0x0C: lambda octets: octets.decode("utf-8"),
    0x12: lambda octets: octets.decode("ascii"),
    0x13: lambda octets: octets.decode("ascii"),
    0x14: lambda octets: octets.decode("latin-1"),
    0x16: lambda octets: octets.decode("ascii"),
    0x1A: lambda octets: octets.decode("ascii"),
    0x1C: lambda octets: octets.decode("utf-32-be"),
    0x1E: lambda octets: octets.decode("utf-16-be"),
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its type in dotted form, its text (None where it is no character string) and what it is
    compared by."""

    type: str
    text: str | None = field(compare=False)
    octets: bytes = field(compare=False)
    compared: str | bytes

    def __str__(self) -> str:
        keyword = _KEYWORDS.get(self.type, self.type)
        if self.text is None:
            return f"{keyword}=#{self.octets[:64].hex()}"
        return f"{keyword}={_escape(self.text)}"


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A name: its DER and its RDNs in the order of the DER. Two names are equal where RFC 5280 7.1 says they
    match."""

    octets: bytes = field(compare=False)
    rdns: tuple[frozenset[Attribute], ...]

    def within(self, base: "DistinguishedName") -> bool:
        """Whether this name lies in the subtree of `base` (RFC 5280 4.2.1.10): its first RDNs are those of
        `base`."""
        return self.rdns[: len(base.rdns)] == base.rdns

    def texts(self, attribute_type: str) -> tuple[str, ...]:
        """The texts of every attribute of one type."""
        return tuple(
            a.text for rdn in self.rdns for a in rdn if a.type == attribute_type and a.text is not None
        )

    @property
    def text(self) -> str:
        """The whole RFC 4514 string; control characters are escaped. Empty for a name without RDNs."""
        rdns = ("+".join(sorted(str(attribute) for attribute in rdn)) for rdn in reversed(self.rdns))
        return ",".join(rdns)

    def __str__(self) -> str:
        """`text`, capped for messages; `(empty)` for a name without RDNs."""
        return printable(self.text) or "(empty)"


def _escape(text: str) -> str:
    """An attribute value as RFC 4514 2.4 writes it; control characters as `\\XX` pairs."""
    out = text if text.isalnum() else "".join(f"\\{c}" if c in '"+,;<>\\' else _shown(c) for c in text)
    if out.startswith((" ", "#")):
        out = "\\" + out
    if out.endswith(" ") and not out.endswith("\\ "):
        out = out[:-1] + "\\ "
    return out


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return "".join(f"\\{octet:02X}" for octet in character.encode("utf-8", "surrogatepass"))


def prepared(text: str) -> str:
    """`text` as RFC 5280 7.1 compares it: NFKC, case folded, white space trimmed and folded to one space."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _attribute(element: Element) -> Attribute:
    parts = element.expect(der.SEQUENCE).children(2)
    if len(parts) != 2:
        raise DerError("an attribute that is not a type and a value")
    kind, value = der.dotted(parts[0].expect(der.OBJECT_IDENTIFIER).content), parts[1]
    decoder = _DECODERS.get(value.tag)
    if decoder is None:
        return Attribute(kind, None, value.octets, value.octets)
    try:
        text = decoder(value.content)
    except UnicodeDecodeError:
        raise DerError(f"the attribute {kind} is not text of its string type") from None
    return Attribute(kind, text, value.octets, prepared(text))


def read_name(octets: bytes) -> DistinguishedName:
    """The name in `octets` (DER of Name). Raises DerError."""
    if len(octets) > MAX_NAME_OCTETS:
        raise DerError(f"a name of more than {MAX_NAME_OCTETS} octets")
    rdns: list[frozenset[Attribute]] = []
    left = MAX_ATTRIBUTES
    for rdn in der.read(octets).expect(der.SEQUENCE).children(MAX_ATTRIBUTES):
        attributes = rdn.expect(der.SET).children(left)
        left -= len(attributes)
        if not attributes:
            raise DerError("an empty relative distinguished name")
        rdns.append(frozenset(_attribute(attribute) for attribute in attributes))
    return DistinguishedName(octets, tuple(rdns))
