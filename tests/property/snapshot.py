"""The state of a node, to see what a datagram changed in it, and to take that back.

State is every mutable object of the engine and of the SAD that can be reached from the node: tables, IKE SAs,
windows, timers, SAs of the data path. What has a fixed size and is meant to change with any datagram is taken
back, but not judged: rate limits, the alarm, the secrets of cookies, serial numbers.
"""

from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from node.daemon.dataplane import DataPlane
from node.daemon.node import Node

#: Attributes that are no state: configuration, ports, counters, queues that are emptied at once, caches.
_NO_STATE = frozenset(
    {"settings", "codec", "signer", "verifier", "certificates", "entropy", "emit", "close", "key_pairs"}
    | {"_outputs", "_emit", "_entropy", "_heap", "_policy", "_limits", "dropped", "_remembered"}
    | {"accepted_addresses", "_notices"}
)
#: Attributes that are not judged, nor is what can be reached through them alone.
_NOT_JUDGED = frozenset({"_refusals", "_bucket", "_cookies", "_alarm", "_told", "_serial"})
#: Modules with nothing but values.
_VALUES = ("node.model.", "node.crypto.kex", "node.crypto.keymat", "node.ike.transcript", "node.ike.settings")
_CONTAINERS = (dict, list, set, deque)


class _Held(NamedTuple):
    """An object; a copy of what was in it, or its attributes; whether a change is one of state."""

    one: Any
    was: Any
    judged: bool


class Snapshot:
    """What the node held when this was made."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._before = self._look()
        self._judged = [held for held in self._before if held.judged]

    def changes(self) -> list[str]:
        """What differs now, as `IkeSa.data`, or `dict` for a table: empty where nothing does.

        What was there then is enough to look at: something new must be held by it.
        """
        return [found for held in self._judged for found in _differences(held)]

    def restore(self) -> None:
        """Put everything back."""
        for one, was, _ in self._before:
            if isinstance(one, dict | set):
                one.clear()
                one.update(was)
            elif isinstance(one, list | deque):
                one.clear()
                one.extend(was)
            else:
                for name, value in was.items():
                    if getattr(one, name, None) is not value:
                        setattr(one, name, value)
        timers = self._node.endpoint._timers
        timers._heap[:] = sorted((when, key) for key, when in timers._when.items())
        assert self.changes() == []

    def _look(self) -> list[_Held]:
        found: dict[int, _Held] = {}
        assert isinstance(self._node.plane, DataPlane)
        pending: list[Any] = [self._node.endpoint, self._node.plane._sad, self._node._initiated]
        aside: list[Any] = []
        _collect(pending, aside, found, judged=True)
        _collect(aside, [], found, judged=False)
        return list(found.values())


def _collect(pending: list[Any], aside: list[Any], found: dict[int, _Held], *, judged: bool) -> None:
    """Everything mutable that can be reached from `pending`; what is not judged is put `aside`."""
    while pending:
        one = pending.pop()
        if id(one) in found:
            continue
        if isinstance(one, _CONTAINERS):
            found[id(one)] = _Held(one, one.copy(), judged)
            pending.extend(one.values() if isinstance(one, dict) else one)
        elif isinstance(one, tuple):
            pending.extend(one)
        elif names := _names(one.__class__):
            attributes = {name: getattr(one, name) for name in names if hasattr(one, name)}
            if not _is_frozen(one.__class__):
                found[id(one)] = _Held(one, attributes, judged)
            for name, value in attributes.items():
                (aside if name in _NOT_JUDGED else pending).append(value)


def _differences(held: _Held) -> Iterator[str]:
    one, was, _ = held
    if isinstance(one, _CONTAINERS):
        if one != was:
            yield f"{type(one).__name__} of {len(was)}, now {len(one)}"
        return
    for name, value in was.items():
        now = getattr(one, name, None)
        if now is not value and name not in _NOT_JUDGED and not _same(now, value):
            yield f"{type(one).__name__}.{name}"


@cache
def _names(kind: type) -> tuple[str, ...]:
    """The attributes to look at: none of what is not ours, and of values, which hold nothing that changes."""
    if not kind.__module__.startswith("node.") or kind.__module__.startswith(_VALUES):
        return ()
    slots = (name for base in kind.__mro__ for name in getattr(base, "__slots__", ()))
    return tuple(name for name in slots if name not in _NO_STATE)


@cache
def _is_frozen(kind: type) -> bool:
    parameters = getattr(kind, "__dataclass_params__", None)
    return bool(parameters and parameters.frozen)


def _same(one: object, other: object) -> bool:
    """The same number, octets or text."""
    return isinstance(one, int | float | str | bytes | tuple) and one == other
