"""Repeating the authentication, make before break (RFC 7296 2.8.3).

     initiator                                        responder
    IKE_SA_INIT, IKE_AUTH: a whole new IKE SA   <-->      both IKE SAs are up
    (sends through the new one)                 -->
    SK { D(IKE) } over the old one              -->
                                                <--    SK { }
                                                <--    (sends through the new one at the latest, and
                                                       asks over it if it has heard nothing there yet)

Rules:

1. Until the new IKE SA has a Child SA the old one carries everything; where that comes to nothing it stays,
   and is tried again, until the authentication is too old.
2. Child SAs beyond the first one are asked for over the new IKE SA before the old one goes.
3. What is rekeyed meanwhile is followed: it is the last heir that is replaced.
4. One attempt at a time for each IKE SA. Whoever deletes the old one by hand ends the attempt, too.
"""

from dataclasses import replace
from typing import ClassVar

from node.errors import LocalMisuse
from node.ike.children import ChildState
from node.ike.phases import Established
from node.ike.sa import IkeSa
from node.ike.tasks import child, create_child, init, rekey
from node.model.events import EventName
from node.model.message import NO_SPI, Message
from node.model.payloads import Payload
from node.model.registry import ExchangeType
from node.model.selectors import subset


class Farewell:
    """Delete the older IKE SA when all else that was asked of the new one is answered."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    alone: ClassVar[bool] = True

    def __init__(self, sa: IkeSa) -> None:
        self._sa = sa

    def key(self) -> object:
        """Once."""
        return "farewell"

    def move(self, sa: IkeSa) -> bool:
        """It is the older one that ends, whoever took the place of the new one."""
        self._sa = sa
        return True

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """Nothing of its own: the DELETE goes over the older IKE SA."""
        new = self._sa
        old, new.older = new.older, None
        if old is not None:
            old.renewal = None
            if isinstance(old.data, Established):
                old.heir = new
                rekey.delete_ike(old, "reauthenticated", now)
                new.touched.append(old)
        return None

    def process(self, message: Message, now: float) -> None:
        """Nothing: it has no request of its own. Raises LocalMisuse."""
        raise LocalMisuse("a farewell is said over the older IKE SA")


def begin(sa: IkeSa, now: float) -> None:
    """Set up a new IKE SA beside this one, where it is ours to do so and not under way already."""
    if not sa.auth.ours or sa.renewal is not None or not isinstance(sa.data, Established):
        return
    context = sa.context
    if not context.has_room():
        _tell_failure(sa, "too many IKE SAs", now)
        return
    sa.auth = sa.auth.begun()
    new = IkeSa(context, sa.path, context.ike_spi(), NO_SPI, None, now)
    sa.renewal, new.older = new, sa
    context.contacts.begin(new.local_spi)
    new.event(EventName.SPI_ASSIGNED, spi=new.local_spi.hex())
    init.initiate(new, now)
    sa.touched.append(new)


def completed(new: IkeSa, now: float) -> None:
    """IKE_AUTH is over: where `new` was to take the place of another IKE SA, it does so now."""
    old = new.older
    if old is None or not isinstance(new.data, Established):
        return
    if old.children and not new.children:
        rekey.delete_ike(new, "no Child SA came of it", now)
        return
    new.event(EventName.IKE_SA_REAUTHENTICATED, old_spi_i=old.spi_i.hex(), old_spi_r=old.spi_r.hex())
    for wanted in _missing(old, new):
        new.ask(create_child.CreateChild(new, None, wanted), now)
    new.ask(Farewell(new), now)


def ended(new: IkeSa, now: float) -> None:
    """An IKE SA is closed: where it was to take the place of another one, that one tries again later."""
    old, new.older = new.older, None
    if old is not None:
        old.renewal = None
        if isinstance(old.data, Established):
            _tell_failure(old, "the new IKE SA did not last", now)
            new.touched.append(old)


def pass_time(sa: IkeSa, now: float) -> None:
    """Repeat the authentication where it is time to, or end what is authenticated no more."""
    life = sa.auth
    if not isinstance(sa.data, Established):
        return
    if life.expires_at is not None and life.expires_at <= now:
        sa.auth = replace(life, expires_at=None)
        rekey.delete_ike(sa, "the peer was not authenticated again in time", now)
        return
    due = life.due_at()
    if due is not None and due <= now:
        begin(sa, now)


def _missing(old: IkeSa, new: IkeSa) -> tuple[child.Wanted, ...]:
    """What Child SAs the old one has that the new one lacks, and may have."""
    allowed = child.allowed(new)
    there = {(owned.child.local, owned.child.peer) for owned in new.children.values()}
    found = [owned.child for owned in old.children.values() if owned.state is ChildState.INSTALLED]
    wanted = dict.fromkeys((one.local, one.peer) for one in found)
    return tuple(
        replace(allowed, local=local, peer=peer)
        for local, peer in wanted
        if (local, peer) not in there and subset(local, allowed.local) and subset(peer, allowed.peer)
    )


def _tell_failure(sa: IkeSa, reason: str, now: float) -> None:
    sa.auth = sa.auth.failed(now)
    sa.event(EventName.IKE_REAUTH_FAILED, reason=reason)
