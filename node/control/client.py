"""`python -m node ctl COMMAND`: ask a running node. Standard library only, for a quick start.

Exit codes: 0 ok, 1 the node says no (or is not healthy), 2 usage, 4 no node answers. `health` has only 0
and 1, which is what a container healthcheck may return.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import linetalk.client
from node.control.protocol import COMMANDS, MAX_ANSWER

#: Seconds until an answer must have come.
PATIENCE = 3.0

OK, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 4


def main(arguments: Sequence[str]) -> int:
    """Run the client; returns the exit code."""
    options = _parser().parse_args(arguments)
    path = options.socket or os.environ.get("NODE_CONTROL__SOCKET", "")
    if not path:
        print("ctl: no control socket: give -s SOCKET or set NODE_CONTROL__SOCKET", file=sys.stderr)
        return REFUSED if options.command == "health" else USAGE
    request = {"command": options.command}
    if options.argument:
        (name,) = COMMANDS[options.command] or ("argument",)
        request[name] = options.argument
    try:
        linetalk.client.become_owner(path)
        answer = ask(path, request)
    except (OSError, ValueError) as error:
        print(f"ctl: {path}: {error}; is the node running?", file=sys.stderr)
        return REFUSED if options.command == "health" else UNREACHABLE
    print(json.dumps(answer) if options.output == "json" else as_text(answer))
    return OK if answer.get("ok") and answer.get("healthy", True) else REFUSED


def ask(path: str, request: Mapping[str, str], patience: float = PATIENCE) -> dict[str, Any]:
    """Send one request and wait for its answer. Raises OSError, or ValueError for an answer that is none."""
    return linetalk.client.ask(path, request, patience, MAX_ANSWER)


def as_text(answer: Mapping[str, Any]) -> str:
    """An answer for people: `name: value` lines, nested by indentation; control characters escaped."""
    if not answer.get("ok"):
        return _line("error", answer.get("error"))
    return "\n".join(_lines({k: v for k, v in answer.items() if k != "ok"}, "")) or "ok"


def _lines(value: Any, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        found = []
        for name, item in value.items():
            nested = isinstance(item, Mapping) or (
                isinstance(item, list) and any(isinstance(i, Mapping) for i in item)
            )
            if nested and item:
                found += [f"{indent}{_safe(name)}:", *_lines(item, indent + "  ")]
            else:
                found.append(indent + _line(name, item))
        return found
    if isinstance(value, list):
        return [
            line for n, item in enumerate(value) for line in [f"{indent}[{n}]", *_lines(item, indent + "  ")]
        ]
    return [indent + _safe(value)]


def _line(name: str, value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value) or "none"
    elif value is None or value == {}:
        value = "none"
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    return f"{_safe(name)}: {_safe(value)}"


def _safe(value: Any) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m node ctl", description="Ask a running node over its control socket."
    )
    parser.add_argument("command", choices=list(COMMANDS), help="what to ask for")
    parser.add_argument(
        "argument",
        nargs="?",
        metavar="spi | address",
        help="our SPI of one IKE SA, or with -child the inbound SPI of one Child SA (default: all of them); "
        "with move our outer address from now on (default: the one that the routes choose)",
    )
    parser.add_argument("-s", "--socket", help="path of the control socket (default: $NODE_CONTROL__SOCKET)")
    parser.add_argument("-o", "--output", choices=["json", "text"], default="text", help="form of the answer")
    return parser
