"""Algorithms by their three names: the keyword that both sides are configured with, what charon calls it in
logs and in lists of SAs, and what the node calls it in events.

    keyword        charon                     node
    aes256gcm16    AES_GCM_16_256             ENCR_AES_GCM_16_256
    sha256         HMAC_SHA2_256_128          AUTH_HMAC_SHA2_256_128
    prfsha256      PRF_HMAC_SHA2_256          PRF_HMAC_SHA2_256
    x25519         CURVE_25519                CURVE25519
    esn            EXT_SEQ                    ESN

The table has what charon can be told in a proposal, but for what RFC 9395 retires; `node` marks what the node
has as well.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Transform types, in the words of error messages."""

    ENCR = "encryption"
    INTEG = "integrity"
    PRF = "PRF"
    KE = "key exchange"
    ESN = "ESN"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm. `charon` and `iana` include the key length in bits where the algorithm has a choice."""

    kind: Kind
    keyword: str
    charon: str
    iana: str
    node: bool = False
    aead: bool = False


_BITS = (128, 192, 256)
_ICV = (8, 12, 16)


def _encryption() -> Iterator[Algorithm]:
    def one(keyword: str, charon: str, *, node: bool = False, aead: bool = False) -> Algorithm:
        return Algorithm(Kind.ENCR, keyword, charon, f"ENCR_{charon}", node, aead)

    for bits in _BITS:
        yield one(f"aes{bits}", f"AES_CBC_{bits}", node=True)
        yield one(f"aes{bits}ctr", f"AES_CTR_{bits}")
        yield one(f"aes{bits}gmac", f"NULL_AES_GMAC_{bits}", aead=True)
        yield one(f"camellia{bits}", f"CAMELLIA_CBC_{bits}")
        yield one(f"camellia{bits}ctr", f"CAMELLIA_CTR_{bits}")
        for icv in _ICV:
            yield one(f"aes{bits}gcm{icv}", f"AES_GCM_{icv}_{bits}", node=icv == 16, aead=True)
            yield one(f"aes{bits}ccm{icv}", f"AES_CCM_{icv}_{bits}", aead=True)
            yield one(f"camellia{bits}ccm{icv}", f"CAMELLIA_CCM_{icv}_{bits}", aead=True)
    yield one("chacha20poly1305", "CHACHA20_POLY1305", node=True, aead=True)
    yield one("null", "NULL", node=True)


def _named(kind: Kind, prefix: str, names: Mapping[str, str], node: Iterable[str]) -> Iterator[Algorithm]:
    ours = frozenset(node)
    for keyword, charon in names.items():
        yield Algorithm(kind, keyword, charon, prefix + charon, keyword in ours)


_INTEG = {
    "sha1": "HMAC_SHA1_96",
    "sha256": "HMAC_SHA2_256_128",
    "sha384": "HMAC_SHA2_384_192",
    "sha512": "HMAC_SHA2_512_256",
    "aesxcbc": "AES_XCBC_96",
    "aescmac": "AES_CMAC_96",
}
_PRF = {
    "prfsha1": "PRF_HMAC_SHA1",
    "prfsha256": "PRF_HMAC_SHA2_256",
    "prfsha384": "PRF_HMAC_SHA2_384",
    "prfsha512": "PRF_HMAC_SHA2_512",
    "prfaesxcbc": "PRF_AES128_XCBC",
    "prfaescmac": "PRF_AES128_CMAC",
}
_MODP = {f"modp{bits}": f"MODP_{bits}" for bits in (1024, 1536, 2048, 3072, 4096, 6144, 8192)}
_ECP = {f"ecp{bits}": f"ECP_{bits}" for bits in (192, 224, 256, 384, 521)}
_BRAINPOOL = {f"ecp{bits}bp": f"ECP_{bits}_BP" for bits in (224, 256, 384, 512)}
_SUBGROUPS = {f"modp{g}s{q}": f"MODP_{g}_{q}" for g, q in ((1024, 160), (2048, 224), (2048, 256))}
_ML_KEM = {f"mlkem{size}": f"ML_KEM_{size}" for size in (512, 768, 1024)}
_SHA2 = ("sha256", "sha384", "sha512")
_NODE_KE = (
    *(f"modp{bits}" for bits in (2048, 3072, 4096, 6144, 8192)),
    *(f"ecp{bits}" for bits in (256, 384, 521)),
)


def _algorithms() -> Iterator[Algorithm]:
    yield from _encryption()
    yield from _named(Kind.INTEG, "AUTH_", _INTEG, _SHA2)
    yield from _named(Kind.PRF, "", _PRF, [f"prf{name}" for name in _SHA2])
    yield from _named(Kind.KE, "", {**_MODP, **_ECP, **_BRAINPOOL, **_SUBGROUPS, **_ML_KEM}, _NODE_KE)
    yield Algorithm(Kind.KE, "x25519", "CURVE_25519", "CURVE25519", node=True)
    yield Algorithm(Kind.KE, "x448", "CURVE_448", "CURVE448", node=True)
    yield Algorithm(Kind.ESN, "esn", "EXT_SEQ", "ESN", node=True)
    yield Algorithm(Kind.ESN, "noesn", "NO_EXT_SEQ", "NO_ESN", node=True)


ALGORITHMS: tuple[Algorithm, ...] = tuple(_algorithms())
_BY_KEYWORD = {algorithm.keyword: algorithm for algorithm in ALGORITHMS}
_BY_CHARON = {(algorithm.kind, algorithm.charon): algorithm for algorithm in ALGORITHMS}
#: Other spellings of keywords that charon takes.
_ALIASES = {
    **{"aes": "aes128", "sha": "sha1", "curve25519": "x25519", "curve448": "x448"},
    **{f"sha2_{bits}": f"sha{bits}" for bits in (256, 384, 512)},
    **{f"aes{bits}{mode}": f"aes{bits}{mode}16" for bits in _BITS for mode in ("gcm", "ccm")},
}
_ORDER = (Kind.ENCR, Kind.INTEG, Kind.PRF, Kind.KE, Kind.ESN)
_IANA_ORDER = (Kind.ENCR, Kind.PRF, Kind.INTEG, Kind.KE, Kind.ESN)


@dataclass(frozen=True, slots=True)
class Suite:
    """The algorithms of one SA, at most one of each kind; `additional` are those of RFC 9370, in order."""

    algorithms: tuple[Algorithm, ...]
    additional: tuple[Algorithm, ...] = ()

    def of(self, kind: Kind) -> Algorithm | None:
        """The algorithm of this kind, if there is one."""
        return next((algorithm for algorithm in self.algorithms if algorithm.kind is kind), None)

    @property
    def keywords(self) -> str:
        """As a proposal; a PRF that follows from the integrity algorithm is left out, and so is `noesn`."""
        integ = self.of(Kind.INTEG)
        implied = {"noesn", f"prf{integ.keyword}" if integ else ""}
        words = [found.keyword for kind in _ORDER if (found := self.of(kind))]
        more = (f"ke{number}_{algorithm.keyword}" for number, algorithm in enumerate(self.additional, 1))
        return "-".join([*(word for word in words if word not in implied), *more])

    @property
    def iana(self) -> str:
        """As the node's events tell it."""
        names = [f.iana for kind in _IANA_ORDER if (f := self.of(kind)) and f.keyword != "noesn"]
        return "/".join([*names, *(f"KE{n}_{a.iana}" for n, a in enumerate(self.additional, 1))])

    @property
    def node(self) -> bool:
        """Whether the node can do it."""
        return all(algorithm.node for algorithm in self.algorithms) and not self.additional


def by_keyword(word: str) -> Algorithm:
    """The algorithm of a keyword or of an alias of it. Raises ValueError."""
    try:
        return _BY_KEYWORD[_ALIASES.get(word, word)]
    except KeyError:
        raise ValueError(f"{word!r} is no algorithm: write one of {', '.join(_BY_KEYWORD)}") from None


def by_charon(kind: Kind, name: str) -> Algorithm:
    """The algorithm that charon calls so, with its key length: AES_CBC_256. Raises ValueError."""
    try:
        return _BY_CHARON[kind, name]
    except KeyError:
        raise ValueError(f"charon's {kind} {name!r} is unknown: add it to lab/peers/algorithms.py") from None


def proposal(text: str) -> Suite:
    """The suite of a proposal that names one algorithm of each kind: `aes256-sha256-modp2048`.

    A PRF that is not named follows from the integrity algorithm where a key exchange is named, as in charon.
    Raises ValueError.
    """
    plain: list[Algorithm] = []
    additional: dict[int, Algorithm] = {}
    for word in text.split("-"):
        if word[:2] == "ke" and word[2:3].isdecimal() and word[3:4] == "_":
            additional[int(word[2])] = by_keyword(word[4:])
        else:
            plain.append(by_keyword(word))
    integ = next((a for a in plain if a.kind is Kind.INTEG), None)
    kinds = {algorithm.kind for algorithm in plain}
    if integ is not None and Kind.KE in kinds and Kind.PRF not in kinds:
        plain.append(by_keyword(f"prf{integ.keyword}"))
    return _suite(text, plain, additional)


def _suite(text: str, plain: list[Algorithm], additional: Mapping[int, Algorithm]) -> Suite:
    kinds = [algorithm.kind for algorithm in plain]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice is not None:
        raise ValueError(f"{text!r} names two {twice} algorithms: write two proposals")
    encr = next((a for a in plain if a.kind is Kind.ENCR), None)
    if encr is None:
        raise ValueError(f"{text!r} names no encryption: add one, as in aes256-sha256")
    if encr.aead == (Kind.INTEG in kinds):
        raise ValueError(f"{text!r}: {encr.keyword} {_INTEGRITY[encr.aead]}")
    if sorted(additional) != list(range(1, len(additional) + 1)):
        raise ValueError(f"{text!r}: additional key exchanges must be counted from ke1_ on")
    ordered = sorted(plain, key=lambda algorithm: _ORDER.index(algorithm.kind))
    return Suite(tuple(ordered), tuple(additional[number] for number in sorted(additional)))


_INTEGRITY = {
    True: "brings its own integrity: leave the other out",
    False: "needs an integrity algorithm: add one, as in aes256-sha256",
}


def from_log(text: str) -> Suite:
    """The suite of charon's `IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048`.

    Raises ValueError.
    """
    _, _, names = text.rpartition(":")
    plain: list[Algorithm] = []
    additional: dict[int, Algorithm] = {}
    for name in names.split("/"):
        if name[:2] == "KE" and name[2:3].isdecimal() and name[3:4] == "_":
            additional[int(name[2])] = by_charon(Kind.KE, name[4:])
        else:
            plain.append(_any_charon(name))
    return _suite(text, plain, additional)


def _any_charon(name: str) -> Algorithm:
    found = [algorithm for algorithm in ALGORITHMS if algorithm.charon == name]
    if len(found) != 1:
        raise ValueError(f"charon's {name!r} is unknown: add it to lab/peers/algorithms.py")
    return found[0]


def from_sa(values: Mapping[str, str]) -> Suite:
    """The suite of an SA in charon's list: `encr-alg`, `encr-keysize`, ..., `ake1`. Raises ValueError."""
    keysize = values.get("encr-keysize")
    given = {
        Kind.ENCR: values.get("encr-alg", "") + (f"_{keysize}" if keysize else ""),
        Kind.INTEG: values.get("integ-alg"),
        Kind.PRF: values.get("prf-alg"),
        Kind.KE: values.get("dh-group"),
        Kind.ESN: "EXT_SEQ" if values.get("esn") == "1" else None,
    }
    plain = [by_charon(kind, name) for kind, name in given.items() if name]
    numbers = (n for n in range(1, 8) if f"ake{n}" in values)
    additional = {n: by_charon(Kind.KE, values[f"ake{n}"]) for n in numbers}
    return _suite(str(given[Kind.ENCR]), plain, additional)
