"""What a schema cannot say of a scenario: that nodes and events are called by names that exist, each with its
line and column."""

from collections.abc import Iterable, Iterator
from typing import Any

from lab.labels import Kind
from lab.peers import commands, planned
from lab.render import EVENTS
from lab.scenario import WIRE, Group, groups
from lab.text import did_you_mean, listing
from lab.wire import faults
from lab.wire.problems import ConfigError
from yamlschema import Document, Problem

Place = tuple[str | int, ...]
_DEFAULT_NODES = ("responder", "initiator")


def check(document: Document) -> tuple[Problem, ...]:
    """Every name that refers to nothing, in the order of the file. The document fits the schema."""
    nodes = tuple(document.value.get("nodes", _DEFAULT_NODES))
    found = [problem for problem in _problems(document, nodes) if problem]
    return tuple(
        sorted(
            found, key=lambda problem: (problem.mark.line, problem.mark.column) if problem.mark else (0, 0)
        )
    )


def _problems(document: Document, nodes: tuple[str, ...]) -> Iterator[Problem | None]:
    told = (*nodes, WIRE) if "wire" in document.value else nodes
    for group in groups(document.value):
        yield from _kind(document, group)
    if document.value.get("outer") == "ipv6" and "wire" in document.value:
        yield document.problem(("wire",), "wire: relays IPv4 alone: leave it out, or `outer`", at_key=True)
    for name, entry in document.value["expect"].items():
        at: Place = ("expect", name)
        yield _node(document, at, name, told, at_key=True)
        for which in ("events", "never"):
            yield from _patterns(document, (*at, which), entry.get(which, ()))
    for index, fault in enumerate((document.value.get("wire") or {}).get("faults", ())):
        yield _fault(document, ("wire", "faults", index), fault)
    for index, step in enumerate(document.value.get("steps", ())):
        yield from _step(document, ("steps", index), step, nodes, told)


def _kind(document: Document, group: Group) -> Iterator[Problem | None]:
    """Settings of another kind of node, and what strongSwan would say of its own."""
    at: Place = ("nodes", group.name)
    entry = document.value.get("nodes", {}).get(group.name) or {}
    if group.kind is Kind.NODE:
        if "strongswan" in entry:
            message = "is for a node of this kind: add `kind: strongswan`"
            yield document.problem((*at, "strongswan"), message, at_key=True)
        return
    if "config" in entry:
        yield document.problem(
            (*at, "config"), f"is for the lab's own nodes: write `{group.kind}:`", at_key=True
        )
    if "psk" in entry:
        message = "is for the lab's own nodes: write `strongswan: {auth: psk, secret: ...}`"
        yield document.problem((*at, "psk"), message, at_key=True)
    if "wire" in document.value and document.value.get("profile") != "rfc7296":
        message = f"wire: relays the profile asn1, which {group.name} does not speak: add `profile: rfc7296`"
        yield document.problem(("wire",), message, at_key=True)
    for place, message in planned.complaints(group.config):
        yield document.problem((*at, group.kind.value, *place), message)


def _step(
    document: Document, at: Place, step: dict[str, Any], nodes: tuple[str, ...], told: tuple[str, ...]
) -> Iterator[Problem | None]:
    ((verb, given),) = step.items()
    if verb == "faults":
        if "wire" not in document.value:
            yield document.problem(at, "faults: the scenario has no wire: add `wire:` to it")
        for index, fault in enumerate(given):
            yield _fault(document, (*at, verb, index), fault)
    elif verb == "wait":
        yield _node(document, (*at, verb, "node"), given["node"], told)
        yield _event(document, (*at, verb, "event"), given["event"])
    elif verb == "ctl":
        yield _node(document, (*at, verb, "node"), given["node"], nodes)
        kind = next(
            (group.kind for group in groups(document.value) if group.name == given["node"]), Kind.NODE
        )
        if kind is Kind.STRONGSWAN and (problem := commands.problem(given["command"])):
            yield document.problem((*at, verb, "command"), problem)
    else:
        yield _node(document, (*at, verb), given, nodes)


def _fault(document: Document, at: Place, fault: object) -> Problem | None:
    """What the wire node would say of a fault: it is the judge of its own words."""
    names = [name for group in groups(document.value) for name in group.members()]
    try:
        faults.read(fault, names)
    except ConfigError as error:
        place = (*at, *error.path)
        # A key that is missing has no place of its own.
        return document.problem(place if place in document.marks else at, error.problem)
    return None


def _patterns(document: Document, at: Place, patterns: Iterable[Any]) -> Iterator[Problem | None]:
    for index, pattern in enumerate(patterns):
        if isinstance(pattern, str):
            yield _event(document, (*at, index), pattern)
        else:
            yield _event(document, (*at, index, "event"), pattern["event"])


def _node(
    document: Document, at: Place, name: str, nodes: tuple[str, ...], *, at_key: bool = False
) -> Problem | None:
    if name in nodes:
        return None
    message = f"no node is called {name!r}{did_you_mean(name, nodes)}: the nodes are {listing(nodes)}"
    return document.problem(at, message, at_key=at_key)


def _event(document: Document, at: Place, name: str) -> Problem | None:
    if name in EVENTS:
        return None
    return document.problem(
        at, f"{name!r} is no event{did_you_mean(name, EVENTS)}: docs/events.md has them all"
    )
