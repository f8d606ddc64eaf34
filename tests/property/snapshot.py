"""The state of a node, to see what a datagram changed in it, and to take that back.

State is every mutable object of the engine and of the SAD that can be reached from the node: tables, IKE SAs,
windows, timers, SAs of the data path. Not state are counters of what was dropped, and what is only filled and
emptied again: output queues, buckets of rate limits, entries of timers that are over.
"""

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import Any

from node.daemon.node import Node

#: Attributes that no datagram can do harm in: configuration, ports, counters, queues, caches.
_NO_STATE = frozenset(
    {"settings", "codec", "signer", "verifier", "certificates", "entropy", "emit", "context", "_context"}
    | {"_outputs", "_emit", "_entropy", "_refusals", "_heap", "_spare", "_policy", "dropped", "_remembered"}
    | {"accepted_addresses", "_rate", "_burst", "_tokens", "_updated", "_limits"}
)
_CONTAINERS = (dict, list, set, deque)

State = dict[int, tuple[Any, Any]]


class Snapshot:
    """What the node held when this was made."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._before = self._look()

    def changes(self) -> list[str]:
        """What differs now, as `IkeSa.data`, or `dict` for a table: empty where nothing does."""
        now, found = self._look(), []
        for key, (held, was) in self._before.items():
            if key not in now:
                found.append(f"{type(held).__name__} gone")
            elif isinstance(was, dict) and not isinstance(held, dict):
                other = now[key][1]
                found += [f"{type(held).__name__}.{n}" for n in was if not _same(was[n], other.get(n))]
            elif was != now[key][1]:
                found.append(f"{type(held).__name__} of {len(was)}, now {len(held)}")
        return found + [f"{type(now[key][0]).__name__} new" for key in now.keys() - self._before.keys()]

    def restore(self) -> None:
        """Put everything back."""
        for held, was in self._before.values():
            if isinstance(held, dict | set):
                held.clear()
                held.update(was)
            elif isinstance(held, list | deque):
                held.clear()
                held.extend(was)
            else:
                for name, value in was.items():
                    if getattr(held, name, None) is not value:
                        setattr(held, name, value)
        timers = self._node.endpoint._timers
        timers._heap[:] = sorted((when, key) for key, when in timers._when.items())
        assert self.changes() == []

    def _look(self) -> State:
        endpoint = self._node.endpoint
        roots = (endpoint, endpoint._context.children, self._node.plane._sad, self._node._initiated)
        found: State = {}
        pending: list[Any] = list(roots)
        while pending:
            one = pending.pop()
            if id(one) in found:
                continue
            if isinstance(one, _CONTAINERS):
                found[id(one)] = one, one.copy()
                pending.extend(one.values() if isinstance(one, dict) else one)
            elif isinstance(one, tuple):
                pending.extend(one)
            elif _is_ours(one):
                attributes = dict(_attributes(one))
                if not _is_frozen(one):
                    found[id(one)] = one, attributes
                pending.extend(attributes.values())
        return found


def _attributes(one: object) -> Iterator[tuple[str, Any]]:
    for kind in type(one).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if name not in _NO_STATE and hasattr(one, name):
                yield name, getattr(one, name)
    for name, value in getattr(one, "__dict__", {}).items():
        if name not in _NO_STATE:
            yield name, value


def _is_ours(one: object) -> bool:
    return type(one).__module__.startswith("node.") and not isinstance(one, Enum)


def _is_frozen(one: object) -> bool:
    parameters = getattr(type(one), "__dataclass_params__", None)
    return bool(parameters and parameters.frozen)


def _same(one: object, other: object) -> bool:
    """The same object, or the same number or text."""
    return one is other or (isinstance(one, int | float | str | bytes | tuple) and one == other)
