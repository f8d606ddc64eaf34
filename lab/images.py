"""The node image: is it there for these sources, and if not, how it is made without a registry or an index.

1. `ensure_image` is cheap when nothing changed: one digest over the build inputs, one question to the engine.
2. The digest is a label of the image. Tags only point at it, so two working trees can share one engine.
3. No host name is written here: the registry is the engine's, the mirror is apt's, the index is pip's.
4. What fails is an `ImageError`: one line with the remedy. Nothing half made gets a name that counts.

What must not be here: containers, networks, volumes, scenarios.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.constants import DEFAULT_TIMEOUT_SECONDS
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

from lab.errors import EnvironmentNotReady, ExitCode

REPOSITORY = "ipseclab/node"
REGISTRY_BASE = "python:3.13-slim"
LOCAL_BASE = "ipseclab/base:trixie"
LOCAL_SUITE = "trixie"
IMAGE_PYTHON = "3.13"
LABEL_SOURCE = "org.ipseclab.source"
LABEL_STAGE = "org.ipseclab.stage"
BASE_VARIABLE = "IPSECLAB_BASE"

# A registry that answers does so within a second; one that is firewalled off never does.
REGISTRY_TIMEOUT = 8
# Unpacked Debian, its tar stream in the engine, the image and the wheels, with room to spare.
NEEDED_OCTETS = 1 << 30
# debootstrap takes under a minute on two cores with a near mirror; a mirror slower than this is broken.
DEBOOTSTRAP_TIMEOUT = 1200.0
PIP_TIMEOUT = 600.0
# Images of earlier sources that stay for a quick way back; older untagged ones are removed.
KEEP_OLD_IMAGES = 3
# Newest first. pip takes a wheel for any of them; Debian trixie has glibc 2.41, the slim image the same.
_GLIBC_MINORS = (*range(41, 16, -1), 12, 5)
_SOURCES = ("Dockerfile", ".dockerignore", "requirements/node.txt", "requirements/pip.txt", "lab/__init__.py")
_PACKAGES = ("ca", "node", "yamlschema", "linetalk", "lab/wire")
# What a container never reads, relative to the root of a Debian tree. Copyright files stay.
_STRIP = (
    "usr/share/man/*",
    "usr/share/info/*",
    "usr/share/locale/*",
    "usr/share/lintian/*",
    "usr/share/bash-completion/*",
    "usr/share/doc/*/changelog*",
    "usr/share/doc/*/NEWS*",
    "usr/share/doc/*/README*",
    "usr/share/doc/*/examples",
    "var/cache/apt/*",
    "var/cache/debconf/*",
    "var/lib/apt/lists/*",
    "var/log/*",
    "tmp/*",
    "dev/*",
)

_SCRIPTS = Path("/usr/share/debootstrap/scripts")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Base:
    """An image to build on: pulled as `registry`, or made here as `local` with debootstrap out of `suite`
    with the packages `include`. `variable` names another one, which must be `kind`; `make TARGET` makes it.
    """

    registry: str
    local: str
    suite: str
    include: tuple[str, ...]
    variable: str
    kind: str
    target: str


NODE_BASE = Base(
    registry=REGISTRY_BASE,
    local=LOCAL_BASE,
    suite=LOCAL_SUITE,
    include=("python3",),
    variable=BASE_VARIABLE,
    kind=f"an image with Python {IMAGE_PYTHON}",
    target="image",
)


class ImageError(EnvironmentNotReady):
    """The image cannot be had; the text is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class NodeImage:
    """An image to run. `image_id` is exact; `reference` is for people and may move to another build."""

    image_id: str
    reference: str
    digest: str
    built: bool


def project_root() -> Path:
    """The checkout that holds the Dockerfile; the lab is always run from one."""
    return Path(__file__).resolve().parents[1]


def version(root: Path) -> str:
    """The version in pyproject.toml, which is also the tag of the image."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def connect(timeout: int = DEFAULT_TIMEOUT_SECONDS) -> docker.DockerClient:
    """The engine of the environment (DOCKER_HOST, context, default socket); `timeout` is that of a request in
    seconds. ImageError says what is wrong.
    """
    try:
        return docker.from_env(timeout=timeout)
    except (DockerException, RequestException) as error:
        raise ImageError(engine_trouble(str(error))) from error


def engine_trouble(text: str) -> str:
    """What the SDK's error means, and the remedy."""
    where = os.environ.get("DOCKER_HOST", "the default socket or context")
    if "Permission denied" in text or "PermissionError" in text:
        return (
            f"no permission to use Docker at {where}: add yourself to the group `docker` "
            "(sudo usermod -aG docker $USER, then log in again)"
        )
    if "FileNotFoundError" in text or "Connection refused" in text or "ConnectionRefused" in text:
        return f"Docker is not running at {where}: start it (sudo systemctl start docker), or set DOCKER_HOST"
    return f"Docker at {where} does not answer: {one_line(text)}"


def one_line(text: str, limit: int = 300) -> str:
    """The end of a text, as one line."""
    return " ".join(text.split())[-limit:]


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except BuildError as error:
        raise ImageError(_full_or(f"{doing}: {one_line(error.msg)}")) from error
    except APIError as error:
        raise ImageError(_full_or(f"{doing}: {one_line(str(error.explanation or error))}")) from error
    except (DockerException, RequestException) as error:
        raise ImageError(f"{doing}: {engine_trouble(str(error))}") from error


def _full_or(text: str) -> str:
    if "no space left on device" in text.lower():
        return f"{text}: free some (docker system df, docker system prune) and run it again"
    return text


# --- is it there ---


def source_files(root: Path) -> list[Path]:
    """Every file that the build reads, sorted; what an editor or Python leaves behind does not count."""
    packages = (path for package in _PACKAGES for path in (root / package).rglob("*"))
    kept = (path for path in packages if "__pycache__" not in path.parts and path.suffix != ".pyc")
    return sorted(path for path in [*(root / name for name in _SOURCES), *kept] if path.is_file())


def source_digest(root: Path, base: str = "") -> str:
    """SHA-256 over names, lengths and octets of the build inputs, and over the base that was asked for."""
    digest = hashlib.sha256(f"{base}\0".encode())
    for path in source_files(root):
        octets = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(octets)}\0".encode())
        digest.update(octets)
    return digest.hexdigest()


def find(client: docker.DockerClient, digest: str) -> Any | None:
    """The image that was made of sources with this digest, if the engine has it."""
    found = client.images.list(filters={"label": f"{LABEL_SOURCE}={digest}"})
    return found[0] if found else None


def _tag(image: Any, tag: str) -> None:
    for name in (tag, "latest"):
        if f"{REPOSITORY}:{name}" not in image.tags:
            image.tag(REPOSITORY, tag=name)


@contextmanager
def only_one(root: Path, say: Say) -> Iterator[None]:
    """Two runs in one checkout would build the same thing twice: the second waits and finds it made."""
    path = root / ".ipseclab" / "image.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is making the image: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_image(
    say: Say, client: docker.DockerClient | None = None, root: Path | None = None, base: str | None = None
) -> NodeImage:
    """The image for the sources in `root`: found in well under 0.3 s, or made. Raises ImageError.

    `base` (or IPSECLAB_BASE) forces the base image; otherwise see `ensure_base`.
    """
    if client is None:
        with closing(connect()) as own:
            return ensure_image(say, own, root, base)
    root = root or project_root()
    asked = base or os.environ.get(BASE_VARIABLE, "")
    digest, tag = source_digest(root, asked), version(root)
    with engine_errors("cannot look for the node image"):
        image = find(client, digest)
        if image is not None:
            _tag(image, tag)
            return NodeImage(str(image.id), f"{REPOSITORY}:{tag}", digest, built=False)
    with only_one(root, say):
        return _make(client, root, asked, digest, tag, say)


def _make(client: docker.DockerClient, root: Path, asked: str, digest: str, tag: str, say: Say) -> NodeImage:
    """Under the lock: somebody may have made it while this run waited."""
    with engine_errors("cannot make the node image"):
        image, built = find(client, digest), False
        if image is None:
            check_space(client)
            base = ensure_base(say, client, asked)
            fill_wheelhouse(root, _architecture(client), say)
            image, built = _build(client, root, base, digest, tag, say), True
        _tag(image, tag)
        if built:
            forget_old(client, str(image.id))
    return NodeImage(str(image.id), f"{REPOSITORY}:{tag}", digest, built)


def check_space(client: docker.DockerClient) -> None:
    """Raises ImageError where too little is left. Only where the engine's directory can be seen: elsewhere it
    will say so itself.
    """
    where = str(client.info().get("DockerRootDir", ""))
    if not where or not Path(where).is_dir():
        return
    free = shutil.disk_usage(where).free
    if free < NEEDED_OCTETS:
        raise ImageError(
            f"{where} has {free >> 20} MiB free, the image needs {NEEDED_OCTETS >> 20} MiB: "
            "free some (docker system df, docker system prune)"
        )


def _build(client: docker.DockerClient, root: Path, base: str, digest: str, tag: str, say: Say) -> Any:
    say(f"building {REPOSITORY}:{tag} on {base}")
    started = time.monotonic()
    image, _log = client.images.build(
        path=str(root),
        tag=f"{REPOSITORY}:{tag}",
        buildargs={"BASE": base, "VERSION": tag, "SOURCE": digest},
        rm=True,
        forcerm=True,
    )
    size = int(image.attrs["Size"]) / 1e6
    say(f"built {REPOSITORY}:{tag}: {size:.0f} MB in {time.monotonic() - started:.1f} s")
    return image


def forget_old(client: docker.DockerClient, current: str) -> None:
    """Remove untagged images of earlier sources but the newest few; one that a container uses stays."""
    for kind, keep in ((LABEL_SOURCE, KEEP_OLD_IMAGES), (LABEL_STAGE, KEEP_OLD_IMAGES)):
        old = client.images.list(filters={"label": kind, "dangling": True})
        old.sort(key=lambda image: str(image.attrs.get("Created", "")), reverse=True)
        for image in old[keep:]:
            if image.id != current:
                _remove(client, str(image.id))


def _remove(client: docker.DockerClient, image_id: str) -> None:
    try:
        client.images.remove(image_id, noprune=False)
    except (NotFound, APIError) as error:
        # 404: another run was first. 409: a container or a newer image stands on it, so it is not old.
        if getattr(error, "status_code", None) not in (404, 409):
            raise


# --- the base ---


def ensure_base(
    say: Say, client: docker.DockerClient | None = None, asked: str = "", base: Base = NODE_BASE
) -> str:
    """A reference to an image to build on: asked for, present, pulled, or made here.

    Order: `asked`; that of the registry if present; the local base if present; that of the registry if it
    answers; else the local base made by debootstrap, which takes root once. Raises ImageError.
    """
    if client is None:
        with closing(connect()) as own:
            return ensure_base(say, own, asked, base)
    with engine_errors("cannot get a base image"):
        if asked:
            return _asked_base(client, asked, say, base)
        if at_hand := base_at_hand(say, client, base):
            return at_hand
        say(f"no registry has {base.registry} within reach: making {base.local} by debootstrap (a minute)")
        return _make_base(client, say, base)


def base_at_hand(say: Say, client: docker.DockerClient, base: Base) -> str:
    """A reference to the base where it is present or a registry has it; empty where it must be made."""
    for present in (base.registry, base.local):
        if _present(client, present):
            return present
    if not _registry_has(client, base.registry):
        return ""
    say(f"pulling {base.registry}")
    client.images.pull(base.registry)
    return base.registry


def _asked_base(client: docker.DockerClient, asked: str, say: Say, base: Base) -> str:
    if not _present(client, asked):
        say(f"pulling {asked}")
        try:
            client.images.pull(asked)
        except APIError as error:
            why = one_line(str(error.explanation or error))
            raise ImageError(
                f"{base.variable}={asked}: not present, and not to be pulled ({why}): "
                "name an image that `docker images` lists, or leave the variable out"
            ) from error
    return asked


def _present(client: docker.DockerClient, reference: str) -> bool:
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


def _registry_has(client: docker.DockerClient, reference: str) -> bool:
    """Ask for the manifest only, with a short time-out: a pull would hang where a firewall drops packets."""
    before = client.api.timeout
    client.api.timeout = REGISTRY_TIMEOUT
    try:
        client.images.get_registry_data(reference)
    except (APIError, RequestException):
        return False
    finally:
        client.api.timeout = before
    return True


def _make_base(client: docker.DockerClient, say: Say, base: Base) -> str:
    _check_can_bootstrap(client, base)
    _install_debootstrap(say)
    scratch = Path(tempfile.mkdtemp(prefix="ipseclab-base-", dir=_scratch_parent()))
    try:
        tree = scratch / "root"
        started = time.monotonic()
        _debootstrap(tree, base)
        strip_tree(tree)
        _import(client, tree, base.local)
        say(f"made {base.local} in {time.monotonic() - started:.0f} s")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return base.local


def _scratch_parent() -> str:
    """/tmp is often a small memory disk, mounted nodev, which debootstrap refuses."""
    parent = os.environ.get("TMPDIR", "/var/tmp")
    free = shutil.disk_usage(parent).free
    if free < NEEDED_OCTETS:
        raise ImageError(
            f"{parent} has {free >> 20} MiB free, making the base needs {NEEDED_OCTETS >> 20} MiB: "
            "free some, or set TMPDIR to another directory"
        )
    return parent


def _check_can_bootstrap(client: docker.DockerClient, base: Base = NODE_BASE) -> None:
    engine, here = _architecture(client), os.uname().machine
    remedy = f"set {base.variable} to {base.kind} that the engine has"
    if sys.platform != "linux" or not (shutil.which("debootstrap") or shutil.which("apt-get")):
        raise ImageError(f"debootstrap runs on Debian and its relatives only: {remedy}")
    if engine != here:
        raise ImageError(
            f"this host is {here}, the engine {engine}: debootstrap cannot bridge that: {remedy}"
        )
    if os.geteuid() != 0:
        raise ImageError(f"making {base.local} takes root, once: run `sudo make {base.target}`, or {remedy}")


def _architecture(client: docker.DockerClient) -> str:
    """The engine's machine in the words of uname and of wheels: x86_64, aarch64."""
    arch = str(client.version()["Arch"])
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(arch)
    if machine is None:
        raise ImageError(f"the engine's architecture {arch} is not supported: use an amd64 or arm64 engine")
    return machine


def _run(command: Iterable[str], doing: str, timeout: float, env: Mapping[str, str] | None = None) -> str:
    """Output of `command`; ImageError with its last lines if it fails, is not there, or hangs."""
    words = list(command)
    merged = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=merged, check=False)
    except FileNotFoundError as error:
        raise ImageError(f"{doing}: {words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{doing}: {words[0]} did not end within {timeout:.0f} s") from error
    if done.returncode != 0:
        tail = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()][-3:]
        raise ImageError(_full_or(f"{doing}: {words[0]} failed: {one_line(' | '.join(tail))}"))
    return done.stdout


def _install_debootstrap(say: Say) -> None:
    if shutil.which("debootstrap") and _keyring().is_file():
        return
    say("installing debootstrap with apt-get")
    doing, quiet = "cannot install debootstrap", {"DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "-qq", "update"], doing, PIP_TIMEOUT, quiet)
    _run(
        [
            "apt-get",
            "-qq",
            "-y",
            "--no-install-recommends",
            "install",
            "debootstrap",
            "debian-archive-keyring",
        ],
        doing,
        PIP_TIMEOUT,
        quiet,
    )


def _keyring() -> Path:
    return Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def parse_mirror(targets: str) -> str:
    """The first Debian mirror in lines of `URI ORIGIN LABEL`, or "" (debootstrap has a default)."""
    for line in targets.splitlines():
        match line.split():
            case [uri, "Debian", "Debian"] if uri.startswith(("http://", "https://", "file:")):
                return uri.rstrip("/")
    return ""


def _apt_mirror() -> list[str]:
    command = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI) $(ORIGIN) $(LABEL)",
        "Created-By: Packages",
    ]
    mirror = parse_mirror(_run(command, "cannot read apt's configuration", 60))
    return [mirror] if mirror else []


def _apt_proxy() -> dict[str, str]:
    found = _run(["apt-config", "shell", "P", "Acquire::http::Proxy"], "cannot read apt's configuration", 60)
    proxy = found.strip().removeprefix("P=").strip("'")
    return {"http_proxy": proxy} if proxy else {}


def _debootstrap(tree: Path, base: Base) -> None:
    """Signatures are always checked: without the release's key in the keyring this fails and says so."""
    command = ["debootstrap", "--force-check-gpg", f"--keyring={_keyring()}", "--variant=minbase"]
    command += [f"--include={','.join(base.include)}", base.suite, str(tree)]
    if (_SCRIPTS / base.suite).exists():
        command += _apt_mirror()
    else:
        # A debootstrap older than the suite: all suites of this century are made as sid is.
        command += [*(_apt_mirror() or [""]), str(_SCRIPTS / "sid")]
    _run(command, f"cannot make {base.local}", DEBOOTSTRAP_TIMEOUT, _apt_proxy())


def strip_tree(tree: Path) -> None:
    """Remove from a Debian tree what no container reads: about half of it."""
    for pattern in _STRIP:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _import(client: docker.DockerClient, tree: Path, reference: str) -> None:
    """Stream the tree into the engine; a tar on disk would need as much room again."""
    command = ["tar", "--numeric-owner", "--sort=name", "-C", str(tree), "-c", "."]
    repository, tag = reference.split(":")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tar:
        answer = client.api.import_image_from_stream(
            tar.stdout,
            repository=repository,
            tag=tag,
            changes=["ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        )
    if tar.returncode != 0 or '"error"' in str(answer):
        client.images.remove(reference) if _present(client, reference) else None
        raise ImageError(_full_or(f"cannot import {reference}: {one_line(str(answer))}"))


# --- the wheels ---


def wheel_platforms(machine: str) -> list[str]:
    """Platform tags of wheels that the image can run, newest first, for pip's `--platform`."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS]
    legacy = ["manylinux2014", "manylinux2010", "manylinux1"] if machine == "x86_64" else ["manylinux2014"]
    return [*tags, *(f"{name}_{machine}" for name in legacy)]


def fill_wheelhouse(root: Path, machine: str, say: Say) -> Path:
    """Fill `.wheelhouse/` from the lock files by the host's pip, hashes checked. Raises ImageError.

    A stamp that names the lock files' digest and the machine says that they are all there.
    """
    house, locks = root / ".wheelhouse", [root / "requirements" / name for name in ("node.txt", "pip.txt")]
    key = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks) + machine.encode()).hexdigest()
    stamp = house / ".stamp"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == key:
        return house
    say(f"fetching the wheels of the image (Python {IMAGE_PYTHON}, {machine}) with pip")
    house.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=house, prefix=".fill-") as fresh:
        _download(locks, Path(fresh), machine)
        stamp.unlink(missing_ok=True)
        for old in house.glob("*.whl"):
            old.unlink()
        for wheel in Path(fresh).glob("*.whl"):
            wheel.rename(house / wheel.name)
    stamp.write_text(key, encoding="utf-8")
    return house


def _download(locks: list[Path], target: Path, machine: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--only-binary=:all:", "--no-deps", "--dest", str(target)]
    command += ["--implementation", "cp", "--python-version", IMAGE_PYTHON]
    command += [word for abi in ("cp313", "abi3", "none") for word in ("--abi", abi)]
    command += [word for tag in wheel_platforms(machine) for word in ("--platform", tag)]
    for lock in locks:
        _run([*command, "-r", str(lock)], f"cannot fetch the wheels of {lock.name}", PIP_TIMEOUT)


def main() -> int:
    """`python -m lab.images`: make the image if need be, say which one it is. 0, or 4 with one line."""

    def say(line: str) -> None:
        print(f"image: {line}", file=sys.stderr, flush=True)

    try:
        image = ensure_image(say)
    except ImageError as error:
        say(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    state = "built" if image.built else "up to date"
    print(f"{image.reference} {state} ({image.image_id.removeprefix('sha256:')[:12]})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
