"""What passes between the processes of a node: a message comes back as it was, and nothing else comes in."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.daemon.documents import MAX_DOCUMENT, DocumentError
from node.daemon.orders import (
    ANSWERS,
    NOTICES,
    ORDERS,
    WORDS,
    AddInbound,
    AddOutbound,
    Arrived,
    Count,
    Counts,
    Died,
    Done,
    End,
    Expired,
    Gone,
    HandOver,
    Heard,
    Inner,
    Left,
    Lost,
    Move,
    Narrowed,
    Newest,
    Number,
    Passed,
    Query,
    Refused,
    Remove,
    RemoveOutbound,
    Reset,
    Started,
    Statuses,
    Stop,
    Strayed,
    Tell,
    pack,
    unpack,
)
from node.errors import DropReason
from node.esp.sad import Sad
from node.model.events import EventName
from node.model.message import Path
from node.model.selectors import network
from tests.unit.esp.support import OURS, SUITES, THEIRS, Octets, child

PATH = Path("192.0.2.1", 4500, "192.0.2.2", 4500)
PATH6 = Path("2001:db8::1", 8000, "fe80::1%eth0", 8000)
IKE = bytes(range(8))
LOST = Lost(EventName.PACKET_DROPPED, DropReason.NO_SA, 3, None, "x")


def _status() -> Statuses:
    sad = Sad(Octets(1))
    sad.add_inbound(child())
    sad.add_outbound(child())
    sad.count(DropReason.NO_SA)
    return Statuses(sad.query())


EVERY: list[Any] = [
    *(
        Reset(),
        HandOver(IKE, IKE[::-1]),
        Move(OURS, PATH),
        Move(OURS, PATH6),
        Remove(OURS),
        RemoveOutbound(OURS),
        Query(8),
    ),
    *(Newest(OURS), Count(), Tell(4711), Tell(None), Inner(b"\x45" + bytes(83)), Heard()),
    *(AddInbound(replace(child(), suite=suite)) for suite in SUITES),
    AddOutbound(replace(child(), local=(network("fd00::/8"),), path=PATH6)),
    *(Done(), Refused("no such thing"), _status(), Statuses(()), Number(2**64 - 1), Counts({"EAGAIN": 1}, 2)),
    *(Strayed(IKE, PATH), Expired(OURS, THEIRS, True), Arrived(b"\x45", "192.0.2.1:1", OURS, 1)),
    *(Left(b"", THEIRS, 2**64 - 1), Passed(bytes(65_507), PATH6), Gone("ipsec0 is gone")),
    Narrowed("192.0.2.1", 1500, 1300),
    LOST,
    *(Stop(15), Started(7), Died(7, None, 9, False), Died(7, 70, None, True), End()),
]
ALL = (*ORDERS, *ANSWERS, *NOTICES, *WORDS, End)


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: Any) -> None:
    octets = pack(3, 7, message)
    assert len(octets) <= MAX_DOCUMENT
    assert unpack(octets, ALL) == (3, 7, message)


def test_every_kind_is_in_the_table() -> None:
    assert {type(message) for message in EVERY} == set(ALL)


def _letter(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pack(1, 1, message))
    return found


def _with(message: Any, *place: str | int, value: object) -> Callable[[], bytes]:
    """The document with another value at a place."""

    def made() -> bytes:
        at: Any = (letter := _letter(message))
        for step in place[:-1]:
            at = at[step]
        at[place[-1]] = value
        return json.dumps(letter).encode()

    return made


def _without(message: Any, *place: str) -> Callable[[], bytes]:
    def made() -> bytes:
        at: Any = (letter := _letter(message))
        for step in place[:-1]:
            at = at[step]
        del at[place[-1]]
        return json.dumps(letter).encode()

    return made


EXTRA = {"type": 1, "value": "", "short": True}
ADD, MOVE = AddInbound(child()), Move(OURS, PATH)
CHILD = ("body", "child")
BAD: list[tuple[str, Callable[[], bytes]]] = [
    ("nothing", lambda: b""),
    ("no JSON", lambda: b"\x80\x04\x95"),
    ("a pickle", lambda: b"cos\nsystem\n(S'true'\ntR."),
    ("no object", lambda: b"[]"),
    ("deep", lambda: b"[" * 50_000),
    ("long", lambda: b" " * MAX_DOCUMENT + pack(1, 1, MOVE)),
    ("a huge number", lambda: b'{"generation":' + b"9" * 5000 + b"}"),
    ("a name twice", lambda: pack(1, 1, MOVE).replace(b'"number":1', b'"number":1,"number":2')),
    ("not a number", lambda: pack(1, 1, MOVE).replace(b'"number":1', b'"number":NaN')),
    ("a fraction", lambda: pack(1, 1, MOVE).replace(b'"number":1', b'"number":1.0')),
    ("a negative number", _with(MOVE, "number", value=-1)),
    ("a number of 65 bits", _with(MOVE, "generation", value=2**64)),
    ("true for a number", _with(MOVE, "number", value=True)),
    ("another kind", _with(MOVE, "kind", value="object")),
    ("no kind", _with(MOVE, "kind", value=None)),
    ("a list for a kind", _with(MOVE, "kind", value=["Move"])),
    ("a class of ours that is no message", _with(MOVE, "kind", value="ChildSa")),
    ("a field too many", _with(MOVE, "body", "more", value=1)),
    ("a field too few", _without(MOVE, "body", "path")),
    ("a list for a body", _with(MOVE, "body", value=[])),
    ("a short SPI", _with(MOVE, "body", "inbound_spi", value="c00001")),
    ("a long SPI", _with(MOVE, "body", "inbound_spi", value="c000000102")),
    ("half an octet", _with(MOVE, "body", "inbound_spi", value="c000000")),
    ("no hexadecimal", _with(MOVE, "body", "inbound_spi", value="c000000g")),
    ("spaces in octets", _with(MOVE, "body", "inbound_spi", value="c0 00 001")),
    ("a name for an address", _with(MOVE, "body", "path", "peer_host", value="localhost")),
    ("two families", _with(MOVE, "body", "path", "peer_host", value="::1")),
    ("a port of 17 bits", _with(MOVE, "body", "path", "peer_port", value=65_536)),
    ("a line end in a text", _with(Refused("x"), "body", "detail", value="a\nb")),
    ("a long text", _with(Refused("x"), "body", "detail", value="a" * 1025)),
    ("another drop reason", _with(LOST, "body", "reason", value="because")),
    ("another event", _with(LOST, "body", "event", value="no_event")),
    ("no selectors", _with(ADD, *CHILD, "local", value=[])),
    ("too many selectors", _with(ADD, *CHILD, "local", value=_letter(ADD)["body"]["child"]["local"] * 65)),
    ("a selector backwards", _with(ADD, *CHILD, "local", 0, "end", value="0.0.0.0")),
    ("a selector of two families", _with(ADD, *CHILD, "local", 0, "end", value="::1")),
    ("a protocol of nine bits", _with(ADD, *CHILD, "local", 0, "protocol", value=256)),
    ("a window of a million", _with(ADD, *CHILD, "replay_window", value=1_000_000)),
    ("a short IKE SPI", _with(ADD, *CHILD, "ike_spi", value="00")),
    (
        "attributes",
        _with(ADD, *CHILD, "suite", "encr", "others", value=[EXTRA]),
    ),
    ("derived fields", _with(ADD, *CHILD, "suite", "_text", value="x")),
    ("an enumeration by name", _with(ADD, *CHILD, "suite", "integ", value="NONE")),
    ("a signal that is none", _with(Stop(15), "body", "signal", value=65)),
]


@pytest.mark.parametrize(("why", "make"), BAD, ids=[why for why, _ in BAD])
def test_what_is_no_message_is_refused(why: str, make: Callable[[], bytes]) -> None:
    with pytest.raises(DocumentError):
        unpack(make(), ALL)


def test_an_order_is_no_answer() -> None:
    with pytest.raises(DocumentError):
        unpack(pack(1, 1, MOVE), (*ANSWERS, *NOTICES))


def test_keys_are_not_in_a_repr() -> None:
    letter = unpack(pack(1, 1, ADD), ORDERS)
    assert child().inbound.encr.reveal().hex() not in repr(letter)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _read(octets: bytes) -> None:
    try:
        generation, number, message = unpack(octets, ALL)
    except DocumentError:
        return
    assert type(message) in ALL
    again: Any = message
    assert unpack(pack(generation, number, again), ALL) == (generation, number, message)


@given(octets=st.binary(max_size=200))
def test_octets_are_a_message_or_a_document_error(octets: bytes) -> None:
    _read(octets)


@given(message=st.sampled_from(EVERY), data=st.data())
def test_a_message_with_one_wrong_value_is_one_or_a_document_error(message: Any, data: st.DataObject) -> None:
    letter = _letter(message)
    at: Any = letter
    while True:
        steps = list(at) if isinstance(at, dict) else list(range(len(at)))
        step = data.draw(st.sampled_from(steps))
        if isinstance(at[step], dict | list) and at[step] and data.draw(st.booleans()):
            at = at[step]
            continue
        at[step] = data.draw(JSON)
        break
    _read(json.dumps(letter).encode())


@given(message=st.sampled_from(EVERY), data=st.data())
def test_a_message_with_wrong_octets_is_one_or_a_document_error(message: Any, data: st.DataObject) -> None:
    octets = bytearray(pack(1, 1, message)[:2000])
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    _read(bytes(octets))
