"""What nodes and the wire tell beside messages, as notes of the ladder; the words for what the wire does."""

import re
from collections.abc import Mapping

from lab.events import NodeEvent
from lab.ladder.join import NO_DATAGRAM, text
from lab.ladder.values import Kind, Note
from lab.text import printable

#: Events that become notes: words, the fields behind them, and what they are about.
NOTES: Mapping[str, tuple[str, tuple[str, ...], Kind]] = {
    "shared_secret_derived": ("SKEYSEED and keys derived", ("group",), Kind.KEYS),
    "keylog_enabled": ("key log on: nothing of this node is secret", (), Kind.KEYS),
    "ike_sa_init_retried": ("asked once more, with", ("notify", "group"), Kind.STATE),
    "cookies_required": ("cookies required, half-open IKE SAs", ("half_open",), Kind.STATE),
    "cookies_lifted": ("cookies no longer required", (), Kind.STATE),
    "proposal_chosen": ("proposal chosen", ("suite",), Kind.STATE),
    "peer_auth_verified": ("peer authenticated", ("method", "scheme"), Kind.STATE),
    "ike_sa_established": ("IKE SA ESTABLISHED", ("peer_identity",), Kind.STATE),
    "child_sa_installed": ("Child SA keys installed", ("inbound_spi", "outbound_spi"), Kind.KEYS),
    "child_sa_expiring": ("Child SA will soon stop sending", ("outbound_spi",), Kind.TROUBLE),
    "child_sa_expired": ("Child SA stopped sending", ("outbound_spi",), Kind.TROUBLE),
    "child_sa_rekeyed": ("Child SA rekeyed", ("old_spi", "inbound_spi"), Kind.KEYS),
    "address_changed": ("our address is another one", ("new",), Kind.STATE),
    "peer_moved": ("the peer is followed to", ("new",), Kind.STATE),
    "route_check_failed": ("the peer has not shown where it is", ("reason",), Kind.TROUBLE),
    "ike_sa_rekeyed": ("IKE SA rekeyed", (), Kind.KEYS),
    "ike_sa_reauthenticated": ("peer authenticated anew", (), Kind.KEYS),
    "rekey_collision": ("both rekeyed at once", ("kept",), Kind.STATE),
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
#: What the wire tells, acts on datagrams aside: sentences with fields.
WIRE_NOTES: Mapping[str, str] = {
    "wire_rebound": "{source} now comes from {new} (was {old})",
    "wire_flood_done": "flood over: {count} requests in {seconds} s, {answers} answers",
    "wire_junk_done": "{count} forged messages were sent",
    "wire_faults_changed": "faults from here on: {faults} ({reason})",
}
#: Characters of one text of the ladder: some come from a peer.
_MOST = 400
_FIELD = re.compile(r"\{(\w+)\}")
_DONE = {
    "drop": "dropped",
    "duplicate": "duplicated",
    "reorder": "held back",
    "delay": "delayed",
    "corrupt": "corrupted",
    "truncate": "truncated",
    "replay": "replayed",
    "reflect": "reflected",
    "downgrade": "downgraded",
    "junk": "forged",
}


def shown(said: str) -> str:
    """Text of an event for people: control characters visible, and not too long."""
    return printable(said if len(said) <= _MOST else f"{said[:_MOST]} ...")


def done(act: NodeEvent) -> str:
    """What the wire did to a datagram: `delayed by the wire: 0.300 s`."""
    word, detail = text(act, "act"), text(act, "detail").removeprefix("once").removeprefix(", ")
    return shown(f"{_DONE.get(word, word)} by the wire" + (f": {detail}" if detail else ""))


def has_no_effect(act: NodeEvent) -> bool:
    """Whether the wire tells that its act changed nothing."""
    return text(act, "detail").startswith("no effect")


def note(event: NodeEvent, zero: float) -> Note:
    """The note of an event of NOTES."""
    words, fields, kind = NOTES[event.name]
    if event.name == "pings_completed":
        said = f"{text(event, 'received')} of {text(event, 'sent')} pings answered through the tunnel"
    else:
        said = _with_fields(words, event, fields)
    return Note(event.moment.timestamp() - zero, event.node, shown(said), kind)


def _with_fields(words: str, event: NodeEvent, fields: tuple[str, ...]) -> str:
    told = " / ".join(text(event, name) for name in fields if text(event, name))
    return f"{words}: {told}" if told else words


def drop_reason(drop: NodeEvent) -> str:
    """`dropped: bad_icv (what was wrong)`. Nodes tell the first drops in full, then their count."""
    detail, count = text(drop, "detail"), drop.fields.get("count")
    many = f", {count:,} by now" if isinstance(count, int) and count >= 10 else ""
    return shown(f"dropped: {text(drop, 'reason')}{many}" + (f" ({detail})" if detail else ""))


def drop_note(event: NodeEvent, zero: float) -> Note:
    """The note of a drop that explains no transmission."""
    said = f"{drop_reason(event)}, from {shown(text(event, 'peer'))}"
    return Note(event.moment.timestamp() - zero, event.node, said, Kind.TROUBLE)


def is_wire_note(event: NodeEvent) -> bool:
    """Whether an event of the wire is a note, and not what it did to a datagram."""
    if event.name == "wire_fault":
        return text(event, "act") in NO_DATAGRAM or has_no_effect(event)
    return event.name in WIRE_NOTES


def wire_note(event: NodeEvent, zero: float) -> Note:
    """The note of an event for which `is_wire_note` holds."""
    if event.name == "wire_fault":
        about = text(event, "datagram")
        where = "" if about == "start" else f" at {about}"
        said = f"{text(event, 'act')}{where}: {text(event, 'detail')}"
    else:
        fields = {name: text(event, name) or "none" for name in _FIELD.findall(WIRE_NOTES[event.name])}
        said = WIRE_NOTES[event.name].format_map(fields)
    return Note(event.moment.timestamp() - zero, event.node, shown(said), Kind.WIRE)
