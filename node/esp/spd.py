"""The outbound SPD: which SA carries an inner packet (RFC 4301 4.4.1). Of several that match, the newest
wins.

An SA is found by the peer's address: each of its peer selectors is filed under the shortest prefix that
holds its range, so that a lookup costs one dictionary access per prefix length in use, be there one SA or
thousands. What a pair of addresses found is remembered until the SPD changes.
"""

from typing import Final

from node.esp.sa import OutboundSa

#: Address pairs remembered, so that scanning from inside a tunnel cannot make the table grow.
MAX_REMEMBERED: Final = 4096

#: Prefix (the address without its low bits) to the SAs filed under it, oldest first.
_Table = dict[int, list[OutboundSa]]


class Spd:
    """Outbound SAs by the addresses of inner packets."""

    __slots__ = ("_tables", "remembered")

    def __init__(self) -> None:
        # By octets of an address, then by the number of low bits that the prefix leaves open.
        self._tables: dict[int, dict[int, _Table]] = {4: {}, 16: {}}
        #: What `candidates` has found since the SPD changed, by address pair.
        self.remembered: dict[bytes, tuple[OutboundSa, ...]] = {}

    def add(self, sa: OutboundSa) -> None:
        """File an SA."""
        for family, shift, prefix in _places(sa):
            self._tables[family].setdefault(shift, {}).setdefault(prefix, []).append(sa)
        self.remembered.clear()

    def remove(self, sa: OutboundSa) -> None:
        """Take an SA out again."""
        for family, shift, prefix in _places(sa):
            table = self._tables[family][shift]
            table[prefix].remove(sa)
            if not table[prefix]:
                del table[prefix]
            if not table:
                del self._tables[family][shift]
        self.remembered.clear()

    def candidates(self, pair: bytes) -> tuple[OutboundSa, ...]:
        """The SAs whose selectors allow this source and destination (8 or 32 octets), newest first.

        Protocol and ports are still to be checked where the SA's selectors are not `addresses_only`.
        """
        found = self.remembered.get(pair)
        if found is None:
            found = self._search(pair)
            if len(self.remembered) >= MAX_REMEMBERED:
                self.remembered.clear()
            self.remembered[pair] = found
        return found

    def _search(self, pair: bytes) -> tuple[OutboundSa, ...]:
        half = len(pair) // 2
        source, destination = pair[:half], pair[half:]
        number = int.from_bytes(destination)
        filed = {
            sa.serial: sa
            for shift, table in self._tables[half].items()
            for sa in table.get(number >> shift, ())
            if sa.selectors.covers_addresses(source, destination)
        }
        return tuple(filed[serial] for serial in sorted(filed, reverse=True))


def _places(sa: OutboundSa) -> set[tuple[int, int, int]]:
    """Octets of an address, open bits and prefix, for each peer selector."""
    places = set()
    for rule in sa.selectors.peer:
        start = int.from_bytes(rule.start)
        shift = (start ^ int.from_bytes(rule.end)).bit_length()
        places.add((len(rule.start), shift, start >> shift))
    return places
