"""Sniffers, floods and IPv6 in network namespaces of their own."""

import json
import os
import struct
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from lab.wire.identity import read_asn1
from lab.wire.pcapng import LINK_ETHERNET, LINK_RAW, Capture, read
from tests.lab.conftest import why_no_namespaces
from tests.node.conftest import ROOT
from tests.wire import island
from tests.wire.island import HOSTS, PORT, SOURCES

IPV4, ARP = b"\x08\x00", b"\x08\x06"


def scene(name: str, directory: Path) -> dict[str, Any]:
    """What a scene printed."""
    if reason := why_no_namespaces():
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-m", "tests.wire.island", name, str(directory)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == island.REFUSED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def sniff(*arguments: str) -> dict[str, Any]:
    """What a sniffer that cannot begin tells last."""
    done = subprocess.run(
        [sys.executable, "-m", "lab.wire", "sniff", "--vantage", "x", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["event"] == "wire_failed"
    assert isinstance(told, dict)
    return told


def captured(path: str) -> Capture:
    return read(Path(path).read_bytes())


def test_a_sniffer_sees_its_interface_whole_and_nothing_else(tmp_path: Path) -> None:
    found = scene("sniff", tmp_path)
    assert found["codes"] == [0, 0]
    capture = captured(found["files"][0])
    assert [(i.name, i.link) for i in capture.interfaces] == [("eth0", LINK_ETHERNET)]
    assert capture.comment == "vantage target's eth0, eth0"
    frames = [packet.octets for packet in capture.packets]
    udp = [frame for frame in frames if frame[12:14] == IPV4 and frame[23] == 17]
    assert [frame[42:] for frame in udp] == [
        text for n in range(50) for text in (b"to target %d" % n, b"to alice %d" % n)
    ]
    there, back = udp[:2]
    assert struct.unpack(">HH", there[34:38]) == (found["port"], PORT)
    assert struct.unpack(">HH", back[34:38]) == (PORT, found["port"])
    # every protocol: the addresses of the link had to be found
    assert any(frame[12:14] == ARP for frame in frames)
    moments = [packet.moment_ns for packet in capture.packets]
    before, after = found["between"]
    assert all(before < moment < after for moment in moments if moment >= before)
    assert moments == sorted(moments)
    assert len({moment % 1000 for moment in moments}) > 10
    told = found["events"][0]
    assert [event["event"] for event in told] == ["capture_started", "capture_stopped"]
    assert told[0]["vantage"] == "target's eth0"
    assert told[0]["node"] == "target"
    assert (told[1]["packets"], told[1]["lost"]) == (len(frames), 0)


def test_on_loopback_every_packet_is_there_once(tmp_path: Path) -> None:
    found = scene("sniff", tmp_path)
    (packet,) = captured(found["files"][1]).packets
    assert packet.octets[42:] == b"inside"


def test_a_sniffer_that_is_started_again_goes_on_with_its_file(tmp_path: Path) -> None:
    found = scene("again", tmp_path)
    packets = captured(found["file"]).packets
    told = [events[-1] for events in found["events"]]
    assert [event["event"] for event in told] == ["capture_stopped"] * 3
    # the block that was cut off is one of them
    assert len(packets) == sum(event["packets"] for event in told) - 1
    texts = [packet.octets[42:] for packet in packets]
    assert texts.index(b"life 0") < texts.index(b"life 2")


def test_a_sniffer_whose_interface_goes_says_so(tmp_path: Path) -> None:
    found = scene("gone", tmp_path)
    assert found["code"] == 4
    assert [event["event"] for event in found["events"]] == [
        "capture_started",
        "capture_stopped",
        "wire_failed",
    ]
    assert found["events"][-1]["detail"] == "the interface is gone: Network is down"


def test_what_the_kernel_had_no_room_for_is_counted(tmp_path: Path) -> None:
    found = scene("overrun", tmp_path)
    assert found["code"] == 0
    stopped = found["events"][-1]
    capture = captured(found["file"])
    assert stopped["event"] == "capture_stopped"
    assert stopped["lost"] > 0
    assert stopped["packets"] == len(capture.packets)
    udp = [packet for packet in capture.packets if packet.octets[12:14] == IPV4]
    # ARP and the like come on top
    assert stopped["packets"] + stopped["lost"] >= 20_001
    assert len(udp) > 1


def test_without_the_right_it_is_named(tmp_path: Path) -> None:
    found = scene("no_right", tmp_path)
    assert found["codes"] == [4, 4]
    details = [event["detail"] for event in found["events"] if event["event"] == "wire_failed"]
    assert details == [
        "a flood from other addresses needs the capability NET_RAW: add it to the wire's",
        "a sniffer needs the capability NET_RAW: add it to its container",
    ]
    assert not found["exists"]


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: a sniffer needs NET_RAW")
    other = tmp_path / "x.pcapng"
    other.write_text("mine")
    event = sniff("--interface", "lo", "--out", str(other))
    assert event["detail"] == (
        f"{other}: exists and is not this sniffer's (another capture: it begins otherwise): name a new file"
    )
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("interface", "out", "says"),
    [
        ("nosuch0", "x.pcapng", "interface nosuch0: no interface with this name"),
        ("lo", "nowhere/x.pcapng", "nowhere/x.pcapng: No such file or directory"),
    ],
)
def test_what_a_sniffer_cannot_have_is_named(interface: str, out: str, says: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: a sniffer needs NET_RAW")
    told = sniff("--interface", interface, "--out", str(tmp_path / out))
    assert told["detail"].endswith(says)


def test_a_flood_over_a_link_comes_from_addresses_that_are_nobodys(tmp_path: Path) -> None:
    found = scene("flood", tmp_path)
    assert found["code"] == 0
    sources = {source for _, source in found["flooded"]}
    assert len(sources) > 80
    network = ip_network(SOURCES)
    assert all(ip_address(source) in network for source in sources)
    assert sources.isdisjoint({*HOSTS.values(), "172.28.9.0", "172.28.9.1", "172.28.9.255"})
    assert {str(read_asn1(bytes.fromhex(octets), PORT)) for octets, _ in found["flooded"]} == {
        "IKE_SA_INIT request 0"
    }
    # nobody can know who answered
    assert (found["done"]["count"], found["done"]["answers"]) == (200, None)


def test_everything_over_ipv6(tmp_path: Path) -> None:
    found = scene("ipv6", tmp_path)
    assert found["code"] == 0
    assert found["there"] == "0102030400000001"
    assert found["outside"] == "fd00::1"
    assert found["back"] == [b"back".hex(), "fd00::1", PORT]
    spoofed = [(octets, source) for octets, source in found["flooded"] if source != "fd00::1"]
    assert len(spoofed) == 20
    assert all(ip_address(source) in ip_network("fd00:1::/64") for _, source in spoofed)
    capture = captured(found["capture"])
    assert [i.link for i in capture.interfaces] == [LINK_RAW]
    first = capture.packets[0].octets
    assert (first[0] >> 4, first[8:24], first[24:40]) == (
        6,
        ip_address("fd00::3").packed,
        ip_address("fd00::2").packed,
    )
    assert len(capture.packets) == 23
