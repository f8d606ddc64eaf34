"""Phases of an IKE SA and what exists in each: data only.

Rules:

1. Few phases. "A request is in flight" lives in the message-ID window, not here.
2. A phase owns exactly the data that exists in it, in a frozen dataclass.
3. `Established` demands the proof that the peer was authenticated; there is no other way in.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from node.crypto.kex import KeyPair
from node.crypto.keymat import IkeKeys
from node.ike.transcript import Transcript
from node.model.payloads import Payload
from node.model.proof import AuthVerified
from node.model.proposal import Suite
from node.ports import Sealer


class Phase(StrEnum):
    """Where an IKE SA stands."""

    INIT_SENT = "INIT_SENT"
    INIT_REPLIED = "INIT_REPLIED"
    AUTH_SENT = "AUTH_SENT"
    ESTABLISHED = "ESTABLISHED"
    REKEYED = "REKEYED"
    DELETING = "DELETING"
    CLOSED = "CLOSED"


#: From each phase, the phases that may follow. Drawn in docs/ARCHITECTURE.md; a test keeps both equal.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.INIT_SENT: frozenset({Phase.AUTH_SENT, Phase.CLOSED}),
    Phase.INIT_REPLIED: frozenset({Phase.ESTABLISHED, Phase.CLOSED}),
    Phase.AUTH_SENT: frozenset({Phase.ESTABLISHED, Phase.DELETING, Phase.CLOSED}),
    Phase.ESTABLISHED: frozenset({Phase.REKEYED, Phase.DELETING, Phase.CLOSED}),
    Phase.REKEYED: frozenset({Phase.DELETING, Phase.CLOSED}),
    Phase.DELETING: frozenset({Phase.CLOSED}),
    Phase.CLOSED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Protection:
    """The keys of an IKE SA and the two sealers made from them."""

    keys: IkeKeys = field(repr=False)
    inbound: Sealer = field(repr=False)
    outbound: Sealer = field(repr=False)


@dataclass(frozen=True, slots=True)
class InitSent:
    """Initiator: IKE_SA_INIT is on its way. `request` is the message as sent.

    `cookie` is what the responder asked to see in it, `retries` how often it was sent in another form.
    """

    key_pair: KeyPair
    nonce_i: bytes
    request: bytes = field(default=b"", repr=False)
    cookie: bytes = b""
    retries: int = 0
    phase = Phase.INIT_SENT


@dataclass(frozen=True, slots=True)
class InitReplied:
    """Responder: IKE_SA_INIT answered.

    The keys are derived once, when the first protected message arrives.
    """

    suite: Suite
    transcript: Transcript
    key_pair: KeyPair
    peer_public: bytes = field(repr=False)
    protection: Protection | None = None
    phase = Phase.INIT_REPLIED


@dataclass(frozen=True, slots=True)
class AuthSent:
    """Initiator: IKE_AUTH is on its way, offering a Child SA with our inbound SPI `child_spi`."""

    suite: Suite
    transcript: Transcript
    protection: Protection
    auth_nonce: bytes
    child_spi: bytes
    phase = Phase.AUTH_SENT


@dataclass(frozen=True, slots=True)
class Established:
    """Both parties are authenticated, since `since` (monotonic seconds)."""

    suite: Suite
    protection: Protection
    proof: AuthVerified
    since: float
    phase = Phase.ESTABLISHED


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """Another IKE SA has taken its place and its Child SAs; whoever made that one deletes this one."""

    protection: Protection
    phase = Phase.REKEYED


@dataclass(frozen=True, slots=True)
class Deleting:
    """Our last request is on its way; its answer, or giving up, closes the SA.

    `was_up`: it had been established. `last` are the payloads of that request until it is sent.
    """

    protection: Protection
    reason: str
    was_up: bool
    last: tuple[Payload, ...] | None = None
    phase = Phase.DELETING


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing is left but the reason."""

    reason: str
    phase = Phase.CLOSED


PhaseData = InitSent | InitReplied | AuthSent | Established | Rekeyed | Deleting | Closed
