"""The image of strongSwan without an engine: what it is made of, and which base is taken."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest

from lab import images
from lab.images import Base, ImageError
from lab.peers import image


def tree(root: Path) -> Path:
    directory = image.directory(root)
    directory.mkdir(parents=True)
    for name in ("Dockerfile", "start"):
        (directory / name).write_text(name)
    return root


@pytest.mark.parametrize("name", ["Dockerfile", "start", "more"])
def test_digest_changes_with_every_file_and_with_the_base(tmp_path: Path, name: str) -> None:
    before = image.source_digest(tree(tmp_path))
    assert image.source_digest(tmp_path, "debian:sid") != before
    assert image.source_digest(tmp_path) == before
    (image.directory(tmp_path) / name).write_text("changed")
    assert image.source_digest(tmp_path) != before


def test_the_dockerfile_installs_what_debootstrap_would() -> None:
    text = (image.directory(images.project_root()) / "Dockerfile").read_text()
    assert f'ARG PACKAGES="{" ".join(image.PACKAGES)}"' in text
    assert f"ARG BASE={image.NEWEST.registry}" in text


class Engine:
    """As much of an engine as has files in an image."""

    def __init__(self, content: bytes) -> None:
        self.api, self._content = self, content
        self.removed: list[str] = []

    def create_container(self, _image: str) -> dict[str, str]:
        return {"Id": "c"}

    def get_archive(self, container: str, path: str) -> tuple[Iterator[bytes], dict[str, Any]]:
        octets = io.BytesIO()
        with tarfile.open(fileobj=octets, mode="w") as archive:
            member = tarfile.TarInfo(path.rpartition("/")[2])
            member.size = len(self._content)
            archive.addfile(member, io.BytesIO(self._content))
        return iter([octets.getvalue()]), {}

    def remove_container(self, container: str) -> None:
        self.removed.append(container)

    def info(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize(("told", "version"), [(b"6.1.0-2\n", "6.1.0"), (b"6.0.1-6+deb13u7", "6.0.1")])
def test_the_version_is_that_of_the_package(told: bytes, version: str) -> None:
    engine = Engine(told)
    assert image._read_version(cast("docker.DockerClient", engine), "i") == version
    assert engine.removed == ["c"]


def test_an_image_without_a_version_names_the_remedy() -> None:
    engine = Engine(b"nothing")
    with pytest.raises(ImageError, match="set IPSECLAB_STRONGSWAN_BASE to another base"):
        image._read_version(cast("docker.DockerClient", engine), "i")
    assert engine.removed == ["c"]


FORKY, OURS = image.NEWEST.local, images.LOCAL_BASE


@pytest.mark.parametrize(
    ("asked", "newest", "at_hand", "taken"),
    [
        ("", False, FORKY, FORKY),
        ("", False, "", OURS),
        ("", True, "", FORKY),
        ("debian:mine", False, FORKY, "debian:mine"),
    ],
)
def test_a_second_debian_is_made_only_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, newest: bool, at_hand: str, taken: str
) -> None:
    monkeypatch.delenv(images.BASE_VARIABLE, raising=False)

    def ensure_base(_say: object, _client: object, wanted: str, base: Base = images.NODE_BASE) -> str:
        return wanted or base.local

    monkeypatch.setattr(images, "ensure_base", ensure_base)
    monkeypatch.setattr(images, "base_at_hand", lambda *_: at_hand)
    said: list[str] = []
    client = cast("docker.DockerClient", Engine(b""))
    assert image._base(client, asked, said.append, newest) == taken
    assert said == (
        ["no registry has debian:forky-slim within reach: taking the base of the node image"]
        * (taken == OURS)
    )


def test_the_base_of_the_node_image_may_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(images.BASE_VARIABLE, "python:mine")
    monkeypatch.setattr(images, "ensure_base", lambda _say, _client, asked: asked)
    monkeypatch.setattr(images, "base_at_hand", lambda *_: "")
    client = cast("docker.DockerClient", Engine(b""))
    assert image._base(client, "", lambda _line: None, False) == "python:mine"


def test_a_suite_that_debootstrap_does_not_know_is_made_as_sid_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    (tmp_path / "trixie").touch()
    monkeypatch.setattr(images, "_SCRIPTS", tmp_path)
    monkeypatch.setattr(images, "_apt_mirror", lambda: ["http://a.example/debian"])
    monkeypatch.setattr(images, "_apt_proxy", dict)
    monkeypatch.setattr(images, "_run", lambda command, *_: ran.append(list(command)))
    for base in (image.NEWEST, images.NODE_BASE):
        images._debootstrap(tmp_path / "root", base)
    newer, older = ran
    assert newer[-4:] == ["forky", str(tmp_path / "root"), "http://a.example/debian", str(tmp_path / "sid")]
    assert older[-3:] == ["trixie", str(tmp_path / "root"), "http://a.example/debian"]
    assert all("--force-check-gpg" in command for command in ran)
    assert f"--include={','.join(image.PACKAGES)}" in newer
