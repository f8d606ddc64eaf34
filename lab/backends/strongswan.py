"""strongSwan in a container: its files put into its volume, its commands, its log.

1. The volume holds everything under /etc/swanctl; nobody else mounts it. It is filled before the first start.
2. Certificate and key come out of the CA's volumes by way of the engine: charon is root without the right to
   read other users' files, such as the CA's.
3. charon is asked by swanctl, and tells by its log on stderr.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Interface
from typing import Any

from docker.errors import NotFound

from lab.backends.base import Answer
from lab.backends.engine import write
from lab.errors import CheckFailed, EnvironmentNotReady
from lab.peers import commands, planned, sas
from lab.peers.sas import HALF_OPEN, IkeSa
from lab.peers.strongswan import DIRECTORY
from lab.peers.vici import ViciError
from lab.plan import NodePlan, Plan
from lab.wire.readdress import mirrored

_PEM_END = "-----END CERTIFICATE-----\n"

Ask = Callable[[Sequence[str]], Answer]
Files = Mapping[str, bytes]

#: A container's end of the lab's network.
LINK = "eth0"


def furnish(api: Any, ca: str, container: str, plan: Plan, node: NodePlan) -> None:
    """Fill the container's volume with what the plan says and what the CA made.

    Raises EnvironmentNotReady.
    """
    try:
        wanted = planned.files(plan, node)
    except ValueError as error:
        raise EnvironmentNotReady(f"{node.name}: {error}: see docs/interop.md") from error
    files = configuration(wanted)
    if wanted.credentials:
        files |= credentials(api, ca, node.name)
    put(api, container, files)


def configuration(files: planned.Files) -> dict[str, bytes]:
    """The two files of settings, by their paths in the volume."""
    return {"strongswan.conf": files.strongswan.encode(), "swanctl.conf": files.swanctl.encode()}


def credentials(api: Any, ca: str, name: str, authority: str = "ca", own: str = "") -> dict[str, bytes]:
    """The CA's certificate, and certificate and key of `name`, by their paths in the volume, from a container
    that mounts the CA's volumes. `own` names the files, where they are not to be called as the node.
    """
    file = planned.certificate(own or name)
    chain = _read(api, ca, f"/pki/certs/{name}-cert.pem").decode("ascii").split(_PEM_END)
    certificates = [part + _PEM_END for part in chain if part.strip()]
    # swanctl reads the first certificate of a file and no other.
    named = {f"x509/{file if not n else f'{n}-{file}'}": text for n, text in enumerate(certificates)}
    return {
        f"x509ca/{authority}.pem": _read(api, ca, f"/pki/certs/{authority}-cert.pem"),
        **{path: text.encode("ascii") for path, text in named.items()},
        f"private/{file}": _read(api, ca, f"/pki/keys/{name}/{name}-key.pem"),
    }


def _read(api: Any, container: str, path: str) -> bytes:
    try:
        chunks, _ = api.get_archive(container, path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            file = archive.extractfile(archive.getmembers()[0])
            return file.read() if file is not None else b""
    except NotFound:
        raise EnvironmentNotReady(
            f"{path} is not there: the CA made no such file, and a strongSwan with certificates needs it"
        ) from None


def put(api: Any, container: str, files: Files) -> None:
    """Write files into the container's volume: root's, and nobody else's to read."""
    write(api, container, DIRECTORY, files)


def control(ask: Ask, node: str, words: Sequence[str]) -> dict[str, Any]:
    """What `ctl` of the lab's own nodes does: its answer as JSON values. Raises CheckFailed."""
    doing = f"{node}: ctl {' '.join(words)}"
    try:
        command = commands.of(words)
    except ValueError as error:
        raise CheckFailed(f"{doing}: {error}") from None
    if words[0] == commands.STATUS:
        return sas.status(node, listed(ask, node))
    # A half-open IKE SA has no name yet.
    known = listed(ask, node) if command.every else ()
    names = [sa.name for sa in known if sa.state not in HALF_OPEN]
    said: list[str] = []
    for argv in command.calls(names):
        said += _said(ask(argv), doing)
    return {"ok": True, "said": said}


def listed(ask: Ask, node: str) -> tuple[IkeSa, ...]:
    """The SAs of the node. Raises CheckFailed."""
    doing = f"{node}: list of SAs"
    answer = ask(commands.of([commands.STATUS]).argv)
    _said(answer, doing)
    try:
        return sas.parse(answer.out)
    except ViciError as error:
        raise CheckFailed(f"{doing}: {error}") from None


def _said(answer: Answer, doing: str) -> list[str]:
    if answer.code == 0:
        return answer.out.splitlines()
    lines = list(_lines(answer.err)) or list(_lines(answer.out)) or [f"exit code {answer.code}"]
    raise CheckFailed(f"{doing}: {lines[-1]}")


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip())


def readdress(ask: Ask, node: str) -> None:
    """Another outer address in place of the one that the container has. Raises CheckFailed."""
    (link,) = json.loads(_ip(ask, node, "-j", "-4", "addr", "show", "dev", LINK))
    (found,) = (info for info in link["addr_info"] if info["scope"] == "global")
    old = IPv4Interface(f"{found['local']}/{found['prefixlen']}")
    for verb, address in (("del", old), ("add", mirrored(old))):
        _ip(ask, node, "addr", verb, str(address), "dev", LINK)


def _ip(ask: Ask, node: str, *words: str) -> str:
    return "\n".join(_said(ask(["ip", *words]), f"{node}: ip {' '.join(words)}"))
