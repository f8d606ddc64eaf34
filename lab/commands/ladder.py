"""`ipseclab ladder`: who sent what to whom, of a lab that is up or of a run that is over."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import evidence, hindsight, output
from lab.commands.context import Context
from lab.errors import EnvironmentNotReady, ExitCode, NoSuchLab
from lab.events import NodeEvent
from lab.ladder import as_svg, as_text, compose, values
from lab.text import did_you_mean, listing


def ladder(context: Context, options: argparse.Namespace) -> int:
    """Draw the message ladder of a run or of a lab. As text, and with --svg as a picture."""
    name, events = _events(context, options.target)
    wires = compose.wires_of(events)
    nodes = [node for node in dict.fromkeys(event.node for event in events) if node not in wires]
    for node in options.nodes:
        if node not in nodes:
            raise NoSuchLab(
                f"{name} has no node {node!r}{did_you_mean(node, nodes)}: it has {listing(nodes)}"
            )
    columns = shutil.get_terminal_size((as_text.WIDTH, 24)).columns
    drawn_as_text = options.svg is None and not context.json
    most = as_text.lanes_in(columns) if drawn_as_text else compose.MAX_LANES
    made = compose.build(events, options.nodes, min(most, compose.MAX_LANES))
    if options.svg is not None:
        _write(options.svg, as_svg.render(made, name))
        context.console.line(f"written: {options.svg}")
    if context.json:
        output.print_json("ladder", {"name": name, **values.as_json(made)})
    elif options.svg is None:
        plain = options.ascii or "utf" not in (sys.stdout.encoding or "").lower()
        signs = as_text.ASCII if plain else as_text.UNICODE
        print("\n".join(as_text.render(made, context.style, columns, signs)), flush=True)
    return ExitCode.OK


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise EnvironmentNotReady(
            f"--svg {path}: cannot be written: {error.strerror}: name a file in a directory of yours"
        ) from error


def _events(context: Context, target: str | None) -> tuple[str, Sequence[NodeEvent]]:
    """What it is called, and the events: of a run's directory, a lab that is up, or the run that is meant."""
    if target is not None and (directory := evidence.find_run(target, only_path=True)) is not None:
        return directory.name, evidence.read_events(directory)
    name = target or context.lab
    found = context.holding(name) if "/" not in name else None
    if found is not None:
        backend, info = found
        told = hindsight.told(backend.lab(name), [node.name for node in info.nodes])
        return name, [item for item in told if isinstance(item, NodeEvent)]
    directory = evidence.meant(target, context.name, "is neither a lab that is up nor a run")
    return directory.name, evidence.read_events(directory)
