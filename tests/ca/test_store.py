"""Files: a kill at every step, permissions, other owners, two runs at once, a full disk."""

import errno
import multiprocessing
import os
import shutil
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ca import keys, store
from ca.cli import main
from tests.ca.conftest import CHEAP, Desk, in_child

NOBODY = 65534
STEPS = ("open", "write", "fsync", "fchmod", "replace")


def run_killed_at(directory: Path, step: int, *arguments: str) -> bool:
    """Run in a child that is killed just before its `step`-th system call on a file; was it killed?"""

    def child() -> int:
        left = [step]

        def dying(call: Callable[..., object]) -> Callable[..., object]:
            def counted(*values: object, **options: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*values, **options)

            return counted

        for name in STEPS:
            setattr(os, name, dying(getattr(os, name)))
        return main(arguments, {"CA_DIR": str(directory), **CHEAP})

    status = in_child(child)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def pairs_are_whole(directory: Path) -> None:
    """Each file under its final name is complete, with its final permissions, whenever the kill came."""
    for path in directory.glob("*.pem"):
        if path.name.startswith("."):
            continue
        octets = path.read_bytes()
        assert octets.endswith(b"-----\n")
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o600 if path.name.endswith("-key.pem") else 0o644)
        if path.name.endswith("-key.pem"):
            keys.from_pem(octets)


@pytest.mark.parametrize("again", [(), ("--root-subject", "Another CA")], ids=["first run", "reissue"])
def test_a_kill_at_any_step_is_repaired_by_the_next_run(
    desk: Desk, tmp_path: Path, again: tuple[str, ...]
) -> None:
    start = tmp_path / "start"
    start.mkdir()
    if again:
        desk.run("a")
        shutil.copytree(desk.directory, start, dirs_exist_ok=True)
    step, killed = 0, True
    while killed:
        shutil.rmtree(desk.directory, ignore_errors=True)
        shutil.copytree(start, desk.directory)
        killed = run_killed_at(desk.directory, step, "a", *again)
        pairs_are_whole(desk.directory)
        desk.run("a", *again)
        assert {line["action"] for line in desk.run("a", *again).values()} == {"kept"}
        assert set(desk.contents()) == {"ca-cert.pem", "ca-key.pem", "a-cert.pem", "a-key.pem"}
        step += 1
    # Four files, each with at least open, write, fchmod, fsync, replace and the directory's open and fsync.
    assert step > 4 * 7


def test_the_leftover_of_a_kill_goes_even_if_all_is_kept(desk: Desk) -> None:
    desk.run("a")
    leftover = desk.directory / ".a-key.pem.tmp"
    leftover.write_bytes(b"half a key")
    assert desk.run("a")["a"]["action"] == "kept"
    assert not leftover.exists()


def test_permissions_of_new_files_and_directories(desk: Desk, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        template = str(tmp_path / "keys" / "{name}")
        desk.run("a", "--keys-dir", template, "--authority-keys-dir", str(tmp_path / "secret"))
    finally:
        os.umask(old)
    found = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode)
        for path in tmp_path.rglob("*")
        if path.name != ".ca.lock" and path.is_file()
    }
    assert found == {
        "certs/ca-cert.pem": 0o644,
        "certs/a-cert.pem": 0o644,
        "secret/ca-key.pem": 0o600,
        "keys/a/a-key.pem": 0o600,
    }
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "a").stat().st_mode) == 0o700


def test_wrong_permissions_are_put_right_and_told(desk: Desk) -> None:
    desk.run("a")
    (desk.directory / "a-key.pem").chmod(0o644)
    (desk.directory / "ca-cert.pem").chmod(0o600)
    assert desk.call("a", "--check")[0] == 1
    out = desk.run("a")
    assert out["a"]["action"] == "kept"
    assert out["a"]["fixed"] == ["permissions of a-key.pem were 0644, now 0600"]
    assert out["ca"]["fixed"] == ["permissions of ca-cert.pem were 0600, now 0644"]
    pairs_are_whole(desk.directory)
    assert desk.run("a")["a"]["fixed"] == []


def as_nobody(directory: Path, *arguments: str) -> tuple[int, str]:
    """Run as an ordinary user (a child that drops root, where the tests run as root)."""
    log = directory / "log"
    log.touch()
    log.chmod(0o666)

    def child() -> int:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        with log.open("w") as sys.stderr:
            return main(arguments, {"CA_DIR": str(directory / "certs"), **CHEAP})

    return in_child(child), log.read_text()


def test_an_unwritable_directory_is_one_clear_line(open_directory: Path) -> None:
    (open_directory / "certs").mkdir(mode=0o555)
    code, err = as_nobody(open_directory, "a")
    assert code == 4
    assert len(err.splitlines()) == 1
    assert str(open_directory / "certs") in err
    assert "belongs to uid" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of two owners")
def test_an_ordinary_user_owns_its_files_and_refuses_those_of_others(open_directory: Path) -> None:
    certs = open_directory / "certs"
    certs.mkdir()
    os.chown(certs, NOBODY, NOBODY)
    assert as_nobody(open_directory, "a")[0] == 0
    assert {path.stat().st_uid for path in certs.iterdir()} == {NOBODY}
    os.chown(certs / "a-key.pem", 0, 0)
    code, err = as_nobody(open_directory, "a")
    assert code == 4
    assert f"{certs / 'a-key.pem'}: belongs to uid 0, but this is uid {NOBODY}" in err


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run("a")
    before = desk.contents()

    def full(descriptor: int, octets: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        code, _, err = desk.call("a", "--days", "9")
    assert code == 4
    assert "a-key.pem: cannot write: No space left on device: free some space" in err
    assert desk.contents() == before


@pytest.mark.parametrize("name", ["a-cert.pem", "a-key.pem"])
def test_things_that_are_no_files(desk: Desk, name: str) -> None:
    desk.directory.mkdir()
    os.mkfifo(desk.directory / name)
    code, _, err = desk.call("a")
    assert code == 4
    assert f"{name}: is not a regular file: move it away" in err


def test_a_file_in_the_place_of_the_directory(desk: Desk) -> None:
    desk.directory.write_text("in the way")
    code, _, err = desk.call("a")
    assert code == 4
    assert "move it away" in err


def _quiet_run(directory: str) -> int:
    return main(["a", "b"], {"CA_DIR": directory, **CHEAP})


def test_concurrent_runs_end_in_one_consistent_set(desk: Desk) -> None:
    context = multiprocessing.get_context("fork")
    runs = [context.Process(target=lambda: os._exit(_quiet_run(str(desk.directory)))) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * 4
    assert {line["action"] for line in desk.run("a", "b").values()} == {"kept"}


def test_a_held_lock_is_told_after_the_timeout(desk: Desk) -> None:
    desk.directory.mkdir()
    with store.locked([desk.directory], 0, print):
        code, _, err = desk.call("a", "--lock-timeout", "0")
    assert code == 4
    assert "another run holds the lock" in err
    assert desk.run("a")["a"]["action"] == "made"
