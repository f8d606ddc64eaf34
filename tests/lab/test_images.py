"""lab.images without an engine: the digest of the sources, apt's mirror, platforms, stripping, and errors."""

import os
import shutil
import socket
from pathlib import Path
from typing import cast

import docker
import pytest

from lab import images
from lab.errors import ExitCode

LINES = "http://a.example/debian-security/ Debian Debian-Security\nhttp://b.example/debian/ Debian Debian\n"


def tree(root: Path) -> Path:
    for name in ("Dockerfile", "requirements/node.txt", "requirements/pip.txt", "node/a.py", "ca/b.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    return root


def test_digest_is_stable_and_ignores_bytecode(tmp_path: Path) -> None:
    before = images.source_digest(tree(tmp_path))
    (tmp_path / "node/__pycache__").mkdir()
    (tmp_path / "node/__pycache__/a.cpython-313.pyc").write_bytes(b"x")
    (tmp_path / "README.md").write_text("x", encoding="utf-8")
    assert images.source_digest(tmp_path) == before


@pytest.mark.parametrize("name", ["Dockerfile", "requirements/node.txt", "node/a.py", "ca/new.py"])
def test_digest_changes_with_every_input(name: str, tmp_path: Path) -> None:
    before = images.source_digest(tree(tmp_path))
    (tmp_path / name).write_text("changed", encoding="utf-8")
    assert images.source_digest(tmp_path) != before


def test_digest_changes_with_a_rename_and_with_the_base(tmp_path: Path) -> None:
    before = images.source_digest(tree(tmp_path))
    assert images.source_digest(tmp_path, "debian:trixie") != before
    (tmp_path / "node/a.py").rename(tmp_path / "node/c.py")
    assert images.source_digest(tmp_path) != before


@pytest.mark.parametrize(
    ("targets", "mirror"),
    [
        (LINES, "http://b.example/debian"),
        ("http://c.example/ubuntu/ Ubuntu Ubuntu\n", ""),
        ("cdrom:[Debian]/ Debian Debian\n", ""),
        ("", ""),
    ],
    ids=["debian after security", "another distribution", "not a URL for debootstrap", "no lists yet"],
)
def test_mirror_of_apt(targets: str, mirror: str) -> None:
    assert images.parse_mirror(targets) == mirror


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_platforms_are_for_the_machine_newest_first(machine: str) -> None:
    tags = images.wheel_platforms(machine)
    assert all(tag.endswith(machine) for tag in tags)
    assert tags.index(f"manylinux_2_34_{machine}") < tags.index(f"manylinux_2_17_{machine}")


def test_strip_keeps_the_system_and_licences(tmp_path: Path) -> None:
    kept = ["usr/bin/python3", "usr/share/doc/x/copyright", "var/lib/dpkg/status"]
    gone = ["usr/share/man/man1/x.1.gz", "usr/share/doc/x/changelog.gz", "var/lib/apt/lists/x", "dev/null"]
    for name in (*kept, *gone):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images.strip_tree(tmp_path)
    assert all((tmp_path / name).exists() for name in kept)
    assert not any((tmp_path / name).exists() for name in gone)


def test_no_engine_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("DOCKER_HOST", where)
    with pytest.raises(images.ImageError) as caught:
        images.connect()
    text = str(caught.value)
    assert "\n" not in text
    assert where in text
    assert "start it" in text
    assert caught.value.exit_code == ExitCode.ENVIRONMENT


def test_wheelhouse_with_its_stamp_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def download(_locks: list[Path], target: Path, machine: str) -> None:
        asked.append([machine])
        (target / f"x-1-py3-none-{machine}.whl").write_bytes(b"")

    monkeypatch.setattr(images, "_download", download)
    said: list[str] = []
    house = images.fill_wheelhouse(tree(tmp_path), "x86_64", said.append)
    images.fill_wheelhouse(tmp_path, "x86_64", said.append)
    assert (asked, len(said)) == ([["x86_64"]], 1)
    images.fill_wheelhouse(tmp_path, "aarch64", said.append)
    assert [path.name for path in house.glob("*.whl")] == ["x-1-py3-none-aarch64.whl"]
    (tmp_path / "requirements/node.txt").write_text("other", encoding="utf-8")
    images.fill_wheelhouse(tmp_path, "aarch64", said.append)
    assert len(asked) == 3


def test_a_command_that_fails_says_its_last_words() -> None:
    with pytest.raises(images.ImageError, match=r"cannot do it: sh failed: .*no room"):
        images._run(["sh", "-c", "echo no room >&2; exit 3"], "cannot do it", 10)
    with pytest.raises(images.ImageError, match="is not installed"):
        images._run(["/nonexistent/x"], "cannot do it", 10)
    with pytest.raises(images.ImageError, match="did not end within"):
        images._run(["sleep", "5"], "cannot do it", 0.05)


class Engine:
    """As much of an engine as says which machine it is."""

    def __init__(self, arch: str) -> None:
        self.arch = arch

    def version(self) -> dict[str, str]:
        return {"Arch": self.arch}


@pytest.mark.parametrize(
    ("arch", "machine", "uid", "says"),
    [
        ("amd64", "x86_64", 1000, "takes root, once"),
        ("arm64", "x86_64", 0, "this host is x86_64, the engine aarch64"),
        ("riscv64", "x86_64", 0, "riscv64 is not supported"),
    ],
)
def test_what_keeps_debootstrap_from_running(
    arch: str, machine: str, uid: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/sbin/debootstrap")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "h", "6", "v", machine)))
    with pytest.raises(images.ImageError, match=says):
        images._check_can_bootstrap(cast("docker.DockerClient", Engine(arch)))
