"""Pseudorandom functions and prf+ (RFC 7296 2.13, RFC 4868)."""

import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from node.errors import LocalMisuse
from node.model.registry import PrfId

#: prf+ numbers its blocks with one octet, from 1 (RFC 7296 2.13).
MAX_BLOCKS = 255

_HASHES: dict[PrfId, hashes.SHA256 | hashes.SHA384 | hashes.SHA512] = {
    PrfId.PRF_HMAC_SHA2_256: hashes.SHA256(),
    PrfId.PRF_HMAC_SHA2_384: hashes.SHA384(),
    PrfId.PRF_HMAC_SHA2_512: hashes.SHA512(),
}


def output_size(prf_id: PrfId) -> int:
    """Octets of output, which is also the preferred key size. Raises LocalMisuse for a PRF we do not have."""
    return _hash(prf_id).digest_size


def prf(prf_id: PrfId, key: bytes, data: bytes) -> bytes:
    """prf(key, data). HMAC takes keys of any size (RFC 2104)."""
    return hmac.digest(key, data, _hash(prf_id).name)


def prf_plus(prf_id: PrfId, key: bytes, seed: bytes, length: int) -> bytes:
    """The first `length` octets of prf+(key, seed) = T1 | T2 | ..., Tn = prf(key, Tn-1 | seed | n).

    Raises LocalMisuse beyond 255 blocks.
    """
    algorithm = _hash(prf_id)
    keyed = HMAC(key, algorithm)

    def block(data: bytes) -> bytes:
        # A copy of the keyed state costs a third of starting anew.
        one = keyed.copy()
        one.update(data)
        return one.finalize()

    return expand(block, seed, length, algorithm.digest_size)


def expand(function: Callable[[bytes], bytes], seed: bytes, length: int, size: int) -> bytes:
    """prf+ over any keyed function with `size` octets of output."""
    blocks = -(-length // size)
    if blocks > MAX_BLOCKS:
        raise LocalMisuse(
            f"prf+ gives at most {MAX_BLOCKS} blocks of {size} octets, {length} octets were asked for"
        )
    block, stream = b"", bytearray()
    for number in range(1, blocks + 1):
        block = function(block + seed + bytes([number]))
        stream += block
    return bytes(stream[:length])


def supported() -> frozenset[PrfId]:
    """The PRFs we have."""
    return frozenset(_HASHES)


def _hash(prf_id: PrfId) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    if prf_id not in _HASHES:
        raise LocalMisuse(f"{prf_id} is not implemented")
    return _HASHES[prf_id]
