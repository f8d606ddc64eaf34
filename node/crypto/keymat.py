"""Keying material of the IKE SA and of Child SAs (RFC 7296 2.13, 2.14, 2.17).

    SKEYSEED = prf(Ni | Nr, g^ir)
    {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
    KEYMAT   = prf+(SK_d, [g^ir (new) |] Ni | Nr)

All our PRFs are HMACs and take Ni | Nr whole; only PRFs with keys of a fixed size shorten it (RFC 7296 2.14).
"""

from dataclasses import dataclass, field
from itertools import pairwise

from node.crypto.aead import encr_key_size, integ_key_size
from node.crypto.prf import output_size, prf, prf_plus
from node.errors import LocalMisuse
from node.model.child import DirectionKeys
from node.model.proposal import Suite
from node.model.registry import PrfId
from node.model.secret import Secret


@dataclass(frozen=True, slots=True)
class IkeKeys:
    """The seven keys of an IKE SA. SK_a are empty with AEAD transforms, whose SK_e end with the salt."""

    sk_d: Secret
    sk_ai: Secret
    sk_ar: Secret
    sk_ei: Secret
    sk_er: Secret
    sk_pi: Secret
    sk_pr: Secret


@dataclass(frozen=True, slots=True)
class ChildKeys:
    """Keys for the packets that the exchange's initiator sends, and for those its responder sends."""

    initiator: DirectionKeys = field(repr=False)
    responder: DirectionKeys = field(repr=False)


def derive_ike_keys(
    suite: Suite, shared: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """The keys of a new IKE SA from g^ir (as long as the group's modulus), both nonces and both SPIs."""
    if suite.prf is None:
        raise LocalMisuse(f"the IKE suite {suite} has no PRF")
    skeyseed = prf(suite.prf, ni + nr, shared.reveal())
    own, integ, encr = output_size(suite.prf), integ_key_size(suite.integ), encr_key_size(suite.encr)
    sizes = (own, integ, integ, encr, encr, own, own)
    return IkeKeys(*_cut(prf_plus(suite.prf, skeyseed, ni + nr + spi_i + spi_r, sum(sizes)), sizes))


def derive_child_keys(
    suite: Suite, prf_id: PrfId, sk_d: Secret, ni: bytes, nr: bytes, shared: Secret | None = None
) -> ChildKeys:
    """The keys of a Child SA: initiator's direction first, in each direction encryption before integrity.

    `shared` is the result of a new key exchange, if there was one.
    """
    integ, encr = integ_key_size(suite.integ), encr_key_size(suite.encr)
    sizes = (encr, integ, encr, integ)
    seed = (shared.reveal() if shared else b"") + ni + nr
    one, two, three, four = _cut(prf_plus(prf_id, sk_d.reveal(), seed, sum(sizes)), sizes)
    return ChildKeys(DirectionKeys(one, two), DirectionKeys(three, four))


def _cut(stream: bytes, sizes: tuple[int, ...]) -> list[Secret]:
    edges = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    return [Secret(stream[start:end]) for start, end in pairwise(edges)]
