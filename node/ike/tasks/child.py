"""The Child SA of IKE_AUTH, and what every exchange that makes one has in common (RFC 7296 1.2, 2.9, 2.17).

Inbound is installed before the peer can use it; outbound after that. A Child SA that cannot be agreed on
fails alone: the IKE SA stays (RFC 7296 1.2).
"""

from dataclasses import dataclass, replace

from node.crypto.keymat import ChildKeys, derive_child_keys
from node.errors import DropReason, Incompatibility, LocalMisuse, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges
from node.ike.children import OwnedChild, Times, times
from node.ike.outputs import Event, InstallInbound, InstallOutbound, Output
from node.ike.phases import Protection
from node.ike.sa import IkeSa
from node.ike.settings import Settings
from node.ike.transcript import Transcript
from node.model.child import ESP_SPI_SIZE, ChildSa
from node.model.events import EventName
from node.model.message import Message
from node.model.payloads import Identification, Payload, SecurityAssociation, TrafficSelectors
from node.model.proposal import Proposal, Suite, accept, offer, select
from node.model.registry import PayloadType, PrfId
from node.model.selectors import TrafficSelector, narrow, subset

Selectors = tuple[TrafficSelector, ...]

#: Why there is no Child SA on IKE's own port.
NO_WAY_FOR_ESP = "the peer stays on the port for IKE alone (no NAT detection), and our ESP needs UDP"

#: RFC 4303 2.1: SPI 0 is for local use, 1 to 255 are reserved.
FIRST_ESP_SPI = 256


@dataclass(frozen=True, slots=True)
class Wanted:
    """What we propose: suites in order of preference, and the selectors of both ends."""

    suites: tuple[Suite, ...]
    local: Selectors
    peer: Selectors


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides settled on: the suite, its proposal number, the peer's SPI and both selectors."""

    suite: Suite
    number: int
    peer_spi: bytes
    tsi: Selectors
    tsr: Selectors


def first(settings: Settings) -> Wanted:
    """What the configuration allows in IKE_AUTH, which has no key exchange of its own (RFC 7296 1.2)."""
    suites = tuple(dict.fromkeys(replace(suite, ke=None) for suite in settings.child_suites))
    return Wanted(suites, settings.local_ts, settings.peer_ts)


def request(sa: IkeSa, spi: bytes) -> tuple[Payload, ...]:
    """SA, TSi and TSr of an initiator's IKE_AUTH: everything its configuration allows."""
    wanted = first(sa.context.settings)
    return SecurityAssociation(offer(wanted.suites, spi)), *selectors(wanted.local, wanted.peer)


def selectors(tsi: Selectors, tsr: Selectors) -> tuple[Payload, Payload]:
    """TSi and TSr."""
    return TrafficSelectors(PayloadType.TSI, tsi), TrafficSelectors(PayloadType.TSR, tsr)


def choose(sa: IkeSa, message: Message, peer: Identification, wanted: Wanted | None = None) -> Agreed:
    """The responder's choice for the authenticated `peer` of what it allows.

    Raises PeerIncompatible (PROPOSAL, SELECTORS), PeerMisbehaved (BAD_SPI).
    """
    wanted = wanted or first(sa.context.settings)
    if not sa.path.carries_esp:
        raise PeerIncompatible(Incompatibility.PROPOSAL, NO_WAY_FOR_ESP)
    choice = select(exchanges.required(message, SecurityAssociation).proposals, wanted.suites)
    if choice is None:
        raise PeerIncompatible(Incompatibility.PROPOSAL, "none of the peer's ESP proposals is acceptable")
    tsi = narrow(_selectors(message, PayloadType.TSI), wanted.peer)
    tsr = narrow(_selectors(message, PayloadType.TSR), wanted.local)
    if not tsi or not tsr:
        raise PeerIncompatible(
            Incompatibility.SELECTORS, "the proposed traffic selectors share nothing with ours"
        )
    if sa.context.children.taken_by_another(tsi, peer):
        raise PeerIncompatible(Incompatibility.SELECTORS, "another peer holds some of the proposed selectors")
    return Agreed(choice.suite, choice.number, _checked_spi(choice.spi), tsi, tsr)


def response(agreed: Agreed, spi: bytes) -> tuple[Payload, ...]:
    """SA, TSi and TSr of the responder, with its own inbound SPI."""
    proposal = Proposal(agreed.number, agreed.suite.protocol, spi, agreed.suite.transforms)
    return SecurityAssociation((proposal,)), *selectors(agreed.tsi, agreed.tsr)


def confirm(sa: IkeSa, message: Message, wanted: Wanted | None = None) -> Agreed:
    """Check the responder's choice against what we offered.

    Raises PeerMisbehaved where it is not one of our proposals, or its selectors exceed ours (RFC 7296 2.9).
    """
    wanted = wanted or first(sa.context.settings)
    choice = accept(exchanges.required(message, SecurityAssociation).proposals, wanted.suites)
    if choice is None:
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, "the answer does not choose one of our ESP proposals"
        )
    tsi, tsr = _selectors(message, PayloadType.TSI), _selectors(message, PayloadType.TSR)
    more = any(payload.others for payload in exchanges.every(message, TrafficSelectors))
    if more or not subset(tsi, wanted.local) or not subset(tsr, wanted.peer):
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, "the answer's traffic selectors exceed what we proposed"
        )
    return Agreed(choice.suite, choice.number, _checked_spi(choice.spi), tsi, tsr)


def install(
    sa: IkeSa, agreed: Agreed, spi: bytes, protection: Protection, transcript: Transcript, ike_suite: Suite
) -> tuple[Output, ...]:
    """Derive the keys from those of IKE_AUTH and install inbound now; returns what to emit once the peer may
    be sent to.

    `spi` is our inbound SPI.
    """
    nonces = transcript.nonce_i, transcript.nonce_r
    keys = derive_child_keys(agreed.suite, prf_of(ike_suite), protection.keys.sk_d, *nonces)
    made = child_sa(sa, agreed, spi, keys, ours=sa.is_initiator)
    sa.add_child(OwnedChild(made, times=lifetime(sa, sa.begun)))
    sa.context.emit(InstallInbound(made))
    return InstallOutbound(made), Event(EventName.CHILD_SA_INSTALLED, {**sa.labels, **describe(made)})


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
        path=sa.path,
        ike_spi=sa.local_spi,
        replay_window=sa.context.settings.replay_window,
    )


def lifetime(sa: IkeSa, now: float) -> Times:
    """When a Child SA that is made now is to be rekeyed, and ends."""
    return times(sa.context.settings.child_lifetime, now, sa.context.entropy)


def describe(child: ChildSa) -> dict[str, object]:
    """The fields of a Child SA in events."""
    return {
        "inbound_spi": child.inbound_spi.hex(),
        "outbound_spi": child.outbound_spi.hex(),
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
