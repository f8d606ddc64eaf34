"""Probes of this host, none of which needs an engine."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

from lab import evidence, home
from lab.backends.netns import NetnsBackend
from lab.backends.netns_supervisor import PROBE
from lab.backends.orders import clean_environment
from lab.doctor import inside, kernel
from lab.doctor.findings import Finding, fail, ok, warn

#: Seconds for one command. Starting Python or a container tool on a busy machine takes one of them.
COMMAND_TIMEOUT = 2.5
#: The oldest Python that the lab is written for.
MINIMUM_PYTHON = (3, 11)
#: A run's evidence and the files of a lab take a few of them; below this a run may end half written.
NEEDED_MIB = 100
#: An address of the block that the process backend uses.
_LOOPBACK = "127.64.0.1"
#: Algorithms of ESP as Wireshark calls them, and as everybody else does.
_ESP = {
    "AES-GCM with 16 octet ICV [RFC4106]": "AES-GCM",
    "ChaCha20 with Poly1305 [RFC7634]": "ChaCha20-Poly1305",
}
#: The header of a capture without packets (pcap 2.4, raw IP).
_EMPTY_CAPTURE = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
_WHO_LISTENS = "see who listens with: ss -lunp 'sport = :{port}'"


def script() -> str:
    """The text of `inside`, to be handed to `python -c`."""
    return (files("lab.doctor") / "inside.py").read_text("utf-8")


def command_output(
    words: Sequence[str],
    timeout: float = COMMAND_TIMEOUT,
    *,
    octets: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Exit code and output of a command; 127 where it is not there, 124 where it did not end."""
    try:
        done = subprocess.run(
            list(words), input=octets, env=environment, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, f"did not end within {timeout:g} s"
    except OSError as error:
        return 127, error.strerror or str(error)
    text = done.stdout if done.returncode == 0 else done.stdout + done.stderr
    return done.returncode, text.decode("utf-8", "replace").strip()


def python() -> list[Finding]:
    """The Python that runs this."""
    found = f"Python {'.'.join(map(str, sys.version_info[:3]))} at {sys.executable}"
    if sys.version_info[:2] >= MINIMUM_PYTHON:
        return [ok("python", found)]
    return [fail("python", "E-PYTHON-OLD", found, "make PYTHON=/path/to/python3.11 or newer")]


def compose() -> list[Finding]:
    """Which generations of compose there are. `ipseclab` itself needs neither."""
    known = {
        "docker compose": ("docker", "compose", "version", "--short"),
        "docker-compose": ("docker-compose", "version", "--short"),
    }
    there = {name: command_output(words) for name, words in known.items() if shutil.which(words[0])}
    good = {name: text.splitlines()[0] for name, (code, text) in there.items() if code == 0 and text}
    slow = [name for name, (code, _) in there.items() if code == 124]
    if good:
        missing = [name for name in known if name not in good and name not in slow]
        words = [f"{name} {version}" for name, version in good.items()]
        words += [f"{name} (did not answer)" for name in slow] + [f"no `{name}`" for name in missing]
        return [ok("compose", ", ".join(words))]
    said = "neither `docker compose` nor `docker-compose` works; ipseclab does without"
    fix = (
        "only to start docker-compose.yml by hand: sudo apt install docker-compose-plugin (or docker-compose)"
    )
    return [warn("compose", "E-COMPOSE-NONE", said, fix)]


def tshark() -> list[Finding]:
    """Wireshark on the command line, and whether it knows how to open what a lab may capture."""
    with ThreadPoolExecutor(len(_ESP) + 1) as pool:
        rows = [pool.submit(_takes, cipher) for cipher in _ESP]
        code, text = command_output(("tshark", "--version"))
        version = re.search(r"TShark.*?(\d+\.\d+(\.\d+)?)", text)
        refused = [name for name, row in zip(_ESP.values(), rows, strict=True) if not row.result()]
    if code != 0 or version is None:
        found = "tshark is not installed" if code == 127 else f"tshark --version: {text.splitlines()[-1:]}"
        fix = "only to look at captures with it: sudo apt install tshark"
        return [warn("tshark", "E-TSHARK-NONE", found, fix)]
    if refused:
        found = f"tshark {version[1]} cannot decrypt ESP with {' nor '.join(refused)}"
        fix = "only for captures of such suites: tshark 4.6 or newer"
        return [warn("tshark", "E-TSHARK-OLD", found, fix)]
    return [ok("tshark", f"tshark {version[1]}, decrypts ESP with {' and '.join(_ESP.values())}")]


def _takes(cipher: str) -> bool:
    """Whether a row of the table of ESP SAs with this algorithm is taken; with a word it does not know tshark
    ends with 1.
    """
    row = f'uat:esp_sa:"IPv4","192.0.2.1","192.0.2.2","0x00000001","{cipher}","0x00","NULL",""'
    return command_output(("tshark", "-r", "-", "-o", row), octets=_EMPTY_CAPTURE)[0] != 1


def disk() -> list[Finding]:
    """Room where labs and evidence are kept."""
    short = []
    free = {}
    for place in {home.home(), evidence.runs_directory()}:
        there = next(path for path in (place, *place.parents) if path.is_dir())
        free[str(place)] = shutil.disk_usage(there).free >> 20
        if free[str(place)] < NEEDED_MIB:
            short.append(str(place))
        elif not os.access(there, os.W_OK):
            fix = f"chown {there}, or set IPSECLAB_HOME and IPSECLAB_RUNS to directories of yours"
            return [fail("disk", "E-DISK-WRITE", f"{there} is not writable", fix)]
    if short:
        told = ", ".join(f"{place} has {free[place]} MiB free" for place in short)
        fix = f"make room for {NEEDED_MIB} MiB, or set IPSECLAB_HOME and IPSECLAB_RUNS to another disk"
        return [fail("disk", "E-DISK-FULL", told, fix)]
    return [ok("disk", f"{min(free.values())} MiB free for labs and evidence")]


def ports(needed: bool) -> list[Finding]:
    """UDP ports that labs of plain processes bind, on a loopback address of their own."""
    tried = {port: inside.try_port(port, _LOOPBACK) for port in inside.PORTS}
    level = fail if needed else warn
    if tried[8000]:
        said = f"UDP port 8000 on {_LOOPBACK}: {tried[8000]}"
        return [level("ports", "E-PORT-TAKEN", said, "stop it; " + _WHO_LISTENS.format(port=8000))]
    taken = [port for port, error in tried.items() if error == "EADDRINUSE"]
    if taken:
        said = f"UDP {' and '.join(map(str, taken))}: EADDRINUSE; 8000 is free"
        fix = "stop the other IKE daemon; " + _WHO_LISTENS.format(port=taken[0])
        return [warn("ports", "E-PORT-TAKEN", said, fix)]
    kept = [str(port) for port, error in tried.items() if error]
    note = f"; {' and '.join(kept)} take root here, in containers they do not" if kept else ""
    return [
        ok("ports", f"UDP {', '.join(str(port) for port, e in tried.items() if not e)} can be bound{note}")
    ]


def sockets() -> list[Finding]:
    """What makes many datagrams cheap; on this host, whose kernel the containers may share."""
    place = "on this host"
    return [
        kernel.udp_finding("udp-offloads-host", inside.try_udp(), place),
        kernel.steering_finding("steering-host", inside.try_steering(), place),
    ]


def namespaces(needed: bool, *, brief: bool = False) -> list[Finding]:
    """A wire between network namespaces as labs have it, and what anybody may do in a user namespace."""
    level = fail if needed else warn
    if sys.platform != "linux":
        return [
            level("namespaces", "E-USERNS", f"{sys.platform} has none", "use --backend docker or process")
        ]
    wire = _wire(level)
    if brief:
        return [wire]
    # As root a lab needs no user namespace.
    needed = needed and bool(wire.code)
    level = fail if needed else warn
    code, text = command_output(("unshare", "-Urn", sys.executable, "-I", "-c", script(), "tun", "capture"))
    if code != 0:
        said = f"unshare -Urn: {text.splitlines()[-1] if text else f'exit code {code}'}"
        return [wire, level("namespaces", "E-USERNS", said, _namespace_fix(code))]
    tried, place = json.loads(text), "in a user namespace of this host"
    return [
        wire,
        ok("namespaces", "user and network namespaces without root (unshare -Urn)"),
        kernel.tun_finding("tun-host", tried["tun"], needed, place),
        *kernel.offload_finding("offloads-host", tried["tun"]),
        kernel.capture_finding("capture-host", tried["capture"], place),
    ]


def _wire(level: Callable[[str, str, str, str], Finding]) -> Finding:
    """The netns backend's own probe: a bridge, a veth pair and a TUN device in namespaces, gone at once."""
    words = (sys.executable, "-P", "-m", NetnsBackend.supervisor, PROBE)
    code, text = command_output(words, environment=clean_environment())
    if code == 0:
        how = {"root": "as root", "user": "without root"}[json.loads(text)["way"]]
        return ok("netns", f"bridge, veth pair and TUN device in network namespaces, {how}")
    said, _, fix = (text.splitlines()[-1] if text else f"exit code {code}").rpartition(": ")
    return level("netns", "E-NETNS", said or fix, f"{fix if said else 'see above'}, or use --backend process")


def _namespace_fix(code: int) -> str:
    if code == 127:
        return "sudo apt install util-linux"
    if code == 124:
        return "the machine is busy: run it again"
    for name, wrong, right in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "10000"),
    ):
        path = Path("/proc/sys") / name
        if path.is_file() and path.read_text().strip() == wrong:
            return f"sudo sysctl -w {name.replace('/', '.')}={right}"
    return "not allowed in this container: use --backend docker or process, or run as root on the host"
