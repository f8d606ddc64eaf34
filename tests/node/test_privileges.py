"""Giving up privileges, in processes of their own: what is gone stays gone."""

import os
import subprocess
import sys

import pytest

from node.net.privileges import User, find_user
from tests.node.conftest import ROOT

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")


def _run(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_users() -> None:
    assert find_user("") is None
    assert find_user("10001") == User(10001, 10001, "10001")
    assert find_user("10001:5") == User(10001, 5, "10001:5")
    assert find_user("root") == User(0, 0, "root")
    with pytest.raises(ValueError, match="there is no user 'no-such-user'"):
        find_user("no-such-user")


@pytest.mark.parametrize("text", ["4294967295", "99999999999999999999", "1:4294967295"])
def test_users_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match="at most 4294967294"):
        find_user(text)


def test_hardening_needs_no_privilege_and_forbids_core_dumps_and_gains() -> None:
    out = _run(
        "import resource; from node.net import privileges as p; p.harden()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
        "print([l.split()[1] for l in open('/proc/thread-self/status') if l.startswith('NoNewPrivs')])\n"
        "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    assert out.split("\n")[:3] == ["(0, 0)", "['1']", "0"]


def test_dropping_works_without_any_privilege() -> None:
    assert "0" in _run(
        "from node.net import privileges as p; p.drop(None); print(p.effective_capabilities())"
    )


@root
@pytest.mark.root
def test_root_becomes_another_user_for_good() -> None:
    out = _run(
        "import os; from node.net import privileges as p\n"
        "left = p.drop(p.User(10001, 10002, 'x'))\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "print(p.effective_capabilities(), left)\n"
        "for way in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0])):\n"
        "    try: way(); print('regained')\n"
        "    except PermissionError: print('refused')\n"
        "print([l.split()[1] for l in open('/proc/thread-self/status') if l.startswith('CapPrm')])"
    )
    lines = out.strip().split("\n")
    assert lines[0] == "(10001, 10001, 10001) (10002, 10002, 10002) []"
    assert lines[1] == "0 0"
    assert lines[2:5] == ["refused"] * 3
    assert lines[5] == "['0000000000000000']"


@root
@pytest.mark.root
def test_root_that_stays_root_has_no_capabilities_left() -> None:
    out = _run(
        "import socket; from node.net import privileges as p\n"
        "p.drop(None); print(p.effective_capabilities())\n"
        "try: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print('raw socket')\n"
        "except PermissionError: print('refused')"
    )
    assert out.split() == ["0", "refused"]


@root
@pytest.mark.root
def test_without_setuid_the_start_fails_rather_than_staying_root() -> None:
    out = _run(
        "from node.net import privileges as p; p.drop(None)\n"
        "try: p.drop(p.User(10001, 10001, 'x')); print('became')\n"
        "except OSError as error: print('OSError')"
    )
    assert out.strip() == "OSError"
