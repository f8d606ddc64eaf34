"""Faults as values, and how they are written: mappings of a scenario or of `ctl set`, strictly read.

docs/faults.md has the grammar with an example for each act; this module is the table behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lab.wire import patterns
from lab.wire.patterns import Pattern
from lab.wire.problems import ConfigError, suggestion

#: More faults than these are a mistake, and each costs time for every datagram.
MAX_FAULTS = 64


class Act(StrEnum):
    """What is done to a datagram."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    DELAY = "delay"
    CORRUPT = "corrupt"
    TRUNCATE = "truncate"
    REPLAY = "replay"
    REFLECT = "reflect"
    REBIND = "rebind"
    DOWNGRADE = "downgrade"
    JUNK = "junk"
    FLOOD = "flood"


@dataclass(frozen=True, slots=True)
class Setting:
    """A number that an act takes: bounds, whether it may have a fraction, and what it is when left out."""

    low: float
    high: float
    default: float | None = None
    whole: bool = True
    #: The act makes no sense without it.
    required: bool = False
    #: `high` is meant, `low` is not.
    above: bool = False


#: Settings of every act.
COMMON: Mapping[str, Setting] = {
    "times": Setting(1, 1_000_000_000),
    "skip": Setting(0, 1_000_000_000, 0),
    "chance": Setting(0, 100, 100, whole=False, above=True),
}
_COPIES = Setting(1, 100, 1)
#: Seconds that a datagram is ever held back: labs live for minutes.
_LONGEST = 600

#: Settings of each act.
SETTINGS: Mapping[Act, Mapping[str, Setting]] = {
    Act.DROP: {},
    Act.DUPLICATE: {"copies": _COPIES},
    Act.REORDER: {"within": Setting(1, 100, 3)},
    Act.DELAY: {
        "seconds": Setting(0, _LONGEST, whole=False, required=True),
        "jitter": Setting(0, _LONGEST, 0, whole=False),
    },
    Act.CORRUPT: {
        "octet": Setting(-65_535, 65_534),
        "mask": Setting(1, 255),
        "bits": Setting(1, 64),
    },
    Act.TRUNCATE: {"octets": Setting(0, 65_534, required=True)},
    Act.REPLAY: {"copies": _COPIES, "seconds": Setting(0, _LONGEST, 1, whole=False)},
    Act.REFLECT: {},
    Act.REBIND: {},
    Act.DOWNGRADE: {},
    Act.JUNK: {"count": Setting(1, 10_000, 10)},
    Act.FLOOD: {
        "count": Setting(1, 1_000_000, 100),
        "seconds": Setting(0, _LONGEST, 1, whole=False),
    },
}
_ONCE = frozenset({Act.JUNK, Act.FLOOD, Act.REBIND, Act.REPLAY})
#: What `corrupt` does where nothing is said, or no mask: one random bit; all bits of that octet.
_BITS, _MASK = 1, 0xFF


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `times` None: without limit; `chance` in percent; `octet` None: random `bits`.

    Numbers that its act does not take have no meaning.
    """

    act: Act
    match: Pattern
    times: int | None = None
    skip: int = 0
    chance: float = 100
    copies: int = 1
    within: int = 3
    seconds: float = 0
    jitter: float = 0
    octet: int | None = None
    mask: int = _MASK
    bits: int = _BITS
    octets: int = 0
    count: int = 0
    text: str = ""

    def __str__(self) -> str:
        """`drop IKE_AUTH response 1, times 1`: act, pattern, and the settings that were given."""
        return self.text


def read_all(values: object, names: Collection[str] | None = None) -> tuple[Fault, ...]:
    """The faults of a list. Raises ConfigError, its path below the list.

    `names` are those of all nodes; None where they are not known: then any name is good.
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise ConfigError((), f"{values!r:.80} is no list of faults")
    if len(values) > MAX_FAULTS:
        raise ConfigError((), f"{len(values)} faults; at most {MAX_FAULTS} are allowed")
    found = []
    for index, value in enumerate(values):
        try:
            found.append(read(value, names))
        except ConfigError as error:
            raise error.below(index) from None
    return tuple(found)


def read(value: object, names: Collection[str] | None = None) -> Fault:
    """The fault that a mapping describes. Raises ConfigError, its path below the mapping."""
    if not isinstance(value, Mapping):
        raise ConfigError((), f"{value!r:.80} is no mapping with `act` and `match`")
    act = _act(value)
    allowed = {**COMMON, **SETTINGS[act]}
    for key in value:
        if key not in ("act", "match", *allowed):
            hint = suggestion(str(key), ("match", *allowed))
            raise ConfigError((str(key),), f"{act} has no setting {key!r}{hint}")
    match = _match(value.get("match", "any"), act, names)
    given = {key: _number(key, value[key], allowed[key]) for key in allowed if key in value}
    _check_together(act, given, allowed)
    defaults = {key: s.default for key, s in allowed.items() if s.default is not None}
    once = {"times": 1} if act in _ONCE else {}
    settings: dict[str, Any] = {**defaults, **once, **given}
    return Fault(act, match, **settings, text=_text(act, match, given))


def _act(value: Mapping[Any, Any]) -> Act:
    if "act" not in value:
        raise ConfigError(("act",), f"is missing; allowed are {', '.join(Act)}")
    word = value["act"]
    if not isinstance(word, str) or word not in tuple(Act):
        raise ConfigError(("act",), f"unknown act {word!r:.80}{suggestion(str(word), Act)}")
    return Act(word)


def _match(text: object, act: Act, names: Collection[str] | None) -> Pattern:
    try:
        match = patterns.read(text, names)
    except ConfigError as error:
        raise error.below("match") from None
    if match.start and act is not Act.FLOOD:
        raise ConfigError(("match",), f"'start' has no datagram to {act}; only flood can begin there")
    return match


def _number(key: str, value: object, setting: Setting) -> float:
    kinds = "a whole number" if setting.whole else "a number"
    low, high = f"{setting.low:,}", f"{setting.high:,}"
    allowed = f"above {low}, at most {high}" if setting.above else f"from {low} to {high}"
    is_number = isinstance(value, int if setting.whole else int | float) and not isinstance(value, bool)
    # A NaN is in no range.
    if not is_number or not setting.low <= value <= setting.high:  # type: ignore[operator]
        raise ConfigError((key,), f"{value!r:.80} is not {kinds} {allowed}")
    if setting.above and value == setting.low:
        raise ConfigError((key,), f"{value!r} is not {kinds} {allowed}")
    return value  # type: ignore[return-value]


def _check_together(act: Act, given: Mapping[str, float], allowed: Mapping[str, Setting]) -> None:
    for key, setting in allowed.items():
        if setting.required and key not in given:
            raise ConfigError((key,), f"is missing; {act} needs it")
    if act is Act.CORRUPT:
        if "mask" in given and "octet" not in given:
            raise ConfigError(("mask",), "needs `octet`, the offset of what it changes")
        if "bits" in given and "octet" in given:
            raise ConfigError(("bits",), "is for random places; with `octet` there is `mask`")


def _text(act: Act, match: Pattern, given: Mapping[str, float]) -> str:
    return ", ".join([f"{act} {match.text}", *(f"{key} {value}" for key, value in given.items())])
