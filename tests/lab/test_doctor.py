"""The doctor: what it says of a good machine and of broken ones, and that it leaves nothing behind."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.backends.choose import NAMES as BACKEND_NAMES
from lab.console import Style
from lab.doctor import engine, examine, host, inside, kernel
from lab.doctor.findings import Finding, Level, fail, full, ok, short, warn, worst
from tests.lab.conftest import ROOT, Cli, why_no_namespaces

PLAIN = Style(False)


def by_probe(document: dict[str, list[dict[str, str]]]) -> dict[str, dict[str, str]]:
    return {finding["probe"]: finding for finding in document["findings"]}


def test_processes_need_little_and_the_document_fits_the_schema(cli: Cli) -> None:
    document = cli.json("doctor", "-b", "process")
    assert document["schema"] == "ipseclab/doctor/v1"
    found = by_probe(document)
    assert {"ports", "disk", "python"} <= set(found)
    assert "engine" not in found
    for finding in document["findings"]:
        good = finding["level"] == "ok"
        assert (finding["code"] is None) == good
        assert (finding["fix"] is None) == good


def test_no_engine_is_4_with_one_finding_of_it(cli: Cli) -> None:
    done = cli("doctor", "-b", "docker", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 4
    line = next(line for line in done.stdout.splitlines() if line.startswith("fail"))
    assert "E-ENGINE-DOWN" in line
    assert "--backend process" in done.stdout


@pytest.mark.parametrize("verb", [("up", "hello"), ("run", "hello")])
def test_the_head_of_a_failure_report_is_the_doctor(cli: Cli, verb: tuple[str, str]) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    done = cli(*verb, "-b", "docker", "-n", "doctor-test", **nowhere)
    assert done.returncode == 4
    lines = done.stderr.splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("  doctor"))
    assert "engine E-ENGINE-DOWN" in lines[head]
    assert lines[head + 1].startswith("  E-ENGINE-DOWN")
    assert any(line.startswith("error:") for line in lines[head + 1 :])


def test_a_taken_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.64.0.1", 0))
        port = other.getsockname()[1]
        assert inside.try_port(port, "127.64.0.1") == "EADDRINUSE"
        monkeypatch.setattr(inside, "PORTS", (8000, port))
        said = inside.try_port
        monkeypatch.setattr(inside, "try_port", lambda p, h: said(p, h) if p == port else "")
        (finding,) = host.ports(True)
    assert (finding.level, finding.code) == (Level.WARN, "E-PORT-TAKEN")
    assert str(port) in finding.found


def test_port_8000_decides_for_processes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "try_port", lambda port, _host: "EADDRINUSE" if port == 8000 else "")
    assert [finding.level for finding in host.ports(True)] == [Level.FAIL]
    assert [finding.level for finding in host.ports(False)] == [Level.WARN]


def test_a_full_disk_and_one_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IPSECLAB_HOME", str(tmp_path / "not" / "there" / "yet"))
    monkeypatch.setenv("IPSECLAB_RUNS", str(tmp_path))
    assert [finding.level for finding in host.disk()] == [Level.OK]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(host, "NEEDED_MIB", 1 << 40)
    assert [finding.code for finding in host.disk()] == ["E-DISK-FULL"]
    monkeypatch.setattr(host, "NEEDED_MIB", 0)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert [finding.code for finding in host.disk()] == ["E-DISK-WRITE"]


TUN = [
    ("open", "ENOENT", "E-TUN-DEVICE"),
    ("open", "EACCES", "E-TUN-PERM"),
    ("TUNSETIFF", "EPERM", "E-TUN-CAP"),
    ("TUNSETIFF", "", ""),
]


@pytest.mark.parametrize(("step", "error", "code"), TUN)
def test_what_tun_says_has_a_code(step: str, error: str, code: str) -> None:
    finding = kernel.tun_finding("tun", {"step": step, "error": error}, True, "here")
    assert finding.code == code
    assert finding.level is (Level.FAIL if code else Level.OK)
    assert bool(finding.fix) == bool(code)
    assert kernel.tun_finding("tun", {"step": step, "error": error}, False, "here").level is not Level.FAIL


OFFLOADS = [
    ({"error": "EPERM", "header": "", "offloads": ""}, []),
    ({"error": "", "header": "", "offloads": "TSO"}, [""]),
    ({"error": "", "header": "", "offloads": ""}, ["E-TUN-OFFLOAD"]),
    ({"error": "", "header": "EINVAL", "offloads": "TSO"}, ["E-TUN-OFFLOAD"]),
]


@pytest.mark.parametrize(("tried", "codes"), OFFLOADS)
def test_what_the_offloads_of_tun_say(tried: dict[str, str], codes: list[str]) -> None:
    assert [finding.code for finding in kernel.offload_finding("offloads", tried)] == codes


KERNEL = [
    (kernel.udp_finding("u", {"segment": "", "gro": ""}, "here"), ""),
    (kernel.udp_finding("u", {"segment": "EIO", "gro": ""}, "here"), "E-UDP-GSO"),
    (kernel.udp_finding("u", {"segment": "", "gro": "ENOPROTOOPT"}, "here"), "E-UDP-GRO"),
    (kernel.steering_finding("s", "", "here"), ""),
    (kernel.steering_finding("s", "ENOPROTOOPT", "here"), "E-REUSEPORT"),
    (kernel.capture_finding("c", "", "here"), ""),
    (kernel.capture_finding("c", "EPERM", "here"), "E-CAPTURE"),
    (kernel.ports_finding("p", {"500": "", "8000": ""}), ""),
    (kernel.ports_finding("p", {"500": "EACCES", "8000": ""}), "E-PORT-PRIVILEGED"),
    (kernel.ports_finding("p", {"500": "", "8000": "EPERM"}), "E-PORT-REFUSED"),
    (kernel.ipv6_finding("i", ""), ""),
    (kernel.ipv6_finding("i", "the kernel has none"), "E-IPV6"),
]


@pytest.mark.parametrize(("finding", "code"), KERNEL)
def test_what_the_kernel_says_has_a_code_and_a_remedy(finding: Finding, code: str) -> None:
    assert finding.code == code
    assert (finding.level is Level.OK) == (not code) == (not finding.fix)


def test_the_script_runs_alone_and_tells_what_it_is_asked() -> None:
    words = [sys.executable, "-I", "-c", host.script(), *inside.PROBES]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    assert json.loads(done.stdout).keys() == inside.PROBES.keys()


@pytest.mark.skipif(sys.platform != "linux", reason="options of Linux")
def test_segments_are_sent_and_taken_at_once_and_a_port_is_shared() -> None:
    """Every kernel since 5.0 can, so on whatever runs these tests this shows that the probes work."""
    assert inside.try_udp() == {"segment": "", "gro": ""}
    assert inside.try_steering() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="options of Linux")
def test_probes_see_what_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "PATIENCE", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(inside, "UDP_SEGMENT", 250)
        assert inside.try_udp()["segment"] == "EINVAL"
    with monkeypatch.context() as patched:
        patched.setattr(inside, "UDP_GRO", 250)
        assert inside.try_udp() == {"segment": "", "gro": "ENOPROTOOPT"}
    with monkeypatch.context() as patched:
        patched.setattr(inside, "_attach", lambda _: None)
        outcomes = {inside.try_steering() for _ in range(20)}
        assert outcomes - {""}, "without its program the kernel spreads by a hash"
    with monkeypatch.context() as patched:
        patched.setattr(inside, "LOAD_OCTET", 0xFF)
        assert inside.try_steering() == "EINVAL"


@pytest.mark.skipif(sys.platform != "linux", reason="packet sockets are of Linux")
def test_a_packet_socket_sees_the_loopback_or_says_why_not() -> None:
    assert inside.try_capture() == ("" if os.geteuid() == 0 else "EPERM")


def test_commands_that_are_not_there_hang_or_fail() -> None:
    assert host.command_output(("no-such-command-at-all",))[0] == 127
    assert host.command_output(("sleep", "30"), timeout=0.05)[0] == 124
    assert host.command_output(("sh", "-c", "echo why >&2; exit 3")) == (3, "why")


def test_without_compose_and_tshark_labs_still_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (composed,), (shark,) = host.compose(), host.tshark()
    assert (composed.code, composed.level) == ("E-COMPOSE-NONE", Level.WARN)
    assert (shark.code, shark.level) == ("E-TSHARK-NONE", Level.WARN)
    spaces = host.namespaces(True)[1]
    assert (spaces.code, spaces.fix) == ("E-USERNS", "sudo apt install util-linux")


def test_both_generations_of_compose_and_the_version_of_tshark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = 'echo "TShark (Wireshark) 4.6.2 (Git v4)"'
    programs = {"docker": 'echo "2.39.1"', "docker-compose": 'echo "1.29.2"', "tshark": said}
    install(tmp_path, programs)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host.compose() == [ok("compose", "docker compose 2.39.1, docker-compose 1.29.2")]
    assert host.tshark() == [ok("tshark", "tshark 4.6.2, decrypts ESP with AES-GCM and ChaCha20-Poly1305")]


def install(directory: Path, programs: dict[str, str]) -> None:
    for name, text in programs.items():
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)


def test_a_tshark_that_refuses_an_algorithm_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refuses = 'case "$*" in *ChaCha20*) exit 1;; esac; echo "TShark (Wireshark) 4.4.9"'
    install(tmp_path, {"tshark": refuses})
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = host.tshark()
    assert (finding.level, finding.code) == (Level.WARN, "E-TSHARK-OLD")
    assert finding.found == "tshark 4.4.9 cannot decrypt ESP with ChaCha20-Poly1305"


@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark")
def test_what_is_said_of_the_tshark_that_is_here_is_true() -> None:
    (finding,) = host.tshark()
    version = re.match(r"tshark (\d+)\.(\d+)", finding.found)
    assert version
    new = (int(version[1]), int(version[2])) >= (4, 6)
    assert (finding.code == "") == new, finding.found


def test_a_wire_between_namespaces_or_why_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    why = why_no_namespaces()
    found = host.namespaces(True)
    assert (found[0].probe, found[0].code) == ("netns", "E-NETNS" if why else "")
    assert host.namespaces(True, brief=True) == found[:1]
    said = "Operation not permitted (new user namespace): sysctl -w user.max_user_namespaces=10000"
    monkeypatch.setattr(host, "command_output", lambda *_, **__: (4, said))
    assert host.namespaces(True)[0] == fail(
        "netns",
        "E-NETNS",
        "Operation not permitted (new user namespace)",
        "sysctl -w user.max_user_namespaces=10000, or use --backend process",
    )
    assert {finding.level for finding in host.namespaces(False)} == {Level.WARN}


def test_routes_are_read_and_the_default_route_clashes_with_nothing() -> None:
    table = (
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert [str(network) for network in engine.routes(table)] == ["172.17.0.0/16"]


def test_a_container_that_does_not_start_is_explained() -> None:
    no_device = 'error gathering device information while adding custom device "/dev/net/tun": no such file'
    assert engine._not_started(no_device).code == "E-TUN-DEVICE"
    assert engine._not_started("exec format error").code == "E-CONTAINER"


def test_both_forms_show_code_and_fix_and_escape() -> None:
    found: list[Finding] = [
        ok("python", "Python 3.13.1"),
        warn("image", "E-IMAGE-STALE", "of other sources", "make image"),
        fail("tun", "E-TUN-CAP", "says \x1b[2J EPERM", "--cap-add NET_ADMIN"),
    ]
    assert worst(found) is Level.FAIL
    assert worst(found[:2]) is Level.WARN
    assert worst(found[:1]) is Level.OK
    assert short(found, PLAIN) == [
        "  doctor    python ok, image E-IMAGE-STALE, tun E-TUN-CAP",
        "  E-TUN-CAP  says \\x1b[2J EPERM: --cap-add NET_ADMIN",
    ]
    lines = full(found, PLAIN)
    assert lines[0] == "ok    python  Python 3.13.1"
    assert lines[-1].split() == ["fix:", "--cap-add", "NET_ADMIN"]
    assert "\x1b" not in "".join(lines)


def test_what_is_looked_at_depends_on_the_backend() -> None:
    def number(backend: str, *, brief: bool = False) -> int:
        return len(examine._probes(backend, None, brief))

    assert all(number("auto") > number(backend) for backend in ("docker", "netns", "process"))
    assert all(number(backend, brief=True) < number(backend) for backend in BACKEND_NAMES)


def test_the_documented_codes_are_those_of_the_sources() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    documented = set(re.findall(r"^\| `(E-[A-Z0-9-]+)`", page, re.MULTILINE))
    used: set[str] = set()
    for path in (ROOT / "lab" / "doctor").glob("*.py"):
        used |= set(re.findall(r'"(E-[A-Z0-9-]+)"', path.read_text()))
    assert documented == used


@pytest.mark.docker
def test_an_engine_is_examined_quickly_and_nothing_is_left(cli: Cli) -> None:
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    began = time.monotonic()
    document = cli.json("doctor", "-b", "docker", rc=0)
    seconds = time.monotonic() - began
    found = by_probe(document)
    assert {"engine", "image", "network", "engine-disk"} <= set(found)
    assert found["engine"]["level"] == found["network"]["level"] == "ok"
    assert found["network-ipv6"]["code"] in (None, "E-NET-IPV6")
    if client.images.list(name="ipseclab/node"):
        assert found["tun"]["found"] == "TUNSETIFF done in a container"
        assert (
            found["capture"]["found"] == "a packet socket sees what passes in a container with NET_RAW alone"
        )
        assert found["udp-offloads"]["level"] == found["steering"]["level"] == "ok"
    # It takes 2 s alone; other tests run at the same time.
    assert seconds < 30
    mine = {"label": [engine.MADE]}
    fresh = [thing for thing in client.networks.list(filters=mine) if _age(thing.attrs["Labels"]) > 30]
    fresh += [thing for thing in client.containers.list(all=True, filters=mine) if _age(thing.labels) > 30]
    assert fresh == []
    subnet = next(iter(client.networks.get("bridge").attrs["IPAM"]["Config"]))["Subnet"]
    clash = by_probe(cli.json("doctor", "-b", "docker", "--subnet", subnet, rc=4))["network"]
    assert clash["code"] == "E-NET-CLASH"
    client.close()


def _age(labels: dict[str, str]) -> float:
    return time.time() - int(labels[engine.MADE])


@pytest.mark.docker
def test_leftovers_of_a_killed_doctor_are_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine: {error}")
    mark = engine._mark() | {engine.MADE: str(int(time.time()) - 2 * engine.LEFT_OVER)}
    old = client.networks.create("ipseclab-doctor-left-over", internal=True, labels=mark)
    engine._sweep(client)
    assert old.id not in {network.id for network in client.networks.list()}
    client.close()
