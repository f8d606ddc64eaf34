"""MOBIKE: the addresses of an IKE SA and its Child SAs change, and nothing else does (RFC 4555).

    the first initiator                                  the first responder
    IKE_AUTH ... N(MOBIKE_SUPPORTED),
             [N(ADDITIONAL_IP4_ADDRESS)+]           -->
                                                    <--   the same

    from its new address:
    SK { N(UPDATE_SA_ADDRESSES),
         N(NAT_DETECTION_SOURCE_IP),
         N(NAT_DETECTION_DESTINATION_IP),
         N(ADDITIONAL_IP4_ADDRESS)+ or
         N(NO_ADDITIONAL_ADDRESSES), N(COOKIE2) }   -->
                                                    <--   SK { N(NAT_DETECTION_SOURCE_IP),
                                                               N(NAT_DETECTION_DESTINATION_IP), N(COOKIE2) }
                                                    <--   SK { N(COOKIE2) }
    SK { N(COOKIE2) }                               -->   Child SAs go to the new address, too

We take part in NAT detection always, so we never send NO_NATS_ALLOWED, and speak no MOBIKE with a peer that
takes no part (3.9). Whoever fails to repeat a COOKIE2 loses its IKE SA (3.7).
"""

import hmac
from dataclasses import replace
from typing import ClassVar

from node.errors import DropReason, LocalMisuse, PeerMisbehaved
from node.ike import exchanges, extensions, moves
from node.ike.exchanges import notifies
from node.ike.mobility import (
    COOKIE2_SIZE,
    MAX_COOKIE2,
    MIN_COOKIE2,
    Mobility,
    additional,
    additional_of_peer,
    is_unicast,
    nats_as_told,
)
from node.ike.phases import Established, Rekeyed
from node.ike.sa import IkeSa
from node.model.events import EventName
from node.model.message import Message, Path, host_port, outer_address
from node.model.payloads import Delete, Notify, Payload
from node.model.registry import ExchangeType, NotifyType, ProtocolId
from node.model.selectors import host, overlap

#: How often addresses that a NAT seems to have changed are told again (3.9).
MAX_TRIES = 3
#: The share of all sendings of a request after which a peer is not believed to be at its new path: many, as a
#: honest one that lost all of them may be nowhere else; not all, as the others go to where it was.
PATIENCE = 0.7


# -- IKE_AUTH ------------------------------------------------------------------------------------------------


def announce(sa: IkeSa) -> tuple[Payload, ...]:
    """What we say in IKE_AUTH: that we speak MOBIKE, and our further addresses (3.2, 3.4)."""
    if not _wanted(sa):
        return ()
    others = additional(sa.context.settings.additional_addresses, sa.path)
    return Notify(NotifyType.MOBIKE_SUPPORTED), *others


def agree(sa: IkeSa, message: Message) -> None:
    """Take what the authenticated peer says of it in IKE_AUTH."""
    if not _wanted(sa) or not notifies(message, NotifyType.MOBIKE_SUPPORTED):
        return
    sa.mobility = Mobility(sa.is_initiator, sa.path, additional_of_peer(message) or ())
    sa.event(EventName.MOBIKE_AGREED, decides=sa.is_initiator, addresses=_listed(sa.mobility))


def _wanted(sa: IkeSa) -> bool:
    return sa.context.settings.mobike and sa.extensions.nat.supported


def _listed(mobility: Mobility) -> list[str]:
    return [str(address) for address in mobility.others]


# -- what we ask ---------------------------------------------------------------------------------------------


def move(sa: IkeSa, path: Path, now: float) -> None:
    """Go on from another address of ours, and tell the peer as soon as it can be told (3.5).

    Raises LocalMisuse where it is not ours to decide.
    """
    mobility, old = sa.mobility, sa.path
    if mobility is None or not mobility.decides:
        raise LocalMisuse("the addresses of this IKE SA are not ours to change")
    sa.path = path
    sa.window.hurry(now)
    if sa.predecessor is not None:
        # The peer made it and may not know yet that it has it: the one that it is to replace tells of us.
        return
    if path != old and isinstance(sa.data, Established):
        mobility.serial += 1
        _tell_change(sa, old)
        moves.move_children(sa)
    if isinstance(sa.data, Established | Rekeyed):
        sa.agenda.add_first(UpdateAddresses(sa))
        sa.advance(now)


def tell_again(sa: IkeSa, now: float) -> None:
    """An IKE SA is replaced while the peer may not know yet where we are.

    It may not know of its replacement either, and go on to ask over this one, where we were: so it is told
    over both.
    """
    mobility = sa.mobility
    if mobility is not None and mobility.decides and mobility.agreed != sa.path:
        sa.ask(UpdateAddresses(sa), now)


def _tell_change(sa: IkeSa, old: Path) -> None:
    ends = [host_port(path.local_host, path.local_port) for path in (old, sa.path)]
    sa.event(EventName.ADDRESS_CHANGED, old=ends[0], new=ends[1])


class UpdateAddresses:
    """Tell the peer on which path we are: that from which this comes."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    # Whatever else is under way goes on from the new path, and only one of these is (its key).
    alone: ClassVar[bool] = False

    def __init__(self, sa: IkeSa, tries: int = 0) -> None:
        self._sa, self._tries = sa, tries
        self._serial, self._cookie = -1, b""

    def key(self) -> object:
        """One at a time: it says what is so when its turn comes."""
        return "update addresses"

    def move(self, sa: IkeSa) -> bool:
        """Ask over another IKE SA; its Child SAs are what this is about."""
        self._sa = sa
        return True

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """UPDATE_SA_ADDRESSES with everything that the peer may want to know of us."""
        sa, mobility = self._sa, self._sa.mobility
        if mobility is None:
            return None
        self._serial, self._cookie = mobility.serial, sa.context.entropy(COOKIE2_SIZE)
        others = additional(sa.context.settings.additional_addresses, sa.path)
        return (
            Notify(NotifyType.UPDATE_SA_ADDRESSES),
            *extensions.nat_detection(sa.spi_i, sa.spi_r, sa.path),
            *(others or (Notify(NotifyType.NO_ADDITIONAL_ADDRESSES),)),
            Notify(NotifyType.COOKIE2, self._cookie),
        )

    def process(self, message: Message, now: float) -> None:
        """The peer has followed, or refuses to. An answer to what is over already means nothing (3.5)."""
        sa, mobility = self._sa, self._sa.mobility
        refusal = _refusal(sa, message)
        if mobility is None or not _repeats(sa, message, self._cookie, now):
            return
        if self._serial != mobility.serial:
            sa.ask(UpdateAddresses(sa), now)
        elif not isinstance(sa.data, Established):
            return
        elif refusal is not None:
            self._refused(mobility, refusal, now)
        else:
            mobility.agreed = sa.path
            mobility.looks_elsewhere(sa.spis, message)
            _learn_nat(sa, message, sa.path)

    def _refused(self, mobility: Mobility, refusal: Notify, now: float) -> None:
        """Somebody may have changed the addresses of this one packet: try again. Else go back (3.5, 3.9)."""
        sa, old = self._sa, self._sa.path
        if refusal.notify_type == NotifyType.UNEXPECTED_NAT_DETECTED and self._tries < MAX_TRIES:
            sa.ask(UpdateAddresses(sa, self._tries + 1), now)
        elif old != mobility.agreed:
            sa.path = mobility.agreed
            mobility.serial += 1
            _tell_change(sa, old)
            moves.move_children(sa)


class CheckRoute:
    """Ask the peer for a COOKIE2 that only who receives at its new address can know (3.7)."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    # Whatever else is under way goes on from the new path, and only one of these is (its key).
    alone: ClassVar[bool] = False

    def __init__(self, sa: IkeSa) -> None:
        self._sa = sa
        self._serial, self._cookie = -1, b""

    def key(self) -> object:
        """One at a time: it goes where the IKE SA is when its turn comes."""
        return "check route"

    def move(self, sa: IkeSa) -> bool:
        """Ask over another IKE SA; its Child SAs are what this is about."""
        self._sa = sa
        return True

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """COOKIE2; nothing where the peer has come back to where it was."""
        mobility = self._sa.mobility
        if mobility is None or mobility.held is None:
            return None
        self._serial, self._cookie = mobility.serial, self._sa.context.entropy(COOKIE2_SIZE)
        return (Notify(NotifyType.COOKIE2, self._cookie),)

    def process(self, message: Message, now: float) -> None:
        """The peer is where it says, unless it has gone elsewhere since: this request went there, too."""
        sa, mobility = self._sa, self._sa.mobility
        _refusal(sa, message)
        if mobility is None or not _repeats(sa, message, self._cookie, now):
            return
        if self._serial != mobility.serial:
            sa.ask(CheckRoute(sa), now)
        elif mobility.held is not None:
            old, mobility.held = mobility.held, None
            moves.take_along(sa, old)


def _refusal(sa: IkeSa, message: Message) -> Notify | None:
    """The error that the peer answers with, if any, which is told."""
    failure = exchanges.error_notify(message)
    if failure is not None:
        sa.notified(failure)
    return failure


def _repeats(sa: IkeSa, message: Message, cookie: bytes, now: float) -> bool:
    """Whether the answer has the COOKIE2 of the request; the IKE SA ends where it has not."""
    found = [n.data for n in notifies(message, NotifyType.COOKIE2)]
    if len(found) == 1 and hmac.compare_digest(found[0], cookie):
        return True
    sa.event(EventName.ROUTE_CHECK_FAILED, reason="no COOKIE2" if not found else "another COOKIE2")
    sa.begin_delete("the peer does not repeat our COOKIE2", (Delete(ProtocolId.IKE),), now)
    return False


# -- what the peer asks --------------------------------------------------------------------------------------


def answer(sa: IkeSa, message: Message, path: Path, now: float) -> tuple[Payload, ...]:
    """Do what an INFORMATIONAL request on `path` says of addresses; returns what belongs into the answer.

    Raises PeerMisbehaved (INVALID_PAYLOADS) for a COOKIE2 that is none.
    """
    mobility = sa.mobility
    if mobility is None:
        return ()
    cookie = _cookie2(message)
    told = additional_of_peer(message)
    wants_update = bool(notifies(message, NotifyType.UPDATE_SA_ADDRESSES)) and not mobility.decides
    if (wants_update or told is not None) and not nats_as_told(message, path):
        return _refuse(sa, NotifyType.UNEXPECTED_NAT_DETECTED, path), *cookie
    if wants_update and not _acceptable(sa, path):
        return _refuse(sa, NotifyType.UNACCEPTABLE_ADDRESSES, path), *cookie
    if told is not None and told != mobility.others:
        mobility.others = told
        sa.event(EventName.PEER_ADDRESSES_CHANGED, addresses=_listed(mobility))
    if wants_update:
        _learn_nat(sa, message, path)
        _go(sa, mobility, path, now)
    detects = notifies(message, NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP)
    detection = extensions.nat_detection(sa.spi_i, sa.spi_r, path) if detects else ()
    return *detection, *cookie


def stray(sa: IkeSa, path: Path, now: float) -> None:
    """The newest ESP packet came on another path than Child SAs send on (3.8): is the peer there?

    What was lost, replayed or forged on its way cannot lead our traffic away: only a COOKIE2 does.
    """
    mobility = sa.mobility
    if mobility is None or mobility.decides or not isinstance(sa.data, Established):
        return
    if moves.may_follow(sa) and _acceptable(sa, path):
        _go(sa, mobility, path, now)
        sa.advance(now)


def _go(sa: IkeSa, mobility: Mobility, path: Path, now: float) -> None:
    """The IKE SA goes to another path; its Child SAs wait until the peer has shown that it is there."""
    if path == sa.path:
        return
    held = mobility.held or sa.path
    sa.path = path
    sa.window.hurry(now)
    if isinstance(sa.data, Established):
        mobility.serial += 1
        mobility.held = held if held != path else None
        sa.agenda.add_first(CheckRoute(sa))


def pass_time(sa: IkeSa, now: float) -> None:
    """A peer that is asked at a new path, and does not answer there, is where it was before.

    Only who repeats a COOKIE2 is believed: whoever sends on what it has seen, from somewhere else and first,
    has an effect on nothing but this question.
    """
    mobility, late = sa.mobility, sa.window.due(now)
    if mobility is None or mobility.held is None or not late:
        return
    if not isinstance(sa.data, Established) or sa.predecessor is not None:
        # What was replaced, or is not in use yet, says nothing of where those are that share what we know.
        return
    sent = max(sa.window.in_flight[message_id].sent for message_id in late)
    if sent >= sa.context.settings.retransmission.tries * PATIENCE:
        sa.event(EventName.ROUTE_CHECK_FAILED, reason="no answer")
        sa.path, mobility.held = mobility.held, None
        mobility.serial += 1
        sa.window.hurry(now)


def _acceptable(sa: IkeSa, path: Path) -> bool:
    """Our policy: a host's address, where ESP can go, and that is not reached through the tunnel itself."""
    address = outer_address(path.peer_host)
    inside = any(overlap((host(address),), owned.child.peer) for owned in sa.children.values())
    return is_unicast(address) and path.peer_port > 0 and path.carries_esp and not inside


def _refuse(sa: IkeSa, kind: NotifyType, path: Path) -> Notify:
    sa.event(EventName.NOTIFY_SENT, notify=str(kind), detail=f"asked for {path}")
    return Notify(kind)


def _cookie2(message: Message) -> tuple[Notify, ...]:
    """COOKIE2 as it came, for the answer. Raises PeerMisbehaved where there are several, or of wrong size."""
    found = notifies(message, NotifyType.COOKIE2)
    if len(found) > 1 or not all(MIN_COOKIE2 <= len(n.data) <= MAX_COOKIE2 for n in found):
        sizes = ", ".join(str(len(n.data)) for n in found)
        detail = f"not one COOKIE2 of {MIN_COOKIE2} to {MAX_COOKIE2} octets, but of {sizes}"
        raise PeerMisbehaved(DropReason.INVALID_PAYLOADS, detail)
    return found


def _learn_nat(sa: IkeSa, message: Message, path: Path) -> None:
    """What NAT detection says of a new path; where it is left out, what is known stays."""
    nat = extensions.detect_nat(message, path)
    if nat.supported and nat != sa.extensions.nat:
        sa.learn(replace(sa.extensions, nat=nat))
        moves.tell_path(sa)


# -- whether a NAT has changed our address -------------------------------------------------------------------


def ask_where_we_are(sa: IkeSa) -> tuple[Payload, ...]:
    """What goes into a question for life: NAT detection, where the answer concerns us (3.8)."""
    decides = sa.mobility is not None and sa.mobility.decides
    return extensions.nat_detection(sa.spi_i, sa.spi_r, sa.path) if decides else ()


def take_where_we_are(sa: IkeSa, message: Message, now: float) -> None:
    """The answer: where the peer sees us elsewhere than before, it is told that this is so."""
    mobility = sa.mobility
    if mobility is not None and mobility.decides and mobility.looks_elsewhere(sa.spis, message):
        sa.ask(UpdateAddresses(sa), now)
