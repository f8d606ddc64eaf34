"""Object identifiers of the algorithms (the table in docs/ipseclab.asn1).

Rules:

1. One identifier for each algorithm, and one algorithm of a transform type for each identifier.
2. What is not in the table is PRIVATE_ARC.type.id, so that every number can be written.
"""

from cryptography.x509 import ObjectIdentifier

from node.model.proposal import Transform
from node.model.registry import EncrId, IntegId, KeId, PrfId, TransformType
from node.wire.asn1.limits import TWO_OCTETS
from node.wire.asn1.misfit import Misfit, not_canonical

#: The module's own arc, made from a random UUID (ITU-T X.667), which needs no registration.
PRIVATE_ARC = "2.25.72626359925804047388312100943545564747"

#: Labels of the founding suite. The first and the third are registered for other algorithms (des-EDE3-CBC and
#: HMAC-SHA1): here they mean these.
AES_256_CBC = ObjectIdentifier("1.2.840.113549.3.7")
HMAC_SHA2_256 = ObjectIdentifier("1.2.840.113549.2.9")
MODP_2048 = ObjectIdentifier("1.3.6.1.5.5.8.1.2")
#: The registered identifier of AES-256-CBC: read, never written.
AES_256_CBC_ALIAS = ObjectIdentifier("2.16.840.1.101.3.4.1.42")

_AES = "2.16.840.1.101.3.4.1"
_HMAC = "1.2.840.113549.2"
_BRAINPOOL = "1.3.36.3.3.2.8.1.1"
_ML_KEM = "2.16.840.1.101.3.4.4"

_E, _P, _I, _K = TransformType.ENCR, TransformType.PRF, TransformType.INTEG, TransformType.KE

_TABLE: dict[tuple[TransformType, int, int | None], ObjectIdentifier] = {
    (_E, EncrId.ENCR_AES_CBC, 128): ObjectIdentifier(f"{_AES}.2"),
    (_E, EncrId.ENCR_AES_CBC, 192): ObjectIdentifier(f"{_AES}.22"),
    (_E, EncrId.ENCR_AES_CBC, 256): AES_256_CBC,
    (_E, EncrId.ENCR_AES_GCM_16, 128): ObjectIdentifier(f"{_AES}.6"),
    (_E, EncrId.ENCR_AES_GCM_16, 192): ObjectIdentifier(f"{_AES}.26"),
    (_E, EncrId.ENCR_AES_GCM_16, 256): ObjectIdentifier(f"{_AES}.46"),
    (_E, EncrId.ENCR_CHACHA20_POLY1305, None): ObjectIdentifier("1.2.840.113549.1.9.16.3.18"),
    (_P, PrfId.PRF_HMAC_SHA2_256, None): HMAC_SHA2_256,
    (_P, PrfId.PRF_HMAC_SHA2_384, None): ObjectIdentifier(f"{_HMAC}.10"),
    (_P, PrfId.PRF_HMAC_SHA2_512, None): ObjectIdentifier(f"{_HMAC}.11"),
    (_I, IntegId.AUTH_HMAC_SHA2_256_128, None): HMAC_SHA2_256,
    (_I, IntegId.AUTH_HMAC_SHA2_384_192, None): ObjectIdentifier(f"{_HMAC}.10"),
    (_I, IntegId.AUTH_HMAC_SHA2_512_256, None): ObjectIdentifier(f"{_HMAC}.11"),
    (_K, KeId.MODP_2048, None): MODP_2048,
    (_K, KeId.ECP_256, None): ObjectIdentifier("1.2.840.10045.3.1.7"),
    (_K, KeId.ECP_384, None): ObjectIdentifier("1.3.132.0.34"),
    (_K, KeId.ECP_521, None): ObjectIdentifier("1.3.132.0.35"),
    (_K, 28, None): ObjectIdentifier(f"{_BRAINPOOL}.7"),  # brainpoolP256r1 (RFC 6954)
    (_K, 29, None): ObjectIdentifier(f"{_BRAINPOOL}.11"),  # brainpoolP384r1
    (_K, 30, None): ObjectIdentifier(f"{_BRAINPOOL}.13"),  # brainpoolP512r1
    (_K, KeId.CURVE25519, None): ObjectIdentifier("1.3.101.110"),
    (_K, KeId.CURVE448, None): ObjectIdentifier("1.3.101.111"),
    (_K, 35, None): ObjectIdentifier(f"{_ML_KEM}.1"),  # ML-KEM-512
    (_K, 36, None): ObjectIdentifier(f"{_ML_KEM}.2"),  # ML-KEM-768
    (_K, 37, None): ObjectIdentifier(f"{_ML_KEM}.3"),  # ML-KEM-1024
}
_ALGORITHMS = {(kind, oid): Transform(kind, number, length) for (kind, number, length), oid in _TABLE.items()}

#: The PRF that an identifier names beside the integrity transform.
PRF_OF = {oid: transform for (kind, oid), transform in _ALGORITHMS.items() if kind == TransformType.PRF}


def private(kind: TransformType, number: int) -> ObjectIdentifier:
    """PRIVATE_ARC.type.id; id 0 stands for no transform of that type."""
    return ObjectIdentifier(f"{PRIVATE_ARC}.{int(kind)}.{int(number)}")


#: What a founding field holds where the proposal has no transform of its type.
NO_ALGORITHM = {kind: private(kind, 0) for kind in (_E, _I, _K)}


def identifier(kind: TransformType, number: int, key_length: int | None) -> tuple[ObjectIdentifier, bool]:
    """The identifier of an algorithm, and whether it also says the key length."""
    found = _TABLE.get((kind, number, key_length))
    if found is not None:
        return found, True
    return private(kind, number), False


def algorithm(kind: TransformType, oid: ObjectIdentifier, path: str) -> Transform:
    """The algorithm of transform type `kind` that `oid` names. Raises Misfit where the table has none."""
    found = _ALGORITHMS.get((kind, AES_256_CBC if oid == AES_256_CBC_ALIAS else oid))
    return found if found is not None else Transform(kind, _private_number(kind, oid, path))


def group(oid: ObjectIdentifier, path: str) -> KeId:
    """The key exchange method that `oid` names. Raises Misfit also where it has an identifier of its own."""
    number = algorithm(_K, oid, path).id
    if identifier(_K, number, None)[0] != oid:
        raise not_canonical(path, "a private identifier of a method that has one in the table")
    return KeId.of(number)


def _private_number(kind: TransformType, oid: ObjectIdentifier, path: str) -> int:
    prefix, _, number = oid.dotted_string.rpartition(".")
    if prefix != f"{PRIVATE_ARC}.{int(kind)}":
        raise Misfit(path, f"an identifier that names no transform of type {int(kind)}")
    if len(number) > len(str(TWO_OCTETS)) or int(number) > TWO_OCTETS:
        raise Misfit(path, f"a transform ID above {TWO_OCTETS}")
    return int(number)
