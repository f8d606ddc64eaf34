"""What the lines of charon's log mean: one rule for each wording, as strongSwan 6.0 and 6.1 have them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lab.events import NodeEvent, Told
from lab.peers import algorithms
from lab.peers.identities import from_charon

Event = tuple[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log. `sa` is the number of the IKE SA that the thread works on."""

    moment: datetime
    thread: int
    group: str
    level: int
    sa: int | None
    text: str


#: The manager: a message is for this SA; a thread has done with an SA; an SA is gone.
CHECKOUT = re.compile(r"checkout IKEv2 SA by message with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r")
CHECKIN = re.compile(r"checkin IKEv2 SA .*\[(\d+)\] with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r")
DESTROYING = re.compile(r"checkin and destroy IKE_SA .*\[(\d+)\]")
DESTROYED = re.compile(r"checkin and destroy of IKE_SA successful")
#: The last words of the script that reads swanctl.conf: good and bad.
LOADED = re.compile(r"load: (?:successfully loaded \d+ connections|no connections found), \d+ unloaded")
NOT_LOADED = re.compile(r"load: loaded \d+ of \d+ connections, .*")

_PAYLOAD = re.compile(r"[^\s()]+(?:\([^)]*\))?")
_PAYLOADS = {"No": "NONCE", "IDi": "IDI", "IDr": "IDR", "TSi": "TSI", "TSr": "TSR", "D": "DELETE"}
_NOTIFY = re.compile(r"N\((\w+)\)")
#: Notifications that refuse something, by charon's short names.
_REFUSALS = {
    "CRIT": "UNSUPPORTED_CRITICAL_PAYLOAD",
    "INVAL_IKE_SPI": "INVALID_IKE_SPI",
    "INVAL_MAJOR": "INVALID_MAJOR_VERSION",
    "INVAL_SYN": "INVALID_SYNTAX",
    "INVAL_MID": "INVALID_MESSAGE_ID",
    "INVAL_SPI": "INVALID_SPI",
    "NO_PROP": "NO_PROPOSAL_CHOSEN",
    "INVAL_KE": "INVALID_KE_PAYLOAD",
    "AUTH_FAILED": "AUTHENTICATION_FAILED",
    "SINGLE_PAIR": "SINGLE_PAIR_REQUIRED",
    "NO_ADD_SAS": "NO_ADDITIONAL_SAS",
    "INT_ADDR_FAIL": "INTERNAL_ADDRESS_FAILURE",
    "FAIL_CP_REQ": "FAILED_CP_REQUIRED",
    "TS_UNACCEPT": "TS_UNACCEPTABLE",
    "TEMP_FAIL": "TEMPORARY_FAILURE",
    "NO_CHILD_SA": "CHILD_SA_NOT_FOUND",
}
_KIND_OF_ERROR = "AUTHENTICATION_FAILED"


@dataclass(frozen=True, slots=True)
class _Child:
    inbound: str
    outbound: str


@dataclass(slots=True)
class Sa:
    """What is known of one IKE SA while its log is read."""

    number: int
    spi_i: str = "0" * 16
    spi_r: str = "0" * 16
    role: str = ""
    peer: str = ""
    octets: int = 0
    exchange: str = ""
    suites: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    subject: str = ""
    issuer: str = ""
    #: Why the last refusal came about: a reason of docs/events.md and charon's words.
    cause: tuple[str, str] = ("", "")
    retries: int = 0
    up: bool = False
    #: A responder that wants another group keeps no state (RFC 7296 1.2), whatever charon calls it.
    stateless: bool = False
    #: The IKE SA that takes the place of this one.
    heir: int = 0
    #: The IKE SA that was made in its place, too, and is not kept.
    redundant: int = 0
    children: dict[str, _Child] = field(default_factory=dict)
    pending: list[Told] = field(default_factory=list)

    def read(self, line: Line) -> list[Event] | None:
        """What a line means for this SA; None where it means nothing."""
        for pattern, rule in _RULES:
            if found := pattern.fullmatch(line.text):
                events = rule(self, found, line)
                return None if events is None else [self._placed(event) for event in events]
        return None

    def _placed(self, event: Event) -> Event:
        """The event with the peer's address of now; a message that leaves gets it when it is out."""
        name, fields = event
        leaves = name.endswith("_sent") and "message_id" in fields
        return event if leaves or not self.peer else (name, {"peer": self.peer, **fields})

    def inherit(self, other: "Sa") -> None:
        """Take over what an SA had whose place this one takes."""
        self.accompany(other)
        self.suites = {**other.suites, **self.suites}
        self.children, other.children = other.children, {}

    def accompany(self, other: "Sa") -> None:
        """This one is with the same peer, and was up."""
        self.role, self.peer, self.up = other.role, other.peer, True

    def completed(self, event: NodeEvent) -> NodeEvent:
        """The event with the fields that every event of an SA has."""
        about = {"spi_i": self.spi_i, "spi_r": self.spi_r, "peer": self.peer, "role": self.role}
        return replace(event, fields={**about, **event.fields})


# --- messages ---


def _outgoing(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    exchange, kind, number, payloads = found.groups()
    names = _PAYLOAD.findall(payloads)
    if any(name.startswith("EF(") for name in names):
        return []
    sa.exchange = exchange
    if kind == "request":
        sa.requests[number] = exchange
    events: list[Event] = []
    for notify in _refused(names):
        if notify == _KIND_OF_ERROR:
            reason, detail = sa.cause
            events.append(("authentication_failed", {"reason": reason or "unknown", "detail": detail}))
        events.append(("notify_sent", {"notify": notify, "detail": sa.cause[1]}))
        sa.stateless = notify == "INVALID_KE_PAYLOAD" and exchange == "IKE_SA_INIT"
    return [*events, _message(exchange, "sent", kind, number, names)]


def _incoming(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    exchange, kind, number, payloads = found.groups()
    names = _PAYLOAD.findall(payloads)
    if any(name.startswith("EF(") for name in names):
        return []
    sa.exchange = exchange
    name, fields = _message(exchange, "received", kind, number, names)
    told: list[Event] = [(name, {**fields, "octets": sa.octets})]
    protected = exchange != "IKE_SA_INIT"
    if kind == "response":
        told += [("notify_received", {"notify": n, "protected": protected}) for n in _refused(names)]
    elif "AUTHENTICATION_FAILED" in _refused(names):
        told.append(("notify_received", {"notify": "AUTHENTICATION_FAILED", "protected": protected}))
    return told


def _message(exchange: str, way: str, kind: str, number: str, names: list[str]) -> Event:
    payloads = [_PAYLOADS.get(name, name) for name in names]
    fields = {"kind": kind, "message_id": int(number), "payloads": payloads}
    return f"{exchange.lower()}_{way}", fields


def _refused(names: list[str]) -> list[str]:
    found = (match[1] for name in names if (match := _NOTIFY.fullmatch(name)))
    return [_REFUSALS[name] for name in found if name in _REFUSALS]


def _arrived(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    sa.peer, sa.octets = _endpoint(found[1]), int(found[2])
    return []


def _left(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    """A packet is out: the message that it carries gets its octets, unless it was split before."""
    sa.peer = _endpoint(found[1])
    _measure(sa, int(found[2]))
    return []


def _measure(sa: Sa, octets: int) -> None:
    for index in range(len(sa.pending) - 1, -1, -1):
        told = sa.pending[index]
        if isinstance(told, NodeEvent) and told.name.endswith("_sent") and "message_id" in told.fields:
            about = {"octets": octets, "peer": sa.peer}
            sa.pending[index] = replace(told, fields={**about, **told.fields})
            return


def _split(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    _measure(sa, int(found[1]))
    return [("message_fragmented", {"octets": int(found[1]), "fragments": int(found[2])})]


def _joined(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    sa.octets = int(found[2])
    return [("message_reassembled", {"octets": int(found[2]), "fragments": int(found[1])})]


def _endpoint(text: str) -> str:
    """`10.0.0.1[500]` as `10.0.0.1:500`."""
    host, _, port = text.rstrip("]").rpartition("[")
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _again(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    fields = {"n": int(found[1]), "message_id": int(found[2]), "exchange": sa.requests.get(found[2], "")}
    return [("retransmitted", fields)]


def _answered_again(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    return [("response_repeated", {"message_id": int(found[1])})]


def _gave_up(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    sa.cause = ("no_answer", line.text)
    return [("retransmission_gave_up", {})]


def _retried(sa: Sa, found: re.Match[str], line: Line) -> list[Event] | None:
    if sa.exchange != "IKE_SA_INIT":
        return None
    sa.retries += 1
    group = found.groupdict().get("group") or ""
    notify = "INVALID_KE_PAYLOAD" if group else "COOKIE"
    return [("ike_sa_init_retried", {"notify": notify, "group": _group(group), "n": sa.retries})]


def _group(name: str) -> str:
    try:
        return algorithms.by_charon(algorithms.Kind.KE, name).iana
    except ValueError:
        return name


# --- the handshake ---


def _initiator(sa: Sa, found: re.Match[str], line: Line) -> None:
    sa.role = "initiator"


def _responder(sa: Sa, found: re.Match[str], line: Line) -> None:
    # The same is told, of the old IKE SA, where the peer begins to replace it.
    if sa.exchange != "CREATE_CHILD_SA":
        sa.role = "responder"


def _proposal(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    try:
        suite = algorithms.from_log(found[2]).iana
    except ValueError:
        suite = found[2]
    sa.suites[found[1]] = suite
    return [("proposal_chosen", {"protocol": found[1], "suite": suite})]


def _subject(sa: Sa, found: re.Match[str], line: Line) -> None:
    sa.subject = found[1]


def _issuer(sa: Sa, found: re.Match[str], line: Line) -> None:
    sa.issuer = found[1]


def _chain(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    return [("peer_certificate_verified", {"subject": sa.subject, "issuer": sa.issuer})]


def _authenticated(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    return [("peer_auth_verified", {"method": found[2], "identity": from_charon(found[1])})]


def _established(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    sa.up = True
    identity = from_charon(found[1])
    suite = sa.suites.get("IKE", "")
    return [
        ("peer_identity_verified", {"identity": identity}),
        ("ike_sa_established", {"peer_identity": identity, "suite": suite}),
    ]


def _child(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    number, inbound, outbound, local, remote = found.groups()
    sa.children[number] = _Child(inbound, outbound)
    fields = {
        "inbound_spi": inbound,
        "outbound_spi": outbound,
        "suite": sa.suites.get("ESP", ""),
        "local": local.split(),
        "remote": remote.split(),
    }
    return [("child_sa_installed", fields)]


def _child_closed(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    child = sa.children.pop(found[1], _Child(found[2], found[3]))
    return [("child_sa_deleted", {"inbound_spi": child.inbound, "outbound_spi": child.outbound})]


def _no_child(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    return [("child_sa_failed", {"reason": sa.cause[1] or line.text})]


# --- failures and ends ---


def _because(reason: str) -> Callable[[Sa, re.Match[str], Line], None]:
    def remember(sa: Sa, found: re.Match[str], line: Line) -> None:
        sa.cause = (reason, line.text.strip())

    return remember


def _dates(sa: Sa, found: re.Match[str], line: Line) -> None:
    """A certificate out of its time: before it or behind it."""
    try:
        begins = datetime.strptime(found[1], "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        begins = line.moment
    sa.cause = ("not_yet_valid" if begins > line.moment else "expired", line.text.strip())


def _no_key(sa: Sa, found: re.Match[str], line: Line) -> None:
    """The last word on a peer's certificate; why it is not trusted was said before."""
    if not sa.cause[0]:
        sa.cause = ("untrusted_issuer", line.text)


def _deleting(sa: Sa, found: re.Match[str], line: Line) -> None:
    if not sa.heir:
        sa.cause = ("deleted", line.text)


def _gone(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    events: list[Event] = [
        ("child_sa_deleted", {"inbound_spi": child.inbound, "outbound_spi": child.outbound})
        for child in sa.children.values()
    ]
    sa.children.clear()
    if sa.stateless and not sa.up:
        return events
    name = "ike_sa_deleted" if sa.up else "ike_sa_failed"
    return [*events, (name, {"reason": sa.cause[1] or found[1]})]


def _rekeyed(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    sa.heir, sa.cause = int(found[1]), ("rekeyed", "rekeyed")
    return [("ike_sa_rekeyed", {})]


def _child_rekeyed(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    return [("child_sa_rekeyed", {"inbound_spi": found[1], "outbound_spi": found[2]})]


def _collided(sa: Sa, found: re.Match[str], line: Line) -> list[Event]:
    sa.redundant = int(found[2] or 0)
    return [("rekey_collision", {"kept": found[1] == "won"})]


Rule = Callable[[Sa, re.Match[str], Line], list[Event] | None]

_PACKET = r"packet: from (?:\S+) to (?:\S+) \(\d+ bytes\)"
_MESSAGE = (
    r"(IKE_SA_INIT|IKE_AUTH|CREATE_CHILD_SA|INFORMATIONAL|IKE_INTERMEDIATE) (request|response) (\d+) \[(.*)\]"
)
_SPIS = r"SPIs ([0-9a-f]{8})_i (?:\(\d+ bytes\) )?([0-9a-f]{8})_o"

_RULES: tuple[tuple[re.Pattern[str], Rule], ...] = tuple(
    (re.compile(pattern, re.DOTALL), rule)
    for pattern, rule in (
        (rf"generating {_MESSAGE}", _outgoing),
        (rf"parsed {_MESSAGE}", _incoming),
        (r"received packet: from (\S+) to \S+ \((\d+) bytes\)", _arrived),
        (r"sending packet: from \S+ to (\S+) \((\d+) bytes\)", _left),
        (r"splitting IKE message \((\d+) bytes\) into (\d+) fragments", _split),
        (r"received fragment #\d+ of (\d+), reassembled fragmented IKE message \((\d+) bytes\)", _joined),
        (r"retransmit (\d+) of request with message ID (\d+)", _again),
        (r"received retransmit of request with ID (\d+), retransmitting response", _answered_again),
        (r"giving up after \d+ retransmits", _gave_up),
        (r"peer didn't accept key exchange method \S+, it requested (?P<group>\S+)", _retried),
        (r"received COOKIE notify", _retried),
        (r"initiating IKE_SA .*\[\d+\] to .*", _initiator),
        (r"\S+ is initiating (?:an IKE_SA|IKE_SA .*\[\d+\])", _responder),
        (r"selected proposal: ((?:IKE|ESP)):(\S+)", _proposal),
        (r"  using (?:trusted )?certificate \"(.*)\"", _subject),
        (r"  using trusted (?:intermediate )?ca certificate \"(.*)\"", _issuer),
        (r"  reached self-signed root ca with a path length of \d+", _chain),
        (r"authentication of '(.*)' with (.+) successful", _authenticated),
        (r"IKE_SA .*\[\d+\] established between \S+\[.*\]\.\.\.[0-9a-f.:]+\[(.*)\]", _established),
        (rf"(?:outbound )?CHILD_SA .*\{{(\d+)\}} established with {_SPIS} and TS (.*) === (.*)", _child),
        (rf"closing (?:expired )?CHILD_SA .*\{{(\d+)\}} with {_SPIS}.*", _child_closed),
        (rf"rekeyed CHILD_SA .* with {_SPIS} with .*", _child_rekeyed),
        (r"IKE_SA .*\[(\d+)\] rekeyed between .*", _rekeyed),
        (r"(?:CHILD|IKE)_SA rekey collision (won|lost), .*?(?:IKE_SA .*\[(\d+)\])?", _collided),
        (r"failed to establish CHILD_SA, keeping IKE_SA", _no_child),
        (r"IKE_SA .*\[\d+\] state change: \w+ => (DESTROYING)", _gone),
        (r"(?:sending|received) DELETE for IKE_SA .*", _deleting),
        (r"no IKE config found for .*", _because("proposal")),
        (r"received proposals unacceptable|no acceptable proposal found", _because("proposal")),
        (r"traffic selectors .* unacceptable|no acceptable traffic selectors found", _because("selectors")),
        (r"tried \d+ shared keys? for .*, but MAC mismatched", _because("wrong_shared_key")),
        (r"signature validation failed, looking for another key", _because("bad_signature")),
        (r"no (?:shared|private) key found for .*", _because("no_certificate")),
        (r"no issuer certificate found for .*", _because("untrusted_issuer")),
        (r"  self-signed certificate .* is not trusted", _because("untrusted_issuer")),
        (r".*certificate invalid \(valid from (.*) to .*\)", _dates),
        (r"no trusted \S+ public key found for .*", _no_key),
        (r"rejecting certificate without digitalSignature.*", _because("key_usage")),
        (r"constraint check failed: certificate does not confirm .*", _because("identity_mismatch")),
        (r"constraint check failed: identity .*", _because("unexpected_identity")),
        (r"received IDr .*, but require .*", _because("unexpected_identity")),
        (r"no (?:matching peer|alternative) config found", _because("unexpected_identity")),
        (r"(?:IKE|X\.509) signature scheme .* not acceptable", _because("unsupported_method")),
        (r"constraint requires .* authentication, but .* was used", _because("unsupported_method")),
        (r"received \w+ notify error|received \w+ notify, no CHILD_SA built", _because("refused_by_peer")),
        (r"establishing IKE_SA failed, peer not responding", _because("no_answer")),
        (r"deleting half open IKE_SA .* after timeout", _because("timeout")),
    )
)


# --- lines of no IKE SA ---


def alone(line: Line, role: str) -> list[Event] | None:
    """What a line means that belongs to no IKE SA; None where it means nothing."""
    for pattern, event in _ALONE:
        if found := pattern.fullmatch(line.text):
            return event(found, role)
    return None


def _started(found: re.Match[str], role: str) -> list[Event]:
    return [("node_started", {"role": role, "profile": "rfc7296", "version": f"strongSwan {found[1]}"})]


def _ready(found: re.Match[str], role: str) -> list[Event]:
    return [("udp_bound", {"address": "0.0.0.0", "port": 500})]


def _dropped(reason: str, name: str = "datagram_dropped") -> Callable[[re.Match[str], str], list[Event]]:
    def event(found: re.Match[str], role: str) -> list[Event]:
        peer = found.groupdict().get("peer")
        about = {"peer": peer} if peer else {}
        return [(name, {"reason": reason, "detail": " ".join(found[0].split()), **about})]

    return event


def _simply(name: str, *fields: str) -> Callable[[re.Match[str], str], list[Event]]:
    def event(found: re.Match[str], role: str) -> list[Event]:
        return [(name, dict(zip(fields, found.groups(), strict=True)))]

    return event


_ALONE: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], list[Event]]], ...] = tuple(
    (re.compile(pattern, re.DOTALL), event)
    for pattern, event in (
        (r"Starting (?:charon-systemd IKE|IKE charon) daemon \(strongSwan (\S+), .*\)", _started),
        (r"created TUN device: (\S+)", _simply("tun_ready", "name")),
        (r"loaded certificate '(.*)'", _simply("certificate_loaded", "subject")),
        (r"load: loaded private key from '(.*)'", _simply("private_key_loaded", "file")),
        (LOADED.pattern, _ready),
        (f"({NOT_LOADED.pattern})", _simply("node_failed", "detail")),
        (r"(SIGTERM) received, shutting down", _simply("node_stopping", "reason")),
        (r"sending COOKIE notify to (?P<peer>\S+)", _dropped("cookie_required")),
        (r"ignoring IKE_SA setup from (?P<peer>\S+), per-IP .*", _dropped("half_open_source_limit")),
        (r"ignoring IKE_SA setup from (?P<peer>\S+), .*", _dropped("half_open_limit")),
        (r"received invalid IKE header from (?P<peer>\S+) - ignored", _dropped("malformed")),
        (r"ESP sequence number verification failed.*", _dropped("esp_replayed")),
        (r"ESP decryption or ICV verification failed", _dropped("esp_bad_icv")),
        (r"parsing ESP payload failed: invalid padding", _dropped("esp_bad_padding")),
        (r"discarding inbound IP packet .*", _dropped("inner_selector_mismatch", "packet_dropped")),
    )
)
