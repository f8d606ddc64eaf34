"""The Child SA of IKE_AUTH, and what every exchange that makes one has in common (RFC 7296 1.2, 2.9, 2.17).

     initiator                         responder
    CP(CFG_REQUEST), SA, TSi, TSr   -->
                                    <--   CP(CFG_REPLY), SA, TSi, TSr

Inbound is installed before the peer can use it; outbound after that. A responder has both before its answer
leaves: what comes on the one may have to be answered through the other at once. A Child SA that cannot be
agreed on fails alone: the IKE SA stays (RFC 7296 1.2). CP is there where an initiator asks for an inner
address: the responder narrows TSi to the one it gives (2.19).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from node.crypto.keymat import ChildKeys, derive_child_keys
from node.errors import DropReason, Incompatibility, LocalMisuse, PeerIncompatible, PeerMisbehaved
from node.ike import configuration, exchanges, modes
from node.ike.children import Held, OwnedChild, Times, times
from node.ike.outputs import Event, InstallInbound, InstallOutbound, Output
from node.ike.phases import Established, Protection
from node.ike.sa import IkeSa, Selectors, carriers
from node.ike.transcript import Transcript
from node.model.child import ESP_SPI_SIZE, ChildSa, FarView, Mode, ModeWish, Padding
from node.model.events import EventName
from node.model.message import Message, outer_address
from node.model.payloads import Identification, Payload, SecurityAssociation, TrafficSelectors
from node.model.proposal import Proposal, Suite, accept, offer, select
from node.model.registry import PayloadType, PrfId
from node.model.selectors import IPAddress, everything, host, narrow, overlap, subset

#: Why there is no Child SA on IKE's own port.
NO_WAY_FOR_ESP = "the peer stays on the port for IKE alone (no NAT detection), and our ESP needs UDP"

#: RFC 4303 2.1: SPI 0 is for local use, 1 to 255 are reserved.
FIRST_ESP_SPI = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """What we propose: suites in order of preference, the selectors of both ends, and the mode."""

    suites: tuple[Suite, ...]
    local: Selectors
    peer: Selectors
    mode: ModeWish = field(default_factory=ModeWish)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides settled on: the suite, its proposal number, the peer's SPI and both selectors.

    `addresses` are inner addresses that the initiator gets with it; none where it had them before. `pads`:
    the peer takes padding that hides lengths. `far`: what the peer sees of both hosts in transport mode,
    where that is something else.
    """

    suite: Suite
    number: int
    peer_spi: bytes
    tsi: Selectors
    tsr: Selectors
    addresses: tuple[IPAddress, ...] = ()
    mode: Mode = Mode.TUNNEL
    pads: bool = True
    far: FarView | None = None


def allowed(sa: IkeSa) -> Wanted:
    """What the configuration allows of a Child SA of this IKE SA."""
    settings = sa.context.settings
    return Wanted(settings.child_suites, own_selectors(sa), peer_selectors(sa), settings.mode)


def first(sa: IkeSa) -> Wanted:
    """What it allows in IKE_AUTH, which has no key exchange of its own (RFC 7296 1.2)."""
    wanted = allowed(sa)
    return replace(wanted, suites=_without_exchange(wanted.suites))


def _without_exchange(suites: tuple[Suite, ...]) -> tuple[Suite, ...]:
    return tuple(dict.fromkeys(suite if suite.ke is None else replace(suite, ke=None) for suite in suites))


def request(sa: IkeSa, spi: bytes) -> tuple[Payload, ...]:
    """CP, SA, TSi, TSr and the mode of an initiator's IKE_AUTH: everything its configuration allows."""
    wanted = first(sa)
    had = sa.older.own_addresses if sa.older else ()
    wish = () if sa.own_addresses else configuration.request(had or sa.context.settings.virtual_ips)
    proposals = SecurityAssociation(offer(wanted.suites, spi))
    return *wish, proposals, *selectors(wanted.local, wanted.peer), *modes.say(wanted.mode.mode)


def own_selectors(sa: IkeSa) -> Selectors:
    """What our side may be: what is configured, or our address inside the tunnel, or in transport mode the
    outer one.

    Until the peer has given us one that is every address of its family (RFC 7296 2.19).
    """
    settings = sa.context.settings
    if settings.mode.mode is Mode.TRANSPORT:
        return (host(outer_address(sa.path.local_host)),)
    if sa.own_addresses:
        return tuple(host(address) for address in sa.own_addresses)
    return tuple(everything(wish.version) for wish in settings.virtual_ips) or settings.local_ts


def peer_selectors(sa: IkeSa) -> Selectors:
    """What the peer's side may be: what is configured, or the inner addresses that it has from us, or in
    transport mode the outer one.
    """
    if sa.context.settings.mode.mode is Mode.TRANSPORT:
        return (host(outer_address(sa.path.peer_host)),)
    return tuple(host(address) for address in sa.peer_addresses) or sa.context.settings.peer_ts


def selectors(tsi: Selectors, tsr: Selectors) -> tuple[Payload, Payload]:
    """TSi and TSr."""
    return TrafficSelectors(PayloadType.TSI, tsi), TrafficSelectors(PayloadType.TSR, tsr)


def choose(sa: IkeSa, message: Message, peer: Identification, wanted: Wanted | None = None) -> Agreed:
    """The responder's choice for the authenticated `peer` of what it allows.

    Raises PeerIncompatible (PROPOSAL, SELECTORS, CONFIGURATION, ADDRESS), PeerMisbehaved (BAD_SPI,
    INVALID_PAYLOADS).
    """
    wanted = wanted or first(sa)
    if not sa.path.carries_esp:
        raise PeerIncompatible(Incompatibility.PROPOSAL, NO_WAY_FOR_ESP)
    choice = select(exchanges.required(message, SecurityAssociation).proposals, wanted.suites)
    if choice is None:
        raise PeerIncompatible(Incompatibility.PROPOSAL, "none of the peer's ESP proposals is acceptable")
    peer_spi = _checked_spi(choice.spi)
    theirs, ours = _selectors(message, PayloadType.TSI), _selectors(message, PayloadType.TSR)
    far = None
    if wanted.mode.mode is Mode.TRANSPORT and modes.said(message):
        ours, theirs, far = _seen(sa, ours, theirs)
    tsr = narrow(ours, wanted.local)
    lent: tuple[IPAddress, ...] = ()
    if tsr and sa.context.settings.pool and not sa.peer_addresses:
        lent = _lend_addresses(sa, message, peer)
        wanted = replace(wanted, peer=peer_selectors(sa))
    tsi = narrow(theirs, wanted.peer)
    if not tsi or not tsr:
        raise PeerIncompatible(
            Incompatibility.SELECTORS, "the proposed traffic selectors share nothing with ours"
        )
    if sa.context.children.taken_by_another(tsi, peer):
        raise PeerIncompatible(Incompatibility.SELECTORS, "another peer holds some of the proposed selectors")
    mode = modes.choose(wanted.mode, message, tsi, tsr)
    return Agreed(choice.suite, choice.number, peer_spi, tsi, tsr, lent, mode, modes.pads(message), far)


def _lend_addresses(sa: IkeSa, message: Message, peer: Identification) -> tuple[IPAddress, ...]:
    """Give the peer the inner addresses that it asks for, as it must with its first Child SA.

    Raises PeerIncompatible (CONFIGURATION, ADDRESS).
    """
    wanted = configuration.asked(message)
    if not wanted:
        detail = "the peer did not ask for an inner address, and needs one"
        raise PeerIncompatible(Incompatibility.CONFIGURATION, detail)
    sa.peer_addresses = sa.context.pools.lease(
        sa.local_spi, peer, wanted, tuple(older.local_spi for older in siblings(sa, peer))
    )
    if not sa.peer_addresses:
        listed = ", ".join(map(str, wanted))
        raise PeerIncompatible(Incompatibility.ADDRESS, f"no inner address is left for {listed}")
    return sa.peer_addresses


def take_back(sa: IkeSa) -> None:
    """No Child SA came of it: the peer never hears of the inner addresses that it would have got."""
    sa.context.pools.give_back(sa.local_spi)
    sa.peer_addresses = ()


def tell_addresses(sa: IkeSa, agreed: Agreed) -> None:
    """Tell of the inner addresses that the initiator got, if any."""
    if agreed.addresses:
        sa.event(EventName.VIRTUAL_IP_ASSIGNED, addresses=[str(a) for a in agreed.addresses])


def response(agreed: Agreed, spi: bytes) -> tuple[Payload, ...]:
    """SA, TSi, TSr and the mode of the responder, with its own inbound SPI; CP before them where it gives
    addresses.
    """
    proposal = Proposal(agreed.number, agreed.suite.protocol, spi, agreed.suite.transforms)
    payloads = SecurityAssociation((proposal,)), *selectors(agreed.tsi, agreed.tsr)
    return *configuration.reply(agreed.addresses), *payloads, *modes.say(agreed.mode)


def confirm(sa: IkeSa, message: Message, wanted: Wanted | None = None) -> Agreed:
    """Check the responder's choice against what we offered.

    Raises PeerMisbehaved where it is not one of our proposals, or its selectors exceed ours (RFC 7296 2.9),
    PeerIncompatible (ADDRESS) where we wanted an inner address and got none.
    """
    wanted, settings = wanted or first(sa), sa.context.settings
    mode = modes.confirm(wanted.mode, message)
    choice = accept(exchanges.required(message, SecurityAssociation).proposals, wanted.suites)
    if choice is None:
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, "the answer does not choose one of our ESP proposals"
        )
    tsi, tsr, far = _selectors(message, PayloadType.TSI), _selectors(message, PayloadType.TSR), None
    if mode is Mode.TRANSPORT:
        tsi, tsr, far = _seen(sa, tsi, tsr)
    more = any(payload.others for payload in exchanges.every(message, TrafficSelectors))
    if more or not subset(tsi, wanted.local) or not subset(tsr, wanted.peer):
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, "the answer's traffic selectors exceed what we proposed"
        )
    addresses = sa.own_addresses
    if settings.virtual_ips and not addresses:
        addresses = configuration.given(message, settings.virtual_ips, sa.path)
        # What the peer would accept of us beyond them is nothing that we want to accept of it.
        tsi = narrow(tsi, tuple(host(address) for address in addresses))
        if set(addresses) - {selector.start for selector in tsi}:
            raise PeerMisbehaved(
                DropReason.INVALID_PAYLOADS, "the answer's selectors leave out the inner address it gives us"
            )
    peer_spi, pads = _checked_spi(choice.spi), modes.pads(message)
    return Agreed(choice.suite, choice.number, peer_spi, tsi, tsr, addresses, mode, pads, far)


def _seen(sa: IkeSa, local: Selectors, peer: Selectors) -> tuple[Selectors, Selectors, FarView | None]:
    """Our side and the peer's as we see them, of what it said in transport mode; and what it said."""
    nat, path = sa.extensions.nat, sa.path
    ours = modes.in_place(local, outer_address(path.local_host), behind_nat=nat.local)
    theirs = modes.in_place(peer, outer_address(path.peer_host), behind_nat=nat.peer)
    return ours, theirs, modes.far_view(local, peer, ours, theirs)


def objection(sa: IkeSa, agreed: Agreed, wanted: Wanted | None = None) -> str:
    """Why we cannot have what the peer made for us, so that it is told to delete it; empty: we can."""
    if not sa.path.carries_esp:
        return NO_WAY_FOR_ESP
    return "" if (wanted or first(sa)).mode.takes(agreed.mode) else modes.NOT_AGREED


def install(
    sa: IkeSa,
    agreed: Agreed,
    spi: bytes,
    protection: Protection,
    transcript: Transcript,
    ike_suite: Suite,
    replaces: bytes | None = None,
) -> tuple[Output, ...]:
    """Derive the keys from those of IKE_AUTH and install inbound now; returns what to emit once the peer may
    be sent to.

    `spi` is our inbound SPI, `replaces` that of a Child SA whose traffic it takes over.
    """
    nonces = transcript.nonce_i, transcript.nonce_r
    keys = derive_child_keys(agreed.suite, prf_of(ike_suite), protection.keys.sk_d, *nonces)
    made = child_sa(sa, agreed, spi, keys, ours=sa.is_initiator)
    sa.add_child(OwnedChild(made, times=lifetime(sa, sa.begun)))
    sa.context.emit(InstallInbound(made))
    told = Event(EventName.CHILD_SA_INSTALLED, {**sa.labels, **describe(made)})
    return InstallOutbound(made, replaces), told


def siblings(sa: IkeSa, peer: Identification, *, moved: bool = False) -> tuple[IkeSa, ...]:
    """Older IKE SAs with the same authenticated peer at the same place, the newest first.

    With one of them this may be a reauthentication, of which the protocol tells a responder nothing. With
    `moved` also those whose peer may have left that place, and not said so yet (RFC 4555).
    """
    context = sa.context
    found = [context.find(spi) for spi in context.contacts.before(sa.begun, peer) if spi != sa.local_spi]
    return tuple(
        o
        for o in reversed(found)
        if o and isinstance(o.data, Established) and (o.path == sa.path or (moved and o.mobility is not None))
    )


def carried_by(older: IkeSa, agreed: Agreed) -> bytes | None:
    """The inbound SPI of a Child SA of our older IKE SA whose traffic one takes over that we asked for."""
    return next(iter(carriers(older, agreed.tsi, agreed.tsr)), None)


def hold_back(sa: IkeSa, spi: bytes, olders: Sequence[IkeSa], known_from: int, now: float) -> bool:
    """Let what carries the traffic go on until the peer surely has the Child SA that it asked for: our answer
    may be lost. False where nothing carries all of it; then there is nothing to wait for.

    `olders` are the IKE SAs that this one may replace: they leave their Child SAs to it. `known_from`: as in
    `Held`.
    """
    made = sa.children[spi].child
    for older in olders:
        if any(_meets(owned.child, made) for owned in older.children.values()):
            older.heir = sa
    carrying = [
        found for one in (*olders, sa) for found in carriers(one, made.local, made.peer) if found != spi
    ]
    if carrying:
        sa.hold(spi, Held(carrying[0], known_from), now)
    return bool(carrying)


def _meets(one: ChildSa, other: ChildSa) -> bool:
    return overlap(one.local, other.local) and overlap(one.peer, other.peer)


def child_sa(sa: IkeSa, agreed: Agreed, spi: bytes, keys: ChildKeys, *, ours: bool) -> ChildSa:
    """The Child SA of an exchange that is `ours` or the peer's; `spi` is our inbound SPI."""
    mine, theirs = (keys.initiator, keys.responder) if ours else (keys.responder, keys.initiator)
    local, peer = (agreed.tsi, agreed.tsr) if ours else (agreed.tsr, agreed.tsi)
    return ChildSa(
        inbound_spi=spi,
        outbound_spi=agreed.peer_spi,
        suite=agreed.suite,
        inbound=theirs,
        outbound=mine,
        local=local,
        peer=peer,
        path=sa.esp_path,
        ike_spi=sa.local_spi,
        replay_window=sa.context.settings.replay_window,
        mode=agreed.mode,
        padding=_padding(sa, agreed),
        far=agreed.far,
    )


def _padding(sa: IkeSa, agreed: Agreed) -> Padding:
    """Ours, where the peer takes it and can tell where a packet ends (RFC 4303 2.7)."""
    configured = sa.context.settings.padding
    hides = agreed.pads and agreed.mode is Mode.TUNNEL
    return configured if hides else replace(configured, multiple=0)


def lifetime(sa: IkeSa, now: float) -> Times:
    """When a Child SA that is made now is to be rekeyed, and ends."""
    return times(sa.context.settings.child_lifetime, now, sa.context.entropy)


def describe(child: ChildSa) -> dict[str, object]:
    """The fields of a Child SA in events."""
    return {
        "inbound_spi": child.inbound_spi.hex(),
        "outbound_spi": child.outbound_spi.hex(),
        "mode": str(child.mode),
        "suite": str(child.suite),
        "local": [str(s) for s in child.local],
        "remote": [str(s) for s in child.peer],
    }


def prf_of(suite: Suite) -> PrfId:
    """The PRF of an IKE suite. Raises LocalMisuse where it has none: the configuration checks that."""
    if suite.prf is None:
        raise LocalMisuse(f"the IKE suite {suite} has no PRF")
    return suite.prf


def _selectors(message: Message, kind: PayloadType) -> Selectors:
    return exchanges.required(message, TrafficSelectors, kind).selectors


def _checked_spi(spi: bytes) -> bytes:
    if len(spi) != ESP_SPI_SIZE or int.from_bytes(spi) < FIRST_ESP_SPI:
        raise PeerMisbehaved(DropReason.BAD_SPI, f"{spi.hex()} is not an ESP SPI")
    return spi
