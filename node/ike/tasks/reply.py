"""What a handler of a request returns."""

from dataclasses import dataclass

from node.ike.outputs import Output
from node.model.payloads import Payload


@dataclass(frozen=True, slots=True)
class Reply:
    """The payloads of the response, what to emit after it was sent, and why the SA closes then (None.

    It does not).
    """

    payloads: tuple[Payload, ...] = ()
    after: tuple[Output, ...] = ()
    close: str | None = None
