"""Probes of this host, none of which needs an engine."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from lab import evidence, home
from lab.doctor import inside
from lab.doctor.findings import Finding, fail, ok, warn

#: Seconds for one command. Starting Python or a container tool on a busy machine takes one of them.
COMMAND_TIMEOUT = 2.5
#: The oldest Python that the lab is written for.
MINIMUM_PYTHON = (3, 11)
#: A run's evidence and the files of a lab take a few of them; below this a run may end half written.
NEEDED_MIB = 100
#: An address of the block that the process backend uses.
_LOOPBACK = "127.64.0.1"
_WHO_LISTENS = "see who listens with: ss -lunp 'sport = :{port}'"


def script() -> str:
    """The text of `inside`, to be handed to `python -c`."""
    return (files("lab.doctor") / "inside.py").read_text("utf-8")


def command_output(words: Sequence[str], timeout: float = COMMAND_TIMEOUT) -> tuple[int, str]:
    """Exit code and output of a command; 127 where it is not there, 124 where it did not end."""
    try:
        done = subprocess.run(
            list(words),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return 124, f"did not end within {timeout:g} s"
    except OSError as error:
        return 127, error.strerror or str(error)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()


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
    """Wireshark on the command line; decodes captures beside the lab's own decoder."""
    code, text = command_output(("tshark", "--version"))
    version = re.search(r"TShark.*?(\d+\.\d+(\.\d+)?)", text)
    if code == 0 and version:
        return [ok("tshark", f"tshark {version[1]}")]
    found = "tshark is not installed" if code == 127 else f"tshark --version: {text.splitlines()[-1:]}"
    return [
        warn("tshark", "E-TSHARK-NONE", found, "only to look at captures with it: sudo apt install tshark")
    ]


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


def namespaces(needed: bool) -> list[Finding]:
    """A user and a network namespace, and in them, without any privilege, TUN and its offloads."""
    level = fail if needed else warn
    if sys.platform != "linux":
        return [
            level("namespaces", "E-USERNS", f"{sys.platform} has none", "use --backend docker or process")
        ]
    code, text = command_output(("unshare", "-Urn", sys.executable, "-I", "-c", script()))
    if code != 0:
        said = f"unshare -Urn: {text.splitlines()[-1] if text else f'exit code {code}'}"
        return [level("namespaces", "E-USERNS", said, _namespace_fix(code))]
    return [
        ok("namespaces", "user and network namespaces without root (unshare -Urn)"),
        tun_finding("tun-host", json.loads(text)["tun"], needed, "in a user namespace of this host"),
    ]


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


def tun_finding(probe: str, tried: dict[str, Any], needed: bool, where: str) -> Finding:
    """The finding of what `inside.try_tun` said."""
    level = fail if needed else warn
    step, error = tried["step"], tried["error"]
    if not error:
        return ok(probe, f"TUNSETIFF done {where}")
    if step == "open" and error in ("ENOENT", "ENODEV", "ENXIO"):
        fix = "sudo modprobe tun; in a container add --device /dev/net/tun; or use --backend process"
        return level(probe, "E-TUN-DEVICE", f"no /dev/net/tun {where} ({error})", fix)
    if step == "open":
        fix = "sudo chmod 0666 /dev/net/tun (udev's default), or use --backend process"
        return level(probe, "E-TUN-PERM", f"opening /dev/net/tun {where} says {error}", fix)
    fix = (
        "add --cap-add NET_ADMIN --device /dev/net/tun to the container around this, or use --backend process"
    )
    return level(probe, "E-TUN-CAP", f"/dev/net/tun opens, but TUNSETIFF {where} says {error}", fix)


def offload_finding(tried: dict[str, Any]) -> Finding | None:
    """The finding of the offloads; None where there is no device to ask."""
    if tried["error"]:
        return None
    if tried["offloads"]:
        return ok("offloads", f"TUNSETOFFLOAD takes {tried['offloads']}")
    fix = "nothing to do: packets pass one by one; a newer kernel is faster"
    return warn("offloads", "E-TUN-OFFLOAD", "TUNSETOFFLOAD takes no segmentation offload", fix)
