"""The relay as a process: real sockets at both ends, what it tells, and the capture it leaves."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest

from lab.wire.nat import MAX_MAPPINGS
from lab.wire.packets import checksum
from lab.wire.pcapng import LINK_RAW, Packet, read
from tests.node.conftest import PATIENCE, ROOT, Process
from tests.wire.conftest import PORT, Peer, Rig
from tests.wire.support import (
    AUTH_REQUEST,
    AUTH_RESPONSE,
    GCM_OFFER,
    INIT_REQUEST,
    INIT_RESPONSE,
    KEEPALIVE,
    binary,
    esp,
)

Address = tuple[str, int]
DROP_FIRST: dict[str, object] = {"act": "drop", "match": "ESP sequence 1"}


def ends(packet: Packet) -> tuple[Address, Address, bytes]:
    """Source, target and payload of a captured IPv4 packet; its checksums are right."""
    octets = packet.octets
    assert checksum(octets[:20]) == 0
    pseudo = octets[12:20] + b"\0\x11" + struct.pack(">H", len(octets) - 20)
    assert checksum(pseudo + octets[20:]) == 0
    source, target = struct.unpack(">HH", octets[20:24])
    return (
        (socket.inet_ntoa(octets[12:16]), source),
        (socket.inet_ntoa(octets[16:20]), target),
        octets[28:],
    )


def test_datagrams_go_both_ways_and_each_initiator_has_a_port_of_its_own(rig: Rig) -> None:
    process = rig.start()
    rig.alice.send(INIT_REQUEST, rig.wire)
    rig.bob.send(esp(1), rig.wire)
    seen = dict(rig.target.receive() for _ in range(2))
    assert set(seen) == {INIT_REQUEST, esp(1)}
    assert len(set(seen.values())) == 2
    assert {host for host, _ in seen.values()} == {rig.wire[0]}
    rig.target.send(b"to bob", seen[esp(1)])
    rig.target.send(INIT_RESPONSE, seen[INIT_REQUEST])
    assert rig.alice.receive() == (INIT_RESPONSE, rig.wire)
    assert rig.bob.receive() == (b"to bob", rig.wire)
    # the mapping stays
    rig.alice.send(AUTH_REQUEST, rig.wire)
    assert rig.target.receive() == (AUTH_REQUEST, seen[INIT_REQUEST])
    shown = rig.ask("show")
    assert [(m["node"], m["source"]) for m in shown["mappings"]] == [
        (name, f"{peer.address[0]}:{peer.address[1]}")
        for name, peer in (("alice", rig.alice), ("bob", rig.bob))
    ]
    assert shown["mappings"][0]["outside"] == "{}:{}".format(*seen[INIT_REQUEST])
    assert shown["relayed"] == 5
    rig.stop(process)


def test_what_it_tells_from_start_to_end(rig: Rig) -> None:
    process = rig.start({"act": "drop", "match": "IKE_AUTH response 1", "times": 1})
    ready = process.wait_for("wire_ready")
    assert ready | {"ts": ""} == {
        "ts": "",
        "event": "wire_ready",
        "node": "wire",
        "address": rig.wire[0],
        "ports": [PORT],
        "target": "server",
        "target_address": rig.target.address[0],
        "seed": 1,
        "profile": "asn1",
        "faults": ["drop IKE_AUTH response 1, times 1"],
    }
    rig.alice.send(AUTH_REQUEST, rig.wire)
    _, outside = rig.target.receive()
    rig.target.send(AUTH_RESPONSE, outside)
    rig.target.send(AUTH_RESPONSE, outside)
    assert rig.alice.receive() == (AUTH_RESPONSE, rig.wire)
    fault = process.wait_for("wire_fault")
    assert (fault["act"], fault["datagram"], fault["source"], fault["target"], fault["number"]) == (
        "drop",
        "IKE_AUTH response 1",
        "server",
        "alice",
        1,
    )
    rig.stop(process)
    assert process.names() == [
        "capture_started",
        "wire_ready",
        "wire_fault",
        "capture_stopped",
        "wire_stopped",
    ]
    assert process.wait_for("wire_stopped", relayed=2, faults=1)
    assert process.wait_for("capture_stopped", packets=3, lost=0)
    assert process.wait_for("capture_started", file=str(rig.capture), vantage="wire")
    assert "wire_ready" in process.errors
    assert not os.path.exists(rig.control)


def test_the_capture_shows_the_ends_as_if_there_were_no_relay(rig: Rig) -> None:
    process = rig.start(
        {"act": "drop", "match": "ESP sequence 1"},
        {"act": "corrupt", "match": "ESP sequence 2", "octet": 8},
        {"act": "reflect", "match": "ESP sequence 3 from server"},
    )
    rig.alice.send(esp(1), rig.wire)
    rig.alice.send(esp(2), rig.wire)
    changed, outside = rig.target.receive()
    rig.target.send(esp(3), outside)
    assert rig.alice.receive()[0] == esp(3)
    assert rig.target.receive() == (esp(3), outside)
    capture = rig.stop(process)
    assert capture.comment == "vantage wire, before server; seed 1"
    assert [(i.name, i.link) for i in capture.interfaces] == [("wire", LINK_RAW)]
    alice, server = rig.alice.address, rig.target.address
    assert [(*ends(packet), packet.comment) for packet in capture.packets] == [
        (alice, server, esp(1), "dropped by fault 1: ESP spi 0xc1a2b3c4 sequence 1"),
        (alice, server, esp(2), "corrupted by fault 2: ESP spi 0xc1a2b3c4 sequence 2"),
        (alice, server, changed, "corrupted copy of packet 2"),
        (server, alice, esp(3), "reflected by fault 3: ESP spi 0xc1a2b3c4 sequence 3"),
        (alice, server, esp(3), "reflected copy of packet 4"),
    ]
    moments = [packet.moment_ns for packet in capture.packets]
    assert moments == sorted(moments)


@pytest.mark.parametrize(
    ("fault", "sent", "wanted"),
    [
        ({"act": "drop", "match": "datagram 2"}, [1, 2, 3], [1, 3]),
        ({"act": "duplicate", "match": "ESP sequence 1", "copies": 2}, [1, 2], [1, 1, 1, 2]),
        ({"act": "reorder", "match": "ESP sequence 1", "within": 2}, [1, 2, 3, 4], [2, 3, 1, 4]),
        ({"act": "reorder", "match": "ESP sequence 1"}, [1, 2], [2, 1]),
        ({"act": "delay", "match": "ESP sequence 1", "seconds": 0.2}, [1, 2], [2, 1]),
        ({"act": "replay", "match": "ESP sequence 1", "seconds": 0.2}, [1, 2], [1, 2, 1]),
    ],
)
def test_an_act_over_real_sockets(
    rig: Rig, fault: dict[str, object], sent: list[int], wanted: list[int]
) -> None:
    process = rig.start(fault)
    for number in sent:
        rig.alice.send(esp(number), rig.wire)
    assert [octets[7] for octets in rig.target.octets(len(wanted))] == wanted
    # what comes last shows that nothing else was on its way
    rig.alice.send(KEEPALIVE, rig.wire)
    assert rig.target.receive()[0] == KEEPALIVE
    assert process.wait_for("wire_fault")["act"] == fault["act"]


def test_truncated_and_corrupted_ones_arrive_as_such(rig: Rig) -> None:
    rig.start(
        {"act": "truncate", "match": "IKE_SA_INIT", "octets": 20},
        {"act": "corrupt", "match": "ESP", "octet": -1, "mask": 1},
    )
    rig.alice.send(INIT_REQUEST, rig.wire)
    rig.alice.send(esp(1), rig.wire)
    assert rig.target.octets(2) == [INIT_REQUEST[:20], esp(1)[:-1] + b"\1"]


def test_a_downgraded_offer_arrives(rig: Rig) -> None:
    rig.start({"act": "downgrade"})
    rig.alice.send(GCM_OFFER, rig.wire)
    assert rig.target.receive()[0] == INIT_REQUEST


def test_reflected_ones_come_from_where_answers_are_expected(rig: Rig) -> None:
    rig.start({"act": "reflect", "match": "IKE_SA_INIT"})
    rig.alice.send(INIT_REQUEST, rig.wire)
    octets, outside = rig.target.receive()
    assert octets == INIT_REQUEST
    assert rig.alice.receive() == (INIT_REQUEST, rig.wire)
    rig.target.send(INIT_RESPONSE, outside)
    assert rig.target.receive() == (INIT_RESPONSE, outside)


def test_a_rebound_initiator_has_another_port_and_answers_to_the_old_one_are_lost(rig: Rig) -> None:
    process = rig.start({"act": "rebind", "match": "datagram 2 from alice"})
    rig.alice.send(esp(1), rig.wire)
    rig.bob.send(esp(10), rig.wire)
    before = dict(rig.target.receive() for _ in range(2))
    rig.alice.send(esp(2), rig.wire)
    rig.bob.send(esp(11), rig.wire)
    after = dict(rig.target.receive() for _ in range(2))
    assert after[esp(2)] != before[esp(1)]
    assert after[esp(11)] == before[esp(10)]
    rig.target.send(b"lost", before[esp(1)])
    rig.target.send(b"found", after[esp(2)])
    assert rig.alice.receive() == (b"found", rig.wire)
    told = process.wait_for("wire_rebound")
    assert told["source"] == "alice"
    assert (told["old"], told["new"]) == ("{}:{}".format(*before[esp(1)]), "{}:{}".format(*after[esp(2)]))


def test_ports_are_kept_apart(rig: Rig) -> None:
    other = Peer(rig.target.address[0], PORT + 1)
    try:
        rig.start(ports=[PORT, PORT + 1], profile="rfc7296")
        rig.alice.send(binary(34, 8, 0), (rig.wire[0], PORT))
        rig.alice.send(bytes(4) + binary(35, 8, 1), (rig.wire[0], PORT + 1))
        _, first = rig.target.receive()
        octets, second = other.receive()
        assert octets == bytes(4) + binary(35, 8, 1)
        assert first != second
        other.send(b"answer", second)
        assert rig.alice.receive() == (b"answer", (rig.wire[0], PORT + 1))
    finally:
        other.close()


def test_an_unknown_source_is_named_by_its_address(rig: Rig) -> None:
    process = rig.start({"act": "drop", "match": f"any from {rig.prefix}.9", "times": 1})
    stranger = rig.peer(9)
    stranger.send(esp(1), rig.wire)
    stranger.send(esp(2), rig.wire)
    assert rig.target.receive()[0] == esp(2)
    assert process.wait_for("wire_fault")["source"] == f"{rig.prefix}.9"


def test_names_are_looked_up_before_the_first_datagram_is_judged(rig: Rig) -> None:
    process = rig.start(
        {"act": "drop", "match": "any from localhost"},
        listen={"address": rig.wire[0]},
        nodes={"localhost": None, "no-such-name.invalid": None},
    )
    local = Peer("127.0.0.1")
    try:
        local.send(esp(1), rig.wire)
        rig.alice.send(esp(2), rig.wire)
        assert rig.target.receive()[0] == esp(2)
        assert process.wait_for("wire_fault")["source"] == "localhost"
    finally:
        local.close()


def test_a_target_by_name_is_found_and_what_came_before_waits(rig: Rig) -> None:
    server = Peer("127.0.0.1", 0)
    try:
        port = server.address[1]
        process = rig.start(target={"name": "server", "address": "localhost"}, ports=[port])
        rig.alice.send(esp(1), (rig.wire[0], port))
        assert server.receive()[0] == esp(1)
        assert process.wait_for("wire_target_found")["address"] == "127.0.0.1"
    finally:
        server.close()


def test_a_target_that_has_no_address_yet_is_told(rig: Rig) -> None:
    process = rig.start(target={"name": "server", "address": "no-such-name.invalid"})
    missing = process.wait_for("wire_target_missing")
    assert missing["target"] == "server"
    assert "no-such-name.invalid" in missing["detail"]
    assert rig.ask("show")["target"] == {"name": "server", "address": None}
    for number in range(300):
        rig.alice.send(esp(number), rig.wire)
    assert process.stop(signal.SIGTERM) == 0


def test_mappings_are_bounded_and_the_longest_unused_goes(rig: Rig) -> None:
    rig.start()
    first = rig.peer(5)
    first.send(esp(1), rig.wire)
    _, outside = rig.target.receive()
    others = [rig.peer(6) for _ in range(MAX_MAPPINGS)]
    for other in others:
        other.send(esp(2), rig.wire)
        rig.target.receive()
    shown = rig.ask("show")
    assert (len(shown["mappings"]), shown["evicted"]) == (MAX_MAPPINGS, 1)
    first.send(esp(3), rig.wire)
    octets, again = rig.target.receive()
    assert octets == esp(3)
    assert again != outside


def test_a_target_that_is_not_there_harms_nobody(rig: Rig) -> None:
    host, port = rig.target.address
    process = rig.start()
    rig.target.close()
    rig.alice.send(esp(1), rig.wire)
    # the answer to a later request shows that the relay has looked at what came before
    while not (shown := rig.ask("show"))["errors"]:
        rig.alice.send(esp(2), rig.wire)
    assert set(shown["errors"]) == {"ECONNREFUSED"}
    back = Peer(host, port)
    try:
        rig.alice.send(esp(3), rig.wire)
        while back.receive()[0] != esp(3):
            pass
    finally:
        back.close()
    rig.stop(process)


def test_sigterm_sends_what_is_held_back(rig: Rig) -> None:
    process = rig.start({"act": "delay", "match": "ESP sequence 1", "seconds": 300})
    rig.alice.send(esp(1), rig.wire)
    process.wait_for("wire_fault")
    assert rig.ask("show")["held"] == 1
    assert process.stop(signal.SIGTERM) == 0
    assert rig.target.receive()[0] == esp(1)
    process.wait_for("wire_stopped", relayed=1, faults=1)


def test_sigint_ends_it_as_well(rig: Rig) -> None:
    assert rig.start(control="", capture="").stop(signal.SIGINT) == 0
    assert not rig.capture.exists()


def test_a_reader_that_went_away_does_not_stop_it(rig: Rig) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WIRE_CONFIG": json.dumps(rig.config(DROP_FIRST))}
    command = [sys.executable, "-m", "lab.wire", "relay"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            while b"wire_ready" not in process.stdout.readline():
                pass
            process.stdout.close()
            for number in (1, 2, 1, 3):
                rig.alice.send(esp(number), rig.wire)
            assert rig.target.octets(2) == [esp(2), esp(3)]
        finally:
            process.terminate()
        assert process.wait(PATIENCE) == 0


FAILURES = [
    ({"WIRE_CONFIG": ""}, 2, "WIRE_CONFIG: is empty"),
    ({"WIRE_CONFIG": "{"}, 2, "WIRE_CONFIG: no JSON"),
    ({"WIRE_CONFIG": '{"target": {"address": "::1"}}'}, 2, "target: address: ::1 is no IPv4 address"),
]


@pytest.mark.parametrize(("environment", "code", "says"), FAILURES)
def test_a_bad_configuration_is_told_and_ends_it(
    rig: Rig, environment: dict[str, str], code: int, says: str
) -> None:
    process = rig.spawn("relay", **environment)
    assert process.wait() == code
    assert says in process.wait_for("wire_failed", code=code)["detail"]


def test_a_configuration_from_a_file(rig: Rig) -> None:
    path = rig.directory / "wire.json"
    process = rig.spawn("relay", "--config", str(path))
    assert process.wait() == 4
    assert process.wait_for("wire_failed")["detail"] == f"{path}: No such file or directory"
    path.write_text(json.dumps(rig.config()), encoding="utf-8")
    process = rig.spawn("relay", "--config", str(path))
    process.wait_for("wire_ready")
    rig.stop(process)


def test_what_the_environment_refuses_is_named(rig: Rig) -> None:
    taken = Peer(*rig.wire)
    try:
        process = rig.spawn("relay", WIRE_CONFIG=json.dumps(rig.config()))
        assert process.wait() == 4
        told = process.wait_for("wire_failed", code=4)["detail"]
        assert told == f"UDP {rig.wire[0]}, port {PORT}: Address already in use"
    finally:
        taken.close()
    for key in ("capture", "control"):
        path = str(rig.directory / "nowhere" / "x")
        process = rig.spawn("relay", WIRE_CONFIG=json.dumps(rig.config(**{key: path})))
        assert process.wait() == 4
        assert process.wait_for("wire_failed")["detail"] == f"{path}: No such file or directory"


def test_a_target_that_is_the_wire_itself_is_refused(rig: Rig) -> None:
    for listen, target in ((rig.wire[0], rig.wire[0]), ("0.0.0.0", "127.0.0.1")):
        config = rig.config(
            listen={"address": listen}, target={"name": "x", "address": target}, ports=[PORT + 77]
        )
        process = rig.spawn("relay", WIRE_CONFIG=json.dumps(config))
        assert process.wait() == 2
        assert f"{target} is the wire's own" in process.wait_for("wire_failed")["detail"]


def test_a_file_that_takes_no_more_ends_the_capture_and_not_the_relay(rig: Rig) -> None:
    script = f"ulimit -f 4; exec {sys.executable} -m lab.wire relay"
    process = Process(["sh", "-c", script], rig.directory, {"WIRE_CONFIG": json.dumps(rig.config())})
    try:
        process.wait_for("wire_ready")
        for number in range(1, 11):
            rig.alice.send(esp(number, size=1000), rig.wire)
        assert rig.target.octets(10) == [esp(number, size=1000) for number in range(1, 11)]
        capture = rig.stop(process)
        stopped = process.wait_for("capture_stopped")
        assert 0 < stopped["packets"] < 10
        assert stopped["packets"] + stopped["lost"] == 10
        assert len(capture.packets) == stopped["packets"]
        assert "File too large: the capture ends here" in process.errors
    finally:
        process.close()


def test_a_full_disk_is_told_at_the_start(rig: Rig) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    process = rig.spawn("relay", WIRE_CONFIG=json.dumps(rig.config(capture="/dev/full")))
    assert process.wait() == 4
    assert process.wait_for("wire_failed")["detail"] == "/dev/full: No space left on device"


def test_a_bug_is_loud_and_ends_it(rig: Rig) -> None:
    code = (
        "import sys; from lab.wire.engine import Engine; from lab.wire.cli import main\n"
        "def broken(*_): raise ZeroDivisionError('planted')\n"
        "Engine.arrive = broken\n"
        "sys.exit(main(['relay']))"
    )
    process = Process([sys.executable, "-c", code], rig.directory, {"WIRE_CONFIG": json.dumps(rig.config())})
    try:
        process.wait_for("wire_ready")
        rig.alice.send(esp(1), rig.wire)
        assert process.wait() == 70
        assert process.wait_for("wire_failed")["detail"] == "bug: ZeroDivisionError: planted"
        assert "Traceback" in process.errors
    finally:
        process.close()


def test_the_capture_is_whole_at_any_moment(rig: Rig) -> None:
    process = rig.start()
    rig.alice.send(esp(1), rig.wire)
    rig.target.receive()
    process.process.kill()
    process.wait()
    (packet,) = read(rig.capture.read_bytes()).packets
    assert ends(packet)[2] == esp(1)
