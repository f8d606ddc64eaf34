"""Suites as people write them, in the keywords of strongSwan: `aes256-sha256-modp2048`.

An IKE suite names encryption, integrity (not with AEAD), optionally the PRF (needed with AEAD), and the key
exchange: `aes256gcm16-prfsha256-x25519`. An ESP suite names encryption, integrity (not with AEAD) and
optionally a key exchange, which every rekey then has, and `esn`.
"""

from node.model.proposal import AEAD_IDS, Suite, Transform
from node.model.registry import EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType

_ENCR = {
    **{f"aes{bits}": (EncrId.ENCR_AES_CBC, bits) for bits in (128, 192, 256)},
    **{f"aes{bits}gcm16": (EncrId.ENCR_AES_GCM_16, bits) for bits in (128, 192, 256)},
    "chacha20poly1305": (EncrId.ENCR_CHACHA20_POLY1305, None),
    "null": (EncrId.ENCR_NULL, None),
}
_INTEG = {
    "sha256": IntegId.AUTH_HMAC_SHA2_256_128,
    "sha384": IntegId.AUTH_HMAC_SHA2_384_192,
    "sha512": IntegId.AUTH_HMAC_SHA2_512_256,
}
_PRF = {
    "prfsha256": PrfId.PRF_HMAC_SHA2_256,
    "prfsha384": PrfId.PRF_HMAC_SHA2_384,
    "prfsha512": PrfId.PRF_HMAC_SHA2_512,
}
_KE = {
    "modp2048": KeId.MODP_2048,
    "modp3072": KeId.MODP_3072,
    "modp4096": KeId.MODP_4096,
    "modp6144": KeId.MODP_6144,
    "modp8192": KeId.MODP_8192,
    "ecp256": KeId.ECP_256,
    "ecp384": KeId.ECP_384,
    "ecp521": KeId.ECP_521,
    "x25519": KeId.CURVE25519,
    "x448": KeId.CURVE448,
}
_ESN = {"esn": EsnId.ESN, "noesn": EsnId.NO_ESN}
_KINDS: tuple[dict[str, object], ...] = ({**_ENCR}, {**_INTEG}, {**_PRF}, {**_KE}, {**_ESN})
_NAMES = ("encryption", "integrity", "PRF", "key exchange", "ESN")


def ike_suite(text: str) -> Suite:
    """The IKE suite of such a text. Raises ValueError that names the word and what was expected."""
    encr, integ, prf, ke = _parse(text, ("encryption", "integrity", "PRF", "key exchange"))
    transform = _encryption(text, encr, integ)
    if transform.id == EncrId.ENCR_NULL:
        raise ValueError(f"{text!r}: an IKE SA is always encrypted; null is for ESP")
    if ke is None:
        raise ValueError(f"{text!r} names no key exchange; add one of {', '.join(_KE)}")
    if prf is None and integ is None:
        raise ValueError(f"{text!r} names no PRF; add one of {', '.join(_PRF)}")
    chosen = _PRF[prf or f"prf{integ}"]
    return Suite(ProtocolId.IKE, transform, _integrity(integ), prf=chosen, ke=_KE[ke])


def esp_suite(text: str) -> Suite:
    """The ESP suite of such a text. Raises ValueError that names the word and what was expected."""
    encr, integ, ke, esn = _parse(text, ("encryption", "integrity", "key exchange", "ESN"))
    transform = _encryption(text, encr, integ)
    number = _ESN[esn] if esn else EsnId.NO_ESN
    return Suite(ProtocolId.ESP, transform, _integrity(integ), ke=_KE[ke] if ke else None, esn=number)


def _parse(text: str, allowed: tuple[str, ...]) -> tuple[str | None, ...]:
    """The word of each allowed kind, None where it is absent."""
    found: dict[str, str] = {}
    for word in text.split("-"):
        kind = next((n for n, words in zip(_NAMES, _KINDS, strict=True) if word in words), None)
        if kind not in allowed:
            known = [w for n, words in zip(_NAMES, _KINDS, strict=True) if n in allowed for w in words]
            raise ValueError(f"{text!r}: {word!r} has no meaning here; known are {', '.join(known)}")
        if kind in found:
            raise ValueError(
                f"{text!r} names two {kind} algorithms, {found[kind]} and {word}; write two suites"
            )
        found[kind] = word
    return tuple(found.get(kind) for kind in allowed)


def _encryption(text: str, encr: str | None, integ: str | None) -> Transform:
    if encr is None:
        raise ValueError(f"{text!r} names no encryption; add one of {', '.join(_ENCR)}")
    number, bits = _ENCR[encr]
    if number in AEAD_IDS and integ is not None:
        raise ValueError(
            f"{text!r}: {encr} brings its own integrity; leave {integ} out (a PRF is written prf{integ})"
        )
    if number not in AEAD_IDS and integ is None:
        raise ValueError(f"{text!r}: {encr} needs an integrity algorithm; add one of {', '.join(_INTEG)}")
    return Transform(TransformType.ENCR, number, bits)


def _integrity(word: str | None) -> IntegId:
    return _INTEG[word] if word else IntegId.NONE
