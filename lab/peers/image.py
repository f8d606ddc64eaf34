"""The image of a peer: made of what is in `peers/NAME/`, on a Debian that has the daemon.

1. As the node image it is found by the digest of its sources, whatever its base.
2. The base is the newest Debian where that is at hand; else that of the node image, which has apt, so that
   no second Debian need be made: a quarter of a minute. `newest` makes the newest one all the same.
3. The tag is the version of the daemon.
"""

import hashlib
import io
import os
import re
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import docker

from lab import images
from lab.images import Base, ImageError, NodeImage, Say

REPOSITORY = "ipseclab/strongswan"
VARIABLE = "IPSECLAB_STRONGSWAN_BASE"
#: What the Dockerfile installs where the base has it not; kernel-libipsec is among the extra plugins.
PACKAGES = ("charon-systemd", "strongswan-swanctl", "libcharon-extra-plugins", "iproute2", "iputils-ping")
_VERSION_FILE = "/etc/ipseclab-version"
_VERSION = re.compile(r"(\d+\.\d+\.\d+[a-z0-9.]*)")


#: Debian forky has strongSwan 6.1; trixie, which the node image is made of, has 6.0.1.
NEWEST = Base(
    registry="debian:forky-slim",
    local="ipseclab/strongswan-base:forky",
    suite="forky",
    include=PACKAGES,
    variable=VARIABLE,
    kind="an image of Debian",
    target='peer-image ARGS="--newest"',
)


def directory(root: Path) -> Path:
    """Where the Dockerfile is."""
    return root / "peers" / "strongswan"


def source_digest(root: Path, asked: str = "") -> str:
    """SHA-256 over what the image is made of, and over the base that was asked for."""
    digest = hashlib.sha256("\0".join([asked, *PACKAGES]).encode())
    for path in sorted(path for path in directory(root).rglob("*") if path.is_file()):
        octets = path.read_bytes()
        digest.update(f"{path.name}\0{len(octets)}\0".encode())
        digest.update(octets)
    return digest.hexdigest()


def ensure_image(
    say: Say, client: docker.DockerClient | None = None, root: Path | None = None, *, newest: bool = False
) -> NodeImage:
    """The image for the sources in `root`: found, or made. Raises ImageError.

    IPSECLAB_STRONGSWAN_BASE forces the base image; `newest` makes the image anew on the newest Debian.
    """
    if client is None:
        with closing(images.connect()) as own:
            return ensure_image(say, own, root, newest=newest)
    root = root or images.project_root()
    asked = os.environ.get(VARIABLE, "")
    digest = source_digest(root, asked)
    with images.engine_errors("cannot look for the image of strongSwan"):
        if not newest and (found := images.find(client, digest)) is not None:
            return _described(client, found, digest, built=False)
    with images.only_one(root, say), images.engine_errors("cannot make the image of strongSwan"):
        # Somebody may have made it while this run waited.
        found = None if newest else images.find(client, digest)
        image = found or _build(client, root, _base(client, asked, say, newest), digest, say)
        return _described(client, image, digest, built=found is None)


def _base(client: docker.DockerClient, asked: str, say: Say, newest: bool) -> str:
    images.check_space(client)
    if asked or newest:
        return images.ensure_base(say, client, asked, NEWEST)
    if at_hand := images.base_at_hand(say, client, NEWEST):
        return at_hand
    say(f"no registry has {NEWEST.registry} within reach: taking the base of the node image")
    return images.ensure_base(say, client, os.environ.get(images.BASE_VARIABLE, ""))


def _build(client: docker.DockerClient, root: Path, base: str, digest: str, say: Say) -> Any:
    say(f"building {REPOSITORY} on {base}")
    arguments = {"BASE": base, "PACKAGES": " ".join(PACKAGES), "SOURCE": digest}
    image, _log = client.images.build(
        path=str(directory(root)), tag=f"{REPOSITORY}:latest", buildargs=arguments, rm=True, forcerm=True
    )
    say(f"built {REPOSITORY}: {int(image.attrs['Size']) / 1e6:.0f} MB")
    images.forget_old(client, str(image.id))
    return image


def _described(client: docker.DockerClient, image: Any, digest: str, *, built: bool) -> NodeImage:
    tags = [str(tag) for tag in image.tags if str(tag).startswith(f"{REPOSITORY}:")]
    versions = [tag for tag in tags if not tag.endswith(":latest")]
    if not versions:
        version = _read_version(client, str(image.id))
        image.tag(REPOSITORY, tag=version)
        versions = [f"{REPOSITORY}:{version}"]
    return NodeImage(str(image.id), versions[0], digest, built=built)


def _read_version(client: docker.DockerClient, image: str) -> str:
    """The version of the strongSwan in the image; nothing is run for it."""
    holder = client.api.create_container(image)["Id"]
    try:
        chunks, _ = client.api.get_archive(holder, _VERSION_FILE)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            said = file.read().decode("utf-8", "replace") if file else ""
    finally:
        client.api.remove_container(holder)
    found = _VERSION.match(said)
    if found is None:
        raise ImageError(f"no version of strongSwan in {said[:80]!r}: set {VARIABLE} to another base")
    return found[1]
