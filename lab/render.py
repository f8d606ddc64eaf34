"""Events as lines for people: when, who, what, and the fields that matter. Everything from a node is escaped
here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lab.console import NODE_COLOURS, Style
from lab.events import NodeEvent, NodeExit, NodeProse, Told
from lab.text import printable


class Weight(Enum):
    """How much an event matters to who watches."""

    DETAIL = 0
    STEP = 1
    MILESTONE = 2
    TROUBLE = 3


@dataclass(frozen=True, slots=True)
class Phrase:
    """An event in words, and the fields that are shown behind them."""

    words: str
    fields: tuple[str, ...] = ()
    weight: Weight = Weight.STEP


_D, _M, _T = Weight.DETAIL, Weight.MILESTONE, Weight.TROUBLE

_PHRASES: Mapping[str, Phrase] = {
    "node_started": Phrase("started", ("role", "profile"), _D),
    "certificate_loaded": Phrase("X.509 certificate loaded", ("subject",)),
    "private_key_loaded": Phrase("PKCS#8 private key loaded", ("file",)),
    "psk_loaded": Phrase("shared secret loaded", ("file",)),
    "authorities_loaded": Phrase("trusted CAs loaded", ("file", "authorities")),
    "keylog_enabled": Phrase("KEY LOG: all keys are written down", ("file",), _T),
    "keylog_failed": Phrase("the key log ends", ("file", "detail"), _T),
    "dh_key_pair_generated": Phrase("Diffie-Hellman key pair generated", ("group", "octets")),
    "udp_bound": Phrase("UDP bound", ("address", "port")),
    "tun_ready": Phrase("TUN device ready", ("name", "address")),
    "tun_unavailable": Phrase("inner endpoint in user space", ("address",), _D),
    "esp_process_unavailable": Phrase("IKE and ESP share one process", ("reason",), _T),
    "process_started": Phrase("process started", ("process", "pid"), _D),
    "process_died": Phrase("a process DIED", ("process", "code", "signal"), _T),
    "process_distrusted": Phrase("a process is not trusted any more", ("process", "reason"), _T),
    "tun_gone": Phrase("the TUN device is GONE", ("reason",), _T),
    "privileges_dropped": Phrase("privileges dropped", ("uid", "gid"), _D),
    "control_ready": Phrase("control socket ready", ("socket",), _D),
    "addresses_unwatched": Phrase("changes of our addresses are not noticed", ("reason",), _T),
    "events_lost": Phrase("events are missing here", ("count",), _T),
    "node_stopping": Phrase("stopping", ("reason",)),
    "node_stopped": Phrase("stopped", ("uptime",)),
    "node_failed": Phrase("FAILED", ("detail",), _T),
    "spi_assigned": Phrase("random SPI assigned", ("spi", "peer")),
    "ike_sa_init_sent": Phrase("IKE_SA_INIT sent", ("kind", "payloads", "peer", "octets")),
    "ike_sa_init_received": Phrase("IKE_SA_INIT received", ("kind", "payloads", "peer", "octets")),
    "ike_sa_init_retried": Phrase("IKE_SA_INIT in another form", ("notify", "group", "peer")),
    "cookies_required": Phrase("under load: cookies required", ("half_open",), _T),
    "cookies_lifted": Phrase("cookies not required any more", ("half_open",)),
    "proposal_chosen": Phrase("proposal chosen", ("protocol", "suite")),
    "nat_detected": Phrase("a NAT is on the way", ("local", "remote")),
    "mobike_agreed": Phrase("both ends speak MOBIKE", ("decides",)),
    "address_changed": Phrase("our outer address is another one", ("old", "new")),
    "route_check_failed": Phrase("the peer has not shown that it receives there", ("reason",), _T),
    "peer_addresses_changed": Phrase("the peer has other further addresses", ("addresses",)),
    "path_mtu_changed": Phrase("the way to the peer carries another size", ("peer", "old", "mtu")),
    "peer_moved": Phrase("the peer has another address: followed", ("old", "new")),
    "shared_secret_derived": Phrase("shared secret and keys derived", ("group",)),
    "ike_auth_sent": Phrase("IKE_AUTH sent, encrypted", ("kind", "payloads", "peer", "octets")),
    "ike_auth_received": Phrase("IKE_AUTH received and decrypted", ("kind", "payloads", "peer", "octets")),
    "peer_certificate_verified": Phrase(
        "peer's certificate chain verified against the CA", ("subject", "issuer")
    ),
    "peer_identity_verified": Phrase("peer's identity verified", ("identity",)),
    "peer_auth_verified": Phrase("peer's AUTH verified", ("method", "scheme")),
    "authentication_failed": Phrase("authentication FAILED", ("reason", "detail", "peer"), _T),
    "ike_sa_established": Phrase("IKE SA established", ("peer_identity", "suite"), _M),
    "ike_sa_failed": Phrase("IKE SA failed", ("reason", "peer"), _T),
    "ike_sa_rekeyed": Phrase("IKE SA rekeyed", ("old_spi_i", "spi_i", "peer"), _M),
    "ike_rekey_failed": Phrase("IKE SA not rekeyed", ("reason", "peer"), _T),
    "ike_sa_reauthenticated": Phrase("peer authenticated anew", ("old_spi_i", "spi_i", "peer"), _M),
    "ike_reauth_failed": Phrase("not authenticated anew", ("reason", "peer"), _T),
    "rekey_collision": Phrase("both ends rekeyed at once", ("kept", "peer")),
    "ike_sa_deleted": Phrase("IKE SA deleted", ("reason", "peer"), _M),
    "virtual_ip_assigned": Phrase("inner address assigned by the responder", ("addresses",), _M),
    "inner_address_added": Phrase("inner address added", ("address",)),
    "inner_address_removed": Phrase("inner address removed", ("address",)),
    "inner_address_failed": Phrase("inner address NOT set", ("addresses", "reason"), _T),
    "create_child_sa_sent": Phrase("CREATE_CHILD_SA sent", ("kind", "payloads", "peer", "octets")),
    "create_child_sa_received": Phrase("CREATE_CHILD_SA received", ("kind", "payloads", "peer", "octets")),
    "informational_sent": Phrase("INFORMATIONAL sent", ("kind", "payloads", "peer")),
    "informational_received": Phrase("INFORMATIONAL received", ("kind", "payloads", "peer")),
    "notify_sent": Phrase("notify sent", ("notify", "peer", "detail"), _T),
    "notify_received": Phrase("notify received", ("notify", "peer"), _T),
    "retransmitted": Phrase("request sent again", ("n", "message_id", "peer"), _D),
    "retransmission_gave_up": Phrase("gave up: no answer", ("peer",), _T),
    "message_fragmented": Phrase("message sent in fragments", ("octets", "fragments")),
    "message_reassembled": Phrase("message joined from fragments", ("octets", "fragments")),
    "response_repeated": Phrase("response sent again", ("message_id", "peer"), _D),
    "datagram_dropped": Phrase("datagram dropped", ("reason", "detail", "peer"), _T),
    "child_sa_installed": Phrase("Child SA installed", ("local", "remote", "suite", "mode"), _M),
    "child_sa_failed": Phrase("Child SA failed", ("reason",), _T),
    "child_sa_rekeyed": Phrase("Child SA rekeyed", ("old_spi", "inbound_spi"), _M),
    "child_sa_deleted": Phrase("Child SA deleted", ("inbound_spi", "outbound_spi")),
    "child_sa_expiring": Phrase("Child SA will soon stop sending", ("inbound_spi", "outbound_spi"), _T),
    "child_sa_expired": Phrase("Child SA stopped sending, for good", ("inbound_spi", "outbound_spi"), _T),
    "esp_payload_sent": Phrase("ESP payload sent", ("text", "spi", "sequence")),
    "esp_payload_decrypted": Phrase("ESP payload decrypted", ("text", "spi", "sequence"), _M),
    "esp_ack_sent": Phrase("acknowledgement sent through the tunnel", ("target",)),
    "esp_ack_received": Phrase("acknowledgement received through the tunnel", ("text",), _M),
    "ping_replied": Phrase("echo reply through the tunnel", ("target", "seq", "rtt_ms"), _D),
    "pings_completed": Phrase("pings through the tunnel", ("sent", "received", "avg_ms"), _M),
    "demo_failed": Phrase("the demo FAILED", ("reason",), _T),
    "packet_dropped": Phrase("inner packet dropped", ("reason", "detail"), _T),
    "wire_ready": Phrase("the wire is ready", ("address", "target", "seed", "faults")),
    "wire_target_missing": Phrase("the wire waits for its target", ("target", "detail")),
    "wire_target_found": Phrase("the wire found its target", ("target", "address"), _D),
    "wire_fault": Phrase("fault", ("act", "datagram", "source", "target", "detail"), _T),
    "wire_faults_changed": Phrase("faults changed", ("reason", "faults"), _M),
    "wire_rebound": Phrase("NAT mapping changed", ("source", "old", "new"), _T),
    "wire_flood_done": Phrase("flood done", ("count", "seconds", "answers"), _T),
    "wire_junk_done": Phrase("junk sent", ("count",), _T),
    "wire_stopped": Phrase("the wire stopped", ("relayed", "faults"), _D),
    "wire_failed": Phrase("the wire FAILED", ("detail",), _T),
    "capture_started": Phrase("capturing", ("file", "vantage"), _D),
    "capture_stopped": Phrase("captured", ("packets", "lost"), _D),
}


#: Notifications of nearly every message, as strongSwan's log has them: a line is for the eye.
_SHORT: Mapping[str, str] = {
    "N(NAT_DETECTION_SOURCE_IP)": "N(NATD_S_IP)",
    "N(NAT_DETECTION_DESTINATION_IP)": "N(NATD_D_IP)",
    "N(IKEV2_FRAGMENTATION_SUPPORTED)": "N(FRAG_SUP)",
    "N(SIGNATURE_HASH_ALGORITHMS)": "N(HASH_ALG)",
    "N(INITIAL_CONTACT)": "N(INIT_CONTACT)",
}

#: Every event that a node can tell.
EVENTS = frozenset(_PHRASES)


def weight(told: Told) -> Weight:
    """How much this matters."""
    if isinstance(told, NodeEvent):
        phrase = _PHRASES.get(told.name)
        return phrase.weight if phrase else Weight.STEP
    return Weight.TROUBLE if isinstance(told, NodeExit) and told.code else Weight.STEP


def sentence(told: Told, style: Style) -> str:
    """What happened, without time and node."""
    match told:
        case NodeExit():
            return style.paint(f"exited with code {told.code}", "red" if told.code else "dim")
        case NodeProse():
            return printable(told.line)
    phrase = _PHRASES.get(told.name, Phrase(printable(told.name), tuple(told.fields)))
    words = {Weight.MILESTONE: ("green",), Weight.TROUBLE: ("red",), Weight.DETAIL: ("dim",)}.get(
        phrase.weight, ()
    )
    shown = [
        f"{printable(key)}={_value(told.fields[key])}"
        for key in phrase.fields
        if _worth(told.fields.get(key))
    ]
    return "  ".join([style.paint(phrase.words, *words) if words else phrase.words, *map(_dim(style), shown)])


def _dim(style: Style) -> "_Painter":
    return _Painter(style)


@dataclass(frozen=True, slots=True)
class _Painter:
    style: Style

    def __call__(self, text: str) -> str:
        return self.style.paint(text, "dim")


def _worth(value: object) -> bool:
    return value is not None and value != "" and value != []


def _value(value: object) -> str:
    if isinstance(value, list):
        return ",".join(printable(_SHORT.get(str(item), str(item))) for item in value)
    text = printable(str(value))
    return f'"{text}"' if " " in text else text


class NodeColours:
    """A colour for each node, in the order in which they were named."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self._colours = {node: NODE_COLOURS[index % len(NODE_COLOURS)] for index, node in enumerate(nodes)}
        self.width = max((len(node) for node in nodes), default=0)

    def label(self, node: str, style: Style) -> str:
        """The node's name in its colour, padded to the widest."""
        return style.paint(node.ljust(self.width), self._colours.get(node, "dim"))


def clock(moment: datetime) -> str:
    """The time of day to the millisecond, UTC."""
    return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def log_line(told: Told, colours: NodeColours, style: Style) -> str:
    """One line of `logs`."""
    time = clock(told.moment) if isinstance(told, NodeEvent) else " " * 12
    return f"{style.paint(time, 'dim')}  {colours.label(told.node, style)}  {sentence(told, style)}"
