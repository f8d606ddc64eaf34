"""The session table: routes datagrams to IKE SAs, makes new ones, and is the facade of the engine.

    inputs     handle_datagram, handle_timeout
    commands   watch, prepare, initiate, move, peer_moved, create_child, rekey_..., reauthenticate, delete...,
               expire_child, retire
    outputs    poll (one ordered queue), deadline
    getters    sas, half_open, mobile

Call order: after any input or command, `poll` until it returns None, then sleep until `deadline`. Rules:

1. A datagram from nobody we know costs a header, at most. Only an acceptable IKE_SA_INIT makes state, within
   `Limits`.
2. No octets make anything but an `IkeError` arise, and every such error ends as a `Dropped` output with its
   reason.
3. Time and entropy come from outside.
"""

from collections import deque
from collections.abc import Callable

from node.errors import (
    DecodeError,
    DropReason,
    IkeError,
    IntegrityError,
    LocalMisuse,
    PeerIncompatible,
    PeerMisbehaved,
)
from node.ike import lifetimes, liveness, moves, reauthentication, receive
from node.ike.contacts import Contacts
from node.ike.context import Children, Context, KeyPairs
from node.ike.echoes import Echoes
from node.ike.gate import Gate
from node.ike.halfopen import HalfOpen
from node.ike.outputs import Dropped, Output, Transmit
from node.ike.phases import Established, InitReplied, Phase
from node.ike.pool import Pools
from node.ike.ratelimit import TokenBucket
from node.ike.refusals import notify_for
from node.ike.sa import IkeSa
from node.ike.settings import Settings
from node.ike.status import SaStatus, status_of
from node.ike.tasks import create_child, init, mobike, rekey, shares
from node.ike.tasks.delete import delete_child
from node.ike.timers import Timers
from node.ike.transcript import Transcript
from node.ike.window import digest
from node.model.events import EventName
from node.model.message import NO_SPI, SPI_SIZE, Envelope, Header, Path
from node.model.payloads import Notify
from node.model.registry import ExchangeType, NotifyType
from node.model.secret import Secret
from node.ports import Codec, Entropy, PeerVerifier, Signer

#: Unprotected refusals a second, and at once: enough for honest peers, too few to make a reflector of us.
REFUSALS_PER_SECOND, REFUSAL_BURST = 20.0, 40

MAJOR_VERSION = 2

#: Seconds that a half-open IKE SA without a cookie has left once cookies are wanted: an honest initiator
#: sends its IKE_AUTH five times in them. RFC 8019 6 wants at least two.
UNPROVEN_LIFETIME = 5.0

#: The timers of what is no IKE SA; every other key is an SPI of eight octets.
_ECHOES, _SPENT, _ALARM = b"echoes", b"spent", b"alarm"


class Endpoint:
    """All IKE SAs of one node, in both roles."""

    __slots__ = (
        "_context",
        "_echoes",
        "_gate",
        "_half_open",
        "_newest",
        "_outputs",
        "_refusals",
        "_retired",
        "_sas",
        "_timers",
    )

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        signer: Signer | Secret,
        verifier: PeerVerifier,
        certificates: tuple[bytes, ...],
        entropy: Entropy,
    ) -> None:
        self._outputs: deque[Output] = deque()
        emit: Callable[[Output], None] = self._outputs.append
        self._context = Context(
            settings,
            codec,
            signer,
            verifier,
            certificates,
            entropy,
            emit,
            KeyPairs(emit),
            Children(),
            Contacts(),
            Pools(settings.pool, settings.pool_reserved),
            self._close,
            self._new_spi,
            self._has_room,
            lambda spi: self._sas.get(spi),
            lambda spi: self._newest(spi),
        )
        self._newest: Callable[[bytes], int] = lambda spi: 0
        self._sas: dict[bytes, IkeSa] = {}
        self._half_open = HalfOpen(settings.limits)
        self._gate = Gate(self._context, self._half_open, self._hurry)
        self._echoes = Echoes()
        self._timers = Timers()
        self._refusals = TokenBucket(REFUSALS_PER_SECOND, REFUSAL_BURST)
        self._retired = False

    # -- inputs ----------------------------------------------------------------------------------------------

    def handle_datagram(self, octets: bytes, path: Path, now: float) -> None:
        """Take a datagram that arrived on `path` at `now` (monotonic seconds).

        Never raises because of its octets.
        """
        try:
            envelope = self._context.codec.peek(octets)
            self._route(envelope, path, now)
        except LocalMisuse:
            raise
        except IkeError as error:
            self._drop(error, path)

    def handle_timeout(self, now: float) -> None:
        """Let time pass: call when `deadline` has come; calling early or late does no harm."""
        for key in self._timers.due(now):
            sa = self._sas.get(key)
            if sa is None:
                self._keep_house(key, now)
                continue
            mobike.pass_time(sa, now)
            sa.timeout(now)
            lifetimes.pass_time(sa, now)
            liveness.look(sa, now)
            self._settle(sa, now)

    # -- commands --------------------------------------------------------------------------------------------

    def watch(self, newest: Callable[[bytes], int]) -> None:
        """Where to ask for the highest sequence number of the authentic ESP packets to an inbound SPI.

        Asked when a peer was silent otherwise (`Settings.liveness`); without it ESP is no sign of life.
        """
        self._newest = newest

    def prepare(self) -> None:
        """Make a key pair for the preferred suite in advance."""
        self._context.key_pairs.prepare(shares.group_of(self._context.settings.ike_suites[0]))

    def initiate(self, path: Path, now: float, nat_path: Path | None = None) -> bytes:
        """Start an IKE SA with the peer on `path`; returns our SPI.

        `nat_path` is the way to it over the ports that IKE shares with ESP (RFC 7296 2.23), where `path` is
        not that already.
        """
        spi_i = self._new_spi()
        sa = IkeSa(self._context, path, spi_i, NO_SPI, None, now)
        sa.nat_path = nat_path
        self._sas[spi_i] = sa
        self._context.contacts.begin(spi_i)
        sa.event(EventName.SPI_ASSIGNED, spi=spi_i.hex())
        init.initiate(sa, now)
        self._settle(sa, now)
        return spi_i

    def move(self, ike_spi: bytes, path: Path, now: float) -> None:
        """Our address is another one: an IKE SA of `mobile` goes on on `path`. Raises KeyError."""
        sa = self._sas[ike_spi]
        mobike.move(sa, path, now)
        self._settle(sa, now)

    def peer_moved(self, ike_spi: bytes, path: Path, now: float) -> None:
        """A valid ESP packet, newer than all before it, came on `path` to a Child SA of this IKE SA of ours.

        Both may be gone by now; it is followed where RFC 7296 2.23 allows it (`node.ike.moves`), with MOBIKE
        once the peer has answered from there.
        """
        sa = self._sas.get(ike_spi)
        if sa is not None:
            moves.follow(sa, path)
            mobike.stray(sa, path, now)
            self._settle(sa, now)

    def delete(self, ike_spi: bytes, now: float) -> None:
        """Delete the IKE SA with this SPI of ours and tell the peer. Raises KeyError where there is none.

        So is the one that is being made to take its place.
        """
        sa = self._sas[ike_spi]
        if sa.renewal is not None and sa.renewal.local_spi in self._sas:
            self.delete(sa.renewal.local_spi, now)
        if sa.phase is not Phase.DELETING:
            rekey.delete_ike(sa, "deleted by us", now)
            self._settle(sa, now)

    def delete_child(self, inbound_spi: bytes, now: float) -> None:
        """Delete the Child SA with this inbound SPI at both ends. Raises KeyError where there is none."""
        sa = self._owner(inbound_spi)
        delete_child(sa, inbound_spi, now)
        self._settle(sa, now)

    def create_child(self, ike_spi: bytes, now: float) -> None:
        """Ask for a Child SA of the configured selectors, unless there is one. Raises KeyError."""
        sa = self._sas[ike_spi]
        create_child.create(sa, now)
        self._settle(sa, now)

    def rekey_child(self, inbound_spi: bytes, now: float) -> None:
        """Replace the Child SA with this inbound SPI. Raises KeyError where there is none."""
        sa = self._owner(inbound_spi)
        create_child.rekey(sa, inbound_spi, now)
        self._settle(sa, now)

    def rekey_ike(self, ike_spi: bytes, now: float) -> None:
        """Replace the IKE SA with this SPI of ours. Raises KeyError where there is none."""
        sa = self._sas[ike_spi]
        rekey.rekey(sa, now)
        self._settle(sa, now)

    def reauthenticate(self, ike_spi: bytes, now: float) -> None:
        """Make a whole new IKE SA in place of the one with this SPI of ours. Raises KeyError.

        Nothing happens where the peer opened it (`SaStatus.opened`), or that is under way already.
        """
        sa = self._sas[ike_spi]
        reauthentication.begin(sa, now)
        self._settle(sa, now)

    def expire_child(self, inbound_spi: bytes, now: float, *, hard: bool) -> None:
        """A Child SA has sent nearly all, or with `hard` all, that it may; it may be gone by now."""
        owner = self._context.children.ike_spi(inbound_spi)
        if owner in self._sas:
            sa = self._sas[owner]
            lifetimes.expire(sa, inbound_spi, now, hard=hard)
            self._settle(sa, now)

    def delete_all(self, now: float) -> None:
        """Delete every IKE SA."""
        for spi in tuple(self._sas):
            if spi in self._sas:
                self.delete(spi, now)

    def retire(self, now: float) -> None:
        """Delete every IKE SA, and take no new one from now on."""
        self._retired = True
        self.delete_all(now)

    # -- outputs and getters ---------------------------------------------------------------------------------

    def poll(self) -> Output | None:
        """The next output, in order, or None."""
        return self._outputs.popleft() if self._outputs else None

    def deadline(self) -> float | None:
        """When `handle_timeout` wants to be called, in monotonic seconds, or None."""
        return self._timers.next()

    def sas(self) -> tuple[SaStatus, ...]:
        """The IKE SAs as they stand."""
        return tuple(status_of(sa) for sa in self._sas.values())

    def mobile(self) -> tuple[tuple[bytes, Path], ...]:
        """The IKE SAs whose addresses are ours to change: our SPIs, and the paths (RFC 4555).

        Those that were replaced come last, so that what they tell is what the others have told.
        """
        ours = [(spi, sa) for spi, sa in self._sas.items() if sa.mobility is not None and sa.mobility.decides]
        ours.sort(key=lambda item: item[1].phase is not Phase.ESTABLISHED)
        return tuple((spi, sa.path) for spi, sa in ours)

    @property
    def half_open(self) -> int:
        """How many IKE SAs wait for their IKE_AUTH as responder."""
        return len(self._half_open)

    # -- routing ---------------------------------------------------------------------------------------------

    def _route(self, envelope: Envelope, path: Path, now: float) -> None:
        header = envelope.header
        if header.major_version != MAJOR_VERSION:
            self._refuse_version(envelope, path, now)
            raise PeerMisbehaved(DropReason.UNSUPPORTED_VERSION, f"major version {header.major_version}")
        if header.exchange == ExchangeType.IKE_SA_INIT and not header.is_response:
            self._receive_init(envelope, path, now)
            return
        spi = header.spi_r if header.from_original_initiator else header.spi_i
        sa = self._sas.get(spi)
        if sa is None:
            self._echo(spi, envelope, path, now)
            return
        if sa.data is None or not self._belongs(sa, header):
            raise PeerMisbehaved(DropReason.UNKNOWN_SPI, "the peer's SPI is not that of this IKE SA")
        try:
            receive.receive(sa, envelope, path, now)
        finally:
            if sa.phase is Phase.CLOSED:
                self._half_open.spend(spi)
                self._timers.set(_SPENT, self._half_open.deadline())
            self._settle(sa, now)

    def _belongs(self, sa: IkeSa, header: Header) -> bool:
        theirs, claimed = (sa.spi_r, header.spi_r) if sa.is_initiator else (sa.spi_i, header.spi_i)
        return theirs in (claimed, NO_SPI)

    def _echo(self, spi: bytes, envelope: Envelope, path: Path, now: float) -> None:
        datagrams = None if envelope.header.is_response else self._echoes.answer(spi, envelope.octets, now)
        if datagrams is None:
            raise PeerMisbehaved(DropReason.UNKNOWN_SPI, f"no IKE SA with SPI {spi.hex()}")
        fields = {"peer": path.peer, "message_id": envelope.header.message_id}
        self._context.event(EventName.RESPONSE_REPEATED, **fields)
        self._outputs.append(Transmit(datagrams, path))

    # -- IKE_SA_INIT as responder ----------------------------------------------------------------------------

    def _receive_init(self, envelope: Envelope, path: Path, now: float) -> None:
        header = envelope.header
        if self._retired:
            raise PeerMisbehaved(DropReason.STOPPING, "no new IKE SA, this node is stopping")
        fresh = header.spi_r == NO_SPI and header.message_id == 0 and header.from_original_initiator
        if not fresh or header.spi_i == NO_SPI:
            raise PeerMisbehaved(
                DropReason.BAD_SPI, "an IKE_SA_INIT request with wrong SPIs, flags or message ID"
            )
        if header.spi_i in self._sas:
            raise PeerMisbehaved(DropReason.REFLECTED, "an IKE_SA_INIT request with an SPI of ours")
        known = self._half_open.made_by(path, digest(envelope.octets))
        if known is not None:
            self._repeat_init(self._sas[known], envelope, path)
            return
        proven = self._gate.proves(envelope, path, now)
        weaker = self._half_open.admit(path, proven=proven)
        if not self._has_room():
            raise PeerMisbehaved(DropReason.SA_LIMIT, f"{len(self._sas)} IKE SAs")
        try:
            offer = init.judge_request(self._context.codec.read(envelope), self._context.settings)
        except IkeError as error:
            self._refuse_init(error, envelope, path, now)
            raise
        if weaker is not None:
            self._close(weaker, "gave way to a peer that showed a cookie", now)
        self._respond_init(offer, envelope, path, now, proven=proven)

    def _repeat_init(self, sa: IkeSa, envelope: Envelope, path: Path) -> None:
        stored = sa.window.repeated(0, envelope.octets)
        if stored is None or sa.phase is not Phase.INIT_REPLIED:
            raise PeerMisbehaved(DropReason.STALE_MESSAGE_ID, "IKE_SA_INIT once more, after IKE_AUTH")
        sa.event(EventName.RESPONSE_REPEATED, message_id=0)
        self._outputs.append(Transmit(stored, path))

    def _respond_init(
        self, offer: init.Offer, envelope: Envelope, path: Path, now: float, *, proven: bool
    ) -> None:
        context = self._context
        spi_i, spi_r = envelope.header.spi_i, self._new_spi()
        pair = context.key_pairs.take(shares.group_of(offer.suite))
        nonce_r = context.entropy(shares.NONCE_SIZE)
        transcript = Transcript(envelope.octets, b"", offer.nonce_i, nonce_r)
        data = InitReplied(offer.suite, transcript, pair, offer.peer_public)
        sa = IkeSa(context, path, spi_i, spi_r, data, now)
        sa.half_open_until = now + context.settings.limits.half_open_lifetime
        self._sas[spi_r] = sa
        self._half_open.add(spi_r, path, digest(envelope.octets), sa.half_open_until, proven=proven)
        sa.received(offer.message)
        sa.event(EventName.SPI_ASSIGNED, spi=spi_r.hex())
        init.answer(sa, envelope, offer, pair, nonce_r)
        self._settle(sa, now)

    def _refuse_init(self, error: IkeError, request: Envelope, path: Path, now: float) -> None:
        notify = notify_for(error, protected=False)
        if notify is not None:
            self._refuse(notify, request, str(error), path, now)

    def _refuse_version(self, request: Envelope, path: Path, now: float) -> None:
        """RFC 7296 2.5: tell a peer of a higher major version which one we speak; never answer an answer."""
        if request.header.major_version > MAJOR_VERSION and not request.header.is_response:
            notify = Notify(NotifyType.INVALID_MAJOR_VERSION)
            self._refuse(notify, request, "a higher major version", path, now)

    def _refuse(self, notify: Notify, request: Envelope, detail: str, path: Path, now: float) -> None:
        datagrams = self._context.refusal(request, notify) if self._refusals.take(now) else None
        if datagrams is None:
            return
        peer = path.peer
        self._context.event(EventName.NOTIFY_SENT, notify=str(notify.notify_type), detail=detail, peer=peer)
        self._outputs.append(Transmit(datagrams, path))

    # -- upkeep ----------------------------------------------------------------------------------------------

    def _keep_house(self, key: bytes, now: float) -> None:
        """What is due and no IKE SA."""
        if key == _ECHOES:
            self._echoes.expire(now)
            self._timers.set(key, self._echoes.deadline())
        elif key == _SPENT:
            self._half_open.expire(now)
            self._timers.set(key, self._half_open.deadline())
        elif key == _ALARM:
            self._gate.look(now)
            self._timers.set(key, self._gate.deadline())

    def _hurry(self, now: float) -> None:
        """Cookies are wanted: who showed none has little time left."""
        self._timers.set(_ALARM, self._gate.deadline())
        for spi in self._half_open.unproven():
            sa = self._sas[spi]
            sa.half_open_until = min(sa.half_open_until or now, now + UNPROVEN_LIFETIME)
            self._settle(sa, now)

    def _close(self, spi: bytes, reason: str, now: float) -> None:
        """End an IKE SA without a word to its peer."""
        sa = self._sas[spi]
        sa.close(reason)
        self._settle(sa, now)

    def _owner(self, inbound_spi: bytes) -> IkeSa:
        """The IKE SA of a Child SA. Raises KeyError."""
        sa = self._sas[self._context.children.ike_spi(inbound_spi) or b""]
        if inbound_spi not in sa.children:
            raise KeyError(inbound_spi)
        return sa

    def _settle(self, sa: IkeSa, now: float) -> None:
        """Bring the tables in line with what has become of `sa`."""
        lifetimes.spare_ids(sa, now)
        if sa.phase is Phase.CLOSED:
            reauthentication.ended(sa, now)
        while sa.touched:
            new = sa.touched.pop()
            self._sas[new.local_spi] = new
            new.advance(now)
            self._settle(new, now)
        spi = sa.local_spi
        if sa.phase is Phase.CLOSED:
            if self._sas.pop(spi, None) is not None and sa.window.answered is not None:
                self._echoes.keep(spi, sa.window.answered, now)
                self._timers.set(_ECHOES, self._echoes.deadline())
            self._half_open.discard(spi)
            self._timers.set(spi, None)
            return
        if isinstance(sa.data, Established):
            self._half_open.settle(spi)
        self._timers.set(spi, sa.deadline())

    def _has_room(self) -> bool:
        return len(self._sas) < self._context.settings.limits.ike_sas

    def _new_spi(self) -> bytes:
        while True:
            spi = self._context.entropy(SPI_SIZE)
            if spi != NO_SPI and spi not in self._sas:
                return spi

    def _drop(self, error: IkeError, path: Path) -> None:
        match error:
            case DecodeError() | PeerMisbehaved():
                reason = error.reason
            case IntegrityError():
                reason = DropReason.BAD_ICV
            case PeerIncompatible():
                reason = DropReason.INCOMPATIBLE
            case _:
                reason = DropReason.INVALID_PAYLOADS
        self._outputs.append(Dropped(reason, path, str(error)))
