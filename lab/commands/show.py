"""`ipseclab status`, `logs`, `events`, `exec`, `shell`: looking at a lab that is up."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab import output
from lab.backends.base import Follower, Lab, LabInfo
from lab.commands import facts
from lab.commands.context import Context
from lab.errors import CheckFailed, EnvironmentNotReady, ExitCode, LabError, NoSuchLab
from lab.events import NodeEvent, NodeExit, Told
from lab.judge import CONTROL_TIMEOUT
from lab.render import NodeColours, log_line
from lab.text import did_you_mean, listing, span

HEAD = ("LAB", "NODE", "ROLE", "STATE", "ADDRESS", "IKE", "CHILD", "IN/OUT PKTS", "REPLAYED", "UPTIME")

Status = Mapping[str, Any]


def status(context: Context, options: argparse.Namespace) -> int:
    """Every node with its tunnel: of the named lab, or of all labs. Exit code 5 where there is none."""
    if context.name is not None:
        backend, _, info = context.find()
        labs = [(backend.lab(info.name), info)]
    else:
        labs = [(b.lab(info.name), info) for b in context.candidates() for info in b.labs()]
    if not labs:
        raise NoSuchLab("no lab is up: start one with `ipseclab up`")
    told = [(info, ask_all(lab, info)) for lab, info in labs]
    if context.json:
        output.print_json("status", {"labs": [facts.lab(info, statuses) for info, statuses in told]})
        return ExitCode.OK
    rows = [_row(info, node, statuses.get(node.name)) for info, statuses in told for node in info.nodes]
    print(output.table(HEAD, rows, context.style), flush=True)
    return ExitCode.OK


def ask_all(lab: Lab, info: LabInfo) -> dict[str, Status | None]:
    """What every running node says of itself; None where it does not answer."""

    def ask(name: str) -> Status | None:
        try:
            found: Status = lab.control(name, ["status"], CONTROL_TIMEOUT)
        except CheckFailed:
            return None
        return found

    names = [node.name for node in info.endpoints if node.running]
    if not names:
        return {}
    with ThreadPoolExecutor(min(8, len(names))) as pool:
        return dict(zip(names, pool.map(ask, names), strict=True))


def _row(info: LabInfo, node: Any, found: Status | None) -> tuple[str, ...]:
    sas = found["ike_sas"] if found else []
    children = found["child_sas"] if found else []
    state = f"exited ({node.exit_code})" if node.exit_code is not None else facts.state(node)
    uptime = span(facts.since(node.started)) if node.running else "-"
    return (
        info.name,
        node.name,
        node.role.value,
        state,
        node.address or "-",
        _phases(sas) if found else "-",
        (f"{len(children)} x " if len(children) > 1 else "") + ("INSTALLED" if children else "none")
        if found
        else "-",
        f"{_sum(children, 'inbound_packets')}/{_sum(children, 'outbound_packets')}" if children else "-",
        str(_sum(children, "replayed")) if children and "replayed" in children[0] else "-",
        uptime,
    )


def _phases(sas: Sequence[Status]) -> str:
    phases = [str(sa["phase"]) for sa in sas]
    counts = [f"{phases.count(p)} x {p}" if phases.count(p) > 1 else p for p in dict.fromkeys(phases)]
    return ", ".join(counts) or "none"


def _sum(children: Sequence[Status], name: str) -> int:
    return sum(int(child[name]) for child in children)


def logs(context: Context, options: argparse.Namespace) -> int:
    """The nodes' events, interleaved by time; with -o json as they are, one object per line."""
    _, lab, info = context.find()
    names = _chosen(info, options.nodes)
    follower = lab.follow(names, live=options.follow)
    colours = NodeColours([node.name for node in info.nodes])
    lines = options.output_lines or context.json
    try:
        if options.follow:
            while (told := follower.next(None)) is not None:
                _print(told, colours, context, lines)
        else:
            for told in _tail(_sorted(follower), options.tail):
                _print(told, colours, context, lines)
    finally:
        follower.close()
    return ExitCode.OK


def _chosen(info: LabInfo, wanted: Sequence[str]) -> list[str]:
    names = [node.name for node in info.nodes]
    for name in wanted:
        if name not in names:
            raise NoSuchLab(
                f"lab {info.name!r} has no node {name!r}{did_you_mean(name, names)}: it has {listing(names)}"
            )
    return list(wanted) or names


def _sorted(follower: Follower) -> list[Told]:
    """Everything, by time. What has no time of its own stays behind what its node told before."""
    found: list[tuple[float, Told]] = []
    latest: dict[str, float] = {}
    while (told := follower.next(None)) is not None:
        if isinstance(told, NodeEvent):
            latest[told.node] = told.moment.timestamp()
        found.append((latest.get(told.node, 0.0), told))
    return [told for _, told in sorted(found, key=lambda pair: pair[0])]


def _tail(told: list[Told], count: int | None) -> list[Told]:
    return told if count is None else told[-count:] if count else []


def _print(told: Told, colours: NodeColours, context: Context, lines: bool) -> None:
    if not lines:
        print(log_line(told, colours, context.style), flush=True)
    elif isinstance(told, NodeEvent):
        output.print_json_line(told.as_json())
    elif isinstance(told, NodeExit):
        output.print_json_line({"node": told.node, "event": "process_exited", "exit_code": told.code})


def execute(context: Context, options: argparse.Namespace) -> int:
    """Run a command at a node; its exit code is ours, 125 where it could not be run at all."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        _, lab, info = context.find()
        _chosen(info, [options.node])
        terminal = sys.stdin.isatty() and sys.stdout.isatty()
        return lab.execute(options.node, command, terminal=terminal)
    except EnvironmentNotReady as error:
        context.console.error(str(error))
        return ExitCode.EXEC_FAILED


def shell(context: Context, options: argparse.Namespace) -> int:
    """A shell at a node."""
    backend, lab, info = context.find()
    _chosen(info, [options.node])
    program = os.environ.get("SHELL", "/bin/sh") if backend.name == "process" else "/bin/sh"
    if not sys.stdin.isatty():
        raise LabError("shell needs a terminal: use `ipseclab exec NODE -- CMD` in scripts")
    return lab.execute(options.node, [program], terminal=True)
