"""The matrix: role x authentication x key exchange x cipher suite, as cells. Pure, and the same every time.

`covering` picks cells until every combination of values of any two (or three) factors is in one of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from lab.peers import algorithms
from lab.peers.algorithms import Suite
from lab.peers.strongswan import Auth

#: What the subject of the test is in this cell; the peer is the other.
ROLES = ("initiator", "responder")
KES = ("modp2048", "ecp256", "ecp384", "x25519")


@dataclass(frozen=True, slots=True)
class Method:
    """How both sides authenticate: what strongSwan is told, the type of the keys (empty without certificates)
    and a part of what charon, and our node, call it once they have verified it.
    """

    auth: Auth
    key_type: str
    verified: str
    ours: tuple[str, ...]

    def names(self, told: str) -> bool:
        """Whether what a side tells names this method."""
        return self.verified in told or any(name in told for name in self.ours)


METHODS: Mapping[str, Method] = {
    "rsa": Method(Auth.RSA, "rsa2048", "RSA_EMSA_PKCS1_SHA2", ("RSA with SHA-",)),
    "pss": Method(Auth.PSS, "rsa2048", "RSA_EMSA_PSS_SHA2", ("RSASSA-PSS with SHA-",)),
    "ecdsa-p256": Method(
        Auth.ECDSA, "ecdsa-p256", "ECDSA_WITH_SHA256_DER", ("ECDSA with SHA-256", "ECDSA_SHA256_P256")
    ),
    "ecdsa-p384": Method(
        Auth.ECDSA, "ecdsa-p384", "ECDSA_WITH_SHA384_DER", ("ECDSA with SHA-384", "ECDSA_SHA384_P384")
    ),
    "ed25519": Method(Auth.ED25519, "ed25519", "ED25519", ("Ed25519",)),
    "psk": Method(Auth.PSK, "", "pre-shared key", ("SHARED_KEY_MIC",)),
}
#: The IKE proposal without its key exchange, and the ESP proposal.
SUITES: Mapping[str, tuple[str, str]] = {
    "cbc": ("aes256-sha256", "aes256-sha256"),
    "gcm128": ("aes128gcm16-prfsha256", "aes128gcm16"),
    "gcm256": ("aes256gcm16-prfsha384", "aes256gcm16"),
    "chacha": ("chacha20poly1305-prfsha256", "chacha20poly1305"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    role: str
    auth: str
    ke: str
    suite: str

    @property
    def name(self) -> str:
        """As it is called in tables: `initiator-rsa-modp2048-cbc`."""
        return f"{self.role}-{self.auth}-{self.ke}-{self.suite}"

    @property
    def method(self) -> Method:
        """How both sides authenticate."""
        return METHODS[self.auth]

    @property
    def ike(self) -> str:
        """The proposal for the IKE SA."""
        return f"{SUITES[self.suite][0]}-{self.ke}"

    @property
    def esp(self) -> str:
        """The proposal for the Child SA."""
        return SUITES[self.suite][1]

    @property
    def suites(self) -> tuple[Suite, Suite]:
        """What must come out of the negotiation, for IKE and for ESP."""
        return algorithms.proposal(self.ike), algorithms.proposal(self.esp)


FACTORS: tuple[tuple[str, ...], ...] = (ROLES, tuple(METHODS), KES, tuple(SUITES))
_Mix = tuple[tuple[int, str], ...]


def matrix(strength: int = 3) -> tuple[Cell, ...]:
    """Cells in which every combination of values of any `strength` factors occurs."""
    return tuple(Cell(*values) for values in covering(FACTORS, strength))


def covering(factors: Sequence[Sequence[str]], strength: int) -> Iterator[tuple[str, ...]]:
    """Greedy: each time the first row, in the order of the product, that has most combinations of `strength`
    factors which no row before it had.
    """
    rows = list(product(*factors))
    missing = {mix for row in rows for mix in mixes(row, strength)}
    while missing:
        best = max(rows, key=lambda row: sum(mix in missing for mix in mixes(row, strength)))
        missing.difference_update(mixes(best, strength))
        yield best


def mixes(row: Sequence[str], strength: int) -> Iterator[_Mix]:
    """Every combination of `strength` values of a row, each with the number of its factor."""
    return combinations(enumerate(row), strength)
