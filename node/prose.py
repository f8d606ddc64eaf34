"""Events as lines for people, in the wording that readers of IKE logs know.

Rules:

1. Whatever a peer may have written is escaped here: no control character reaches a terminal.
2. A missing field never breaks a line; a name without a template is shown with its fields.
"""

import codecs
from collections.abc import Mapping
from dataclasses import dataclass

from node.model.events import EventName as E

# Python imports an encoding when it is first used: that may be after the node became a user who cannot read
# Python's own files, and with text that a peer chose.
_escaped = codecs.lookup("unicode_escape").encode

_MESSAGE_SENT = (
    "generating {} {{kind}} {{message_id}} [ {{payloads}} ] for {{peer}} ({{octets}} bytes{{in_fragments}})"
)
_MESSAGE_RECEIVED = (
    "parsed {} {{kind}} {{message_id}} [ {{payloads}} ] from {{peer}} ({{octets}} bytes{{in_fragments}})"
)

_TEMPLATES: dict[E, str] = {
    E.NODE_STARTED: "{role} starting, profile {profile}, version {version}",
    E.CERTIFICATE_LOADED: "loaded certificate of {subject} from {file}",
    E.PRIVATE_KEY_LOADED: "loaded PKCS#8 private key of {identity} from {file}",
    E.PSK_LOADED: "loaded the shared secret from {file}",
    E.AUTHORITIES_LOADED: "loaded {authorities} trusted CAs from {file}",
    E.KEYLOG_ENABLED: "KEY LOG: every key of every SA is written to {file}; nothing is secret here",
    E.KEYLOG_FAILED: "the key log {file} ends here: {detail}",
    E.DH_KEY_PAIR_GENERATED: "generated DH key pair ({group}, {octets} octets)",
    E.UDP_BOUND: "listening on UDP {address}[{port}]",
    E.TUN_READY: "TUN device {name} up with {address}, MTU {mtu}, routes to {routes}",
    E.TUN_UNAVAILABLE: "no TUN device, using the endpoint in user space at {address}: {reason}",
    E.TUN_GONE: "the TUN device is gone: {reason}",
    E.ESP_PROCESS_UNAVAILABLE: "no process of its own for ESP, IKE and ESP share one: {reason}",
    E.PROCESS_STARTED: "the {process} process is process {pid}, restart {restarts}",
    E.PROCESS_DIED: "the {process} process {pid} DIED: code {code}, signal {signal}",
    E.PROCESS_DISTRUSTED: "the {process} process cannot be trusted any more and is ended: {reason}",
    E.PRIVILEGES_DROPPED: "running as uid {uid} gid {gid} without capabilities",
    E.CONTROL_READY: "control socket at {socket}",
    E.ADDRESSES_UNWATCHED: "changes of our addresses will not be noticed: {reason}",
    E.EVENTS_LOST: "{count} lines were not read in time and are lost",
    E.NODE_STOPPING: "stopping: {reason}",
    E.NODE_STOPPED: "stopped after {uptime} s",
    E.NODE_FAILED: "FAILED: {detail}",
    E.SPI_ASSIGNED: "assigned SPI {spi} to the IKE_SA with {peer}",
    E.IKE_SA_INIT_SENT: _MESSAGE_SENT.format("IKE_SA_INIT"),
    E.IKE_SA_INIT_RECEIVED: _MESSAGE_RECEIVED.format("IKE_SA_INIT"),
    E.IKE_SA_INIT_RETRIED: "{peer} wants {notify}: IKE_SA_INIT in another form, group {group}, retry {n}",
    E.COOKIES_REQUIRED: "{half_open} half-open IKE_SAs: strangers must show a cookie",
    E.COOKIES_LIFTED: "{half_open} half-open IKE_SAs: cookies are not required any more",
    E.PROPOSAL_CHOSEN: "selected proposal: {protocol}:{suite}",
    E.NAT_DETECTED: "NAT detected: ours {local}, the peer's {remote}",
    E.PEER_MOVED: "the peer of IKE_SA {spi_i}_i is at {new} now, no longer at {old}: following it",
    E.MOBIKE_AGREED: "MOBIKE with {peer}; it has further addresses: {addresses}",
    E.ADDRESS_CHANGED: "our end of IKE_SA {spi_i}_i is at {new} now, no longer at {old}",
    E.PEER_ADDRESSES_CHANGED: "the peer of IKE_SA {spi_i}_i has further addresses: {addresses}",
    E.ROUTE_CHECK_FAILED: "{peer} has not shown that it receives there: {reason}",
    E.SHARED_SECRET_DERIVED: "derived the shared secret ({group}) and the keys of the IKE_SA with {peer}",
    E.IKE_AUTH_SENT: _MESSAGE_SENT.format("IKE_AUTH"),
    E.IKE_AUTH_RECEIVED: _MESSAGE_RECEIVED.format("IKE_AUTH"),
    E.PEER_CERTIFICATE_VERIFIED: 'certificate "{subject}" of {peer} is trusted, issued by "{issuer}"',
    E.PEER_IDENTITY_VERIFIED: "identity {identity} of {peer} is the expected one",
    E.PEER_AUTH_VERIFIED: "authentication of {peer} with {method} successful",
    E.AUTHENTICATION_FAILED: "authentication of {peer} FAILED ({reason}): {detail}",
    E.IKE_SA_ESTABLISHED: "IKE_SA {spi_i}_i {spi_r}_r established with {peer}[{peer_identity}], {suite}",
    E.IKE_SA_FAILED: "IKE_SA {spi_i}_i with {peer} failed: {reason}",
    E.IKE_SA_REAUTHENTICATED: "IKE_SA {spi_i}_i {spi_r}_r, a new one, replaces {old_spi_i}_i {old_spi_r}_r",
    E.IKE_REAUTH_FAILED: "IKE_SA {spi_i}_i {spi_r}_r was not authenticated anew: {reason}",
    E.IKE_SA_REKEYED: "IKE_SA {spi_i}_i {spi_r}_r replaces {old_spi_i}_i {old_spi_r}_r",
    E.IKE_REKEY_FAILED: "IKE_SA {spi_i}_i {spi_r}_r was not replaced: {reason}",
    E.REKEY_COLLISION: "both ends replaced the same SA, ours was kept: {kept}",
    E.VIRTUAL_IP_ASSIGNED: "{addresses} inside the tunnel for the initiator of IKE_SA {spi_i}_i {spi_r}_r",
    E.IKE_SA_DELETED: "IKE_SA {spi_i}_i {spi_r}_r with {peer} deleted: {reason}",
    E.CREATE_CHILD_SA_SENT: _MESSAGE_SENT.format("CREATE_CHILD_SA"),
    E.CREATE_CHILD_SA_RECEIVED: _MESSAGE_RECEIVED.format("CREATE_CHILD_SA"),
    E.INFORMATIONAL_SENT: _MESSAGE_SENT.format("INFORMATIONAL"),
    E.INFORMATIONAL_RECEIVED: _MESSAGE_RECEIVED.format("INFORMATIONAL"),
    E.NOTIFY_SENT: "sending notify {notify} to {peer}: {detail}",
    E.NOTIFY_RECEIVED: "received notify {notify} from {peer}",
    E.RETRANSMITTED: "retransmit {n} of request with message ID {message_id}",
    E.RETRANSMISSION_GAVE_UP: "giving up, {peer} does not answer",
    E.RESPONSE_REPEATED: "received request {message_id} once more from {peer}, response sent again",
    E.DATAGRAM_DROPPED: "dropped datagram from {peer}: {reason} ({count} so far) {detail}",
    E.INNER_ADDRESS_ADDED: "inner address {address} added",
    E.INNER_ADDRESS_REMOVED: "inner address {address} removed",
    E.INNER_ADDRESS_FAILED: "the inner addresses {addresses} could not be set: {reason}",
    E.CHILD_SA_INSTALLED: (
        "CHILD_SA established with SPIs {inbound_spi}_i {outbound_spi}_o and TS {local} === {remote}, "
        "{suite}, {mode} mode"
    ),
    E.CHILD_SA_FAILED: "CHILD_SA with {peer} failed: {reason}",
    E.CHILD_SA_REKEYED: "CHILD_SA with SPI {inbound_spi}_i replaces {old_spi}_i",
    E.CHILD_SA_DELETED: "CHILD_SA with SPIs {inbound_spi}_i {outbound_spi}_o closed",
    E.CHILD_SA_EXPIRING: "CHILD_SA with SPIs {inbound_spi}_i {outbound_spi}_o has few sequence numbers left",
    E.CHILD_SA_EXPIRED: "CHILD_SA with SPIs {inbound_spi}_i {outbound_spi}_o sends nothing any more",
    E.PATH_MTU_CHANGED: "packets to {peer} may have {mtu} octets now, no longer {old}",
    E.ESP_PAYLOAD_SENT: 'sent ESP payload "{text}" to {target} (SPI {spi}, sequence {sequence})',
    E.ESP_PAYLOAD_DECRYPTED: 'decrypted ESP payload "{text}" from {peer} (SPI {spi}, sequence {sequence})',
    E.ESP_ACK_SENT: "acknowledged the payload to {target}",
    E.ESP_ACK_RECEIVED: 'received acknowledgement "{text}" from {peer} (SPI {spi}, sequence {sequence})',
    E.PING_REPLIED: "{bytes} bytes from {target}: icmp_seq={seq} time={rtt_ms} ms",
    E.PINGS_COMPLETED: (
        "{sent} packets transmitted, {received} received, rtt min/avg/max = {min_ms}/{avg_ms}/{max_ms} ms"
    ),
    E.DEMO_FAILED: "the demo failed: {reason}",
    E.PACKET_DROPPED: "dropped inner packet: {reason} ({count} so far) {detail}",
}

_BAD = frozenset(
    {
        E.NODE_FAILED,
        E.AUTHENTICATION_FAILED,
        E.IKE_SA_FAILED,
        E.ROUTE_CHECK_FAILED,
        E.CHILD_SA_FAILED,
        E.CHILD_SA_EXPIRED,
        E.DEMO_FAILED,
        E.INNER_ADDRESS_FAILED,
        E.PROCESS_DIED,
        E.PROCESS_DISTRUSTED,
        E.TUN_GONE,
    }
)
_WARN = frozenset(
    {
        E.ADDRESSES_UNWATCHED,
        E.CHILD_SA_EXPIRING,
        E.COOKIES_REQUIRED,
        E.DATAGRAM_DROPPED,
        E.ESP_PROCESS_UNAVAILABLE,
        E.EVENTS_LOST,
        E.KEYLOG_ENABLED,
        E.KEYLOG_FAILED,
        E.PACKET_DROPPED,
        E.RETRANSMITTED,
        E.RETRANSMISSION_GAVE_UP,
        E.TUN_UNAVAILABLE,
    }
)
_GOOD = frozenset(
    {
        E.IKE_SA_ESTABLISHED,
        E.CHILD_SA_INSTALLED,
        E.ESP_PAYLOAD_DECRYPTED,
        E.ESP_ACK_RECEIVED,
        E.PINGS_COMPLETED,
    }
)


@dataclass(frozen=True, slots=True)
class Palette:
    """SGR sequences, or nothing."""

    enabled: bool

    def paint(self, name: E, text: str) -> str:
        """`text` in the colour of the event's kind."""
        code = "31" if name in _BAD else "33" if name in _WARN else "32" if name in _GOOD else ""
        return f"\x1b[{code}m{text}\x1b[0m" if self.enabled and code else text

    def dim(self, text: str) -> str:
        """`text` in the background."""
        return f"\x1b[2m{text}\x1b[0m" if self.enabled else text


def render(stamp: str, node: str, name: E, fields: Mapping[str, object], palette: Palette) -> str:
    """One line: time of day, node, and what happened."""
    template = _TEMPLATES.get(name)
    shown = _shown(fields)
    if "fragments" in fields:
        shown["in_fragments"] = f" in {shown['fragments']} fragments"
    text = escape(template.format_map(shown) if template else _plain(name, shown)).replace("[  ]", "[ ]")
    head = palette.dim(f"{stamp[11:23]} {node}")
    return f"{head} {palette.paint(name, text.rstrip())}"


def escape(text: str) -> str:
    """`text` with everything that is not printable as `\\x1b` or `\\u2028`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c)[0].decode() for c in text)


class _Fields(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return {"detail": "", "in_fragments": "", "peer": "the peer"}.get(key, "?")


def _shown(fields: Mapping[str, object]) -> _Fields:
    """The fields as they are shown. Most are text or numbers, which is left as it is."""
    shown = _Fields(fields)
    for key, value in fields.items():
        if type(value) is not str and type(value) is not int:
            shown[key] = _show(value)
    return shown


def _show(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(map(_show, value))
    return "-" if value is None else str(value)


def _plain(name: E, fields: Mapping[str, object]) -> str:
    return " ".join([str(name), *(f"{key}={value}" for key, value in fields.items())])
