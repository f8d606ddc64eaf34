"""Inner addresses for peers that ask: which are free, who has which (RFC 7296 2.19).

Rules:

1. An address belongs to one IKE SA at a time, and comes back when that ends (RFC 7296 3.15.1).
2. A peer gets the one it had before, where it asks for none; one that another peer had before goes to
   somebody else only when no other is left.
3. What a peer asks for is a wish: it is granted where the address is in the pool and nobody's.
4. An identity holds a bounded number of addresses, so that one peer cannot use a pool up.
5. A peer that authenticates anew asks for the address that its older IKE SA has: both have it, until both are
   over.
"""

from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence
from functools import partial

from node.model.payloads import Identification
from node.model.selectors import IPAddress, IPNetwork

#: Addresses of one prefix that are given away, the lowest ones: more than there are IKE SAs (`Limits`), and a
#: bound on what is remembered of who had which.
MAX_ADDRESSES = 16_384
#: Addresses of one family that one identity holds at a time: enough for a few devices that share a
#: certificate.
MAX_OF_PEER = 16

_Identity = tuple[int, bytes]


class _Prefix:
    """The addresses of one prefix."""

    __slots__ = ("_before", "_first", "_fresh", "_had", "_held", "_network", "_reserved", "_stop")

    def __init__(self, network: IPNetwork, reserved: Collection[IPAddress]) -> None:
        self._network, self._reserved = network, reserved
        # A /31, /127 and a single address are hosts throughout (RFC 3021, RFC 6164). Else the first one is
        # the network's, or any router's (RFC 4291 2.6.1), and the last one of IPv4 is for broadcasts.
        whole = network.max_prefixlen - network.prefixlen <= 1
        last = network.num_addresses - (0 if whole or network.version == 6 else 1)
        self._first = self._fresh = 0 if whole else 1
        self._stop = min(last, self._first + MAX_ADDRESSES)
        self._held: set[IPAddress] = set()
        # Who had an address that is free now, the one that is free for longest first; and the reverse.
        self._before: OrderedDict[IPAddress, _Identity] = OrderedDict()
        self._had: dict[_Identity, OrderedDict[IPAddress, None]] = {}

    def __contains__(self, address: IPAddress) -> bool:
        if address.version != self._network.version or address in self._reserved:
            return False
        return self._first <= int(address) - int(self._network.network_address) < self._stop

    def wish(self, owner: _Identity, address: IPAddress) -> bool:
        """Take exactly this address, where it is nobody's."""
        if address not in self or address in self._held or self._before.get(address, owner) != owner:
            return False
        self._take(address)
        return True

    def again(self, owner: _Identity) -> IPAddress | None:
        """Take the address that this peer had last."""
        known = self._had.get(owner)
        if not known:
            return None
        address = next(reversed(known))
        self._take(address)
        return address

    def new(self) -> IPAddress | None:
        """Take one that nobody had yet."""
        while self._fresh < self._stop:
            address = self._network[self._fresh]
            self._fresh += 1
            if address in self and address not in self._held and address not in self._before:
                self._held.add(address)
                return address
        return None

    def oldest(self) -> IPAddress | None:
        """Take the one that has been free for longest."""
        address = next(iter(self._before), None)
        if address is not None:
            self._take(address)
        return address

    def back(self, address: IPAddress, owner: _Identity) -> bool:
        """Take it back. False where it is none of ours."""
        if address not in self._held:
            return False
        self._held.discard(address)
        self._before[address] = owner
        self._had.setdefault(owner, OrderedDict())[address] = None
        return True

    def _take(self, address: IPAddress) -> None:
        self._held.add(address)
        owner = self._before.pop(address, None)
        if owner is not None:
            del self._had[owner][address]
            if not self._had[owner]:
                del self._had[owner]


class Pools:
    """The pools of an endpoint. `reserved` are never given away: addresses of our own."""

    __slots__ = ("_holders", "_leases", "_numbers", "_prefixes")

    def __init__(self, networks: Sequence[IPNetwork], reserved: Collection[IPAddress] = ()) -> None:
        self._prefixes = tuple((network.version, _Prefix(network, reserved)) for network in networks)
        self._leases: dict[bytes, tuple[_Identity, tuple[IPAddress, ...]]] = {}
        self._numbers: Counter[tuple[_Identity, int]] = Counter()
        # How many IKE SAs have it.
        self._holders: Counter[IPAddress] = Counter()

    def lease(
        self,
        ike_spi: bytes,
        peer: Identification,
        wanted: Sequence[IPAddress],
        siblings: Collection[bytes] = (),
    ) -> tuple[IPAddress, ...]:
        """Give the IKE SA with our SPI `ike_spi` one address for each of `wanted` that can be satisfied.

        An unspecified one stands for any of its family. An IKE SA gets addresses once.
        `siblings` are other IKE SAs of the same peer, whose addresses it may have as well.
        """
        owner = (int(peer.id_type), peer.data)
        theirs = {a for spi in siblings if spi in self._leases for a in self._leases[spi][1]}
        tried = (wish if wish in theirs else self._take(owner, wish) for wish in wanted)
        found = tuple(address for address in tried if address is not None)
        if found:
            self._leases[ike_spi] = (owner, found)
            self._holders.update(found)
        return found

    def give_back(self, ike_spi: bytes) -> None:
        """The IKE SA is over."""
        owner, addresses = self._leases.pop(ike_spi, ((0, b""), ()))
        self._holders.subtract(addresses)
        for address in (free for free in addresses if not self._holders[free]):
            del self._holders[address]
            next(prefix for _, prefix in self._prefixes if prefix.back(address, owner))
            self._numbers[owner, address.version] -= 1
            if not self._numbers[owner, address.version]:
                del self._numbers[owner, address.version]

    def inherit(self, old_spi: bytes, new_spi: bytes) -> None:
        """A rekeyed IKE SA has the addresses of the one before it (RFC 7296 3.15.1)."""
        if old_spi in self._leases:
            self._leases[new_spi] = self._leases.pop(old_spi)

    def __len__(self) -> int:
        """Addresses in use."""
        return len(self._holders)

    def _take(self, owner: _Identity, wish: IPAddress) -> IPAddress | None:
        if self._numbers[owner, wish.version] >= MAX_OF_PEER:
            return None
        address = self._choose(owner, wish)
        if address is not None:
            self._numbers[owner, wish.version] += 1
        return address

    def _choose(self, owner: _Identity, wish: IPAddress) -> IPAddress | None:
        prefixes = [prefix for version, prefix in self._prefixes if version == wish.version]
        if any(prefix.wish(owner, wish) for prefix in prefixes):
            return wish
        ways = (partial(_Prefix.again, owner=owner), _Prefix.new, _Prefix.oldest)
        tried = (way(prefix) for way in ways for prefix in prefixes)
        return next((address for address in tried if address is not None), None)
