"""Probes of the Docker engine.

What they make is no lab: it carries a label of its own with the time, lives for a second, and what a killed
doctor left is removed by the next one.
"""

import ipaddress
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import docker
from docker.context import ContextAPI
from docker.errors import APIError, DockerException
from docker.types import IPAMConfig, IPAMPool
from requests.exceptions import RequestException

from lab import images, labels
from lab.backends import containers
from lab.backends.engine import gone_is_fine
from lab.doctor import host, kernel
from lab.doctor.findings import Finding, fail, ok, warn

#: Seconds for one request. A busy engine takes a second to start a container; a hanging one never answers.
REQUEST_TIMEOUT = 6
#: Seconds for a registry to say whether it has the base image. One that is firewalled off never does.
REGISTRY_TIMEOUT = 2
#: The label of what a probe made: when, in seconds of the epoch.
MADE = labels.PREFIX + "probe"
#: Seconds after which what a probe made is a leftover.
LEFT_OVER = 60
_PROCESS = "or use --backend process"
#: Probes whose findings nobody needs who looks for what keeps a lab down.
_EXTRAS = frozenset({"offloads", "udp-offloads", "steering", "ipv6"})


def probe(subnet: str | None, *, brief: bool = False) -> list[Finding]:
    """Everything about the engine; only its own finding where it does not answer. `brief`: what every lab
    needs.
    """
    try:
        client = images.connect(REQUEST_TIMEOUT)
        version = client.version()
    except images.ImageError as error:
        return [_unreachable(str(error))]
    except (DockerException, RequestException) as error:
        return [_unreachable(images.engine_trouble(str(error)))]
    jobs = [_image, partial(_network, subnet=subnet), _inside, _engine_disk, _sweep]
    jobs += [] if brief else [_network_ipv6, _capturing]
    with closing(client), ThreadPoolExecutor(len(jobs)) as pool:
        told = pool.map(lambda job: _guarded(partial(job, client)), jobs)
        found = [finding for findings in told for finding in findings]
    # A node that is not to be seen yet has no use for what makes it faster.
    shown = [finding for finding in found if not (brief and finding.probe in _EXTRAS)]
    return [_engine(version), *shown]


def _guarded(job: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return job()
    except (DockerException, RequestException) as error:
        fix = f"see `docker info` and the engine's log, {_PROCESS}"
        return [fail("engine", "E-ENGINE-ANSWER", _one_line(error), fix)]


def _mark() -> dict[str, str]:
    return {MADE: str(int(time.time())), labels.OWNER: labels.owner()}


def _sweep(client: docker.DockerClient) -> list[Finding]:
    """Remove what a doctor that was killed left behind."""
    api, mine = client.api, {"label": [MADE, f"{labels.OWNER}={labels.owner()}"]}
    jobs: list[tuple[Callable[[str], None], dict[str, Any]]]
    jobs = [(api.remove_container, found) for found in api.containers(all=True, filters=mine)]
    jobs += [(api.remove_network, found) for found in api.networks(filters=mine)]
    for remove, found in jobs:
        made = found["Labels"][MADE]
        if made.isdecimal() and time.time() - int(made) > LEFT_OVER:
            gone_is_fine(partial(remove, found["Id"]))
    return []


def _one_line(error: Exception) -> str:
    said = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(said).split())[-300:]


def _unreachable(text: str) -> Finding:
    found, _, fix = text.partition(": ")
    code = "E-ENGINE-PERM" if "no permission" in found else "E-ENGINE-DOWN"
    return fail("engine", code, found, f"{fix or 'see `docker info`'}, {_PROCESS}")


def _engine(version: dict[str, Any]) -> Finding:
    where = os.environ.get("DOCKER_HOST")
    if not where:
        where = f"context {ContextAPI.get_current_context().Name}"
    platform = f"{version['Os']}/{version['Arch']}"
    return ok("engine", f"Docker {version['Version']}, API {version['ApiVersion']}, {platform}, {where}")


# --- the image ---


def _image(client: docker.DockerClient) -> list[Finding]:
    """Whether the image is there for these sources, and if not, whether it can be made."""
    root = images.project_root()
    wanted = images.source_digest(root, os.environ.get(images.BASE_VARIABLE, ""))
    name = f"{images.REPOSITORY}:{images.version(root)}"
    current = client.images.list(filters={"label": f"{images.LABEL_SOURCE}={wanted}"})
    if current:
        return [ok("image", f"{name} is of these sources ({str(current[0].id)[7:19]})")]
    building = _building(client)
    if client.images.list(name=images.REPOSITORY):
        return [
            warn("image", "E-IMAGE-STALE", f"{name} is of other sources", "`up` makes it, or: make image"),
            building,
        ]
    return [warn("image", "E-IMAGE-NONE", f"no {name}", "`up` makes it, or: make image"), building]


def _building(client: docker.DockerClient) -> Finding:
    known = {images.REGISTRY_BASE, images.LOCAL_BASE, os.environ.get(images.BASE_VARIABLE, "")}
    there = sorted(known & {tag for image in client.images.list() for tag in image.tags})
    if there:
        return ok("base", f"{there[0]} is there to build on")
    if _registry_answers():
        return ok("base", f"a registry has {images.REGISTRY_BASE}")
    if os.geteuid() == 0 and (shutil.which("debootstrap") or shutil.which("apt-get")):
        return ok("base", f"no registry within reach; {images.LOCAL_BASE} can be made by debootstrap")
    fix = (
        f"`sudo make image` makes {images.LOCAL_BASE} by debootstrap, once (Debian and relatives); or set "
        f"{images.BASE_VARIABLE} to an image with Python {images.IMAGE_PYTHON}; {_PROCESS}"
    )
    return fail("base", "E-BASE-NONE", f"no registry has {images.REGISTRY_BASE} within reach", fix)


def _registry_answers() -> bool:
    with closing(docker.from_env(timeout=REGISTRY_TIMEOUT)) as client:
        try:
            client.images.get_registry_data(images.REGISTRY_BASE)
        except (APIError, RequestException):
            return False
    return True


def _engine_disk(client: docker.DockerClient) -> list[Finding]:
    """Room for images, where the engine's directory can be seen."""
    where = Path(str(client.info().get("DockerRootDir") or "/nowhere"))
    try:
        free = shutil.disk_usage(where).free
    except OSError:
        return []
    if free >= images.NEEDED_OCTETS:
        return [ok("engine-disk", f"{free >> 20} MiB free in {where}")]
    fix = "free some: docker system df, docker system prune"
    needed = f"{where} has {free >> 20} MiB free, an image needs {images.NEEDED_OCTETS >> 20} MiB"
    return [warn("engine-disk", "E-DISK-FULL", needed, fix)]


# --- the network ---


def routes(text: str) -> list[ipaddress.IPv4Network]:
    """The networks of a /proc/net/route, without the default route. Addresses are little-endian there."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(words[at]), "little") for at in (1, 7))
        if mask:
            found.append(ipaddress.IPv4Network((address, mask.bit_count())))
    return found


def _host_routes() -> list[ipaddress.IPv4Network]:
    table = Path("/proc/net/route")
    return routes(table.read_text()) if table.is_file() else []


@contextmanager
def _throw_away(
    client: docker.DockerClient, subnet: str | None, *, ipv6: bool = False
) -> Iterator[dict[str, Any]]:
    """A network as labs have it, for a moment."""
    pool = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]) if subnet else None
    name = f"ipseclab-doctor-{uuid.uuid4().hex[:8]}"
    made = client.api.create_network(
        name, driver="bridge", internal=True, ipam=pool, labels=_mark(), enable_ipv6=ipv6
    )
    try:
        yield client.api.inspect_network(made["Id"])
    finally:
        gone_is_fine(partial(client.api.remove_network, made["Id"]))


def _network(client: docker.DockerClient, subnet: str | None) -> list[Finding]:
    """Makes a network as a lab does and removes it again: a subnet is free, and nobody else uses it."""
    before = _host_routes()
    try:
        with _throw_away(client, subnet) as made:
            given = [str(entry["Subnet"]) for entry in made["IPAM"]["Config"]]
    except APIError as error:
        said = _one_line(error)
        if subnet is None:
            fix = "remove unused networks (docker network prune), or give --subnet 10.77.0.0/24"
            return [fail("network", "E-NET-POOL", said, fix)]
        return [fail("network", "E-NET-CLASH", f"{subnet}: {said}", "choose another --subnet, or none")]
    taken = [net for net in map(ipaddress.ip_network, given) for route in before if net.overlaps(route)]
    if taken:
        fix = "choose another --subnet"
        return [fail("network", "E-NET-CLASH", f"{taken[0]} overlaps with a route of this host", fix)]
    return [ok("network", f"made and removed one, {', '.join(given)}")]


def _network_ipv6(client: docker.DockerClient) -> list[Finding]:
    """The same with IPv6: a unique local prefix (RFC 4193), as random as it must be."""
    prefix = b"\xfd" + os.urandom(7) + bytes(8)
    subnet = f"{ipaddress.IPv6Address(prefix)}/64"
    try:
        with _throw_away(client, subnet, ipv6=True) as made:
            given = [str(entry["Subnet"]) for entry in made["IPAM"]["Config"]]
    except APIError as error:
        said, given = _one_line(error), []
    else:
        said = f"the engine made {', '.join(given) or 'none'} of {subnet}"
    if subnet in given:
        return [ok("network-ipv6", f"made and removed one, {subnet}")]
    fix = "only for IPv6 labs: see the engine's log; IPv6 may be off on its host (ipv6.disable=1)"
    return [warn("network-ipv6", "E-NET-IPV6", f"no network with IPv6: {said}", fix)]


# --- in a container ---

_SYSCTL = {"net.ipv6.conf.all.disable_ipv6": "0"}
#: What a node may do, and what a container that captures may.
_NODE = {
    "cap_add": ["NET_ADMIN", "SETUID", "SETGID"],
    "devices": [f"{containers.TUN_DEVICE}:{containers.TUN_DEVICE}:rwm"],
}
_SNIFFER = {"cap_add": ["NET_RAW"]}


def _inside(client: docker.DockerClient) -> list[Finding]:
    """TUN, ports, offloads and IPv6 in a container with the rights of a node; nothing where no image is."""
    image = _any_image(client)
    if image is None:
        return []
    words = ("tun", "ports", "udp", "steering", "ipv6")
    try:
        try:
            tried = _run(client, image, _NODE, words, _SYSCTL)
        except APIError as error:
            if "ipv6" not in _one_line(error) and "sysctl" not in _one_line(error):
                raise
            tried = _run(client, image, _NODE, words, {})
    except (APIError, _Stillborn) as error:
        return [_not_started(_one_line(error))]
    place = "in a container"
    return [
        kernel.tun_finding("tun", tried["tun"], True, place),
        *kernel.offload_finding("offloads", tried["tun"]),
        kernel.ports_finding("container-ports", tried["ports"]),
        kernel.udp_finding("udp-offloads", tried["udp"], place),
        kernel.steering_finding("steering", tried["steering"], place),
        kernel.ipv6_finding("ipv6", tried["ipv6"]),
    ]


def _capturing(client: docker.DockerClient) -> list[Finding]:
    """A packet socket in a container that may do that and nothing else."""
    image = _any_image(client)
    if image is None:
        return []
    try:
        why = _run(client, image, _SNIFFER, ("capture",), {})["capture"]
    except (APIError, _Stillborn) as error:
        why = _one_line(error)
    return [kernel.capture_finding("capture", why, "in a container with NET_RAW alone")]


def _any_image(client: docker.DockerClient) -> str | None:
    there = client.images.list(name=images.REPOSITORY)
    return str(there[0].id) if there else None


class _Stillborn(Exception):
    """A container that started and did not do what it should."""


def _run(
    client: docker.DockerClient,
    image: str,
    rights: Mapping[str, Any],
    words: Sequence[str],
    sysctls: Mapping[str, str],
) -> dict[str, Any]:
    """What `inside` tells of `words` in a container with these rights. Raises APIError, _Stillborn."""
    api = client.api
    settings = api.create_host_config(
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        read_only=True,
        sysctls=dict(sysctls),
        mem_limit=containers.MEMORY,
        pids_limit=16,
        **rights,
    )
    command = ["python", "-I", "-c", host.script(), *words]
    made = api.create_container(image, command, labels=_mark(), host_config=settings, stop_timeout=0)["Id"]
    try:
        api.start(made)
        code = int(api.wait(made)["StatusCode"])
        text = api.logs(made, stdout=True, stderr=code != 0).decode("utf-8", "replace")
    finally:
        gone_is_fine(partial(api.remove_container, made, force=True))
    if code != 0:
        raise _Stillborn(text.strip() or f"exit code {code}")
    told: dict[str, Any] = json.loads(text)
    return told


def _not_started(said: str) -> Finding:
    if containers.TUN_DEVICE in said:
        fix = f"on the engine's host: sudo modprobe tun; {_PROCESS}"
        return fail("tun", "E-TUN-DEVICE", f"the engine's host has no {containers.TUN_DEVICE}: {said}", fix)
    fix = f"try `docker run --rm {images.REPOSITORY} true`, then the engine's log; {_PROCESS}"
    return fail("container", "E-CONTAINER", f"a container like a node's does not start: {said}", fix)
