"""`python -m lab.wire ctl`: ask a running relay over its control socket, and print its answer.

Exit codes: 0 ok, 1 the relay says no, 2 usage, 4 no relay answers.
"""

import json
from collections.abc import Mapping
from typing import Any

from linetalk.client import ask, become_owner

#: Seconds until an answer must have come, and octets of an answer: 256 mappings are below 64 KiB.
PATIENCE, MAX_ANSWER = 3.0, 1 << 20

OK, REFUSED, UNREACHABLE = 0, 1, 4


def run(path: str, request: Mapping[str, Any]) -> int:
    """Send a request and print the answer as one line of JSON; returns the exit code."""
    try:
        become_owner(path)
        answer = ask(path, request, PATIENCE, MAX_ANSWER)
        code = OK if answer.get("ok") is True else REFUSED
    except (OSError, ValueError) as error:
        answer = {"ok": False, "error": f"{path}: {error}; is the relay running?"}
        code = UNREACHABLE
    print(json.dumps(answer))
    return code
