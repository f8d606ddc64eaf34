"""`ipseclab decode`: every packet of a capture as a tree, the protected parts opened with the key log."""

import argparse
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import evidence, output
from lab.commands.context import Context
from lab.console import Style
from lab.errors import ExitCode, NoSuchLab, UsageError
from lab.text import printable

if TYPE_CHECKING:
    from lab.decode.values import Decoded, Item

#: Octets in one line of --hex.
_LINE = 16
_ONLY = ("ike", "esp")


def options(parser: argparse.ArgumentParser) -> None:
    """The command line of the verb."""
    add = parser.add_argument
    add(
        "target",
        nargs="?",
        metavar="RUN|LAB|FILE",
        help="a run's directory, a lab, a pcapng file (latest run)",
    )
    add(
        "--keys", action="append", type=Path, default=[], metavar="FILE", help="key log of a node, for a file"
    )
    add("--packet", action="append", type=int, default=[], metavar="N", help="only this packet; repeatable")
    add(
        "--only", choices=_ONLY, metavar="KIND", help="only ike or only esp; without it all but other traffic"
    )
    add("--all", action="store_true", help="other traffic as well: ARP, IPv6 neighbours, ...")
    add("--brief", action="store_true", help="one line each")
    add("--hex", action="store_true", help="with the octets")


def decode(context: Context, options: argparse.Namespace) -> int:
    """Print what a capture holds, message by message. The decoder is the lab's own: it knows no node."""
    name, packets = _read(context, options)
    shown = [packet for packet in packets if _wanted(packet, options)]
    missing = sorted(set(options.packet) - {packet.number for packet in packets})
    if missing:
        raise UsageError(f"--packet {missing[0]}: the capture has {len(packets)} packets")
    if context.json:
        output.print_json("decode", {"name": name, "packets": [_as_json(packet) for packet in shown]})
        return ExitCode.OK
    for packet in shown:
        print("\n".join(_lines(packet, options, context.style)), flush=True)
    closed = sum(bool(packet.problem) for packet in shown if packet.kind.value in _ONLY)
    if closed:
        context.console.line(
            f"{closed} of {len(shown)} packets could not be opened or read: only a scenario with "
            "`keylog: true` logs keys"
        )
    return ExitCode.OK


def _read(context: Context, options: argparse.Namespace) -> tuple[str, Sequence["Decoded"]]:
    # Only this verb needs the decoder, which takes a while to import.
    from lab.decode import keylog, run

    target = options.target
    if target is not None and Path(target).is_file():
        return target, run.decode(run.load(Path(target)), keylog.read(options.keys), "")
    if options.keys:
        raise UsageError("--keys: goes with a capture file; a run has its own")
    directory = evidence.find_run(target or context.name or "") or (None if target else evidence.newest())
    if directory is None:
        raise NoSuchLab(
            f"{target or context.lab!r} is neither a capture file nor a run: name a directory of "
            f"{evidence.runs_directory()}, or a lab with runs there; `ipseclab run hello` makes one"
        )
    packets = run.of_run(directory)
    if not packets:
        raise NoSuchLab(f"{directory}: has no capture: only `ipseclab run` captures")
    return directory.name, packets


def _wanted(packet: "Decoded", options: argparse.Namespace) -> bool:
    if options.packet:
        return bool(packet.number in options.packet)
    if options.only:
        return bool(packet.kind.value == options.only)
    return bool(options.all) or packet.kind.value != "other"


def _lines(packet: "Decoded", options: argparse.Namespace, style: Style) -> Iterator[str]:
    moment = datetime.fromtimestamp(packet.moment_ns / 1e9, UTC).strftime("%H:%M:%S.%f")
    ends = f"{packet.source} > {packet.target}"
    number = style.paint(f"{packet.number:>4}", "bold")
    title = style.paint(printable(packet.title), *_colour(packet))
    yield f"{number}  {style.paint(moment, 'dim')}  {printable(ends)}  {title}"
    for label, text, colour in (("not opened", packet.problem, "red"), ("the wire", packet.remark, "yellow")):
        if text:
            yield f"      {style.paint(f'{label}: {printable(text)}', colour)}"
    if options.brief:
        return
    yield from _tree(packet.tree.children, style)
    if options.hex:
        yield from _hex(packet.octets)
    yield ""


def _colour(packet: "Decoded") -> tuple[str, ...]:
    return {"ike": ("cyan",), "esp": ("magenta",)}.get(packet.kind.value, ("dim",))


def _tree(items: Sequence["Item"], style: Style, indent: str = "      ") -> Iterator[str]:
    for item in items:
        value = f": {printable(item.value)}" if item.value else ""
        yield f"{indent}{style.paint(printable(item.name), 'bold')}{value}"
        yield from _tree(item.children, style, indent + "  ")


def _hex(octets: bytes) -> Iterator[str]:
    for at in range(0, len(octets), _LINE):
        part = octets[at : at + _LINE]
        text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in part)
        yield f"      {at:04x}  {part.hex(' '):<{3 * _LINE}} {text}"


def _as_json(packet: "Decoded") -> dict[str, Any]:
    stamp = datetime.fromtimestamp(packet.moment_ns / 1e9, UTC).isoformat(timespec="microseconds")
    return {
        "number": packet.number,
        "ts": stamp.replace("+00:00", "Z"),
        "vantage": packet.vantage,
        "source": packet.source,
        "target": packet.target,
        "kind": packet.kind.value,
        "title": packet.title,
        "opened": packet.opened,
        "problem": packet.problem or None,
        "remark": packet.remark or None,
        "octets": packet.octets.hex(),
        "tree": _item(packet.tree),
    }


def _item(item: "Item") -> dict[str, Any]:
    return {"name": item.name, "value": item.value, "children": [_item(child) for child in item.children]}
