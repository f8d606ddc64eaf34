"""Tunnel or transport mode: who asks for it, who agrees, what follows (RFC 7296 1.3.1).

     initiator                                       responder
    SA, TSi, TSr, N(USE_TRANSPORT_MODE)       -->
                                        <--    SA, TSi, TSr, N(USE_TRANSPORT_MODE)   transport mode
                                        <--    SA, TSi, TSr                          tunnel mode

Rules:

1. Transport mode is between two hosts: where it is configured, each side's selector is its outer address as
   we see it, also in the tunnel mode that takes its place.
2. A NAT that changes an address makes the selectors of both ends differ, and the Child SA is refused with
   TS_UNACCEPTABLE: the substitution of RFC 7296 2.23.1 is not done. A peer that only says there is a NAT, so
   that ESP goes in UDP, changes nothing.
3. A rekey keeps the mode, and takes no other.
"""

from typing import Final

from node.errors import DropReason, Incompatibility, PeerIncompatible, PeerMisbehaved
from node.ike import exchanges
from node.model.child import Mode, ModeWish
from node.model.message import Message
from node.model.payloads import Notify
from node.model.registry import NotifyType
from node.model.selectors import TrafficSelector

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
    mode = Mode.TRANSPORT if fits and _said(message) else Mode.TUNNEL
    if not wish.takes(mode):
        raise PeerIncompatible(Incompatibility.PROPOSAL, NOT_ASKED)
    return mode


def confirm(wish: ModeWish, message: Message) -> Mode:
    """The mode that a responder chose; whether we take it is the wish's to say.

    Raises PeerMisbehaved (INVALID_PAYLOADS) where it agrees to what was not asked for.
    """
    if not _said(message):
        return Mode.TUNNEL
    if wish.mode is not Mode.TRANSPORT:
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, "the answer agrees to transport mode, which we did not ask for"
        )
    return Mode.TRANSPORT


def between_hosts(tsi: _Selectors, tsr: _Selectors) -> bool:
    """True where each side is one address."""
    return all(len({end for s in side for end in (s.start, s.end)}) == 1 for side in (tsi, tsr))


def pads(message: Message) -> bool:
    """False where the peer wants no padding that hides lengths (RFC 7296 1.3.1)."""
    return not exchanges.notifies(message, NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED)


def _said(message: Message) -> bool:
    return bool(exchanges.notifies(message, NotifyType.USE_TRANSPORT_MODE))
