"""What the processes of a node say to one another: orders, answers, notices, and words of the supervisor.

    supervisor           IKE process                               ESP process
        | --- a word -------> |                                         |
        | <------- End ------ |                                         |
        |                     | --- an order, numbered -------------->  |
        |                     |  <------- its answer, same number ----  |
        |                     |  <--------------- a notice -----------  |   when something happens; number 0

Each is one datagram of a socket pair: {"generation", "number", "kind", "body"} (`node.daemon.documents`).
The generation counts the ESP processes of a node, and the supervisor says which one there is. An order for
another one than it reaches is void: its Child SAs are not there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Generic, NamedTuple, TypeVar

from node.daemon import documents
from node.daemon.documents import DocumentError
from node.errors import DropReason
from node.esp.sad import SaStatus
from node.model.child import ESP_SPI_SIZE, ChildSa
from node.model.events import EventName
from node.model.message import SPI_SIZE, Path

#: Of one answer to `Query`.
PAGE = 8
#: The largest inner packet that is told of: a message of the demo is far smaller.
MAX_TOLD = 2_048
#: The largest path MTU that is told of: that of the loopback device is 65,536.
MAX_MTU = 2**20

EspSpi = Annotated[bytes, ESP_SPI_SIZE]
IkeSpi = Annotated[bytes, SPI_SIZE]


# -- orders --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reset:
    """Forget every Child SA: a new IKE process begins."""


@dataclass(frozen=True, slots=True)
class AddInbound:
    """As `DataPath.add_inbound`."""

    child: ChildSa = field(repr=False)


@dataclass(frozen=True, slots=True)
class AddOutbound:
    """As `DataPath.add_outbound`."""

    child: ChildSa = field(repr=False)


@dataclass(frozen=True, slots=True)
class HandOver:
    """As `DataPath.hand_over`."""

    old_spi: IkeSpi
    ike_spi: IkeSpi


@dataclass(frozen=True, slots=True)
class Move:
    """As `DataPath.move`."""

    inbound_spi: EspSpi
    path: Path


@dataclass(frozen=True, slots=True)
class RemoveOutbound:
    """As `DataPath.remove_outbound`."""

    inbound_spi: EspSpi


@dataclass(frozen=True, slots=True)
class Remove:
    """As `DataPath.remove`."""

    inbound_spi: EspSpi


@dataclass(frozen=True, slots=True)
class Query:
    """Some Child SAs with their counters, from the one of this number on. The answer is `Statuses`."""

    first: int


@dataclass(frozen=True, slots=True)
class Newest:
    """As `DataPath.newest`. The answer is `Number`."""

    inbound_spi: EspSpi


@dataclass(frozen=True, slots=True)
class Count:
    """Tell all that was not told yet, and what was counted. The answer is `Counts`."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell of the packets of the demo from now on, and of echo replies with this identifier."""

    echoes: Annotated[int, 0xFFFF] | None


@dataclass(frozen=True, slots=True)
class Inner:
    """Send this inner packet. No answer."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """The last `Strayed` was dealt with. No answer."""


# -- answers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """It is so."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be; nothing has changed."""

    detail: str


@dataclass(frozen=True, slots=True)
class Statuses:
    """A page of Child SAs; fewer than `PAGE`: it is the last one."""

    found: tuple[SaStatus, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Errors of the sockets and of the TUN device by name, and notices that did not get through."""

    errors: Mapping[str, int]
    untold: int


# -- notices -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Strayed:
    """A packet came on another path than its SA's; of an IKE SA by our SPI of it."""

    ike_spi: IkeSpi
    path: Path


@dataclass(frozen=True, slots=True)
class Expired:
    """A Child SA has sent what it may before it is to be replaced or, with `exhausted`, ever."""

    inbound_spi: EspSpi
    outbound_spi: EspSpi
    exhausted: bool


@dataclass(frozen=True, slots=True)
class Arrived:
    """An inner packet that is watched for came in this ESP packet; the kernel gets it next."""

    packet: bytes = field(repr=False)
    peer: str
    spi: EspSpi
    sequence: int


@dataclass(frozen=True, slots=True)
class Left:
    """An inner packet that is watched for has left in this ESP packet."""

    packet: bytes = field(repr=False)
    spi: EspSpi
    sequence: int


@dataclass(frozen=True, slots=True)
class Lost:
    """So many packets more were dropped for this reason; the rest is about the last one."""

    event: EventName
    reason: DropReason
    times: int
    peer: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class Narrowed:
    """The way to this address of a peer has another path MTU, in octets: `node.esp.widths.Change`."""

    host: str
    before: Annotated[int, MAX_MTU]
    now: Annotated[int, MAX_MTU]


@dataclass(frozen=True, slots=True)
class Passed:
    """A datagram that is not ESP has come to the wrong process."""

    octets: bytes
    path: Path


@dataclass(frozen=True, slots=True)
class Gone:
    """The TUN device was deleted."""

    reason: str


Order = (
    Reset
    | AddInbound
    | AddOutbound
    | HandOver
    | Move
    | RemoveOutbound
    | Remove
    | Query
    | Newest
    | Count
    | Tell
    | Inner
    | Heard
)
Answer = Done | Refused | Statuses | Number | Counts
Notice = Strayed | Expired | Arrived | Left | Lost | Narrowed | Passed | Gone

ORDERS: tuple[type[Order], ...] = (
    *(Reset, AddInbound, AddOutbound, HandOver, Move, RemoveOutbound, Remove),
    *(Query, Newest, Count, Tell, Inner, Heard),
)
ANSWERS: tuple[type[Answer], ...] = (Done, Refused, Statuses, Number, Counts)
NOTICES: tuple[type[Notice], ...] = (Strayed, Expired, Arrived, Left, Lost, Narrowed, Passed, Gone)


# -- the supervisor ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stop:
    """Somebody sent this signal to the node."""

    signal: Annotated[int, 64]


@dataclass(frozen=True, slots=True)
class Started:
    """The ESP process of this generation has begun, without any Child SA."""

    pid: int


@dataclass(frozen=True, slots=True)
class Died:
    """The ESP process of this generation has ended, with a code or by a signal. `final`: for good."""

    pid: int
    code: int | None
    signal: int | None
    final: bool


@dataclass(frozen=True, slots=True)
class End:
    """From the IKE process: the ESP process of this generation is to be ended, it cannot be trusted."""


Word = Stop | Started | Died
WORDS: tuple[type[Word], ...] = (Stop, Started, Died)


# -- letters -------------------------------------------------------------------------------------------------


M = TypeVar("M")


class Letter(NamedTuple, Generic[M]):
    """A message with what is around it."""

    generation: int
    number: int
    message: M


def pack(generation: int, number: int, message: Order | Answer | Notice | Word | End) -> bytes:
    """The octets of a message."""
    kind = type(message).__name__
    return documents.write({"generation": generation, "number": number, "kind": kind, "body": message})


def unpack(octets: bytes, kinds: tuple[type[M], ...]) -> Letter[M]:
    """A message of one of these kinds. Raises DocumentError."""
    found = documents.parse(octets)
    if found.keys() != {"generation", "number", "kind", "body"}:
        raise DocumentError("no letter")
    kind = next((kind for kind in kinds if kind.__name__ == found["kind"]), None)
    if kind is None:
        raise DocumentError("kind: none that is expected")
    generation = documents.read(int, found["generation"], "generation")
    number = documents.read(int, found["number"], "number")
    return Letter(generation, number, documents.read(kind, found["body"], kind.__name__))
