"""Keying material of the IKE SA and of Child SAs (RFC 7296 2.13, 2.14, 2.17, 2.18).

    SKEYSEED = prf(Ni | Nr, g^ir)
    SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), where the IKE SA is rekeyed
    {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
    KEYMAT   = prf+(SK_d, [g^ir (new) |] Ni | Nr)

All our PRFs are HMACs and take Ni | Nr whole; only PRFs with keys of a fixed size shorten it (RFC 7296 2.14).
"""

from dataclasses import dataclass, field
from itertools import accumulate, pairwise

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


def skeyseed(prf_id: PrfId, ni: bytes, nr: bytes, shared: Secret) -> Secret:
    """SKEYSEED of a new IKE SA from both nonces and g^ir (as long as the group's modulus)."""
    return Secret(prf(prf_id, ni + nr, shared.reveal()))


def rekeyed_skeyseed(old_prf: PrfId, sk_d: Secret, ni: bytes, nr: bytes, shared: Secret) -> Secret:
    """SKEYSEED of the IKE SA that replaces another: PRF and SK_d are those of the old one (RFC 7296 2.18)."""
    return Secret(prf(old_prf, sk_d.reveal(), shared.reveal() + ni + nr))


def derive_ike_keys(
    suite: Suite, shared: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes
) -> IkeKeys:
    """The keys of a new IKE SA from g^ir (as long as the group's modulus), both nonces and both SPIs."""
    return expand_ike_keys(suite, skeyseed(_prf_of(suite), ni, nr, shared), ni, nr, spi_i, spi_r)


def expand_ike_keys(suite: Suite, seed: Secret, ni: bytes, nr: bytes, spi_i: bytes, spi_r: bytes) -> IkeKeys:
    """The keys of an IKE SA from its SKEYSEED, the PRF being that of its own suite."""
    prf_id = _prf_of(suite)
    own, integ, encr = output_size(prf_id), integ_key_size(suite.integ), encr_key_size(suite.encr)
    sizes = (own, integ, integ, encr, encr, own, own)
    return IkeKeys(*_cut(prf_plus(prf_id, seed.reveal(), ni + nr + spi_i + spi_r, sum(sizes)), sizes))


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


def _prf_of(suite: Suite) -> PrfId:
    if suite.prf is None:
        raise LocalMisuse(f"the IKE suite {suite} has no PRF")
    return suite.prf


def _cut(stream: bytes, sizes: tuple[int, ...]) -> list[Secret]:
    edges = accumulate(sizes, initial=0)
    return [Secret(stream[start:end]) for start, end in pairwise(edges)]
