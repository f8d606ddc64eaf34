"""What goes over the control socket: one JSON object a line, one answer for each request, in order.

{"command": "terminate", "ike_spi": "0011223344556677"}
{"ok": true, "deleted": 1}
{"ok": false, "error": "unknown command 'statsu' (did you mean 'status'?)"}
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from linetalk.answers import RequestError, read

#: Octets of a request line: every known request is below 100.
MAX_REQUEST = 4096
#: Octets of an answer line: the status of 10,000 IKE SAs is below 8 MiB.
MAX_ANSWER = 32 * 1024 * 1024

#: Commands and the arguments each takes, all of them strings.
COMMANDS: dict[str, frozenset[str]] = {
    "status": frozenset(),
    "counters": frozenset(),
    "health": frozenset(),
    "version": frozenset(),
    "initiate": frozenset(),
    "terminate": frozenset({"ike_spi"}),
    "rekey-ike": frozenset({"ike_spi"}),
    "reauthenticate": frozenset({"ike_spi"}),
    "rekey-child": frozenset({"child_spi"}),
    "delete-child": frozenset({"child_spi"}),
    "create-child": frozenset({"ike_spi"}),
    "move": frozenset({"local"}),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A checked request."""

    command: str
    arguments: Mapping[str, str]


def parse_request(line: bytes) -> Request:
    """Read one request line. Raises RequestError."""
    value = read(line)
    if not isinstance(value, dict) or not isinstance(value.get("command"), str):
        raise RequestError('the request is not an object with a "command"')
    command = value.pop("command")
    if command not in COMMANDS:
        raise RequestError(f"unknown command {command[:40]!r}{_hint(command)}")
    for name, argument in value.items():
        if name not in COMMANDS[command]:
            raise RequestError(f"{command} takes no argument {name[:40]!r}")
        if not isinstance(argument, str):
            raise RequestError(f"the argument {name} is not a string")
    return Request(command, value)


def _hint(command: str) -> str:
    close = difflib.get_close_matches(command, COMMANDS, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f"; known are {', '.join(COMMANDS)}"
