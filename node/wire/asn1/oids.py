"""Object identifiers of algorithms, both ways.

The founding suite keeps the labels it was founded with, two of which are registered elsewhere for something
else. Other algorithms use their registered identifier, and where none exists one under the private arc:
`ARC.transformType.transformId`, so that every number is representable.
"""

from node.model.registry import EncrId, IntegId, KeId, PrfId, TransformType

#: The private arc: a UUID, which needs no registration (ITU-T X.667).
ARC = "2.25.316453512687633851986913995263048791160"

FOUNDING_ENCR = "1.2.840.113549.3.7"
FOUNDING_INTEG = "1.2.840.113549.2.9"
FOUNDING_KE = "1.3.6.1.5.5.8.1.2"
#: The registered identifier of AES-256-CBC, accepted on receipt for FOUNDING_ENCR.
AES_256_CBC = "2.16.840.1.101.3.4.1.42"
ALIASES = {AES_256_CBC: FOUNDING_ENCR}

Algorithm = tuple[int, int, int | None]
"""Transform type, transform id, key length in bits (None: the attribute is absent)."""

_ENCR, _PRF, _INTEG, _KE = TransformType.ENCR, TransformType.PRF, TransformType.INTEG, TransformType.KE

REGISTERED: dict[Algorithm, str] = {
    (_ENCR, EncrId.ENCR_AES_CBC, 256): FOUNDING_ENCR,
    (_ENCR, EncrId.ENCR_AES_CBC, 192): "2.16.840.1.101.3.4.1.22",
    (_ENCR, EncrId.ENCR_AES_CBC, 128): "2.16.840.1.101.3.4.1.2",
    (_ENCR, EncrId.ENCR_AES_GCM_16, 256): "2.16.840.1.101.3.4.1.46",
    (_ENCR, EncrId.ENCR_AES_GCM_16, 192): "2.16.840.1.101.3.4.1.26",
    (_ENCR, EncrId.ENCR_AES_GCM_16, 128): "2.16.840.1.101.3.4.1.6",
    (_ENCR, EncrId.ENCR_CHACHA20_POLY1305, None): "1.2.840.113549.1.9.16.3.18",
    (_PRF, PrfId.PRF_HMAC_SHA2_256, None): FOUNDING_INTEG,
    (_PRF, PrfId.PRF_HMAC_SHA2_384, None): "1.2.840.113549.2.10",
    (_PRF, PrfId.PRF_HMAC_SHA2_512, None): "1.2.840.113549.2.11",
    (_INTEG, IntegId.AUTH_HMAC_SHA2_256_128, None): FOUNDING_INTEG,
    (_INTEG, IntegId.AUTH_HMAC_SHA2_384_192, None): "1.2.840.113549.2.10",
    (_INTEG, IntegId.AUTH_HMAC_SHA2_512_256, None): "1.2.840.113549.2.11",
    (_KE, KeId.MODP_2048, None): FOUNDING_KE,
    (_KE, KeId.ECP_256, None): "1.2.840.10045.3.1.7",
    (_KE, KeId.ECP_384, None): "1.3.132.0.34",
    (_KE, KeId.ECP_521, None): "1.3.132.0.35",
    (_KE, KeId.CURVE25519, None): "1.3.101.110",
    (_KE, KeId.CURVE448, None): "1.3.101.111",
}
_ALGORITHMS = {(kind, oid): (number, bits) for (kind, number, bits), oid in REGISTERED.items()}


def oid_of(kind: int, number: int, key_length: int | None = None) -> tuple[str, int | None]:
    """The identifier of a transform, and the key length that must be said beside it."""
    registered = REGISTERED.get((kind, number, key_length))
    return (registered, None) if registered else (f"{ARC}.{int(kind)}.{int(number)}", key_length)


def algorithm_of(kind: int, oid: str, key_length: int | None = None) -> tuple[int, int | None] | None:
    """Transform id and key length of an identifier of this transform type; None where it names none."""
    known = _ALGORITHMS.get((kind, ALIASES.get(oid, oid)))
    if known is not None:
        number, bits = known
        return None if key_length is not None else (number, bits)
    prefix = f"{ARC}.{int(kind)}."
    tail = oid[len(prefix) :] if oid.startswith(prefix) else ""
    return (int(tail), key_length) if tail.isascii() and tail.isdigit() and len(tail) <= 5 else None
