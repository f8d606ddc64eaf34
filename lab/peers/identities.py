"""Identities in the lab's form and in strongSwan's.

The lab's: `fqdn:a`, `rfc822:a@b`, `ipv4:10.0.0.1`, `ipv6:::1`, `dn:CN=a`.
"""

from ipaddress import IPv4Address, ip_address


def to_charon(identity: str) -> str:
    """The identity as swanctl.conf wants it. Raises ValueError where the lab has no such form.

    strongSwan guesses the type from the text; a prefix of its own makes sure for names. Addresses and
    distinguished names must do without one: with it they would be taken octet by octet.
    """
    kind, _, value = identity.partition(":")
    if any(sign in value for sign in "*^%"):
        raise ValueError(f"{identity!r} would be a pattern for strongSwan: name one identity")
    if kind in ("fqdn", "rfc822") and value:
        return identity
    if kind in ("ipv4", "ipv6"):
        return str(ip_address(value))
    if kind == "dn" and "=" in value:
        return value
    forms = "fqdn:NAME, rfc822:NAME@HOST, ipv4:ADDRESS, ipv6:ADDRESS or dn:CN=NAME"
    raise ValueError(f"{identity!r} is no identity: write {forms}")


def from_charon(text: str) -> str:
    """The identity that charon prints so, which leaves its type away; empty while it knows none."""
    if text == "%any":
        return ""
    try:
        address = ip_address(text)
    except ValueError:
        kind = "dn" if "=" in text else "rfc822" if "@" in text else "fqdn"
        return f"{kind}:{text}"
    return f"ipv{4 if isinstance(address, IPv4Address) else 6}:{address}"
