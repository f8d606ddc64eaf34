"""The ladder: what is joined, what is lost, what is shown where, and how it looks in both forms."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from lab import evidence
from lab.console import Style
from lab.errors import EnvironmentNotReady
from lab.events import NodeEvent
from lab.ladder import as_svg, as_text, compose
from lab.ladder.notes import NOTES
from lab.ladder.values import Fate, Ladder, Message, Note
from tests.lab.conftest import Cli

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
PLAIN = Style(False)
LEFT, RIGHT = "10.0.0.3:8000", "10.0.0.2:8000"
SVG = "{http://www.w3.org/2000/svg}"


def tell(ms: float, node: str, name: str, **fields: object) -> NodeEvent:
    return NodeEvent(ZERO + timedelta(milliseconds=ms), node, name, fields)


def initiator(ms: float, name: str, **fields: object) -> NodeEvent:
    return tell(ms, "initiator", name, spi_i="aa", peer=RIGHT, role="initiator", **fields)


def responder(ms: float, name: str, **fields: object) -> NodeEvent:
    return tell(ms, "responder", name, spi_i="aa", peer=LEFT, role="responder", **fields)


def message(kind: str, number: int = 0, octets: int = 392) -> dict[str, object]:
    payloads = ["SA", "KE", "NONCE"] if number == 0 else ["IDI", "AUTH", "TSI", "TSR"]
    return {"kind": kind, "message_id": number, "payloads": payloads, "octets": octets}


REQUEST, RESPONSE = message("request"), message("response", octets=400)
HANDSHAKE = [
    initiator(0, "ike_sa_init_sent", **REQUEST),
    responder(3, "ike_sa_init_received", **REQUEST),
    responder(5, "ike_sa_init_sent", **RESPONSE),
    initiator(8, "ike_sa_init_received", **RESPONSE),
    initiator(9, "shared_secret_derived", group="MODP_2048"),
]


def messages(made: Ladder) -> list[Message]:
    return [row for row in made.rows if isinstance(row, Message)]


def notes(made: Ladder) -> list[Note]:
    return [row for row in made.rows if isinstance(row, Note)]


def arrows(made: Ladder) -> list[tuple[str | None, str | None, Fate, int]]:
    return [(row.source, row.target, row.fate, row.again) for row in messages(made)]


def test_a_handshake_is_two_arrows_with_names_and_a_key_note_on_its_side() -> None:
    made = compose.build(HANDSHAKE)
    assert made.lanes == ("initiator", "responder")
    assert arrows(made) == [
        ("initiator", "responder", Fate.ARRIVED, 0),
        ("responder", "initiator", Fate.ARRIVED, 0),
    ]
    first, second = messages(made)
    assert (first.name, first.contents, first.octets) == ("IKE_SA_INIT request 0", "SA KE Ni", 392)
    assert (second.contents, round(second.seconds, 6)) == ("SA KE Nr", 0.005)
    assert [(note.node, note.text) for note in notes(made)] == [
        ("initiator", "SKEYSEED and keys derived: MODP_2048")
    ]


def test_a_request_in_another_form_is_a_message_of_its_own() -> None:
    """With a cookie: the first form was answered and dropped, the second arrives and is sent again."""
    second = {**message("request", octets=431), "payloads": ["N(COOKIE)", "SA", "KE", "NONCE"]}
    cookie = {**message("response", octets=63), "payloads": ["N(COOKIE)"]}
    told = [
        initiator(0, "ike_sa_init_sent", **REQUEST),
        tell(1, "responder", "datagram_dropped", reason="cookie_required", peer=LEFT),
        initiator(2, "ike_sa_init_received", **cookie),
        initiator(3, "ike_sa_init_sent", **second),
        initiator(503, "retransmitted", message_id=0, exchange="IKE_SA_INIT", n=1),
        responder(504, "ike_sa_init_received", **second),
        responder(505, "ike_sa_init_sent", **RESPONSE),
        initiator(506, "ike_sa_init_received", **RESPONSE),
    ]
    found = [(m.contents, m.octets, m.again, m.fate) for m in messages(compose.build(told))]
    assert found == [
        ("SA KE Ni", 392, 0, Fate.DROPPED),
        ("N(COOKIE)", 63, 0, Fate.FOREIGN),
        ("N(COOKIE) SA KE Ni", 431, 0, Fate.LOST),
        ("N(COOKIE) SA KE Ni", 431, 1, Fate.ARRIVED),
        ("SA KE Nr", 400, 0, Fate.ARRIVED),
    ]


def test_protected_payloads_stand_in_sk_with_the_names_of_the_rfc() -> None:
    made = compose.build([*HANDSHAKE, initiator(10, "ike_auth_sent", **message("request", 1))])
    assert messages(made)[-1].contents == "SK{IDi AUTH TSi TSr}"


def test_a_lost_request_is_lost_and_its_repetition_arrives() -> None:
    made = compose.build(
        [
            initiator(0, "ike_sa_init_sent", **REQUEST),
            initiator(500, "retransmitted", message_id=0, exchange="IKE_SA_INIT", n=1),
            responder(503, "ike_sa_init_received", **REQUEST),
        ]
    )
    assert arrows(made) == [
        ("initiator", None, Fate.LOST, 0),
        ("initiator", "responder", Fate.ARRIVED, 1),
    ]


def test_a_lost_response_brings_request_and_response_once_more() -> None:
    made = compose.build(
        [
            *HANDSHAKE[:3],
            initiator(500, "retransmitted", message_id=0, exchange="IKE_SA_INIT", n=1),
            responder(502, "response_repeated", message_id=0),
            initiator(505, "ike_sa_init_received", **RESPONSE),
        ]
    )
    assert arrows(made) == [
        ("initiator", "responder", Fate.ARRIVED, 0),
        ("responder", None, Fate.LOST, 0),
        ("initiator", "responder", Fate.ARRIVED, 1),
        ("responder", "initiator", Fate.ARRIVED, 1),
    ]


def test_a_drop_explains_the_transmission_before_it_and_else_stands_alone() -> None:
    drop = {"reason": "bad_icv", "count": 1, "detail": "tag"}
    made = compose.build(
        [
            *HANDSHAKE,
            initiator(10, "ike_auth_sent", **message("request", 1)),
            tell(12, "responder", "datagram_dropped", peer=LEFT, **drop),
            tell(13, "responder", "datagram_dropped", peer="10.9.9.9:1", **drop),
        ]
    )
    dropped = messages(made)[-1]
    assert (dropped.fate, dropped.target, dropped.reason) == (
        Fate.DROPPED,
        "responder",
        "dropped: bad_icv (tag)",
    )
    assert notes(made)[-1].text == "dropped: bad_icv (tag), from 10.9.9.9:1"


def test_what_nobody_sent_is_foreign() -> None:
    made = compose.build([responder(0, "ike_sa_init_received", **REQUEST)])
    assert arrows(made) == [(None, "responder", Fate.FOREIGN, 0)]


def test_both_sides_may_have_a_request_0_of_their_own() -> None:
    made = compose.build(
        [
            responder(0, "informational_sent", **message("request")),
            initiator(1, "informational_sent", **message("request")),
            initiator(2, "informational_received", **message("request")),
            responder(3, "informational_received", **message("request")),
        ]
    )
    assert [(row.source, row.target) for row in messages(made)] == [
        ("responder", "initiator"),
        ("initiator", "responder"),
    ]


def test_esp_is_joined_by_spi_and_sequence_though_told_late() -> None:
    esp = {"text": "Hello", "spi": "1234abcd", "sequence": 1}
    made = compose.build(
        [
            tell(5, "responder", "esp_payload_decrypted", **esp),
            tell(9, "initiator", "esp_payload_sent", **esp),
        ]
    )
    (row,) = messages(made)
    assert (row.source, row.target, row.seconds) == ("initiator", "responder", 0.0)
    assert row.contents == 'encrypted {"Hello"}'


def test_many_nodes_leave_some_without_a_lane_unless_they_are_asked_for() -> None:
    crowd = [tell(0, "responder", "node_started", role="responder")]
    crowd += [tell(1, f"initiator-{n:02d}", "node_started", role="initiator") for n in range(1, 21)]
    made = compose.build(crowd)
    assert made.lanes == ("initiator-01", "initiator-02", "initiator-03", "responder")
    assert len(made.hidden) == 17
    assert "not shown: " in as_text.render(made, PLAIN)[-1]
    assert compose.build(crowd, ["initiator-20", "responder"]).lanes == ("initiator-20", "responder")


def test_what_goes_to_a_node_without_a_lane_is_not_shown_as_lost() -> None:
    crowd = [tell(-1, f"initiator-{n:02d}", "node_started", role="initiator") for n in range(1, 8)]
    esp = {"text": "Hello", "spi": "1234abcd", "sequence": 1}
    for number in (1, 7):
        about = {"spi_i": f"a{number}", "peer": RIGHT, "role": "initiator"}
        theirs = {"spi_i": f"a{number}", "peer": f"10.0.1.{number}:8000", "role": "responder"}
        crowd += [
            tell(number, f"initiator-{number:02d}", "ike_sa_init_sent", **about, **REQUEST),
            tell(number + 0.1, "responder", "ike_sa_init_received", **theirs, **REQUEST),
            tell(number + 0.2, "responder", "ike_sa_init_sent", **theirs, **RESPONSE),
            tell(number + 0.3, "responder", "shared_secret_derived", **theirs, group="MODP_2048"),
            tell(number + 0.4, "responder", "datagram_dropped", reason="bad_icv", peer=theirs["peer"]),
        ]
    crowd += [tell(9, "initiator-07", "esp_payload_sent", **esp)]
    crowd += [tell(9, "responder", "esp_payload_decrypted", **esp)]
    made = compose.build(crowd)
    assert "initiator-07" in made.hidden
    assert arrows(made) == [
        ("initiator-01", "responder", Fate.ARRIVED, 0),
        ("responder", None, Fate.LOST, 0),
    ]
    assert len(notes(made)) == 2


def everything() -> list[NodeEvent]:
    """Every fate and every note, with long and hostile text."""
    nasty = "</text>&\x1b[31m" + "x" * 200
    return [
        *HANDSHAKE,
        initiator(10, "ike_auth_sent", **(message("request", 1) | {"payloads": ["CERT", nasty] * 12})),
        tell(12, "responder", "datagram_dropped", peer=LEFT, reason="bad_icv", count=1, detail=nasty),
        initiator(500, "retransmitted", message_id=1, exchange="IKE_AUTH", n=1),
        responder(600, "ike_sa_init_received", **(REQUEST | {"message_id": 7})),
        *(responder(700 + n, name, reason=nasty, detail=nasty) for n, name in enumerate(sorted(NOTES))),
        *(initiator(800 + n, name, reason=nasty) for n, name in enumerate(sorted(NOTES))),
    ]


@pytest.mark.parametrize("signs", [as_text.UNICODE, as_text.ASCII])
@pytest.mark.parametrize("width", [20, 80, 120, 400])
def test_text_keeps_its_columns(signs: as_text.Signs, width: int) -> None:
    lines = as_text.render(compose.build(everything()), PLAIN, width, signs)
    columns = [at for at, sign in enumerate(lines[1]) if sign == signs.lane]
    assert len(columns) == 2
    for line in lines[1:]:
        for at in columns:
            assert line[at] in (signs.lane, signs.dot), line
        assert len(line) <= max(width, 60)
        assert "\x1b" not in line
    if signs is as_text.ASCII:
        assert all(line.isascii() for line in lines)


def test_colour_only_where_it_is_wanted() -> None:
    made = compose.build(everything())
    painted = as_text.render(made, Style(True))
    assert "\x1b[36m" in "".join(painted)
    stripped = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in painted]
    assert stripped == as_text.render(made, PLAIN)


def _boxes(picture: Xml.Element) -> Sequence[tuple[float, float, float]]:
    """Left and right end and baseline of every text of a row."""
    found = []
    for text in picture.iterfind(f"{SVG}g/{SVG}text"):
        length = len(text.text or "") * 7.3
        x, anchor = float(text.attrib["x"]), text.attrib["text-anchor"]
        left = x - {"start": 0.0, "middle": length / 2, "end": length}[anchor]
        found.append((left, left + length, float(text.attrib["y"])))
    return found


def test_in_the_picture_no_text_meets_another_or_leaves_it() -> None:
    text = as_svg.render(compose.build(everything()), "a <heading>")
    picture = Xml.fromstring(text)
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    boxes = _boxes(picture)
    assert len(boxes) > 50
    for index, (left, right, y) in enumerate(boxes):
        assert left >= 0
        assert right <= width
        assert y <= height
        for other_left, other_right, other_y in boxes[index + 1 :]:
            apart = right <= other_left or other_right <= left or abs(y - other_y) >= 12
            assert apart, (left, right, y, other_left, other_right, other_y)
    lines = sorted({float(line.attrib["y1"]) for line in picture.iterfind(f"{SVG}g/{SVG}line")})
    for line in lines:
        assert all(not (y - 9 < line < y + 2) for _, _, y in boxes), line
    assert "<script" not in text


@pytest.mark.skipif(shutil.which("rsvg-convert") is None, reason="rsvg-convert is not installed")
def test_the_picture_can_be_drawn(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text(as_svg.render(compose.build(everything()), "x"))
    done = subprocess.run(
        ["rsvg-convert", str(tmp_path / "a.svg"), "-o", str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_nothing_told_is_an_empty_ladder() -> None:
    made = compose.build([])
    assert made == Ladder((), (), (), wire="", zero=0.0)
    assert as_text.render(made, PLAIN) == [""]
    assert Xml.fromstring(as_svg.render(made, "x")) is not None


def test_a_run_leaves_its_ladder_and_it_can_be_drawn_again(cli: Cli, tmp_path: Path) -> None:
    result = cli.json("run", "impostor", "-b", "process", "--key-type", "ecdsa-p256")["results"][0]
    run = Path(result["evidence"])
    assert "authentication failed: bad_signature" in (run / "ladder.txt").read_text()
    Xml.fromstring((run / "ladder.svg").read_text())
    shown = cli("ladder", str(run), COLUMNS="120", PYTHONIOENCODING="utf-8")
    assert shown.stdout == (run / "ladder.txt").read_text()
    plain = cli("ladder", run.parent.name, "--ascii")
    assert plain.returncode == 0
    assert plain.stdout.isascii()
    document = cli.json("ladder", str(run))
    assert [row["message"] for row in document["rows"] if row.get("message")][:1] == ["IKE_SA_INIT request 0"]
    # A busy machine may start the initiator first, and its first message meets nobody.
    assert {row["fate"] for row in document["rows"] if row.get("from") == "responder"} == {"arrived"}
    drawn = cli("ladder", str(run), "--svg", str(tmp_path / "x.svg"))
    assert (drawn.returncode, drawn.stdout) == (0, "")
    assert (tmp_path / "x.svg").read_text() == (run / "ladder.svg").read_text()
    assert cli("ladder", str(run), "--svg", str(tmp_path)).returncode == 4
    unknown = cli("ladder", str(run), "initiatr")
    assert (unknown.returncode, "did you mean initiator?" in unknown.stderr) == (5, True)


def test_what_is_neither_lab_nor_run_is_5(cli: Cli) -> None:
    done = cli("ladder", "nothing-here", "-b", "process")
    assert done.returncode == 5
    assert "neither a lab that is up nor a run" in done.stderr


def test_the_newest_run_is_meant_where_no_lab_is_up(cli: Cli, tmp_path: Path) -> None:
    directory = tmp_path / "lab" / "20260101T000000Z-hello"
    directory.mkdir(parents=True)
    lines = [json.dumps(event.as_json()) for event in HANDSHAKE]
    (directory / "events.jsonl").write_text("\n".join(lines))
    done = cli("ladder", "-b", "process", "-o", "json", IPSECLAB_RUNS=str(tmp_path))
    assert json.loads(done.stdout)["name"] == directory.name


def test_lines_that_are_no_events_are_left_out(tmp_path: Path) -> None:
    lines = [json.dumps(event.as_json()) for event in HANDSHAKE]
    (tmp_path / "events.jsonl").write_text("\n".join([*lines, "{", "[]", '{"node": 1}', ""]))
    assert [event.name for event in evidence.read_events(tmp_path)] == [event.name for event in HANDSHAKE]
    (tmp_path / "events.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(EnvironmentNotReady, match="cannot be read"):
        evidence.read_events(tmp_path)


def test_a_drop_at_a_node_without_a_lane_draws_nothing_there() -> None:
    """The responder's ESP answer, dropped by a node that has no lane."""
    far = "10.0.0.9:8000"
    told = [
        *HANDSHAKE,
        tell(20, "eve", "ike_sa_init_sent", spi_i="bb", peer=RIGHT, role="initiator", **REQUEST),
        tell(22, "responder", "ike_sa_init_received", spi_i="bb", peer=far, role="responder", **REQUEST),
        tell(24, "responder", "esp_ack_sent", spi="01020304", sequence=1, target="10.1.0.9"),
        tell(25, "responder", "ike_sa_init_received", spi_i="cc", peer=RIGHT, role="initiator", **RESPONSE),
        tell(26, "eve", "datagram_dropped", peer=RIGHT, reason="esp_unknown_spi"),
    ]
    made = compose.build(told, only=("initiator", "responder"))
    assert made.hidden == ("eve",)
    shown = {node for row in messages(made) for node in (row.source, row.target) if node}
    assert shown <= {"initiator", "responder"}
    assert as_text.render(made, PLAIN, 120)
    assert as_svg.render(made, "heading")
