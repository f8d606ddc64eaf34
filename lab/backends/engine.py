"""Talking to the Docker engine: errors in words a user can act on, and running commands in containers.

`run` does not use the SDK's own stream of an exec: that reads the socket behind the buffer in which HTTP
parsing may have left the first octets of output, so a fast command's output could vanish.
"""

import io
import struct
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from lab.errors import EnvironmentNotReady, LabError
from lab.text import printable

#: A container's network endpoint has these in front of every frame of a stream without terminal: stream, 0 0
#: 0, length.
_FRAME = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2

_REMEDIES = (
    (
        "pool overlaps",
        "the subnet is taken by another network: choose another --subnet, or leave it to Docker",
    ),
    (
        "invalid pool request",
        "the subnet is taken or no subnet: choose another --subnet, or leave it to Docker",
    ),
    (
        "no available ipv4 addresses on this network",
        "the lab has more nodes than --subnet has addresses: choose a larger one, or leave it to Docker",
    ),
    (
        "address pool",
        "Docker has no free subnet left: remove unused networks (docker network prune) or give --subnet",
    ),
    (
        "predefined address pools",
        "Docker has no free subnet left: remove unused networks (docker network prune) or give --subnet",
    ),
    ("no space left on device", "the disk is full: free some space (docker system df, docker system prune)"),
    (
        "/dev/net/tun",
        "the engine's host has no /dev/net/tun: load it (sudo modprobe tun), or use --backend process",
    ),
    ("no such image", "the node image is gone: run `ipseclab image`"),
    (
        "is already in use by container",
        "another lab has this name: choose one with -n, or remove it with `ipseclab down`",
    ),
    (
        "has active endpoints",
        "something that is not of this lab is connected to its network: disconnect it, then run down again",
    ),
    (
        "volume is in use",
        "a container that is not of this lab uses this volume: remove that container, then run down again",
    ),
    ("permission denied", "add yourself to the group docker, or set DOCKER_HOST to an engine of your own"),
)


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn the SDK's errors into EnvironmentNotReady: what was done, what the engine says, what helps."""
    try:
        yield
    except APIError as error:
        raise explain(doing, str(error.explanation or error)) from error
    except (DockerException, RequestException, OSError) as error:
        raise explain(doing, str(error)) from error


def explain(doing: str, said: str) -> LabError:
    """One line for what the engine said."""
    said = printable(" ".join(said.split()))[:400]
    low = said.lower()
    remedy = next(
        (remedy for sign, remedy in _REMEDIES if sign in low), "see `docker info` and the engine's log"
    )
    return EnvironmentNotReady(f"{doing}: {said}: {remedy}")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    out: bytes
    err: bytes


class ExecStream:
    """The two ends of a running exec: `read` yields (STDOUT or STDERR, octets) until the command ends."""

    def __init__(self, response: Any, terminal: bool) -> None:
        # The response owns the socket: it must live as long as the stream.
        self._response, self._terminal = response, terminal
        self._reader = response.raw._fp.fp
        self._socket = self._reader.raw._sock
        # A command may be silent for longer than the timeout of a request.
        self._socket.settimeout(None)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Output as it comes."""
        if self._terminal:
            while octets := self._reader.read1(65536):
                yield STDOUT, octets
            return
        while len(header := self._reader.read(_FRAME.size)) == _FRAME.size:
            stream, size = _FRAME.unpack(header)
            yield stream, self._reader.read(size)

    def write(self, octets: bytes) -> None:
        """Input for the command."""
        self._socket.sendall(octets)

    def close_input(self) -> None:
        """No more input."""
        self._socket.shutdown(1)

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()
        self._socket.close()


def open_exec(api: Any, exec_id: str, terminal: bool) -> ExecStream:
    """Start an exec and take over its connection."""
    response = api._post_json(
        api._url("/exec/{0}/start", exec_id),
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        data={"Tty": terminal, "Detach": False},
        stream=True,
    )
    api._raise_for_status(response)
    return ExecStream(response, terminal)


def run(api: Any, container: str, command: list[str], user: str = "") -> Ran:
    """Run a command in a container and collect what it writes."""
    exec_id = cast(str, api.exec_create(container, command, user=user)["Id"])
    stream = open_exec(api, exec_id, terminal=False)
    parts: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
    try:
        for number, octets in stream.read():
            parts.setdefault(number, []).append(octets)
    finally:
        stream.close()
    code = api.exec_inspect(exec_id)["ExitCode"]
    return Ran(int(code or 0), b"".join(parts[STDOUT]), b"".join(parts[STDERR]))


def end_stream(stream: Any) -> None:
    """Give back the connection of a log stream; its own `close` wakes a reader, but keeps the descriptor."""
    stream._response.close()


def gone_is_fine(action: Callable[[], object]) -> bool:
    """Do it; False where the thing is gone already, or somebody else is removing it."""
    try:
        action()
    except NotFound:
        return False
    except APIError as error:
        if error.status_code == 409 and "in progress" in str(error.explanation):
            return False
        raise
    return True


def write(api: Any, container: str, directory: str, files: Mapping[str, bytes], owner: int = 0) -> None:
    """Write files into a directory of a container, which need not run: for their owner alone to read."""
    octets = io.BytesIO()
    with tarfile.open(fileobj=octets, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.uid, member.gid = len(content), 0o600, owner, owner
            archive.addfile(member, io.BytesIO(content))
    api.put_archive(container, directory, octets.getvalue())
