"""A peer's CREATE_CHILD_SA: which of the three it is, and whether now is the time (RFC 7296 1.3, 2.25)."""

from node.ike import exchanges
from node.ike.phases import Established
from node.ike.sa import IkeSa
from node.ike.tasks import create_child, rekey
from node.ike.tasks.reply import Reply
from node.model.message import Message
from node.model.payloads import Notify, SecurityAssociation
from node.model.registry import NotifyType, ProtocolId


def answer(sa: IkeSa, message: Message, now: float) -> Reply:
    """Answer the request. Raises PeerMisbehaved.

    An IKE SA that is being replaced or deleted takes none (RFC 7296 2.25.2).
    """
    if not isinstance(sa.data, Established):
        return create_child.refused(sa, Notify(NotifyType.TEMPORARY_FAILURE))
    proposals = exchanges.required(message, SecurityAssociation).proposals
    if any(proposal.protocol == ProtocolId.IKE for proposal in proposals):
        return rekey.answer(sa, message, now)
    if sa.agenda.active(rekey.RekeyIke):
        return create_child.refused(sa, Notify(NotifyType.TEMPORARY_FAILURE))
    return create_child.answer(sa, message, now)
