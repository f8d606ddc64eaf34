"""INFORMATIONAL: delete, liveness, notifications (RFC 7296 1.4); and CREATE_CHILD_SA, which we decline.

     initiator                    responder
    SK { N*, D*, }    -->
                      <--    SK { D* }

An empty request asks for life and gets an empty answer.
"""

from node.errors import DropReason, PeerMisbehaved
from node.ike import exchanges
from node.ike.phases import Deleting
from node.ike.sa import IkeSa
from node.ike.tasks.reply import Reply
from node.model.child import ESP_SPI_SIZE
from node.model.events import EventName
from node.model.message import Message
from node.model.payloads import Delete, Notify
from node.model.registry import ExchangeType, NotifyType, ProtocolId


def delete(sa: IkeSa, reason: str, now: float) -> None:
    """Delete the IKE SA and with it all its Child SAs (RFC 7296 1.4.1)."""
    sa.begin_delete(reason, (Delete(ProtocolId.IKE),), now)


def answer(sa: IkeSa, message: Message) -> Reply:
    """Do what the request says. Raises PeerMisbehaved for a Delete payload that makes no sense."""
    deletes = exchanges.every(message, Delete)
    for payload in deletes:
        _check(payload)
    failure = exchanges.error_notify(message)
    if failure is not None:
        _tell(sa, failure)
        if failure.notify_type in _FATAL:
            return Reply(close=f"refused with {failure.notify_type}")
    if any(d.protocol == ProtocolId.IKE for d in deletes):
        return Reply(close="deleted by the peer")
    outbound = [spi for d in deletes if d.protocol == ProtocolId.ESP for spi in d.spis]
    removed = _remove(sa, outbound)
    return Reply((Delete(ProtocolId.ESP, removed),) if removed else ())


def complete(sa: IkeSa) -> None:
    """The answer to our own request arrived: where that was our last one, the SA ends."""
    if isinstance(sa.data, Deleting):
        sa.close(sa.data.reason)


def give_up_child(sa: IkeSa, inbound_spi: bytes, now: float) -> None:
    """Tell the peer that a Child SA which it agreed to is not there (RFC 7296 1.4.1)."""
    sa.send_request(ExchangeType.INFORMATIONAL, (Delete(ProtocolId.ESP, (inbound_spi,)),), now)


def decline_child() -> Reply:
    """CREATE_CHILD_SA from a peer: an implementation may refuse further SAs (RFC 7296 1.3, 4)."""
    return Reply((Notify(NotifyType.NO_ADDITIONAL_SAS),))


def _remove(sa: IkeSa, outbound_spis: list[bytes]) -> tuple[bytes, ...]:
    """Take down the Child SAs whose packets to the peer carry these SPIs.

    An SPI we do not know is ignored.
    """
    wanted = set(outbound_spis)
    removed = tuple(c.inbound_spi for c in sa.children.values() if c.outbound_spi in wanted)
    for spi in removed:
        sa.remove_child(spi)
    return removed


def _check(payload: Delete) -> None:
    size = {ProtocolId.IKE: 0, ProtocolId.ESP: ESP_SPI_SIZE}.get(payload.protocol)
    fits = all(len(spi) == size for spi in payload.spis)
    if size is None or not fits or (payload.protocol == ProtocolId.IKE and payload.spis):
        raise PeerMisbehaved(
            DropReason.INVALID_PAYLOADS, f"a Delete payload for {payload.protocol} with wrong SPIs"
        )


def _tell(sa: IkeSa, notify: Notify) -> None:
    sa.event(EventName.NOTIFY_RECEIVED, notify=str(notify.notify_type), protected=True)


#: Errors in an INFORMATIONAL request after which the peer holds no IKE SA any more (RFC 7296 2.21.2, 2.21.3).
_FATAL = frozenset({NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX})
