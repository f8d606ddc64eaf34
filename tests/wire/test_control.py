"""The control socket and `python -m lab.wire ctl`."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from typing import Any

import pytest

from lab.wire import cli
from lab.wire.answers import MAX_REQUEST
from linetalk.server import MAX_CONNECTIONS
from tests.node.conftest import PATIENCE, ROOT
from tests.wire.conftest import Peer, Rig
from tests.wire.support import esp


def ctl(rig: Rig, *arguments: str, entered: str = "") -> tuple[int, dict[str, Any]]:
    """Exit code and answer."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.wire", "ctl", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "WIRE_SOCKET": rig.control},
        input=entered,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.count("\n") == 1, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_faults_are_set_shown_and_reset(rig: Rig) -> None:
    process = rig.start({"act": "drop", "match": "ESP sequence 9"})
    code, answer = ctl(rig, "set", '[{"act": "drop", "match": "ESP sequence 1"}]')
    assert (code, answer) == (0, {"ok": True, "faults": ["drop ESP sequence 1"]})
    assert process.wait_for("wire_faults_changed", faults=["drop ESP sequence 1"], reason="set")
    for number in (1, 9, 2):
        rig.alice.send(esp(number), rig.wire)
    assert rig.target.octets(2) == [esp(9), esp(2)]
    code, shown = ctl(rig, "show")
    assert code == 0
    assert shown["faults"] == [{"fault": "drop ESP sequence 1", "matched": 1, "acted": 1}]
    assert (shown["relayed"], shown["acted"], shown["held"], shown["lost"]) == (2, 1, 0, 0)
    assert (shown["name"], shown["profile"], shown["seed"]) == ("wire", "asn1", 1)
    assert ctl(rig, "reset") == (0, {"ok": True, "faults": []})
    assert process.wait_for("wire_faults_changed", faults=[], reason="reset")
    rig.alice.send(esp(1), rig.wire)
    assert rig.target.receive()[0] == esp(1)


def test_one_fault_stands_for_a_list_and_stdin_for_an_argument(rig: Rig) -> None:
    rig.start()
    code, answer = ctl(rig, "set", "-", entered='{"act": "rebind", "match": "ESP from alice"}')
    assert (code, answer["faults"]) == (0, ["rebind ESP from alice"])


REFUSED = [
    (("set", '{"act": "drp"}'), "fault 1: act: unknown act 'drp' (did you mean drop?)"),
    (("set", '{"act": "drop", "match": "any from eve"}'), "unknown node 'eve'; allowed are"),
    (("set", "7"), "faults: 7 is no list of faults"),
    (("rebind",), "no mapping of any initiator"),
    (("rebind", "bob"), "no mapping of 'bob'"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED)
def test_what_the_relay_refuses(rig: Rig, arguments: tuple[str, ...], says: str) -> None:
    rig.start({"act": "drop", "match": "keepalive"})
    code, answer = ctl(rig, *arguments)
    assert (code, answer["ok"]) == (1, False)
    assert says in answer["error"]
    # a refused list changes nothing
    assert [fault["fault"] for fault in rig.ask("show")["faults"]] == ["drop keepalive"]


def test_a_rebind_by_hand(rig: Rig) -> None:
    process = rig.start()
    rig.alice.send(esp(1), rig.wire)
    _, first = rig.target.receive()
    code, answer = ctl(rig, "rebind", "alice")
    assert code == 0
    rig.alice.send(esp(2), rig.wire)
    _, second = rig.target.receive()
    assert first != second
    assert answer["rebound"] == ["alice: {}:{} to {}:{}".format(*first, *second)]
    assert process.wait_for("wire_rebound")["source"] == "alice"
    code, answer = ctl(rig, "rebind", "bob")
    assert answer["error"] == "no mapping of 'bob'; there are those of alice"
    assert ctl(rig, "rebind")[0] == 0


def test_where_no_relay_answers(rig: Rig) -> None:
    code, answer = ctl(rig, "show")
    assert (code, answer["ok"]) == (4, False)
    assert rig.control in answer["error"]
    code, answer = ctl(rig, "--socket", str(rig.directory / "other"), "show")
    assert code == 4
    assert "other" in answer["error"]


def test_usage(rig: Rig) -> None:
    code, answer = ctl(rig, "set", "{")
    assert (code, answer["ok"]) == (2, False)
    assert "no JSON" in answer["error"]
    rig.control = ""
    assert ctl(rig, "show")[1]["error"] == "no control socket: give --socket PATH or set WIRE_SOCKET"


@pytest.mark.parametrize("arguments", [[], ["ctl"], ["rely"], ["sniff"], ["ctl", "sohw"]])
def test_a_command_line_that_cannot_be(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


WILD = [
    (b"\n", "the request is not JSON"),
    (b"{\n", "the request is not JSON"),
    (b"[" * 5000 + b"\n", "the request is not JSON"),
    (b"[]\n", "the request is no object"),
    (b"{}\n", "unknown command 'None'"),
    (b'{"command": "sohw"}\n', "unknown command 'sohw' (did you mean show?)"),
    (b'{"command": ["show"]}\n', "unknown command"),
    (b'{"command": "show", "faults": []}\n', "show takes no argument 'faults'"),
    (b'{"command": "set"}\n', "faults: None is no list"),
    (b"x" * (MAX_REQUEST + 9) + b"\n", f"a request has at most {MAX_REQUEST} octets"),
]


def line(connection: socket.socket) -> Any:
    """The next answer."""
    with connection.makefile() as stream:
        return json.loads(stream.readline())


def test_wild_requests_are_answered(rig: Rig) -> None:
    rig.start()
    for request, says in WILD:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(rig.control)
            connection.sendall(request)
            answer = line(connection)
            assert answer["ok"] is False
            assert says in answer["error"]
    assert rig.ask("show")["ok"]


def test_connections_are_bounded_and_do_not_outlive_the_relay(rig: Rig) -> None:
    process = rig.start()
    open_ones = []
    for _ in range(MAX_CONNECTIONS):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(rig.control)
        connection.sendall(b'{"command": "show"}\n')
        assert line(connection)["ok"]
        open_ones.append(connection)
    assert rig.ask("show") == {"ok": False, "error": "too many connections"}
    assert process.stop(signal.SIGTERM) == 0
    for connection in open_ones:
        connection.close()


def test_only_its_own_user_may_connect(rig: Rig) -> None:
    rig.start()
    assert stat.S_IMODE(os.stat(rig.control).st_mode) == 0o600


def test_a_stale_socket_is_replaced_and_a_living_one_left_alone(rig: Rig) -> None:
    first = rig.start()
    second = rig.spawn(
        "relay", WIRE_CONFIG=json.dumps(rig.config(listen={"address": f"{rig.prefix}.99"}, capture=""))
    )
    assert second.wait() == 4
    assert second.wait_for("wire_failed")["detail"] == f"{rig.control}: another process listens on it"
    assert rig.ask("show")["ok"]
    first.process.kill()
    first.wait()
    assert os.path.exists(rig.control)
    rig.start()
    assert rig.ask("show")["ok"]


def test_a_file_that_is_no_socket_is_left_alone(rig: Rig) -> None:
    path = rig.directory / "file"
    path.write_text("mine", encoding="utf-8")
    process = rig.spawn("relay", WIRE_CONFIG=json.dumps(rig.config(control=str(path))))
    assert process.wait() == 4
    assert process.wait_for("wire_failed")["detail"] == f"{path}: exists and is no socket"
    assert path.read_text(encoding="utf-8") == "mine"


def test_a_flood_that_cannot_be_is_refused_when_it_is_set(rig: Rig) -> None:
    """No sources are configured, and the target is not on loopback."""
    target = Peer("127.0.0.1", 0)
    try:
        rig.start(target={"name": "server", "address": "192.0.2.1"}, listen={"address": "0.0.0.0"}, ports=[9])
        answer = rig.ask("set", faults=[{"act": "flood", "match": "start"}])
        assert answer["ok"] is False
        assert "flood.sources is not set" in answer["error"]
    finally:
        target.close()
