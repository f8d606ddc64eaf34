"""`python -m lab.wire ctl`: ask a running relay over its control socket, and print its answer.

Exit codes: 0 ok, 1 the relay says no, 2 usage, 4 no relay answers.
"""

import contextlib
import json
import os
import socket
from collections.abc import Mapping
from typing import Any

#: Seconds until an answer must have come, and octets of an answer: 256 mappings are below 64 KiB.
PATIENCE, MAX_ANSWER = 3.0, 1 << 20

OK, REFUSED, UNREACHABLE = 0, 1, 4


def run(path: str, request: Mapping[str, Any]) -> int:
    """Send a request and print the answer as one line of JSON; returns the exit code."""
    try:
        _become_owner(path)
        answer = ask(path, request)
        code = OK if answer.get("ok") is True else REFUSED
    except (OSError, ValueError) as error:
        answer = {"ok": False, "error": f"{path}: {error}; is the relay running?"}
        code = UNREACHABLE
    print(json.dumps(answer))
    return code


def ask(path: str, request: Mapping[str, Any], patience: float = PATIENCE) -> dict[str, Any]:
    """Send one request and wait for its answer. Raises OSError, or ValueError for an answer that is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(patience)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        octets = b""
        while not octets.endswith(b"\n"):
            part = connection.recv(65_536)
            if not part or len(octets) > MAX_ANSWER:
                raise ValueError("the answer broke off")
            octets += part
    answer = json.loads(octets)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer


def _become_owner(path: str) -> None:
    """As root, turn into the user whose relay it is: only that user may open the socket, and root in a
    container has no capability to override that. Where it may not even turn, the connection decides.
    """
    found = os.stat(path)
    if os.geteuid() == 0 and found.st_uid != 0:
        with contextlib.suppress(PermissionError):
            os.setgroups([])
            os.setresgid(found.st_gid, found.st_gid, found.st_gid)
            os.setresuid(found.st_uid, found.st_uid, found.st_uid)
