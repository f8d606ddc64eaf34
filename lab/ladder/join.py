"""From events to transmissions: what was sent, what the wire did to it, and what shows that it arrived.

1. A message and its arrival are events of two nodes; they are joined by what identifies the message (SPI,
   exchange, message ID; for ESP SPI and sequence number), never by addresses: a wire changes those.
2. The wire names what it acted on in the same words; its copies are transmissions of their own.
3. A drop explains the transmission before it that nothing shows to arrive.
"""

import re
from bisect import bisect
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from lab.events import NodeEvent

Key = tuple[str, ...]

OTHER_SIDE = {"initiator": "responder", "responder": "initiator"}
_ESP = {
    "esp_payload_sent": "esp_payload_decrypted",
    "esp_ack_sent": "esp_ack_received",
}
_IKE_DATAGRAM = re.compile(r"(\w+) (request|response) (\d+)")
_ESP_DATAGRAM = re.compile(r"ESP spi 0x([0-9a-f]{1,8}) sequence (\d+)")
#: Acts of the wire after which the datagram is another than the one that was sent.
_MANGLING = frozenset({"corrupt", "truncate", "downgrade"})
#: Acts that make datagrams besides the one that was sent.
_COPYING = frozenset({"duplicate", "replay", "reflect", "junk"})
#: Acts that are about no datagram.
NO_DATAGRAM = frozenset({"flood", "rebind"})
#: Transmissions of one message among which that of an arrival is looked for.
_LOOK_BACK = 64
#: Seconds by which a node may tell of something before the wire tells of having caused it.
_SLACK = timedelta(seconds=0.02)
#: The clock's unit: what was sent stands above what came of it.
_MOMENT = timedelta(microseconds=1)


@dataclass(slots=True, eq=False)
class Sent:
    """A transmission. `told` is the event of it, `about` the one that says what it is, `source` who sent it.

    A copy that the wire made has the wire's event as `told`; `target` is then who gets it, if that is known.
    `answered` is who answered it without telling of its arrival, `witnesses` what the wire told of it.
    """

    told: NodeEvent
    about: NodeEvent
    source: str
    again: int = 0
    copy: bool = False
    target: str = ""
    acts: list[NodeEvent] = field(default_factory=list)
    witnesses: list[NodeEvent] = field(default_factory=list)
    arrival: NodeEvent | None = None
    answered: str = ""
    drops: list[NodeEvent] = field(default_factory=list)

    @property
    def fragments(self) -> int:
        """In how many datagrams it was sent."""
        fragments = self.about.fields.get("fragments")
        return fragments if isinstance(fragments, int) else 1

    @property
    def stopped(self) -> bool:
        """Whether the wire dropped it: of a message in fragments all, for the others wait at the receiver."""
        dropped = sum(text(act, "act") == "drop" for act in self.acts)
        return not self.copy and dropped >= self.fragments

    @property
    def whole(self) -> bool:
        """Whether what went on is what was sent."""
        return not self.copy and not any(text(act, "act") in _MANGLING for act in self.acts)

    @property
    def seconds(self) -> float:
        """When it happened, seconds of the epoch: nodes tell what they do after doing it."""
        if self.copy:
            # It may leave long after the wire told of it.
            seen = [drop.moment for drop in self.drops] + ([self.arrival.moment] if self.arrival else [])
            return max(self.told.moment, min(seen, default=self.told.moment)).timestamp()
        seen = [self.told.moment, *(witness.moment - _MOMENT for witness in self.witnesses)]
        seen += [self.arrival.moment] if self.arrival else []
        return min(seen).timestamp()


@dataclass(slots=True)
class Joined:
    """Everything that is told of one message; `unpaired` are arrivals of what no node tells of sending."""

    sent: list[Sent] = field(default_factory=list)
    received: list[NodeEvent] = field(default_factory=list)
    unpaired: list[NodeEvent] = field(default_factory=list)


def text(event: NodeEvent, name: str) -> str:
    """A field as text; empty where there is none."""
    value = event.fields.get(name)
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def spis(events: Iterable[NodeEvent]) -> set[str]:
    """The SPIs that name SAs in these events: the IKE initiator's, and those of Child SAs."""
    names = ("spi_i", "inbound_spi", "outbound_spi", "spi")
    return {spi for event in events for name in names if (spi := text(event, name))}


def join(told: Sequence[NodeEvent], acts: Sequence[NodeEvent]) -> dict[Key, Joined]:
    """Every message by what identifies it, with its transmissions and arrivals; both arguments by time."""
    found: dict[Key, Joined] = {}
    exchanges: dict[Key, str] = {}
    for event in told:
        if event.name in _ESP:
            found.setdefault(_esp_key(event), Joined()).sent.append(_sent(event, event))
        elif event.name in _ESP.values():
            found.setdefault(_esp_key(event), Joined()).received.append(event)
        elif event.name.endswith(("_sent", "_received")) and "message_id" in event.fields:
            _join_message(event, found, exchanges)
        elif event.name in ("retransmitted", "response_repeated"):
            _join_repeated(event, found, exchanges)
    _apply(acts, found)
    for message in found.values():
        _pair(message)
    return found


def _sent(told: NodeEvent, about: NodeEvent, again: int = 0) -> Sent:
    return Sent(told, about, told.node, again)


def _key(event: NodeEvent, exchange: str, kind: str) -> Key:
    return (text(event, "spi_i"), exchange, kind, text(event, "message_id"), _sender(event))


def _sender(event: NodeEvent) -> str:
    """Which side of the IKE SA sends this, so that both sides' own requests 0 stay apart."""
    ours = event.name.endswith("_sent") or event.name in ("retransmitted", "response_repeated")
    role = text(event, "role")
    return role if ours else OTHER_SIDE.get(role, "")


def _esp_key(event: NodeEvent) -> Key:
    return (text(event, "spi"), "ESP", text(event, "sequence"))


def _join_message(event: NodeEvent, found: dict[Key, Joined], exchanges: dict[Key, str]) -> None:
    exchange, _, way = event.name.rpartition("_")
    key = _key(event, exchange.upper(), text(event, "kind"))
    message = found.setdefault(key, Joined())
    if way == "sent":
        message.sent.append(_sent(event, event))
        exchanges[(event.node, key[0], key[3], key[2])] = exchange.upper()
    else:
        message.received.append(event)


def _join_repeated(event: NodeEvent, found: dict[Key, Joined], exchanges: dict[Key, str]) -> None:
    """A repeated request, or a repeated response, which also says that the request came once more."""
    kind = "request" if event.name == "retransmitted" else "response"
    exchange = exchanges.get((event.node, text(event, "spi_i"), text(event, "message_id"), kind))
    if exchange is None:
        return
    message = found[_key(event, exchange, kind)]
    last = message.sent[-1]
    message.sent.append(_sent(event, last.about, last.again + 1))
    if kind == "response":
        side = OTHER_SIDE.get(text(event, "role"), "")
        request = (text(event, "spi_i"), exchange, "request", text(event, "message_id"), side)
        if request in found:
            found[request].received.append(event)


def _apply(acts: Sequence[NodeEvent], found: dict[Key, Joined]) -> None:
    """Give each act of the wire its transmission; what no node tells of sending stands alone."""
    named = _by_name(found)
    for number, act in enumerate(acts):
        hit = _acted_on(act, named)
        if hit is None:
            found[("", "WIRE", str(number))] = Joined([_of_the_wire(act, act, text(act, "source"))])
            continue
        message, sent = hit
        sent.witnesses.append(act)
        if text(act, "act") in _COPYING:
            message.sent.append(_of_the_wire(act, sent.about, sent.source))
        else:
            sent.acts.append(act)
    for message in found.values():
        message.sent.sort(key=lambda sent: sent.told.moment)


_Named = Mapping[Key, list[tuple[Joined, Sent]]]


def _by_name(found: Mapping[Key, Joined]) -> _Named:
    """Every transmission by what the wire can call it: sender, kind and numbers; by time."""
    named: dict[Key, list[tuple[Joined, Sent]]] = {}
    for key, message in found.items():
        name = ("ESP", key[0], key[2]) if key[1] == "ESP" else (key[1], key[2], key[3])
        for sent in message.sent:
            named.setdefault((sent.source, *name), []).append((message, sent))
    for sents in named.values():
        sents.sort(key=lambda pair: pair[1].told.moment)
    return named


def _acted_on(act: NodeEvent, named: _Named) -> tuple[Joined, Sent] | None:
    """The transmission that the wire acted on: of this name and sender, the nearest in time."""
    said = text(act, "datagram")
    if ike := _IKE_DATAGRAM.fullmatch(said):
        name: Key = ike.groups()
    elif esp := _ESP_DATAGRAM.fullmatch(said):
        name = ("ESP", esp[1].rjust(8, "0"), esp[2])
    else:
        return None
    sents = named.get((text(act, "source"), *name), [])
    at = bisect(sents, act.moment, key=lambda pair: pair[1].told.moment)
    return min(
        sents[max(at - 1, 0) : at + 1], key=lambda pair: abs(pair[1].told.moment - act.moment), default=None
    )


def _of_the_wire(act: NodeEvent, about: NodeEvent, source: str) -> Sent:
    """A transmission that begins at the wire, or (of what nobody tells) is known from there alone."""
    doing = text(act, "act")
    target = text(act, "source" if doing == "reflect" else "target")
    copy = doing in _COPYING
    return Sent(act, about, source, copy=copy, target=target, acts=[act])


def _pair(message: Joined) -> None:
    """Each arrival belongs to the latest transmission before it that has none, else to the first without.

    Copies and what the wire changed come last. Only so many are looked at: somebody may repeat a message ten
    thousand times.
    """
    waiting: deque[Sent] = deque(maxlen=_LOOK_BACK)
    ahead = deque(message.sent)
    for arrival in message.received:
        while ahead and ahead[0].told.moment <= arrival.moment:
            waiting.append(ahead.popleft())
        before = [sent for sent in waiting if _may_be(sent, arrival)]
        if before:
            best = max(before, key=lambda sent: (sent.whole, sent.told.moment))
            waiting.remove(best)
            best.arrival = arrival
        elif ahead and _may_be(ahead[0], arrival):
            ahead.popleft().arrival = arrival
        else:
            message.unpaired.append(arrival)


def _may_be(sent: Sent, arrival: NodeEvent) -> bool:
    """Whether this transmission can be what arrived: to there, and with these payloads."""
    payloads = arrival.fields.get("payloads")
    same = payloads is None or sent.about.fields.get("payloads", payloads) == payloads
    reaches = sent.target == arrival.node if sent.copy else sent.source != arrival.node
    return same and reaches and not sent.stopped


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose an address is. An arrival names its sender's, as the receiver sees it; a node names its own."""

    seen: Mapping[tuple[str, str], str]
    bound: Mapping[str, str]

    def of(self, event: NodeEvent) -> str:
        """Who is the `peer` of this event; empty where nobody knows."""
        peer = text(event, "peer")
        return self.seen.get((event.node, peer)) or self.bound.get(peer, "")


def owners(messages: Iterable[Joined], told: Iterable[NodeEvent]) -> Owners:
    """The owners of all addresses in these events."""
    bound = {
        f"{text(event, 'address')}:{text(event, 'port')}": event.node
        for event in told
        if event.name == "udp_bound"
    }
    arrived = [sent for message in messages for sent in message.sent if sent.arrival is not None]
    seen = {
        (sent.arrival.node, text(sent.arrival, "peer")): sent.source
        for sent in arrived
        if sent.arrival is not None and sent.source != sent.arrival.node
    }
    return Owners(seen, bound)


def answer(found: Mapping[Key, Joined], known: Owners, told: Iterable[NodeEvent]) -> None:
    """Refusals and cookies go out before there is an SA: their sender tells of a notification, of no message.

    Where one explains an arrival it becomes a transmission. The request that it answers has arrived.
    """
    refusals = [event for event in told if event.name == "notify_sent" and "spi_i" not in event.fields]
    for key, message in found.items():
        for arrival in list(message.unpaired):
            refusal = _refusal(arrival, known, refusals)
            sender = refusal.node if refusal else known.of(arrival)
            if refusal is not None:
                message.unpaired.remove(arrival)
                message.sent.append(Sent(refusal, arrival, sender, arrival=arrival))
            if sender and key[2] == "response":
                request = (key[0], key[1], "request", key[3], OTHER_SIDE.get(key[4], ""))
                _answered(found.get(request, Joined()), arrival, sender)


def _answered(request: Joined, arrival: NodeEvent, sender: str) -> None:
    """The latest request before an answer, where nothing else tells what became of it, did arrive."""
    asked = [sent for sent in request.sent if sent.whole and sent.told.moment <= arrival.moment]
    if asked and asked[-1].arrival is None and not asked[-1].stopped:
        asked[-1].answered = sender


def _refusal(arrival: NodeEvent, known: Owners, refusals: list[NodeEvent]) -> NodeEvent | None:
    """The latest notification before an arrival with it; it is then used."""
    owner, payloads = known.of(arrival), arrival.fields.get("payloads")
    names = payloads if isinstance(payloads, list) else []
    for at in range(bisect(refusals, arrival.moment, key=lambda event: event.moment) - 1, -1, -1):
        event = refusals[at]
        if (
            f"N({text(event, 'notify')})" in names
            and owner in ("", event.node)
            and event.node != arrival.node
        ):
            return refusals.pop(at)
    return None


def explain(messages: Iterable[Joined], drops: Sequence[NodeEvent], known: Owners) -> list[NodeEvent]:
    """Give each drop (by time) the transmission that it explains; the drops that explain none."""
    lost = [
        sent for message in messages for sent in message.sent if sent.arrival is None and not sent.stopped
    ]
    lost.sort(key=lambda sent: sent.told.moment)
    ways: dict[tuple[str, str], list[Sent]] = {}
    for sent in lost:
        ways.setdefault(("to", sent.target) if sent.target else ("from", sent.source), []).append(sent)
    unexplained = []
    for drop in drops:
        sender = known.of(drop)
        near = _before(ways.get(("to", drop.node), []), drop)
        near += _before(ways.get(("from", sender), []), drop) if sender != drop.node else []
        found = sorted(near, key=lambda sent: sent.told.moment)
        # A copy that the wire made many times explains many drops, where nothing else does.
        fresh = [sent for sent in found if not sent.drops]
        if found:
            (fresh or found)[-1].drops.append(drop)
        else:
            unexplained.append(drop)
    return unexplained


def _before(sents: list[Sent], drop: NodeEvent) -> list[Sent]:
    """The last transmissions before a drop that it can be about."""
    at = bisect(sents, drop.moment + _SLACK, key=lambda sent: sent.told.moment)
    return [sent for sent in sents[max(at - _LOOK_BACK, 0) : at] if _explains(drop, sent)]


def _explains(drop: NodeEvent, sent: Sent) -> bool:
    if sent.told.moment > drop.moment and not sent.copy:
        return False
    if text(drop, "reason").startswith("esp_") != is_esp(sent):
        return False
    if text(drop, "reason") == "fragment_repeated" and not sent.copy:
        # It was there already: the message is none the worse for it.
        return False
    return not sent.drops or (sent.copy and text(sent.drops[0], "reason") == text(drop, "reason"))


def is_esp(sent: Sent) -> bool:
    """Whether it is an ESP packet."""
    return "sequence" in sent.about.fields or text(sent.about, "datagram").startswith("ESP")
