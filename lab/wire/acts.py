"""What each act does to a datagram on its way: a change of a `Parcel`, which the engine then carries out.

1. An act works on the datagram itself and sees what earlier faults made of it. Copies that an earlier fault
   made are finished: later faults do not touch them, and a drop does not take them back.
2. Each returns a detail for the event, what it did in particular, or raises NoEffect.
3. Acts that are about more than the datagram (rebind, flood) are the engine's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from lab.wire.dice import Turn
from lab.wire.faults import Act, Fault
from lab.wire.identity import Identity
from lab.wire.profiles import Profile


class NoEffect(Exception):
    """The act could do nothing to this datagram; the text says why."""


@dataclass(frozen=True, slots=True)
class Copy:
    """Octets that are sent besides the datagram itself, `seconds` later; `back`: to its sender."""

    octets: bytes = field(repr=False)
    what: str
    seconds: float = 0
    back: bool = False


@dataclass(frozen=True, slots=True)
class Junk:
    """So many forged messages are sent before the datagram."""

    count: int
    random: Random


@dataclass(slots=True)
class Parcel:
    """A datagram and what the faults have decided about it so far."""

    original: bytes
    identity: Identity
    profile: Profile
    #: Its octets now.
    octets: bytes = field(init=False)
    #: What was done to it, for the comment of its packet; and how its octets were changed.
    done: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    dropped: bool = False
    #: Seconds to wait, and the number of later datagrams to wait for (0: none).
    delay: float = 0
    within: int = 0
    copies: list[Copy] = field(default_factory=list)
    junk: Junk | None = None

    def __post_init__(self) -> None:
        self.octets = self.original


def apply(turn: Turn, parcel: Parcel) -> str:
    """Let a fault act on a datagram; returns the detail. Raises NoEffect."""
    return _ACTS[turn.fault.act](turn, parcel)


def _drop(_turn: Turn, parcel: Parcel) -> str:
    parcel.dropped = True
    return ""


def _duplicate(turn: Turn, parcel: Parcel) -> str:
    parcel.copies += [Copy(parcel.octets, _copy_of(parcel, "copy"))] * turn.fault.copies
    return _times(turn.fault.copies)


def _replay(turn: Turn, parcel: Parcel) -> str:
    fault = turn.fault
    parcel.copies += [Copy(parcel.octets, _copy_of(parcel, "replayed copy"), fault.seconds)] * fault.copies
    return f"{_times(fault.copies)}, {fault.seconds:g} s later"


def _reflect(_turn: Turn, parcel: Parcel) -> str:
    parcel.copies.append(Copy(parcel.octets, _copy_of(parcel, "reflected copy"), back=True))
    return "to its sender"


def _copy_of(parcel: Parcel, word: str) -> str:
    return ", ".join([*parcel.changed, word])


def _reorder(turn: Turn, parcel: Parcel) -> str:
    parcel.within = turn.fault.within
    return f"behind the next {parcel.within}"


def _delay(turn: Turn, parcel: Parcel) -> str:
    fault = turn.fault
    jitter = turn.random.uniform(-fault.jitter, fault.jitter) if fault.jitter else 0.0
    parcel.delay += max(0.0, fault.seconds + jitter)
    return f"{parcel.delay:.3f} s"


def _corrupt(turn: Turn, parcel: Parcel) -> str:
    if turn.fault.octet is None:
        octets, detail = _flip(parcel.octets, turn.fault.bits, turn.random)
    else:
        octets, detail = _mask(parcel.octets, turn.fault)
    return _change(parcel, "corrupted", octets, detail)


def _flip(octets: bytes, bits: int, random: Random) -> tuple[bytes, str]:
    total = len(octets) * 8
    if not total:
        raise NoEffect("it has no octets")
    chosen = random.sample(range(total), min(bits, total))
    changed = bytearray(octets)
    for bit in chosen:
        changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed), f"{'bit' if len(chosen) == 1 else 'bits'} {', '.join(map(str, sorted(chosen)))}"


def _mask(octets: bytes, fault: Fault) -> tuple[bytes, str]:
    at = fault.octet or 0
    if not -len(octets) <= at < len(octets):
        raise NoEffect(f"it has no octet {at}")
    changed = bytearray(octets)
    changed[at] ^= fault.mask
    return bytes(changed), f"octet {at} with 0x{fault.mask:02x}"


def _truncate(turn: Turn, parcel: Parcel) -> str:
    size, left = len(parcel.octets), turn.fault.octets
    if left >= size:
        raise NoEffect(f"it has only {size} octets")
    return _change(parcel, "truncated", parcel.octets[:left], f"{size} to {left} octets")


def _downgrade(_turn: Turn, parcel: Parcel) -> str:
    octets = parcel.profile.downgrade(parcel.octets) if parcel.identity.opens else None
    if octets is None:
        raise NoEffect("it is no IKE_SA_INIT request with an offer")
    if octets == parcel.octets:
        raise NoEffect("it offers nothing else")
    return _change(parcel, "downgraded", octets, f"{len(parcel.octets)} to {len(octets)} octets")


def _change(parcel: Parcel, how: str, octets: bytes, detail: str) -> str:
    parcel.octets = octets
    parcel.changed.append(how)
    return detail


def _junk(turn: Turn, parcel: Parcel) -> str:
    if parcel.profile.junk(parcel.original, Random(0)) is None:
        raise NoEffect("its header cannot be read")
    parcel.junk = Junk(turn.fault.count, turn.random)
    return _times(turn.fault.count)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


_ACTS: Mapping[Act, Callable[[Turn, Parcel], str]] = {
    Act.DROP: _drop,
    Act.DUPLICATE: _duplicate,
    Act.REORDER: _reorder,
    Act.DELAY: _delay,
    Act.CORRUPT: _corrupt,
    Act.TRUNCATE: _truncate,
    Act.REPLAY: _replay,
    Act.REFLECT: _reflect,
    Act.DOWNGRADE: _downgrade,
    Act.JUNK: _junk,
}
#: Acts that keep octets for later, and so need room among what is held back.
HOLDING = frozenset({Act.REORDER, Act.DELAY, Act.REPLAY, Act.JUNK})
