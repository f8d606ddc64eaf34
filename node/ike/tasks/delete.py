"""Our DELETE, and what a peer's means (RFC 7296 1.4.1, 2.25).

    SK { D(ESP, our inbound SPI) }   -->
                                     <--   SK { D(ESP, the peer's inbound SPI) }

where both ask at once, the answers are empty.

A Child SA that was replaced still receives for a while; every other one is gone at once.
"""

from dataclasses import replace
from typing import ClassVar

from node.errors import LocalMisuse
from node.ike.children import LINGER, ChildState, OwnedChild
from node.ike.outputs import Event, InstallOutbound
from node.ike.sa import IkeSa
from node.model.events import EventName
from node.model.message import Message
from node.model.payloads import Delete, Payload
from node.model.registry import ExchangeType, ProtocolId


class DeleteChild:
    """Take a Child SA down at both ends; `spi` is its inbound SPI."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    alone: ClassVar[bool] = False

    def __init__(self, sa: IkeSa, spi: bytes, *, held: bool = True) -> None:
        """`held`: we have it; a peer may think that we do."""
        self._sa, self._spi, self._held = sa, spi, held

    def key(self) -> object:
        """One for each Child SA."""
        return "delete", self._spi

    def move(self, sa: IkeSa) -> bool:
        """Ask over another IKE SA."""
        self._sa = sa
        return True

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """D; nothing where the peer has deleted it meanwhile."""
        gone = self._held and self._spi not in self._sa.children
        return None if gone else (Delete(ProtocolId.ESP, (self._spi,)),)

    def process(self, message: Message, now: float) -> None:
        """The peer has it no more, whatever it says."""
        if self._spi in self._sa.children:
            remove(self._sa, self._spi, now)


class DeleteIke:
    """End the IKE SA when its rekey is through; with `heir` whichever IKE SA has taken its place by then."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    alone: ClassVar[bool] = False

    def __init__(self, sa: IkeSa, reason: str, *, heir: bool = True) -> None:
        self._sa, self._reason, self._heir = sa, reason, heir

    def key(self) -> object:
        """Once."""
        return "delete IKE"

    def move(self, sa: IkeSa) -> bool:
        """It is the new one that is to end, unless only the age of the old one asks for it."""
        self._sa = sa
        return self._heir

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """Nothing of its own: it enters the phase that sends the last request."""
        self._sa.begin_delete(self._reason, (Delete(ProtocolId.IKE),), now)
        return None

    def process(self, message: Message, now: float) -> None:
        """Nothing: the answer to the last request closes the SA. Raises LocalMisuse."""
        raise LocalMisuse("the last request of an IKE SA is no task's")


def delete_child(sa: IkeSa, spi: bytes, now: float) -> None:
    """Start to delete a Child SA by its inbound SPI: it is not rekeyed any more."""
    owned = sa.children[spi]
    sa.children[spi] = replace(owned, state=ChildState.DELETING)
    if not owned.silent or not _is_heir(sa, spi):
        sa.ask(DeleteChild(sa, spi), now)


def _is_heir(sa: IkeSa, spi: bytes) -> bool:
    """Whether it waits for the end of another one."""
    return any(owned.heir == spi for owned in sa.children.values())


def remove_deleted(sa: IkeSa, outbound_spis: frozenset[bytes], now: float) -> tuple[bytes, ...]:
    """Take down the Child SAs whose packets to the peer carry these SPIs; those we do not know are ignored.

    Returns our SPIs of them for the answer, without those that we were deleting, too.
    """
    found = [owned for owned in sa.children.values() if owned.child.outbound_spi in outbound_spis]
    for owned in found:
        remove(sa, owned.child.inbound_spi, now)
    return tuple(o.child.inbound_spi for o in found if o.state is not ChildState.DELETING)


def remove(sa: IkeSa, spi: bytes, now: float) -> None:
    """A Child SA is over: its heir, where there is one, sends from now on."""
    heir = sa.children.get(sa.children[spi].heir or b"")
    if heir is None:
        sa.remove_child(spi)
        return
    if heir.silent and heir.state is not ChildState.DELETING:
        # Before the old one falls silent: no packet finds none of them.
        give_voice(sa, heir, spi)
    sa.remove_child(spi, now + LINGER)
    if heir.state is ChildState.DELETING:
        sa.ask(DeleteChild(sa, heir.child.inbound_spi), now)


def give_voice(sa: IkeSa, owned: OwnedChild, replaces: bytes) -> None:
    """Send through a Child SA that only received until now."""
    sa.children[owned.child.inbound_spi] = replace(owned, silent=False)
    sa.context.emit(InstallOutbound(owned.child, replaces))
    spis = {"old_spi": replaces.hex(), "inbound_spi": owned.child.inbound_spi.hex()}
    sa.context.emit(Event(EventName.CHILD_SA_REKEYED, {**sa.labels, **spis}))
