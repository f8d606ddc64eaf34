"""bench/dataplane: what tools say is read right, ratios are of one round, nothing outlives a run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bench.dataplane import __main__ as command
from bench.dataplane import peers, plot, readings, report
from bench.dataplane.figures import FIGURES, MEASUREMENTS, USUAL, Floor, floor, lengths, turns
from bench.dataplane.inside import Order
from bench.dataplane.peers import OURS, PEERS, Cipher, Node, StrongSwan, chosen, compared
from bench.dataplane.place import End, Failed, processes
from bench.dataplane.place import command as run
from bench.dataplane.report import Found, Sample, Spread
from node.config import Sources, load

# -- readings


def _iperf(end: dict[str, object], **more: object) -> str:
    return json.dumps({"start": {"tcp_mss_default": 1348}, "intervals": [], "end": end, **more})


_THERE = {
    "sum_sent": {"bytes": 3000, "seconds": 2.0, "retransmits": 4},
    "sum_received": {"bytes": 2500, "seconds": 2.0, "bits_per_second": 10000.5},
}
_BACK = {
    "sum_sent_bidir_reverse": {"bytes": 300, "retransmits": 3},
    "sum_received_bidir_reverse": {"bytes": 200, "bits_per_second": 500.0},
}


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (_THERE, readings.Tcp(10000.5, 3000, 2500, 1348, 4)),
        ({**_THERE, **_BACK}, readings.Tcp(10500.5, 3300, 2700, 1348, 7)),
    ],
    ids=["one way", "both ways"],
)
def test_a_report_of_tcp(end: dict[str, object], expected: readings.Tcp) -> None:
    assert readings.tcp(_iperf(end)) == expected


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ({"sum": {"packets": 100, "lost_packets": 40, "seconds": 2.0}}, 30.0),
        (
            {
                "sum": {"packets": 110, "lost_packets": 40, "seconds": 2.0},
                "sum_received": {"packets": 100, "lost_packets": 40, "seconds": 1.5},
            },
            40.0,
        ),
        # What came twice or late makes iperf3 count more losses than packets.
        ({"sum": {"packets": 1, "lost_packets": 3, "seconds": 2.0}}, 0.0),
    ],
    ids=["old iperf3", "receiver told apart", "more lost than sent"],
)
def test_a_report_of_udp(end: dict[str, object], expected: float) -> None:
    assert readings.udp(_iperf(end)) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no report"),
        ("iperf3: error - busy", "no report"),
        ("[]", "no report"),
        ("{}", "no report"),
        (_iperf({}, error="unable to connect to server: No route to host"), "No route to host"),
        (_iperf({}), "without 'sum"),
    ],
)
@pytest.mark.parametrize("read", [readings.tcp, readings.udp], ids=["tcp", "udp"])
def test_no_report_is_an_error(read: object, text: str, problem: str) -> None:
    assert callable(read)
    with pytest.raises(ValueError, match=problem):
        read(text)


def test_a_report_of_no_time_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="UDP"):
        readings.udp(_iperf({"sum": {"packets": 1, "lost_packets": 0, "seconds": 0}}))


_PING = """PING 10.5.0.2 (10.5.0.2) 56(84) bytes of data.
64 bytes from 10.5.0.2: icmp_seq=1 ttl=64 time=0.214 ms
64 bytes from 10.5.0.2: icmp_seq=2 ttl=64 time=12 ms

--- 10.5.0.2 ping statistics ---
2 packets transmitted, 2 received, 0% packet loss, time 64ms
rtt min/avg/max/mdev = 0.050/0.083/0.214/0.065 ms
"""


def test_pings() -> None:
    assert readings.ping(_PING) == (0.214, 12.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no answer"),
        ("2 packets transmitted, 0 received, 100% packet loss, time 64ms\n", "no answer"),
        (_PING.replace("2 packets transmitted", "3 packets transmitted"), "2 answers to 3"),
    ],
)
def test_pings_without_an_answer(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        readings.ping(text)


_SAS = """bench: #1, ESTABLISHED, IKEv2, 3c8c3ac5d4ac4d35_i* 1bfc7a3d1d2b5a50_r
  local  'a' @ 10.99.0.1[4500]
  AES_GCM_16-256/PRF_HMAC_SHA2_256/CURVE_25519
  net: #1, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:{}
    in  c5d5b4a0,      0 bytes,     0 packets
"""


@pytest.mark.parametrize("cipher", Cipher, ids=lambda one: one.name)
def test_the_suite_of_a_child_sa(cipher: Cipher) -> None:
    assert readings.child_suite(_SAS.format(cipher.told)) == cipher.told


@pytest.mark.parametrize(
    "text",
    ["", _SAS.format("X").replace("INSTALLED", "CREATED"), _SAS.format("X") * 2],
    ids=["no SA", "not installed", "two"],
)
def test_not_one_child_sa(text: str) -> None:
    with pytest.raises(ValueError, match="not one"):
        readings.child_suite(text)


def _stat(pid: int, parent: int, session: int, *ticks: int, name: str = "python3") -> str:
    before = f"{pid} ({name}) S {parent} {session} {session} 0 -1 4194304 1 2 3 4"
    return f"{before} {' '.join(map(str, ticks or (1, 2, 3, 4)))} 20 0 1 0 5 6"


@pytest.mark.parametrize("name", ["python3", "a b", "x) S 1 1 (y"])
def test_a_process(name: str) -> None:
    assert readings.process(_stat(7, 3, 5, name=name)) == readings.Process(7, 3, 5, 10)


@pytest.mark.parametrize("text", ["", "7 (x) S", "x (y) " + "1 " * 20])
def test_what_is_no_process(text: str) -> None:
    with pytest.raises(ValueError, match="stat"):
        readings.process(text)


def test_a_family_is_who_descends_and_who_is_of_the_session() -> None:
    every = [
        readings.process(_stat(*one))
        for one in [(1, 0, 1), (10, 1, 10), (11, 10, 10), (12, 11, 12), (13, 1, 10), (14, 1, 14)]
    ]
    assert readings.family(every, 10) == {10, 11, 12, 13}


def test_our_own_process_and_its_time() -> None:
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    (own,) = (one for one in processes() if one.pid == os.getpid())
    assert own.parent == os.getppid()
    assert own.ticks / os.sysconf("SC_CLK_TCK") > 0.03


_DEVICES = """Inter-|   Receive                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo:       1       2    0    0    0     0          0         0        3       4    0    0    0     0
  eth0:       1       2    0    0    0     0          0         0        3       5    0    0    0     0
ipsec0:123456789012345 2  0    0    0     0          0         0        3      60    0    0    0     0
"""


def test_memory_of_a_process() -> None:
    text = "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:   4000 kB\nPss:   1500 kB\nPss_Dirty:   900 kB\n"
    assert readings.memory(text) == 1500 * 1024
    with pytest.raises(ValueError, match="smaps_rollup"):
        readings.memory("Rss: 4000 kB\n")


def test_packets_that_devices_have_sent() -> None:
    assert readings.sent_packets(_DEVICES, frozenset({"lo", "eth0"})) == 60
    assert readings.sent_packets(_DEVICES, frozenset()) == 69
    with pytest.raises(ValueError, match="/proc/net/dev"):
        readings.sent_packets(_DEVICES + "x: 1\n", frozenset())


# -- peers


def test_names_choose_peers() -> None:
    assert chosen(()) == PEERS
    assert [peer.name for peer in chosen(("veth", "node"))] == ["node-gcm", "node-chacha", "node-cbc", "veth"]
    with pytest.raises(ValueError, match="no peer nod;"):
        chosen(("nod",))


def test_another_tree_is_measured_with_the_same_ciphers(tmp_path: Path) -> None:
    found = chosen(("node-cbc", "veth"), (("before", str(tmp_path)),))
    assert [peer.name for peer in found] == ["node-cbc", "before-cbc", "veth"]
    assert [(a.name, b.name) for a, b in compared(found)] == [("node-cbc", "before-cbc")]


def test_ours_is_held_against_the_same_cipher() -> None:
    pairs = [(ours.name, other.name) for ours, other in compared(PEERS)]
    assert pairs == [
        ("node-gcm", "strongswan-gcm"),
        ("node-gcm", "wireguard-go"),
        ("node-gcm", "openvpn"),
        ("node-gcm", "veth"),
        ("node-chacha", "strongswan-chacha"),
        ("node-chacha", "wireguard-go"),
        ("node-cbc", "strongswan-cbc"),
        ("mixed-to", "strongswan-gcm"),
        ("mixed-from", "strongswan-gcm"),
    ]


def test_what_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    monkeypatch.setattr(peers, "PLUGINS", ("/nowhere",))
    told = {peer.name: peer.missing() for peer in PEERS}
    assert told["strongswan-gcm"] == (
        "packages charon-systemd strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins"
    )
    assert "IPSECLAB_WIREGUARD_GO" in told["wireguard-go"]
    assert told["openvpn"] == "package openvpn"
    assert told["veth"] == told["node-gcm"] == ""


def _ends(directory: Path) -> tuple[End, End]:
    a, b = (End(x, f"t.{x}", f"10.99.0.{n}", f"10.5.0.{n}", directory) for n, x in enumerate("ab", 1))
    return a, b


@pytest.mark.parametrize("peer", OURS, ids=lambda one: one.name)
def test_the_node_takes_its_configuration(tmp_path: Path, peer: Node) -> None:
    a, b = _ends(tmp_path)
    assert peer.cipher is not None
    for role, end, far in (("initiator", a, b), ("responder", b, a)):
        path = tmp_path / f"{role}.yaml"
        path.write_text(yaml.safe_dump(peer.config(role, end, far, tmp_path)))
        config = load(Sources(str(path), {}))
        assert (config.role, config.profile, config.tun.mtu) == (role, "rfc7296", peers.MTU)
        assert config.child.proposals == (peer.cipher.proposal,)


def test_settings_of_the_environment_are_for_our_own_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_CHILD__REPLAY_WINDOW", "64")
    (plain,) = (one for one in chosen(("node-gcm",), (("plain", str(peers.PROJECT)),)) if one not in OURS)
    assert isinstance(plain, Node)
    assert plain.unset()[-2:] == ("-u", "NODE_CHILD__REPLAY_WINDOW")
    assert OURS[0].unset() == ()
    assert [(a.name, b.name) for a, b in compared((OURS[0], plain))] == [("node-gcm", "plain-gcm")]


def test_what_strongswan_is_told(tmp_path: Path) -> None:
    (gcm,) = (peer for peer in PEERS if peer.name == "strongswan-gcm")
    assert isinstance(gcm, StrongSwan)
    assert gcm.connection(*_ends(tmp_path)).esp == ("aes256gcm16",)
    told = peers.strongswan_conf(Path("/x/vici"))
    assert told.index("kernel-libipsec") < told.index("kernel-netlink")
    assert "socket = unix:///x/vici" in told


def test_a_wireguard_that_says_no_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    code = (
        "import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
        "c=s.accept()[0]; c.recv(4096); c.sendall(b'errno=-22\\n\\n'); c.close()"
    )
    with subprocess.Popen((sys.executable, "-c", code, str(path))) as process:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(Failed, match="errno=-22"):
            peers.configure_wireguard(path, bytes(32), bytes(32), _ends(tmp_path)[1])
    assert process.returncode == 0


def test_a_command_that_fails_says_what_it_said() -> None:
    with pytest.raises(Failed, match=r"x: exit code 3: a / b$"):
        run(("sh", "-c", "echo a >&2; echo b >&2; exit 3"), called="x")
    with pytest.raises(Failed, match=r"no end after 0\.1 s"):
        run(("sleep", "5"), 0.1)


# -- figures and report


@pytest.mark.parametrize("cipher", Cipher, ids=lambda one: one.name)
def test_the_floor_of_a_cipher(cipher: Cipher) -> None:
    found = floor(cipher)
    assert set(found.seal) == set(found.open) == {1400, 52}
    # Microseconds, of 1,400 octets as well as of 52, on the slowest machine too.
    assert all(1e-8 < one < 1e-3 for one in (*found.seal.values(), *found.open.values()))
    assert found.seal[1400] > found.seal[52] * 0.8


def test_cpu_time_as_a_multiple_of_the_cipher() -> None:
    least = Floor(seal={1400: 2.0, 52: 1.0}, open={1400: 4.0, 52: 0.5})
    tcp = readings.Tcp(0, sent=10_000, received=9_000, segment=1000, retransmits=2)
    # Sender: 12 segments sealed, 6 acknowledgements opened; receiver: 9 opened, 6 sealed.
    assert least.ratios(tcp, 6, (54.0, 84.0)) == (54.0 / (12 * 2.0 + 6 * 0.5), 84.0 / (9 * 4.0 + 6 * 1.0))


def test_all_peers_take_their_turn_in_each_measurement() -> None:
    found = list(turns(2, ("tcp1", "ping"), ["x", "y"]))
    assert found[:4] == [(1, "tcp1", "x"), (1, "tcp1", "y"), (1, "ping", "x"), (1, "ping", "y")]
    assert found[4:] == [(2, name, peer) for _, name, peer in found[:4]]


def _found() -> Found:
    found = Found()
    for name in ("node-gcm", "veth"):
        found.take({"peer": {"name": name, "title": f"{name} <&|>", "version": "1"}})
    for number, ours, other in ((1, 100.0, 50.0), (2, 30.0, 10.0), (3, 80.0, 80.0)):
        found.take({"load": {"round": number, "load": 0.5}})
        for peer, value in (("node-gcm", ours), ("veth", other)):
            found.take({"sample": {"round": number, "peer": peer, "figure": "tcp1", "value": value}})
    found.take({"sample": {"round": 1, "peer": "node-gcm", "figure": "ping_median", "value": 0.0123}})
    found.take({"skipped": {"peer": "openvpn", "why": "not installed: package openvpn"}})
    return found


def test_medians_and_ratios_inside_a_round() -> None:
    found = _found()
    assert found.spread("node-gcm", "tcp1") == Spread(80.0, 30.0, 100.0, 3)
    # Not the ratio of the medians, which is 1.6.
    assert found.ratio("node-gcm", "veth", "tcp1") == Spread(2.0, 1.0, 3.0, 3)
    assert found.spread("veth", "ping_median") is found.ratio("node-gcm", "veth", "ping_median") is None


def test_a_round_that_one_of_both_has_not_counts_for_no_ratio() -> None:
    found = _found()
    found.samples = [one for one in found.samples if (one.peer, one.round) != ("veth", 2)]
    assert found.ratio("node-gcm", "veth", "tcp1") == Spread(1.5, 1.0, 2.0, 2)
    found.samples = [replace(one, value=0.0) if one.peer == "veth" else one for one in found.samples]
    assert found.ratio("node-gcm", "veth", "tcp1") is None


@pytest.mark.parametrize(
    ("spread", "digits", "told"),
    [
        (Spread(80.4, 30.0, 100.0, 3), 0, "80 [30 .. 100]"),
        (Spread(1.25, 1.0, 2.0, 3), 2, "1.25 [1.00 .. 2.00]"),
        (Spread(0.0191, 0.018, 0.02, 3), 2, "0.019 [0.018 .. 0.020]"),
        (Spread(0.0, 0.0, 0.0, 1), 1, "0.0 [0.0 .. 0.0]"),
    ],
)
def test_small_medians_have_more_digits(spread: Spread, digits: int, told: str) -> None:
    assert spread.told(digits) == told


def test_the_report_for_people_and_for_programs() -> None:
    found, pairs = _found(), [("node-gcm", "veth"), ("node-gcm", "openvpn")]
    text = report.markdown(found, pairs, {"kernel": "Linux 1"}, "3 rounds")
    assert "* left out: openvpn, not installed: package openvpn" in text
    assert "* load when the rounds began: 0.5, 0.5, 0.5" in text
    assert "| node-gcm <&/> | 80 [30 .. 100] | 0.012 [0.012 .. 0.012] |" in text
    assert "| node-gcm / veth | 2.00 [1.00 .. 3.00] | - |" in text
    assert "node-gcm / openvpn" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {4}
    document = json.loads(json.dumps(report.document(found, pairs, {}, {"rounds": 3})))
    assert document["samples"][0] == {"round": 1, "peer": "node-gcm", "figure": "tcp1", "value": 100.0}
    assert document["ratios"] == [
        {
            "ours": "node-gcm",
            "other": "veth",
            "figure": "tcp1",
            "median": 2.0,
            "low": 1.0,
            "high": 3.0,
            "rounds": 3,
        }
    ]


def test_a_line_of_no_known_kind_is_a_bug() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Found().take({"nonsense": {}})


def test_the_machine_has_facts() -> None:
    facts = report.machine("cubic")
    assert facts["tcp"] == "cubic"
    assert all(facts.values())


# -- picture


_SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_is_well_formed_and_has_a_dot_for_each_median() -> None:
    found = _found()
    tree = ElementTree.fromstring(plot.render(found, "Ours & <others>", ("a > b",)))
    assert len(tree.findall(f".//{_SVG}circle")) == 3
    words = [element.text for element in tree.iter(f"{_SVG}text")]
    assert {"Ours & <others>", "a > b", "node-gcm", "veth", "80"} <= set(words)
    width, height = float(tree.attrib["width"]), float(tree.attrib["height"])
    for element in tree.iter(f"{_SVG}text"):
        assert 0 <= float(element.attrib["x"]) <= width
        assert 0 <= float(element.attrib["y"]) <= height


@pytest.mark.parametrize("values", [[0.0], [0.0, 5.0], [5.0], [1e-4, 1e7]], ids=str)
def test_a_picture_of_what_a_logarithm_does_not_like(values: list[float]) -> None:
    found = _found()
    found.samples = [Sample(n, "veth", "pps", value) for n, value in enumerate(values, 1)]
    tree = ElementTree.fromstring(plot.render(found, "x"))
    assert len(tree.findall(f".//{_SVG}circle")) == int(min(values) > 0)


def test_an_axis_holds_all_values_between_its_marks() -> None:
    axis = plot.Axis([30.0, 700.0])
    assert axis.marks == [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
    assert axis.at(20.0) < axis.at(30.0) < axis.at(50.0) < axis.at(700.0) < axis.at(1000.0)
    wide = plot.Axis([0.03, 7e5])
    assert all(mark in (0.1, 1, 10, 100, 1e3, 1e4, 1e5, 1e6) for mark in wide.marks)
    assert axis.at(20.0) == wide.at(0.02) < wide.at(0.03) < wide.at(7e5) < wide.at(1e6) == axis.at(1000.0)


def test_every_peer_has_a_colour_and_further_nodes_their_own() -> None:
    assert len({plot.colour(peer.name) for peer in PEERS}) == 5
    assert plot.colour("before-gcm") not in {plot.colour(peer.name) for peer in PEERS}


# -- command


def test_the_default_is_bounded() -> None:
    order = Order((), USUAL, command.ROUNDS, command.SECONDS, "")
    assert command.estimate(len(PEERS), order) <= command.LIMIT <= 400
    assert set(lengths(1)) == set(MEASUREMENTS)
    assert set(FIGURES) >= set(report.COMPARED)


def test_an_order_survives_its_text() -> None:
    order = Order(("a",), ("tcp1",), 1, 2, "/d", (("before", "/t"),), "cubic")
    assert Order.read(order.text()) == order


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("--peers nobody", "no peer nobody"),
        ("--rounds 0", "1 at least"),
        ("--rounds 1000", "say --limit"),
        ("--node before=/nowhere", "no tree of this project"),
        ("--node veth=/nowhere", "no peer's name"),
        ("--json /nowhere/x.json", "no directory /nowhere"),
    ],
)
def test_what_cannot_be_asked_for(words: str, problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(words.split()) == command.USAGE
    assert problem in capsys.readouterr().err


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command.main(["--peers", "veth"]) == command.ENVIRONMENT
    assert "need root" in capsys.readouterr().err


def test_a_tool_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "ip" else f"/bin/{tool}")
    assert command.environment() == "not installed: packages iproute2"


# -- the real thing

_OBSTACLE = command.environment()
real = pytest.mark.skipif(bool(_OBSTACLE), reason=_OBSTACLE)


def _start(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "bench.dataplane", *words),
        cwd=peers.PROJECT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@real
@pytest.mark.root
@pytest.mark.tun
@pytest.mark.slow
def test_one_round_of_the_node_and_of_the_bare_pair(tmp_path: Path) -> None:
    asked = ("--peers", "node-gcm", "veth", "--figures", "tcp1", "ping", "--rounds", "1")
    files = ("--json", str(tmp_path / "x.json"), "--svg", str(tmp_path / "x.svg"))
    process = _start(*asked, *files, TMPDIR=str(tmp_path))
    out, prose = process.communicate(timeout=90)
    assert process.returncode == 0, prose
    found = json.loads((tmp_path / "x.json").read_text())
    values = {(one["peer"], one["figure"]): one["value"] for one in found["samples"]}
    assert values["veth", "tcp1"] > values["node-gcm", "tcp1"] > 1
    assert values["node-gcm", "ping_median"] > values["veth", "ping_median"] > 0
    # A node does all that the cipher does, and more.
    assert min(values["node-gcm", "cipher_a"], values["node-gcm", "cipher_b"]) > 1
    assert min(values["node-gcm", "memory_a"], values["node-gcm", "memory_b"]) > 10
    assert ("veth", "cpu_a") not in values
    assert "| node-gcm / veth |" in out
    ElementTree.parse(tmp_path / "x.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json", "x.svg"]


@real
@pytest.mark.root
def test_a_peer_that_does_not_start_is_told(tmp_path: Path) -> None:
    process = _start("--peers", "wireguard-go", "--rounds", "1", IPSECLAB_WIREGUARD_GO="/bin/false")
    _, prose = process.communicate(timeout=60)
    assert process.returncode == command.MISSED
    assert "wireguard-go: start failed: wireguard-go at a ended with 1" in prose


@real
@pytest.mark.root
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, command.INTERRUPTED),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_nothing_outlives_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    words = ("--peers", "veth", "--figures", "tcp1", "--rounds", "20")
    process = _start(*words, TMPDIR=str(tmp_path))
    assert process.stderr is not None
    started: frozenset[int] = frozenset()
    for line in process.stderr:
        if line.startswith("round 1"):
            started = readings.family(processes(), process.pid) - {process.pid}
            process.send_signal(number)
            break
    process.communicate(timeout=20)
    assert process.returncode == code
    # At least the leash, the first process of the namespaces, and what it measures with.
    assert len(started) >= 2
    deadline = time.monotonic() + 10
    while (left := started & {one.pid for one in processes()}) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left
    if number != signal.SIGKILL:
        assert not list(tmp_path.iterdir())


@real
@pytest.mark.root
def test_the_limit_ends_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    order = Order(("veth",), ("ping",), 1000, 1, str(tmp_path))
    assert command.collect(order, 0.3, Found()) == command.MISSED
    assert "--limit are over" in capsys.readouterr().err
