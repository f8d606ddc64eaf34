"""Identities as people write them: `fqdn:responder`, `dn:CN=MyRootCA`, `rfc822:a@b.c`, `ipv4:192.0.2.1`.

Only the text form and its parts live here; DER of distinguished names and comparing with certificates belong
to `pki`.
"""

from dataclasses import dataclass

from node.model.registry import IdType

_PREFIXES = {
    "fqdn": IdType.ID_FQDN,
    "rfc822": IdType.ID_RFC822_ADDR,
    "ipv4": IdType.ID_IPV4_ADDR,
    "ipv6": IdType.ID_IPV6_ADDR,
    "dn": IdType.ID_DER_ASN1_DN,
    "keyid": IdType.ID_KEY_ID,
}


@dataclass(frozen=True, slots=True)
class IdentityText:
    """An identity's type and its text without the prefix."""

    id_type: IdType
    text: str

    def __str__(self) -> str:
        names = {number: name for name, number in _PREFIXES.items()}
        return f"{names[self.id_type]}:{self.text}"


def parse_identity(text: str) -> IdentityText:
    """Split `PREFIX:TEXT`. Raises ValueError, naming the known prefixes, where it is not of that form."""
    prefix, colon, rest = text.partition(":")
    if not colon or prefix not in _PREFIXES or not rest:
        known = ", ".join(_PREFIXES)
        raise ValueError(
            f"{text!r} is not an identity: write {known} and a colon before it, as fqdn:responder"
        )
    return IdentityText(_PREFIXES[prefix], rest)
