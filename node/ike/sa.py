"""One IKE SA: its phase, its window, its children, and what handlers may do with them.

Rules:

1. The phase changes only through `enter`, along `phases.TRANSITIONS`.
2. Whatever goes out is sealed, stored and emitted here; nothing is sealed twice.
3. What arrives is judged in `node.ike.receive`; nothing here reads a message.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from node.errors import DropReason, LocalMisuse, MessageTooLarge
from node.ike import exchanges
from node.ike.agenda import Agenda, Task
from node.ike.authlife import AuthLife, authenticated
from node.ike.children import ASK, LINGER, LONG_LINGER, LOOK, Doubt, Held, OwnedChild, Times, times
from node.ike.context import Context
from node.ike.extensions import Extensions
from node.ike.life import Life
from node.ike.mobility import Mobility
from node.ike.outputs import (
    Dropped,
    Event,
    InstallOutbound,
    RemoveOutbound,
    RemoveSa,
    SaDown,
    SaUp,
    Transmit,
)
from node.ike.phases import (
    TRANSITIONS,
    AuthSent,
    Closed,
    Deleting,
    Established,
    InitSent,
    Phase,
    PhaseData,
    Protection,
    Rekeyed,
)
from node.ike.window import Window
from node.model.child import ChildSa
from node.model.events import EventName
from node.model.message import Envelope, Header, HeaderFlags, Message, Path, Sealed
from node.model.payloads import Delete, Notify, Payload
from node.model.registry import ExchangeType, NotifyType, ProtocolId
from node.model.selectors import IPAddress, TrafficSelector, subset
from node.pki.identity import describe

#: How long after an unprotected refusal of IKE_SA_INIT we still wait for a better answer, in seconds: such a
#: refusal may be forged (RFC 7296 2.21.1).
REFUSAL_PATIENCE = 1.0
#: Octets of the size in SET_WINDOW_SIZE (RFC 7296 2.3).
WINDOW_SIZE_OCTETS = 4

Selectors = tuple[TrafficSelector, ...]


class IkeSa:
    """One IKE SA, as initiator or responder."""

    __slots__ = (
        "_give_up_at",
        "_refusal",
        "agenda",
        "auth",
        "begun",
        "children",
        "context",
        "data",
        "doubt",
        "extensions",
        "half_open_until",
        "heir",
        "is_initiator",
        "life",
        "lingering",
        "mobility",
        "nat_path",
        "older",
        "own_addresses",
        "path",
        "peer_addresses",
        "predecessor",
        "renewal",
        "renewed",
        "spi_i",
        "spi_r",
        "stray_told",
        "times",
        "touched",
        "window",
    )

    def __init__(
        self,
        context: Context,
        path: Path,
        spi_i: bytes,
        spi_r: bytes,
        data: PhaseData | None,
        now: float,
        *,
        is_initiator: bool | None = None,
    ) -> None:
        """`data` is None for an initiator that has not sent anything yet.

        `is_initiator` says who is the original initiator of an IKE SA that replaces another (RFC 7296 1.3.2).
        """
        self.context, self.path, self.begun = context, path, now
        #: Where an initiator goes with its IKE_AUTH (`node.ike.moves`); None: it stays on `path`.
        self.nat_path: Path | None = None
        self.spi_i, self.spi_r = spi_i, spi_r
        self.is_initiator = data is None if is_initiator is None else is_initiator
        self.data: PhaseData | None = data
        self.window = Window(
            context.settings.retransmission, context.entropy, context.fragments, context.settings.window
        )
        self.agenda = Agenda(context.entropy)
        self.children: dict[bytes, OwnedChild] = {}
        #: Replaced Child SAs that still receive, by inbound SPI, and until when.
        self.lingering: dict[bytes, float] = {}
        self.times = Times()
        #: The IKE SA that the peer replaced by this one while we were replacing it, too.
        self.predecessor: IkeSa | None = None
        #: The IKE SA that goes on where this one ends, once that is certain.
        self.heir: IkeSa | None = None
        #: Reauthentication (`node.ike.reauthentication`): the new IKE SA that is being made beside this one,
        #: and the other way round.
        self.renewal: IkeSa | None = None
        self.older: IkeSa | None = None
        self.auth = AuthLife()
        #: Whether the peer has what we answered; None: it has, or nothing hangs on it.
        self.doubt: Doubt | None = None
        #: Other IKE SAs that were made or changed here: the session table takes them up.
        self.touched: list[IkeSa] = []
        self.extensions = Extensions()
        #: What MOBIKE knows of the peer; None where the two do not speak it.
        self.mobility: Mobility | None = None
        self.life = Life(context.settings.liveness)
        #: Inner addresses that the peer gave us, and that we gave the peer (RFC 7296 2.19).
        self.own_addresses: tuple[IPAddress, ...] = ()
        self.peer_addresses: tuple[IPAddress, ...] = ()
        #: Whether a new IKE SA was asked for because message IDs come to an end.
        self.renewed = False
        #: When the peer was told last of a request ahead of our window.
        self.stray_told: float | None = None
        self.half_open_until: float | None = None
        self._refusal: str | None = None
        self._give_up_at: float | None = None

    # -- getters ---------------------------------------------------------------------------------------------

    @property
    def local_spi(self) -> bytes:
        """Our own SPI: the key of the session table."""
        return self.spi_i if self.is_initiator else self.spi_r

    @property
    def phase(self) -> Phase:
        """Where the SA stands."""
        return Phase.INIT_SENT if self.data is None else self.data.phase

    @property
    def protection(self) -> Protection | None:
        """The keys, where they exist."""
        if self.data is None or isinstance(self.data, InitSent | Closed):
            return None
        return self.data.protection

    @property
    def labels(self) -> dict[str, object]:
        """The fields that name this SA in events."""
        role = "initiator" if self.is_initiator else "responder"
        return {"spi_i": self.spi_i.hex(), "spi_r": self.spi_r.hex(), "peer": self.path.peer, "role": role}

    def deadline(self) -> float | None:
        """When `timeout` wants to be called next."""
        times = (
            self.half_open_until,
            self._give_up_at,
            self.window.deadline(),
            self.agenda.deadline() if self.window.open else None,
            self.liveness_deadline(),
            self.times.deadline(),
            self.auth.deadline() if isinstance(self.data, Established) else None,
            self._doubt_deadline(),
            self.window.fragments_deadline(),
            *(owned.times.deadline() for owned in self.children.values()),
            *self.lingering.values(),
        )
        return min((t for t in times if t is not None), default=None)

    def liveness_deadline(self) -> float | None:
        """When the peer is to be asked whether it is there (`node.ike.liveness`), or None."""
        asks = isinstance(self.data, Established) and not self.window.in_flight and not len(self.agenda)
        return self.life.deadline() if asks else None

    @property
    def esp_path(self) -> Path:
        """Where Child SAs send: a new path of the IKE SA only once the peer is known to receive there."""
        return (self.mobility.held if self.mobility else None) or self.path

    @property
    def spis(self) -> bytes:
        """Both SPIs."""
        return self.spi_i + self.spi_r

    # -- phases ----------------------------------------------------------------------------------------------

    def enter(self, data: PhaseData) -> None:
        """Change the phase. Raises LocalMisuse for a transition that the table does not have."""
        if data.phase is not self.phase and data.phase not in TRANSITIONS[self.phase]:
            raise LocalMisuse(f"no transition from {self.phase} to {data.phase}")
        self.data = data

    def establish(self, data: Established) -> None:
        """Both parties are authenticated."""
        self.enter(data)
        self.half_open_until = None
        self.times = times(self.context.settings.ike_lifetime, data.since, self.context.entropy)
        settings, entropy = self.context.settings, self.context.entropy
        self.auth = authenticated(settings, data.since, entropy, ours=self.is_initiator)
        self.life.heard(data.since)
        peer = data.proof.peer
        self.context.contacts.establish(self.local_spi, peer.identity, data.since)
        identity = describe(peer.identity.id_type, peer.identity.data)
        self.event(EventName.IKE_SA_ESTABLISHED, peer_identity=identity, suite=str(data.suite))
        behind_nat, addresses = self.extensions.nat.local, self.own_addresses
        self.context.emit(SaUp(self.local_spi, identity, self.path, self.is_initiator, behind_nat, addresses))

    def close(self, reason: str) -> None:
        """Nothing more is sent or expected."""
        if self.phase is Phase.CLOSED:
            return
        was_up = self._was_up()
        self.doubt = None
        self._drop_children()
        self.window.abandon()
        self.window.forget_requests()
        self.agenda.clear()
        self.times, self.auth = Times(), AuthLife()
        self.half_open_until = self._give_up_at = None
        self.context.contacts.end(self.local_spi)
        self.context.pools.give_back(self.local_spi)
        self.enter(Closed(reason))
        self.event(EventName.IKE_SA_DELETED if was_up else EventName.IKE_SA_FAILED, reason=reason)
        self.context.emit(SaDown(self.local_spi, reason, was_up, self.is_initiator))

    def learn(self, extensions: Extensions) -> None:
        """What the peer said in its IKE_SA_INIT message."""
        self.extensions = extensions
        if extensions.nat.detected:
            self.event(EventName.NAT_DETECTED, local=extensions.nat.local, remote=extensions.nat.peer)

    def _was_up(self) -> bool:
        if isinstance(self.data, Deleting):
            return self.data.was_up
        return isinstance(self.data, Established | Rekeyed)

    # -- children --------------------------------------------------------------------------------------------

    def add_child(self, owned: OwnedChild) -> None:
        """Remember a Child SA. Raises LocalMisuse where the IKE SA is not established."""
        if not isinstance(self.data, Established):
            raise LocalMisuse("a Child SA needs an established IKE SA")
        self.children[owned.child.inbound_spi] = owned
        self.context.children.add(owned.child, self.data.proof.peer.identity)

    def remove_child(self, inbound_spi: bytes, linger_until: float | None = None) -> None:
        """Take a Child SA down; with `linger_until` it receives until then, and sends no more.

        What was held back for it sends before that, unless yet another one carries the traffic.
        """
        owned = self.children.pop(inbound_spi)
        if not owned.silent:
            self._pass_on()
        spis = {"inbound_spi": inbound_spi.hex(), "outbound_spi": owned.child.outbound_spi.hex()}
        self.event(EventName.CHILD_SA_DELETED, **spis)
        if linger_until is None:
            self._forget(inbound_spi)
        else:
            self.lingering[inbound_spi] = linger_until
            if not owned.silent:
                self.context.emit(RemoveOutbound(inbound_spi))

    def end_lingering(self, now: float) -> None:
        """Forget what was replaced, and has received for long enough."""
        for spi in tuple(spi for spi, until in self.lingering.items() if until <= now):
            del self.lingering[spi]
            self._forget(spi)

    def last(self) -> "IkeSa":
        """The IKE SA that goes on in the place of this one by now, or this one itself."""
        found = self
        while found.heir is not None and not isinstance(found.data, Established):
            found = found.heir
        return found

    def bequeath(self, until: float) -> None:
        """This IKE SA ends: its heir, where there is one, sends in its place, and receives what is late.

        `until` is when that is over, in monotonic seconds.
        """
        heir = self.heir.last() if self.heir is not None else None
        if heir is None or not isinstance(heir.data, Established):
            return
        for spi in tuple(self.children):
            self.remove_child(spi, until)
        heir.lingering.update(self.lingering)
        self.lingering.clear()
        self.touched.append(heir)

    # -- what is held back ----------------------------------------------------------------------------------

    def hold(self, spi: bytes, held: Held, now: float) -> None:
        """Let a Child SA of the peer's asking only receive until there is evidence that it has our answer."""
        self.children[spi] = replace(self.children[spi], silent=True, held=held)
        before = self.doubt.ask_at if self.doubt else None
        self.doubt = Doubt(now, now + LOOK, before if held.known_from else now + ASK)

    def heard(self, message_id: float) -> None:
        """The peer has this IKE SA, and every answer before its request with this ID."""
        if self.doubt is None:
            return
        self.doubt = replace(self.doubt, ask_at=None)
        for spi, owned in tuple(self.children.items()):
            if owned.held is not None and owned.held.known_from <= message_id:
                self.speak(spi)
        self._end_doubt()

    def speak(self, spi: bytes) -> None:
        """Send through what was held back."""
        owned = self.children[spi]
        if owned.held is not None:
            self.children[spi] = replace(owned, silent=False, held=None)
            self.context.emit(InstallOutbound(owned.child, owned.held.replaces))
            self._end_doubt()

    def look(self, now: float) -> bool:
        """Look whether packets came through what is held back; True where the peer is to be asked now."""
        due = self._doubt_deadline()
        if due is None or due > now:
            return False
        self._look_for_packets(now)
        doubt = self.doubt
        if doubt is None or doubt.ask_at is None or doubt.ask_at > now:
            return False
        self.doubt = replace(doubt, ask_at=None)
        self._end_doubt()
        return True

    def _look_for_packets(self, now: float) -> None:
        if self.doubt is not None:
            self.doubt = self.doubt.looked(now)
        came = [spi for spi in self.children if self.context.newest(spi) > 0]
        if came:
            self.heard(0)
        for spi in came:
            self.speak(spi)

    def _pass_on(self) -> None:
        """A Child SA sends no more: what was held back sends now, if nothing else carries its traffic."""
        self._stand_in()
        heir = self.heir.last() if self.heir is not None else None
        if heir is not None and heir.doubt is not None:
            heir._stand_in()
            self.touched.append(heir)

    def _stand_in(self) -> None:
        for spi, owned in tuple(self.children.items()):
            if self.doubt is not None and owned.held is not None and not self._is_carried(owned.child):
                if not owned.held.known_from:
                    # There is no evidence that the peer has this IKE SA: it is asked at once.
                    self.doubt = replace(self.doubt, ask_at=self.doubt.since)
                self.speak(spi)

    def _is_carried(self, child: ChildSa) -> bool:
        return any(carriers(sa, child.local, child.peer) for sa in (self, *self.predecessors()))

    def predecessors(self) -> tuple["IkeSa", ...]:
        """The IKE SAs with the same peer that this one is the heir of."""
        if not isinstance(self.data, Established):
            return ()
        context, peer = self.context, self.data.proof.peer.identity
        known = (context.find(spi) for spi in context.contacts.before(math.inf, peer))
        return tuple(sa for sa in known if sa is not None and sa.heir is not None and sa.heir.last() is self)

    def _end_doubt(self) -> None:
        doubt = self.doubt
        if doubt is not None and doubt.ask_at is None and not self._holds():
            self.doubt = None

    def _holds(self) -> bool:
        return any(owned.held is not None for owned in self.children.values())

    def _doubt_deadline(self) -> float | None:
        doubt = self.doubt
        if doubt is None:
            return None
        return doubt.look_at if doubt.ask_at is None else min(doubt.look_at, doubt.ask_at)

    # -- the end of children ---------------------------------------------------------------------------------

    def _forget(self, inbound_spi: bytes) -> None:
        self.context.children.discard(inbound_spi)
        self.context.emit(RemoveSa(inbound_spi))

    def _drop_children(self) -> None:
        self.end_lingering(math.inf)
        for spi in tuple(self.children):
            self.remove_child(spi)

    # -- what goes out ---------------------------------------------------------------------------------------

    def send_request(self, exchange: ExchangeType, payloads: Sequence[Payload], now: float) -> bytes:
        """Seal, store and send our next request; returns the message's octets, none of one in fragments.

        A protected one that is too large for the peer ends the SA: there is nothing else to say to it.
        """
        header = self._header(exchange, self.window.take_id(), response=False)
        promise = self._window_promise()
        payloads = *payloads, *promise
        try:
            sealed = self._seal(header, payloads)
        except MessageTooLarge as error:
            if self.protection is None:
                raise
            self.close(str(error))
            return b""
        if promise:
            self.window.told()
        self.window.sent(exchange, sealed.datagrams, now)
        self._tell_sent(header, payloads, sealed)
        self.context.emit(Transmit(sealed.datagrams, self.path))
        return sealed.octets

    def respond(self, request: Envelope, payloads: tuple[Payload, ...], path: Path) -> bytes:
        """Seal, store and send the answer to the request we expected; returns as `send_request`.

        Raises MessageTooLarge, and nothing has happened.
        """
        header = self._header(request.header.exchange, request.header.message_id, response=True)
        promise = self._window_promise()
        payloads = *payloads, *promise
        sealed = self._seal(header, payloads)
        if promise:
            self.window.told()
        self.window.answer(header.message_id, request.octets, sealed.datagrams)
        self._tell_sent(header, payloads, sealed)
        self.context.emit(Transmit(sealed.datagrams, path))
        return sealed.octets

    def ask(self, task: Task, now: float) -> None:
        """Ask something of the peer, when its turn comes."""
        self.agenda.add(task)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Send the requests of the next tasks, as many as the window takes, where it can ask anything.

        Where message IDs are used up it ends (RFC 7296 2.2).
        """
        while isinstance(self.data, Established | Rekeyed) and self.window.open:
            if self.window.used_up:
                self.begin_delete("its message IDs are used up", (Delete(ProtocolId.IKE),), now)
                return
            chosen = self.agenda.next(now, self.window.next_id)
            if chosen is None:
                return
            task, payloads = chosen
            self.send_request(task.exchange, payloads, now)

    def put_off(self, task: Task, now: float, end: float | None) -> None:
        """The peer is busy: ask again later, but before the end of what is to be replaced (None: never).

        Where the peer stays busy the IKE SA ends (RFC 7296 2.25).
        """
        if not self.agenda.put_off(task, now, None if end is None else end - now):
            self.begin_delete("the peer keeps answering TEMPORARY_FAILURE", (Delete(ProtocolId.IKE),), now)

    def begin_delete(self, reason: str, payloads: tuple[Payload, ...], now: float) -> None:
        """Take the children down and send the last request of this SA, whose answer closes it.

        Where requests are in flight they go first: this one leaves nothing that could answer them. An SA
        without keys has nothing to send and closes at once.
        """
        protection = self.protection
        if protection is None or self.phase is Phase.INIT_REPLIED:
            self.close(reason)
            return
        was_up = self._was_up()
        self.agenda.clear()
        self.doubt = None
        self.bequeath(now + LONG_LINGER)
        self._drop_children()
        self.times = Times()
        self.enter(Deleting(protection, reason, was_up, payloads))
        if not self.window.in_flight:
            self.send_last(now)

    def send_last(self, now: float) -> bool:
        """Send the last request of an SA that is being deleted. False where it was sent before."""
        data = self.data
        if not isinstance(data, Deleting) or data.last is None:
            return False
        self.enter(replace(data, last=None))
        self.send_request(ExchangeType.INFORMATIONAL, data.last, now)
        return True

    # -- time ------------------------------------------------------------------------------------------------

    def timeout(self, now: float) -> None:
        """Let time pass: expire fragments or a half-open SA, send again, or give up."""
        self._expire_fragments(now)
        if self._give_up_at is not None and now >= self._give_up_at:
            self.close(self._refusal or "given up")
        elif self.half_open_until is not None and now >= self.half_open_until:
            self.close("no valid IKE_AUTH arrived in time")
        else:
            self._send_again(now)

    def refuse_later(self, reason: str, now: float) -> None:
        """An unprotected refusal arrived: give up in a moment, unless a valid answer comes first."""
        if self._refusal is None:
            self._refusal, self._give_up_at = reason, now + REFUSAL_PATIENCE

    def answer_accepted(self, message_id: int) -> None:
        """A valid answer arrived: the request is done, and what was refused before was forged."""
        self.window.done(message_id)
        self._refusal = self._give_up_at = None

    def retract_request(self) -> None:
        """The responder wants the request in another form; what was refused before is not believed."""
        self.window.retract()
        self._refusal = self._give_up_at = None

    def _expire_fragments(self, now: float) -> None:
        """RFC 7383 2.6: as if nothing of the request had come; the SA is none the worse for it."""
        for progress in self.window.give_up_fragments(now):
            detail = f"{progress}, the others did not come in time"
            self.context.emit(Dropped(DropReason.FRAGMENTS_INCOMPLETE, self.path, detail))

    def _send_again(self, now: float) -> None:
        for message_id in self.window.due(now):
            current = self.window.again(message_id, now)
            if current is None:
                self.event(EventName.RETRANSMISSION_GAVE_UP)
                self.bequeath(now + LINGER)
                self.close("the peer does not answer")
                return
            fields = {"message_id": message_id, "exchange": str(current.exchange), "n": current.sent - 1}
            self.event(EventName.RETRANSMITTED, **fields)
            self.context.emit(Transmit(current.datagrams, self.path))

    # -- events ----------------------------------------------------------------------------------------------

    def event(self, name: EventName, **fields: object) -> None:
        """Emit an event about this SA."""
        self.context.emit(Event(name, {**self.labels, **fields}))

    def notified(self, notify: Notify) -> None:
        """Tell of a notification that the peer sent under protection."""
        self.event(EventName.NOTIFY_RECEIVED, notify=str(notify.notify_type), protected=True)

    def received(self, message: Message) -> None:
        """Tell that an authenticated message (or one of IKE_SA_INIT) arrived."""
        sizes = message.pieces or (len(message.octets),)
        self._tell(_RECEIVED, message.header, message.payloads, sizes, bool(message.pieces))

    def _tell_sent(self, header: Header, payloads: tuple[Payload, ...], sealed: Sealed) -> None:
        sizes = tuple(map(len, sealed.datagrams))
        self._tell(_SENT, header, payloads, sizes, len(sizes) > 1)

    def _tell(
        self,
        table: dict[ExchangeType, EventName],
        header: Header,
        payloads: tuple[Payload, ...],
        sizes: tuple[int, ...],
        fragmented: bool,
    ) -> None:
        """Emit the event of a message that was sent or received; `sizes` are the octets of its datagrams."""
        fields: dict[str, object] = {
            "kind": "response" if header.is_response else "request",
            "message_id": header.message_id,
            "payloads": exchanges.names(payloads),
            "octets": sum(sizes),
        }
        if fragmented:
            fields["fragments"] = len(sizes)
        self.event(table[header.exchange], **fields)

    def _window_promise(self) -> tuple[Notify, ...]:
        """N(SET_WINDOW_SIZE) for the first protected message, where we accept more than one (RFC 7296 2.3).

        An IKE SA that replaces another one begins anew. The promise holds from the moment that it goes out.
        """
        size = self.window.untold
        if not size or not isinstance(self.data, AuthSent | Established):
            return ()
        return (Notify(NotifyType.SET_WINDOW_SIZE, size.to_bytes(WINDOW_SIZE_OCTETS)),)

    def _seal(self, header: Header, payloads: Sequence[Payload]) -> Sealed:
        """What goes out: in fragments only where both parties said that they take them (RFC 7383 2.4)."""
        outbound = self.protection.outbound if self.protection else None
        mtu = self.context.settings.mtu if self.extensions.fragmentation else 0
        return self.context.codec.seal(header, payloads, outbound, mtu)

    def _header(self, exchange: ExchangeType, message_id: int, *, response: bool) -> Header:
        flags = (HeaderFlags.INITIATOR if self.is_initiator else 0) | (
            HeaderFlags.RESPONSE if response else 0
        )
        return Header(self.spi_i, self.spi_r, exchange, message_id, flags)


_SENT = {
    ExchangeType.IKE_SA_INIT: EventName.IKE_SA_INIT_SENT,
    ExchangeType.IKE_AUTH: EventName.IKE_AUTH_SENT,
    ExchangeType.CREATE_CHILD_SA: EventName.CREATE_CHILD_SA_SENT,
    ExchangeType.INFORMATIONAL: EventName.INFORMATIONAL_SENT,
}
_RECEIVED = {
    ExchangeType.IKE_SA_INIT: EventName.IKE_SA_INIT_RECEIVED,
    ExchangeType.IKE_AUTH: EventName.IKE_AUTH_RECEIVED,
    ExchangeType.CREATE_CHILD_SA: EventName.CREATE_CHILD_SA_RECEIVED,
    ExchangeType.INFORMATIONAL: EventName.INFORMATIONAL_RECEIVED,
}


def carriers(sa: IkeSa, local: Selectors, peer: Selectors) -> tuple[bytes, ...]:
    """The inbound SPIs of the Child SAs of an IKE SA that send all traffic between these selectors."""
    return tuple(
        spi
        for spi, owned in sa.children.items()
        if not owned.silent and subset(local, owned.child.local) and subset(peer, owned.child.peer)
    )
