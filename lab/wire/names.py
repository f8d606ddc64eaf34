"""Who has which address: names of initiators are looked up when needed, the target's until it is known.

1. A lookup runs in a thread and blocks nobody; a name may have no address until its container runs.
2. Answers are remembered. A source that nobody is known to have is a reason to look again, at most once in
   AGAIN seconds; while that runs, and at most PATIENCE seconds, its datagrams wait for their sender's name.
"""

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from lab.wire.holding import Later

#: Seconds that datagrams of an unknown source wait for names, and between two rounds of lookups.
PATIENCE, AGAIN = 1.0, 1.0
#: Seconds between two lookups of the target, and until there is no hope left.
TARGET_PAUSE, TARGET_PATIENCE = 0.2, 60.0

#: The addresses of a name (none where it has none), and what was wrong.
Answer = Callable[[Sequence[str], str], None]
#: Begins a lookup; the answer comes later, in the thread of the event loop.
Ask = Callable[[str, Answer], None]


def asker(version: int, soon: Callable[..., object]) -> Ask:
    """Looks names up in threads; `soon` calls a function in the thread of the event loop."""
    family = socket.AF_INET6 if version == 6 else socket.AF_INET

    def work(name: str, answer: Answer) -> None:
        addresses: list[str] = []
        problem = ""
        try:
            found = socket.getaddrinfo(name, None, family, socket.SOCK_DGRAM)
            addresses = [str(entry[4][0]) for entry in found]
        except OSError as error:
            problem = error.strerror or str(error)
        except UnicodeError as error:
            problem = f"no name of a host: {error}"
        try:
            soon(answer, addresses, problem)
        except RuntimeError:
            # The event loop ended in the meantime: nobody waits any more.
            return

    def ask(name: str, answer: Answer) -> None:
        # A daemon: a lookup that hangs must not keep the process from ending.
        threading.Thread(target=work, args=(name, answer), daemon=True).start()

    return ask


class Directory:
    """Names by address. `changed` is called when a name has become known, or a round is over."""

    def __init__(
        self,
        nodes: Mapping[str, str | None],
        ask: Ask,
        later: Later,
        now: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._ask, self._later, self._now, self._changed = ask, later, now, changed
        self._names: dict[str, str] = {}
        for name, address in nodes.items():
            if address is not None:
                self._names.setdefault(address, name)
        self._open = [name for name, address in nodes.items() if address is None]
        self._asked = -AGAIN
        #: Names without an answer in this round; a round ends with the last answer or after PATIENCE.
        self._waiting: set[str] = set()
        self._round = 0

    def look(self) -> None:
        """Begin a round of lookups."""
        self._asked = self._now()
        self._waiting = set(self._open)
        self._round += 1
        current = self._round
        for name in self._open:
            self._ask(name, partial(self._answered, current, name))
        if self._waiting:
            self._later(PATIENCE, lambda: self._over(current))

    def name(self, address: str) -> str | None:
        """The name of whoever has this address, the address where nobody is known to; None: ask again when
        `changed` is called.
        """
        if address in self._names:
            return self._names[address]
        if self._open and not self._waiting and self._now() - self._asked >= AGAIN:
            self.look()
        return None if self._waiting else address

    def address(self, name: str) -> str | None:
        """The address of a node, where it is known."""
        return next((address for address, known in self._names.items() if known == name), None)

    @property
    def addresses(self) -> frozenset[str]:
        """Every address that somebody is known to have."""
        return frozenset(self._names)

    def _answered(self, number: int, name: str, addresses: Sequence[str], _problem: str) -> None:
        if addresses:
            # A node that came back with another address has left its old one.
            self._names = {a: known for a, known in self._names.items() if known != name}
            self._names.update(dict.fromkeys(addresses, name))
        if number == self._round:
            self._waiting.discard(name)
        if addresses or not self._waiting:
            self._changed()

    def _over(self, number: int) -> None:
        if number == self._round and self._waiting:
            self._waiting.clear()
            self._changed()


class Target:
    """Looks the target up until it has an address. Each function is called at most once."""

    def __init__(
        self,
        ask: Ask,
        later: Later,
        now: Callable[[], float],
        found: Callable[[str], None],
        missing: Callable[[str], None],
        lost: Callable[[str], None],
    ) -> None:
        """`found` with its address; `missing` with what is wrong, when the first lookup fails; `lost` when
        TARGET_PATIENCE is over.
        """
        self._ask, self._later, self._now = ask, later, now
        self._found, self._missing, self._lost = found, missing, lost
        self._deadline = now() + TARGET_PATIENCE
        self._told = False

    def look(self, name: str) -> None:
        """Begin."""
        self._ask(name, lambda addresses, problem: self._answer(name, addresses, problem))

    def _answer(self, name: str, addresses: Sequence[str], problem: str) -> None:
        if addresses:
            self._found(addresses[0])
        elif self._now() >= self._deadline:
            self._lost(f"{name}: {problem}, for {TARGET_PATIENCE:g} s now")
        else:
            if not self._told:
                self._told = True
                self._missing(f"{name}: {problem}")
            self._later(TARGET_PAUSE, lambda: self.look(name))
