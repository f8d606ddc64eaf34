"""The message ladder of a run as values: who sent what to whom, what became of it, what each node concluded.

1. A message and its arrival are two events of two nodes; they are joined by what identifies the message.
2. A transmission that no event shows to arrive is `LOST`; a drop that follows one explains it.
3. Nodes tell what they do after doing it: a row stands at the earlier of its two times.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lab.events import NodeEvent
from lab.text import printable

#: More lanes than these are too narrow to read: the first initiators and the responders stay.
MAX_LANES = 4


class Fate(StrEnum):
    """What became of a transmission."""

    ARRIVED = "arrived"
    LOST = "lost"
    DROPPED = "dropped"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Message:
    """One transmission. `source` is None where no node tells of sending it, `target` where none got it."""

    seconds: float
    source: str | None
    target: str | None
    name: str
    contents: str
    fate: Fate
    octets: int = 0
    again: int = 0
    reason: str = ""


class Kind(StrEnum):
    """What a note is about."""

    KEYS = "keys"
    STATE = "state"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened at one node."""

    seconds: float
    node: str
    text: str
    kind: Kind


Row = Message | Note


@dataclass(frozen=True, slots=True)
class Ladder:
    """`lanes` from left to right; `hidden` are nodes that have no lane."""

    lanes: tuple[str, ...]
    hidden: tuple[str, ...]
    rows: tuple[Row, ...]


_NAMES = {"IDI": "IDi", "IDR": "IDr", "TSI": "TSi", "TSR": "TSr"}
_OTHER_SIDE = {"initiator": "responder", "responder": "initiator"}
_ESP = {
    "esp_payload_sent": "esp_payload_decrypted",
    "esp_ack_sent": "esp_ack_received",
}
#: Events that become notes: words, the fields behind them, and what they are about.
_NOTES: dict[str, tuple[str, tuple[str, ...], Kind]] = {
    "shared_secret_derived": ("SKEYSEED and keys derived", ("group",), Kind.KEYS),
    "proposal_chosen": ("proposal chosen", ("suite",), Kind.STATE),
    "peer_auth_verified": ("peer authenticated", ("method",), Kind.STATE),
    "ike_sa_established": ("IKE SA ESTABLISHED", ("peer_identity",), Kind.STATE),
    "child_sa_installed": ("Child SA keys installed", ("inbound_spi", "outbound_spi"), Kind.KEYS),
    "child_sa_deleted": ("Child SA deleted", (), Kind.STATE),
    "ike_sa_deleted": ("IKE SA deleted", ("reason",), Kind.STATE),
    "pings_completed": ("pings answered", ("received", "sent"), Kind.STATE),
    "node_stopping": ("stopping", ("reason",), Kind.STATE),
    "authentication_failed": ("authentication failed", ("reason",), Kind.TROUBLE),
    "ike_sa_failed": ("IKE SA failed", ("reason",), Kind.TROUBLE),
    "child_sa_failed": ("Child SA failed", ("reason",), Kind.TROUBLE),
    "retransmission_gave_up": ("gave up: no answer", (), Kind.TROUBLE),
    "packet_dropped": ("inner packet dropped", ("reason",), Kind.TROUBLE),
    "demo_failed": ("demo failed", ("reason",), Kind.TROUBLE),
    "node_failed": ("node failed", ("detail",), Kind.TROUBLE),
}

Key = tuple[str, ...]


@dataclass(slots=True)
class _Sent:
    """A transmission while its arrival is looked for."""

    event: NodeEvent
    again: int
    arrival: NodeEvent | None = None
    drop: NodeEvent | None = None


@dataclass(slots=True)
class _Message:
    """Everything that is told of one message."""

    sent: list[_Sent] = field(default_factory=list)
    received: list[NodeEvent] = field(default_factory=list)


def build(events: Iterable[NodeEvent], only: Sequence[str] = ()) -> Ladder:
    """The ladder of these events; `only` names the nodes that get a lane, in their order."""
    told = sorted(events, key=lambda event: event.moment)
    lanes, hidden = _lanes(told, only)
    # Joined over all nodes: what went to a node without a lane is not lost, it is not shown.
    joined = _join(told)
    owners = _addresses(joined)
    drops = [event for event in told if event.name == "datagram_dropped"]
    unexplained = [
        drop
        for drop in _explain(joined, drops, owners)
        if drop.node in lanes and owners.get(_field(drop, "peer")) not in hidden
    ]
    elsewhere = _spis(event for event in told if event.node in hidden)
    messages = {key: message for key, message in joined.items() if key[0] not in elsewhere}
    shown = [event for event in told if event.node in lanes and not _spis([event]) & elsewhere]
    zero = min((_moment(s) for m in messages.values() for s in m.sent), default=_first(told))
    every = (row for message in messages.values() for row in _message_rows(message, zero))
    # A drop may tie a message to a node without a lane as well.
    rows: list[Row] = [row for row in every if not {row.source, row.target} & set(hidden)]
    rows += [_note(event, zero) for event in shown if event.name in _NOTES]
    rows += [_drop_note(event, zero) for event in unexplained]
    return Ladder(lanes, hidden, tuple(sorted(rows, key=lambda row: row.seconds)))


def _spis(events: Iterable[NodeEvent]) -> set[str]:
    """The SPIs that name SAs in these events: the IKE initiator's, and those of Child SAs."""
    names = ("spi_i", "inbound_spi", "outbound_spi", "spi")
    return {spi for event in events for name in names if (spi := _field(event, name))}


def _first(told: Sequence[NodeEvent]) -> float:
    return told[0].moment.timestamp() if told else 0.0


def _lanes(told: Sequence[NodeEvent], only: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    roles = {event.node: str(event.fields.get("role", "")) for event in reversed(told)}
    for event in told:
        if event.name == "node_started":
            roles[event.node] = str(event.fields.get("role", ""))
    ordered = sorted(roles, key=lambda node: (roles[node] == "responder", node))
    lanes = tuple(only)
    if not only and len(ordered) > MAX_LANES:
        responders = [node for node in ordered if roles[node] == "responder"][: MAX_LANES - 1]
        initiators = [node for node in ordered if node not in responders][: MAX_LANES - len(responders)]
        lanes = (*initiators, *responders)
    elif not only:
        lanes = tuple(ordered)
    return lanes, tuple(node for node in ordered if node not in lanes)


def _field(event: NodeEvent, name: str) -> str:
    value = event.fields.get(name, "")
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _key(event: NodeEvent, exchange: str, kind: str) -> Key:
    # IKE_SA_INIT is sent in other forms under one message ID (with a cookie, with another key share).
    form = f"{_field(event, 'payloads')} {_field(event, 'octets')}" if exchange == "IKE_SA_INIT" else ""
    return (_field(event, "spi_i"), exchange, kind, _field(event, "message_id"), _sender(event, kind), form)


def _sender(event: NodeEvent, kind: str) -> str:
    """Which side of the IKE SA sends this, so that both sides' own requests 0 stay apart."""
    ours = event.name.endswith("_sent") or event.name in ("retransmitted", "response_repeated")
    role = _field(event, "role")
    return role if ours else _OTHER_SIDE.get(role, "")


def _join(told: Sequence[NodeEvent]) -> dict[Key, _Message]:
    """Every message by what identifies it, with its transmissions and arrivals."""
    found: dict[Key, _Message] = {}
    latest: dict[Key, Key] = {}
    for event in told:
        if event.name in _ESP:
            found.setdefault(_esp_key(event), _Message()).sent.append(_Sent(event, 0))
        elif event.name in _ESP.values():
            found.setdefault(_esp_key(event), _Message()).received.append(event)
        elif event.name.endswith(("_sent", "_received")) and "message_id" in event.fields:
            exchange, _, way = event.name.rpartition("_")
            key = _key(event, exchange.upper(), _field(event, "kind"))
            message = found.setdefault(key, _Message())
            latest[(event.node, way, key[0], key[3], key[2])] = key
            if way == "sent":
                message.sent.append(_Sent(event, 0))
            else:
                message.received.append(event)
        elif event.name in ("retransmitted", "response_repeated"):
            _join_repeated(event, found, latest)
    for message in found.values():
        _pair(message)
    return found


def _esp_key(event: NodeEvent) -> Key:
    return (_field(event, "spi"), "ESP", _field(event, "sequence"))


def _join_repeated(event: NodeEvent, found: dict[Key, _Message], latest: dict[Key, Key]) -> None:
    """A repeated request, or a repeated response, which also says that the request came once more."""
    kind = "request" if event.name == "retransmitted" else "response"
    named = (_field(event, "spi_i"), _field(event, "message_id"))
    key = latest.get((event.node, "sent", *named, kind))
    if key is None:
        return
    message = found[key]
    message.sent.append(_Sent(event, len(message.sent)))
    request = latest.get((event.node, "received", *named, "request"))
    if kind == "response" and request is not None:
        found[request].received.append(event)


def _pair(message: _Message) -> None:
    """Each arrival belongs to the latest transmission before it that has none, else to the first without."""
    for arrival in message.received:
        free = [sent for sent in message.sent if sent.arrival is None and sent.event.node != arrival.node]
        before = [sent for sent in free if sent.event.moment <= arrival.moment]
        if before or free:
            (before[-1] if before else free[0]).arrival = arrival


def _addresses(messages: dict[Key, _Message]) -> dict[str, str]:
    """Whose an address is: an arrival names its sender's."""
    return {
        _field(sent.arrival, "peer"): sent.event.node
        for message in messages.values()
        for sent in message.sent
        if sent.arrival is not None
    }


def _explain(
    messages: dict[Key, _Message], drops: Sequence[NodeEvent], owners: Mapping[str, str]
) -> list[NodeEvent]:
    """Give each drop the transmission that it explains; the drops that explain none."""
    unexplained = []
    for drop in drops:
        sender = owners.get(_field(drop, "peer"))
        lost = [
            sent
            for message in messages.values()
            for sent in message.sent
            if sent.arrival is None
            and sent.drop is None
            and sent.event.node == sender != drop.node
            and sent.event.moment <= drop.moment
        ]
        if lost:
            max(lost, key=lambda sent: sent.event.moment).drop = drop
        else:
            unexplained.append(drop)
    return unexplained


def _moment(sent: _Sent) -> float:
    at = sent.event.moment.timestamp()
    return min(at, sent.arrival.moment.timestamp()) if sent.arrival is not None else at


def _message_rows(message: _Message, zero: float) -> list[Message]:
    if not message.sent:
        return [_foreign(event, zero) for event in message.received]
    described = message.sent[0].event
    rows = []
    for sent in message.sent:
        fate, target, reason = Fate.LOST, None, "not seen to arrive"
        if sent.arrival is not None:
            fate, target, reason = Fate.ARRIVED, sent.arrival.node, ""
        elif sent.drop is not None:
            fate, target, reason = Fate.DROPPED, sent.drop.node, _reason(sent.drop)
        rows.append(
            Message(
                _moment(sent) - zero,
                sent.event.node,
                target,
                _name(described),
                _contents(described),
                fate,
                _octets(described),
                sent.again,
                reason,
            )
        )
    return rows


def _foreign(event: NodeEvent, zero: float) -> Message:
    """What arrived, and no node tells of having sent."""
    at = event.moment.timestamp() - zero
    came = f"from {_field(event, 'peer')}"
    return Message(
        at, None, event.node, _name(event), _contents(event), Fate.FOREIGN, _octets(event), 0, came
    )


def _octets(event: NodeEvent) -> int:
    octets = event.fields.get("octets")
    return octets if isinstance(octets, int) else 0


def _name(event: NodeEvent) -> str:
    if "sequence" in event.fields:
        return printable(f"ESP {_field(event, 'spi')} sequence {_field(event, 'sequence')}")
    exchange = event.name.rpartition("_")[0].upper()
    return printable(f"{exchange} {_field(event, 'kind')} {_field(event, 'message_id')}")


def _contents(event: NodeEvent) -> str:
    """What is in it. Of a protected message the nodes tell what they sealed and opened."""
    if "sequence" in event.fields:
        return printable(f'SK{{"{_field(event, "text")}"}}').replace("SK", "encrypted ", 1)
    payloads = event.fields.get("payloads")
    names = [str(name) for name in payloads] if isinstance(payloads, list) else []
    nonce = "Ni" if _field(event, "kind") == "request" else "Nr"
    text = printable(" ".join(_NAMES.get(name, nonce if name == "NONCE" else name) for name in names))
    return text if event.name.startswith("ike_sa_init") else f"SK{{{text}}}"


def _reason(drop: NodeEvent) -> str:
    detail = _field(drop, "detail")
    return printable(f"dropped: {_field(drop, 'reason')}" + (f" ({detail})" if detail else ""))


def _note(event: NodeEvent, zero: float) -> Note:
    words, fields, kind = _NOTES[event.name]
    if event.name == "pings_completed":
        text = f"{_field(event, 'received')} of {_field(event, 'sent')} pings answered through the tunnel"
    else:
        told = " / ".join(_field(event, name) for name in fields if _field(event, name))
        text = f"{words}: {told}" if told else words
    return Note(event.moment.timestamp() - zero, event.node, printable(text), kind)


def _drop_note(event: NodeEvent, zero: float) -> Note:
    text = f"{_reason(event)}, from {_field(event, 'peer')}"
    return Note(event.moment.timestamp() - zero, event.node, printable(text), Kind.TROUBLE)


def since(seconds: float) -> str:
    """A time relative to the first message: `+12.3 ms`, `+1.234 s`."""
    return f"{seconds * 1000:+.1f} ms" if abs(seconds) < 1 else f"{seconds:+.3f} s"


def title(message: Message) -> str:
    """Name, size, and whether it is a repetition."""
    size = f", {message.octets} octets" if message.octets else ""
    return f"{message.name}{f', sent again ({message.again})' if message.again else size}"


def as_json(ladder: Ladder) -> dict[str, object]:
    """The ladder as values of the output schema."""
    return {
        "nodes": list(ladder.lanes),
        "hidden": list(ladder.hidden),
        "rows": [_row_json(row) for row in ladder.rows],
    }


def _row_json(row: Row) -> dict[str, object]:
    if isinstance(row, Note):
        return {"seconds": round(row.seconds, 6), "node": row.node, "note": row.text, "kind": row.kind.value}
    return {
        "seconds": round(row.seconds, 6),
        "from": row.source,
        "to": row.target,
        "message": row.name,
        "contents": row.contents,
        "octets": row.octets or None,
        "again": row.again,
        "fate": row.fate.value,
        "reason": row.reason or None,
    }
