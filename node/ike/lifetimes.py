"""What the age of SAs brings about: rekeying, and the end (RFC 7296 2.8).

Rules:

1. Soft: once for each SA it is asked to be replaced. Hard: it is over, whatever became of that.
2. What was replaced, and nobody deleted, is deleted by us.
"""

from dataclasses import replace

from node.ike import reauthentication
from node.ike.children import ASK, ChildState, Times
from node.ike.phases import Established, Rekeyed
from node.ike.sa import IkeSa
from node.ike.tasks import create_child, rekey
from node.ike.tasks.delete import delete_child
from node.model.events import EventName


def pass_time(sa: IkeSa, now: float) -> None:
    """Do what is due at `now`, in monotonic seconds."""
    sa.end_lingering(now)
    reauthentication.pass_time(sa, now)
    if isinstance(sa.data, Established | Rekeyed) and _is_due(sa.times.expires_at, now):
        over = "its lifetime is over" if isinstance(sa.data, Established) else "replaced, and not deleted"
        sa.times = Times()
        rekey.delete_ike(sa, over, now, heir=False)
        return
    if not isinstance(sa.data, Established):
        return
    for spi in tuple(sa.children):
        _age(sa, spi, now)
    if _is_due(sa.times.rekey_at, now):
        sa.times = replace(sa.times, rekey_at=None)
        rekey.rekey(sa, now)
    sa.advance(now)


def expire(sa: IkeSa, inbound_spi: bytes, now: float, *, hard: bool) -> None:
    """A Child SA has sent nearly all, or all, that it may: octets, packets or sequence numbers.

    Where Child SAs are never rekeyed it stops for good at the end of them.
    """
    owned = sa.children.get(inbound_spi)
    if owned is None or not sa.context.settings.child_lifetime.rekey:
        return
    if hard:
        delete_child(sa, inbound_spi, now)
    elif create_child.may_be_rekeyed(owned):
        create_child.rekey(sa, inbound_spi, now)


def spare_ids(sa: IkeSa, now: float) -> None:
    """Ask for a new IKE SA before message IDs come to an end: they never wrap (RFC 7296 2.2)."""
    if sa.window.scarce and not sa.renewed and isinstance(sa.data, Established):
        sa.renewed = True
        rekey.rekey(sa, now)
    if sa.window.used_up:
        sa.advance(now)


def _age(sa: IkeSa, spi: bytes, now: float) -> None:
    owned = sa.children[spi]
    if _is_due(owned.times.expires_at, now):
        sa.children[spi] = replace(owned, times=replace(owned.times, expires_at=None))
        _end(sa, spi, now)
    elif _is_due(owned.times.rekey_at, now) and owned.held is not None:
        # The peer may not know of it.
        sa.children[spi] = replace(owned, times=replace(owned.times, rekey_at=now + ASK))
    elif _is_due(owned.times.rekey_at, now):
        sa.children[spi] = replace(owned, times=replace(owned.times, rekey_at=None))
        if owned.state is ChildState.INSTALLED:
            create_child.rekey(sa, spi, now)


def _end(sa: IkeSa, spi: bytes, now: float) -> None:
    """The hard limit: what is left of it is the request to delete it."""
    spis = {"inbound_spi": spi.hex(), "outbound_spi": sa.children[spi].child.outbound_spi.hex()}
    sa.event(EventName.CHILD_SA_EXPIRED, **spis)
    delete_child(sa, spi, now)


def _is_due(time: float | None, now: float) -> bool:
    return time is not None and time <= now
