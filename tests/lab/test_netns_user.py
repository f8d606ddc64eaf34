"""The netns backend for an ordinary user: run as nobody, from a place that nobody may read."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.lab.conftest import ROOT, Cli, finish, unique

NOBODY = "nobody"
#: A private mount namespace in which the TUN device is open to everybody, as it is on most hosts; then
#: nobody. `env` is there because setpriv keeps its capabilities until it has found the program.
_AS_NOBODY = """
set -e
if [ "$(stat -L -c %a /dev/net/tun)" != 666 ]; then
    mount -t tmpfs none "$ROOM"
    mknod "$ROOM/tun" c 10 200
    chmod 666 "$ROOM/tun"
    mount --bind "$ROOM/tun" /dev/net/tun
fi
exec setpriv --reuid "$NOBODY_UID" --regid "$NOBODY_GID" --clear-groups env "$@"
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def _nobody(*words: str) -> subprocess.CompletedProcess[str]:
    entry = pwd.getpwnam(NOBODY)
    become = ["setpriv", "--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups"]
    return subprocess.run([*become, "env", *words], cwd="/", capture_output=True, text=True, check=False)


@cache
def _why_not() -> str:
    """Empty where these tests can run."""
    if os.geteuid() != 0:
        return "not root: every other test of the netns backend is what this would be"
    for tool in ("unshare", "setpriv", "stat"):
        if shutil.which(tool) is None:
            return f"no {tool} to become nobody with"
    try:
        pwd.getpwnam(NOBODY)
    except KeyError:
        return f"no user {NOBODY}"
    if _nobody("test", "-r", str(ROOT / "lab" / "cli.py")).returncode:
        return f"{ROOT} cannot be read by {NOBODY}"
    tried = _nobody("unshare", "-Urn", "true")
    if tried.returncode:
        return f"the kernel allows no user namespaces: {tried.stderr.strip()}"
    return (
        "" if _interpreter() else f"no Python {sys.version_info.major}.{sys.version_info.minor} for {NOBODY}"
    )


@cache
def _interpreter() -> str:
    """A Python of our version that nobody may run; empty where there is none."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in (os.path.realpath(sys.executable), f"/usr/bin/python{version}", "/usr/bin/python3"):
        if _nobody(candidate, "-I", "-c", script).stdout.strip() == version:
            return candidate
    return ""


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory of nobody's own, with a virtual environment that has our packages."""
    if reason := _why_not():
        pytest.skip(reason)
    # Not tmp_path: that is closed to everybody else.
    room = Path(tempfile.mkdtemp(prefix="ipseclab-test-"))
    try:
        room.chmod(0o755)
        made = [_interpreter(), "-m", "venv", "--without-pip", str(room / "venv")]
        subprocess.run(made, check=True, capture_output=True)
        packages = next((room / "venv" / "lib").glob("python*/site-packages"))
        (packages / "ours.pth").write_text("\n".join(path for path in sys.path if "site-packages" in path))
        for name in ("home", "mount"):
            (room / name).mkdir()
        os.chown(room / "home", pwd.getpwnam(NOBODY).pw_uid, pwd.getpwnam(NOBODY).pw_gid)
        if _nobody(str(room / "venv" / "bin" / "python"), "-I", "-c", "import cryptography, yaml").returncode:
            pytest.skip(f"our packages cannot be read by {NOBODY}")
        yield room
    finally:
        shutil.rmtree(room)


@pytest.fixture
def nobody(room: Path, cli: Cli) -> Run:
    """The command line, run by nobody."""
    entry = pwd.getpwnam(NOBODY)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "-m", "sh", "-c", _AS_NOBODY, "sh", str(room / "venv" / "bin" / "python")]
        places = {
            "ROOM": str(room / "mount"),
            "NOBODY_UID": str(entry.pw_uid),
            "NOBODY_GID": str(entry.pw_gid),
        }
        own = {"IPSECLAB_HOME": str(room / "home"), "IPSECLAB_RUNS": str(room / "home" / "runs")}
        environment = cli.environment(HOME=str(room / "home"), **places, **own)
        return finish([*command, "-m", "lab", *arguments], environment)

    return run


def test_a_lab_without_root(nobody: Run, room: Path) -> None:
    """Up with TUN and kernel, entered, judged and down, all by a user without any right."""
    where = ("-n", unique("u"), "-b", "netns")
    try:
        done = nobody("up", *where, "--key-type", "ecdsa-p256")
        assert done.returncode == 0, done.stderr
        assert "network namespaces in a user namespace, without root" in done.stderr
        assert "10 of 10 pings" in done.stderr
        events = nobody("events", "initiator", *where).stdout
        assert '"tun_ready"' in events
        seen = nobody(
            "exec",
            *where,
            "initiator",
            "--",
            "sh",
            "-c",
            "id -u; readlink /proc/self/ns/net; "
            "grep -c -E 'eth0|ipsec0' /proc/net/dev; python -m node ctl health",
        )
        assert seen.returncode == 0, seen.stderr
        user, network, links, health = seen.stdout.splitlines()
        assert (user, links, health) == ("0", "2", "healthy: yes")
        assert network != os.readlink("/proc/self/ns/net")
        left = room / "home" / "netns"
        owners = {path.stat().st_uid for path in left.rglob("*")}
        assert owners == {pwd.getpwnam(NOBODY).pw_uid}
    finally:
        down = nobody("down", *where)
    assert down.returncode == 0, down.stderr
    assert "removed 2 processes" in down.stderr
    assert list(left.iterdir()) == []


def test_a_closed_tun_device_is_named(room: Path) -> None:
    """Straight as nobody, with the TUN device as this host has it."""
    if os.stat("/dev/net/tun").st_mode & 0o006 == 0o006:
        pytest.skip("here /dev/net/tun is open to everybody")
    python = str(room / "venv" / "bin" / "python")
    own = [f"IPSECLAB_HOME={room}/home", f"PYTHONPATH={ROOT}"]
    done = _nobody("env", *own, python, "-m", "lab", "up", "-b", "netns", "-n", unique("u"))
    assert done.returncode == 4
    assert (
        "Permission denied (/dev/net/tun): chmod 0666 /dev/net/tun, or use --backend process" in done.stderr
    )


def test_ports_below_1024_and_a_nat_without_root(nobody: Run) -> None:
    """IKE on port 500 at the nodes and at the wire between them."""
    name = unique("u")
    done = nobody("test", "nat-rebinding", "-n", name, "-b", "netns")
    assert done.returncode == 0, done.stdout + done.stderr
