"""The asking side of a control socket."""

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from typing import Any


def ask(path: str, request: Mapping[str, Any], patience: float, most: int) -> dict[str, Any]:
    """Send one request and wait for its answer: `patience` seconds, `most` octets.

    Raises OSError, or ValueError for an answer that is none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        octets = _line(connection, most)
    answer = json.loads(octets)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer


def _line(connection: socket.socket, most: int) -> bytes:
    octets = b""
    while not octets.endswith(b"\n"):
        part = connection.recv(65_536)
        if not part or len(octets) > most:
            raise ValueError("the answer broke off")
        octets += part
    return octets


def become_owner(path: str) -> None:
    """As root, turn into the user who listens there.

    Only that user may open the socket, and root in a container has no capability to override that, but
    SETUID and SETGID. Where it has not even those, the connection decides.
    """
    found = os.stat(path)
    if os.geteuid() == 0 and found.st_uid != 0:
        with contextlib.suppress(PermissionError):
            os.setgroups([])
            os.setresgid(found.st_gid, found.st_gid, found.st_gid)
            os.setresuid(found.st_uid, found.st_uid, found.st_uid)
