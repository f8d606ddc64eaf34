"""`ipseclab decode`: what it finds, what it shows, what it says where something is missing."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lab import cli
from lab.console import Style
from lab.decode import text
from lab.decode.run import CAPTURE, decode, of_run
from lab.wire import pcapng
from node.esp.ip import pack_udp
from tests.decode.support import ZERO, capture, make_run, octets_of, titles
from tests.decode.test_plaintext import A, B
from tests.lab.conftest import SCHEMA, Cli

RUN = make_run()
#: exit code, stdout, stderr
Done = tuple[int, str, str]
Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """The command line in this process, with runs of its own."""
    monkeypatch.setenv("IPSECLAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*words: str) -> Done:
        code = cli.main(["decode", *words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of the lab `demo`, its latest."""
    directory = RUN.write(tmp_path / "runs" / "demo" / "20260101T000000Z-hello")
    (directory.parent / "latest").symlink_to(directory.name)
    return directory


def document(done: Done) -> dict[str, Any]:
    assert done[0] == 0, done[2]
    found = json.loads(done[1])
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    assert isinstance(found, dict)
    return found


def test_a_run_is_found_by_its_path_and_by_its_lab(call: Call, run: Path) -> None:
    by_path = call(str(run))
    assert by_path[0] == 0
    assert by_path == call("demo") == call("-n", "demo") == call(str(run.parent))
    assert by_path[2] == ""
    assert (
        "IKE_AUTH request 1: SK{IDi CERT N(INITIAL_CONTACT) CERTREQ IDr AUTH AUTH_NONCE SA TSi TSr}"
        in by_path[1]
    )
    assert "Starting Address  10.1.0.0" in by_path[1]
    assert "ICMP echo request 10.1.0.1 > 10.2.0.1" in by_path[1]


def test_the_newest_run_is_meant_where_none_is_named(call: Call, run: Path, tmp_path: Path) -> None:
    older = RUN.write(tmp_path / "runs" / "ipseclab" / "20260101T000000Z-older")
    (older.parent / "latest").symlink_to(older.name)
    os.utime(older / "events.jsonl", (1, 1))
    assert document(call("-o", "json"))["name"] == run.name


def test_without_any_run_it_says_how_to_make_one(call: Call, tmp_path: Path) -> None:
    done = call()
    assert done == (5, "", f"error: {tmp_path / 'runs'} has no run: `ipseclab run hello` makes one\n")


def test_of_run_is_what_is_shown(call: Call, run: Path) -> None:
    shown = document(call(str(run), "-o", "json"))
    assert [packet["title"] for packet in shown["packets"]] == titles(of_run(run))
    assert of_run(run.parent) == ()


def test_a_file_takes_the_keys_beside_it_or_those_named(call: Call, run: Path, tmp_path: Path) -> None:
    assert document(call(str(run / CAPTURE), "-o", "json"))["keys"]
    file = tmp_path / "renamed.pcap"
    file.write_bytes((run / CAPTURE).read_bytes())
    code, out, err = call(str(file))
    assert (code, "SK{704 octets}" in out, "no keys of IKE SA" in out) == (0, True, True)
    assert "renamed.pcap: no keys, what is protected stays closed: name its key logs with --keys FILE" in err
    keys = [word for path in (run / "keys").iterdir() for word in ("--keys", str(path))]
    code, out, err = call(str(file), *keys)
    assert (code, err, "SK{IDi" in out) == (0, "", True)


def test_without_a_key_log_it_says_how_to_get_one(call: Call, tmp_path: Path) -> None:
    directory = RUN.write(tmp_path / "run", keyed=False)
    code, out, err = call(str(directory), "--brief")
    assert (code, "IKE_SA_INIT request 0: SA KE Ni" in out) == (0, True)
    assert "keylog: true" in err


def test_one_line_each(call: Call, run: Path) -> None:
    lines = call(str(run), "--brief")[1].splitlines()
    assert len(lines) == 1 + len(RUN.packets)
    assert lines[0].split() == ["no", "time", "from", "to", "message"]
    assert lines[3].split()[:4] == ["3", "+2.0", "ms", "192.0.2.1:8000"]
    payloads = "IDi CERT N(INITIAL_CONTACT) CERTREQ IDr AUTH AUTH_NONCE SA TSi TSr"
    assert lines[3].endswith(f"IKE_AUTH request 1: SK{{{payloads}}}")


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["3"], [3]),
        (["3", "5-7", "14"], [3, 5, 6, 7, 14]),
        (["--only", "ike"], [1, 2, 3, 4, 13, 14]),
        (["1-6", "--only", "esp"], [5, 6]),
        (["12-99"], [12, 13, 14]),
    ],
)
def test_messages_are_selected(words: list[str], numbers: list[int], call: Call, run: Path) -> None:
    shown = document(call(str(run), *words, "-o", "json"))
    assert [packet["number"] for packet in shown["packets"]] == numbers


def test_a_number_alone_is_no_target(call: Call, run: Path) -> None:
    assert document(call("5", "-n", "demo", "-o", "json"))["packets"][0]["number"] == 5


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nowhere"], 5, "'nowhere' is neither a pcapng file nor a run"),
        (["-n", "nowhere"], 5, "'nowhere' is neither a pcapng file nor a run"),
        (["demo", "99"], 2, "packet 99: the capture has 14"),
        (["demo", "0"], 2, "'0' is no packet number: write 3, or 3-7"),
        (["demo", "7-3"], 2, "'7-3' is no packet number"),
        (["demo", "five"], 2, "'five' is no packet number"),
        (["demo", "--port", "http"], 2, "is no UDP port"),
        (["demo", "--only", "ah"], 2, "invalid choice"),
        (["demo", "--keys", "nowhere.keys"], 2, "nowhere.keys: cannot be read"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said(words: list[str], code: int, says: str, call: Call, run: Path) -> None:
    done = call(*words)
    assert (done[0], done[1], says in done[2]) == (code, "", True), done


def test_a_run_without_a_capture_says_so(call: Call, tmp_path: Path) -> None:
    directory = RUN.write(tmp_path / "run", captured=False)
    code, _, err = call(str(directory))
    assert (code, f"{directory} has no capture.pcapng" in err) == (5, True)


@pytest.mark.parametrize("octets", [b"", b"\xd4\xc3\xb2\xa1" + bytes(60), b"hello"])
def test_what_is_no_pcapng_file_says_how_to_make_one(octets: bytes, call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.pcap").write_bytes(octets)
    code, _, err = call(str(tmp_path / "a.pcap"))
    assert (code, "editcap -F pcapng" in err) == (4, True)


def test_a_key_log_that_is_none_names_file_and_line(call: Call, run: Path) -> None:
    (run / "keys" / "initiator.keys").write_text("{}\n")
    code, _, err = call(str(run))
    assert (code, "initiator.keys:1: its kind is neither ike nor esp" in err) == (2, True)


def test_octets_are_shown_when_asked_for(call: Call, run: Path) -> None:
    out = call(str(run), "1", "--hex")[1]
    assert f"0000  {RUN.octets[0][:16].hex(' ')}" in out
    assert document(call(str(run), "1", "--hex", "-o", "json"))["packets"][0]["hex"] == RUN.octets[0].hex()
    assert "hex" not in document(call(str(run), "1", "-o", "json"))["packets"][0]


def test_verbose_opens_the_outer_layers(call: Call, run: Path) -> None:
    assert "Time to Live" not in call(str(run), "1")[1]
    assert "Time to Live" in call(str(run), "1", "-v")[1]


def test_other_ports(call: Call, tmp_path: Path) -> None:
    packet = pack_udp(A, B, 9000, 40_000, RUN.octets[0])
    (tmp_path / "a.pcapng").write_bytes(octets_of(capture([pcapng.Packet(ZERO, packet)])))
    assert "IKE_SA_INIT" not in call(str(tmp_path / "a.pcapng"))[1]
    assert "IKE_SA_INIT request 0" in call(str(tmp_path / "a.pcapng"), "--port", "9000")[1]


def test_remarks_and_problems_stand_beside_a_message(call: Call, tmp_path: Path) -> None:
    packets = [pcapng.Packet(ZERO, RUN.packets[2].octets, 0, "dropped \x1b[31mby the wire")]
    (tmp_path / "a.pcapng").write_bytes(octets_of(capture(packets)))
    tree, line = call(str(tmp_path / "a.pcapng"))[1], call(str(tmp_path / "a.pcapng"), "--brief")[1]
    for out in (tree, line):
        assert "dropped \\x1b[31mby the wire" in out
        assert "no keys of IKE SA" in out


def test_an_empty_capture_shows_nothing(call: Call, tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").write_bytes(octets_of(capture([])))
    assert call(str(tmp_path / "a.pcapng"))[:2] == (0, "")
    assert document(call(str(tmp_path / "a.pcapng"), "-o", "json"))["packets"] == []


def test_colour_is_only_paint(tmp_path: Path) -> None:
    def shown(style: Style) -> str:
        found = decode(RUN.capture, RUN.keys(tmp_path), "")
        return "\n".join(
            line for one in found for line in text.lines(one, ZERO, style, everything=True, octets=True)
        )

    painted = shown(Style(True))
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == shown(Style(False))


def test_times_have_all_their_digits() -> None:
    assert text.stamp(ZERO + 1) == "2026-01-01T00:00:00.000000001Z"
    assert text.stamp(2**64 - 1).startswith("2554-")


def test_as_a_program(tmp_path: Path) -> None:
    directory = RUN.write(tmp_path / "run")
    done = Cli(tmp_path).json("decode", str(directory))
    assert [packet["title"] for packet in done["packets"]] == titles(of_run(directory))
