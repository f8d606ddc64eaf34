"""The mappings of the relay: a socket towards the target for each initiator's address and port, as a NAT has.

The socket is connected, so the kernel lets in what the target sends and nothing else.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lab.wire.packets import Endpoint
from lab.wire.udp import RECEIVE_SIZE, Listener, SocketAddress, note, opened

#: Mappings at one time; the one that was unused for longest goes first.
MAX_MAPPINGS = 256


@dataclass(slots=True)
class Mapping:
    """One flow: an initiator (its socket address is `peer`), the listener it sends to, and our socket."""

    number: int
    initiator: Endpoint
    peer: SocketAddress
    listener: Listener
    #: Our address that the initiator knows.
    own: str
    socket: socket.socket

    @property
    def outside(self) -> Endpoint:
        """What the target sees of the initiator."""
        address, port = self.socket.getsockname()[:2]
        return Endpoint(address, port)


class Nat:
    """All mappings. `watch` and `forget` are told of their sockets."""

    def __init__(
        self,
        version: int,
        address: str,
        errors: "Counter[str]",
        watch: Callable[[Mapping], None],
        forget: Callable[[Mapping], None],
    ) -> None:
        """`address` is ours towards the target; the unspecified one leaves the choice to the kernel."""
        self._version, self._address, self._errors = version, address, errors
        self._watch, self._forget = watch, forget
        self._mappings: dict[int, Mapping] = {}
        # In the order of their last use.
        self._numbers: dict[tuple[SocketAddress, int], int] = {}
        self._last = 0
        self.target = ""
        #: Mappings that had to go for others.
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._mappings)

    def __iter__(self) -> Iterator[Mapping]:
        return iter(tuple(self._mappings.values()))

    def get(self, number: int) -> Mapping | None:
        """The mapping of this number, if it is still there."""
        return self._mappings.get(number)

    def of(self, peer: SocketAddress, listener: Listener, own: str) -> Mapping:
        """The mapping of an initiator, made where there is none. Raises OSError."""
        number = self._numbers.get((peer, listener.port))
        if number is None:
            while len(self._mappings) >= MAX_MAPPINGS:
                self._evict()
            return self._make(peer, listener, own)
        found = self._mappings[number]
        found.own = own
        self.use(found)
        return found

    def use(self, mapping: Mapping) -> None:
        """Note that a mapping is in use now."""
        key = (mapping.peer, mapping.listener.port)
        self._numbers[key] = self._numbers.pop(key, mapping.number)

    def rebind(self, mapping: Mapping) -> tuple[Endpoint, Endpoint]:
        """Give a mapping another port; what comes to the old one is lost. Raises OSError."""
        old = mapping.outside
        # The new socket is bound before the old one is closed, so the port is another one.
        fresh = self._connected(mapping.listener.port)
        self._forget(mapping)
        mapping.socket.close()
        mapping.socket = fresh
        self._watch(mapping)
        return old, mapping.outside

    def send(self, mapping: Mapping, octets: bytes) -> None:
        """Send to the target."""
        try:
            mapping.socket.send(octets)
        except OSError as error:
            note(error, self._errors)

    def receive(self, mapping: Mapping) -> bytes | None:
        """What the target sent; None where there is nothing now."""
        try:
            return mapping.socket.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return None
        except OSError as error:
            note(error, self._errors)
            return None

    def close(self) -> None:
        """Close every socket."""
        for mapping in self:
            self._close(mapping)

    def _make(self, peer: SocketAddress, listener: Listener, own: str) -> Mapping:
        self._last += 1
        # A scope (`%eth0`) is part of the socket address, not of the address in a packet.
        initiator = Endpoint(str(peer[0]).partition("%")[0], int(peer[1]))
        mapping = Mapping(self._last, initiator, peer, listener, own, self._connected(listener.port))
        self._mappings[mapping.number] = mapping
        self._numbers[(peer, listener.port)] = mapping.number
        self._watch(mapping)
        return mapping

    def _connected(self, port: int) -> socket.socket:
        made = opened(self._version, self._address, 0)
        try:
            made.connect((self.target, port))
        except OSError:
            made.close()
            raise
        return made

    def _evict(self) -> None:
        key = next(iter(self._numbers))
        self.evicted += 1
        self._close(self._mappings[self._numbers.pop(key)])

    def _close(self, mapping: Mapping) -> None:
        self._forget(mapping)
        mapping.socket.close()
        self._mappings.pop(mapping.number, None)
