"""What comes back over a control socket: one line for each request, in their order.

{"ok": true, "deleted": 1}
{"ok": false, "error": "unknown command 'statsu' (did you mean 'status'?)"}
"""

import json
from collections.abc import Mapping
from typing import Any


class RequestError(Exception):
    """A request that cannot be understood or carried out; the text is the answer."""


def read(line: bytes) -> Any:
    """The JSON value of a request line. Raises RequestError."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise RequestError("the request is not JSON") from None


def answer(fields: Mapping[str, Any]) -> bytes:
    """A positive answer as a line."""
    return _line({"ok": True, **fields})


def refusal(error: str) -> bytes:
    """A negative answer as a line."""
    return _line({"ok": False, "error": error})


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
