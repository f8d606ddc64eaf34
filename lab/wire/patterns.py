"""Which datagrams a fault is about, as text and as a value.

    pattern   what [from NAME] [to NAME] | start
    what      any | keepalive | datagram N
              | IKE | EXCHANGE | exchange N   then   [request | response] [message ID]
              | ESP [spi HEX] [sequence N]

Words are read whatever their case, names of nodes exactly. `initiator` and `responder` are roles, the side of
the initiators and the target, where no node has that name.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from typing import Any

from lab.wire.identity import EXCHANGES, Identity, Kind
from lab.wire.problems import ConfigError, suggestion

_BY_NAME = {name.lower(): number for number, name in EXCHANGES.items()}
_FIRST = ("any", "IKE", "ESP", "keepalive", *EXCHANGES.values(), "exchange", "datagram", "start")
_NUMBER = re.compile(r"\d{1,10}|0x[0-9a-f]{1,8}", re.IGNORECASE)
_HEX = re.compile(r"(?:0x)?[0-9a-f]{1,8}", re.IGNORECASE)
_MAX = (1 << 32) - 1
#: A pattern is a handful of words; what is longer is not read.
_MAX_WORDS = 16


class Role(StrEnum):
    """A side of the relay."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


#: A name, or everybody on one side.
Party = str | Role


@dataclass(frozen=True, slots=True)
class Seen:
    """A datagram as patterns see it: `number` counts the datagrams of its sender from 1."""

    identity: Identity
    source: str
    target: str
    forward: bool
    number: int = 1


@dataclass(frozen=True, slots=True)
class Pattern:
    """What must be so; None where it does not matter. `start` matches no datagram."""

    text: str
    kind: Kind | None = None
    exchange: int | None = None
    response: bool | None = None
    message_id: int | None = None
    spi: int | None = None
    sequence: int | None = None
    number: int | None = None
    source: Party | None = None
    target: Party | None = None
    start: bool = False

    def matches(self, seen: Seen) -> bool:
        """Whether the fault is about this datagram."""
        found = seen.identity
        return (
            not self.start
            and (self.kind is None or self.kind == found.kind)
            and (self.exchange is None or self.exchange == found.exchange)
            # A message whose header could not be read is neither a request nor a response.
            and (self.response is None or (found.exchange is not None and self.response == found.response))
            and self.message_id in (None, found.message_id)
            and self.spi in (None, found.spi)
            and self.sequence in (None, found.sequence)
            and self.number in (None, seen.number)
            and _is(self.source, seen.source, initiator=seen.forward)
            and _is(self.target, seen.target, initiator=not seen.forward)
        )


def _is(party: Party | None, name: str, *, initiator: bool) -> bool:
    if isinstance(party, Role):
        return (party is Role.INITIATOR) == initiator
    return party is None or party == name


def read(text: object, names: Collection[str] | None = None) -> Pattern:
    """The pattern that `text` spells. Raises ConfigError.

    `names` are those of all nodes; None where they are not known: then any name is good.
    """
    if not isinstance(text, str):
        raise ConfigError((), f"{text!r} is no text")
    words = text.split()
    if not 0 < len(words) <= _MAX_WORDS:
        raise ConfigError((), f"{text[:80]!r} has {len(words)} words; it says what to match{_allowed()}")
    try:
        return _Reader(words, names).pattern()
    except ConfigError as error:
        raise ConfigError((), f"{text[:80]!r}: {error.problem}") from None


def _allowed() -> str:
    return f", beginning with one of {', '.join(_FIRST)}"


class _Reader:
    """Reads words from left to right."""

    def __init__(self, words: list[str], names: Collection[str] | None) -> None:
        self._text, self._words, self._names = " ".join(words), words, names

    def pattern(self) -> Pattern:
        first = self._words.pop(0)
        word = first.lower()
        if word == "start":
            found = Pattern(self._text, start=True)
            if self._words:
                raise ConfigError((), "start is no datagram: nothing may follow it")
            return found
        if word not in {w.lower() for w in _FIRST}:
            raise ConfigError((), f"unknown word {first!r}{suggestion(first, _FIRST)}")
        settings = self._what(word)
        parties: dict[str, Party] = {}
        while self._words:
            key, name = self._party(parties)
            parties[key] = name
        return Pattern(self._text, **settings, source=parties.get("from"), target=parties.get("to"))

    def _what(self, word: str) -> dict[str, Any]:
        if word in ("any", "keepalive"):
            return {"kind": Kind.KEEPALIVE} if word == "keepalive" else {}
        if word == "datagram":
            return {"number": self._number("datagram", _NUMBER, least=1)}
        if word == "esp":
            return {"kind": Kind.ESP} | self._esp()
        settings: dict[str, Any] = {"kind": Kind.IKE}
        if word == "exchange":
            settings["exchange"] = self._number("exchange", _NUMBER)
        elif word != "ike":
            settings["exchange"] = _BY_NAME[word]
        return settings | self._ike()

    def _ike(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        if self._next() in ("request", "response"):
            settings["response"] = self._words.pop(0).lower() == "response"
        if _NUMBER.fullmatch(self._next()):
            settings["message_id"] = self._number("the exchange", _NUMBER)
        return settings

    def _esp(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        for word, form, base in (("spi", _HEX, 16), ("sequence", _NUMBER, 0)):
            if self._next() == word:
                self._words.pop(0)
                settings[word] = self._number(word, form, base=base)
        return settings

    def _next(self) -> str:
        return self._words[0].lower() if self._words else ""

    def _number(self, before: str, form: re.Pattern[str], *, least: int = 0, base: int = 0) -> int:
        word = self._words.pop(0) if self._words else ""
        if not form.fullmatch(word):
            shown = repr(word) if word else "nothing"
            raise ConfigError((), f"behind {before} stands {shown}; a number must")
        hexadecimal = base == 16 or word.lower().startswith("0x")
        value = int(word, 16 if hexadecimal else 10)
        if not least <= value <= _MAX:
            raise ConfigError((), f"{word} is outside {least} to {_MAX}")
        return value

    def _party(self, known: Collection[str]) -> tuple[str, Party]:
        word = self._words.pop(0)
        key = word.lower()
        if key not in ("from", "to"):
            raise ConfigError((), f"unknown word {word!r}{suggestion(word, self._may_follow())}")
        if key in known:
            raise ConfigError((), f"{key} stands there twice")
        if not self._words:
            raise ConfigError((), f"behind {key} stands nothing; the name of a node must")
        return key, self._name(self._words.pop(0))

    def _may_follow(self) -> tuple[str, ...]:
        first = self._text.split()[0].lower()
        more = {"esp": ("spi", "sequence"), "any": (), "keepalive": (), "datagram": ()}
        return (*more.get(first, ("request", "response")), "from", "to")

    def _name(self, name: str) -> Party:
        if self._names is None or name in self._names or _is_address(name):
            return name
        if name in tuple(Role):
            return Role(name)
        raise ConfigError((), f"unknown node {name!r}{suggestion(name, (*self._names, *Role))}")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
