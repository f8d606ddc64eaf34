"""Cells and special cases as scenarios, made in memory: the same documents that a file of `scenarios/` holds.

    subject   10.1.0.0/24     the implementation that is tested
    peer      10.2.0.0/24     the one that it is tested against

Both may have either role, so the networks are said and not left to the plan.
"""

from collections.abc import Mapping
from typing import Any

import yamlschema
from lab import library, references
from lab.errors import UsageError
from lab.interop.cells import Cell
from lab.labels import Kind
from lab.scenario import Scenario, from_document

SUBJECT, PEER = "subject", "peer"
OTHER = {SUBJECT: PEER, PEER: SUBJECT}
NETWORKS = {SUBJECT: "10.1.0.0/24", PEER: "10.2.0.0/24"}
ADDRESSES = {SUBJECT: "10.1.0.1", PEER: "10.2.0.1"}
#: Of cells with a pre-shared key: a secret that is printed is none, and these labs keep nothing.
SECRET = "a pre-shared key for the matrix"
NEVER = ["authentication_failed", "ike_sa_failed", "child_sa_failed", "packet_dropped", "node_failed"]

#: Echo requests of each side through the tunnel.
PINGS = 2

#: Fast keys, so that a case takes seconds.
KEYS = {"key_type": "ecdsa-p256", "root_key_type": "ecdsa-p256"}

Document = dict[str, Any]
Expect = dict[str, Any]
Settings = Mapping[str, Mapping[str, object]]


def scenario(name: str, document: Document) -> Scenario:
    """The scenario of a document. Raises UsageError where it is not good."""
    whole = yamlschema.Document(name, document)
    problems = yamlschema.check(whole, library.whole_schema(), library.formats()) or references.check(whole)
    if problems:
        raise UsageError("\n".join(map(str, problems)))
    return from_document(name, name, document)


def roles(subject: str) -> dict[str, str]:
    """The role of each side where the subject has this one."""
    other = "responder" if subject == "initiator" else "initiator"
    return {SUBJECT: subject, PEER: other}


def node(side: str, role: str, **settings: object) -> Document:
    """A strongSwan on this side, with what differs from the lab's defaults."""
    own, other = NETWORKS[side], NETWORKS[OTHER[side]]
    base = {"local_ts": [own], "remote_ts": [other], "inner": [f"{ADDRESSES[side]}/32"]}
    return {"kind": Kind.STRONGSWAN.value, "role": role, "strongswan": {**base, **settings}}


def case(role: str, title: str, settings: Settings, expect: Mapping[str, Expect], **more: object) -> Document:
    """A special case: the subject has this role; `settings` of each side differ from the lab's defaults."""
    given = roles(role)
    return {
        "title": title,
        "description": f"{title}; the subject is the {role}.",
        "timeout": 30,
        "credentials": KEYS,
        "nodes": {side: node(side, given[side], **settings.get(side, {})) for side in given},
        "expect": dict(expect),
        **more,
    }


def up(*events: object, never: list[str] = NEVER) -> Expect:
    """What is expected of a side that comes up, after these events."""
    return {
        "events": [*events, "ike_sa_established", "child_sa_installed"],
        "never": never,
        "sas": "established",
    }


def pings() -> list[Document]:
    """Steps: once both sides are up, pings through the tunnel from each of them."""
    return [*waits("child_sa_installed"), *map(ping, OTHER)]


def waits(event: str, count: int = 1) -> list[Document]:
    """Steps: until each side has told of so many of these."""
    return [{"wait": {"node": side, "event": event, "count": count}} for side in OTHER]


def ping(side: str, *count: str) -> Document:
    """A step: echo requests to the other side, all of which must be answered."""
    return {"ctl": {"node": side, "command": ["ping", ADDRESSES[OTHER[side]], *count]}}


def first_and_second(role: str) -> tuple[str, str]:
    """The side that initiates and the one that responds, where the subject has this role."""
    return (SUBJECT, PEER) if role == "initiator" else (PEER, SUBJECT)


def both(settings: Mapping[str, object]) -> Settings:
    """The same settings for each side."""
    return dict.fromkeys(OTHER, settings)


def of_cell(cell: Cell) -> Document:
    """A cell as a scenario of its own; the sides start nothing by themselves."""
    settings: dict[str, object] = {"auth": cell.method.auth.value, "ike": [cell.ike], "esp": [cell.esp]}
    if not cell.method.key_type:
        settings["secret"] = SECRET
    key_type = cell.method.key_type or "ecdsa-p256"
    ike, esp = (suite.iana for suite in cell.suites)
    expect = {
        "events": [
            {"event": "ike_sa_established", "where": {"suite": ike}, "count": 1},
            {"event": "child_sa_installed", "where": {"suite": esp}, "count": 1},
        ],
        "never": NEVER,
        "sas": "established",
    }
    given = roles(cell.role)
    initiator = next(side for side, role in given.items() if role == "initiator")
    return {
        "title": cell.name,
        "description": f"{cell.auth}, {cell.ike}, {cell.esp}; the subject is the {cell.role}.",
        "credentials": {"key_type": key_type, "root_key_type": "ecdsa-p256"},
        "nodes": {side: node(side, role, start=False, **settings) for side, role in given.items()},
        "steps": [
            *({"wait": {"node": side, "event": "udp_bound"}} for side in given),
            {"ctl": {"node": initiator, "command": ["initiate"]}},
            *({"wait": {"node": side, "event": "child_sa_installed"}} for side in given),
            *(ping(side, str(PINGS)) for side in given),
        ],
        "expect": {side: expect for side in given},
    }
