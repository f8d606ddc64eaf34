"""A request outside our window, and how the peer learns of it (RFC 7296 2.3).

     us                                                        peer
                              <--    a request with message ID 9, while we expect 3
    SK { N(INVALID_MESSAGE_ID: 9) }   -->
                                      <--    SK { }

Rules:

1. The request itself is never answered.
2. Only the peer can make us say it: the request must be authentic, and ahead of the window. What lies behind
   it anybody can have kept and sent again.
3. It is said once in `PAUSE` seconds at most, and one at a time.
"""

from typing import ClassVar

from node.ike.sa import IkeSa
from node.model.events import EventName
from node.model.message import Message
from node.model.payloads import Notify, Payload
from node.model.registry import ExchangeType, NotifyType

#: Seconds in which a peer hears of one message ID.
PAUSE = 10.0
#: Octets of a message ID in the notification.
ID_SIZE = 4


class TellStray:
    """Tell the peer which message ID we do not take."""

    exchange: ClassVar[ExchangeType] = ExchangeType.INFORMATIONAL
    alone: ClassVar[bool] = False

    def __init__(self, sa: IkeSa, message_id: int) -> None:
        self._sa, self._message_id = sa, message_id

    def key(self) -> object:
        """One at a time."""
        return "stray"

    def move(self, sa: IkeSa) -> bool:
        """The message IDs of another IKE SA are others."""
        return False

    def build(self, now: float) -> tuple[Payload, ...] | None:
        """The notification."""
        notify = Notify(NotifyType.INVALID_MESSAGE_ID, self._message_id.to_bytes(ID_SIZE))
        self._sa.event(EventName.NOTIFY_SENT, notify=str(notify.notify_type), detail=f"{self._message_id}")
        return (notify,)

    def process(self, message: Message, now: float) -> None:
        """There is nothing to learn of the answer."""


def tell(sa: IkeSa, message_id: int, now: float) -> None:
    """An authentic request with this ID lies ahead of our window."""
    if sa.stray_told is None or now - sa.stray_told >= PAUSE:
        sa.stray_told = now
        sa.ask(TellStray(sa, message_id), now)
