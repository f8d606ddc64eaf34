"""The ladder of a run with a wire in between: what it did is seen, and messages are joined all the same."""

import json
from pathlib import Path
from xml.etree import ElementTree as Xml

import jsonschema
import pytest

from lab.console import Style
from lab.events import NodeEvent
from lab.ladder import as_svg, as_text, compose, fold, values
from lab.ladder.place import NARROW, Size
from lab.ladder.values import Fate, Fold, Kind, Ladder, Message, Note
from tests.lab.conftest import SCHEMA
from tests.report.samples import (
    RESPONDER,
    WIRE_TO_INITIATOR,
    WIRE_TO_RESPONDER,
    every_act,
    fault,
    handshake,
    initiator,
    message,
    responder,
    started,
    tell,
)

PLAIN = Style(False)
SVG = "{http://www.w3.org/2000/svg}"
INIT = "IKE_SA_INIT request 0"


def messages(made: Ladder) -> list[Message]:
    return [row for row in made.rows if isinstance(row, Message)]


def the(made: Ladder, **wanted: object) -> Message:
    """The one message with these values."""
    found = [
        row for row in messages(made) if all(getattr(row, key) == value for key, value in wanted.items())
    ]
    assert len(found) == 1, found
    return found[0]


def notes(made: Ladder, kind: Kind) -> list[str]:
    return [row.text for row in made.rows if isinstance(row, Note) and row.kind is kind]


def sent(ms: float = 0) -> NodeEvent:
    return initiator(ms, "ike_sa_init_sent", **message("request"))


def got(ms: float) -> NodeEvent:
    return responder(ms, "ike_sa_init_received", **message("request"))


def test_the_wire_stands_between_initiators_and_responders_and_is_no_lane() -> None:
    made = compose.build(every_act())
    assert (made.lanes, made.wire, made.wire_after) == (("initiator", "responder"), "wire", 0)
    more = [tell(-5, "another", "node_started", role="initiator")]
    assert compose.build([*every_act(), *more]).wire_after == 1
    assert compose.build(handshake()).wire == ""


def test_messages_are_joined_though_each_side_sees_the_address_of_the_wire() -> None:
    made = compose.build(
        [*started(), *handshake(), tell(1, "wire", "wire_faults_changed", faults=[], reason="")]
    )
    assert {row.fate for row in messages(made)} == {Fate.ARRIVED}
    assert len(messages(made)) == 7


def test_a_cookie_is_an_answer_and_the_request_with_it_is_another_than_the_one_without() -> None:
    made = compose.build([*started(), *handshake()])
    first, demand, second, answer = messages(made)[:4]
    assert [row.contents for row in (first, demand, second, answer)] == [
        "SA KE Ni",
        "N(COOKIE)",
        "N(COOKIE) SA KE Ni",
        "SA KE Nr",
    ]
    assert (demand.source, demand.target, demand.fate) == ("responder", "initiator", Fate.ARRIVED)
    assert (first.octets, second.octets) == (392, 431)


def test_what_the_wire_drops_ends_there_and_the_repetition_arrives() -> None:
    again = initiator(500, "retransmitted", message_id=0, exchange="IKE_SA_INIT", n=1)
    made = compose.build([*started(), sent(), fault(0.1, "drop", INIT), again, got(502)])
    first, second = messages(made)
    assert (first.fate, first.target, first.words) == (Fate.STOPPED, None, "dropped by the wire")
    assert (second.fate, second.again, second.words) == (Fate.ARRIVED, 1, "")


@pytest.mark.parametrize(
    ("act", "detail", "words"),
    [
        ("delay", "0.300 s", "delayed by the wire: 0.300 s"),
        ("reorder", "behind the next 3", "held back by the wire: behind the next 3"),
        ("corrupt", "bit 7", "corrupted by the wire: bit 7"),
        ("truncate", "392 to 20 octets", "truncated by the wire: 392 to 20 octets"),
        ("downgrade", "392 to 301 octets", "downgraded by the wire: 392 to 301 octets"),
        ("unheard-of", "\x1b[31m", "unheard-of by the wire: \\x1b[31m"),
    ],
)
def test_what_the_wire_does_to_a_message_stands_at_its_arrow(act: str, detail: str, words: str) -> None:
    made = compose.build([*started(), sent(), fault(0.1, act, INIT, detail=detail), got(2)])
    row = the(made, name=INIT)
    assert (row.fate, row.target, row.words, row.copy) == (Fate.ARRIVED, "responder", words, False)
    unseen = the(compose.build([*started(), sent(), fault(0.1, act, INIT, detail=detail)]), name=INIT)
    assert (unseen.fate, unseen.target) == (Fate.PASSED, "responder")
    assert unseen.words == f"{words}; not seen to arrive"


def test_a_duplicate_is_a_row_that_begins_at_the_wire_and_arrives_as_a_repeated_answer_says() -> None:
    told = [sent(), fault(0.1, "duplicate", INIT, detail="once"), got(1)]
    told += [responder(2, "ike_sa_init_sent", **message("response"))]
    told += [responder(3, "response_repeated", message_id=0)]
    original, _, copy, _ = messages(compose.build([*started(), *told]))
    assert (original.copy, original.fate) == (False, Fate.ARRIVED)
    assert (copy.copy, copy.fate, copy.source, copy.target) == (True, Fate.ARRIVED, "initiator", "responder")
    assert values.title(copy) == f"{INIT}, duplicated by the wire"


def test_a_replayed_esp_packet_that_nobody_told_of_is_shown_with_its_drop() -> None:
    esp = "ESP spi 0xe0536141 sequence 7"
    drop = {"peer": WIRE_TO_RESPONDER, "reason": "esp_replayed", "count": 1, "detail": ""}
    told = [*started(), *handshake(), fault(100, "replay", esp, detail="3 times, 1 s later")]
    told += [tell(1100 + n, "responder", "datagram_dropped", **drop) for n in range(3)]
    row = the(compose.build(told), copy=True)
    assert (row.name, row.fate) == ("ESP e0536141 sequence 7", Fate.DROPPED)
    assert row.wire == "replayed by the wire: 3 times, 1 s later"
    assert row.words == "dropped: esp_replayed, 3 times"
    # It stands where it had its effect, not where the wire took it.
    assert round(row.seconds, 3) == 1.1


def test_a_reflected_message_goes_back_to_who_sent_it() -> None:
    told = [sent(), fault(0.1, "reflect", INIT, detail="to its sender"), got(1)]
    told += [tell(1, "initiator", "datagram_dropped", peer=WIRE_TO_INITIATOR, reason="reflected", count=1)]
    made = compose.build([*started(), *told])
    original, back = sorted(messages(made), key=lambda row: row.copy)
    assert (original.fate, original.target) == (Fate.ARRIVED, "responder")
    assert (back.fate, back.source, back.target) == (Fate.DROPPED, "initiator", "initiator")


def test_tampered_esp_shows_what_was_done_and_why_it_was_dropped() -> None:
    row = the(compose.build(every_act()), name="ESP e0536141 sequence 8")
    assert row.words == "corrupted by the wire: octet 20 with 0xff; dropped: esp_bad_icv"


def test_a_drop_of_an_esp_packet_explains_no_message_of_ike() -> None:
    drop = {"peer": WIRE_TO_RESPONDER, "reason": "esp_bad_icv", "count": 1}
    told = [*started(), *handshake(), initiator(50, "informational_sent", **message("request", 2))]
    made = compose.build([*told, tell(51, "responder", "datagram_dropped", **drop)])
    assert the(made, name="INFORMATIONAL request 2").fate is Fate.LOST
    assert notes(made, Kind.TROUBLE) == [f"dropped: esp_bad_icv, from {WIRE_TO_RESPONDER}"]


def test_floods_new_addresses_other_faults_and_vain_acts_are_notes_of_the_wire() -> None:
    assert notes(compose.build(every_act()), Kind.WIRE) == [
        "flood: 100 requests in 1 s",
        "initiator now comes from 10.0.0.4:41001 (was 10.0.0.4:41000)",
        "10 forged messages were sent",
        "truncate at IKE_AUTH request 1: no effect: it has only 100 octets",
        "faults from here on: drop any, times 1 (ctl set)",
        "flood over: 100 requests in 1.0 s, 12 answers",
    ]


def test_a_refusal_before_there_is_an_sa_is_an_answer_of_who_tells_of_it() -> None:
    refusal = message("response", payloads=["N(NO_PROPOSAL_CHOSEN)"], octets=46)
    drop = {"peer": WIRE_TO_RESPONDER, "reason": "incompatible", "count": 1, "detail": ""}
    about = {"peer": WIRE_TO_RESPONDER, "notify": "NO_PROPOSAL_CHOSEN", "detail": ""}
    told = [sent(), tell(2, "responder", "notify_sent", **about)]
    made = compose.build([*started(), *told, initiator(4, "ike_sa_init_received", **refusal)])
    assert [(row.source, row.fate) for row in messages(made)] == [
        ("initiator", Fate.ARRIVED),
        ("responder", Fate.ARRIVED),
    ]
    forged = compose.build([*started(), sent(), initiator(4, "ike_sa_init_received", **refusal)])
    assert the(forged, fate=Fate.FOREIGN).source is None
    untold = [sent(), initiator(4, "ike_sa_init_received", **(refusal | {"peer": RESPONDER}))]
    asked, answer = messages(compose.build([*started(), *untold]))
    assert (asked.fate, asked.target) == (Fate.ARRIVED, "responder")
    assert (answer.fate, answer.source, answer.words) == (Fate.FOREIGN, "responder", f"from {RESPONDER}")
    dropped = compose.build(
        [*started(), sent(), tell(3, "responder", "datagram_dropped", **drop | {"peer": "10.0.0.3:8000"})]
    )
    assert the(dropped, name=INIT).reason == "dropped: incompatible"


def flood(count: int) -> list[NodeEvent]:
    """So many requests of strangers, each answered in vain, between the messages of an honest handshake."""
    told = []
    for number in range(count):
        at, spi = 1 + number * 0.002, f"{number + 1:016x}"
        peer = f"10.9.{number >> 8 & 255}.{number & 255}:{1024 + number % 50000}"
        about = {"spi_i": spi, "peer": peer}
        told += [
            responder(at, "ike_sa_init_received", **about, **message("request")),
            responder(at + 0.0005, "ike_sa_init_sent", **about, **message("response")),
            responder(at + 0.001, "ike_sa_failed", **about, reason="no IKE_AUTH in 30 s"),
        ]
    return [*started(), *told, *handshake(3)]


def test_ten_thousand_rows_of_a_flood_are_a_few_and_the_honest_messages_stay() -> None:
    made = compose.build(flood(10_000))
    assert len(made.rows) < 120
    folds = [row for row in made.rows if isinstance(row, Fold)]
    rows = [row for row in made.rows if isinstance(row, Message) and row.fate is Fate.ARRIVED]
    assert len(rows) == 7
    shown = len(made.rows) - len(folds)
    # Nothing is lost: three rows a stranger, seven messages and eight notes less two of the honest one.
    assert sum(fold.count for fold in folds) + shown == 30_000 + 12
    text = "\n".join(as_text.render(made, PLAIN))
    assert "... and " in text
    assert "more, until" in text


def test_a_crowd_is_folded_in_stretches_so_that_the_order_stays_true() -> None:
    def note(seconds: float, text: str) -> tuple[Note, bool]:
        return Note(seconds, "a", text, Kind.STATE), True

    rows = (
        [note(n, f"drop {n}") for n in range(20)]
        + [note(20, "once")]
        + [note(n, f"drop {n}") for n in range(21, 30)]
    )
    shown = fold.fold(rows)
    assert [
        row.count if isinstance(row, Fold) else row.text for row in shown if not isinstance(row, Message)
    ] == [
        "drop 0",
        "drop 1",
        "drop 2",
        17,
        "once",
        9,
    ]
    few = rows[: fold.MANY]
    assert fold.fold(few) == tuple(row for row, _ in few)


def test_what_cannot_be_folded_loses_its_middle() -> None:
    rows = [(Note(n, "a", "x" * (n + 1), Kind.STATE), True) for n in range(2000)]
    shown = fold.fold(rows)
    assert len(shown) == fold.MAX_ROWS
    (gap,) = [row for row in shown if isinstance(row, Fold)]
    assert (gap.like, gap.count) == (None, 2000 - fold.MAX_ROWS + 1)
    assert isinstance(shown[-1], Note)
    assert shown[-1].seconds == 1999
    assert "left out" in values.folded(gap)


def test_a_message_repeated_ten_thousand_times_does_not_take_for_ever() -> None:
    told = [sent(), got(1), responder(2, "ike_sa_init_sent", **message("response"))]
    told += [responder(3 + n, "response_repeated", message_id=0) for n in range(10_000)]
    made = compose.build([*started(), *told])
    assert len(made.rows) < 20


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_text_fits_the_terminal_with_a_wire_and_with_as_many_lanes_as_fit(width: int) -> None:
    crowd = [tell(-9, f"initiator-{n}", "node_started", role="initiator") for n in range(5)]
    for told in (every_act(), [*every_act(), *crowd], flood(50)):
        made = compose.build(told, most=min(as_text.lanes_in(width), compose.MAX_LANES))
        for line in as_text.render(made, PLAIN, width)[:-1]:
            assert len(line) <= max(width, 50), line


def boxes(picture: Xml.Element) -> list[tuple[float, float, float]]:
    """Left and right end and baseline of every text of a row."""
    found = []
    for text in picture.iterfind(f"{SVG}g/{SVG}text"):
        length = len(text.text or "") * 7.3
        x, anchor = float(text.attrib["x"]), text.attrib["text-anchor"]
        left = x - {"start": 0.0, "middle": length / 2, "end": length}[anchor]
        found.append((left, left + length, float(text.attrib["y"])))
    return found


@pytest.mark.parametrize("size", [None, NARROW])
@pytest.mark.parametrize("told", [every_act(), [*started(), *handshake()], flood(50)])
def test_in_the_picture_of_a_wire_no_text_meets_another_or_leaves_it(
    told: list[NodeEvent], size: Size | None
) -> None:
    picture = Xml.fromstring(as_svg.render(compose.build(told), "a heading", size))
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    found = boxes(picture)
    assert len(found) > 15
    for index, (left, right, y) in enumerate(found):
        assert left >= 0
        assert right <= width
        assert y <= height
        for other_left, other_right, other_y in found[index + 1 :]:
            assert right <= other_left or other_right <= left or abs(y - other_y) >= 12
    heads = [rect for rect in picture.iterfind(f"{SVG}rect") if rect.attrib.get("class") == "lane"]
    assert len(heads) == (
        3 if any(event.name.startswith("wire") for event in told) or "wire" in str(told) else 2
    )


def test_whatever_a_name_or_a_text_is_the_picture_is_xml_and_shows_it() -> None:
    evil = "</text>\x00\x1b\n\u2028\ud800\ufffe\uffff]]>\"'&"
    told = [
        tell(0, evil, "ike_sa_failed", reason=evil, role="initiator"),
        sent(1),
        fault(2, evil, INIT, detail=evil),
    ]
    told += [tell(3, evil, "wire_faults_changed", faults=[evil], reason=evil) for _ in range(20)]
    for size in (None, NARROW):
        picture = Xml.fromstring(as_svg.render(compose.build(told), evil, size))
        shown = "".join(picture.itertext())
        assert "\\x1b" in shown
        assert "</text>" in shown
        assert {node.tag.removeprefix(SVG) for node in picture.iter()} <= {
            *("svg", "title", "style", "rect", "line", "text", "g", "circle", "polygon", "path"),
        }


def test_links_of_rows_are_links() -> None:
    made = compose.build([*started(), *handshake()])
    text = as_svg.render(made, "x", links={0: '#m1"><script>'})
    picture = Xml.fromstring(text)
    (link,) = picture.iterfind(f"{SVG}a")
    assert link.attrib["href"] == '#m1"><script>'
    assert picture.attrib["role"] == "group"
    assert "<script" not in text


def test_the_json_of_every_row_fits_the_schema(tmp_path: Path) -> None:
    for told in (every_act(), flood(200), handshake()):
        document = {"schema": "ipseclab/ladder/v1", "name": "x", **values.as_json(compose.build(told))}
        jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(document)))


def test_events_that_are_told_out_of_order_give_the_same_ladder() -> None:
    told = every_act()
    assert compose.build(reversed(told)).rows == compose.build(told).rows


def test_an_act_on_one_initiator_is_not_taken_for_one_on_another() -> None:
    def about(ms: float, node: str, name: str, peer: str, **fields: object) -> NodeEvent:
        role = "responder" if node == "responder" else "initiator"
        return tell(
            ms, node, name, spi_i=fields.pop("spi"), role=role, peer=peer, **fields, **message("request")
        )

    told = [
        about(0, "initiator-1", "ike_sa_init_sent", WIRE_TO_INITIATOR, spi="a1"),
        about(0.1, "initiator-2", "ike_sa_init_sent", WIRE_TO_INITIATOR, spi="a2"),
        fault(0.2, "drop", INIT, "initiator-1", target="responder"),
        about(1, "responder", "ike_sa_init_received", "10.0.0.4:41002", spi="a2"),
    ]
    made = compose.build([*started(), *told])
    assert the(made, source="initiator-1").fate is Fate.STOPPED
    assert the(made, source="initiator-2").fate is Fate.ARRIVED


def test_what_the_wire_made_of_an_unknown_party_is_drawn_from_nowhere() -> None:
    told = [*started(), fault(0, "duplicate", "ESP", "192.0.2.7", target="responder"), got(1)]
    made = compose.build(told)
    copy = the(made, copy=True)
    assert (copy.source, copy.target, copy.fate) == (None, "responder", Fate.PASSED)
    assert as_text.render(made, PLAIN)
    nowhere = [*started(), fault(0, "drop", "ESP", "192.0.2.7", target="192.0.2.8"), got(1)]
    assert [row.fate for row in messages(compose.build(nowhere))] == [Fate.FOREIGN]
