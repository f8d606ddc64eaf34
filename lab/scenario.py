"""A scenario as values: nodes, credentials, steps, and what must have happened in the end.

The schema (`schemas/scenario.schema.json`) has checked shapes and types before anything here runs; what a
schema cannot say (names that refer to one another) is checked here. How files are found and read is in
`library`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.errors import UsageError
from lab.labels import Kind, Role
from lab.text import listing

#: Seconds from the start of the nodes to the verdict, where a scenario does not say.
DEFAULT_TIMEOUT = 60.0
#: The wire profile of all nodes, where a scenario does not say.
DEFAULT_PROFILE = "asn1"
#: The name of the wire node, in steps and expectations as well.
WIRE = "wire"


@dataclass(frozen=True, slots=True)
class Pattern:
    """An event by name and by fields; see `checks.matches` for what a wanted value may be."""

    event: str
    where: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An event that must happen between `least` and `most` times (None: no upper bound)."""

    pattern: Pattern
    least: int = 1
    most: int | None = None


@dataclass(frozen=True, slots=True)
class SaCount:
    """How many IKE SAs and Child SAs are established in the end; `half_open` counts IKE SAs that are not."""

    ike: int
    child: int
    half_open: int = 0


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must hold at one group of nodes. `exit_code` None: the process must still run."""

    events: tuple[Wanted, ...] = ()
    never: tuple[Pattern, ...] = ()
    ordered: bool = True
    sas: SaCount | None = None
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """One entry of `nodes`: `count` equal nodes; with more than one they are called NAME-01, NAME-02, ...

    `config` are the settings of its kind: of the lab's own node, or of strongSwan. `psk` is the pre-shared
    key of the lab's own node, empty for none.
    """

    name: str
    role: Role
    count: int
    config: Mapping[str, Any]
    kind: Kind = Kind.NODE
    psk: str = field(default="", repr=False)

    def members(self) -> tuple[str, ...]:
        """The names of the nodes."""
        if self.count == 1:
            return (self.name,)
        digits = max(2, len(str(self.count)))
        return tuple(f"{self.name}-{number:0{digits}d}" for number in range(1, self.count + 1))


@dataclass(frozen=True, slots=True)
class WaitStep:
    """Go on once every node of the group has told of this event so often."""

    group: str
    pattern: Pattern
    count: int = 1


@dataclass(frozen=True, slots=True)
class StopStep:
    """Stop every node of the group as `docker stop` does: SIGTERM and a grace period."""

    group: str


@dataclass(frozen=True, slots=True)
class KillStep:
    """SIGKILL every node of the group."""

    group: str


@dataclass(frozen=True, slots=True)
class StartStep:
    """Start every node of the group again."""

    group: str


@dataclass(frozen=True, slots=True)
class ReaddressStep:
    """Give every node of the group another outer address in place of the one that it has."""

    group: str


@dataclass(frozen=True, slots=True)
class ControlStep:
    """Ask every node of the group through its control socket; what it refuses fails a check."""

    group: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FaultStep:
    """Put these faults in force, in place of those before; none: an honest wire."""

    faults: tuple[Mapping[str, Any], ...]


Step = WaitStep | StopStep | KillStep | StartStep | ReaddressStep | ControlStep | FaultStep


@dataclass(frozen=True, slots=True)
class Wire:
    """The wire node: the seed of its dice and the faults that it begins with."""

    seed: int = 1
    faults: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file of `scenarios/`."""

    name: str
    title: str
    description: str
    groups: tuple[Group, ...]
    credentials: Mapping[str, Any]
    steps: tuple[Step, ...]
    expect: Mapping[str, Expectation]
    timeout: float
    keylog: bool = False
    wire: Wire | None = None
    profile: str = DEFAULT_PROFILE
    #: The IP version between the nodes.
    outer: int = 4

    def group(self, name: str) -> Group:
        """The group of that name; it is there, `from_document` has checked every reference."""
        return next(group for group in self.groups if group.name == name)


def from_document(name: str, source: str, document: Mapping[str, Any]) -> Scenario:
    """Read a document that fits the schema; raises UsageError for references to nodes that are not there."""
    scenario = Scenario(
        name=name,
        title=document["title"],
        description=document["description"].strip(),
        groups=groups(document),
        credentials=document.get("credentials", {}),
        steps=tuple(_step(step) for step in document.get("steps", ())),
        expect={key: _expectation(entry) for key, entry in document["expect"].items()},
        timeout=float(document.get("timeout", DEFAULT_TIMEOUT)),
        keylog=document.get("keylog", False),
        wire=_wire(document["wire"]) if "wire" in document else None,
        profile=document.get("profile", DEFAULT_PROFILE),
        outer=6 if document.get("outer") == "ipv6" else 4,
    )
    _check_members(scenario, source)
    return scenario


def groups(document: Mapping[str, Any]) -> tuple[Group, ...]:
    """The nodes of a document that fits the schema."""
    return tuple(_group(key, entry) for key, entry in document.get("nodes", _DEFAULT_NODES).items())


_DEFAULT_NODES: Mapping[str, Mapping[str, Any]] = {"responder": {}, "initiator": {}}


def _group(name: str, entry: Mapping[str, Any] | None) -> Group:
    given = entry or {}
    guess = Role.RESPONDER if name.startswith("responder") else Role.INITIATOR
    kind = Kind(given.get("kind", Kind.NODE))
    config = given.get("config" if kind is Kind.NODE else kind.value, {})
    role, count = Role(given.get("role", guess)), given.get("count", 1)
    return Group(name, role, count, config, kind, given.get("psk", ""))


def _step(entry: Mapping[str, Any]) -> Step:
    ((verb, given),) = entry.items()
    match verb:
        case "wait":
            return WaitStep(given["node"], _pattern(given), given.get("count", 1))
        case "stop":
            return StopStep(given)
        case "kill":
            return KillStep(given)
        case "start":
            return StartStep(given)
        case "readdress":
            return ReaddressStep(given)
        case "ctl":
            return ControlStep(given["node"], tuple(given["command"]))
        case _:
            return FaultStep(tuple(given))


def _wire(entry: Mapping[str, Any] | None) -> Wire:
    given = entry or {}
    return Wire(given.get("seed", 1), tuple(given.get("faults", ())))


def _pattern(entry: Mapping[str, Any] | str) -> Pattern:
    if isinstance(entry, str):
        return Pattern(entry)
    return Pattern(entry["event"], entry.get("where", {}))


def _wanted(entry: Mapping[str, Any] | str) -> Wanted:
    if isinstance(entry, str):
        return Wanted(_pattern(entry))
    count = entry.get("count", {"least": 1})
    if isinstance(count, int):
        return Wanted(_pattern(entry), count, count)
    return Wanted(_pattern(entry), count.get("least", 0), count.get("most"))


def _expectation(entry: Mapping[str, Any]) -> Expectation:
    return Expectation(
        events=tuple(_wanted(item) for item in entry.get("events", ())),
        never=tuple(_pattern(item) for item in entry.get("never", ())),
        ordered=entry.get("ordered", True),
        sas=_sas(entry.get("sas")),
        exit_code=entry.get("exit_code"),
    )


def _sas(entry: Mapping[str, int] | str | None) -> SaCount | None:
    if entry is None:
        return None
    if isinstance(entry, str):
        return SaCount(0, 0) if entry == "none" else SaCount(1, 1)
    return SaCount(entry["ike"], entry["child"], entry.get("half_open", 0))


def _check_members(scenario: Scenario, source: str) -> None:
    members = [name for group in scenario.groups for name in group.members()]
    reserved = {Role.CA.value, WIRE}
    if len(set(members)) != len(members) or reserved & set(members):
        raise UsageError(
            f"{source}: nodes: two nodes have one name, or that of the CA or the wire: {listing(members)}"
        )
    if not any(group.role is Role.RESPONDER for group in scenario.groups):
        raise UsageError(f"{source}: nodes: no responder: initiators need one to talk to")
    silent = [g.name for g in scenario.groups if g.name not in scenario.expect]
    if silent:
        raise UsageError(f"{source}: expect: says nothing about {listing(silent)}: every node must be judged")
