"""Object identifiers of the algorithms: the table at the end of docs/ipseclab.asn1, read as transforms.

One algorithm has one identifier. What the table does not have is PRIVATE_ARC.type.id, and its key length
stands beside it.
"""

from dataclasses import dataclass

from lab.decode import numbers
from lab.decode.problem import Unreadable

ENCR, PRF, INTEG, KE = 1, 2, 3, 4
#: id-ipseclab, made from a random UUID (ITU-T X.667).
PRIVATE_ARC = "2.25.72626359925804047388312100943545564747"
#: id-founding-aes256-cbc, and the registered identifier that a receiver accepts for it in the field sa.
AES_256_CBC, AES_256_CBC_ALIAS = "1.2.840.113549.3.7", "2.16.840.1.101.3.4.1.42"

_TWO_OCTETS = 0xFFFF
_NIST, _RSADSI = "2.16.840.1.101.3.4", "1.2.840.113549"
_TABLE = (
    (ENCR, 12, 128, f"{_NIST}.1.2"),
    (ENCR, 12, 192, f"{_NIST}.1.22"),
    (ENCR, 12, 256, AES_256_CBC),
    (ENCR, 20, 128, f"{_NIST}.1.6"),
    (ENCR, 20, 192, f"{_NIST}.1.26"),
    (ENCR, 20, 256, f"{_NIST}.1.46"),
    (ENCR, 28, None, f"{_RSADSI}.1.9.16.3.18"),
    (PRF, 5, None, f"{_RSADSI}.2.9"),
    (PRF, 6, None, f"{_RSADSI}.2.10"),
    (PRF, 7, None, f"{_RSADSI}.2.11"),
    (INTEG, 12, None, f"{_RSADSI}.2.9"),
    (INTEG, 13, None, f"{_RSADSI}.2.10"),
    (INTEG, 14, None, f"{_RSADSI}.2.11"),
    (KE, 14, None, "1.3.6.1.5.5.8.1.2"),
    (KE, 19, None, "1.2.840.10045.3.1.7"),
    (KE, 20, None, "1.3.132.0.34"),
    (KE, 21, None, "1.3.132.0.35"),
    (KE, 28, None, "1.3.36.3.3.2.8.1.1.7"),
    (KE, 29, None, "1.3.36.3.3.2.8.1.1.11"),
    (KE, 30, None, "1.3.36.3.3.2.8.1.1.13"),
    (KE, 31, None, "1.3.101.110"),
    (KE, 32, None, "1.3.101.111"),
    (KE, 35, None, f"{_NIST}.4.1"),
    (KE, 36, None, f"{_NIST}.4.2"),
    (KE, 37, None, f"{_NIST}.4.3"),
)


@dataclass(frozen=True, slots=True)
class Transform:
    """A transform (RFC 7296 3.3.2); `bits` is the key length, None where there is none."""

    type: int
    id: int
    bits: int | None = None

    def __str__(self) -> str:
        name = numbers.named(numbers.TRANSFORMS.get(self.type, {}), self.id)
        return name if self.bits is None else f"{name}, key length {self.bits} bits"


_BY_OID = {(kind, oid): Transform(kind, number, bits) for kind, number, bits, oid in _TABLE}
_OIDS = {(kind, number, bits): oid for kind, number, bits, oid in _TABLE}


def identifier(transform: Transform) -> tuple[str, bool]:
    """The identifier of a transform, and whether it says the key length too."""
    found = _OIDS.get((transform.type, transform.id, transform.bits))
    return (found, True) if found else (f"{PRIVATE_ARC}.{transform.type}.{transform.id}", False)


def named(kind: int, oid: str) -> Transform:
    """The transform of type `kind` that an identifier names. Raises Unreadable where there is none."""
    oid = registered(oid)
    return _BY_OID.get((kind, oid)) or Transform(kind, _private(kind, oid))


def transform(kind: int, oid: str, bits: int | None = None) -> Transform:
    """The transform that an identifier and the key length beside it name.

    Raises Unreadable where there is none, or where another identifier says the same.
    """
    found = named(kind, oid)
    made = found if bits is None else Transform(kind, found.id, bits)
    written, says_length = identifier(made)
    if written != registered(oid) or (says_length and bits is not None):
        raise Unreadable(f"{oid} with key length {bits}: another identifier says this")
    return made


def also(kind: int, oid: str) -> Transform | None:
    """What an identifier means as a transform of type `kind`, where the table has that."""
    return _BY_OID.get((kind, oid))


def registered(oid: str) -> str:
    """The identifier that is written where `oid` is read."""
    return AES_256_CBC if oid == AES_256_CBC_ALIAS else oid


def _private(kind: int, oid: str) -> int:
    prefix, _, number = oid.rpartition(".")
    if prefix != f"{PRIVATE_ARC}.{kind}":
        raise Unreadable(f"{oid} names no transform of type {kind}")
    if len(number) > len(str(_TWO_OCTETS)) or int(number) > _TWO_OCTETS:
        raise Unreadable(f"{oid} names a transform above {_TWO_OCTETS}")
    return int(number)
