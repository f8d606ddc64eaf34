"""Key exchange methods (RFC 7296 3.4; RFC 3526, 5903, 8031), with the checks of RFC 6989.

Rules:

1. A public value is checked for its length and range before any library sees it.
2. A key pair serves one exchange.
3. Finite-field groups live in `modp` alone, because the library is about to drop them (docs/adr).
"""

from collections.abc import Callable
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x448 import X448PrivateKey, X448PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from node.crypto import modp
from node.errors import DropReason, LocalMisuse, PeerMisbehaved
from node.model.registry import KeId
from node.model.secret import Secret


class KeyPair(Protocol):
    """An ephemeral key pair: the group, our public value in its wire form, and the exchange."""

    group: KeId
    public: bytes

    def shared(self, peer_public: bytes) -> Secret:
        """The shared secret g^ir in its wire form. Raises PeerMisbehaved (BAD_KE)."""
        ...


class _Modp:
    __slots__ = ("_private", "group", "public")

    def __init__(self, group: KeId) -> None:
        self.group = group
        self._private = modp.generate(group)
        self.public = modp.public_octets(self._private)

    def shared(self, peer_public: bytes) -> Secret:
        check_public(self.group, peer_public)
        try:
            return Secret(modp.exchange(self._private, self.group, peer_public))
        except ValueError:
            # Versions of OpenSSL differ in which values inside the range they refuse.
            raise _bad(self.group, "the library refuses it") from None


class _Ecp:
    """The wire form is x | y without a prefix; the shared secret is the x coordinate (RFC 5903 7)."""

    __slots__ = ("_private", "group", "public")

    def __init__(self, group: KeId) -> None:
        self.group = group
        self._private = ec.generate_private_key(_ECP[group]())
        numbers, size = self._private.public_key().public_numbers(), public_size(group) // 2
        self.public = numbers.x.to_bytes(size) + numbers.y.to_bytes(size)

    def shared(self, peer_public: bytes) -> Secret:
        return Secret(self._private.exchange(ec.ECDH(), _point(self.group, peer_public)))


class _Curve:
    """X25519 and X448.

    An all-zero result means a point of low order and is refused (RFC 7748 6, RFC 8031 2).
    """

    __slots__ = ("_exchange", "group", "public")

    def __init__(self, group: KeId) -> None:
        self.group = group
        self.public, self._exchange = _x25519() if group == KeId.CURVE25519 else _x448()

    def shared(self, peer_public: bytes) -> Secret:
        _check_size(self.group, peer_public)
        try:
            return Secret(self._exchange(peer_public))
        except ValueError:
            raise _bad(self.group, "a point of low order") from None


def _x25519() -> tuple[bytes, Callable[[bytes], bytes]]:
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return public, lambda peer: private.exchange(X25519PublicKey.from_public_bytes(peer))


def _x448() -> tuple[bytes, Callable[[bytes], bytes]]:
    private = X448PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return public, lambda peer: private.exchange(X448PublicKey.from_public_bytes(peer))


_ECP: dict[KeId, type[ec.EllipticCurve]] = {
    KeId.ECP_256: ec.SECP256R1,
    KeId.ECP_384: ec.SECP384R1,
    KeId.ECP_521: ec.SECP521R1,
}
_SIZES = {
    **{group: modp.size(group) for group in modp.GROUPS},
    KeId.ECP_256: 64,
    KeId.ECP_384: 96,
    KeId.ECP_521: 132,
    KeId.CURVE25519: 32,
    KeId.CURVE448: 56,
}

_P25519, _P448 = 2**255 - 19, 2**448 - 2**224 - 1
#: u coordinates of low order, 8 at most, on the curve and on its twist, p and p + 1 being 0 and 1 once more:
#: with each of them, and no other, every exchange gives zero (RFC 7748 5, 6: scalars are multiples of the
#: cofactor).
_LOW_ORDER: dict[KeId, frozenset[int]] = {
    KeId.CURVE25519: frozenset(
        {
            *(0, 1, _P25519 - 1, _P25519, _P25519 + 1),
            325606250916557431795983626356110631294008115727848805560023387167927233504,
            39382357235489614581723060781553021112529911719440698176882885853963445705823,
        }
    ),
    KeId.CURVE448: frozenset({0, 1, _P448 - 1, _P448, _P448 + 1}),
}


def supported() -> frozenset[KeId]:
    """The methods we have."""
    return frozenset(_SIZES)


def public_size(group: KeId) -> int:
    """Octets of a public value. Raises LocalMisuse for a method we do not have."""
    if group not in _SIZES:
        raise LocalMisuse(f"the key exchange method {group} is not implemented")
    return _SIZES[group]


def generate(group: KeId) -> KeyPair:
    """A fresh key pair. Raises LocalMisuse for a method we do not have."""
    public_size(group)
    if group in modp.GROUPS:
        return _Modp(group)
    return _Ecp(group) if group in _ECP else _Curve(group)


def check_public(group: KeId, octets: bytes) -> None:
    """The checks of RFC 6989 2 on a peer's public value. Raises PeerMisbehaved (BAD_KE).

    MODP: the exact length and 1 < value < p - 1. ECP: the exact length and a point on the curve. Curve25519
    and Curve448: the exact length and no low order.
    """
    _check_size(group, octets)
    if group in modp.GROUPS and not 1 < int.from_bytes(octets) < modp.modulus(group) - 1:
        raise _bad(group, "out of range")
    if group in _ECP:
        _point(group, octets)
    if group in _LOW_ORDER and _coordinate(group, octets) in _LOW_ORDER[group]:
        raise _bad(group, "a point of low order")


def _check_size(group: KeId, octets: bytes) -> None:
    if len(octets) != public_size(group):
        raise _bad(group, f"{len(octets)} octets, {public_size(group)} are right")


def _coordinate(group: KeId, octets: bytes) -> int:
    """u of Curve25519 or Curve448: little-endian, and X25519 ignores the highest bit (RFC 7748 5)."""
    u = int.from_bytes(octets, "little")
    return u & (2**255 - 1) if group == KeId.CURVE25519 else u


def _point(group: KeId, octets: bytes) -> ec.EllipticCurvePublicKey:
    _check_size(group, octets)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_ECP[group](), b"\x04" + octets)
    except ValueError:
        raise _bad(group, "not a point on the curve") from None


def _bad(group: KeId, detail: str) -> PeerMisbehaved:
    return PeerMisbehaved(DropReason.BAD_KE, f"a public value of {group} is refused: {detail}")
