"""The finite-field groups of RFC 3526, and all of the library's finite-field Diffie-Hellman.

The library deprecates this kind of key exchange and will drop it; everything that depends on it is in this
file, and docs/adr/0007-finite-field-dh.md says how we leave.
"""

from __future__ import annotations

import warnings
from functools import cache

from node.model.registry import KeId

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.primitives.asymmetric import dh

    # The library warns whenever one of these names is looked up; once, here, is enough.
    _ParameterNumbers, _PublicNumbers = dh.DHParameterNumbers, dh.DHPublicNumbers

#: For each group the size in bits and the k of RFC 3526: p = 2^b - 2^(b-64) - 1 + 2^64 * (floor(2^(b-130) *
#: pi) + k).
GROUPS: dict[KeId, tuple[int, int]] = {
    KeId.MODP_2048: (2048, 124476),
    KeId.MODP_3072: (3072, 1690314),
    KeId.MODP_4096: (4096, 240904),
    KeId.MODP_6144: (6144, 929484),
    KeId.MODP_8192: (8192, 4743158),
}
GENERATOR = 2
#: Bits by which pi is computed too exactly, so that the errors of its two series cannot reach the last bit.
_GUARD_BITS = 64


def size(group: KeId) -> int:
    """Octets of a public value and of the shared secret."""
    return GROUPS[group][0] // 8


@cache
def modulus(group: KeId) -> int:
    """The prime p, from the formula that defines it."""
    bits, k = GROUPS[group]
    return (1 << bits) - (1 << (bits - 64)) - 1 + ((_scaled_pi(bits - 130) + k) << 64)


def generate(group: KeId) -> dh.DHPrivateKey:
    """A fresh private key.

    Its exponent is at least twice as long as the strength of the group (RFC 3526 8).
    """
    return _parameters(group).generate_private_key()


def public_octets(private: dh.DHPrivateKey) -> bytes:
    """g^x mod p, as long as p."""
    numbers = private.public_key().public_numbers()
    return numbers.y.to_bytes(-(-numbers.parameter_numbers.p.bit_length() // 8))


def exchange(private: dh.DHPrivateKey, group: KeId, peer_public: bytes) -> bytes:
    """g^ir mod p, as long as p (RFC 7296 2.14).

    The caller has checked the peer's value. Raises ValueError where the library refuses it all the same.
    """
    numbers = _parameters(group).parameter_numbers()
    peer = _PublicNumbers(int.from_bytes(peer_public), numbers).public_key()
    return private.exchange(peer).rjust(size(group), b"\0")


@cache
def _parameters(group: KeId) -> dh.DHParameters:
    return _ParameterNumbers(modulus(group), GENERATOR).parameters()


def _scaled_pi(bits: int) -> int:
    """floor(2^bits * pi), by Machin's formula: pi = 16 arctan(1/5) - 4 arctan(1/239)."""
    unit = 1 << (bits + _GUARD_BITS)
    return (16 * _arctan_inverse(5, unit) - 4 * _arctan_inverse(239, unit)) >> _GUARD_BITS


def _arctan_inverse(x: int, unit: int) -> int:
    """unit * arctan(1/x), by its series."""
    power = total = unit // x
    n, sign = 1, 1
    while power:
        power //= x * x
        n, sign = n + 2, -sign
        total += sign * (power // n)
    return total
