"""`ipseclab fault`: what the wire node does to datagrams, changed while the lab runs."""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from lab import output, wires
from lab.commands.context import Context
from lab.errors import ExitCode, UsageError
from lab.labels import Role

#: Options that set how many percent of all datagrams an act hits, and acts whose option says which ones.
_PERCENT = {"loss": "drop", "duplicate": "duplicate", "corruption": "corrupt"}
_MATCHED = ("drop", "replay", "corrupt", "truncate", "reflect", "junk")
#: Options that set the same key of every fault that is named by an option.
_NUMBERS = {
    "times": "at most so often",
    "count": "junk: so many messages",
    "octets": "truncate: so many are left",
}
_EXAMPLES = """\
examples:
  ipseclab up --wire                                   a lab with a wire node
  ipseclab fault set --loss 20 --delay 50 --jitter 10  20 % lost, the rest 40 to 60 ms later
  ipseclab fault set --drop "IKE_AUTH response 1" --times 1      in place of what was set before
  ipseclab fault set --replay "ESP sequence 7"
  ipseclab fault set --fault '{"match": "ESP to responder", "act": "corrupt", "times": 3}'
  ipseclab fault rebind initiator                      its NAT mapping changes
  ipseclab fault reset                                 an honest wire again

docs/faults.md has every act and how datagrams are named.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """The command line of the verb."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add(
        "action",
        choices=("show", "set", "reset", "rebind"),
        metavar="ACTION",
        help="show, set, reset, rebind",
    )
    add("node", nargs="?", metavar="NODE", help="rebind: only this initiator's mapping")
    for name, act in _PERCENT.items():
        add(f"--{name}", type=float, metavar="PERCENT", help=f"{act} so many of all datagrams")
    add("--delay", type=float, metavar="MS", help="delay every datagram by so many milliseconds")
    add("--jitter", type=float, metavar="MS", help="plus or minus so many")
    add("--reorder", type=int, metavar="N", help="hold datagrams until up to N later ones have passed")
    for act in _MATCHED:
        add(f"--{act}", metavar="WHAT", help=f"{act} the datagrams of this name, as 'IKE_AUTH response 1'")
    for name, meaning in _NUMBERS.items():
        add(f"--{name}", type=int, metavar="N", help=meaning)
    add(
        "--fault", action="append", default=[], metavar="JSON", help="any fault, as in a scenario; repeatable"
    )


def fault(context: Context, options: argparse.Namespace) -> int:
    """Show what the wire node of a lab that is up does to datagrams, or put other faults in its place."""
    _, lab, info = context.find()
    name = next((node.name for node in info.nodes if node.role is Role.WIRE), None)
    if name is None:
        raise UsageError(
            f"lab {info.name!r} has no wire node: bring it up with `ipseclab up --wire`, or with a scenario "
            "that has `wire:`"
        )
    match options.action:
        case "set":
            wires.change(lab, name, _wanted(options))
        case "reset":
            wires.change(lab, name, ())
        case "rebind":
            wires.ask(lab, name, "rebind", *([options.node] if options.node else []))
    _show(context, wires.ask(lab, name, "show"))
    return ExitCode.OK


def _show(context: Context, told: Mapping[str, Any]) -> None:
    faults = told["faults"]
    if context.json:
        shown = ("seed", "target", "faults", "mappings", "relayed", "acted", "held", "lost")
        output.print_json("fault", {key: told[key] for key in shown})
    elif not faults:
        print("no faults: every datagram is relayed as it is", flush=True)
    else:
        rows = [(str(n), f["fault"], str(f["matched"]), str(f["acted"])) for n, f in enumerate(faults, 1)]
        print(output.table(("NO", "FAULT", "MATCHED", "ACTED"), rows, context.style), flush=True)


def _wanted(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The faults that the options ask for. Raises UsageError where there is none."""
    found = [*_plain(options), *map(_parse, options.fault)]
    if not found:
        raise UsageError("fault set: nothing to set: see `ipseclab fault --help`")
    return found


def _plain(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    limits = {key: getattr(options, key) for key in _NUMBERS if getattr(options, key) is not None}
    for name, act in _PERCENT.items():
        if (percent := getattr(options, name)) is not None:
            yield {"act": act, "chance": percent} | limits
    if options.delay is not None or options.jitter is not None:
        late, jitter = (options.delay or 0.0) / 1000, (options.jitter or 0.0) / 1000
        yield {"act": "delay", "seconds": late, "jitter": jitter} | limits
    if options.reorder is not None:
        yield {"act": "reorder", "within": options.reorder} | limits
    for act in _MATCHED:
        if (what := getattr(options, act)) is not None:
            yield {"act": act, "match": what} | limits


def _parse(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(f'--fault: {text!r} is no JSON ({error}): write \'{{"act": "drop"}}\'') from None
    if not isinstance(found, dict):
        raise UsageError(f'--fault: {text!r} is no mapping: write \'{{"act": "drop"}}\'')
    return found
