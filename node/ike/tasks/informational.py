"""INFORMATIONAL: delete, liveness, notifications (RFC 7296 1.4).

     initiator                    responder
    SK { N*, D*, }    -->
                      <--    SK { N*, D* }

An empty request asks for life and gets an empty answer. What notifications say of addresses is MOBIKE's
(`node.ike.tasks.mobike`).
"""

from typing import ClassVar

from node.errors import DropReason, PeerMisbehaved
from node.ike import exchanges
from node.ike.children import LINGER
from node.ike.phases import Deleting
from node.ike.sa import IkeSa
from node.ike.tasks import create_child, mobike, rekey
from node.ike.tasks.delete import DeleteChild
from node.ike.tasks.reply import Reply
from node.model.child import ESP_SPI_SIZE
from node.model.message import Message, Path
from node.model.payloads import Delete, Payload
from node.model.registry import ExchangeType, ProtocolId


def answer(sa: IkeSa, message: Message, path: Path, now: float) -> Reply:
    """Do what the request on `path` says.

    Raises PeerMisbehaved for a Delete payload or a COOKIE2 that makes no sense.
    """
    deletes = exchanges.every(message, Delete)
    for payload in deletes:
        _check(payload)
    failure = exchanges.error_notify(message)
    if failure is not None:
        sa.notified(failure)
        if exchanges.ends_ike_sa(failure):
            return Reply(close=f"refused with {failure.notify_type}")
    if any(d.protocol == ProtocolId.IKE for d in deletes):
        rekey.deleted_by_peer(sa)
        sa.bequeath(now + LINGER)
        return Reply(close="deleted by the peer")
    outbound = tuple(spi for d in deletes if d.protocol == ProtocolId.ESP for spi in d.spis)
    removed = create_child.deleted_by_peer(sa, outbound, now)
    about_addresses = mobike.answer(sa, message, path, now)
    return Reply((*((Delete(ProtocolId.ESP, removed),) if removed else ()), *about_addresses))


def complete(sa: IkeSa, message: Message, now: float) -> None:
    """The answer to our own request arrived: what it means is up to who asked; our last one ends the SA.

    Where the peer could make no sense of it, whatever it was, it holds no IKE SA any more (RFC 7296 2.21.3).
    """
    task = sa.agenda.finish(message.header.message_id)
    failure = exchanges.error_notify(message)
    if failure is not None and exchanges.ends_ike_sa(failure):
        sa.notified(failure)
        sa.close(f"refused with {failure.notify_type}")
        return
    if isinstance(sa.data, Deleting):
        if not sa.window.in_flight and not sa.send_last(now):
            sa.close(sa.data.reason)
        return
    if task is not None:
        task.process(message, now)
    sa.advance(now)


def give_up_child(sa: IkeSa, inbound_spi: bytes, now: float) -> None:
    """Tell the peer that a Child SA which it agreed to is not there (RFC 7296 1.4.1)."""
    sa.ask(DeleteChild(sa, inbound_spi, held=False), now)


class Liveness:
    """Ask the peer whether it is there; any answer says so."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    alone: ClassVar[bool] = False

    def __init__(self, sa: IkeSa) -> None:
        self._sa = sa

    def key(self) -> object:
        """One at a time."""
        return "liveness"

    def move(self, sa: IkeSa) -> bool:
        """A new IKE SA shows by itself that the peer is there."""
        return False

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """An empty request, or with NAT detection where we are told by it of changes of our address."""
        return mobike.ask_where_we_are(self._sa)

    def process(self, message: Message, now: float) -> None:
        """The answer is the sign of life."""
        failure = exchanges.error_notify(message)
        if failure is not None:
            self._sa.notified(failure)
        mobike.take_where_we_are(self._sa, message, now)


def _check(payload: Delete) -> None:
    size = {ProtocolId.IKE: 0, ProtocolId.ESP: ESP_SPI_SIZE}.get(payload.protocol)
    fits = all(len(spi) == size for spi in payload.spis)
    if size is None or not fits or (payload.protocol == ProtocolId.IKE and payload.spis):
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, f"a Delete payload for {payload.protocol} with wrong SPIs"
        )
