"""The data of an AUTH payload of method 14 (RFC 7427 3).

length of the AlgorithmIdentifier (1) | AlgorithmIdentifier in DER | signature
"""

from lab.decode import der
from lab.decode.items import count, data
from lab.decode.problem import Unreadable
from lab.decode.values import Item

_NAMES = {
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    "1.2.840.113549.1.1.11": "sha256WithRSAEncryption",
    "1.2.840.113549.1.1.12": "sha384WithRSAEncryption",
    "1.2.840.113549.1.1.13": "sha512WithRSAEncryption",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.2": "ecdsa-with-SHA256",
    "1.2.840.10045.4.3.3": "ecdsa-with-SHA384",
    "1.2.840.10045.4.3.4": "ecdsa-with-SHA512",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
}
_SEQUENCE, _OID = 0x30, 0x06


def tree(octets: bytes) -> tuple[Item, ...]:
    """Algorithm and signature; the octets as they are where they are not in that form."""
    size = octets[0] if octets else 0
    identifier, signature = octets[1 : 1 + size], octets[1 + size :]
    try:
        algorithm = _algorithm(identifier)
    except Unreadable as error:
        return (data("Authentication Data", octets), Item("not in the form of RFC 7427", str(error)))
    return (
        Item("Signature Algorithm", algorithm, (data("AlgorithmIdentifier", identifier),)),
        data("Signature Value", signature),
    )


def _algorithm(octets: bytes) -> str:
    tag, start, end = der.element(octets, 0, len(octets))
    if tag != _SEQUENCE or end != len(octets):
        raise Unreadable(f"no AlgorithmIdentifier in {count(len(octets))}")
    tag, start, end = der.element(octets, start, end)
    if tag != _OID:
        raise Unreadable("an AlgorithmIdentifier without an identifier")
    dotted = der.dotted(octets[start:end])
    return f"{_NAMES[dotted]} ({dotted})" if dotted in _NAMES else dotted
