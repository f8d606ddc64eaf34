"""The command line of the wire.

    python -m lab.wire relay                       configuration from WIRE_CONFIG, or --config FILE
    python -m lab.wire sniff --interface eth0 --out FILE --vantage TEXT
    python -m lab.wire readdress --interface eth0  give this host another address; needs NET_ADMIN
    python -m lab.wire ctl show | set JSON | reset | rebind [NODE]

Exit codes: 0 ok, 1 `ctl`: the relay says no, 2 usage or configuration, 4 the environment (a port, a file, a
capability; `ctl`: no relay answers), 70 a bug.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

USAGE, ENVIRONMENT = 2, 4

_CTL = {
    "show": "the faults in force, the mappings and the counters",
    "set": "put other faults in force: a list of faults, or one, in JSON; - reads it from stdin",
    "reset": "put no faults in force",
    "rebind": "give the mappings of a node, or all of them, another port, as a NAT that restarts does",
}


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    match options.verb:
        case "relay":
            return _relay(options.config)
        case "sniff":
            from lab.wire import sniff
            from lab.wire.eventlog import EventLog

            return sniff.run(options.interface, options.out, options.vantage, EventLog(options.name))
        case "readdress":
            return _readdress(options.interface)
    return _ctl(options)


def _readdress(link: str) -> int:
    from lab.wire.readdress import readdress

    try:
        old, new = readdress(link)
    except OSError as error:
        print(json.dumps({"ok": False, "error": f"{link}: {error.strerror}"}))
        return ENVIRONMENT
    print(json.dumps({"ok": True, "old": str(old), "new": str(new)}))
    return 0


def _relay(path: str | None) -> int:
    # Only what this verb needs is imported: a relay is to be ready soon, and `ctl` to answer at once.
    from lab.wire import config, service
    from lab.wire.eventlog import EventLog
    from lab.wire.problems import ConfigError

    origin = path or "WIRE_CONFIG"
    try:
        text = _read(path) if path else os.environ.get("WIRE_CONFIG", "")
    except OSError as error:
        EventLog("wire").tell("wire_failed", detail=f"{origin}: {error.strerror}", code=ENVIRONMENT)
        return ENVIRONMENT
    try:
        if not text:
            raise ConfigError((), "is empty: it holds the configuration as JSON (or give --config FILE)")
        found = config.parse(text)
    except ConfigError as error:
        EventLog("wire").tell("wire_failed", detail=f"{origin}: {error}", code=USAGE)
        return USAGE
    return service.run(found, EventLog(found.name))


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _ctl(options: argparse.Namespace) -> int:
    from lab.wire import client

    path = options.socket or os.environ.get("WIRE_SOCKET", "")
    if not path:
        return _usage("no control socket: give --socket PATH or set WIRE_SOCKET")
    request: dict[str, Any] = {"command": options.command}
    if options.command == "set":
        try:
            request["faults"] = json.loads(sys.stdin.read() if options.faults == "-" else options.faults)
        except (ValueError, RecursionError) as error:
            return _usage(f"set: no JSON: {error}")
    elif options.command == "rebind" and options.node is not None:
        request["node"] = options.node
    return client.run(path, request)


def _usage(error: str) -> int:
    print(json.dumps({"ok": False, "error": error}))
    return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab.wire",
        description="The wire of a lab: a relay that breaks it on purpose, and a sniffer.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    relay = verbs.add_parser("relay", help="relay datagrams between initiators and a target, with faults")
    relay.add_argument("--config", metavar="FILE", help="the configuration (default: $WIRE_CONFIG)")
    sniff = verbs.add_parser("sniff", help="write what passes an interface into a pcapng file; needs NET_RAW")
    sniff.add_argument("--interface", required=True, metavar="NAME", help="the interface")
    sniff.add_argument("--out", required=True, metavar="FILE", help="the file; it goes on with its own")
    sniff.add_argument("--vantage", required=True, metavar="TEXT", help="where this is, for whoever reads it")
    sniff.add_argument("--name", default="wire", help="the node's name in events (default: wire)")
    other = verbs.add_parser("readdress", help="give this host another address; needs NET_ADMIN")
    other.add_argument("--interface", required=True, metavar="NAME", help="the interface")
    ctl = verbs.add_parser("ctl", help="ask a running relay; answers one JSON object")
    ctl.add_argument("--socket", metavar="PATH", help="its control socket (default: $WIRE_SOCKET)")
    commands = ctl.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in _CTL.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "set":
            command.add_argument("faults", metavar="JSON", help="the faults")
        elif name == "rebind":
            command.add_argument("node", nargs="?", metavar="NODE", help="an initiator")
    return parser
