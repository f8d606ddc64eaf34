"""Proposals (RFC 7296 3.3) and the pure function that chooses one (RFC 7296 2.7).

Rules:

1. A `Proposal` is what was sent, in the order it was sent, unknown transforms and attributes included.
2. A `Suite` is what was chosen: exactly one transform of each needed type.
3. Choosing follows the responder's own order of preference; nothing outside the local policy is ever chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.model.registry import EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType

#: Encryption transforms that bring their own integrity: INTEG is absent or NONE (RFC 5282 8, RFC 7296 3.3).
AEAD_IDS = frozenset({EncrId.ENCR_AES_GCM_16, EncrId.ENCR_CHACHA20_POLY1305})


@dataclass(frozen=True, slots=True)
class Attribute:
    """A transform attribute (RFC 7296 3.3.5): type 0 to 32767 and its value octets.

    `short` says which of the two formats it had on the wire (TV, two octets, or TLV), so that it survives.
    """

    type: int
    value: bytes
    short: bool = False


@dataclass(frozen=True, slots=True)
class Transform:
    """One transform. `key_length` is in bits, None where the attribute is absent.

    `others` are attributes without a meaning here; a transform that carries any is never chosen (RFC 7296
    3.3.6).
    """

    type: TransformType
    id: int
    key_length: int | None = None
    others: tuple[Attribute, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal: number 1 to 255, protocol, SPI (empty, 4 or 8 octets) and the transforms in order."""

    number: int
    protocol: ProtocolId
    spi: bytes
    transforms: tuple[Transform, ...]

    def of(self, kind: TransformType) -> tuple[Transform, ...]:
        """The transforms of one type, in the order they were sent."""
        return tuple(t for t in self.transforms if t.type == kind)


@dataclass(frozen=True, slots=True)
class Suite:
    """The chosen algorithms of one SA. For ESP `prf` is None; `ke` is None without a key exchange.

    `transforms` are the same as the transforms of a proposal, in the order of the transform types.
    """

    protocol: ProtocolId
    encr: Transform
    integ: IntegId = IntegId.NONE
    prf: PrfId | None = None
    ke: KeId | None = None
    esn: EsnId | None = None
    transforms: tuple[Transform, ...] = field(init=False, compare=False, repr=False)
    _text: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        others = (
            (TransformType.PRF, self.prf),
            (TransformType.INTEG, self.integ or None),
            (TransformType.KE, self.ke),
            (TransformType.ESN, self.esn),
        )
        chosen = (Transform(kind, number) for kind, number in others if number is not None)
        object.__setattr__(self, "transforms", (self.encr, *chosen))
        object.__setattr__(self, "_text", self._names())

    def __str__(self) -> str:
        return self._text

    def _names(self) -> str:
        names = [str(EncrId(self.encr.id)) + (f"_{self.encr.key_length}" if self.encr.key_length else "")]
        names += [str(x) for x in (self.prf, self.integ or None, self.ke) if x is not None]
        if self.esn is not None and self.esn != EsnId.NO_ESN:
            names.append(str(self.esn))
        return "/".join(names)


@dataclass(frozen=True, slots=True)
class Choice:
    """Outcome of a negotiation: the suite, and the proposal of the offer it came from (number and SPI)."""

    suite: Suite
    number: int
    spi: bytes = field(default=b"")


def offer(suites: Sequence[Suite], spi: bytes = b"") -> tuple[Proposal, ...]:
    """The proposals that offer `suites`, numbered from 1 in order of preference."""
    return tuple(Proposal(n, s.protocol, spi, s.transforms) for n, s in enumerate(suites, start=1))


def select(offered: Sequence[Proposal], acceptable: Sequence[Suite]) -> Choice | None:
    """Choose the first of our `acceptable` suites that some offered proposal contains, or None.

    Within one of our suites the peer's order of proposals decides. A proposal that carries a transform type
    we do not know, or lacks one the suite needs, does not match (RFC 7296 2.7, 3.3.6).
    """
    for suite in acceptable:
        for proposal in offered:
            if _contains(proposal, suite):
                return Choice(suite, proposal.number, proposal.spi)
    return None


def accept(answer: Sequence[Proposal], offered: Sequence[Suite]) -> Choice | None:
    """Check the responder's answer: one proposal, one transform of each type, and all of it offered by us.

    The number must be that of our proposal (RFC 7296 3.3.1); None where any of it does not hold.
    """
    if len(answer) != 1:
        return None
    chosen = answer[0]
    if not 1 <= chosen.number <= len(offered):
        return None
    suite = offered[chosen.number - 1]
    single = len({t.type for t in chosen.transforms}) == len(chosen.transforms)
    return Choice(suite, chosen.number, chosen.spi) if single and _contains(chosen, suite) else None


def _contains(proposal: Proposal, suite: Suite) -> bool:
    if proposal.protocol != suite.protocol or any(w not in proposal.transforms for w in suite.transforms):
        return False
    surplus = {t.type for t in proposal.transforms} - {w.type for w in suite.transforms}
    return not surplus or surplus <= _neutral_types(proposal, suite)


def _neutral_types(proposal: Proposal, suite: Suite) -> set[TransformType]:
    """Transform types the suite does not use but may be offered with the value NONE."""
    neutral = set()
    for kind, unused in (
        (TransformType.INTEG, suite.integ == IntegId.NONE),
        (TransformType.KE, suite.ke is None),
    ):
        if unused and any(t.id == 0 for t in proposal.of(kind)):
            neutral.add(kind)
    return neutral
