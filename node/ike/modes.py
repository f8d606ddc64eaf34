"""Tunnel or transport mode: who asks for it, who agrees, what follows (RFC 7296 1.3.1).

     initiator                                       responder
    SA, TSi, TSr, N(USE_TRANSPORT_MODE)       -->
                                        <--    SA, TSi, TSr, N(USE_TRANSPORT_MODE)   transport mode
                                        <--    SA, TSi, TSr                          tunnel mode

Rules:

1. Transport mode is between two hosts: where it is configured, each side's selector is its outer address as
   we see it, also in the tunnel mode that takes its place.
2. Where a NAT changes an address, what the peer says of it means what we see in its place (2.23.1); what it
   said is kept, since checksums are over that. In tunnel mode nothing is replaced.
3. A rekey keeps the mode, and takes no other.
"""

from dataclasses import replace
from typing import Final

from node.errors import DropReason, Incompatibility, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges
from node.model.child import FarView, Mode, ModeWish
from node.model.message import Message
from node.model.payloads import Notify
from node.model.registry import NotifyType
from node.model.selectors import IPAddress, TrafficSelector

#: Why a Child SA that the peer made is deleted again.
NOT_AGREED: Final = (
    "the peer did not agree to transport mode, and child.tunnel_fallback is false; set child.mode transport "
    "there, or child.tunnel_fallback here"
)
#: Why there is no Child SA for a peer that asks for tunnel mode.
NOT_ASKED: Final = (
    "the peer asks for tunnel mode, and child.tunnel_fallback is false; set child.mode transport there, or "
    "child.tunnel_fallback here"
)

_Selectors = tuple[TrafficSelector, ...]


def say(mode: Mode) -> tuple[Notify, ...]:
    """What a request or an answer says of its mode."""
    return (Notify(NotifyType.USE_TRANSPORT_MODE),) if mode is Mode.TRANSPORT else ()


def choose(wish: ModeWish, message: Message, tsi: _Selectors, tsr: _Selectors) -> Mode:
    """The responder's choice, for the narrowed selectors.

    Raises PeerIncompatible (PROPOSAL) where it is one that we do not take.
    """
    fits = wish.mode is Mode.TRANSPORT and between_hosts(tsi, tsr)
    mode = Mode.TRANSPORT if fits and said(message) else Mode.TUNNEL
    if not wish.takes(mode):
        raise PeerIncompatible(Incompatibility.PROPOSAL, NOT_ASKED)
    return mode


def confirm(wish: ModeWish, message: Message) -> Mode:
    """The mode that a responder chose; whether we take it is the wish's to say.

    Raises PeerMisbehaved (INVALID_PAYLOADS) where it agrees to what was not asked for.
    """
    if not said(message):
        return Mode.TUNNEL
    if wish.mode is not Mode.TRANSPORT:
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, "the answer agrees to transport mode, which we did not ask for"
        )
    return Mode.TRANSPORT


def in_place(side: _Selectors, address: IPAddress, *, behind_nat: bool) -> _Selectors:
    """A side as we see it: `address`, where it is one host behind a NAT; else as it was said."""
    if not behind_nat or _host(side) is None or side[0].start.version != address.version:
        return side
    return tuple(replace(selector, start=address, end=address) for selector in side)


def far_view(local: _Selectors, peer: _Selectors, ours: _Selectors, theirs: _Selectors) -> FarView | None:
    """What the peer said of our side and of its own, where we see something else."""
    told, seen = (_host(peer), _host(local)), (_host(theirs), _host(ours))
    if told == seen or told[0] is None or told[1] is None:
        return None
    return FarView(told[0], told[1])


def _host(side: _Selectors) -> IPAddress | None:
    ends = {end for selector in side for end in (selector.start, selector.end)}
    return ends.pop() if len(ends) == 1 else None


def between_hosts(tsi: _Selectors, tsr: _Selectors) -> bool:
    """True where each side is one address."""
    return _host(tsi) is not None and _host(tsr) is not None


def pads(message: Message) -> bool:
    """False where the peer wants no padding that hides lengths (RFC 7296 1.3.1)."""
    return not exchanges.notifies(message, NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED)


def said(message: Message) -> bool:
    """True where a message asks for transport mode, or agrees to it."""
    return bool(exchanges.notifies(message, NotifyType.USE_TRANSPORT_MODE))
