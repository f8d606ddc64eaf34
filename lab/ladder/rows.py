"""Rows of the ladder out of transmissions: names of the RFCs, payloads, fate and reason."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from lab.events import NodeEvent
from lab.ladder.join import Sent, text
from lab.ladder.notes import done, drop_reason, shown
from lab.ladder.values import Fate, Message

_NAMES = {"IDI": "IDi", "IDR": "IDr", "TSI": "TSi", "TSR": "TSr"}
_WIRE_ESP = re.compile(r"ESP spi 0x([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Names:
    """Nodes with and without lanes."""

    lanes: Collection[str]
    hidden: Collection[str]

    def lane(self, node: str) -> str | None:
        """The node, where it can be drawn or is hidden on purpose; None for what only the wire knows."""
        return node if node in self.lanes or node in self.hidden else None

    def shows(self, row: Message) -> bool:
        """Whether a row touches lanes only, and one at least."""
        ends = {end for end in (row.source, row.target) if end is not None}
        return bool(ends) and not any(end in self.hidden for end in ends)


def row_of(sent: Sent, names: Names, zero: float) -> Message:
    """The row of a transmission."""
    fate, target, reason = _fate(sent)
    return Message(
        sent.seconds - zero,
        names.lane(sent.source),
        names.lane(target),
        _name(sent.about),
        _contents(sent.about),
        fate,
        _octets(sent.about),
        sent.again,
        reason,
        _acts(sent),
        sent.copy,
    )


def _acts(sent: Sent) -> str:
    """What the wire did to it, each act once; of a message in fragments to how many of them."""
    times = Counter(map(done, sent.acts))
    if sent.fragments == 1 or sent.copy:
        return "; ".join(times)
    return "; ".join(f"{act} ({many} of {sent.fragments} fragments)" for act, many in times.items())


def _fate(sent: Sent) -> tuple[Fate, str, str]:
    """What became of it, who got it, and why not."""
    if sent.arrival is not None:
        return Fate.ARRIVED, sent.arrival.node, ""
    if sent.stopped:
        return Fate.STOPPED, "", ""
    if sent.drops:
        times = f", {len(sent.drops)} times" if len(sent.drops) > 1 else ""
        return Fate.DROPPED, sent.drops[0].node, drop_reason(sent.drops[0]) + times
    if sent.answered:
        return Fate.ARRIVED, sent.answered, ""
    if sent.acts:
        return Fate.PASSED, sent.target or text(sent.acts[0], "target"), "not seen to arrive"
    return Fate.LOST, "", "not seen to arrive"


def foreign(event: NodeEvent, owner: str | None, zero: float) -> Message:
    """The row of what arrived and no node tells of having sent; `owner` has the address that it came from."""
    at, came = event.moment.timestamp() - zero, shown(f"from {text(event, 'peer')}")
    return Message(
        at, owner, event.node, _name(event), _contents(event), Fate.FOREIGN, _octets(event), 0, came
    )


def _octets(event: NodeEvent) -> int:
    octets = event.fields.get("octets")
    return octets if isinstance(octets, int) else 0


def _name(event: NodeEvent) -> str:
    if event.name == "wire_fault":
        return shown(_WIRE_ESP.sub(r"ESP \1", text(event, "datagram")))
    if "sequence" in event.fields:
        return shown(f"ESP {text(event, 'spi')} sequence {text(event, 'sequence')}")
    exchange = event.name.rpartition("_")[0].upper()
    return shown(f"{exchange} {text(event, 'kind')} {text(event, 'message_id')}")


def _contents(event: NodeEvent) -> str:
    """What is in it. Of a protected message the nodes tell what they sealed and opened."""
    if event.name == "wire_fault":
        return ""
    if "sequence" in event.fields:
        return shown(f'encrypted {{"{text(event, "text")}"}}')
    payloads = event.fields.get("payloads")
    names = [str(name) for name in payloads] if isinstance(payloads, list) else []
    nonce = "Ni" if text(event, "kind") == "request" else "Nr"
    said = shown(" ".join(_NAMES.get(name, nonce if name == "NONCE" else name) for name in names))
    if event.name.startswith("ike_sa_init"):
        return said
    fragments = event.fields.get("fragments")
    return f"SKF{{{said}}} in {fragments} fragments" if isinstance(fragments, int) else f"SK{{{said}}}"
