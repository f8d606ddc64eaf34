"""The command line of a node.

    python -m node --mode=ipsec-responder         run on 127.0.0.1:8000 with the files in ipsec/certs/
    python -m node --mode=ipsec-initiator         run against it
    python -m node --config FILE                  run from a file, NODE_... variables on top
    python -m node ctl status                     ask a running node

Exit codes: 0 ok, 1 failed (`--once`), 2 usage or configuration, 4 the environment is not ready, 70 a bug.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from node.control import client
from node.version import VERSION

_MODES = {"ipsec-responder": "responder", "ipsec-initiator": "initiator"}

_EPILOG = """\
Settings come from the command line, then from NODE_... variables (peer.address is NODE_PEER__ADDRESS),
then from the file, then from the defaults of the role. --schema lists them all, --print-config shows the
result.

Commands of a running node: python -m node ctl status | counters | health | initiate | terminate | version |
rekey-ike | rekey-child | reauthenticate | create-child | delete-child | move
"""


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    # The client comes first and alone: a healthcheck must not wait for imports it does not need.
    if arguments[:1] == ["ctl"]:
        return client.main(arguments[1:])
    options = _parser().parse_args(arguments)
    if options.schema:
        from node.config.schema import schema

        print(json.dumps(schema(), indent=2))
        return 0
    return _with_configuration(options)


def _with_configuration(options: argparse.Namespace) -> int:
    from node.config import ConfigError, Sources, load
    from node.eventlog import quiet_exit_streams, standard

    try:
        config = load(Sources(options.config, dict(os.environ), _settings(options), _fallback(options)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        if not (options.check or options.print_config):
            _tell_failure(str(error))
        return 2
    if options.print_config:
        print(_as_yaml(config), end="")
        return 0
    if options.check:
        print(f"{config.name}: the configuration is good ({config.role}, profile {config.profile})")
        return 0
    from node.daemon.main import run

    try:
        return run(config, standard(config.name, json_wanted=True if options.events else None))
    except KeyboardInterrupt:
        return 130
    finally:
        quiet_exit_streams()


def _tell_failure(detail: str) -> None:
    """The same on the event stream, for who reads only that."""
    from linetalk.writer import LineWriter
    from node.eventlog import EventLog
    from node.model.events import EventName
    from node.prose import Palette

    if not os.isatty(1):
        log = EventLog(os.environ.get("NODE_NAME", "node"), LineWriter(1).write, None, Palette(False))
        log.emit(EventName.NODE_FAILED, detail=detail, code=2)


def _settings(options: argparse.Namespace) -> tuple[tuple[tuple[str, ...], Any, str], ...]:
    """What the command line sets, with the option to name in errors."""
    given = (
        (("role",), _MODES.get(options.mode), "--mode"),
        (("name",), options.name, "--name"),
        (("listen", "address"), options.listen_address, "--listen-address"),
        (("listen", "port"), options.port, "--port"),
        (("peer", "address"), options.peer, "--peer"),
        (("tun", "enabled"), options.tun, "--tun"),
        (("run", "once"), options.once, "--once"),
    )
    return tuple((place, value, option) for place, value, option in given if value is not None)


def _fallback(options: argparse.Namespace) -> tuple[tuple[tuple[str, ...], Any], ...]:
    """A node started by --mode alone runs without privileges: no TUN device unless something asks for one."""
    return ((("tun", "enabled"), False),) if options.mode else ()


def _as_yaml(config: Any) -> str:
    import yaml

    from node.config.schema import plain

    return str(yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m node",
        description="An IKEv2/ESP node of the IPsec lab.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--mode", choices=list(_MODES), help="role with its defaults: loopback, ipsec/certs/, no TUN")
    add("--config", metavar="FILE", help="YAML file with the configuration")
    add("--name", help="name of this node in its events")
    add("--listen-address", metavar="ADDRESS", help="address to bind")
    add("--port", type=int, help="UDP port to bind")
    add("--peer", metavar="HOST", help="name or address of the peer")
    tun = parser.add_mutually_exclusive_group()
    tun.add_argument("--tun", action="store_true", default=None, help="require a TUN device")
    tun.add_argument("--no-tun", dest="tun", action="store_false", default=None, help="do without one")
    add("--once", action="store_true", default=None, help="initiator: exit after the demo, 0 or 1")
    add("--events", action="store_true", help="write JSON events to stdout even on a terminal")
    add("--check", action="store_true", help="check the configuration and exit")
    add("--print-config", action="store_true", help="print the configuration in effect as YAML and exit")
    add("--schema", action="store_true", help="print the JSON schema of the configuration and exit")
    add("--version", action="version", version=f"%(prog)s {VERSION}")
    return parser
