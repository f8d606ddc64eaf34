"""What the peer is told about an error: the only place that decides it (RFC 7296 2.21).

Rules:

1. An integrity failure is never answered.
2. Before the integrity check only the refusals of IKE_SA_INIT that RFC 7296 2.21.1 names are sent; octets
   that are no message are not answered at all.
3. Which part of an authentication failed stays with us: the peer learns AUTHENTICATION_FAILED. So it does
   where it takes no fragments and our certificates do not fit into one message: we cannot authenticate.
"""

from node.errors import (
    AuthError,
    CriticalPayload,
    DecodeError,
    IkeError,
    Incompatibility,
    MessageTooLarge,
    PeerIncompatible,
    PeerMisbehaved,
)
from node.model.payloads import Notify
from node.model.registry import NotifyType

_INCOMPATIBLE = {
    Incompatibility.PROPOSAL: NotifyType.NO_PROPOSAL_CHOSEN,
    Incompatibility.KEY_EXCHANGE: NotifyType.INVALID_KE_PAYLOAD,
    Incompatibility.SELECTORS: NotifyType.TS_UNACCEPTABLE,
    Incompatibility.ADDRESS: NotifyType.INTERNAL_ADDRESS_FAILURE,
    Incompatibility.CONFIGURATION: NotifyType.FAILED_CP_REQUIRED,
}


def notify_for(error: IkeError, *, protected: bool) -> Notify | None:
    """The notification that answers `error`, or None for silence.

    `protected`: the request passed its integrity check.
    """
    match error:
        case CriticalPayload():
            return Notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes([error.payload_type]))
        case PeerIncompatible():
            return Notify(_INCOMPATIBLE[error.what], error.data)
        case AuthError() | MessageTooLarge() if protected:
            return Notify(NotifyType.AUTHENTICATION_FAILED)
        case PeerMisbehaved() if protected:
            return Notify(NotifyType.INVALID_SYNTAX)
        case DecodeError() if protected and error.authenticated:
            return Notify(NotifyType.INVALID_SYNTAX)
        case _:
            return None
