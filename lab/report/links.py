"""Which packet of the capture is which arrow of the ladder: by the message's name, who sent it, and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.decode.values import Decoded
from lab.events import NodeEvent
from lab.ladder.values import Ladder, Message

#: Seconds between a node's event and the packet of it, on a busy machine.
_NEAR = 0.5
#: Packets of one name that are compared with a row.
_LOOK_AT = 512


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose an `address:port` is: by both, else by the address alone where one node has it."""

    exact: Mapping[str, str]
    hosts: Mapping[str, str]

    def of(self, place: str) -> str:
        """The node; empty where nobody knows."""
        return self.exact.get(place) or self.hosts.get(place.rpartition(":")[0], "")

    def name(self, place: str) -> str:
        """The node, or the place itself."""
        return self.of(place) or place


def owners(events: Sequence[NodeEvent], known: Mapping[str, str]) -> Owners:
    """The owners that the nodes tell of as they start, and those that are known of the lab, by place."""
    exact = {place: node for place, node in known.items() if place}
    for event in events:
        if event.name == "udp_bound":
            exact[f"{event.fields.get('address')}:{event.fields.get('port')}"] = event.node
        elif event.name == "wire_ready":
            # It sends to the target from ports of its own.
            exact[f"{event.fields.get('address')}:0"] = event.node
    nodes: dict[str, set[str]] = {}
    for place, node in exact.items():
        nodes.setdefault(place.rpartition(":")[0], set()).add(node)
    return Owners(exact, {host: min(found) for host, found in nodes.items() if len(found) == 1})


def anchor(packet: Decoded) -> str:
    """The name of a packet in the page."""
    return f"packet-{packet.number}"


def link(ladder: Ladder, packets: Sequence[Decoded], whose: Owners) -> dict[int, str]:
    """The link of each row of the ladder that is a packet; no packet is two rows."""
    named: dict[str, list[Decoded]] = {}
    for packet in packets:
        named.setdefault(_name(packet), []).append(packet)
    links: dict[int, str] = {}
    for number, row in enumerate(ladder.rows):
        if isinstance(row, Message) and not row.copy:
            found = _nearest(row, named.get(row.name, []), ladder.zero, whose)
            if found is not None:
                links[number] = f"#{anchor(found)}"
                named[row.name].remove(found)
    return links


def _name(packet: Decoded) -> str:
    """`IKE_AUTH request 1`, `ESP a2ff9348 sequence 1`: as the ladder says it."""
    return packet.title.partition(":")[0].replace("ESP 0x", "ESP ", 1)


def _nearest(row: Message, packets: Sequence[Decoded], zero: float, whose: Owners) -> Decoded | None:
    moment = zero + row.seconds
    near = [
        (abs(packet.moment_ns / 1e9 - moment), packet.number, packet)
        for packet in packets[:_LOOK_AT]
        if whose.of(packet.source) in ("", row.source)
    ]
    best = min(near, default=None)
    return best[2] if best is not None and best[0] <= _NEAR else None
