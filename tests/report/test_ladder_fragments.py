"""Messages in fragments on the ladder: one row each, and the wire may take some of their datagrams."""

import pytest

from lab.events import NodeEvent
from lab.ladder import compose
from lab.ladder.values import Fate, Kind, Message, Note
from tests.report.samples import WIRE_TO_RESPONDER, fault, initiator, message, responder, started, tell

AUTH = "IKE_AUTH request 1"
REQUEST = message("request", 1, octets=736) | {"fragments": 3}


def rows(*told: NodeEvent) -> list[Message]:
    made = compose.build([*started(), *sorted(told, key=lambda event: event.moment)])
    return [row for row in made.rows if isinstance(row, Message)]


def sent(ms: float) -> NodeEvent:
    return initiator(ms, "ike_auth_sent", **REQUEST)


def again(ms: float, n: int) -> NodeEvent:
    return initiator(ms, "retransmitted", message_id=1, exchange="IKE_AUTH", n=n)


def got(ms: float) -> NodeEvent:
    return responder(ms, "ike_auth_received", **REQUEST)


def test_a_message_in_fragments_is_one_row_with_the_names_of_its_payloads() -> None:
    (row,) = rows(sent(0), got(2))
    assert (row.name, row.fate, row.octets) == (AUTH, Fate.ARRIVED, 736)
    assert row.contents == "SKF{IDi CERT AUTH SA TSi TSr} in 3 fragments"


@pytest.mark.parametrize(
    ("lost", "fate"), [(1, Fate.PASSED), (2, Fate.PASSED), (3, Fate.STOPPED)], ids=["one", "two", "all"]
)
def test_it_ends_at_the_wire_where_all_of_it_does(lost: int, fate: Fate) -> None:
    (row,) = rows(sent(0), *(fault(n / 10, "drop", AUTH) for n in range(1, lost + 1)))
    assert row.fate is fate
    assert row.words.startswith(f"dropped by the wire ({lost} of 3 fragments)")


def test_it_arrives_though_each_transmission_lost_some() -> None:
    """What was lost of the first came with the second."""
    first, second = rows(
        sent(0), fault(0.1, "drop", AUTH), again(500, 1), fault(500.1, "drop", AUTH), got(502)
    )
    assert (first.fate, second.fate, second.again) == (Fate.PASSED, Fate.ARRIVED, 1)
    assert [row.words for row in (first, second)] == [
        "dropped by the wire (1 of 3 fragments); not seen to arrive",
        "dropped by the wire (1 of 3 fragments)",
    ]


def test_a_fragment_that_was_there_already_explains_no_loss() -> None:
    drop = tell(
        501, "responder", "datagram_dropped",
        peer=WIRE_TO_RESPONDER, reason="fragment_repeated", count=1, detail="there already",
    )  # fmt: skip
    told = [*started(), sent(0), fault(0.1, "drop", AUTH), again(500, 1), drop, got(502)]
    made = compose.build(told)
    first, second = (row for row in made.rows if isinstance(row, Message))
    assert (first.fate, second.fate) == (Fate.PASSED, Fate.ARRIVED)
    notes = [row.text for row in made.rows if isinstance(row, Note) and row.kind is Kind.TROUBLE]
    assert notes == [f"dropped: fragment_repeated (there already), from {WIRE_TO_RESPONDER}"]


def test_a_fragment_that_the_wire_made_twice() -> None:
    drop = tell(
        1, "responder", "datagram_dropped",
        peer=WIRE_TO_RESPONDER, reason="fragment_repeated", count=1, detail="",
    )  # fmt: skip
    original, copy = rows(sent(0), fault(0.1, "duplicate", AUTH, detail="once"), drop, got(2))
    assert (original.fate, original.copy) == (Fate.ARRIVED, False)
    assert (copy.fate, copy.copy) == (Fate.DROPPED, True)
    assert "dropped: fragment_repeated" in copy.words
